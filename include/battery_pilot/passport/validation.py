"""Validating passport files: reading, metamodel, conformance to the mapping tables, contradictions between values."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError, PassportError
from battery_pilot.passport.conformance import children_of, conformance, name_of, semantic_id
from battery_pilot.passport.consistency import contradictions
from battery_pilot.passport.described import Descriptions
from battery_pilot.passport.findings import Finding, error, warning
from battery_pilot.passport.mapping import OWN_IDS, parts
from battery_pilot.passport.metamodel import MAXIMUM_FAULTS, environment_faults
from battery_pilot.passport.packages import content_facts
from battery_pilot.passport.parsing import objects_of
from battery_pilot.passport.reading import ReadEnvironment, node_values, read_environment
from battery_pilot.passport.submodels import BYTE_COUNT, SHA256

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from battery_pilot.passport.lexical import Value
    from battery_pilot.passport.parsing import Json

__all__ = ["Finding", "validate", "validate_file"]

_SUFFIXES = (".json", ".aasx", ".xml")
_CATEGORY = "TechnicalData.GeneralInformation.BatteryCategory"


def validate_file(path: Path, *, category: str | None = None) -> list[Finding]:
    """Validate a passport.

    :param path: a ``.json`` or ``.xml`` file with an AAS environment, or an ``.aasx`` package.
    :param category: the battery's category (ev, lmt, industrial, stationary), which decides what is mandatory; without
        it, the one that the passport states.
    :return: all findings, errors first; none if all is well.
    :raises InputError: the file does not exist or is none of these.
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise InputError(f"{path}: a passport is a .json, an .xml or an .aasx file")
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        read = read_environment(path)
    except PassportError as fault:
        return [error("", "readable", str(fault))]
    return validate(read, category=category, package=path)


def validate(read: ReadEnvironment, *, category: str | None = None, package: Path | None = None) -> list[Finding]:
    """Validate an environment that was read; see :func:`validate_file`.

    :param package: where it was read from; the files in a package are compared with what the passport says of them.
    """
    environment = read.content
    findings = [warning("", "form", fix) for fix in read.fixes]
    findings += [error(path, "aas", message) for path, message in environment_faults(environment)]
    submodels = objects_of(environment.get("submodels"))
    by_submodel: dict[str, list[tuple[str, Json]]] = {}
    for submodel in submodels:
        by_submodel.setdefault(name_of(submodel), []).extend(every_node(name_of(submodel), submodel))
    nodes = [pair for inside in by_submodel.values() for pair in inside]
    values, faults = readable_values(nodes)
    findings += faults
    descriptions = Descriptions(environment.get("conceptDescriptions"))
    stated = category or _stated_category(values)
    findings += islice(conformance(submodels, descriptions, stated), MAXIMUM_FAULTS)
    findings += islice(descriptions.faults(environment, by_submodel), MAXIMUM_FAULTS)
    findings += islice(contradictions(values), MAXIMUM_FAULTS)
    findings += _identity(environment, values)
    findings += islice(_files(nodes, read.files), MAXIMUM_FAULTS)
    if read.files is not None and package is not None:
        findings += islice(_contents(nodes, read.files, package), MAXIMUM_FAULTS)
    return sorted(dict.fromkeys(findings), key=lambda finding: finding.severity)


def every_node(path: str, node: Json) -> Iterator[tuple[str, Json]]:
    """Yield path and JSON of a submodel and all its elements, whatever they are like.

    :param path: name of the submodel.
    :param node: the submodel as AAS JSON, not verified.
    """
    waiting = [(path, node)]
    while waiting:
        place, one = waiting.pop()
        yield place, one
        is_list = one.get("modelType") == "SubmodelElementList"
        inside = [
            (f"{place}[{index}]" if is_list else f"{place}.{child.get('idShort', '?')}", child)
            for index, child in enumerate(children_of(one))
        ]
        waiting += reversed(inside)


def readable_values(nodes: Iterable[tuple[str, Json]]) -> tuple[dict[str, Value], list[Finding]]:
    """Return the values that can be read, by path, and the paths that stand twice.

    What cannot be read is a fault of the metamodel, which :func:`battery_pilot.passport.metamodel.environment_faults` finds.

    :param nodes: path and JSON of elements.
    """
    values: dict[str, Value] = {}
    faults: list[Finding] = []
    for path, node in nodes:
        try:
            found = dict(node_values(path, node))
        except (PassportError, KeyError, TypeError, AttributeError, ValueError):
            continue
        for name in found.keys() & values.keys():
            faults.append(error(name, "cardinality", "two elements have this path"))
        values.update(found)
    return values, faults


