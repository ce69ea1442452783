"""Neware exports as text: one row per record, or records below lines for their step and cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

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
from battery_pilot.measurements.source import Source
from battery_pilot.measurements.tables import FloatArray, cycling_measurement
from battery_pilot.measurements.text import delimiter_of, shown, split_cells, to_float, trim_empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement

_EXPECTED = "Neware CSV"
_STEP_TIME, _STEP_NAME, _MOMENT = "step_time_second", "step_name", "moment"
# Results of columns.plain. "Step Index" numbers the steps of the programme, "Step Number" those that were run.
NAMES = {
    "totaltime": "test_time_second",
    "cumulativetime": "test_time_second",
    "总时间": "test_time_second",
    "累计时间": "test_time_second",
    "voltage": "voltage_volt",
    "电压": "voltage_volt",
    "current": "current_ampere",
    "cur": "current_ampere",
    "电流": "current_ampere",
    "cycleindex": "cycle_count",
    "cycleid": "cycle_count",
    "cycle": "cycle_count",
    "循环号": "cycle_count",
    "循环序号": "cycle_count",
    "stepindex": "step_index",
    "stepid": "step_index",
    "step": "step_index",
    "工步号": "step_index",
    "stepnumber": "step_count",
    "工步序号": "step_count",
    "chgcap": "charging_capacity_ah",
    "capacitancechg": "charging_capacity_ah",
    "充电容量": "charging_capacity_ah",
    "dchgcap": "discharging_capacity_ah",
    "capacitancedchg": "discharging_capacity_ah",
    "放电容量": "discharging_capacity_ah",
    "chgenergy": "charging_energy_wh",
    "engychg": "charging_energy_wh",
    "充电能量": "charging_energy_wh",
    "dchgenergy": "discharging_energy_wh",
    "engydchg": "discharging_energy_wh",
    "放电能量": "discharging_energy_wh",
    "capacity": "step_capacity_ah",
    "容量": "step_capacity_ah",
    "energy": "step_energy_wh",
    "能量": "step_energy_wh",
    "t1": "temperature_t1_celsius",
    "t1(?)": "temperature_t1_celsius",
    "temperature": "temperature_t1_celsius",
    "温度": "temperature_t1_celsius",
    "dcir": "dc_internal_resistance_ohm",
    "dcir(o)": "dc_internal_resistance_ohm",
    "time": _STEP_TIME,
    "time(h:min:sms)": _STEP_TIME,
    "relativetime": _STEP_TIME,
    "relativetime(h:min:sms)": _STEP_TIME,
    "steptime": _STEP_TIME,
    "时间": _STEP_TIME,
    "相对时间": _STEP_TIME,
    "相对时间(h:min:sms)": _STEP_TIME,
    "steptype": _STEP_NAME,
    "stepname": _STEP_NAME,
    "stepstate": _STEP_NAME,
    "status": _STEP_NAME,
    "工步类型": _STEP_NAME,
    "工步名称": _STEP_NAME,
    "工步状态": _STEP_NAME,
    "状态": _STEP_NAME,
    "date": _MOMENT,
    "realtime": _MOMENT,
    "absolutetime": _MOMENT,
    "systemtime": _MOMENT,
    "datetime": _MOMENT,
    "绝对时间": _MOMENT,
    "系统时间": _MOMENT,
}
_RECORDS = {"datapoint", "recordnumber", "recordindex", "recordid", "数据序号", "记录序号"}
_CYCLES = {"cycleindex", "cycleid", "循环号", "循环序号"}
# One of these is in the first heading of every export; a test for them costs less than splitting the line.
_FIRST_WORDS = ("DataPoint", "Record", "Cycle I", "DateTime", "System Time", "序号", "循环", "记录")
_OTHER_MAKERS = ("Test_Time", "Test Time", "TestTime")
"""Headings that stand next to a data point in the exports of other makers, never in Neware's."""
_CHARGES, _DISCHARGES = ("chg", "charg", "充电", "c"), ("dchg", "discharg", "放电", "d")


