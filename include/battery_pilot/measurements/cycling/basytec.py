"""Basytec result files: a header of lines that begin with a tilde, the last of which has the headings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.columns import demand, find_columns, left_out
from battery_pilot.measurements.cycling.log import directed, direction, seconds, values_of
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.row_times import row_moments
from battery_pilot.measurements.source import Source
from battery_pilot.measurements.tables import cycling_measurement
from battery_pilot.measurements.text import split_cells, trim_empty
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement

_EXPECTED = "a Basytec result file"
_HEADINGS = "~Time"
_FIRST = "~Resultfile from Basytec"
_COMMAND, _MOMENT, _CLOCK = "command", "moment", "Time of day"
_NAMES = {
    "time": "test_time_second",
    "time[h:min:s]": "test_time_second",
    "u": "voltage_volt",
    "i": "current_ampere",
    "cyccount": "cycle_count",
    "line": "step_index",
    "t1": "temperature_t1_celsius",
    "t1[�c]": "temperature_t1_celsius",
    "ahcyccharge": "charging_capacity_ah",
    "ahcycdischarge": "discharging_capacity_ah",
    "whcyccharge": "charging_energy_wh",
    "whcycdischarge": "discharging_energy_wh",
    "rdc": "dc_internal_resistance_ohm",
    "rac": "ac_internal_resistance_ohm",
    "command": _COMMAND,
    "datetime": _MOMENT,
}
_FACTS = {"~Battery": "cell_id", "~Testchannel": "channel"}
_CHARGES, _DISCHARGES = ("charge",), ("discharge",)


class BasytecReader:
    """Reads an export of the Basytec Battery Test Software; counters are those of the cycle."""

    name = "basytec-text"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".txt", ".dat", ".csv")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 95 for the first line of a result file, 85 for its headings without the header."""
        head = source.head_text
        if not head.startswith("~"):
            return 0
        return 95 if head.startswith(_FIRST) else 85 if head.startswith("~Time[") and "U[" in head else 0

    def read(self, source: Source) -> Measurement:
        """Read the rows below the headings.

        :raises MeasurementError: for missing headings, a gap in time, voltage or current, or a row that breaks off.
        """
        text = source.text(_EXPECTED)
        start = 0 if text.startswith(_HEADINGS) else text.find(f"\n{_HEADINGS}") + 1
        heading_line = text.count("\n", 0, start) + 1
        # The header, the headings and the first row: a list of all lines of a large file would fill the memory.
        lines = text.split("\n", heading_line + 1)[: heading_line + 1]
        del text
        if not lines[heading_line - 1].startswith(_HEADINGS):
            raise source.error("header", "expected headings that begin with ~Time, found none: the file is truncated")
        warnings: list[str] = []
        facts = _facts(lines[: heading_line - 1], warnings)
        table_source, delimiter, cells = _table(source, lines, heading_line)
        headings = [cells[0].removeprefix("~"), *cells[1:]]
        place = f"line {heading_line}"
        columns = find_columns(headings, _NAMES, source, place)
        demand(columns, CYCLING_COLUMNS, headings, source, place)
        wanted = [column.position for column in columns.values()]
        clock = headings.index(_CLOCK) if _CLOCK in headings else None
        if clock is not None:
            wanted.append(clock)
        table = DelimitedTable(table_source, heading_line, cells, delimiter, wanted, warnings)
        facts["columns_left_out"] = left_out(headings, wanted)
        time = columns.pop("test_time_second")
        command, moment = columns.pop(_COMMAND, None), columns.pop(_MOMENT, None)
        values = values_of(table, columns)
        values["test_time_second"] = seconds(table, time, headings[time.position], warnings)
        for name in ("discharging_capacity_ah", "discharging_energy_wh"):
            if name in values:
                values[name] = np.abs(values[name])
        if command is not None:
            rows = direction(table.text(command.position), _CHARGES, _DISCHARGES)
            values["current_ampere"] = directed(values["current_ampere"], rows, warnings)
        moments = moment and row_moments(_dates(table, moment.position, clock), facts, warnings)
        return cycling_measurement(
            source, self.name, values, moments=moments, instrument="Basytec", facts=facts, warnings=warnings
        )


def _table(source: Source, lines: Sequence[str], heading_line: int) -> tuple[Source, str, list[str]]:
    """Return file, delimiter and headings; runs of blanks become one tab where blanks divide the cells."""
    line = lines[heading_line - 1]
    delimiter = next((candidate for candidate in "\t;" if candidate in line), "")
    if delimiter:
        return source, delimiter, trim_empty(split_cells(line, delimiter))
    headings = line.split()
    first = lines[heading_line].split() if heading_line < len(lines) else []
    if len(first) == len(headings) + 1 and "DateTime" in headings:
        headings.insert(headings.index("DateTime") + 1, _CLOCK)
    return Source(_with_tabs(source.data), source.name), "\t", headings


def _with_tabs(data: bytes) -> bytes:
    """Return a table with one tab in place of each run of blanks, and none at the ends of a row."""
    data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    for end in (b"\n", b"\r"):
        data = data.replace(b" " + end, end).replace(end + b" ", end)
    return data.strip(b" ").replace(b" ", b"\t")


def _dates(table: DelimitedTable, position: int, clock: int | None) -> list[str]:
    dates: list[str] = table.text(position).to_pylist()
    if clock is None:
        return dates
    return [f"{day} {time}" for day, time in zip(dates, table.text(clock).to_pylist(), strict=True)]


def _facts(header: Sequence[str], warnings: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for line in header:
        label, _, value = line.partition(":")
        value = value.strip()
        if value and label in _FACTS:
            facts[_FACTS[label]] = value
        elif label == "~Start of Test":
            facts |= start_facts(value, DATES, warnings)
    return facts | facts_in("\n".join(header), warnings)
