"""Field logs as tables: what a battery management system or a vehicle's logger recorded in use.

With a mapping file (:mod:`~battery_pilot.measurements.field.mapping`) any table is read as the file says. Without one the
usual headings are known, such as ``Pack Voltage (V)``, ``hv_battery_current_A`` or ``SOC [%]``; a missing unit and the
direction of the current are then guesses, each with a warning. The trips of a BMW i3 by Steinstraeter et al. ("Battery
and Heating Data in Real Driving Cycles", IEEE DataPort, doi:10.21227/6jr9-5235) are recognised as such.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.columns import demand, find_columns, plain
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import leading_facts
from battery_pilot.measurements.field.beside import MAPPING_FILE, mapping_of
from battery_pilot.measurements.field.clock import Clock, row_times
from battery_pilot.measurements.field.direction import charge_sign
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.tables import cycling_measurement
from battery_pilot.measurements.text import delimiter_of, shown, split_cells, to_float, trim_empty
from battery_pilot.measurements.units import split_unit, unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.field.mapping import ColumnMapping, Place
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_TIME, _VOLTAGE, _CURRENT = CYCLING_COLUMNS
_CHARGE = "state_of_charge_percent"
_BATTERY = (
    "pack",
    "battery",
    "batt",
    "bat",
    "bms",
    "hv",
    "hvbattery",
    "hvbatt",
    "batterypack",
    "battpack",
    "totalpack",
    "packtotal",
    "total",
    "string",
    "",
)


def _spellings(stems: Sequence[str], column: str) -> dict[str, str]:
    """Return headings, as ``columns.plain`` gives them, that mean a column; those that name the battery come first."""
    return {f"{part}{stem}": column for part, stem in itertools.product(_BATTERY, stems)}


_NAMES = {
    **dict.fromkeys(
        ("time", "testtime", "elapsedtime", "timestamp", "datetime", "date", "epoch", "unixtime", "unixtimestamp"),
        _TIME,
    ),
    **_spellings(("voltage", "volt", "volts", "u", "v"), _VOLTAGE),
    **_spellings(("current", "curr", "amps", "i"), _CURRENT),
    **_spellings(("soc", "stateofcharge", "socpercent", "socpct"), _CHARGE),
    **_spellings(
        ("temperature", "temp", "averagetemperature", "avgtemp", "meantemperature"), "temperature_t1_celsius"
    ),
    **dict.fromkeys(
        ("celltemperature", "celltemp", "averagecelltemperature", "avgcelltemp"), "temperature_t1_celsius"
    ),
    **dict.fromkeys(("ambienttemperature", "ambienttemp", "outsidetemperature"), "ambient_temperature_celsius"),
}
_TELLING = ("soc", "stateofcharge", "pack", "batt", "hv", "bms")
"""One of these is in a heading of a field log; a cycler's table has none."""
_CYCLER = {
    "cycle",
    "cycleindex",
    "cyclecount",
    "cyclenumber",
    "step",
    "stepindex",
    "stepcount",
    "stepnumber",
    "frequency",
}
_BMW_I3 = {"Battery Voltage [V]", "Battery Current [A]", "displayed SoC [%]", "Velocity [km/h]"}
_MAPPED_SUFFIXES = {".csv", ".txt", ".log", ".tsv", ".dat"}


@dataclass(frozen=True)
class _Column:
    """Position in the table, and the way to the unit of the canonical column: factor first, then offset."""

    position: int
    factor: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class _Layout:
    """What the columns of a log mean.

    :param columns: of the canonical quantities besides the time.
    :param time: column of the time.
    :param clock: how its cells are to be read.
    :param sign: factor that makes charging current positive; ``None`` lets the data decide.
    :param battery: column of the battery's id.
    :param facts: for the metadata.
    """

    columns: dict[str, _Column]
    time: int
    clock: Clock
    sign: float | None
    battery: int | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def used(self) -> list[int]:
        """Return the positions of all columns."""
        battery = [] if self.battery is None else [self.battery]
        return [self.time, *battery, *(column.position for column in self.columns.values())]


