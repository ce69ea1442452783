"""A mapping file: what the columns of a field log mean, in the words of the one who knows the log.

The file is called ``battery-pilot-columns.toml`` and holds for all logs beside it and in the folders below it; of several
the nearest counts. Every key but ``time``, ``voltage`` and ``current`` may be left out, and a CAN log needs no ``time``::

    battery_id = "PACK-17"            # or battery_id_column = "VIN"
    delimiter = ";"                   # of a table, where it is not tab, semicolon or comma
    dbc = "vehicle.dbc"               # signals of CAN logs, beside this file
    channel = "can0"                  # of CAN logs of several buses

    [time]
    heading = "Timestamp"
    format = "%d.%m.%Y %H:%M:%S"      # without it a number (unit "s" or "ms") or a usual date
    zone = "Europe/Berlin"            # of dates without one; UTC by default

    [voltage]
    heading = "U_pack"                # of a table; the signal of a CAN log is signal = "BMS_packVoltage"
    unit = "mV"                       # or factor = 0.001, and offset = -273.15 for what is not counted from 0

    [current]
    heading = "I_pack"
    positive = "discharge"            # or "charge"; without it the data decide, with a warning

    [temperature]                     # of the cells; likewise [ambient_temperature] and [state_of_charge]
    heading = "T_cell_mean"
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.units import unit_of

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Self

QUANTITIES = {
    "voltage": "voltage_volt",
    "current": "current_ampere",
    "temperature": "temperature_t1_celsius",
    "ambient_temperature": "ambient_temperature_celsius",
    "state_of_charge": "state_of_charge_percent",
}
"""Table of the mapping file to canonical column."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Place(_Strict):
    """Where a quantity stands and how it is counted.

    :param heading: of the column in a table.
    :param signal: in a CAN log: ``Signal``, or ``Message.Signal`` where several messages have one of that name.
    :param unit: in which the log counts; else the heading's own unit, the DBC's, or that of the canonical column.
    :param factor: to the unit of the canonical column, instead of ``unit``.
    :param offset: is added after that.
    """

    heading: str | None = None
    signal: str | None = None
    unit: str | None = None
    factor: float | None = None
    offset: float = 0.0

    @model_validator(mode="after")
    def _has_a_place(self) -> Self:
        if self.heading is None and self.signal is None:
            raise ValueError("expected heading (of a table) or signal (of a CAN log)")
        if self.unit is not None and self.factor is not None:
            raise ValueError("expected unit or factor, not both")
        return self


class Current(Place):
    """The current.

    :param positive: what a positive number means in the log.
    """

    positive: Literal["charge", "discharge"] | None = None


class Time(_Strict):
    """The column of time.

    :param heading: of the column.
    :param unit: of numbers: ``s``, ``ms``, ``min`` or ``h``.
    :param format: of dates, as ``strptime`` knows it.
    :param zone: IANA name of the time zone of dates without one.
    """

    heading: str
    unit: str | None = None
    format: str | None = None
    zone: str = "UTC"

    @field_validator("unit")
    @classmethod
    def _is_time(cls, unit: str | None) -> str | None:
        found = unit_of(unit) if unit else None
        if unit is not None and (found is None or found.name != "second"):
            raise ValueError("expected s, ms, min or h")
        return unit

    @field_validator("zone")
    @classmethod
    def _is_known(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError("expected a time zone such as Europe/Berlin or UTC") from error
        return zone


class ColumnMapping(_Strict):
    """The content of a mapping file; see the module."""

    battery_id: str | None = None
    battery_id_column: str | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=1)
    dbc: str | None = None
    channel: str | None = None
    time: Time | None = None
    voltage: Place
    current: Current
    temperature: Place | None = None
    ambient_temperature: Place | None = None
    state_of_charge: Place | None = None

    @model_validator(mode="after")
    def _units_fit(self) -> Self:
        for column, place in self.places().items():
            unit = unit_of(place.unit) if place.unit else None
            if place.unit and (unit is None or not column.endswith(f"_{unit.name}")):
                raise ValueError(f"unit {place.unit!r} is not a known one of {column}; give factor instead")
        return self

    def places(self) -> dict[str, Place]:
        """Return where the quantities stand, by canonical column."""
        return {column: place for name, column in QUANTITIES.items() if (place := getattr(self, name)) is not None}


def parse_mapping(path: Path, content: bytes) -> ColumnMapping:
    """Return the mapping that a file holds.

    :param path: the file, for messages; :func:`~battery_pilot.measurements.field.beside.mapping_of` finds and reads it.
    :param content: TOML in UTF-8.
    :raises MeasurementError: naming the key that is missing, unknown or wrong.
    """
    try:
        return ColumnMapping.model_validate(tomllib.loads(content.decode("utf-8-sig")))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise MeasurementError(path, "file", f"cannot be read as TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "file"
        problem = first["msg"].removeprefix("Value error, ")
        raise MeasurementError(path, f"key {key}", problem) from error