def _stated_category(values: dict[str, Value]) -> str | None:
    stated = values.get(_CATEGORY)
    return stated if isinstance(stated, str) else None


def _identity(environment: Json, values: dict[str, Value]) -> Iterator[Finding]:
    """Compare the shell with the submodels, and what both say of the battery's identity."""
    shells = objects_of(environment.get("assetAdministrationShells"))
    if len(shells) != 1:
        yield error("", "shell", f"{len(shells)} shells; a passport has exactly one")
        return
    (shell,) = shells
    stated = shell.get("assetInformation")
    asset: Json = stated if isinstance(stated, dict) else {}
    uri = values.get("BatteryNameplate.URIOfTheProduct")
    if uri and asset.get("globalAssetId") and uri != asset["globalAssetId"]:
        yield warning(
            "BatteryNameplate.URIOfTheProduct",
            "contradiction",
            f"{uri}, but the shell is of {asset['globalAssetId']}",
        )
    serial = values.get("BatteryNameplate.SerialNumber")
    for one in objects_of(asset.get("specificAssetIds")):
        if one.get("name") == "serialNumber" and serial and one.get("value") != serial:
            yield error(
                "BatteryNameplate.SerialNumber",
                "contradiction",
                f"{serial!r}, but the shell has {one.get('value')!r}",
            )
    yield from _references(environment, shell)
    yield from _parts(environment)


def _parts(environment: Json) -> Iterator[Finding]:
    """Look for the published parts that every passport has; a file with none of them, or with templates, is no passport."""
    published = [part.submodel for part in parts() if not part.submodel.semantic_id.startswith(OWN_IDS)]
    present = objects_of(environment.get("submodels"))
    names = {
        name
        for one in present
        if one.get("kind") != "Template"
        for name in (semantic_id(one), str(one.get("idShort")))
    }
    missing = [row for row in published if row.cardinality == "One" and not {row.semantic_id, row.id_short} & names]
    if len(missing) < len(published):
        for row in missing:
            yield warning(str(row.id_short), "incomplete", "this part is not in the file")


def _references(environment: Json, shell: Json) -> Iterator[Finding]:
    referred = {key for one in objects_of(shell.get("submodels")) for key in _keys(one)}
    present = {str(one.get("id")): one for one in objects_of(environment.get("submodels"))}
    for identifier in sorted(referred - present.keys()):
        yield warning("", "reference", f"the shell refers to the submodel {identifier}, which is not in the file")
    for known, submodel in present.items():
        if known not in referred:
            yield warning(name_of(submodel), "reference", "the shell does not refer to this submodel")


def _keys(reference: Any) -> Iterator[str]:
    if isinstance(reference, dict):
        for key in objects_of(reference.get("keys")):
            if key.get("type") == "Submodel":
                yield str(key.get("value"))


def _files(nodes: list[tuple[str, Json]], files: frozenset[str] | None) -> Iterator[Finding]:
    """Look for files that should be in the package."""
    if files is None:
        return
    for path, node in nodes:
        name = node.get("value")
        if node.get("modelType") == "File" and isinstance(name, str) and name.startswith("/") and name not in files:
            yield error(path, "file", f"{name} is not in the package")


def _contents(nodes: list[tuple[str, Json]], files: frozenset[str], package: Path) -> Iterator[Finding]:
    """Compare the files in the package with the digests and sizes that the passport states."""
    facts: dict[str, tuple[str, int]] = {}
    for path, node in nodes:
        name = node.get("value")
        if node.get("modelType") != "File" or not isinstance(name, str) or name not in files:
            continue
        stated = {str(one.get("type")): str(one.get("value")) for one in objects_of(node.get("qualifiers"))}
        if not stated.keys() & {SHA256, BYTE_COUNT}:
            continue
        try:
            found = facts[name] = facts.get(name) or content_facts(package, name)
        except PassportError as fault:
            yield error(path, "file", str(fault))
            continue
        digest, count = found
        if stated.get(SHA256, digest).lower() != digest:
            yield error(
                path, "file", f"{name} was changed: its SHA-256 is {digest}, the passport states {stated[SHA256]}"
            )
        elif stated.get(BYTE_COUNT, str(count)) != str(count):
            yield error(path, "file", f"{name} has {count} bytes, the passport states {stated[BYTE_COUNT]}")
