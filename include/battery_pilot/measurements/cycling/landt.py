"""Landt (Wuhan LAND) exports: text with short or long headings, in English or Chinese, and spreadsheets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.columns import Column, demand, find_columns, left_out, plain
from battery_pilot.measurements.cycling.log import (
    STEP_COUNTERS,
    Table,
    counters_by_direction,
    directed,
    direction,
    running_time,
    seconds,
    step_begins,
    values_of,
)
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.row_times import row_moments
from battery_pilot.measurements.sheets import SheetTable, as_text
from battery_pilot.measurements.tables import FloatArray, cycling_measurement
from battery_pilot.measurements.text import delimiter_of, split_cells, trim_empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.sheets import Workbook
    from battery_pilot.measurements.source import Source

_EXPECTED = "Landt text"
_STEP_TIME, _STATE, _MOMENT = "step_time_second", "state", "moment"
# Results of columns.plain: test_time_s, TestTime/Sec, Test(Sec), 测试时间.
_NAMES = {
    "testtime": "test_time_second",
    "test": "test_time_second",
    "测试时间": "test_time_second",
    "voltage": "voltage_volt",
    "volts": "voltage_volt",
    "电压": "voltage_volt",
    "current": "current_ampere",
    "amps": "current_ampere",
    "电流": "current_ampere",
    "cycleindex": "cycle_count",
    "cycleno": "cycle_count",
    "cycle": "cycle_count",
    "cyc": "cycle_count",
    "循环序号": "cycle_count",
    "循环号": "cycle_count",
    "stepindex": "step_index",
    "stepno": "step_index",
    "工步序号": "step_index",
    "工步号": "step_index",
    "过程序号": "step_index",
    "chargecapacity": "charging_capacity_ah",
    "dischargecapacity": "discharging_capacity_ah",
    "chargeenergy": "charging_energy_wh",
    "dischargeenergy": "discharging_energy_wh",
    "capacity": "step_capacity_ah",
    "amphr": "step_capacity_ah",
    "容量": "step_capacity_ah",
    "energy": "step_energy_wh",
    "watthr": "step_energy_wh",
    "能量": "step_energy_wh",
    "temperature1": "temperature_t1_celsius",
    "auxtemp/dc": "temperature_t1_celsius",
    "steptime": _STEP_TIME,
    "工步时间": _STEP_TIME,
    "过程时间": _STEP_TIME,
    "stepname": _STATE,
    "stepstate": _STATE,
    "state": _STATE,
    "状态": _STATE,
    "datetimeisostring": _MOMENT,
    "systime": _MOMENT,
    "dpttime": _MOMENT,
    "系统时间": _MOMENT,
}
_FIRST_LINES = ("cell model:", "channel_index,", "Record", "TestTime", "Rec#", "记录", "测试时间")
_LINES_OF_HEADER = 30
_CHARGES = ("charge", "ratec", "c_", "cvc", "cpc", "充电", "c")
_DISCHARGES = ("discharge", "rated", "d_", "cvd", "cpd", "crd", "放电", "d")


class LandtReader:
    """Reads a Landt export; counters are those of the step or cycle, as the program was set to write them."""

    name = "landt"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv", ".txt", ".xlsx", ".xls")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 85 for a file whose first lines are like those of a Landt export and name its columns."""
        if source.workbook is not None:
            return 80 if _record_sheet(source) is not None else 0
        if not source.first_data_line[1].startswith(_FIRST_LINES):
            return 0
        return 85 if _text_headings(source.head_text) is not None else 0

    def read(self, source: Source) -> Measurement:
        """Read the records.

        :raises MeasurementError: for missing headings, a gap in time, voltage or current, or a row that breaks off.
        """
        warnings: list[str] = []
        if source.workbook is not None:
            return self._read_sheet(source, warnings)
        found = _text_headings(source.head_text)
        if found is None:
            raise source.error("header", "expected the headings of Landt records: test time, voltage and current")
        line, headings, delimiter = found
        columns = _columns(headings, source, f"line {line}")
        positions = [column.position for column in columns.values()]
        table = DelimitedTable(source, line, headings, delimiter, positions, warnings)
        return _measurement(source, self.name, table, headings, columns, warnings)

    def _read_sheet(self, source: Source, warnings: list[str]) -> Measurement:
        found = _record_sheet(source)
        if found is None:
            raise source.error("file", "expected a sheet of Landt records with test time, voltage and current")
        book, sheet, row, headings = found
        columns = _columns(headings, source, f"sheet {sheet!r}, row {row + 1}")
        table = SheetTable(source, sheet, book.rows(sheet), row, headings, warnings)
        return _measurement(source, self.name, table, headings, columns, warnings)


