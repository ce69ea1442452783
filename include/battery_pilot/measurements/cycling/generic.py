"""Logs of any origin whose headings name time, voltage and current."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import pyarrow.compute as pc

from battery_pilot.measurements.columns import Column, find_columns, left_out, plain, with_units_below
from battery_pilot.measurements.cycling.current_sign import signed_current
from battery_pilot.measurements.cycling.log import Direction, Table, seconds, values_of
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import leading_facts
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.row_times import counted_moments, row_moments
from battery_pilot.measurements.tables import FloatArray, cycling_measurement
from battery_pilot.measurements.text import delimiter_of, shown, split_cells, to_float, trim_empty
from battery_pilot.measurements.units import split_unit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pyarrow as pa

    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

# Quantities that the headings name by their unit.
_UNIT_HEADINGS = {
    "seconds": "time(s)",
    "second": "time(s)",
    "minutes": "time(min)",
    "hours": "time(h)",
    "amps": "current(A)",
    "amperes": "current(A)",
    "milliamps": "current(mA)",
    "volts": "voltage(V)",
    "millivolts": "voltage(mV)",
}
_LEVEL = "state_of_charge_percent"
# Headings as :func:`plain` gives them; of several in one file the first in this order wins.
_SPELLINGS = {
    "test_time_second": "testtime totaltime elapsedtime runtime cumulativetime correctedtime gesamtzeit testzeit time times t zeit "
    "temps "
    "总时间 测试时间 时间 経過時間 時間 試験時間 시간",
    "voltage_volt": "voltage cellvoltage terminalvoltage batteryvoltage voltagemeasured potential ewe ecell cvol u v "
    "we(1)potential spannung tension 电压 電圧 電壓 전압",
    "current_ampere": "current cellcurrent batterycurrent currentmeasured ccur i we(1)current strom courant 电流 電流 "
    "전류",
    "cycle_count": "cycleindex cyclenumber cyclecount cycleid cycle zyklus 循环号 循环序号 循环 サイクル サイクル数",
    "step_index": "stepindex stepnumber stepid step schritt 工步号 工步序号 ステップ",
    "temperature_t1_celsius": "celltemperature surfacetemperature temperature temp auxtemperature1 temperatur "
    "temperaturemeasured temp1 ctemp température 温度 溫度 電池温度",
    "ambient_temperature_celsius": "ambienttemperature environmenttemperature chambertemperature",
    "charging_capacity_ah": "chargecapacity chargingcapacity capacitycharge 充电容量 充電容量",
    "discharging_capacity_ah": "dischargecapacity dischargingcapacity capacitydischarge 放电容量 放電容量",
    "charging_energy_wh": "chargeenergy chargingenergy energycharge 充电能量",
    "discharging_energy_wh": "dischargeenergy dischargingenergy energydischarge 放电能量",
    "dc_internal_resistance_ohm": "internalresistance",
    _LEVEL: "soc stateofcharge",
}
_NAMES = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings.split()}
_SHORT_NAMES = {"t": "second", "u": "volt", "v": "volt", "i": "ampere", "ewe": "volt", "ecell": "volt"}
"""Letters that mean a quantity only with its unit."""
_LOG_UNITS = set(_SHORT_NAMES.values())
_CYCLER = {"cycle_count", "step_index", "charging_capacity_ah", "discharging_capacity_ah"}
_CLOCK = re.compile(r"(\d+d )?\d+:\d\d?:\d\d?([.,]\d*)?")
"""A time since the start, such as ``26:03:10.500`` or ``1d 02:03:10``."""
_MOMENTS = (
    "datetime",
    "datestamp",
    "timestamp",
    "systemtime",
    "absolutetime",
    "date",
    "datenum",
    "datenumd",
    "datum",
    "绝对时间",
    "系统时间",
    "日期时间",
    "日時",
)
_STEPS = (
    "state",
    "steptype",
    "stepstate",
    "stepname",
    "status",
    "mode",
    "md",
    "segmentlabel",
    "工步类型",
    "状态",
    "状態",
)
_VOLTAGE_WORDS = ("olt", "OLT", "pannung", "otential", "ension", "电压", "電圧")
_CURRENT_WORDS = ("urrent", "URRENT", "mps", "trom", "ourant", "电流", "電流")
_LINES_OF_HEADER = 60
_CHARGES, _DISCHARGES = ("c", "cha", "chg", "chrg"), ("d", "dis", "dch", "dchg", "dischg", "dcha")


class _Log(Table, Protocol):
    """A table that can also show its first row."""

    def first(self, index: int) -> str:
        """Return the text of a column's first cell."""
        ...


