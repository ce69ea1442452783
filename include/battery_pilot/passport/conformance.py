"""Comparing submodels with the mapping tables, which say what the templates demand.

The JSON may be anything that parses: faults of the metamodel are reported elsewhere and must not hide what is found here.
"""

from __future__ import annotations

import csv
import io
import math
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from battery_pilot.passport.findings import Finding, error, warning
from battery_pilot.passport.lexical import FLOAT_TYPES, INTEGER_TYPES
from battery_pilot.passport.mapping import Part, Row, part_of, parts
from battery_pilot.passport.parsing import objects_of
from battery_pilot.passport.submodels import MODEL_TYPES, UNIT
from battery_pilot.passport.units import same_unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.passport.described import Descriptions
    from battery_pilot.passport.parsing import Json

_ZONE = re.compile(r"(Z|[+-]\d\d:\d\d)$")
_COUNTED = re.compile(r"(?:__)?\d+(?:__)?$|\{\d+\}$")  # how templates number what may stand several times
_VERSION = re.compile(r"(?<=:)(\d+)(?:\.\d+)*(?=#|$)|(?<=#)(\d{3})(?=/|$)")  # of a SAMM URN, of an ECLASS IRDI
_AT_LEAST_ONE = frozenset({"One", "OneToMany"})
_AT_MOST_ONE = frozenset({"One", "ZeroToOne"})


def conformance(submodels: list[Json], descriptions: Descriptions, category: str | None) -> Iterator[Finding]:
    """Yield what deviates from the tables.

    :param submodels: as AAS JSON, of any quality.
    :param descriptions: the concept descriptions beside them.
    :param category: the battery's category, which decides what is mandatory; ``None`` if it is not known.
    """
    seen: dict[str, str] = {}
    for submodel in submodels:
        name = name_of(submodel)
        part, findings = _part(submodel, name)
        yield from findings
        if part is None:
            continue
        if part.segment in seen:
            yield error(name, "cardinality", f"a passport has this part once; {seen[part.segment]} is it as well")
        seen.setdefault(part.segment, name)
        if name != part.submodel.id_short:
            yield warning(name, "id-short", f"the part with this semantic id is called {part.submodel.id_short}")
        if submodel.get("kind") == "Template":
            yield error(name, "template", "kind is Template: this is the pattern of a part, not a part of a passport")
        check = _Check(part, descriptions, category, is_template=submodel.get("kind") == "Template")
        yield from check.container(name, submodel, part.submodel)


def name_of(submodel: Json) -> str:
    """Return what a submodel is called in paths: its idShort, or else its id."""
    return str(submodel.get("idShort") or submodel.get("id") or "submodel")


def semantic_id(node: Json) -> str | None:
    """Return the last key of a node's semantic id."""
    return _last_key(node.get("semanticId"))


def children_of(node: Json) -> list[Json]:
    """Return the elements inside a node, as far as they are any."""
    return objects_of(node.get("submodelElements" if node.get("modelType") == "Submodel" else "value"))


def _part(submodel: Json, name: str) -> tuple[Part | None, list[Finding]]:
    """Find the part that a submodel is by its semantic id, or else by its name."""
    found = semantic_id(submodel)
    for part in parts():
        if found == part.submodel.semantic_id:
            return part, []
    for part in parts():
        expected = part.submodel.semantic_id
        if found and _without_version(found) == _without_version(expected):
            return part, [warning(name, "semantic-id", f"{found} is another version of {expected}")]
    if any(part.submodel.id_short == name for part in parts()):
        expected = next(part.submodel.semantic_id for part in parts() if part.submodel.id_short == name)
        return None, [error(name, "semantic-id", f"{found}, expected {expected}; the part was not compared")]
    return None, [warning(name, "unknown-part", f"no mapping table for {found}; not checked")]


