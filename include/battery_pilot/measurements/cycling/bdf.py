"""Battery Data Format (BDF) as CSV, with preferred labels (``Voltage / V``) or machine names (``voltage_volt``).

Lines ``# key=value`` above the headings become metadata. A table with frequencies is an impedance measurement.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import leading_facts
from battery_pilot.measurements.model import CYCLING_COLUMNS, Kind, Measurement
from battery_pilot.measurements.tables import FloatArray, Points, cycling_measurement, impedance_measurement
from battery_pilot.measurements.text import (
    delimiter_of,
    first_data_line,
    shown,
    split_cells,
    trim_empty,
)
from battery_pilot.measurements.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.source import Source

_EXPECTED = "BDF CSV"
_LABEL = re.compile(r"([A-Za-z][A-Za-z0-9 _-]{0,80}?) ?/ ?(\S{1,12})")
_UNIT_WORDS = ("second", "volt", "ampere", "ah", "wh", "watt", "hertz", "ohm", "degree", "celsius", "pa")
_COUNTER_WORDS = ("count", "index")
_ALIASES = {
    "charge_capacity_ah": "charging_capacity_ah",
    "discharge_capacity_ah": "discharging_capacity_ah",
    "charge_energy_wh": "charging_energy_wh",
    "discharge_energy_wh": "discharging_energy_wh",
    "surface_temperature_t1_celsius": "temperature_t1_celsius",
}
_STEP_TYPE = "step_type"
_BATTERY = "battery_id"
_WITHOUT_UNIT = {
    "Step Type": _STEP_TYPE,
    _STEP_TYPE: _STEP_TYPE,
    "Step ID": "step_id",
    "step_id": "step_id",
    _BATTERY: _BATTERY,
}
_COMMENT_CHARACTERS = 65536
_IMPEDANCE = ("frequency_hertz", "real_impedance_ohm", "imaginary_impedance_ohm")
_POLAR = ("frequency_hertz", "absolute_impedance_ohm", "phase_degree")
# Tables written by this library carry these; they are made anew from the file.
_IDENTITY = {"source_sha256", "measured_at"}


class _Column(NamedTuple):
    """Position in the file and factor to the unit in the machine name."""

    position: int
    factor: float


class BdfCsvReader:
    """Reads BDF CSV; the columns beyond the required ones are kept under their machine names."""

    name = "bdf-csv"
    kinds: tuple[Kind, ...] = ("cycling", "impedance")
    suffixes: tuple[str, ...] = (".bdf", ".csv")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 80 for all required headings of one kind, 40 for two of the three of a cycler log."""
        _, line = source.first_data_line
        names = {_machine_name(cell)[0] for cell in split_cells(line, delimiter_of(line))}
        if names.issuperset(CYCLING_COLUMNS) or names.issuperset(_IMPEDANCE) or names.issuperset(_POLAR):
            return 80
        return 40 if len(names.intersection(CYCLING_COLUMNS)) == len(CYCLING_COLUMNS) - 1 else 0

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for a missing required column, a repeated heading, a gap in a required column or a cut end.
        """
        text = source.text(_EXPECTED)
        warnings: list[str] = []
        facts = leading_facts(text[:_COMMENT_CHARACTERS].split("\n"), warnings)
        heading_line, heading = first_data_line(text)
        delimiter = delimiter_of(heading)
        headings = trim_empty(split_cells(heading, delimiter))
        columns = _columns(headings, source, heading_line)
        is_impedance = columns.keys() >= set(_IMPEDANCE) or columns.keys() >= set(_POLAR)
        missing = [] if is_impedance else [name for name in CYCLING_COLUMNS if name not in columns]
        if missing:
            problem = f"required BDF columns are missing: {', '.join(missing)}"
            raise source.error(f"line {heading_line}", problem)
        left_out = [shown(cell) for cell in headings if cell and _machine_name(cell)[0] is None]
        if left_out:
            warnings.append(f"Columns that are not BDF quantities were left out: {', '.join(left_out)}.")
        wanted = sorted(column.position for column in columns.values())
        table = DelimitedTable(text, source, heading_line, headings, delimiter, wanted, warnings)
        battery = columns.pop(_BATTERY, None)
        if battery is not None:
            _add_battery(table.text(battery.position), facts, source)
        if is_impedance:
            points = _points(table, columns)
            return impedance_measurement(source, self.name, points, facts=facts, warnings=warnings)
        values = _values(table, columns, warnings)
        return cycling_measurement(
            source,
            self.name,
            values,
            moments=_moments(values.get("unix_time_second")),
            facts=facts,
            warnings=warnings,
        )


def _machine_name(heading: str) -> tuple[str | None, float]:
    """Return the machine name of a heading and the factor to its unit, or ``None`` for what is no BDF quantity."""
    if heading in _WITHOUT_UNIT:
        return _WITHOUT_UNIT[heading], 1.0
    if heading in _IDENTITY:
        return None, 1.0
    label = _LABEL.fullmatch(heading)
    if label is None:
        name, factor = heading, 1.0
        last_word = name.rpartition("_")[2]
        if name != name.lower() or last_word not in _UNIT_WORDS + _COUNTER_WORDS:
            return None, 1.0
    else:
        unit = unit_of(label[2])
        if unit is None:
            return None, 1.0
        words = re.sub(r"[ _-]+", "_", label[1].lower())
        name, factor = f"{words}_{unit.name}".rstrip("_"), unit.factor
        if not unit.name and name != _STEP_TYPE and name.rpartition("_")[2] not in _COUNTER_WORDS:
            return None, 1.0
    return _ALIASES.get(name, name), factor


def _columns(headings: Sequence[str], source: Source, line: int) -> dict[str, _Column]:
    columns: dict[str, _Column] = {}
    for index, heading in enumerate(headings):
        name, factor = _machine_name(heading)
        if name is None:
            continue
        if name in columns:
            problem = (
                f"two columns for {name}: {shown(headings[columns[name].position])} and {shown(heading)}; keep one"
            )
            raise source.error(f"line {line}", problem)
        columns[name] = _Column(index, factor)
    surface = columns.get("surface_temperature_celsius")
    if surface and "temperature_t1_celsius" not in columns:
        columns["temperature_t1_celsius"] = columns.pop("surface_temperature_celsius")
    return columns


def _add_battery(texts: pa.ChunkedArray, facts: dict[str, Any], source: Source) -> None:
    """Take the battery from its column; BDF has one cell in a file."""
    batteries = [text for text in pc.unique(texts).to_pylist() if text]
    if len(batteries) > 1:
        problem = (
            f"one battery in a file expected, found {shown(batteries[0])} and {shown(batteries[1])}; split the file"
        )
        raise source.error(f"column {_BATTERY}", problem)
    if batteries:
        facts[_BATTERY] = batteries[0]


def _values(table: DelimitedTable, columns: dict[str, _Column], warnings: list[str]) -> dict[str, FloatArray]:
    """Return the numbers of a cycler log, charge current positive."""
    values = {name: table.required(*columns[name]) for name in CYCLING_COLUMNS}
    for name, column in columns.items():
        if name not in values and name != _STEP_TYPE:
            found = table.optional(column.position, name, column.factor)
            if found is not None:
                values[name] = found
    if _STEP_TYPE in columns:
        _check_direction(values, table.text(columns[_STEP_TYPE].position), warnings)
    return values


def _points(table: DelimitedTable, columns: dict[str, _Column]) -> Points:
    frequency = table.required(*columns["frequency_hertz"])
    if columns.keys() >= set(_IMPEDANCE):
        real, imaginary = (table.required(*columns[name]) for name in _IMPEDANCE[1:])
    else:
        magnitude, phase = (table.required(*columns[name]) for name in _POLAR[1:])
        real, imaginary = magnitude * np.cos(np.radians(phase)), magnitude * np.sin(np.radians(phase))
    spectrum = table.required(*columns["spectrum_index"]) if "spectrum_index" in columns else None
    return Points(frequency, real, imaginary, spectrum, [table.line(row) for row in range(len(frequency))])


def _check_direction(values: dict[str, FloatArray], step_type: pa.ChunkedArray, warnings: list[str]) -> None:
    """Turn the current round where the step types say that the file counts discharge as positive."""
    types = np.char.lower(step_type.to_numpy().astype(str))
    current = values["current_ampere"]
    discharging = np.char.find(types, "discharg") >= 0
    charging = (np.char.find(types, "charg") >= 0) & ~discharging
    wrong = np.count_nonzero(current[discharging] > 0) + np.count_nonzero(current[charging] < 0)
    right = np.count_nonzero(current[discharging] < 0) + np.count_nonzero(current[charging] > 0)
    if wrong > right:
        values["current_ampere"] = -current
        warnings.append(
            "The step types show that the file counts discharge current as positive, against BDF; "
            "the sign of the current was turned round."
        )


def _moments(unix_time: FloatArray | None) -> pa.Array | None:
    if unix_time is None:
        return None
    # Years 1900 to 2200; what lies outside is no time of a measurement.
    known = (unix_time > -2.2e9) & (unix_time < 7.3e9)
    microseconds = np.round(np.where(known, unix_time, 0.0) * 1e6).astype(np.int64)
    return pa.array(microseconds, pa.timestamp("us", tz="UTC"), mask=~known)
