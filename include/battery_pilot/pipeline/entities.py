"""Batteries as entities of FIWARE Orion (NGSI-v2): one entity a battery, one attribute a value of the passport."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from battery_pilot.passport.identifiers import slug
from battery_pilot.passport.mapping import parts, row_path
from battery_pilot.services.orion import attribute, entity_id

if TYPE_CHECKING:
    from datetime import datetime

    from battery_pilot.passport.model import Prediction
    from battery_pilot.passport.reading import ReadPassport

ENTITY_TYPE = "Battery"


def battery_entity(passport: ReadPassport) -> dict[str, Any]:
    """Return the entity of a battery: every single value of its passport, named by its path.

    Members of lists stay in the passport: a context broker's subscribers watch values, not documents.
    """
    attributes = {
        path.replace(".", "__"): attribute(value, unit=units().get(row_path(path)), as_of=passport.as_of)
        for path, value in passport.values.items()
        if "[" not in path
    }
    return {
        "id": entity_id(slug(passport.battery_id)),
        "type": ENTITY_TYPE,
        "batteryId": attribute(passport.battery_id),
        "shell": attribute(passport.shell["id"]),
        "asOf": attribute(passport.as_of),
        **attributes,
    }


def prediction_entity(battery_id: str, prediction: Prediction) -> dict[str, Any]:
    """Return the part of a battery's entity that holds a prediction."""
    name = f"predicted__{prediction.metric}"
    values: dict[str, float | str | datetime] = {
        name: prediction.value,
        f"{name}__lower": prediction.lower,
        f"{name}__upper": prediction.upper,
        f"{name}__forTime": prediction.for_time,
        f"{name}__modelVersion": prediction.model_version,
    }
    return {
        "id": entity_id(slug(battery_id)),
        "type": ENTITY_TYPE,
        **{key: attribute(value) for key, value in values.items()},
    }


@cache
def units() -> dict[str, str]:
    """Return the units of the tables' rows, by path."""
    return {row.path: row.unit for part in parts() for row in part.rows if row.unit and row.unit != "1"}