class _Check:
    """The comparison of one submodel with its part."""

    def __init__(
        self, part: Part, descriptions: Descriptions, category: str | None, *, is_template: bool = False
    ) -> None:
        self.part = part
        self.is_template = is_template
        self.descriptions = descriptions
        self.category = category

    def container(self, path: str, node: Json, row: Row) -> Iterator[Finding]:
        """Compare what stands in a submodel, a collection or a list."""
        if row.kind == "SML":
            yield from self._members(path, node, row)
            return
        rows, by_name = self.part.children.get(row.path, ()), _by_name(row.path)
        matched: dict[str, list[str]] = {}
        children = children_of(node)
        for child in children:
            place = f"{path}.{child.get('idShort', '?')}"
            own = by_name.get(str(child.get("idShort"))) or _matching(child, rows)
            if own is None:
                yield warning(place, "unknown-element", f"the template {self.part.version} has no such element here")
                continue
            matched.setdefault(own.path, []).append(place)
            yield from self._name(place, child, own)
            yield from self._element(place, child, own)
        if not children and self.is_template:
            return  # filled from another template, which the pattern only names
        for own in rows:
            yield from self._count(f"{path}.{own.id_short}", own, len(matched.get(own.path, [])))

    def _members(self, path: str, node: Json, row: Row) -> Iterator[Finding]:
        (member,) = self.part.children[row.path]
        expected = {
            "typeValueListElement": MODEL_TYPES[member.kind],
            "valueTypeListElement": member.value_type or None,
        }
        for name, value in expected.items():
            if node.get(name) != value:
                yield error(path, "list", f"{name} is {node.get(name)}, expected {value or 'none'}")
        count = 0
        for count, child in enumerate(children_of(node), start=1):
            place = f"{path}[{count - 1}]"
            if child.get("idShort"):
                yield error(
                    place, "list", f"a member of a list has no idShort (AASd-120), this one {child['idShort']}"
                )
            yield from self._element(place, child, member)
        yield from self._count(f"{path}[]", member, count)

    def _count(self, path: str, row: Row, count: int) -> Iterator[Finding]:
        template = f"the template {self.part.version}"
        if not count and row.cardinality in _AT_LEAST_ONE:
            yield warning(path, "incomplete", f"mandatory in {template} ({row.cardinality}) and missing")
        elif not count and self.category in row.required_for:
            yield warning(path, "incomplete", f"mandatory for batteries of the category {self.category} and missing")
        elif count > 1 and row.cardinality in _AT_MOST_ONE:
            yield error(path, "cardinality", f"stands {count} times, {template} allows it once ({row.cardinality})")

    def _name(self, path: str, node: Json, row: Row) -> Iterator[Finding]:
        name = str(node.get("idShort"))
        if name != row.id_short and not (_may_repeat(row) and _COUNTED.sub("", name) == row.id_short):
            yield warning(path, "id-short", f"what has this semantic id is called {row.id_short} in the template")

    def _element(self, path: str, node: Json, row: Row) -> Iterator[Finding]:
        expected = MODEL_TYPES[row.kind]
        if node.get("modelType") != expected:
            yield error(path, "kind", f"{node.get('modelType')}, expected {expected}")
            return
        yield from _meaning(path, node, row)
        if row.kind == "Property" and node.get("valueType") not in (row.value_type, _published(row, "value_type")):
            yield error(path, "value-type", f"{node.get('valueType')}, expected {row.value_type}{_note(row)}")
            return
        yield from self._unit(path, node, row)
        if row.is_container:
            yield from self.container(path, node, row)
        elif not node.get("value") and not self.is_template and row.is_mandatory(self.category or ""):
            yield warning(path, "incomplete", f"mandatory in the template {self.part.version} and without a value")
        elif row.kind == "Property":
            yield from _value(path, node, row)

    def _unit(self, path: str, node: Json, row: Row) -> Iterator[Finding]:
        for qualifier in objects_of(node.get("qualifiers")):
            if qualifier.get("type") == UNIT and qualifier.get("value") != row.unit:
                yield error(path, "unit", f"{qualifier.get('value')}, expected {row.unit or 'none'}{_note(row)}")
                return
        if row.kind != "Property":
            return
        stated = list(self.descriptions.units(node))
        if row.unit and node.get("value") and not self.is_template and not stated and not _has_unit(node):
            yield warning(path, "unit", f"a number that states no unit; the template's is {row.unit}")
        for source, unit in stated:
            if not same_unit(unit, row.unit):
                message = f"{source} states {unit}, expected {row.unit or 'none'}"
                yield _deviation(path, "unit", message, row, same_unit(unit, _published(row, "unit") or "?"))
                return


