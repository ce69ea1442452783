"""Maccor text exports of all generations: with tabs or commas, a header or none, and either decimal sign."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery_pilot.measurements.columns import demand, find_columns, left_out, plain
from battery_pilot.measurements.cycling.current_sign import signed_by_voltage_steps
from battery_pilot.measurements.cycling.log import seconds, values_of
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.row_times import row_moments
from battery_pilot.measurements.source import Source
from battery_pilot.measurements.tables import BoolArray, FloatArray, cycling_measurement
from battery_pilot.measurements.text import delimiter_of, shown, split_cells, trim_empty
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.columns import Column
    from battery_pilot.measurements.model import Kind, Measurement

_EXPECTED = "Maccor text"
_BEGINNINGS = ("Today's Date", "Today''s Date", "Rec\t", "Rec#\t", "Rec,", "Rec#,", "Cyc#,")
_FIRST_HEADINGS = ("Rec#", "Rec", "Cyc#")
_STATISTICS = "TesterID:"
_HEADERS_WITH_CONTROL_BYTES = (b"Name:", b"Today")
_CONTROL_BYTES_TO_BLANKS = bytes(octet if octet > 31 or octet in b"\t\r\n" else 32 for octet in range(256))
_LINES_OF_HEADER = 30
_START = re.compile(r"(?:Date of Test:|Started)[\t,]? *([^\t\n]*)")
_CELL = re.compile(r"(?:Comment/Barcode:|^Name:)[\t ]*([^\t\n]*)")
_CHANNEL = re.compile(r"(?:Tester Channel|^Channel):\t([^\t\n]*)", re.MULTILINE)
_CLOCK = re.compile(r"\d{1,2}:\d{2}:\d{2}")
# Quantities that the headings name by their unit.
_UNIT_HEADINGS = {
    "amps": "current(A)",
    "mamps": "current(mA)",
    "volts": "voltage(V)",
    "amp-hr": "capacity(Ah)",
    "mamp-hr": "capacity(mAh)",
    "watt-hr": "energy(Wh)",
    "mwatt-hr": "energy(mWh)",
    "test (min)": "test(min)",
    "test time (min)": "test(min)",
    "testtime (min)": "test(min)",
}
_STEP_CAPACITY, _STEP_ENERGY = "step_capacity_ah", "step_energy_wh"
# Headings as :func:`plain` gives them.
_NAMES = {
    "test": "test_time_second",
    "testtime": "test_time_second",
    "current": "current_ampere",
    "voltage": "voltage_volt",
    "cyc": "cycle_count",
    "cyclec": "cycle_count",
    "cycle": "cycle_count",
    "step": "step_index",
    "temp1": "temperature_t1_celsius",
    "acimp": "ac_internal_resistance_ohm",
    "dcir": "dc_internal_resistance_ohm",
    "capacity": _STEP_CAPACITY,
    "cap": _STEP_CAPACITY,
    "energy": _STEP_ENERGY,
    "ener": _STEP_ENERGY,
}
_DIRECTED = {
    _STEP_CAPACITY: ("charging_capacity_ah", "discharging_capacity_ah"),
    _STEP_ENERGY: ("charging_energy_wh", "discharging_energy_wh"),
}
_TIME_UNITS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
# No cell that a tester with a range of milliampere drives has so many volts.
_IMPLAUSIBLE_VOLT = 100.0


class MaccorReader:
    """Reads a Maccor export and gives the current its sign.

    The counters of charge and energy begin anew in each step, without a direction; they are added up for charge and
    discharge where the file has the State column.
    """

    name = "maccor-text"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = ()
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for the header of an export and for headings that begin with Rec or Cyc#, 60 for its statistics."""
        head = _readable(source).head_text
        if head.startswith(_BEGINNINGS) or (head.startswith("Name:") and "\nRec\tCycle P\t" in head):
            return 90
        return 60 if head.startswith(_STATISTICS) else 0

    def read(self, source: Source) -> Measurement:
        """Read the records.

        :raises MeasurementError: for missing headings, a row that breaks off, or a current whose direction is not known.
        """
        raw, source = source, _readable(source)
        if source.head_text.startswith(_STATISTICS):
            problem = "a statistics file (one row per cycle), not cycling data; hand in the export of the records"
            raise source.error("line 1", problem)
        heading_line, headings, delimiter = _find_headings(source)
        place = f"line {heading_line}"
        columns = find_columns([_UNIT_HEADINGS.get(cell.lower(), cell) for cell in headings], _NAMES, source, place)
        demand(columns, CYCLING_COLUMNS, headings, source, place)
        state, moment = _position(headings, "state", "md"), _position(headings, "dpttime")
        wanted = [column.position for column in columns.values()]
        wanted += [position for position in (state, moment) if position is not None]
        warnings: list[str] = []
        table = DelimitedTable(source, heading_line, headings, delimiter, wanted, warnings)
        header = "\n".join(source.head_text.split("\n", heading_line)[: heading_line - 1])
        facts = {**_metadata(header, warnings), "columns_left_out": left_out(headings, wanted)}
        moments = None if moment is None else _row_moments(table, moment, header, facts, warnings)
        time_heading = headings[columns["test_time_second"].position]
        time = _test_time(table, columns.pop("test_time_second"), time_heading, moments, warnings)
        values = {"test_time_second": time, **values_of(table, columns)}
        if "mamps" in map(str.lower, headings):
            _check_volts(values, warnings)
        values = _directed(values, None if state is None else table.text(state), source, warnings)
        return cycling_measurement(
            raw, self.name, values, moments=moments, instrument="Maccor", facts=facts, warnings=warnings
        )


