"""The documents of TRUE Connector's management API: what an offer becomes, and what a policy or dataset really says."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.services.connectors.jsonld import listed, local_name
from battery_pilot.services.connectors.model import (
    Agreement,
    CatalogueEntry,
    Constraint,
    Counterparty,
    Negotiation,
    NegotiationState,
    Offer,
    Transfer,
    TransferState,
)
from battery_pilot.services.connectors.policies import COUNT, DATE_TIME, ODRL, PURPOSE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SPATIAL = f"{ODRL}spatial"
FORMAT = "HttpData-PULL"

Document = dict[str, Any]
Rules = frozenset[tuple[str, frozenset[tuple[str, str, str]]]]

OPERANDS = {COUNT: "COUNT", DATE_TIME: "DATE_TIME", PURPOSE: "PURPOSE", SPATIAL: "SPATIAL"}
OPERATORS = {"lt": "LT", "lteq": "LTEQ", "gt": "GT", "gteq": "GTEQ", "eq": "EQ", "isAnyOf": "IS_ANY_OF"}

ALWAYS = Constraint(DATE_TIME, "gteq", "2020-01-01T00:00:00Z")
"""Holds at any time. Release 0.6.6 cannot enforce a permission without constraints: its data can be agreed on and never
downloaded."""


def dataset(offer: Offer, distribution: Document, properties: Mapping[str, str]) -> Document:
    """Write an offer as a dataset. It is in the catalogue as soon as it is stored.

    :param offer: the offer.
    :param distribution: the connector's own distribution that transfers by pull.
    :param properties: what a reader of the catalogue can filter by; datasets have no properties, so they are keywords.
    """
    return {
        "@id": offer.asset_id,
        "identifier": offer.asset_id,
        "title": offer.title,
        "creator": "Battery Pilot",
        "keyword": sorted(f"{name}={value}" for name, value in properties.items()),
        "description": [{"value": offer.title, "language": "en"}],
        "hasPolicy": [policy(offer)],
        "distribution": [
            {
                "@id": distribution["@id"],
                "format": FORMAT,
                # Given as an object or as a list of them, depending on who wrote it.
                "accessService": next(iter(listed(distribution.get("accessService"))), None),
            }
        ],
    }


def policy(offer: Offer) -> Document:
    """Write the policy. The same conditions have the same id, so that a repeated publication changes nothing.

    :raises InputError: the connector has no word for a constraint.
    """
    constraints = [_constraint(one) for one in offer.constraints or (ALWAYS,)]
    name = json.dumps([offer.asset_id, constraints])
    return {
        "@id": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}",
        "permission": [{"action": "USE", "constraint": constraints}],
    }


def properties_of(offer: Offer) -> dict[str, str]:
    """Return what a reader of the catalogue can filter by."""
    return {**offer.properties, "contenttype": offer.content_type, "tier": offer.tier.value}


def read_properties(document: Mapping[str, Any]) -> dict[str, str]:
    """Return the properties that a dataset's keywords hold."""
    words = [word.partition("=") for word in listed(document.get("keyword")) if isinstance(word, str)]
    return {name: value for name, sign, value in words if sign}


def catalogue_entry(catalogue: Document, document: Document, counterparty: Counterparty) -> CatalogueEntry | None:
    """Read a dataset of a catalogue, taking its first policy; ``None`` when it has none."""
    policies = listed(document.get("hasPolicy"))
    if not policies or "@id" not in document:
        return None
    asset_id = str(document["@id"])
    return CatalogueEntry(
        asset_id=asset_id,
        title=str(document.get("title") or asset_id),
        properties=read_properties(document),
        offer={
            "@id": policies[0].get("@id"),
            "target": asset_id,
            "assigner": catalogue.get("participantId") or counterparty.participant_id,
            # The members that the connector adds without a value are refused when they come back.
            "permission": [
                {"action": one.get("action"), "constraint": listed(one.get("constraint"))}
                for one in listed(policies[0].get("permission"))
            ],
        },
        counterparty=counterparty,
    )


def rules(policy: Mapping[str, Any]) -> Rules:
    """Reduce a policy, offer or agreement to what it permits, so that two spellings of one are equal."""
    return frozenset(
        (
            local_name(str(one.get("action"))).upper(),
            frozenset(_comparison(constraint) for constraint in listed(one.get("constraint"))),
        )
        for one in listed(policy.get("permission"))
    )


def _comparison(constraint: Mapping[str, Any]) -> tuple[str, str, str]:
    operand, operator = str(constraint.get("leftOperand")), str(constraint.get("operator"))
    return _upper(operand), _upper(operator), str(constraint.get("rightOperand"))


def _upper(word: str) -> str:
    """Write a term of ODRL as the management API does: ``odrl:dateTime`` as ``DATE_TIME``."""
    plain = local_name(word)
    return {**OPERATORS, **{local_name(iri): own for iri, own in OPERANDS.items()}}.get(plain, plain.upper())


def _constraint(constraint: Constraint) -> Document:
    operand, operator = OPERANDS.get(constraint.left_operand), OPERATORS.get(constraint.operator)
    if operand is None or operator is None:
        raise InputError(
            f"policy: TRUE Connector knows no constraint {constraint.left_operand} {constraint.operator}; it has "
            f"{', '.join(local_name(one) for one in OPERANDS)} and {', '.join(OPERATORS)}"
        )
    return {"leftOperand": operand, "operator": operator, "rightOperand": constraint.right_operand}


def difference(offer: Document, agreement: Document) -> str | None:
    """Say how an agreement differs from the offer that it should be about."""
    if agreement.get("target") != offer.get("target"):
        return f"the agreement is about {agreement.get('target')!r}, not about {offer.get('target')!r}"
    if rules(agreement) != rules(offer):
        return "the agreement has other conditions than the offer"
    return None


def negotiation(document: Document) -> Negotiation:
    """Read a negotiation."""
    state = str(document.get("state"))
    agreement = document.get("agreement") or {}
    return Negotiation(
        id=str(document["@id"]),
        state=NegotiationState(state) if state in NegotiationState.__members__ else NegotiationState.IN_PROGRESS,
        agreement_id=agreement.get("@id"),
        error="the counterparty, or somebody on our side, ended it; the connector keeps no reason"
        if state == "TERMINATED"
        else None,
    )


def transfer(document: Document) -> Transfer:
    """Read a transfer process."""
    state = str(document.get("state"))
    return Transfer(
        id=str(document["@id"]),
        state=TransferState(state) if state in TransferState.__members__ else TransferState.IN_PROGRESS,
        error="one of the sides ended it; the connector keeps no reason" if state == "TERMINATED" else None,
    )


def agreement(document: Document) -> Agreement:
    """Read an agreement, its policy in the words of ODRL."""
    return Agreement(
        id=str(document["@id"]),
        policy={
            "permission": [
                {
                    "action": "use",
                    "constraint": [_in_odrl(constraint) for constraint in listed(one.get("constraint"))],
                }
                for one in listed(document.get("permission"))
            ]
        },
        signed_at=datetime.fromisoformat(str(document["timestamp"])),
    )


def _in_odrl(constraint: Mapping[str, Any]) -> Document:
    operand, operator, right = _comparison(constraint)
    return {
        "leftOperand": next((iri for iri, own in OPERANDS.items() if own == operand), operand),
        "operator": next((word for word, own in OPERATORS.items() if own == operator), operator),
        "rightOperand": right,
    }


def newest_first(documents: Iterable[Document]) -> list[Document]:
    """Sort negotiations by the time of their agreements."""
    return sorted(documents, key=lambda one: str((one.get("agreement") or {}).get("timestamp")), reverse=True)
