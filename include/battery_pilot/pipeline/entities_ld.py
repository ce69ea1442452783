"""Entities in the form of NGSI-LD, for Orion-LD: names of the Smart Data Models where they have one, ours beside them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from battery_pilot.pipeline.entity_table import entity_rows
from battery_pilot.services.ngsi import OBSERVED, attributes_of, decode_note

if TYPE_CHECKING:
    from battery_pilot.services.ngsi import Attribute, Entity

CORE_CONTEXT = "https://uri.etsi.org/ngsi-ld/v1/ngsi-ld-core-context.jsonld"
MODELS_CONTEXT = "https://raw.githubusercontent.com/smart-data-models/dataModel.Battery/master/context.jsonld"
OWN_TERMS = "https://battery-pilot.org/ids/1/0/"
REFERENCE = "urn:ngsi-ld:"
"""What the target of a relationship begins with; other references are values, because NGSI-LD wants entities there."""


def ld_entity(entity: Entity) -> dict[str, Any]:
    """Return an entity of :mod:`entities` in NGSI-LD's normalised form.

    ``dateObserved`` of a value becomes ``observedAt``, its unit ``unitCode``, other metadata are properties of the property.
    """
    names = {row.attribute: row.ld_name for row in entity_rows(entity["type"]) if row.ld_name}
    written = {names.get(name, name): _property(one) for name, one in attributes_of(entity).items()}
    return {
        "@context": [MODELS_CONTEXT, {"@vocab": OWN_TERMS}, CORE_CONTEXT],
        "id": entity["id"],
        "type": entity["type"],
        **written,
    }


def _property(attribute: Attribute) -> dict[str, Any]:
    value = attribute["value"]
    if attribute["type"] == "Relationship" and value.startswith(REFERENCE):
        return {"type": "Relationship", "object": value}
    notes = {name: one["value"] for name, one in attribute.get("metadata", {}).items() if name != "dateModified"}
    written: dict[str, Any] = {"type": "Property", "value": _value(attribute["type"], value)}
    for name, note in notes.items():
        if name == OBSERVED:
            written["observedAt"] = note
        elif name == "unitCode":
            written["unitCode"] = note
        else:
            written[name] = {"type": "Property", "value": decode_note(note) if isinstance(note, str) else note}
    return written


def _value(kind: str, value: Any) -> Any:
    if kind == "DateTime":
        return {"@type": "DateTime", "@value": value}
    # JSON-LD knows no difference between 1.0 and 1.
    return int(value) if isinstance(value, float) and math.isfinite(value) and value.is_integer() else value
