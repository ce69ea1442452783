"""Digatron exports: a block of labels, headings with the units in a second line or behind a number sign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.columns import demand, find_columns, left_out
from battery_pilot.measurements.cycling.log import directed, direction, seconds, values_of
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.row_times import row_moments
from battery_pilot.measurements.tables import cycling_measurement
from battery_pilot.measurements.text import delimiter_of, split_cells, to_float, trim_empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "Digatron CSV"
# Headings of the two generations of Battery Manager.
_TIMES = ("Prog Time", "Program Duration", "Program Time")
_PART_OF_TIMES = "Prog"
_LINES_OF_HEADER, _CHARACTERS_OF_HEADER = 100, 4000
_STATUS, _MOMENT = "status", "moment"
_NAMES = {
    "programduration": "test_time_second",
    "progtime": "test_time_second",
    "programtime": "test_time_second",
    "voltage": "voltage_volt",
    "current": "current_ampere",
    "cycle": "cycle_count",
    "step": "step_index",
    "t1": "temperature_t1_celsius",
    "logtemp001": "temperature_t1_celsius",
    "temperature": "temperature_t1_celsius",
    "tenv": "ambient_temperature_celsius",
    "ahcha": "charging_capacity_ah",
    "ahdch": "discharging_capacity_ah",
    "whcha": "charging_energy_wh",
    "whdch": "discharging_energy_wh",
    "status": _STATUS,
    "timestamp": _MOMENT,
}
_CHARGES, _DISCHARGES = ("cha",), ("dch", "discha")


class DigatronReader:
    """Reads an export of Digatron's Battery Manager; the accumulated capacity has no direction and is left out."""

    name = "digatron-csv"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv", ".txt")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 85 for the headings for the time of the programme and the status."""
        head = source.head_text[:_CHARACTERS_OF_HEADER]
        if _PART_OF_TIMES not in head:
            return 0
        return 85 if any(word in head for word in _TIMES) and "Status" in head and "Current" in head else 0

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for missing headings, a gap in time, voltage or current, or a row that breaks off.
        """
        lines = source.text(_EXPECTED).split("\n", _LINES_OF_HEADER)
        heading_line = next(
            (line for line, text in enumerate(lines, start=1) if any(word in text for word in _TIMES)), 0
        )
        if not heading_line:
            raise source.error("header", f"expected headings with {_TIMES[0]}, found none: the file is truncated")
        delimiter = delimiter_of(lines[heading_line - 1])
        headings = [cell.replace("#", "/") for cell in trim_empty(split_cells(lines[heading_line - 1], delimiter))]
        facts_lines, warnings = lines[: heading_line - 1], list[str]()
        units = split_cells(lines[heading_line], delimiter) if heading_line < len(lines) else []
        if any(unit.startswith("[") for unit in units):
            heading_line += 1
            headings = [f"{heading} {unit}".strip() for heading, unit in zip(headings, units, strict=False)]
        place = f"line {heading_line}"
        columns = find_columns(headings, _NAMES, source, place)
        demand(columns, CYCLING_COLUMNS, headings, source, place)
        positions = [column.position for column in columns.values()]
        table = DelimitedTable(source, heading_line, headings, delimiter, positions, warnings)
        time = columns.pop("test_time_second")
        status, moment = columns.pop(_STATUS, None), columns.pop(_MOMENT, None)
        values = values_of(table, columns)
        values["test_time_second"] = seconds(table, time, headings[time.position], warnings)
        if status is not None:
            rows = direction(table.text(status.position), _CHARGES, _DISCHARGES)
            values["current_ampere"] = directed(values["current_ampere"], rows, warnings)
        facts = _facts(facts_lines, delimiter, warnings)
        facts["columns_left_out"] = left_out(headings, positions)
        moments = moment and row_moments(table.text(moment.position), facts, warnings)
        return cycling_measurement(
            source, self.name, values, moments=moments, instrument="Digatron", facts=facts, warnings=warnings
        )


def _facts(header: Sequence[str], delimiter: str, warnings: list[str]) -> dict[str, Any]:
    """Return cell, circuit and nominal capacity from the lines above the headings."""
    facts: dict[str, Any] = {}
    for line in header:
        label, _, value = line.partition(delimiter)
        label, value = label.strip().rstrip(":"), value.strip(f"{delimiter} ")
        if label == "Battery Name" and value:
            facts["cell_id"] = value
        elif label in ("Circuit Name", "Circuit") and value:
            facts["channel"] = value
        elif label == "Nominal Capacity" and to_float(value):
            facts["nominal_capacity_ah"] = to_float(value)
    return facts | facts_in("\n".join(header), warnings)