class FieldLogReader:
    """Reads a table with time, voltage and current of a battery in use."""

    name = "field-csv"
    kinds: tuple[Kind, ...] = ("field",)
    suffixes: tuple[str, ...] = (".csv", ".txt", ".log")
    expects = "a field log as CSV"

    def sniff(self, source: Source) -> int:
        """Return 95 for a table that a mapping file describes, 60 for the usual headings of field logs.

        A mapping file that cannot be used, or that describes other headings, counts 1: where no other format fits, its
        error is the one to be told.
        """
        if not source.first_cells or to_float(source.first_cells[0]) is not None:
            return 0
        try:
            mapping = mapping_of(source) if source.suffix in _MAPPED_SUFFIXES else None
        except MeasurementError:
            return 1
        if mapping is not None and _describes(mapping, _cells(source, mapping)):
            return 95
        if _has_usual_headings(source):
            return 60
        return 0 if mapping is None or mapping.time is None else 1

    def read(self, source: Source) -> Measurement:
        """Read the log.

        :raises MeasurementError: for a mapping file or a table that cannot be used, a column that is missing, a cell
            that is no number, two batteries, and a current whose direction cannot be told.
        """
        warnings: list[str] = []
        facts = leading_facts(source.head_text.split("\n"), warnings)
        mapping = _mapping_for(source, warnings)
        heading_line, line = source.first_data_line
        delimiter = _delimiter(line, mapping)
        headings = _cells(source, mapping)
        place = f"line {heading_line}"
        layout = (
            _usual(source, place, headings, warnings)
            if mapping is None
            else _mapped(source, place, headings, mapping)
        )
        facts.update(layout.facts)
        used = layout.used()
        facts["columns_left_out"] = tuple(cell for index, cell in enumerate(headings) if cell and index not in used)
        table = DelimitedTable(source, heading_line, headings, delimiter, used, warnings)
        if layout.battery is not None:
            _add_battery(source, table.text(layout.battery), facts)
        first = _first_cell(source, heading_line, delimiter, layout.time)
        moments, seconds = row_times(table, layout.time, headings[layout.time], first, layout.clock, facts, warnings)
        columns = {_TIME: seconds, **_values(table, layout.columns, warnings)}
        columns, moments = _without_gaps(columns, moments, warnings)
        _add_direction(source, columns, layout.sign, warnings)
        instrument = "BMW i3" if set(headings) >= _BMW_I3 else None
        return cycling_measurement(
            source,
            self.name,
            columns,
            kind="field",
            moments=moments,
            instrument=instrument,
            facts=facts,
            warnings=warnings,
        )


def _delimiter(line: str, mapping: ColumnMapping | None) -> str:
    return mapping.delimiter if mapping is not None and mapping.delimiter is not None else delimiter_of(line)


def _cells(source: Source, mapping: ColumnMapping | None) -> list[str]:
    line = source.first_data_line[1]
    return trim_empty(split_cells(line, _delimiter(line, mapping)))


def _has_usual_headings(source: Source) -> bool:
    small = source.first_data_line[1].lower().replace(" ", "").replace("_", "")
    if not any(word in small for word in _TELLING):
        return False
    names = {plain(cell) for cell in source.first_cells}
    found = {_NAMES[name] for name in names & _NAMES.keys()}
    return found.issuperset(CYCLING_COLUMNS) and not names & _CYCLER


def _first_cell(source: Source, heading_line: int, delimiter: str, position: int) -> str:
    """Return the first filled cell of a column, or an empty string where the beginning of the file holds none."""
    rows = (split_cells(line, delimiter) for line in source.head_text.split("\n")[heading_line:])
    return next((row[position] for row in rows if len(row) > position and row[position]), "")


def _mapping_for(source: Source, warnings: list[str]) -> ColumnMapping | None:
    """Return the mapping to use: none for a table with usual headings that are not those of the mapping file."""
    mapping = mapping_of(source)
    if mapping is None or _describes(mapping, _cells(source, mapping)) or not _has_usual_headings(source):
        return mapping
    warnings.append(f"{MAPPING_FILE} names other headings and was not used.")
    return None


def _describes(mapping: ColumnMapping, headings: Sequence[str]) -> bool:
    """Tell whether a table has the headings that a mapping names for time, voltage and current."""
    needed = (mapping.time, mapping.voltage, mapping.current)
    return all(place is not None and place.heading in headings for place in needed)