class NewareTextReader:
    """Reads an export of Neware's BTS; capacities are the cycler's own counters, which begin anew in each step."""

    name = "neware-csv"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv", ".txt")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 85 for the headings of records, or of cycles with those of records two lines below."""
        start = source.first_data_line[1][:300]
        if not any(word in start for word in _FIRST_WORDS) or any(word in start for word in _OTHER_MAKERS):
            return 0
        layout = _layout(source)
        return 85 if layout is not None and is_record_table(layout.headings) else 0

    def read(self, source: Source) -> Measurement:
        """Read the records.

        :raises MeasurementError: for missing headings, a row that breaks off or a time that cannot be read.
        """
        layout = _layout(source)
        if layout is None:
            raise source.error("header", "expected the headings of Neware records; export the record layer")
        columns = record_columns(layout.headings, source, f"line {layout.line}")
        positions = [column.position for column in columns.values()]
        warnings: list[str] = []
        if not layout.nested:
            table = DelimitedTable(source, layout.line, layout.headings, layout.delimiter, positions, warnings)
            return records_measurement(source, self.name, table, layout.headings, columns, warnings=warnings)
        lines = source.text(_EXPECTED).split("\n")
        # Blank lines in place of those for cycles and steps keep the numbers of the lines.
        records = "\n".join(line if line.startswith(layout.delimiter * 2) else "" for line in lines)
        flat = Source(records.encode(), source.name)
        table = DelimitedTable(flat, layout.line, layout.headings, layout.delimiter, positions, warnings)
        rows = len(table.text(columns["voltage_volt"].position))
        steps = _steps_of([table.line(row) for row in range(rows)], lines, layout, source)
        return records_measurement(source, self.name, table, layout.headings, columns, steps, warnings=warnings)


class _Layout(NamedTuple):
    """Where the headings of the records are."""

    line: int
    headings: list[str]
    delimiter: str
    nested: bool


class Steps(NamedTuple):
    """Number of the cycle, of the step and the step's name for each record."""

    cycle_count: FloatArray
    step_index: FloatArray
    step_count: FloatArray
    name: pa.ChunkedArray


def is_record_table(headings: Sequence[str]) -> bool:
    """Tell whether headings are those of Neware records.

    :param headings: as in the file.
    """
    spelled = {plain(heading) for heading in headings}
    names = {NAMES.get(word) for word in spelled}
    has_time = not names.isdisjoint(("test_time_second", _STEP_TIME)) and "testtime" not in spelled
    return has_time and {"voltage_volt", "current_ampere"} <= names and not spelled.isdisjoint(_RECORDS)


def record_columns(headings: Sequence[str], source: Source, place: str) -> dict[str, Column]:
    """Return the columns of a table of Neware records by canonical name, with those for step, name and date.

    :param headings: as in the file.
    :param source: the file, for the error message.
    :param place: place of the headings.
    :raises MeasurementError: when time, voltage or current is missing.
    """
    columns = find_columns(headings, NAMES, source, place)
    if "test_time_second" not in columns and _STEP_TIME in columns:
        columns["test_time_second"] = columns[_STEP_TIME]
    demand(columns, CYCLING_COLUMNS, headings, source, place)
    return columns