def _has_unit(node: Json) -> bool:
    return any(qualifier.get("type") == UNIT for qualifier in objects_of(node.get("qualifiers")))


@cache
def _by_name(path: str) -> dict[str | None, Row]:
    """Return the rows directly below a path of a table by their idShorts."""
    return {row.id_short: row for row in part_of(path.partition(".")[0]).children.get(path, ())}


def _matching(node: Json, rows: tuple[Row, ...]) -> Row | None:
    """Find the row of a node that is not called as its row is: by its name without a number, or by its semantic id."""
    name = str(node.get("idShort"))
    for row in rows:
        if _may_repeat(row) and _COUNTED.sub("", name) == row.id_short:
            return row
    found = [row for row in rows if row.semantic_id == semantic_id(node)]
    return found[0] if len(found) == 1 else None


def _may_repeat(row: Row) -> bool:
    return row.cardinality not in _AT_MOST_ONE


def _meaning(path: str, node: Json, row: Row) -> Iterator[Finding]:
    found, expected = semantic_id(node), row.semantic_id
    if found == expected:
        return
    if found is None:
        yield error(path, "semantic-id", f"none, expected {expected}")
    elif _without_version(found) == _without_version(expected):
        yield warning(path, "semantic-id", f"{found} is another version of {expected}")
    elif expected in _supplemental(node) or found in row.supplemental_semantic_ids:
        yield warning(path, "semantic-id", f"{found} stands first, the template has {expected} there")
    else:
        is_published = found == _published(row, "semantic_id")
        yield _deviation(path, "semantic-id", f"{found}, expected {expected}", row, is_published)


def _deviation(path: str, rule: str, message: str, row: Row, is_published: bool) -> Finding:
    """Return an error; a warning where the published template itself errs, and who follows it has no choice."""
    if is_published:
        return warning(path, rule, f"{message}; so the published template has it{_note(row)}")
    return error(path, rule, message + _note(row))


def _published(row: Row, attribute: str) -> str | None:
    return published().get((row.path, attribute))


@cache
def published() -> dict[tuple[str, str], str]:
    """Return what the published templates have where the tables have something better.

    :return: path of the row and attribute (value_type, semantic_id, unit) to the published value.
    """
    text = (files("battery_pilot.passport") / "tables" / "published.csv").read_text(encoding="utf-8")
    return {(row["path"], row["attribute"]): row["published"] for row in csv.DictReader(io.StringIO(text))}


def _value(path: str, node: Json, row: Row) -> Iterator[Finding]:
    text = node.get("value")
    if not isinstance(text, str):
        return
    if row.value_type == "xs:dateTime" and not _ZONE.search(text):
        yield error(path, "time-zone", f"{text} has no time zone")
    if row.value_type in FLOAT_TYPES | INTEGER_TYPES:
        number = _number(text)
        if number is None:
            return  # a fault of the metamodel
        if not math.isfinite(number):
            yield error(path, "plausible", f"{text} is no finite number; leave an unknown value out")
        elif fault := row.fault(number):
            yield error(path, "plausible", fault)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _supplemental(node: Json) -> list[str | None]:
    return [_last_key(reference) for reference in objects_of(node.get("supplementalSemanticIds"))]


def _last_key(reference: Any) -> str | None:
    keys = objects_of(reference.get("keys")) if isinstance(reference, dict) else []
    value = keys[-1].get("value") if keys else None
    return value if isinstance(value, str) else None


def _without_version(identifier: str) -> str:
    """Leave out what may differ between versions that understand each other: of a SAMM URN all but the first number."""
    return _VERSION.sub(lambda match: match[1] or "", identifier)


def _note(row: Row) -> str:
    return f" (note of the table: {row.note})" if row.note else ""
