"""The documents of EDC's management API v3: what an offer becomes, and what a stored policy really says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.services.connectors.jsonld import listed, local_name, term, text, text_of
from battery_pilot.services.connectors.model import CatalogueEntry, Constraint, Counterparty, Offer

if TYPE_CHECKING:
    from collections.abc import Mapping

EDC = "https://w3id.org/edc/v0.0.1/ns/"
ODRL = "http://www.w3.org/ns/odrl/2/"
CONTEXT = {"@vocab": EDC}
CONTEXT_WITH_ODRL = {"@vocab": EDC, "odrl": ODRL}
ODRL_CONTEXT = "http://www.w3.org/ns/odrl.jsonld"
ACTION = "use"

Document = dict[str, Any]
Rule = tuple[str, frozenset[tuple[str | None, ...]]]
Rules = tuple[frozenset[Rule], frozenset[Rule], frozenset[Rule]]


def policy_id(asset_id: str) -> str:
    """Return the id of an offer's policy."""
    return f"{asset_id}:policy"


def contract_definition_id(asset_id: str) -> str:
    """Return the id of an offer's contract definition."""
    return f"{asset_id}:contract"


def asset(offer: Offer) -> Document:
    """Write the asset. The path is not proxied: a consumer gets this one file and cannot walk to its neighbours."""
    return {
        "@context": CONTEXT,
        "@id": offer.asset_id,
        "properties": {
            **offer.properties,
            "name": offer.title,
            "contenttype": offer.content_type,
            "tier": offer.tier.value,
        },
        "dataAddress": {"type": "HttpData", "name": offer.title, "baseUrl": offer.data_url, "proxyPath": "false"},
    }


def policy_definition(offer: Offer) -> Document:
    """Write the policy: one permission to use, under all of the offer's constraints."""
    permission: Document = {"action": ACTION}
    if offer.constraints:
        permission["constraint"] = [_constraint(constraint) for constraint in offer.constraints]
    return {
        "@context": CONTEXT_WITH_ODRL,
        "@id": policy_id(offer.asset_id),
        "policy": {
            "@context": ODRL_CONTEXT,
            "@type": "Set",
            "permission": [permission],
            "prohibition": [],
            "obligation": [],
        },
    }


def contract_definition(offer: Offer) -> Document:
    """Write the contract definition that puts exactly this asset into the catalogue."""
    return {
        "@context": CONTEXT,
        "@id": contract_definition_id(offer.asset_id),
        "accessPolicyId": policy_id(offer.asset_id),
        "contractPolicyId": policy_id(offer.asset_id),
        "assetsSelector": [criterion(f"{EDC}id", offer.asset_id)],
    }


def criterion(left: str, right: str) -> Document:
    """Write "left is right" for a query or a selector."""
    return {"@type": "Criterion", "operandLeft": left, "operator": "=", "operandRight": right}


def contract_request(entry: CatalogueEntry, protocol: str) -> Document:
    """Write the request for an agreement, which repeats the offer and adds only who offers what.

    :param entry: the catalogue entry, with its policy as it came.
    :param protocol: name of the data-space protocol.
    """
    prefix = "odrl:" if any(key.startswith("odrl:") for key in entry.offer) else ""
    policy = dict(entry.offer)
    policy.setdefault(f"{prefix}assigner", {"@id": entry.counterparty.participant_id})
    policy.setdefault(f"{prefix}target", {"@id": entry.asset_id})
    return {
        "@context": CONTEXT_WITH_ODRL,
        "@type": "ContractRequest",
        "counterPartyId": entry.counterparty.participant_id,
        "counterPartyAddress": entry.counterparty.protocol_url,
        "protocol": protocol,
        "policy": policy,
    }


def catalogue_entry(catalogue: Document, dataset: Document, counterparty: Counterparty) -> CatalogueEntry | None:
    """Read a dataset of a catalogue, taking its first offer; ``None`` when it has none."""
    policies = listed(term(dataset, "hasPolicy"))
    if not policies:
        return None
    asset_id = str(dataset["@id"])
    return CatalogueEntry(
        asset_id=asset_id,
        title=text_of(dataset, "name") or asset_id,
        properties=_properties(dataset),
        # The policy's prefixes mean what the catalogue's context says, so the two stay together.
        offer={"@context": catalogue.get("@context", CONTEXT_WITH_ODRL), **policies[0]},
        counterparty=counterparty,
    )


def rules(policy: Mapping[str, Any]) -> Rules:
    """Reduce a policy to what it permits, prohibits and obliges, so that two spellings of one policy are equal."""
    return _rules(policy, "permission"), _rules(policy, "prohibition"), _rules(policy, "obligation")


def _rules(policy: Mapping[str, Any], kind: str) -> frozenset[Rule]:
    return frozenset(
        (
            local_name(text_of(rule, "action") or text_of(term(rule, "action") or {}, "type") or ""),
            frozenset(_comparison(constraint) for constraint in listed(term(rule, "constraint"))),
        )
        for rule in listed(term(policy, kind))
    )


def _comparison(constraint: Mapping[str, Any]) -> tuple[str | None, ...]:
    left, operator = text_of(constraint, "leftOperand"), text_of(constraint, "operator")
    return local_name(left or ""), local_name(operator or ""), text_of(constraint, "rightOperand")


def _constraint(constraint: Constraint) -> Document:
    return {
        "leftOperand": constraint.left_operand,
        "operator": constraint.operator,
        "rightOperand": constraint.right_operand,
    }


def _properties(dataset: Document) -> dict[str, str]:
    found = {
        local_name(key): text(value) for key, value in dataset.items() if not key.startswith(("@", "dcat:", "odrl:"))
    }
    return {name: value for name, value in found.items() if value is not None}
