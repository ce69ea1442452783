"""Reading passports that others wrote: nothing in them is trusted before it was checked."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import rfc8785
from aas_core3_1 import jsonization, verification
from basyx.aas import model as basyx_model
from basyx.aas.adapter.aasx import RELATIONSHIP_TYPE_AAS_SPEC, AASXReader
from basyx.aas.adapter.json import object_store_to_json, read_aas_json_file
from basyx.aas.adapter.xml import read_aas_xml_file

from battery_pilot.errors import PassportError
from battery_pilot.passport.lexical import Value, from_xsd
from battery_pilot.passport.submodels import LANGUAGE, Json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAXIMUM_BYTES = 16 * 1024 * 1024
"""Largest JSON that is read; a passport with everything in it has about 150 kB."""

MAXIMUM_PACKAGE_BYTES = 256 * 1024 * 1024
"""Largest AASX package that is read, as it is and unpacked; documents may be in it."""

_MAXIMUM_DEPTH = 64  # levels of JSON; the deepest published template has about 20
_MAXIMUM_FILES = 1000
_ORIGIN = "http://admin-shell.io/aasx/relationships/aasx-origin"
# What the BaSyx SDK raises on content that is wrong.
_UNREADABLE = (KeyError, ValueError, TypeError, AttributeError, basyx_model.AASConstraintViolation)


@dataclass(frozen=True)
class ReadPassport:
    """A passport that was read and checked.

    :param battery_id: the battery, as its specific asset id or else its serial number or asset id names it.
    :param as_of: the point in time whose state it describes.
    :param values: path to value, like :func:`battery_pilot.passport.aas.flat_values`.
    :param shell: the shell as AAS JSON.
    :param submodels: the submodels as AAS JSON.
    :param concept_descriptions: the concept descriptions as AAS JSON.
    :param sha256: digest of the canonical JSON of the environment, its lists sorted by id.
    """

    battery_id: str
    as_of: datetime
    values: dict[str, Value]
    shell: Json
    submodels: list[Json]
    concept_descriptions: list[Json]
    sha256: str


def read_passport(data: bytes, *, maximum_bytes: int = MAXIMUM_BYTES) -> ReadPassport:
    """Read a passport from AAS JSON.

    :param data: an AAS environment with exactly one shell, in UTF-8.
    :param maximum_bytes: refuse more than this.
    :raises PassportError: it is too large, too deep, no valid AAS or no passport; the message names the place.
    """
    environment = parse_json(data, maximum_bytes=maximum_bytes)
    for path, message in environment_faults(environment):
        raise PassportError(f"passport: {path or 'environment'}: {message}")
    return to_passport(environment)


def read_aasx(path: Path, *, maximum_bytes: int = MAXIMUM_BYTES) -> ReadPassport:
    """Read a passport from an AASX package.

    :param path: the package.
    :param maximum_bytes: refuse an AAS part that is larger than this.
    :raises PassportError: like :func:`read_passport`; also if the package is none or tries to escape or to explode.
    """
    return read_passport(aasx_json(path, maximum_bytes=maximum_bytes), maximum_bytes=maximum_bytes)


def read_file(path: Path) -> ReadPassport:
    """Read a passport from an AASX package or an AAS JSON file, whatever its name is.

    :raises PassportError: like :func:`read_passport` and :func:`read_aasx`.
    """
    with path.open("rb") as file:
        is_package = file.read(4) == b"PK\x03\x04"
    return read_aasx(path) if is_package else read_passport(path.read_bytes())


def parse_json(data: bytes, *, maximum_bytes: int = MAXIMUM_BYTES) -> Json:
    """Parse JSON from a stranger.

    :raises PassportError: it is too large or too deep, no JSON object, or has a key twice or a number JSON does not know.
    """
    if len(data) > maximum_bytes:
        raise PassportError(f"passport: {len(data)} bytes, at most {maximum_bytes} are read")
    try:
        content = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise PassportError(f"passport: no JSON that can be read: {error}") from error
    if not isinstance(content, dict):
        raise PassportError(f"passport: a JSON object was expected, not {type(content).__name__}")
    _check_depth(content)
    return content


def environment_faults(environment: Json) -> list[tuple[str, str]]:
    """Return path and message of all that makes a JSON object no valid AAS 3.1 environment."""
    try:
        parsed = jsonization.environment_from_jsonable(environment)
    except jsonization.DeserializationException as error:
        return [(str(error.path), error.cause)]
    faults = [(str(error.path), error.cause) for error in verification.verify(parsed)]
    if faults:
        return faults
    try:
        store = read_aas_json_file(io.StringIO(json.dumps(environment)), failsafe=False)
    except _UNREADABLE as error:
        return [("", f"the BaSyx SDK refuses it: {error}")]
    return [] if len(store) else [("", "it is empty")]


def to_passport(environment: Json) -> ReadPassport:
    """Return the passport in a valid environment.

    :raises PassportError: it has no shell or several, or does not say which battery it is of and of which time.
    """
    shells = environment.get("assetAdministrationShells", [])
    if len(shells) != 1:
        raise PassportError(f"passport: exactly one shell was expected, not {len(shells)}")
    submodels = sorted(environment.get("submodels", []), key=_identifier)
    concept_descriptions = sorted(environment.get("conceptDescriptions", []), key=_identifier)
    values = flatten(submodels)
    ordered: Json = {"assetAdministrationShells": shells, "submodels": submodels}
    if concept_descriptions:
        ordered["conceptDescriptions"] = concept_descriptions
    return ReadPassport(
        battery_id=_battery_id(shells[0], values),
        as_of=_as_of(values),
        values=values,
        shell=shells[0],
        submodels=submodels,
        concept_descriptions=concept_descriptions,
        sha256=hashlib.sha256(rfc8785.dumps(ordered)).hexdigest(),
    )


def flatten(submodels: list[Json]) -> dict[str, Value]:
    """Return path to value of all properties and texts.

    A path starts with the submodel's idShort. A text in several languages has its English (or else first) one at the
    path and every further one at ``path@language``.

    :raises PassportError: two submodels have the same idShort, or a value is not of its type.
    """
    values: dict[str, Value] = {}
    names: set[str] = set()
    for submodel in submodels:
        if _name(submodel) in names:
            raise PassportError(f"passport: two submodels are called {_name(submodel)}")
        names.add(_name(submodel))
        for path, node in walk(submodel):
            values.update(_values(path, node))
    return values


def walk(submodel: Json) -> Iterator[tuple[str, Json]]:
    """Yield path and AAS JSON of every element of a submodel, every container before its content."""
    waiting = [(_name(submodel), submodel)]
    while waiting:
        path, node = waiting.pop()
        if node is not submodel:
            yield path, node
        if node["modelType"] == "SubmodelElementList":
            inside = [(f"{path}[{index}]", member) for index, member in enumerate(node.get("value", []))]
        elif node["modelType"] in {"Submodel", "SubmodelElementCollection"}:
            children = node.get("submodelElements") or node.get("value") or []
            inside = [(f"{path}.{child['idShort']}", child) for child in children]
        else:
            inside = []
        waiting += reversed(inside)


def aasx_json(path: Path, *, maximum_bytes: int = MAXIMUM_BYTES) -> bytes:
    """Return the AAS environment of a package as JSON; a JSON part as it stands in the package.

    :raises PassportError: the file is no AASX package, is too large packed or unpacked, has names that lead outside,
        or has not exactly one AAS part.
    """
    _check_package(path)
    try:
        with AASXReader(path, failsafe=False) as reader:
            package = reader.reader
            origin = package.get_related_parts_by_type()[_ORIGIN][0]
            (name,) = package.get_related_parts_by_type(origin)[RELATIONSHIP_TYPE_AAS_SPEC]
            with package.open_part(name) as part:
                content = part.read(maximum_bytes + 1)
            content_type = package.get_content_type(name)
    except (*_UNREADABLE, IndexError, OSError, zipfile.BadZipFile) as error:
        raise PassportError(f"{path}: no AASX package with exactly one AAS part: {error}") from error
    if len(content) > maximum_bytes:
        raise PassportError(f"{path}: the AAS part has more than {maximum_bytes} bytes")
    is_json = "json" in content_type or name.lower().endswith(".json")
    return bytes(content) if is_json else _xml_to_json(path, content)


def _xml_to_json(path: Path, content: bytes) -> bytes:
    _check_markup(path, "the AAS part", content)
    try:
        return object_store_to_json(read_aas_xml_file(io.BytesIO(content), failsafe=False)).encode()
    except (*_UNREADABLE, SyntaxError) as error:  # lxml's parse errors are syntax errors
        raise PassportError(f"{path}: the AAS part is no AAS 3.1 XML: {error}") from error


def _check_package(path: Path) -> None:
    size = path.stat().st_size
    if size > MAXIMUM_PACKAGE_BYTES:
        raise PassportError(f"{path}: {size} bytes, at most {MAXIMUM_PACKAGE_BYTES} are read")
    try:
        with zipfile.ZipFile(path) as package:
            _check_entries(path, package.infolist())
            for entry in package.infolist():
                if entry.filename.lower().endswith((".rels", ".xml")):
                    _check_markup(path, entry.filename, package.read(entry))
    except (zipfile.BadZipFile, zlib.error, OSError, ValueError, NotImplementedError, RuntimeError) as error:
        raise PassportError(f"{path}: no AASX package: {error}") from error


def _check_entries(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    if len(entries) > _MAXIMUM_FILES:
        raise PassportError(f"{path}: {len(entries)} files, at most {_MAXIMUM_FILES} are read")
    unpacked = sum(entry.file_size for entry in entries)  # zipfile reads no more of an entry than it declares
    if unpacked > MAXIMUM_PACKAGE_BYTES:
        raise PassportError(f"{path}: {unpacked} bytes unpacked, at most {MAXIMUM_PACKAGE_BYTES} are read")
    for entry in entries:
        steps = re.split(r"[/\\]", entry.filename)
        if not steps[0] or ".." in steps or ":" in entry.filename:
            raise PassportError(f"{path}: the name {entry.filename!r} leads outside of the package")
        if entry.filename.endswith(".piece"):  # would pass by the check of relationships
            raise PassportError(f"{path}: {entry.filename} is a part cut into pieces, which is not read")


def _check_markup(path: Path, name: str, content: bytes) -> None:
    # A document type could name files and hosts to load from, or unfold to gigabytes; an AAS needs none.
    if b"\x00" in content or re.search(rb"<!DOCTYPE|<!ENTITY", content, re.IGNORECASE):
        raise PassportError(f"{path}: {name} declares a document type or is not in UTF-8")


def _values(path: str, node: Json) -> Iterator[tuple[str, Value]]:
    if node["modelType"] == "Property" and node.get("value") is not None:
        yield path, from_xsd(node["value"], node["valueType"], path)
    elif node["modelType"] == "File" and node.get("value") is not None:
        yield path, node["value"]
    elif node["modelType"] == "MultiLanguageProperty":
        texts = {text["language"]: text["text"] for text in node.get("value", [])}
        main = LANGUAGE if LANGUAGE in texts else next(iter(texts), None)
        for language, text in texts.items():
            yield path if language == main else f"{path}@{language}", text


def _battery_id(shell: Json, values: dict[str, Value]) -> str:
    asset = shell["assetInformation"]
    named = {one["name"]: one["value"] for one in asset.get("specificAssetIds", [])}
    for found in (named.get("batteryId"), values.get("BatteryNameplate.SerialNumber"), asset.get("globalAssetId")):
        if found:
            return str(found)
    raise PassportError("passport: neither specific asset id, serial number nor global asset id names a battery")


def _as_of(values: dict[str, Value]) -> datetime:
    text = str(values.get("DppMetadata.lastUpdate", ""))
    try:
        as_of = datetime.fromisoformat(text)
    except ValueError as error:
        raise PassportError(f"passport: DppMetadata.lastUpdate is {text!r}, a date and time was expected") from error
    if as_of.tzinfo is None:
        raise PassportError(f"passport: DppMetadata.lastUpdate {text} has no time zone")
    return as_of


def _name(submodel: Json) -> str:
    return str(submodel.get("idShort") or submodel["id"])


def _identifier(identifiable: Json) -> str:
    return str(identifiable["id"])


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Json:
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _check_depth(content: Json) -> None:
    level: list[Any] = [content]
    for _ in range(_MAXIMUM_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    raise PassportError(f"passport: nested deeper than {_MAXIMUM_DEPTH} levels")


def _children(node: Any) -> list[Any]:
    if isinstance(node, dict):
        return list(node.values())
    return node if isinstance(node, list) else []
