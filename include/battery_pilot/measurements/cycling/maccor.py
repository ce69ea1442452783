"""Maccor text exports: tab-delimited, or comma-delimited from newer export tools."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.tables import FloatArray, cycling_measurement
from battery_pilot.measurements.text import delimiter_of, shown, split_cells, trim_empty
from battery_pilot.measurements.times import DATES, row_moments, start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "Maccor text"
_FIRST_WORDS = "Today's Date"
_LINES_OF_HEADER = 30
_START = re.compile(r"Date of Test:[\t,]? *([^\t\n]*)")
_BARCODE = re.compile(r"Comment/Barcode:[\t ]*([^\t\n]*)")
_CHANNEL = re.compile(r"Tester Channel:\t([^\t\n]*)")
# Test time is "2d 02:52:51.57", with hours, minutes and seconds of one or two digits.
_DAYS = r"^(?:(?P<day>\d{1,6}) *d +)?(?P<hour>\d{1,6}):(?P<minute>\d{1,2}):(?P<second>\d{1,2}(?:\.\d*)?)$"
_CLOCK = re.compile(r"\d{1,2}:\d{2}:\d{2}")
_SECONDS = {"day": 86400.0, "hour": 3600.0, "minute": 60.0, "second": 1.0}
_TIME_UNITS = {"(sec)": 1.0, "(s)": 1.0, "(min)": 60.0, "(hr)": 3600.0, "(h)": 3600.0}
# Headings in small letters without blanks.
_NAMES = {
    "amps": "current_ampere",
    "current": "current_ampere",
    "volts": "voltage_volt",
    "voltage": "voltage_volt",
    "cyc#": "cycle_count",
    "cyclec": "cycle_count",
    "step": "step_index",
    "temp1": "temperature_t1_celsius",
    "acimp/ohms": "ac_internal_resistance_ohm",
    "dcir/ohms": "dc_internal_resistance_ohm",
}


class MaccorReader:
    """Reads a Maccor export and gives the current its sign.

    Amp-hours and watt-hours count up anew in each step, without a direction, and are left out.
    """

    name = "maccor-text"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = ()
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for text that begins with today's date."""
        return 90 if source.head_text.startswith(_FIRST_WORDS) else 0

    def read(self, source: Source) -> Measurement:
        """Read the records.

        :raises MeasurementError: for missing headings, a row that breaks off, or a current whose direction is not known.
        """
        text = source.text(_EXPECTED)
        heading_line, cells, delimiter = _find_headings(text, source)
        positions = {cell.lower().replace(" ", ""): index for index, cell in reversed(list(enumerate(cells)))}
        columns: dict[str, int] = {}
        for spelling, name in _NAMES.items():
            if spelling in positions:
                columns.setdefault(name, positions[spelling])
        time_heading = next((name for name in positions if name.startswith("test")), None)
        if time_heading is None or not {"current_ampere", "voltage_volt"} <= columns.keys():
            problem = f"expected columns for test time, amps and volts, found {shown(', '.join(cells))}"
            raise source.error(f"line {heading_line}", problem)
        state, moment = positions.get("state"), positions.get("dpttime")
        wanted = {*columns.values(), positions[time_heading]} | {at for at in (state, moment) if at is not None}
        warnings: list[str] = []
        table = DelimitedTable(text, source, heading_line, cells, delimiter, sorted(wanted), warnings)
        values = {
            "test_time_second": _test_time(table, positions[time_heading], time_heading, warnings),
            "voltage_volt": table.required(columns.pop("voltage_volt")),
        }
        current = table.required(columns.pop("current_ampere"))
        if state is not None:
            values["current_ampere"] = _signed_by_state(current, table.text(state), warnings)
        else:
            values["current_ampere"] = _signed_by_voltage(current, values["voltage_volt"], source, warnings)
        for name, index in columns.items():
            found = table.optional(index, name)
            if found is not None:
                values[name] = found
        header = "\n".join(text.split("\n", heading_line)[: heading_line - 1])
        facts = _metadata(header, warnings)
        moments = None if moment is None else _row_moments(table.text(moment), header, facts, warnings)
        return cycling_measurement(
            source,
            self.name,
            values,
            moments=moments,
            instrument="Maccor",
            facts=facts,
            warnings=warnings,
        )


