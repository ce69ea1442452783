"""The concept descriptions beside a passport: what they say of its elements, and what about them is wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from battery_pilot.passport.findings import Finding, warning
from battery_pilot.passport.parsing import objects_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.passport.parsing import Json

_IEC_61360 = "https://admin-shell.io/DataSpecificationTemplates/DataSpecificationIec61360/3"
_VERSION = re.compile(r"(?<=:)\d+(?:\.\d+)*(?=#)|(?<=#)\d{3}$")  # of a SAMM URN, of an IRDI
_SHOWN = 3


class Descriptions:
    """Concept descriptions by their ids.

    :param content: concept descriptions as AAS JSON, of any quality.
    """

    def __init__(self, content: Any) -> None:
        found = objects_of(content)
        self.by_id = {one["id"]: one for one in found if isinstance(one.get("id"), str)}
        self._by_plain_id = {_plain(identifier): identifier for identifier in self.by_id}

    def units(self, node: Json) -> Iterator[tuple[str, str]]:
        """Yield who states a unit for an element, and which: itself, or the concept description of its semantic id."""
        for unit in _units(node):
            yield "its data specification", unit
        for identifier in _last_keys(node.get("semanticId")):
            known = identifier if identifier in self.by_id else self._by_plain_id.get(_plain(identifier))
            for unit in _units(self.by_id[known]) if known else ():
                yield f"the concept description {known}", unit

    def faults(self, environment: Json, nodes: dict[str, list[tuple[str, Json]]]) -> Iterator[Finding]:
        """Yield what is wrong between elements and descriptions, one finding for each kind of fault and submodel.

        :param environment: the whole environment.
        :param nodes: for the name of each submodel, path and AAS JSON of itself and all its elements.
        """
        for name, inside in nodes.items():
            yield from self._resolution(name, inside)
        unused = self._unused([node for inside in nodes.values() for _, node in inside], environment)
        if unused:
            yield warning("", "concept", f"nothing refers to {len(unused)} concept descriptions: {_some(unused)}")
        former = {key for one in self.by_id.values() for key in _specifications(one) if key != _IEC_61360}
        if former:
            yield warning("", "data-specification", f"{_some(sorted(former))}, expected {_IEC_61360}")

    def _unused(self, nodes: list[Json], environment: Json) -> list[str]:
        """Return the ids that nothing refers to; most are met where they are expected, so the rest is only looked at last."""
        meanings = {
            key
            for node in nodes
            for one in (node, *objects_of(node.get("qualifiers")))
            for key in _last_keys(one.get("semanticId"))
        }
        unused = [identifier for identifier in self.by_id if identifier not in meanings]
        used = set(_keys_anywhere(environment)) if unused else set()
        return [identifier for identifier in unused if identifier not in used]

    def _resolution(self, name: str, nodes: list[tuple[str, Json]]) -> Iterator[Finding]:
        identifiers = [
            (path, identifier, reference)
            for path, node in nodes[1:]  # the part's own id is what everybody knows
            if isinstance(reference := node.get("semanticId"), dict)
            for identifier in _last_keys(reference)
        ]
        missing = [one for one in identifiers if one[1] not in self.by_id]
        versions = [one for one in missing if _plain(one[1]) in self._by_plain_id]
        if versions:
            first = versions[0][1]
            yield warning(
                name,
                "concept",
                f"{len(versions)} of {len(identifiers)} semantic ids are described here in another version only, such as "
                f"{first} as {self._by_plain_id[_plain(first)]}",
            )
        # A file that describes none of a part's ids leaves that to a dictionary; one that describes some is incomplete.
        undescribed = [one for one in missing if one not in versions]
        if undescribed and len(missing) < len(identifiers):
            yield warning(
                name,
                "concept",
                f"{len(undescribed)} of {len(identifiers)} semantic ids are not described here as the others are: "
                f"{_some([identifier for _, identifier, _ in undescribed])}",
            )
        for path, identifier, reference in undescribed:
            if reference.get("type") == "ModelReference":
                yield warning(path, "concept", f"refers to the concept description {identifier}, which is not here")


def _specifications(description: Json) -> Iterator[str]:
    for one in objects_of(description.get("embeddedDataSpecifications")):
        for key in _last_keys(one.get("dataSpecification")):
            if "iec61360" in key.lower():
                yield key


def _units(node: Json) -> list[str]:
    units = []
    for one in objects_of(node.get("embeddedDataSpecifications")):
        content = one.get("dataSpecificationContent")
        unit = content.get("unit") if isinstance(content, dict) else None
        if isinstance(unit, str) and unit.strip():
            units.append(unit)
    return units


def _keys_anywhere(node: Any) -> Iterator[str]:
    """Yield the values of all keys of all references: elements, lists of values and other concepts refer."""
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from _last_keys(one)
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def _last_keys(reference: Any) -> list[str]:
    keys = objects_of(reference.get("keys")) if isinstance(reference, dict) else []
    value = keys[-1].get("value") if keys else None
    return [value] if isinstance(value, str) else []


def _plain(identifier: str) -> str:
    return _VERSION.sub("", identifier)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
