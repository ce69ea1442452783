"""A passport as Asset Administration Shell: JSON, canonical bytes and AASX packages."""

from __future__ import annotations

import hashlib
import io
import json
from typing import TYPE_CHECKING, Any

from basyx.aas.adapter.json import read_aas_json_file

from battery_pilot.passport import compiled
from battery_pilot.passport.canonical import canonical
from battery_pilot.passport.mapping import part_of
from battery_pilot.passport.model import Tier
from battery_pilot.passport.shell import shell_dict
from battery_pilot.passport.submodels import Json, concept_dicts, submodel_dict

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from basyx.aas import model as basyx_model

    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.filling import Element
    from battery_pilot.passport.lexical import Value


def environment(passport: Passport) -> Json:
    """Return the passport as AAS environment (metamodel 3.1, JSON), in the same order in every process."""
    content: Json = {"assetAdministrationShells": [shell_dict(passport)], "submodels": submodel_dicts(passport)}
    concept_descriptions = concept_description_dicts(passport)
    if concept_descriptions:  # the metamodel allows no empty list
        content["conceptDescriptions"] = concept_descriptions
    return content


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
    """Return the passport as canonical JSON (RFC 8785), from its objects.

    :func:`battery_pilot.passport.compiled.canonical_json` gives the same bytes, faster; what is written comes from there.
    """
    return canonical(environment(passport))


def passport_sha256(passport: Passport) -> str:
    """Return the SHA-256 of the canonical JSON as 64 hexadecimal digits."""
    return hashlib.sha256(compiled.canonical_json(passport)).hexdigest()


def flat_values(passport: Passport) -> dict[str, Value]:
    """Return path to value, such as ``ProductCondition.RemainingCapacity.RemainingCapacityValue`` to 4.2.

    A text in several languages has its main one at the path and every further one at ``path@language``.
    """
    values: dict[str, Value] = {}
    for element in passport.elements:
        if element.value is not None:
            values.update(_values(element))
    return values


def flat_values_by_tier(passport: Passport) -> dict[Tier, dict[str, Value]]:
    """Return :func:`flat_values` apart by the tier of each value; tiers without values map to empty dictionaries."""
    values: dict[Tier, dict[str, Value]] = {tier: {} for tier in Tier}
    for element in passport.elements:
        if element.value is not None:
            values[element.tier].update(_values(element))
    return values


def to_store(passport: Passport) -> basyx_model.DictIdentifiableStore[Any]:
    """Return the passport as objects of the BaSyx SDK, read strictly."""
    return read_aas_json_file(io.StringIO(json.dumps(environment(passport))), failsafe=False)


def write_json(passport: Passport, path: Path) -> None:
    """Write the canonical JSON."""
    path.write_bytes(compiled.canonical_json(passport))


def _values(element: Element) -> Iterator[tuple[str, Value]]:
    if element.value is not None:
        yield element.path, element.value
    for language, text in element.texts[1:]:
        yield f"{element.path}@{language}", text
