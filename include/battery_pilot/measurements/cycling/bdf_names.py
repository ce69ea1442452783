"""Headings of the Battery Data Format: preferred labels, machine names, and the names of its first versions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from battery_pilot.measurements.text import shown
from battery_pilot.measurements.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from battery_pilot.measurements.source import Source

STEP_TYPE = "step_type"
BATTERY = "battery_id"
IMPEDANCE = ("frequency_hertz", "real_impedance_ohm", "imaginary_impedance_ohm")
POLAR = ("frequency_hertz", "absolute_impedance_ohm", "phase_degree")

_LABEL = re.compile(r"([A-Za-z][A-Za-z0-9 _-]{0,80}?) ?/ ?(\S{1,12})")
_UNIT_WORDS = ("second", "volt", "ampere", "ah", "wh", "watt", "hertz", "ohm", "degree", "celsius", "pa")
_COUNTER_WORDS = ("count", "index")
_ALIASES = {
    "charge_capacity_ah": "charging_capacity_ah",
    "discharge_capacity_ah": "discharging_capacity_ah",
    "charge_energy_wh": "charging_energy_wh",
    "discharge_energy_wh": "discharging_energy_wh",
    "surface_temperature_t1_celsius": "temperature_t1_celsius",
    "date_time_second": "unix_time_second",
    "cycle_dimensionless": "cycle_count",
    "step_dimensionless": "step_index",
}
_WITHOUT_UNIT = {
    "Step Type": STEP_TYPE,
    STEP_TYPE: STEP_TYPE,
    "Step ID": "step_id",
    "step_id": "step_id",
    BATTERY: BATTERY,
}
# Tables written by this library carry these; they are made anew from the file.
_IDENTITY = {"source_sha256", "measured_at"}
_MILLISECOND = "_millisecond"


class Column(NamedTuple):
    """Position in the file and factor to the unit in the machine name."""

    position: int
    factor: float


@lru_cache(maxsize=4096)
def machine_name(heading: str) -> tuple[str | None, float]:
    """Return the machine name of a heading and the factor to its unit, or ``None`` for what is no BDF quantity.

    :param heading: for example ``Voltage / mV``, which gives ``voltage_volt`` and 0.001.
    """
    if heading in _WITHOUT_UNIT:
        return _WITHOUT_UNIT[heading], 1.0
    if heading in _IDENTITY:
        return None, 1.0
    label = _LABEL.fullmatch(heading)
    name, factor = _from_machine_name(heading) if label is None else _from_label(label[1], label[2])
    return (None, 1.0) if name is None else (_ALIASES.get(name, name), factor)


def _from_machine_name(heading: str) -> tuple[str | None, float]:
    if heading != heading.lower():
        return None, 1.0
    if heading.endswith(_MILLISECOND):
        return heading.removesuffix(_MILLISECOND) + "_second", 1e-3
    is_known = heading in _ALIASES or heading.rpartition("_")[2] in _UNIT_WORDS + _COUNTER_WORDS
    return (heading if is_known else None), 1.0


def _from_label(words: str, unit_text: str) -> tuple[str | None, float]:
    unit = unit_of(unit_text)
    if unit is None:
        return None, 1.0
    name = f"{re.sub(r'[ _-]+', '_', words.lower())}_{unit.name}".rstrip("_")
    is_known = unit.name or name == STEP_TYPE or name.rpartition("_")[2] in _COUNTER_WORDS
    return (name if is_known else None), unit.factor


def machine_columns(headings: Sequence[str], source: Source, place: str) -> dict[str, Column]:
    """Return the columns of a table by machine name.

    :param headings: of the table.
    :param source: the file, for the error message.
    :param place: place of the headings, for the error message.
    :raises MeasurementError: for two columns of one quantity.
    """
    columns: dict[str, Column] = {}
    for index, heading in enumerate(headings):
        name, factor = machine_name(heading)
        if name is None:
            continue
        if name in columns:
            problem = (
                f"two columns for {name}: {shown(headings[columns[name].position])} and {shown(heading)}; keep one"
            )
            raise source.error(place, problem)
        columns[name] = Column(index, factor)
    surface = columns.get("surface_temperature_celsius")
    if surface and "temperature_t1_celsius" not in columns:
        columns["temperature_t1_celsius"] = columns.pop("surface_temperature_celsius")
    return columns


def is_impedance(names: Collection[str | None]) -> bool:
    """Tell whether machine names are those of a spectrum, in either notation.

    :param names: of a table.
    """
    return set(IMPEDANCE) <= set(names) or set(POLAR) <= set(names)
