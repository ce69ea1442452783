"""A passport as Asset Administration Shell: JSON, canonical bytes and AASX packages."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from functools import cache
from typing import TYPE_CHECKING, Any

import rfc8785
from basyx.aas import model as basyx_model
from basyx.aas.adapter.aasx import AASXWriter, DictSupplementaryFileContainer
from basyx.aas.adapter.json import read_aas_json_file

from battery_pilot.passport.identifiers import slug
from battery_pilot.passport.mapping import part_of
from battery_pilot.passport.model import Tier
from battery_pilot.passport.submodels import Json, concept_dicts, submodel_dict

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.filling import Element
    from battery_pilot.passport.lexical import Value

_DATA_PART = "aasx/data.json"
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP can state: a package has no time of its own


def environment(passport: Passport) -> Json:
    """Return the passport as AAS environment (metamodel 3.1, JSON), in the same order in every process."""
    content: Json = {"assetAdministrationShells": [shell_dict(passport)], "submodels": submodel_dicts(passport)}
    concept_descriptions = concept_description_dicts(passport)
    if concept_descriptions:  # the metamodel allows no empty list
        content["conceptDescriptions"] = concept_descriptions
    return content


def shell_dict(passport: Passport) -> Json:
    """Return the shell, with references to the submodels that this view has."""
    ids = passport.identifiers
    return {
        "modelType": "AssetAdministrationShell",
        "id": ids.shell,
        "idShort": f"Battery_{slug(passport.battery_id)}"[:128].rstrip("-"),
        "assetInformation": {
            "assetKind": "Instance",
            "assetType": ids.asset_type,
            "globalAssetId": ids.asset,
            "specificAssetIds": [
                {"name": "batteryId", "value": passport.battery_id},
                {"name": "serialNumber", "value": ids.serial_number},
            ],
        },
        "submodels": [
            {"type": "ModelReference", "keys": [{"type": "Submodel", "value": identifier}]}
            for identifier in sorted(
                ids.submodels[element.path] for element in passport.elements if element.row.kind == "Submodel"
            )
        ],
    }


def submodel_dicts(passport: Passport) -> list[Json]:
    """Return the submodels that this view has, sorted by id."""
    elements: dict[str, list[Element]] = {}
    for element in passport.elements:
        elements.setdefault(element.path.partition(".")[0], []).append(element)
    submodels = [
        submodel_dict(part_of(id_short), passport.identifiers.submodels[id_short], own)
        for id_short, own in elements.items()
    ]
    return sorted(submodels, key=lambda submodel: str(submodel["id"]))


def concept_description_dicts(passport: Passport) -> list[Json]:
    """Return the concept descriptions of our own semantic ids that this view uses, sorted by id."""
    return concept_dicts(passport.elements)


def canonical_json(passport: Passport) -> bytes:
    """Return the passport as canonical JSON (RFC 8785)."""
    return rfc8785.dumps(environment(passport))


def passport_sha256(passport: Passport) -> str:
    """Return the SHA-256 of the canonical JSON as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(passport)).hexdigest()


def flat_values(passport: Passport) -> dict[str, Value]:
    """Return path to value, such as ``ProductCondition.RemainingCapacity.RemainingCapacityValue`` to 4.2."""
    return {element.path: element.value for element in passport.elements if element.value is not None}


def flat_values_by_tier(passport: Passport) -> dict[Tier, dict[str, Value]]:
    """Return :func:`flat_values` apart by the tier of each value; tiers without values map to empty dictionaries."""
    values: dict[Tier, dict[str, Value]] = {tier: {} for tier in Tier}
    for element in passport.elements:
        if element.value is not None:
            values[element.row.tier][element.path] = element.value
    return values


def to_store(passport: Passport) -> basyx_model.DictIdentifiableStore[Any]:
    """Return the passport as objects of the BaSyx SDK, read strictly."""
    return read_aas_json_file(io.StringIO(json.dumps(environment(passport))), failsafe=False)


def write_json(passport: Passport, path: Path) -> None:
    """Write the canonical JSON."""
    path.write_bytes(canonical_json(passport))


def write_aasx(passport: Passport, path: Path) -> None:
    """Write an AASX package with a JSON part; the same passport gives the same bytes.

    The part is JSON because AASX Server and the BaSyx SDK read it whatever XML namespace they speak, and canonical,
    so that its SHA-256 is that of the passport.
    """
    path.write_bytes(_package(canonical_json(passport)))


def _package(data: bytes) -> bytes:
    entries = {**_package_frame(), _DATA_PART: data}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as package:
        for name in sorted(entries):
            entry = zipfile.ZipInfo(name, _ZIP_TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            package.writestr(entry, entries[name])
    return buffer.getvalue()


@cache
def _package_frame() -> dict[str, bytes]:
    """Return content types and relationships of a package with one JSON part; they are the same for every passport."""
    buffer = io.BytesIO()
    no_files: Any = DictSupplementaryFileContainer  # its constructor is not annotated
    with AASXWriter(buffer, failsafe=False) as writer:
        writer.write_all_aas_objects(
            f"/{_DATA_PART}", basyx_model.DictIdentifiableStore(), no_files(), write_json=True
        )
    with zipfile.ZipFile(buffer) as package:
        return {name: package.read(name) for name in package.namelist()}