def _readable(source: Source) -> Source:
    """Return the file without the control bytes that stand in the description of some tests."""
    if not source.head.startswith(_HEADERS_WITH_CONTROL_BYTES) or source.head_text:
        return source
    end = source.data.find(b"\nRec")
    header = source.data[: max(end, 0)].translate(_CONTROL_BYTES_TO_BLANKS)
    return Source(header + source.data[len(header) :], source.name)


def _find_headings(source: Source) -> tuple[int, list[str], str]:
    """Return the line of the headings, the headings and their delimiter."""
    for line, content in enumerate(source.head_text.split("\n", _LINES_OF_HEADER)[:_LINES_OF_HEADER], start=1):
        if content.startswith(_FIRST_HEADINGS):
            delimiter = delimiter_of(content)
            cells = trim_empty(split_cells(content, delimiter))
            if len(cells) > 1 and cells[0] in _FIRST_HEADINGS:
                return line, cells, delimiter
    problem = "expected a line of headings that begins with Rec#, found none: the file is truncated or no export"
    raise source.error("header", problem)


def _position(headings: Sequence[str], *names: str) -> int | None:
    plain_headings = [plain(cell) for cell in headings]
    return next((plain_headings.index(name) for name in names if name in plain_headings), None)


def _test_time(
    table: DelimitedTable, column: Column, heading: str, moments: pa.Array | None, warnings: list[str]
) -> FloatArray:
    """Return test time in second from a column in seconds, minutes, hours, or days and clock time."""
    if column.has_unit or ":" in table.first(column.position):
        return seconds(table, column, heading, warnings)
    times = table.required(column.position)
    unit = _unit_shown_by(moments, times)
    if unit is None:
        warnings.append(f"{shown(heading)} states no unit and was taken as seconds.")
        return times
    warnings.append(f"{shown(heading)} states no unit; the times of the rows show that it counts {unit}.")
    return np.multiply(times, _TIME_UNITS[unit])


def _unit_shown_by(moments: pa.Array | None, times: FloatArray) -> str | None:
    """Return the unit in which test times are as long as the dates of the rows tell, or ``None``."""
    if moments is None or moments.null_count or times[-1] <= times[0]:
        return None
    span_second = (moments[-1].value - moments[0].value) / 1e6
    ratio = span_second / (times[-1] - times[0])
    return next((unit for unit, factor in _TIME_UNITS.items() if 0.9 < ratio / factor < 1.5), None)


