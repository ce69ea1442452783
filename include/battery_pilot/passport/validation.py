"""Validating passport files: AAS, conformance to the mapping tables, plausibility."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from battery_pilot.errors import InputError, PassportError
from battery_pilot.passport.building import MAXIMUM_CAPACITY_RATIO
from battery_pilot.passport.lexical import FLOAT_TYPES, INTEGER_TYPES
from battery_pilot.passport.mapping import Part, Row, parent_path, parts, row_path
from battery_pilot.passport.reading import (
    MAXIMUM_BYTES,
    aasx_json,
    environment_faults,
    parse_json,
    to_passport,
    walk,
)
from battery_pilot.passport.submodels import MODEL_TYPES, UNIT, Json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from battery_pilot.passport.lexical import Value

_ZONE = re.compile(r"(Z|[+-]\d\d:\d\d)$")
_RATED_CAPACITY = "TechnicalData.TechnicalPropertyAreas.CapacityEnergyVoltage.RatedCapacity"
_REMAINING_CAPACITY = "ProductCondition.RemainingCapacity.RemainingCapacityValue"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a passport, or may be.

    :param path: where, as path of idShorts or, for faults of the AAS itself, as path into the environment.
    :param rule: short name of the rule.
    :param severity: ``error`` or ``warning``; an element that is missing is a warning, because data may be lacking or the
        file may be the view of a tier.
    :param message: what is wrong.
    """

    path: str
    rule: str
    severity: Literal["error", "warning"]
    message: str


def validate_file(path: Path) -> list[Finding]:
    """Validate a passport.

    :param path: a ``.json`` file with an AAS environment, or an ``.aasx`` package.
    :return: findings, errors first; none if all is well.
    :raises InputError: the file does not exist or is neither of the two.
    """
    try:
        environment = parse_json(_content(path))
        faults = environment_faults(environment)
        if faults:
            return [Finding(where, "aas", "error", message) for where, message in faults]
        values = to_passport(environment).values
    except PassportError as error:
        return [Finding("", "readable", "error", str(error))]
    findings = [finding for submodel in environment["submodels"] for finding in _conformance(submodel)]
    findings += _consistency(values)
    return sorted(findings, key=lambda finding: finding.severity)


def _content(path: Path) -> bytes:
    readers: dict[str, Callable[[Path], bytes]] = {".json": _json_file, ".aasx": aasx_json}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path}: a passport is a .json or an .aasx file")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return reader(path)


def _json_file(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAXIMUM_BYTES + 1)  # one more than is accepted, so that too much is noticed


def _conformance(submodel: Json) -> Iterator[Finding]:
    """Compare a submodel with the table of the part that its semantic id names."""
    semantic_id = _semantic_id(submodel)
    part = next((part for part in parts() if part.submodel.semantic_id == semantic_id), None)
    name = submodel.get("idShort") or submodel["id"]
    if part is None:
        known = next((part for part in parts() if part.submodel.id_short == name), None)
        if known:
            yield Finding(name, "semantic-id", "error", f"{semantic_id}, expected {known.submodel.semantic_id}")
        else:
            yield Finding(name, "unknown-part", "warning", f"no mapping table for {semantic_id}; not checked")
        return
    present = {part.submodel.path}
    for path, node in walk({**submodel, "idShort": part.submodel.id_short}):
        row = part.by_path.get(row_path(path))
        if row is None:
            yield Finding(path, "unknown-element", "warning", f"the template {part.version} has no such element")
            continue
        present.add(path)
        yield from _element(path, node, row)
    yield from _missing(part, present)


def _element(path: str, node: Json, row: Row) -> Iterator[Finding]:
    expected = MODEL_TYPES[row.kind]
    if node["modelType"] != expected:
        yield Finding(path, "kind", "error", f"{node['modelType']}, expected {expected}")
        return
    if _semantic_id(node) != row.semantic_id:
        yield Finding(path, "semantic-id", "error", f"{_semantic_id(node)}, expected {row.semantic_id}")
    if node.get("valueType", row.value_type) != row.value_type:
        yield Finding(path, "value-type", "error", f"{node['valueType']}, expected {row.value_type}")
        return
    for qualifier in node.get("qualifiers", []):
        if qualifier["type"] == UNIT and qualifier.get("value") != row.unit:
            yield Finding(path, "unit", "error", f"{qualifier.get('value')}, expected {row.unit or 'none'}")
    yield from _value(path, node, row)


def _value(path: str, node: Json, row: Row) -> Iterator[Finding]:
    text = node.get("value")
    if row.kind != "Property" or text is None:
        return
    if row.value_type == "xs:dateTime" and not _ZONE.search(text):
        yield Finding(path, "time-zone", "error", f"{text} has no time zone")
    if row.value_type in FLOAT_TYPES | INTEGER_TYPES:
        fault = row.fault(float(text))
        if fault:
            yield Finding(path, "plausible", "error", fault)


def _missing(part: Part, present: set[str]) -> Iterator[Finding]:
    """Yield the mandatory elements that are missing from containers that are there."""
    for row in part.rows[1:]:
        if row.cardinality not in {"One", "OneToMany"} or row.path.endswith("]"):
            continue
        for container in sorted(path for path in present if row_path(path) == parent_path(row.path)):
            path = f"{container}.{row.id_short}"
            if path not in present:
                yield Finding(path, "incomplete", "warning", f"mandatory in the template {part.version} and missing")


def _consistency(values: dict[str, Value]) -> Iterator[Finding]:
    """Compare values with each other."""
    remaining, rated = values.get(_REMAINING_CAPACITY), values.get(_RATED_CAPACITY)
    if isinstance(remaining, float) and isinstance(rated, float) and remaining > MAXIMUM_CAPACITY_RATIO * rated:
        message = f"{remaining:g} Ah is above {MAXIMUM_CAPACITY_RATIO:g} times the rated {rated:g} Ah"
        yield Finding(_REMAINING_CAPACITY, "plausible", "error", message)


def _semantic_id(node: Json) -> str | None:
    keys = node.get("semanticId", {}).get("keys")
    return keys[-1]["value"] if keys else None
