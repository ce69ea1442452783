"""Batteries as entities of FIWARE Orion (NGSI-v2): one entity a battery, one attribute a value of the passport."""

from __future__ import annotations

import logging
from functools import cache
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.passport.identifiers import slug
from battery_pilot.passport.mapping import parts, row_path
from battery_pilot.services.orion import attribute, checked_name, entity_id

if TYPE_CHECKING:
    from datetime import datetime

    from battery_pilot.passport.model import Prediction
    from battery_pilot.passport.reading import ReadPassport

log = logging.getLogger(__name__)

ENTITY_TYPE = "Battery"


# UN/CEFACT Recommendation 20, as the metadata ``unitCode`` wants it.
UNIT_CODES = {
    "°C": "CEL",
    "%": "P1",
    "Ah": "AMH",
    "kWh": "KWH",
    "Wh": "WHR",
    "W": "WTT",
    "V": "VLT",
    "A": "AMP",
    "ohm": "OHM",
    "min": "MIN",
    "kg": "KGM",
}


def battery_entity(passport: ReadPassport, left_out: list[str] | None = None) -> dict[str, Any]:
    """Return the entity of a battery: every single value of its passport, named by its path.

    Members of lists stay in the passport: a context broker's subscribers watch values, not documents.

    :param left_out: is given the names of the attributes that Orion would refuse and the entity goes without.
    """
    attributes: dict[str, Any] = {}
    for path, value in passport.values.items():
        if "[" in path:
            continue
        try:
            name = checked_name(path.replace(".", "__"))
            attributes[name] = attribute(value, as_of=passport.as_of, **_unit(units().get(row_path(path))))
        except InputError as error:
            log.warning("battery %s goes without %s: %s", passport.battery_id, path[:80], error)
            if left_out is not None:
                left_out.append(path)
    return {
        "id": entity_id(slug(passport.battery_id)),
        "type": ENTITY_TYPE,
        "batteryId": attribute(passport.battery_id),
        "shell": attribute(passport.shell["id"]),
        "asOf": attribute(passport.as_of),
        **attributes,
    }


def _unit(unit: str | None) -> dict[str, str]:
    """Return a unit as metadata: its code, or its name where it has none."""
    if unit is None:
        return {}
    return {"unitCode": UNIT_CODES[unit]} if unit in UNIT_CODES else {"unit": unit}


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
