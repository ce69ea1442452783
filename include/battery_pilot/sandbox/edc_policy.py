"""Policies of the connector sandbox: read from either API, compared, and written for either API.

Inside, a policy is ``{"permission": [rule], "prohibition": [rule], "obligation": [rule]}`` with full IRIs.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from battery_pilot.sandbox.jsonld import EDC, ODRL, compact_iri, compact_list, many, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from battery_pilot.sandbox.store import Document

RULES = ("permission", "prohibition", "obligation")
_LOGICAL = ("and", "or", "xone", "andSequence")
PARTIES: dict[str, dict[str, set[str]]] = {
    "consumer": {"roles": {"recycler"}, "purposes": {"recycling", "second-life"}}
}
"""The register of parties, which a connector with our extension has in its settings."""

_IN_FORCE = EDC + "inForceDate"
_ON_PARTIES = {ODRL + "recipient": "", EDC + "role": "roles", ODRL + "purpose": "purposes"}
_ELAPSED = re.compile(r"contractAgreement\+(\d+)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_XSD_TYPES = {bool: "xsd:boolean", int: "xsd:integer", float: "xsd:double"}


class PolicyError(ValueError):
    """A rule or constraint lacks a part that it needs."""


def read_policy(node: Any) -> Document:
    """Read a policy from an expanded document.

    Only ODRL's own IRIs count. A policy whose terms are not ODRL's in their context (the ODRL context or prefix was
    forgotten) therefore becomes an **empty** policy, which allows everything: that is what EDC does, and what a client
    has to notice by reading its policy back.

    :param node: the expanded policy.
    :raises PolicyError: when an ODRL rule has no action or a constraint is incomplete.
    """
    node = node if isinstance(node, dict) else {}
    return {kind: [_rule(rule) for rule in many(node.get(ODRL + kind))] for kind in RULES}


def _rule(node: Any) -> Document:
    action = _action(node.get(ODRL + "action")) if isinstance(node, dict) else None
    if action is None:
        raise PolicyError("mandatory value 'http://www.w3.org/ns/odrl/2/action' is missing")
    return {"action": action, "constraint": [_constraint(one) for one in many(node.get(ODRL + "constraint"))]}


def _action(node: Any) -> str | None:
    if isinstance(node, dict) and "@id" not in node:
        node = node.get(ODRL + "type")
    return text(node)


def _constraint(node: Any) -> Document:
    if not isinstance(node, dict):
        raise PolicyError("a constraint must be an object")
    for name in _LOGICAL:
        if ODRL + name in node:
            return {name: [_constraint(one) for one in many(_unwrapped(node[ODRL + name]))]}
    left, operator = text(node.get(ODRL + "leftOperand")), text(node.get(ODRL + "operator"))
    if left is None or operator is None:
        raise PolicyError("a constraint needs leftOperand and operator")
    # One value in an array and the value alone are the same in JSON-LD.
    right = node.get(ODRL + "rightOperand")
    right = right[0] if isinstance(right, list) and len(right) == 1 else right
    return {"leftOperand": left, "operator": operator.removeprefix(ODRL), "rightOperand": right}


def _unwrapped(node: Any) -> Any:
    return node["@list"] if isinstance(node, dict) and "@list" in node else node


def demand_bound(policy: Document) -> None:
    """Refuse operands that no function evaluates, as EDC does.

    :raises PolicyError: there is one.
    """
    for operand in (one["leftOperand"] for rule in policy["permission"] for one in _atoms(rule["constraint"])):
        if operand not in _ON_PARTIES and operand != _IN_FORCE:
            raise PolicyError(f"leftOperand '{operand}' is not bound to any scopes")


def permits(policy: Document, participant: str) -> bool:
    """Tell whether a participant may see and agree to an offer: what its policy says of parties."""
    return _all_hold(policy, lambda constraint: _on_party(constraint, participant))


def in_force(policy: Document, agreed: datetime, now: datetime) -> bool:
    """Tell whether an agreement's limits in time are kept.

    :param agreed: when it was agreed.
    :param now: the moment in question.
    """
    return _all_hold(policy, lambda constraint: _on_time(constraint, agreed, now))


def _atoms(constraints: list[Document]) -> Iterator[Document]:
    for constraint in constraints:
        inner = [one for name in _LOGICAL for one in constraint.get(name, [])]
        yield from _atoms(inner) if inner else [constraint]


def _all_hold(policy: Document, holds: Callable[[Document], bool]) -> bool:
    def decide(constraint: Document) -> bool:
        for name in _LOGICAL:
            if name in constraint:
                outcomes = [decide(one) for one in constraint[name]]
                return {"or": any(outcomes), "xone": sum(outcomes) == 1}.get(name, all(outcomes))
        return holds(constraint)

    return all(decide(one) for rule in policy["permission"] for one in rule["constraint"])


def _on_party(constraint: Document, participant: str) -> bool:
    kind = _ON_PARTIES.get(constraint["leftOperand"])
    if kind is None:
        return True
    facts = PARTIES.get(participant, {}).get(kind, set()) if kind else {participant}
    right = str(constraint["rightOperand"])
    values = set(right.split(",")) if constraint["operator"] == "isAnyOf" else {right}
    return constraint["operator"] in ("eq", "isAnyOf") and bool(facts & values)


def _on_time(constraint: Document, agreed: datetime, now: datetime) -> bool:
    if constraint["leftOperand"] != _IN_FORCE:
        return True
    right = _moment(str(constraint["rightOperand"]), agreed)
    relations = {"lt": now < right, "lteq": now <= right, "gt": now > right, "gteq": now >= right, "eq": now == right}
    return relations.get(constraint["operator"], False)


def _moment(text: str, agreed: datetime) -> datetime:
    found = _ELAPSED.fullmatch(text)
    if found:
        return agreed + timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
    return datetime.fromisoformat(text)


def write_for_management(policy: Document, kind: str, **parties: str) -> Document:
    """Write a policy as the management API v3 shows it: prefixed, single values bare.

    :param policy: in the inner form.
    :param kind: ``Set``, ``Offer`` or ``Agreement``.
    :param parties: ``id``, ``target``, ``assigner``, ``assignee`` as known.
    """
    node: Document = {"@id": parties["id"]} if "id" in parties else {}
    node["@type"] = f"odrl:{kind}"
    for rule_kind in RULES:
        node[f"odrl:{rule_kind}"] = compact_list([_managed_rule(rule) for rule in policy[rule_kind]])
    for party in ("assigner", "assignee", "target"):
        if party in parties:
            node[f"odrl:{party}"] = {"@id": parties[party]}
    return node


def _managed_rule(rule: Document) -> Document:
    node: Document = {"odrl:action": {"@id": compact_iri(rule["action"])}}
    if rule["constraint"]:
        node["odrl:constraint"] = compact_list([_managed_constraint(one) for one in rule["constraint"]])
    return node


def _managed_constraint(constraint: Document) -> Document:
    for name in _LOGICAL:
        if name in constraint:
            return {f"odrl:{name}": compact_list([_managed_constraint(one) for one in constraint[name]])}
    return {
        "odrl:leftOperand": {"@id": compact_iri(constraint["leftOperand"])},
        "odrl:operator": {"@id": f"odrl:{constraint['operator']}"},
        "odrl:rightOperand": constraint["rightOperand"],
    }


def write_for_protocol(policy: Document, kind: str, **parties: str) -> Document:
    """Write a policy as a message of the Dataspace Protocol carries it: bare terms, always arrays.

    An empty policy cannot be written validly, because the protocol demands a permission or prohibition; it is written
    without rules, as its connector means it.

    :param policy: in the inner form.
    :param kind: ``Offer`` or ``Agreement``.
    :param parties: as in :func:`write_for_management`, and ``timestamp`` of an agreement.
    """
    rules = {kind_: [_protocol_rule(rule) for rule in policy[kind_]] for kind_ in RULES if policy[kind_]}
    named: Mapping[str, str] = {name: value for name, value in parties.items() if name != "id"}
    return {"@id": parties["id"], "@type": kind, **named, **rules}


def _protocol_rule(rule: Document) -> Document:
    node: Document = {"action": rule["action"].removeprefix(ODRL)}
    if rule["constraint"]:
        node["constraint"] = [_protocol_constraint(one) for one in rule["constraint"]]
    return node


def _protocol_constraint(constraint: Document) -> Document:
    for name in _LOGICAL:
        if name in constraint:
            return {name: [_protocol_constraint(one) for one in constraint[name]]}
    right = constraint["rightOperand"]
    if type(right) in _XSD_TYPES:
        # The protocol's schema knows strings, objects and arrays here, but no bare numbers.
        right = {"@value": right, "@type": _XSD_TYPES[type(right)]}
    return {
        "leftOperand": constraint["leftOperand"].removeprefix(ODRL),
        "operator": constraint["operator"],
        "rightOperand": right,
    }
