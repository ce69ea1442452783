"""The documents of EDC's management API: what an offer becomes, and what a stored policy really says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.services.connectors.edc_profiles import CONTEXT_WITH_ODRL, EDC, ODRL, V3, Profile
from battery_pilot.services.connectors.inbox import Way
from battery_pilot.services.connectors.jsonld import listed, local_name, term, text, text_of
from battery_pilot.services.connectors.model import CatalogueEntry, Constraint, Counterparty, Offer
from battery_pilot.services.connectors.policies import DATE_TIME, ELAPSED_TIME

if TYPE_CHECKING:
    from collections.abc import Mapping

ACTION = "use"
KEY_HEADER = "x-api-key"
IN_FORCE_DATE = f"{EDC}inForceDate"
ELAPSED = re.compile(r"P(?:(?P<days>[1-9]\d{0,5})D|T(?P<hours>[1-9]\d{0,5})H)")

Document = dict[str, Any]
Rule = tuple[str, frozenset[tuple[str | None, ...]]]
Rules = tuple[frozenset[Rule], frozenset[Rule], frozenset[Rule]]


def policy_id(asset_id: str) -> str:
    """Return the id of an offer's policy."""
    return f"{asset_id}:policy"


def contract_definition_id(asset_id: str) -> str:
    """Return the id of an offer's contract definition."""
    return f"{asset_id}:contract"


def asset(offer: Offer, profile: Profile = V3, key: str | None = None) -> Document:
    """Write the asset. Only a folder's path is proxied: of a file, a consumer cannot walk to its neighbours.

    :param key: what the data plane must show where it gets the file.
    """
    authentication = {"authKey": KEY_HEADER, "authCode": key} if key else {}
    return {
        "@context": profile.context,
        "@type": "Asset",
        "@id": offer.asset_id,
        "properties": {
            **offer.properties,
            "name": offer.title,
            "contenttype": offer.content_type,
            "tier": offer.tier.value,
        },
        "dataAddress": {
            "@type": "DataAddress",
            "type": "HttpData",
            "name": offer.title,
            "baseUrl": offer.data_url,
            "proxyPath": str(offer.is_folder).lower(),
            **authentication,
        },
    }


def policy_definition(offer: Offer, profile: Profile = V3) -> Document:
    """Write the policy: one permission to use, under all of the offer's constraints."""
    permission: Document = {"action": ACTION}
    if offer.constraints:
        permission["constraint"] = [_constraint(constraint) for constraint in offer.constraints]
    return {
        "@context": profile.policy_context,
        "@type": "PolicyDefinition",
        "@id": policy_id(offer.asset_id),
        "policy": {
            **({"@context": profile.inner_context} if profile.inner_context else {}),
            "@type": "Set",
            "permission": [permission],
            "prohibition": [],
            "obligation": [],
        },
    }


def contract_definition(offer: Offer, profile: Profile = V3) -> Document:
    """Write the contract definition that puts exactly this asset into the catalogue."""
    return {
        "@context": profile.context,
        "@type": "ContractDefinition",
        "@id": contract_definition_id(offer.asset_id),
        "accessPolicyId": policy_id(offer.asset_id),
        "contractPolicyId": policy_id(offer.asset_id),
        "assetsSelector": [criterion(f"{EDC}id", offer.asset_id)],
    }


def criterion(left: str, right: str) -> Document:
    """Write "left is right" for a query or a selector."""
    return {"@type": "Criterion", "operandLeft": left, "operator": "=", "operandRight": right}


def contract_request(entry: CatalogueEntry, protocol: str, profile: Profile = V3) -> Document:
    """Write the request for an agreement, which repeats the offer and adds only who offers what.

    :param entry: the catalogue entry, with its policy as it came.
    :param protocol: name of the data-space protocol.
    """
    policy = _repeated(entry) if profile.is_verbatim else _repeated_in_full(entry)
    return {
        "@context": profile.policy_context,
        "@type": "ContractRequest",
        "counterPartyId": entry.counterparty.participant_id,
        "counterPartyAddress": entry.counterparty.protocol_url,
        "protocol": protocol,
        "policy": policy,
    }


def _repeated(entry: CatalogueEntry) -> Document:
    policy = {key: value for key, value in entry.offer.items() if key != "@context"}
    parties = {"assigner": entry.counterparty.participant_id, "target": entry.asset_id}
    return {**parties, **policy, "@type": "Offer"}


def _repeated_in_full(entry: CatalogueEntry) -> Document:
    policy: Document = spelt_out({key: value for key, value in entry.offer.items() if key != "@context"})
    if isinstance(context := entry.offer.get("@context"), dict):
        policy["@context"] = context
    policy["@type"] = "odrl:Offer"
    policy.setdefault("odrl:assigner", {"@id": entry.counterparty.participant_id})
    policy.setdefault("odrl:target", {"@id": entry.asset_id})
    return policy


def delivery(way: Way, url: str) -> Document:
    """Return the part of a transfer request that says where to deliver.

    :param way: a pushed file, or the address to pull from.
    :param url: where the receiver expects it.
    """
    if way is Way.CONTENT:
        return {"dataDestination": {"@type": "DataAddress", "type": "HttpData", "baseUrl": url}}
    events = ["transfer.process.started"]
    return {"callbackAddresses": [{"@type": "CallbackAddress", "uri": url, "events": events, "transactional": False}]}


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


def spelt_out(node: Any, key: str = "") -> Any:
    """Write a policy of a catalogue so that it means the same in any document.

    Releases that speak DSP 2025-1 write a catalogue's policy without prefixes, in terms that their context gives a meaning
    inside a catalogue only; the management API then finds neither a type nor a rule. Only names get longer here: rules,
    operands and values stay as they are.

    :param node: a policy or a part of it.
    :param key: the term whose value it is.
    """
    if isinstance(node, list):
        return [spelt_out(one, key) for one in node]
    if isinstance(node, dict):
        return {_spelt_key(name): spelt_out(value, local_name(name)) for name, value in node.items()}
    if isinstance(node, str) and key in _NAMING:
        return {"@id": node if ":" in node else _NAMING[key] + node}
    return node


_NAMING = {"action": ODRL, "operator": ODRL, "leftOperand": EDC, "assigner": "", "assignee": "", "target": ""}
"""Terms whose value names something, and whose name it is where no prefix says so."""


def _spelt_key(name: str) -> str:
    return name if name.startswith("@") or ":" in name else f"odrl:{name}"


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
    """Write a constraint; both ODRL operands of time are EDC's ``inForceDate``, which it checks at every transfer."""
    left, right = constraint.left_operand, constraint.right_operand
    if left == ELAPSED_TIME:
        found = ELAPSED.fullmatch(right)
        if not found:
            raise InputError(
                f"policy: {right!r} is no elapsed time: use whole days such as P30D, or hours such as PT12H"
            )
        left, right = (
            IN_FORCE_DATE,
            f"contractAgreement+{found['days'] or found['hours']}{'d' if found['days'] else 'h'}",
        )
    elif left == DATE_TIME:
        left = IN_FORCE_DATE
    return {"leftOperand": left, "operator": constraint.operator, "rightOperand": right}


_PARTS_OF_A_DATASET = {"hasPolicy", "distribution"}


def _properties(dataset: Document) -> dict[str, str]:
    found = {
        local_name(key): text(value)
        for key, value in dataset.items()
        if not key.startswith(("@", "dcat:", "odrl:")) and key not in _PARTS_OF_A_DATASET
    }
    return {name: value for name, value in found.items() if value is not None}