def _check_volts(values: dict[str, FloatArray], warnings: list[str]) -> None:
    """Turn millivolt into volt where the file calls them volt."""
    highest = float(np.abs(values["voltage_volt"]).max())
    if highest > _IMPLAUSIBLE_VOLT:
        values["voltage_volt"] = values["voltage_volt"] / 1000
        warnings.append(
            f"The voltages, up to {highest:g}, are called volt but were taken as millivolt, like the current."
        )


def _directed(
    values: dict[str, FloatArray], state: pa.ChunkedArray | None, source: Source, warnings: list[str]
) -> dict[str, FloatArray]:
    """Give charge (state C) a positive and discharge (state D) a negative current, and the counters a direction.

    Some exports write the discharge current with its sign and some without; without states, the counters are left out.
    """
    if state is None:
        voltage, current = values["voltage_volt"], values["current_ampere"]
        signed = signed_by_voltage_steps(current, voltage, source, warnings)
        return {name: column for name, column in values.items() if name not in _DIRECTED} | {"current_ampere": signed}
    states = pc.dictionary_encode(state.combine_chunks())
    letters = np.array([word.upper() for word in states.dictionary.to_pylist()])
    charging, discharging = ((letters == letter)[states.indices.to_numpy()] for letter in "CD")
    current = values["current_ampere"]
    others = np.count_nonzero(current[~charging & ~discharging])
    if others:
        warnings.append(f"{others} rows with current are in neither charge (C) nor discharge (D); its sign was kept.")
    values["current_ampere"] = np.where(charging, np.abs(current), np.where(discharging, -np.abs(current), current))
    begins = _counter_begins(values)
    for name, directed_names in _DIRECTED.items():
        counter = values.pop(name, None)
        if counter is not None and begins is not None and np.isfinite(counter).all():
            growth = np.diff(counter, prepend=counter[0])
            growth[begins] = counter[begins]
            for directed_name, rows in zip(directed_names, (charging, discharging), strict=True):
                values[directed_name] = np.cumsum(np.where(rows, growth, 0.0))
    return values


def _counter_begins(values: dict[str, FloatArray]) -> BoolArray | None:
    """Return the rows in which the counter of charge begins anew; ``None`` for a file without counter or steps.

    It does so in each step, or goes on, as the tester was set. Where it falls it has begun anew; where it does not
    fall with a new step, the current tells which of the two it has done.
    """
    counter, step = values.get(_STEP_CAPACITY), values.get("step_index")
    if counter is None or step is None or not np.isfinite(counter).all():
        return None
    begins = np.zeros(len(counter), dtype=np.bool_)
    growth = np.diff(counter)
    charge = np.abs(values["current_ampere"][1:]) * np.diff(values["test_time_second"]) / 3600
    is_new_step = step[1:] != step[:-1]
    begins[1:] = (growth < 0) | (is_new_step & (np.abs(counter[1:] - charge) < np.abs(growth - charge)))
    return begins


def _date_of_test(header: str) -> str:
    found = _START.search(header)
    return found[1].partition(" Filename")[0].strip() if found else ""


def _metadata(header: str, warnings: list[str]) -> dict[str, Any]:
    """Return the facts in the lines above the headings; the cell's id is the barcode up to its first comma."""
    start = _date_of_test(header)
    facts = start_facts(start, DATES, warnings) if ":" in start else {}
    for name, pattern in (("cell_id", _CELL), ("channel", _CHANNEL)):
        found = pattern.search(header)
        text = found[1].partition(",")[0].strip() if found else ""
        if text:
            facts[name] = text
    facts.update(facts_in(header, warnings))
    return facts


def _row_moments(
    table: DelimitedTable, index: int, header: str, facts: dict[str, Any], warnings: list[str]
) -> pa.Array | None:
    """Return the times of the rows; where they have no date, the first one completes the date of the test."""
    first = table.first(index)
    if not _CLOCK.fullmatch(first):
        return row_moments(table.text(index), facts, warnings) if ":" in first else None
    if "started_at" not in facts:
        facts.update(start_facts(f"{_date_of_test(header)} {first}", DATES, warnings))
    return None
