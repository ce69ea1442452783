"""PEC exports: a block of labels and values, and a table that names test, cell and position in every row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.columns import demand, find_columns, left_out, plain
from battery_pilot.measurements.cycling.log import one_test, seconds, values_of
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

_EXPECTED = "PEC CSV"
_LABELS = ("TestRegime", "Request Year")
_LINES_OF_HEADER = 400
_NAMES = {
    "totaltime": "test_time_second",
    "totaltime(hoursinhh:mm:ssxxx)": "test_time_second",
    "voltage": "voltage_volt",
    "current": "current_ampere",
    "cycle": "cycle_count",
    "step": "step_index",
    "chargecapacity": "charging_capacity_ah",
    "dischargecapacity": "discharging_capacity_ah",
    "chargeenergy": "charging_energy_wh",
    "dischargeenergy": "discharging_energy_wh",
    "cellsurfacetemperature": "temperature_t1_celsius",
    "temp": "temperature_t1_celsius",
    "ambienttemperature": "ambient_temperature_celsius",
    "dcinternalresistance": "dc_internal_resistance_ohm",
    "acinternalresistance": "ac_internal_resistance_ohm",
}
_MOMENT = "realtime"
_CELL = "cell"
_PLACE = ("rack", "shelf", "position")
_NOMINAL = "C-Rate (mAh)"


class PecReader:
    """Reads a PEC export; its current is negative in a discharge."""

    name = "pec-csv"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for the labels of a test regime above a table with total time."""
        head = source.head_text
        return 90 if head.startswith(_LABELS) and "TestRegime" in head and "Total Time" in head else 0

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for missing headings, several cells, a gap or a row that breaks off.
        """
        lines = source.text(_EXPECTED).split("\n", _LINES_OF_HEADER)
        heading_line = next((line for line, text in enumerate(lines, start=1) if "Total Time" in text), 0)
        if not heading_line:
            raise source.error("header", "expected headings with Total Time, found none: the file is truncated")
        delimiter = delimiter_of(lines[heading_line - 1])
        # Older versions call the energies capacities, in mWh.
        cells = trim_empty(split_cells(lines[heading_line - 1], delimiter))
        headings = [cell.replace("Capacity (mWh)", "Energy (mWh)") for cell in cells]
        place = f"line {heading_line}"
        columns = find_columns(headings, _NAMES, source, place)
        demand(columns, CYCLING_COLUMNS, headings, source, place)
        by_name = {plain(heading): position for position, heading in reversed(list(enumerate(headings)))}
        others = {name: by_name[name] for name in (_MOMENT, _CELL, "cellid", *_PLACE) if name in by_name}
        warnings: list[str] = []
        wanted = [column.position for column in columns.values()] + list(others.values())
        table = DelimitedTable(source, heading_line, headings, delimiter, wanted, warnings)
        facts = _facts(lines[: heading_line - 1], delimiter, warnings)
        facts["columns_left_out"] = left_out(headings, wanted)
        names = {name: one_test(table.text(others[name]), name, source) for name in others if name != _MOMENT}
        if names.get("cellid"):
            facts["cell_id"] = names["cellid"]
        if names.get("rack"):
            facts["channel"] = "-".join(names[name] for name in _PLACE if names.get(name))
        time = columns.pop("test_time_second")
        values = values_of(table, columns)
        values["test_time_second"] = seconds(table, time, headings[time.position], warnings)
        moments = None
        if _MOMENT in others:
            moments = row_moments(table.text(others[_MOMENT]), facts, warnings)
        return cycling_measurement(
            source, self.name, values, moments=moments, instrument="PEC", facts=facts, warnings=warnings
        )


def _facts(header: Sequence[str], delimiter: str, warnings: list[str]) -> dict[str, Any]:
    """Return what the labels tell: the capacity that the rates of the test refer to, and our own tokens."""
    values = {cells[0].rstrip(":"): cells[1:] for cells in (split_cells(line, delimiter) for line in header)}
    parameters = dict(zip(values.get("Parameter names", []), values.get("Parameter values", []), strict=False))
    nominal = to_float(parameters.get(_NOMINAL, ""))
    facts: dict[str, Any] = {"nominal_capacity_ah": nominal / 1000} if nominal else {}
    return facts | facts_in("\n".join(header), warnings)
