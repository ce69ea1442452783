"""ZPlot and ZView ``.z`` files, with a commented header or with the short header of older versions.

Other programs write the short header too: Autolab's NOVA and Zahner's export for ZView do.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.impedance.columns import ImpedanceColumns, recognise
from battery_pilot.measurements.impedance.rows import check_end, points_in, rows_of
from battery_pilot.measurements.tables import impedance_measurement
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "ZPlot text"
_FIRST_WORDS = ("ZPLOT2 ASCII", "ZPlotW Data File", "Z60W Data File", "ZView Calculated Data File")
_FIRST_LINES = (*_FIRST_WORDS, *(f'"{words}' for words in _FIRST_WORDS))
_END_OF_HEADER = "End Comments"
_ANNOUNCED = re.compile(r"(?:Data Points: *)?(\d{1,9})")
_DATE = re.compile(r'Date: *([^\s"]+)')
_TIME = re.compile(r"Time: *(\d[\d:]*)")


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
        text = source.text(_EXPECTED)
        end_of_header, start, columns, width = _headings(text, source)
        header, block = text[:end_of_header], text[start:]
        rows = rows_of(
            block,
            text.count("\n", 0, start) + 1,
            _delimiter(block, width),
            width,
            source,
            last_used=columns.last_position,
        )
        warnings: list[str] = []
        check_end(text, rows, columns.last_position, width, source, warnings)
        announced = _ANNOUNCED.fullmatch(header[header.rstrip().rfind("\n") + 1 :].strip())
        if announced and int(announced[1]) != len(rows.lines):
            warnings.append(f"The header announces {int(announced[1])} points, the file holds {len(rows.lines)}.")
        return impedance_measurement(
            source,
            self.name,
            points_in(rows, columns, source),
            facts=partial(_metadata, header),
            warnings=warnings,
        )


def _headings(text: str, source: Source) -> tuple[int, int, ImpedanceColumns, int]:
    """Find the line of headings.

    :returns: where the line begins, where the table below it begins, the columns, and the number of headings.
    """
    end = 0
    while (found := text.find("(Hz)", end)) >= 0:
        start = text.rfind("\n", end, found) + 1 or end
        end = text.find("\n", found) + 1 or len(text)
        width, columns = _columns(text[start:end])
        if columns is None or text[start:found].strip('" \t') != "Freq":
            continue
        if text[end : end + 200].lstrip(" ").startswith(_END_OF_HEADER):
            return start, text.find("\n", end) + 1 or len(text), columns, width
        return start, end, columns, width
    problem = (
        "expected a line of headings Freq(Hz) … Z'(a) Z''(b), found none: the file is truncated or holds no sweep"
    )
    raise source.error("header", problem)


@lru_cache(maxsize=64)
def _columns(line: str) -> tuple[int, ImpedanceColumns | None]:
    """Return the number of headings in a line and the columns; a laboratory's files repeat few."""
    headings = line.strip('" \t\n').replace(" (", "(").split()
    return len(headings), recognise(headings)


def _delimiter(block: str, width: int) -> str | None:
    """Return the delimiter that the first row shows; with ``, `` between cells a bare comma is the decimal sign."""
    row = block[: block.find("\n") + 1] or block
    if "\t" in row or ";" in row:
        return "\t" if "\t" in row else ";"
    if row.count(",") == width - 1:
        return ","
    return ", " if row.count(", ") == width - 1 else None


def _metadata(header: str, warnings: list[str]) -> dict[str, Any]:
    date, time = _DATE.search(header), _TIME.search(header)
    facts = start_facts(f"{date[1]} {time[1]}", DATES, warnings) if date and time else {}
    at = header.find("ZPlot")
    if at >= 0:
        line = header[header.rfind("\n", 0, at) + 1 : header.find("\n", at)].strip(' "')
        facts["instrument_software"] = " ".join(line.replace("Measured Data,", "").replace("ZPlot:", "ZPlot").split())
    facts.update(facts_in(header, warnings))
    return facts