def _find_headings(text: str, source: Source) -> tuple[int, list[str], str]:
    """Return the line of the headings, the headings and their delimiter."""
    for line, content in enumerate(text.split("\n", _LINES_OF_HEADER)[:_LINES_OF_HEADER], start=1):
        delimiter = delimiter_of(content)
        cells = trim_empty(split_cells(content, delimiter))
        if cells and cells[0] in ("Rec#", "Rec"):
            return line, cells, delimiter
    problem = "expected a line of headings that begins with Rec#, found none: the file is truncated or no export"
    raise source.error("header", problem)


def _test_time(table: DelimitedTable, index: int, heading: str, warnings: list[str]) -> FloatArray:
    """Return test time in second from a column in seconds, minutes, hours, or days and clock time."""
    texts = table.text(index)
    if ":" not in texts[0].as_py():
        unit = next((factor for word, factor in _TIME_UNITS.items() if heading.endswith(word)), None)
        if unit is None:
            warnings.append("The test time states no unit and was taken as seconds.")
        return table.required(index, unit or 1.0)
    parts = pc.extract_regex(texts, _DAYS)
    broken = pc.index(pc.is_null(parts), True).as_py()
    if broken >= 0:
        table.refuse(broken, f"test time: expected days and clock time, found {shown(texts[broken].as_py())}")
    seconds = np.zeros(len(texts))
    for part, factor in _SECONDS.items():
        digits = pc.struct_field(parts, part)
        digits = pc.if_else(pc.equal(digits, ""), "0", digits)
        seconds += factor * pc.cast(digits, pa.float64()).to_numpy()
    return seconds


def _signed_by_state(current: FloatArray, state: pa.ChunkedArray, warnings: list[str]) -> FloatArray:
    """Give charge (state C) a positive and discharge (state D) a negative sign.

    Some exports write the discharge current with its sign and some without.
    """
    letters = pc.utf8_upper(state).to_numpy()
    charging, discharging = letters == "C", letters == "D"
    others = np.count_nonzero(current[~charging & ~discharging])
    if others:
        warnings.append(f"{others} rows with current are in neither charge (C) nor discharge (D); its sign was kept.")
    return np.where(charging, np.abs(current), np.where(discharging, -np.abs(current), current))


def _signed_by_voltage(current: FloatArray, voltage: FloatArray, source: Source, warnings: list[str]) -> FloatArray:
    """Give currents their sign from the voltage step at the moment when they are switched on.

    Needed for exports without a state column and without any negative current: a cell's voltage rises when charging
    begins and falls when discharging begins.
    """
    flowing = current != 0
    if not flowing.any() or (current < 0).any():
        return current
    starts = np.flatnonzero(flowing & ~np.r_[False, flowing[:-1]])
    ends = np.r_[starts[1:], len(current)]
    signed = current.copy()
    for start, end in zip(starts, ends, strict=True):
        jump = voltage[start] - voltage[start - 1] if start else 0.0
        if jump == 0:
            problem = (
                "the current has no sign and the file no State column, so charge and discharge cannot be told apart; "
                "export with the State column"
            )
            raise source.error(f"data row {start + 1}", problem)
        signed[start:end] *= np.sign(jump)
    warnings.append(
        "The file has no State column; the sign of the current was taken from the step of the voltage when it starts."
    )
    return signed


def _date_of_test(header: str) -> str:
    found = _START.search(header)
    return found[1].partition(" Filename")[0].strip() if found else ""


def _metadata(header: str, warnings: list[str]) -> dict[str, Any]:
    """Return the facts in the lines above the headings; the cell's id is the barcode up to its first comma."""
    start = _date_of_test(header)
    facts = start_facts(start, DATES, warnings) if ":" in start else {}
    for name, pattern in (("cell_id", _BARCODE), ("channel", _CHANNEL)):
        found = pattern.search(header)
        text = found[1].partition(",")[0].strip() if found else ""
        if text:
            facts[name] = text
    facts.update(facts_in(header, warnings))
    return facts


def _row_moments(texts: pa.ChunkedArray, header: str, facts: dict[str, Any], warnings: list[str]) -> pa.Array | None:
    """Return the times of the rows; where they have no date, the first one completes the date of the test."""
    first = texts[0].as_py()
    if not _CLOCK.fullmatch(first):
        return row_moments(texts.to_pylist(), facts, warnings)
    if "started_at" not in facts:
        facts.update(start_facts(f"{_date_of_test(header)} {first}", DATES, warnings))
    return None