class GenericCyclingReader:
    """Reads any delimited table with time, voltage and current; what is not stated in it is decided with a warning."""

    name = "cycling-csv"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv", ".txt", ".tsv", ".dat")
    expects = "a table of time, voltage and current"

    def sniff(self, source: Source) -> int:
        """Return 50 for a line of headings with all three quantities, 40 where the line follows others.

        The counters of a cycler make it 65: such a table may also hold spectra, in columns that are mostly empty.
        """
        line, headings, _ = _find_headings(source)
        if not line:
            return 0
        if {_NAMES.get(plain(heading)) for heading in headings} >= _CYCLER:
            return 65
        return 50 if line <= source.first_data_line[0] + 1 else 40

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for a gap in a required column, a broken row, and a current of unknown direction.
        """
        warnings: list[str] = []
        facts = leading_facts(source.head_text.split("\n"), warnings)
        line, headings, delimiter = _find_headings(source)
        wanted = wanted_positions(headings, source, f"line {line}")
        table = DelimitedTable(source, line, headings, delimiter, wanted, warnings)
        return log_measurement(source, self.name, headings, table, f"line {line}", facts, warnings)


def _find_headings(source: Source) -> tuple[int, list[str], str]:
    """Return line (0 for none; that of their units where it is below), cells and delimiter of the headings."""
    first_line, first = source.first_data_line
    text = source.head_text
    delimiter = delimiter_of(first)
    headings, units = _with_units(source.first_cells, text, first_line, delimiter)
    if is_log(headings):
        return first_line + units, headings, delimiter
    for line, start in _lines_of_voltage_and_current(text):
        delimiter = delimiter_of(line)
        cells = trim_empty(split_cells(line, delimiter))
        number = text.count("\n", 0, start) + 1
        if number <= _LINES_OF_HEADER and is_log(cells):
            cells, units = _with_units(cells, text, number, delimiter)
            return number + units, cells, delimiter
    return 0, [], ","


def _with_units(headings: list[str], text: str, line: int, delimiter: str) -> tuple[list[str], int]:
    """Return headings with the units that stand in the line below them, and the number of such lines, 0 or 1."""
    below = text.split("\n", line + 1)[line : line + 1] if len(headings) >= len(CYCLING_COLUMNS) else []
    found = with_units_below(headings, split_cells(below[0], delimiter)) if below else None
    return (headings, 0) if found is None else (found, 1)


def _lines_of_voltage_and_current(text: str) -> Iterator[tuple[str, int]]:
    """Yield the lines that have a word for voltage and one for current, with the position where they begin."""
    for word in _VOLTAGE_WORDS:
        position = text.find(word)
        while position >= 0:
            start = text.rfind("\n", 0, position) + 1
            end = text.find("\n", position)
            line = text[start:] if end < 0 else text[start:end]
            if any(current in line for current in _CURRENT_WORDS):
                yield line, start
            position = text.find(word, start + len(line))


def _quantities(headings: Sequence[str]) -> list[str]:
    """Return the headings with a quantity where they are only a unit, and nothing for letters that may mean anything."""
    quantities = [_UNIT_HEADINGS.get(heading.lower(), heading) for heading in headings]
    return ["" if _is_bare_letter(heading) else heading for heading in quantities]


def _is_bare_letter(heading: str) -> bool:
    letter = plain(heading)
    unit = split_unit(heading, _LOG_UNITS)[1]
    return letter in _SHORT_NAMES and (unit is None or unit.name != _SHORT_NAMES[letter])


def is_log(headings: Sequence[str]) -> bool:
    """Tell whether headings name time, voltage and current.

    :param headings: of a table.
    """
    if len(headings) < len(CYCLING_COLUMNS):
        return False
    names = {plain(heading) for heading in _quantities(headings)}
    found = {_NAMES.get(name) for name in names}
    return found.issuperset(CYCLING_COLUMNS[1:]) and (CYCLING_COLUMNS[0] in found or not names.isdisjoint(_MOMENTS))


def wanted_positions(headings: Sequence[str], source: Source, place: str) -> list[int]:
    """Return the positions of the columns that :func:`log_measurement` reads.

    :param headings: of the table.
    :param source: the file, for the error message.
    :param place: place of the headings, for the error message.
    :raises MeasurementError: for a heading whose unit is not one of its quantity.
    """
    columns = find_columns(_quantities(headings), _NAMES, source, place)
    others = (_position(headings, names) for names in (_MOMENTS, _STEPS))
    return [column.position for column in columns.values()] + [index for index in others if index is not None]


def log_measurement(
    source: Source,
    format_name: str,
    headings: Sequence[str],
    table: _Log,
    place: str,
    facts: dict[str, Any],
    warnings: list[str],
) -> Measurement:
    """Return the measurement in a table of any origin.

    :param source: the file.
    :param format_name: short name of the format.
    :param headings: of the table.
    :param table: the wanted columns.
    :param place: place of the headings, for error messages.
    :param facts: what is known besides the table.
    :param warnings: receives a sentence about each guess.
    :raises MeasurementError: for a gap in a required column, and a current of unknown direction.
    """
    columns = find_columns(_quantities(headings), _NAMES, source, place)
    wanted = wanted_positions(headings, source, place)
    facts["columns_left_out"] = left_out(headings, wanted)
    if facts["columns_left_out"]:
        warnings.append(
            f"Columns of other quantities were left out: {', '.join(map(shown, facts['columns_left_out']))}."
        )
    moment = _position(headings, _MOMENTS)
    moments = None if moment is None else _moments(table, moment, facts, warnings)
    time = columns.pop("test_time_second", None) or Column(cast("int", moment), 1.0, has_unit=False)
    values = {"test_time_second": _test_time(table, time, headings, facts, warnings)}
    _warn_of_units(columns, headings, warnings)
    values |= values_of(table, columns)
    _unfold_fraction(values, columns, warnings)
    step = _position(headings, _STEPS)
    steps = None if step is None else _directions(table.text(step))
    values["current_ampere"] = signed_current(values, steps, source, warnings)
    return cycling_measurement(source, format_name, values, moments=moments, facts=facts, warnings=warnings)


def _position(headings: Sequence[str], names: Sequence[str]) -> int | None:
    plain_headings = [plain(heading) for heading in headings]
    return next((plain_headings.index(name) for name in names if name in plain_headings), None)


def _test_time(
    table: _Log, column: Column, headings: Sequence[str], facts: dict[str, Any], warnings: list[str]
) -> FloatArray:
    """Return test time in second; where the column holds dates, since the first of them."""
    heading, first = headings[column.position], table.first(column.position)
    if _is_number(first) or _CLOCK.fullmatch(first):
        return seconds(table, column, heading, warnings)
    moments = row_moments(table.text(column.position), facts, warnings)
    if moments is None or moments.null_count:
        table.refuse(0, f"{heading}: expected a time in every row, found {shown(first)}")
    warnings.append(f"{shown(heading)} holds dates; the test time counts from the first of them.")
    counted = moments.cast("int64").to_numpy()
    return np.asarray((counted - counted[0]) / 1e6)


def _is_number(text: str) -> bool:
    """Tell whether a text is a number, with either decimal sign and perhaps the other one between thousands."""
    if "," in text and "." in text:
        text = text.replace("." if text.rindex(",") > text.rindex(".") else ",", "")
    return to_float(text, decimal_comma=True) is not None


def _warn_of_units(columns: dict[str, Column], headings: Sequence[str], warnings: list[str]) -> None:
    """Tell which units were taken for granted."""
    assumed = [
        f"{shown(headings[column.position])} as {name.rpartition('_')[2]}"
        for name, column in columns.items()
        if not column.has_unit and not name.endswith(("_count", "_index"))
    ]
    if assumed:
        warnings.append(f"Headings without a unit were taken: {', '.join(assumed)}.")


def _unfold_fraction(values: dict[str, FloatArray], columns: dict[str, Column], warnings: list[str]) -> None:
    """Turn a state of charge from 0 to 1 into percent."""
    level = values.get(_LEVEL)
    if level is not None and not columns[_LEVEL].has_unit and not (np.abs(level) > 1).any():
        values[_LEVEL] = 100 * level
        warnings.append("The state of charge lies between 0 and 1 and was taken as a fraction.")


def _moments(table: _Log, index: int, facts: dict[str, Any], warnings: list[str]) -> pa.Array | None:
    if to_float(table.first(index), decimal_comma=True) is None:
        return row_moments(table.text(index), facts, warnings)
    counted = table.optional(index, "measured_at")
    return None if counted is None else counted_moments(counted, facts, warnings)


def _directions(names: pa.ChunkedArray) -> Direction:
    """Return which rows are called charge and discharge, by a word or a letter."""
    codes = pc.dictionary_encode(names).combine_chunks()
    words = [(word or "").lower().strip("_ ") for word in codes.dictionary.to_pylist()] + [""]
    discharges = np.array(
        [
            word.split("_")[-1] in _DISCHARGES or "discharg" in word or "entlad" in word or "放" in word
            for word in words
        ]
    )
    charges = np.array(
        [word.split("_")[-1] in _CHARGES or "charg" in word or "laden" in word or "充" in word for word in words]
    )
    index = codes.indices.fill_null(len(words) - 1).to_numpy(zero_copy_only=False)
    return Direction((charges & ~discharges)[index], discharges[index])
