"""ZPlot and ZView ``.z`` files, with a commented header or with the short header of older versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.impedance.columns import ImpedanceColumns, points_of, recognise
from battery_pilot.measurements.tables import impedance_measurement
from battery_pilot.measurements.text import delimiter_of, split_cells
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "ZPlot text"
_FIRST_LINES = ("ZPLOT2 ASCII", '"ZPlotW Data File', '"Z60W Data File')
_END_OF_HEADER = "End Comments"
_ANNOUNCED = re.compile(r" *(?:Data Points: *)?(\d{1,9}) *")
_DATE = re.compile(r"Date: *(\S+)")
_TIME = re.compile(r"Time: *(\d\S*)")


class ZPlotReader:
    """Reads the measured data of ZPlot."""

    name = "zplot"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".z",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for the first line of a ZPlot file."""
        return 90 if source.head_text.startswith(_FIRST_LINES) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table below the line of headings.

        ZPlot announces the points of the whole sweep, also in files of a sweep that was stopped: fewer rows than
        announced are a warning.

        :raises MeasurementError: when the headings are missing or a row breaks off.
        """
        lines = source.text(_EXPECTED).split("\n")
        position, columns, width = _headings(lines, source)
        start = position + 1
        if start < len(lines) and lines[start].strip() == _END_OF_HEADER:
            start += 1
        numbered = [(line, content) for line, content in enumerate(lines[start:], start + 1) if content.strip()]
        delimiter = delimiter_of(numbered[0][1]) if numbered else ","
        rows = [(line, split_cells(content, delimiter)) for line, content in numbered]
        points = points_of(rows, columns, width, source, decimal_comma=False)
        warnings: list[str] = []
        announced = _ANNOUNCED.fullmatch(lines[position - 1])
        if announced and int(announced[1]) != len(rows):
            warnings.append(f"The header announces {int(announced[1])} points, the file holds {len(rows)}.")
        return impedance_measurement(
            source,
            self.name,
            points,
            facts=_metadata(lines[:position], warnings),
            warnings=warnings,
        )


def _headings(lines: list[str], source: Source) -> tuple[int, ImpedanceColumns, int]:
    """Return the position of the line of headings, its columns and their number."""
    for position, content in enumerate(lines):
        text = content.strip().strip('"').strip()
        if text.startswith("Freq"):
            headings = text.replace(" (", "(").split()
            columns = recognise(headings)
            if columns is not None:
                return position, columns, len(headings)
    problem = (
        "expected a line of headings Freq(Hz) … Z'(a) Z''(b), found none: the file is truncated or holds no sweep"
    )
    raise source.error("header", problem)


def _metadata(header: list[str], warnings: list[str]) -> dict[str, Any]:
    text = "\n".join(header)
    date, time = _DATE.search(text), _TIME.search(text)
    facts = start_facts(f"{date[1]} {time[1]}", DATES, warnings) if date and time else {}
    software = next((line for line in header if "ZPlot" in line), "").strip().strip('"')
    if software:
        facts["instrument_software"] = " ".join(software.replace("Measured Data,", "").split())
    facts.update(facts_in(text, warnings))
    return facts
