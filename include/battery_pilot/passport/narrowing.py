"""A passport file as a passport again, so that a view of it can leave the house.

A file does not say who may see what; the tables do. Where one element can be more closed than its row, the file is taken to
hold the closed case: documents and references to them are for authorities, because their tier is known to the master data
alone. What no table knows is left out.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from battery_pilot.passport.building import Passport
from battery_pilot.passport.documents import Attachment, Text
from battery_pilot.passport.filling import Element, more_closed
from battery_pilot.passport.identifiers import Identifiers
from battery_pilot.passport.mapping import Row, parent_path, parts, row_path
from battery_pilot.passport.model import Tier
from battery_pilot.passport.reading import walk
from battery_pilot.passport.submodels import BYTE_COUNT, LANGUAGE, MODEL_TYPES, SHA256

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.passport.lexical import Value
    from battery_pilot.passport.parsing import Json
    from battery_pilot.passport.reading import ReadPassport

_OF_DOCUMENTS = frozenset({"documents", "model_documents", "files", "logo"})
_MATERIALS, _IS_CRITICAL = "facts.tiered_materials", "IsCriticalRawMaterial"
_SPECIFICATIONS = "derived.content_specification_ids"


def passport_of_file(read: ReadPassport) -> Passport:
    """Return a passport whose views have no more than those of the passport that a file was written from.

    :param read: the file, of the authority's tier or of a lower one.
    """
    elements: dict[str, Element] = {}
    for submodel in read.submodels:
        _add(str(submodel.get("idShort")), submodel, read.values, elements)
        for path, node in walk(submodel):
            if parent_path(path) in elements:
                _add(path, node, read.values, elements)
    return Passport(
        battery_id=read.battery_id,
        as_of=read.as_of,
        tier=Tier.AUTHORITY,
        identifiers=_identifiers(read),
        elements=tuple(elements.values()),
        absent=(),
    )


def _add(path: str, node: Json, values: Mapping[str, Value], elements: dict[str, Element]) -> None:
    row = _rows().get(row_path(path))
    if row is None or MODEL_TYPES[row.kind] != node["modelType"]:
        return
    above = elements.get(parent_path(path))
    tier = more_closed(_tier(row, path, node, values), above.tier if above else Tier.PUBLIC)
    value = values.get(path)
    if row.is_container or value is not None:
        texts = _texts(node) if row.kind == "MLP" else ()
        elements[path] = Element(row, path, value, tier, texts, _file(node) if row.kind == "File" else None)


def _tier(row: Row, path: str, node: Json, values: Mapping[str, Value]) -> Tier:
    """Return who may see an element at most."""
    if row.source_steps[0] in _OF_DOCUMENTS or row.source == "each.picture":
        return Tier.AUTHORITY
    if row.source == _MATERIALS and values.get(f"{path}.{_IS_CRITICAL}") is not True:
        return Tier.LEGITIMATE_INTEREST
    if row.source == _SPECIFICATIONS:
        return _tier_of_part(str(node.get("value")))
    return row.tier


@cache
def _tier_of_part(semantic_id: str) -> Tier:
    found = [part.submodel.tier for part in parts() if part.submodel.semantic_id == semantic_id]
    return found[0] if found else Tier.AUTHORITY


@cache
def _rows() -> dict[str, Row]:
    return {row.path: row for part in parts() for row in part.rows}


def _texts(node: Json) -> tuple[Text, ...]:
    given = [Text(one["language"], one["text"]) for one in node["value"]]
    return tuple(sorted(given, key=lambda one: one.language != LANGUAGE))


def _file(node: Json) -> Attachment:
    """Return what a view tells of a file; its content is for those who see documents."""
    stated: dict[Any, Any] = {one.get("type"): one.get("value") for one in node.get("qualifiers") or ()}
    return Attachment.model_construct(  # what it states is shown as it is
        name=str(node.get("idShort")),
        content_type=node.get("contentType") or "application/octet-stream",
        sha256=stated.get(SHA256),
        byte_count=stated.get(BYTE_COUNT),
        url=node.get("value"),
    )


def _identifiers(read: ReadPassport) -> Identifiers:
    asset = read.shell["assetInformation"]
    return Identifiers(
        battery_id=read.battery_id,
        serial_number=str(read.values.get("BatteryNameplate.SerialNumber") or read.battery_id),
        asset=asset.get("globalAssetId") or read.battery_id,
        asset_type=asset.get("assetType") or "",
        shell=read.shell["id"],
        submodels={str(one.get("idShort")): one["id"] for one in read.submodels},
    )