def _measurement(
    source: Source,
    format_name: str,
    table: Table,
    headings: Sequence[str],
    columns: dict[str, Column],
    warnings: list[str],
) -> Measurement:
    wanted = [column.position for column in columns.values()]
    facts: dict[str, Any] = {"columns_left_out": left_out(headings, wanted)}
    time = columns.pop("test_time_second")
    step_time, state, moment = (columns.pop(name, None) for name in (_STEP_TIME, _STATE, _MOMENT))
    values = _without_idle_probes(values_of(table, columns), warnings)
    elapsed = seconds(table, time, headings[time.position], warnings)
    if time is step_time:
        elapsed = running_time(elapsed, step_begins(elapsed, values.get("step_index")))
    if state is not None:
        rows = direction(table.text(state.position), _CHARGES, _DISCHARGES)
        values["current_ampere"] = directed(values["current_ampere"], rows, warnings)
        values = counters_by_direction(values, rows) | values
    values = {name: column for name, column in values.items() if name not in STEP_COUNTERS}
    moments = moment and row_moments(table.text(moment.position), facts, warnings)
    return cycling_measurement(
        source,
        format_name,
        {"test_time_second": elapsed, **values},
        moments=moments,
        instrument="Landt",
        facts=facts,
        warnings=warnings,
    )


def _without_idle_probes(values: dict[str, FloatArray], warnings: list[str]) -> dict[str, FloatArray]:
    """Leave out a temperature that is 0 in every row: the program writes 0, or a hyphen, without a probe."""
    idle = [name for name, column in values.items() if name.endswith("celsius") and not np.nan_to_num(column).any()]
    zero = [name for name in idle if np.isfinite(values[name]).any()]
    if zero:
        warnings.append(f"{', '.join(zero)} is 0 in every row, as without a probe, and was left out.")
    return {name: column for name, column in values.items() if name not in idle}


def _columns(headings: Sequence[str], source: Source, place: str) -> dict[str, Column]:
    columns = find_columns(headings, _NAMES, source, place)
    if "test_time_second" not in columns and _STEP_TIME in columns:
        columns["test_time_second"] = columns[_STEP_TIME]
    demand(columns, CYCLING_COLUMNS, headings, source, place)
    return columns


def _text_headings(head: str) -> tuple[int, list[str], str] | None:
    """Return line, headings and delimiter of the first line that names voltage and current, or ``None``."""
    for line, text in enumerate(head.split("\n", _LINES_OF_HEADER)[:_LINES_OF_HEADER], start=1):
        delimiter = delimiter_of(text)
        headings = trim_empty(split_cells(text, delimiter))
        if _is_record_table(headings):
            return line, headings, delimiter
    return None


def _is_record_table(headings: Sequence[str]) -> bool:
    names = {_NAMES.get(plain(heading)) for heading in headings}
    has_time = not names.isdisjoint(("test_time_second", _STEP_TIME))
    return has_time and {"voltage_volt", "current_ampere"} <= names


def _record_sheet(source: Source) -> tuple[Workbook, str, int, list[str]] | None:
    """Return the sheet of records: the workbook, its name, the row of the headings from 0, and the headings."""
    book = source.workbook
    if book is None:
        return None
    for sheet in book.sheet_names:
        if "record" not in sheet.lower() and "记录" not in sheet and len(book.sheet_names) > 1:
            continue
        for number, row in enumerate(book.rows(sheet, _LINES_OF_HEADER)):
            headings = trim_empty([as_text(cell) for cell in row])
            if headings and headings[0].startswith(_FIRST_LINES) and _is_record_table(headings):
                return book, sheet, number, headings
    return None
