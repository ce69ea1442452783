"""The documents of TRUE Connector v1: what an offer becomes in the IDS information model 4, and how one is read back."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.services.connectors.ids_messages import ARTIFACT, AUTOGEN, CODE, CONNECTOR, CONTEXT, date_time
from battery_pilot.services.connectors.jsonld import listed, local_name, text
from battery_pilot.services.connectors.model import Agreement, CatalogueEntry, Constraint, Counterparty, Offer
from battery_pilot.services.connectors.policies import DATE_TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

Document = dict[str, Any]
Rules = frozenset[tuple[frozenset[str], frozenset[tuple[str, str, str]]]]

MADE = datetime(2026, 1, 1, tzinfo=UTC)
"""Date of all offers: with the present moment every repeated publication would change something."""

_STRING = "http://www.w3.org/2001/XMLSchema#string"
_DATE_TIME_STAMP = "http://www.w3.org/2001/XMLSchema#dateTimeStamp"
_OPERATORS = {"lt": "BEFORE", "lteq": "BEFORE", "gt": "AFTER", "gteq": "AFTER"}


def resource_id(asset_id: str) -> str:
    """Return the id of an offer's resource."""
    return _own("textResource", asset_id)


def artifact_id(asset_id: str) -> str:
    """Return the id by which the data app finds the file."""
    return ARTIFACT + asset_id


def resource(offer: Offer, properties: Mapping[str, str]) -> Document:
    """Write an offer as a resource with its contract offer and its artifact.

    :param offer: the offer; where its file lies is the data app's business.
    :param properties: what a reader of the catalogue can filter by; resources have none, so they are keywords.
    :raises InputError: the information model has no word for a constraint.
    """
    asset_id = offer.asset_id
    return {
        "@context": CONTEXT,
        "@type": "ids:TextResource",
        "@id": resource_id(asset_id),
        "ids:language": [{"@id": f"{CODE}EN"}],
        "ids:version": "1.0.0",
        "ids:title": [_string(offer.title)],
        "ids:description": [_string(offer.title)],
        "ids:keyword": [_string(f"{name}={value}") for name, value in sorted(properties.items())],
        "ids:created": date_time(MADE),
        "ids:contractOffer": [_contract_offer(offer)],
        "ids:representation": [
            {
                "@type": "ids:TextRepresentation",
                "@id": _own("textRepresentation", asset_id),
                "ids:instance": [
                    {
                        "@type": "ids:Artifact",
                        "@id": artifact_id(asset_id),
                        "ids:creationDate": date_time(MADE),
                    }
                ],
                "ids:language": {"@id": f"{CODE}EN"},
                "ids:created": date_time(MADE),
            }
        ],
    }


def resources(description: Mapping[str, Any]) -> list[Document]:
    """Return the resources that a connector's self-description offers."""
    return [
        one
        for catalogue in listed(description.get("ids:resourceCatalog"))
        for one in listed(catalogue.get("ids:offeredResource"))
        if isinstance(one, dict)
    ]


def is_complete(document: Mapping[str, Any]) -> bool:
    """Return whether a resource came with its contract offer and artifact, and not as a mere summary."""
    return bool(_contract(document) and _artifact(document))


def catalogue_entry(document: Document, counterparty: Counterparty) -> CatalogueEntry | None:
    """Read a resource, taking its first contract offer and artifact; ``None`` where one is missing."""
    contract, artifact = _contract(document), _artifact(document)
    if not contract or not artifact:
        return None
    asset_id = artifact.rpartition("/")[2]
    return CatalogueEntry(
        asset_id=asset_id,
        title=_first_text(document, "ids:title") or asset_id,
        properties=read_properties(document),
        offer={"artifact": artifact, "contract": contract},
        counterparty=counterparty,
    )


