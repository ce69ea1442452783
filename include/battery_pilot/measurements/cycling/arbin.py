"""Arbin and Battery Archive CSV exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import leading_facts
from battery_pilot.measurements.model import CYCLING_COLUMNS, Kind, Measurement
from battery_pilot.measurements.tables import cycling_measurement
from battery_pilot.measurements.text import (
    delimiter_of,
    first_data_line,
    shown,
    split_cells,
    to_float,
    trim_empty,
)
from battery_pilot.measurements.times import row_moments
from battery_pilot.measurements.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.source import Source

_EXPECTED = "Arbin CSV"
# Spelling without blanks and underscores; of several spellings in one file the first in this order wins.
_NAMES = {
    "testtime": "test_time_second",
    "voltage": "voltage_volt",
    "current": "current_ampere",
    "cycleindex": "cycle_count",
    "stepindex": "step_index",
    "celltemperature": "temperature_t1_celsius",
    "auxtemperature1": "temperature_t1_celsius",
    "temperature": "temperature_t1_celsius",
    "environmenttemperature": "ambient_temperature_celsius",
    "chargecapacity": "charging_capacity_ah",
    "dischargecapacity": "discharging_capacity_ah",
    "chargeenergy": "charging_energy_wh",
    "dischargeenergy": "discharging_energy_wh",
    "internalresistance": "dc_internal_resistance_ohm",
    "acr": "ac_internal_resistance_ohm",
}
_MOMENT_NAMES = ("datetime",)
_CELL_NAMES = ("itemid",)
_COUNTER_NAMES = {"cycleindex", "stepindex", "datapoint"}
_COMPANION_NAMES = {"testid", "deviceid", "schedulefilename"}
_CYCLE_SUMMARY_NAMES = {"cycleindex", "starttime", "endtime", "mincurrent", "maxcurrent"}
_EARLIEST_EPOCH_SECOND = 1e8


class _Heading(NamedTuple):
    """A heading without blanks and underscores, its unit if it states one, and its position."""

    name: str
    unit: str
    position: int


class ArbinCsvReader:
    """Reads the channel data of an Arbin export; capacities are the cycler's own counters."""

    name = "arbin-csv"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 70 for the headings of channel data, of a companion file and of a cycle summary."""
        _, line = source.first_data_line
        names = {heading.name for heading in _headings(split_cells(line, delimiter_of(line)))}
        channel_data = {"testtime", "voltage", "current"} <= names and bool(names & _COUNTER_NAMES)
        return 70 if channel_data or names >= _COMPANION_NAMES or names >= _CYCLE_SUMMARY_NAMES else 0

    def read(self, source: Source) -> Measurement:
        """Read the channel data.

        :raises MeasurementError: for a companion metadata file, a cycle summary, a gap in a required column or a cut end.
        """
        text = source.text(_EXPECTED)
        warnings: list[str] = []
        facts = leading_facts(text[:65536].split("\n"), warnings)
        heading_line, line = first_data_line(text)
        delimiter = delimiter_of(line)
        cells = trim_empty(split_cells(line, delimiter))
        headings = _headings(cells)
        place = f"line {heading_line}"
        _refuse_companions({heading.name for heading in headings}, source, place)
        columns = _columns(headings, source, place, cells)
        moment = _position(headings, _MOMENT_NAMES)
        cell = _position(headings, _CELL_NAMES)
        positions = [index for index, _ in columns.values()]
        positions += [index for index in (moment, cell) if index is not None]
        table = DelimitedTable(text, source, heading_line, cells, delimiter, sorted(positions), warnings)
        values = {name: table.required(*columns.pop(name)) for name in CYCLING_COLUMNS}
        for name, (index, factor) in columns.items():
            found = table.optional(index, name, factor)
            if found is not None:
                values[name] = found
        if cell is not None and table.text(cell)[0].as_py():
            facts.setdefault("cell_id", table.text(cell)[0].as_py())
        return cycling_measurement(
            source,
            self.name,
            values,
            moments=None if moment is None else _moments(table, moment, facts, warnings),
            instrument="Arbin",
            facts=facts,
            warnings=warnings,
        )


def _headings(cells: Sequence[str]) -> list[_Heading]:
    headings = []
    for index, cell in enumerate(cells):
        name, _, unit = cell.partition("(")
        plain = name.lower().replace("_", "").replace(" ", "")
        headings.append(_Heading(plain, unit.rstrip().removesuffix(")"), index))
    return headings


def _position(headings: Sequence[_Heading], names: Sequence[str]) -> int | None:
    return next((heading.position for heading in headings if heading.name in names), None)


def _refuse_companions(names: set[str], source: Source, place: str) -> None:
    if names >= _COMPANION_NAMES and "voltage" not in names:
        problem = (
            "a companion metadata file of an Arbin test (one row per test), not cycling data; "
            "hand in the file of the same name without '_Metadata'"
        )
        raise source.error(place, problem)
    if names >= _CYCLE_SUMMARY_NAMES and "voltage" not in names:
        problem = (
            "a cycle summary (one row per cycle), not cycling data; hand in the time series of the same test, "
            "which has columns for test time, current and voltage"
        )
        raise source.error(place, problem)


def _columns(
    headings: Sequence[_Heading], source: Source, place: str, cells: Sequence[str]
) -> dict[str, tuple[int, float]]:
    """Return position and factor of each canonical column of the file."""
    by_name: dict[str, _Heading] = {}
    for heading in headings:
        by_name.setdefault(heading.name, heading)
    columns: dict[str, tuple[int, float]] = {}
    for spelling, name in _NAMES.items():
        if spelling not in by_name or name in columns:
            continue
        heading = by_name[spelling]
        unit = unit_of(heading.unit) if heading.unit else None
        if heading.unit and (unit is None or not name.endswith(f"_{unit.name}")):
            problem = f"{shown(cells[heading.position])}: the unit {shown(heading.unit)} is not one of {name}"
            raise source.error(place, problem)
        columns[name] = (heading.position, unit.factor if unit else 1.0)
    missing = [name for name in CYCLING_COLUMNS if name not in columns]
    if missing:
        raise source.error(place, f"columns are missing for {', '.join(missing)}")
    return columns


def _moments(table: DelimitedTable, index: int, facts: dict[str, Any], warnings: list[str]) -> pa.Array | None:
    """Return the times of the rows: seconds since 1970 in UTC, or dates."""
    texts = table.text(index)
    first = to_float(texts[0].as_py())
    if first is None:
        return row_moments(texts.to_pylist(), facts, warnings)
    seconds = table.optional(index, "measured_at")
    if seconds is None or first < _EARLIEST_EPOCH_SECOND:
        warnings.append(f"The times of the rows ({first:g}) are not seconds since 1970 and were left out.")
        return None
    known = (seconds >= _EARLIEST_EPOCH_SECOND) & (seconds < 7.3e9)
    microseconds = np.round(np.where(known, seconds, 0.0) * 1e6).astype(np.int64)
    moments = pa.array(microseconds, pa.timestamp("us", tz="UTC"), mask=~known)
    if moments[0].is_valid:
        facts.setdefault("started_at", moments[0].as_py().isoformat())
    return moments