def _mapped(source: Source, place: str, headings: Sequence[str], mapping: ColumnMapping) -> _Layout:
    """Return the layout that a mapping file gives."""

    def position(heading: str, key: str) -> int:
        if heading not in headings:
            problem = f"no heading {shown(heading)}, which {MAPPING_FILE} names for {key}; found {shown(', '.join(headings))}"
            raise source.error(place, problem)
        return headings.index(heading)

    if mapping.time is None:
        raise source.error(place, f"{MAPPING_FILE} has no [time], which a table needs")
    columns = {
        column: _Column(position(one.heading, column), _factor(one, column), one.offset)
        for column, one in mapping.places().items()
        if one.heading is not None
    }
    demand({_TIME, *columns}, CYCLING_COLUMNS, headings, source, place)
    battery = mapping.battery_id_column
    return _Layout(
        columns=columns,
        time=position(mapping.time.heading, "time"),
        clock=Clock(mapping.time.unit, mapping.time.format, mapping.time.zone),
        sign={"charge": 1.0, "discharge": -1.0, None: None}[mapping.current.positive],
        battery=None if battery is None else position(battery, "battery_id_column"),
        facts={} if mapping.battery_id is None else {"battery_id": mapping.battery_id},
    )


def _factor(place: Place, column: str) -> float:
    """Return the factor to the unit of a column: the mapping's, else that of the heading's unit."""
    if place.factor is not None:
        return place.factor
    unit = unit_of(place.unit) if place.unit else split_unit(place.heading or "", {column.rpartition("_")[2]})[1]
    return 1.0 if unit is None else unit.factor


def _usual(source: Source, place: str, headings: Sequence[str], warnings: list[str]) -> _Layout:
    """Return the layout of a table with usual headings."""
    found = find_columns(headings, _NAMES, source, place)
    demand(found, CYCLING_COLUMNS, headings, source, place)
    time = found.pop(_TIME)
    bare = [f"{shown(headings[column.position])} as {name}" for name, column in found.items() if not column.has_unit]
    if bare:
        warnings.append(f"Headings without a unit: {', '.join(bare)} were taken; a {MAPPING_FILE} can say otherwise.")
    return _Layout(
        columns={name: _Column(column.position, column.factor) for name, column in found.items()},
        time=time.position,
        clock=Clock(None, None, "UTC"),
        # The authors of these trips count discharge as negative.
        sign=1.0 if set(headings) >= _BMW_I3 else None,
    )


def _values(table: DelimitedTable, columns: dict[str, _Column], warnings: list[str]) -> dict[str, FloatArray]:
    """Return the numbers of the columns, missing as NaN."""
    found: dict[str, FloatArray] = {}
    for name, column in columns.items():
        values = table.optional(column.position, name, column.factor)
        if values is None and name in CYCLING_COLUMNS:
            values = table.required(column.position, column.factor)
        if values is not None:
            found[name] = values + column.offset
    charge = found.get(_CHARGE)
    if charge is not None and 0 < np.nanmax(charge, initial=0.0) <= 1:
        found[_CHARGE] = charge * 100
        warnings.append("The state of charge is never above 1 and was taken as a fraction of 1, not as percent.")
    return found


def _without_gaps(
    columns: dict[str, FloatArray], moments: pa.Array | None, warnings: list[str]
) -> tuple[dict[str, FloatArray], pa.Array | None]:
    """Leave out the rows without time, voltage or current: loggers write a row when any quantity has changed."""
    known = np.isfinite([columns[name] for name in CYCLING_COLUMNS]).all(axis=0)
    if known.all():
        return columns, moments
    warnings.append(f"{np.count_nonzero(~known)} rows without time, voltage or current were left out.")
    kept = None if moments is None else moments.filter(pa.array(known))
    return {name: values[known] for name, values in columns.items()}, kept


def _add_direction(source: Source, columns: dict[str, FloatArray], sign: float | None, warnings: list[str]) -> None:
    """Make charging current positive."""
    if sign is None and len(columns[_TIME]):
        sign, reason = charge_sign(source, columns[_TIME], columns[_CURRENT], columns[_VOLTAGE], columns.get(_CHARGE))
        warnings.append(reason)
    if sign is not None:
        columns[_CURRENT] = columns[_CURRENT] * sign


def _add_battery(source: Source, texts: pa.ChunkedArray, facts: dict[str, Any]) -> None:
    """Take the battery from its column."""
    batteries = [text for text in pc.unique(texts).to_pylist() if text]
    if len(batteries) > 1:
        names = f"{shown(batteries[0])} and {shown(batteries[1])}"
        raise source.error("table", f"one battery in a file expected, found {names}; split the file")
    if batteries:
        facts["battery_id"] = batteries[0]