def read_properties(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties that a resource's keywords hold."""
    words = [(text(one) or "").partition("=") for one in listed(document.get("ids:keyword"))]
    return {name: value for name, sign, value in words if sign}


def contract_request(contract: Mapping[str, Any], consumer: str) -> Document:
    """Write the request for an agreement. Ids and targets are repeated exactly: the provider finds its offer by them.

    :param contract: the contract offer as it came.
    :param consumer: our id.
    """
    return {
        "@context": CONTEXT,
        "@type": "ids:ContractRequest",
        "@id": contract["@id"],
        "ids:permission": listed(contract.get("ids:permission")),
        "ids:provider": contract.get("ids:provider"),
        "ids:obligation": [],
        "ids:prohibition": [],
        "ids:consumer": {"@id": consumer},
    }


def rules(contract: Mapping[str, Any]) -> Rules:
    """Reduce a contract offer or agreement to what it permits, so that two spellings of one are equal."""
    return frozenset(
        (
            frozenset(local_name(text(action) or "") for action in listed(one.get("ids:action"))),
            frozenset(_comparison(constraint) for constraint in listed(one.get("ids:constraint"))),
        )
        for one in listed(contract.get("ids:permission"))
    )


def targets(contract: Mapping[str, Any]) -> set[str]:
    """Return what a contract's permissions are about."""
    return {text(one.get("ids:target")) or "" for one in listed(contract.get("ids:permission"))}


def agreement(kept: Mapping[str, Any]) -> Agreement:
    """Read an agreement that was kept, its policy in the words of ODRL.

    :param kept: ``agreement`` and ``signed_at``.
    """
    words = {"BEFORE": "lteq", "AFTER": "gteq"}
    return Agreement(
        id=str(kept["agreement"]["@id"]),
        policy={
            "permission": [
                {
                    "action": "use",
                    "constraint": [
                        {
                            "leftOperand": DATE_TIME if left == "POLICY_EVALUATION_TIME" else left,
                            "operator": words.get(operator, operator),
                            "rightOperand": right,
                        }
                        for left, operator, right in map(_comparison, listed(one.get("ids:constraint")))
                    ],
                }
                for one in listed(kept["agreement"].get("ids:permission"))
            ]
        },
        signed_at=datetime.fromisoformat(kept["signed_at"]),
    )


def _contract_offer(offer: Offer) -> Document:
    permission: Document = {
        "@type": "ids:Permission",
        "@id": _own("permission", offer.asset_id),
        "ids:target": {"@id": artifact_id(offer.asset_id)},
        "ids:action": [{"@id": f"{CODE}USE"}],
        "ids:title": [_string("Usage policy")],
        "ids:description": [_string("provide-access")],
    }
    if offer.constraints:
        permission["ids:constraint"] = [_constraint(one, offer.asset_id) for one in offer.constraints]
    return {
        "@type": "ids:ContractOffer",
        "@id": _own("contractOffer", offer.asset_id),
        "ids:permission": [permission],
        "ids:provider": {"@id": CONNECTOR},
        "ids:contractStart": date_time(MADE),
        "ids:contractDate": date_time(MADE),
    }


def _constraint(constraint: Constraint, asset_id: str) -> Document:
    operator = _OPERATORS.get(constraint.operator)
    if constraint.left_operand != DATE_TIME or operator is None:
        raise InputError(
            f"policy: TRUE Connector v1 takes points in time with {', '.join(_OPERATORS)} only, not "
            f"{local_name(constraint.left_operand)} {constraint.operator}"
        )
    return {
        "@type": "ids:Constraint",
        "@id": _own("constraint", f"{asset_id} {operator} {constraint.right_operand}"),
        "ids:leftOperand": {"@id": f"{CODE}POLICY_EVALUATION_TIME"},
        "ids:operator": {"@id": f"{CODE}{operator}"},
        "ids:rightOperand": {"@value": constraint.right_operand, "@type": _DATE_TIME_STAMP},
    }


def _comparison(constraint: Mapping[str, Any]) -> tuple[str, str, str]:
    operands = (text(constraint.get(f"ids:{name}")) or "" for name in ("leftOperand", "operator"))
    left, operator = (local_name(one) for one in operands)
    return left, operator, text(constraint.get("ids:rightOperand")) or ""


def _contract(document: Mapping[str, Any]) -> Document | None:
    return next((one for one in listed(document.get("ids:contractOffer")) if isinstance(one, dict)), None)


def _artifact(document: Mapping[str, Any]) -> str | None:
    for representation in listed(document.get("ids:representation")):
        for instance in listed(representation.get("ids:instance")):
            return text(instance.get("@id"))
    return None


def _first_text(document: Mapping[str, Any], name: str) -> str | None:
    return text(next(iter(listed(document.get(name))), None))


def _own(kind: str, name: str) -> str:
    """Return an id of ours: the same for the same thing in every publication."""
    return f"{AUTOGEN}{kind}/{uuid.uuid5(uuid.NAMESPACE_URL, name)}"


def _string(value: str) -> Document:
    # The connector's proxy counts characters where it should count bytes: nothing but ASCII survives.
    return {"@value": value.encode("ascii", "replace").decode(), "@type": _STRING}