def records_measurement(
    source: Source,
    format_name: str,
    table: Table,
    headings: Sequence[str],
    columns: dict[str, Column],
    steps: Steps | None = None,
    *,
    facts: dict[str, Any] | None = None,
    warnings: list[str],
) -> Measurement:
    """Return the measurement in a table of Neware records.

    :param source: the file.
    :param format_name: short name of the format.
    :param table: the records.
    :param headings: of the table.
    :param columns: result of :func:`record_columns`.
    :param steps: cycle and step of each record, where they are not in the table.
    :param facts: what the file tells besides.
    :param warnings: sentences about the file so far.
    :raises MeasurementError: for a gap in a required column.
    """
    found = {
        **(facts or {}),
        "columns_left_out": left_out(headings, [column.position for column in columns.values()]),
    }
    step_time, step_name, moment = (columns.pop(name, None) for name in (_STEP_TIME, _STEP_NAME, _MOMENT))
    time = columns.pop("test_time_second")
    values = values_of(table, columns)
    if steps is not None:
        values |= {
            "cycle_count": steps.cycle_count,
            "step_index": steps.step_index,
            "step_count": steps.step_count,
        }
    elapsed = seconds(table, time, headings[time.position], warnings)
    if time is step_time:
        elapsed = running_time(elapsed, step_begins(elapsed, values.get("step_count", values.get("step_index"))))
    names = steps.name if steps is not None else step_name and table.text(step_name.position)
    if names is not None:
        rows = direction(names, _CHARGES, _DISCHARGES)
        values["current_ampere"] = directed(values["current_ampere"], rows, warnings)
        values = counters_by_direction(values, rows) | values
    values = {name: column for name, column in values.items() if name not in STEP_COUNTERS}
    moments = moment and row_moments(table.text(moment.position), found, warnings)
    return cycling_measurement(
        source,
        format_name,
        {"test_time_second": elapsed, **values},
        moments=moments,
        instrument="Neware",
        facts=found,
        warnings=warnings,
    )


def _layout(source: Source) -> _Layout | None:
    """Return where the headings are, or ``None`` where the first lines have none."""
    head = source.head_text
    line = source.first_data_line[0]
    lines = head.split("\n", line + 2)[line - 1 : line + 2]
    if not line or not lines:
        return None
    delimiter = delimiter_of(lines[0])
    first = trim_empty(split_cells(lines[0], delimiter))
    if len(lines) == 3 and lines[2].startswith(delimiter * 2) and plain(first[0]) in _CYCLES:
        return _Layout(line + 2, trim_empty(split_cells(lines[2], delimiter)), delimiter, True)
    return _Layout(line, first, delimiter, False)


def _steps_of(records: Sequence[int], lines: Sequence[str], layout: _Layout, source: Source) -> Steps:
    """Return cycle and step of each record from the lines that stand above the records.

    :param records: line of each record, from 1.
    """
    number_at, name_at = _step_positions(lines[layout.line - 2], layout.delimiter)
    width_of_cycle = len(trim_empty(split_cells(lines[layout.line - 3], layout.delimiter)))
    cycle, begins, numbers, names = np.nan, [], [], []
    for line, text in enumerate(lines[layout.line :], start=layout.line + 1):
        if not text or text.startswith(layout.delimiter * 2):
            continue
        cells = split_cells(text, layout.delimiter)
        if cells[0]:
            # The first step of a cycle may stand in the cycle's own line, after the cells of the cycle.
            cycle = _number(cells[0], line, "cycle", source)
            cells = ["", *cells[width_of_cycle:]]
        if any(cells):
            begins.append(line)
            numbers.append((cycle, _number(_cell(cells, number_at), line, "step", source)))
            names.append(_cell(cells, name_at))
    at = np.searchsorted(begins, records) - 1
    if not begins or at[0] < 0:
        raise source.error(f"line {layout.line + 1}", "expected a line for the first step above its records")
    cycles, indices = np.array(numbers, dtype=np.float64)[at].T
    return Steps(
        cycles,
        indices,
        (at + 1).astype(np.float64),
        pa.chunked_array([pa.array(names, pa.string()).take(pa.array(at))]),
    )


def _step_positions(headings: str, delimiter: str) -> tuple[int, int]:
    """Return the positions of a step's number and name in its line; a position outside the line where there is none."""
    names = [NAMES.get(plain(cell)) for cell in split_cells(headings, delimiter)]
    outside = len(names)
    number = next((index for index, name in enumerate(names) if name in ("step_index", "step_count")), outside)
    return number, names.index(_STEP_NAME) if _STEP_NAME in names else outside


def _cell(cells: Sequence[str], position: int) -> str:
    return cells[position] if position < len(cells) else ""


def _number(text: str, line: int, what: str, source: Source) -> float:
    value = to_float(text)
    if value is None:
        raise source.error(f"line {line}", f"expected the number of a {what}, found {shown(text)}")
    return value
