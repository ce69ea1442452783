"""What the FIWARE AAS Agent needs to know, from the same mapping table: types for its configuration, marked elements."""

from __future__ import annotations

import copy
from typing import Any

from battery_pilot.pipeline.entity_table import BATTERY, BATTERY_MODEL, EntityRow, entity_rows

ACTIVE = "NGSIActive"
"""Type of the qualifier by which the agent's own mapping knows an attribute whose values are sent to it."""

Document = dict[str, Any]


def agent_configuration() -> Document:
    """Return the part ``types`` of the agent's configuration: every attribute active, none lazy."""
    return {
        "types": {
            entity_type: {
                "active": [_active(row) for row in entity_rows(entity_type)],
                "lazy": [],
                "commands": [],
            }
            for entity_type in (BATTERY, BATTERY_MODEL)
        }
    }


def mark_active(submodels: list[Document]) -> list[Document]:
    """Return submodels whose mapped elements carry the qualifier ``NGSIActive``; marked ones stay as they are.

    For the agent's own way only: without it these attributes are lazy, and lazy attributes never notify anybody.

    :param submodels: submodels as AAS JSON.
    """
    sources = {row.source for entity_type in (BATTERY, BATTERY_MODEL) for row in entity_rows(entity_type)}
    marked = copy.deepcopy(submodels)
    for submodel in marked:
        waiting = [(str(submodel.get("idShort")), submodel)]
        while waiting:
            path, node = waiting.pop()
            if path in sources:
                _mark(node)
            children = node.get("submodelElements") or node.get("value") or []
            if node["modelType"] in {"Submodel", "SubmodelElementCollection"}:
                waiting += [(f"{path}.{child['idShort']}", child) for child in children]
    return marked


def _active(row: EntityRow) -> Document:
    unit = {"metadata": {"unitCode": {"type": "Text", "value": row.unit_code}}} if row.unit_code else {}
    return {"object_id": row.attribute, "name": row.attribute, "type": row.type, **unit}


def _mark(element: Document) -> None:
    qualifiers = element.setdefault("qualifiers", [])
    if not any(one["type"] == ACTIVE for one in qualifiers):
        qualifiers.append({"type": ACTIVE, "valueType": "xs:boolean", "value": "true"})
