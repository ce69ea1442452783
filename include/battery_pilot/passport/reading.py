"""Reading passports that others wrote: nothing in them is trusted before it was checked."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from battery_pilot.errors import PassportError
from battery_pilot.passport.aas_xml import environment_of_xml
from battery_pilot.passport.canonical import canonical_sha256
from battery_pilot.passport.lexical import Value, from_xsd
from battery_pilot.passport.metamodel import environment_faults
from battery_pilot.passport.packages import open_package
from battery_pilot.passport.parsing import MAXIMUM_BYTES, Json, in_utf8, parse_json
from battery_pilot.passport.submodels import LANGUAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PACKAGE = b"PK"
_WHITE_SPACE = b" \t\r\n"


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


@dataclass(frozen=True)
class ReadEnvironment:
    """An environment as it stands in a file, not verified.

    :param content: the environment as AAS JSON.
    :param fixes: what had to be put right to read it.
    :param files: names of the files in its package; ``None`` if it is in none.
    """

    content: Json
    fixes: tuple[str, ...] = ()
    files: frozenset[str] | None = None


def read_passport(data: bytes, *, maximum_bytes: int = MAXIMUM_BYTES) -> ReadPassport:
    """Read a passport from AAS JSON.

    :param data: an AAS environment with exactly one shell, in UTF-8.
    :param maximum_bytes: refuse more than this.
    :raises PassportError: it is too large, too deep, no valid AAS or no passport; the message names the place.
    """
    return verified_passport(parse_json(data, maximum_bytes=maximum_bytes))


def read_aasx(path: Path, *, maximum_bytes: int = MAXIMUM_BYTES) -> ReadPassport:
    """Read a passport from an AASX package.

    :param path: the package.
    :param maximum_bytes: refuse an AAS part that is larger than this.
    :raises PassportError: like :func:`read_passport`; also if the package is none or tries to escape or to explode.
    """
    return verified_passport(_in_package(path, maximum_bytes).content)


def read_file(path: Path) -> ReadPassport:
    """Read a passport from an AASX package, AAS JSON or AAS XML, whatever its name is.

    :raises PassportError: like :func:`read_passport` and :func:`read_aasx`.
    """
    return verified_passport(read_environment(path).content)


def read_environment(path: Path) -> ReadEnvironment:
    """Read an environment from an AASX package, AAS JSON or AAS XML of metamodel 3.0 or 3.1; its content decides which.

    :raises PassportError: it is too large, too deep, hostile, or nothing that can be read.
    """
    with path.open("rb") as file:
        if file.read(2) == _PACKAGE:
            return _in_package(path, MAXIMUM_BYTES)
        file.seek(0)
        data = file.read(MAXIMUM_BYTES + 1)  # one more than is accepted, so that too much is noticed
    return _parsed(data, MAXIMUM_BYTES)


def verified_passport(environment: Json) -> ReadPassport:
    """Return the passport in an environment that was not verified yet.

    :raises PassportError: it is no valid AAS or no passport; the message names the place.
    """
    demand_valid(environment)
    return to_passport(environment)


def demand_valid(environment: Json) -> None:
    """Raise where an environment is no valid AAS.

    :raises PassportError: naming the first place.
    """
    for path, message in environment_faults(environment):
        raise PassportError(f"passport: {path or 'environment'}: {message}")


def _in_package(path: Path, maximum_bytes: int) -> ReadEnvironment:
    package = open_package(path, maximum_bytes=maximum_bytes)
    try:
        if package.is_json:
            read = ReadEnvironment(parse_json(package.content, maximum_bytes=maximum_bytes))
        else:
            read = _parsed(package.content, maximum_bytes)
    except PassportError as error:
        raise PassportError(f"{path}: the AAS part: {error}") from error
    return ReadEnvironment(read.content, (*package.faults, *read.fixes), package.files)


def _parsed(data: bytes, maximum_bytes: int) -> ReadEnvironment:
    if len(data) > maximum_bytes:
        raise PassportError(f"passport: more than {maximum_bytes} bytes, which is the most that is read")
    text, fix = in_utf8(data)
    first = text.lstrip(_WHITE_SPACE)[:1]
    if first not in {b"<", b"{", b"["}:
        raise PassportError("passport: neither an AASX package nor JSON nor XML")
    if first != b"<":
        return ReadEnvironment(parse_json(text, maximum_bytes=2 * maximum_bytes), (fix,) if fix else ())
    content, fixes = environment_of_xml(text)
    # The translated tree takes the way of any JSON, whose limits it must keep as well.
    return ReadEnvironment(parse_json(json.dumps(content).encode(), maximum_bytes=2 * maximum_bytes), tuple(fixes))


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
        battery_id=battery_id_of(shells[0], values),
        as_of=_as_of(values),
        values=values,
        shell=shells[0],
        submodels=submodels,
        concept_descriptions=concept_descriptions,
        sha256=canonical_sha256(ordered),
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
            values.update(node_values(path, node))
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


def node_values(path: str, node: Json) -> Iterator[tuple[str, Value]]:
    """Yield path and value of one element; of a text in several languages one for each."""
    if node["modelType"] == "Property" and node.get("value") is not None:
        yield path, from_xsd(node["value"], node["valueType"], path)
    elif node["modelType"] == "File" and node.get("value") is not None:
        yield path, node["value"]
    elif node["modelType"] == "MultiLanguageProperty":
        texts = {text["language"]: text["text"] for text in node.get("value", [])}
        main = LANGUAGE if LANGUAGE in texts else next(iter(texts), None)
        for language, text in texts.items():
            yield path if language == main else f"{path}@{language}", text


def battery_id_of(shell: Json, values: dict[str, Value]) -> str:
    """Return the battery's name: its specific asset id, or else its serial number or global asset id.

    :param shell: as AAS JSON.
    :param values: the values of the passport.
    :raises PassportError: there is none of these.
    """
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
