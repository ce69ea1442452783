"""Text exports of impedance that are a list of points below a few lines of header.

Each program has a layout of its own, told by its first lines; what they share is read in one way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.impedance.columns import recognise
from battery_pilot.measurements.impedance.rows import check_end, points_in, rows_of, values_of
from battery_pilot.measurements.tables import impedance_measurement
from battery_pilot.measurements.text import delimiter_of, shown, split_cells, to_float, trim_empty
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from battery_pilot.measurements.impedance.columns import ImpedanceColumns
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_PARSTAT = "Potential (V)\tCurrent (A)\tElapsed Time (s)\tFrequency (Hz)\tZre (ohms)\tZim (ohms)"
_POWERSUITE = "Frequency\t Zre\t Zimg"
_CHI_MODEL = "\nInstrument Model:"
_RELAXIS = "RelaxIS "
_RELAXIS_HEADING = "Data: "
_NOVA = ("Frequency (Hz)", "-Phase (°)")
_MONTH = re.compile(r"(?m)^([A-Z][a-z]{2})[a-z]*\.? +(\d\d?), +(\d{4}) +(\d\d?:\d\d:\d\d)$")
_CHI_DATES = ("%b %d, %Y %H:%M:%S",)
_RELAXIS_BIAS = re.compile(r"(?m)^DC=([^,\s]+)")
_FIRST_LINES = 1000


@dataclass(eq=False)
class ListingReader:
    """Reads the listing of one program.

    :param name: short name of the format.
    :param expects: words for messages.
    :param is_own: tells from the first text of a file whether the program wrote it.
    :param first_heading: beginning of the line of headings.
    :param header: returns instrument and facts from the lines above the first row; it may add warnings.
    :param counter: heading of a column that counts the points and falls where the next spectrum begins.
    """

    name: str
    expects: str
    is_own: Callable[[str], bool]
    first_heading: str
    header: Callable[[str, list[str]], tuple[str, dict[str, Any]]]
    counter: str = ""
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".txt",)

    def sniff(self, source: Source) -> int:
        """Return 90 for the first lines that the program writes."""
        return 90 if self.is_own(source.head_text) else 0

    def read(self, source: Source) -> Measurement:
        """Read the points below the headings.

        :raises MeasurementError: when the headings are missing, when a row breaks off or holds no numbers.
        """
        text = source.text(self.expects)
        columns, headings, delimiter, start = self._headings(text, source)
        block, warnings = text[start:], list[str]()
        width = len(headings)
        rows = rows_of(block, text.count("\n", 0, start) + 1, delimiter, width, source)
        check_end(text, rows, columns.last_position, width, source, warnings)
        instrument, facts = self.header(text[:start], warnings)
        points = points_in(rows, columns, source)
        if self.counter in headings and rows.lines:
            count = values_of(rows, headings.index(self.counter), self.counter, source)
            points = replace(points, spectrum=np.cumsum(np.diff(count, prepend=count[0]) < 0))
        return impedance_measurement(
            source, self.name, points, instrument=instrument or None, facts=facts, warnings=warnings
        )

    def _headings(self, text: str, source: Source) -> tuple[ImpedanceColumns, list[str], str, int]:
        """Return columns, headings, delimiter, and where the first row begins."""
        at = 0 if text.startswith(self.first_heading) else text.find(f"\n{self.first_heading}") + 1
        end = text.find("\n", at) % (len(text) + 1)
        line = text[at:end].replace(_RELAXIS_HEADING, "")
        delimiter = delimiter_of(line)
        headings = trim_empty(split_cells(line, delimiter))
        columns = recognise(headings) if text.startswith(self.first_heading, at) else None
        if columns is None:
            technique = text.split("\n", 2)[1].strip() if "\n" in text else ""
            problem = f"no impedance: expected headings that begin with {shown(self.first_heading)}, found none"
            raise source.error("header", f"{problem} (second line: {shown(technique)}); export an impedance spectrum")
        if len(set(headings)) < len(headings):
            raise source.error("header", "several spectra side by side; export each to a file of its own")
        start = end + 1
        following = text[start : text.find("\n", start) % (len(text) + 1)]
        if following and to_float(split_cells(following, delimiter)[0], decimal_comma=True) is None:
            start += len(following) + 1 if following.strip() else 0
        return columns, headings, delimiter, start


def _value(header: str, name: str) -> str:
    """Return what stands behind a name at the beginning of a line, or an empty string."""
    return header.partition(f"\n{name}")[2].partition("\n")[0].strip(" =\t")


def _chi_header(header: str, warnings: list[str]) -> tuple[str, dict[str, Any]]:
    """Return the facts of a CH Instruments header; ``Init E`` is the direct voltage of the measurement."""
    date = _MONTH.search(header)
    facts = start_facts(" ".join([f"{date[1]} {date[2]}, {date[3]}", date[4]]), _CHI_DATES, warnings) if date else {}
    bias = to_float(_value(header, "Init E (V)"))
    if bias is not None:
        facts["dc_bias_volt"] = bias
    facts["technique"] = header.split("\n", 2)[1].strip()
    facts.update(facts_in(header, warnings))
    return f"CH Instruments {_value(header, 'Instrument Model:')}".strip(), facts


def _relaxis_header(header: str, warnings: list[str]) -> tuple[str, dict[str, Any]]:
    facts = start_facts(_value(header, "Date:"), DATES, warnings)
    facts["instrument_software"] = header.partition(" Spectrum")[0].strip()
    bias = _RELAXIS_BIAS.search(header)
    value = to_float(bias[1]) if bias else None
    if value is not None:
        facts["dc_bias_volt"] = value
    facts.update(facts_in(header, warnings))
    return "", facts


def _nova_header(header: str, warnings: list[str]) -> tuple[str, dict[str, Any]]:
    return "Metrohm Autolab", {}


def _parstat_header(header: str, warnings: list[str]) -> tuple[str, dict[str, Any]]:
    return "Princeton Applied Research PARSTAT", {}


def _powersuite_header(header: str, warnings: list[str]) -> tuple[str, dict[str, Any]]:
    return "Princeton Applied Research", {"instrument_software": "PowerSuite"}


LISTING_READERS = (
    ListingReader(
        "parstat-txt", "a Parstat listing", lambda head: head.startswith(_PARSTAT), _PARSTAT, _parstat_header
    ),
    ListingReader(
        "powersuite-txt",
        "a PowerSuite listing",
        lambda head: head.startswith(_POWERSUITE),
        _POWERSUITE,
        _powersuite_header,
    ),
    ListingReader(
        "chi-txt", "a CH Instruments listing", lambda head: _CHI_MODEL in head[:_FIRST_LINES], "Freq/Hz", _chi_header
    ),
    ListingReader(
        "relaxis-txt",
        "a RelaxIS spectrum export",
        lambda head: head.startswith(_RELAXIS) and "Spectrum export\n" in head[:_FIRST_LINES],
        f"{_RELAXIS_HEADING}Frequency",
        _relaxis_header,
    ),
    ListingReader(
        "autolab-txt",
        "an Autolab NOVA listing",
        lambda head: all(name in head[:_FIRST_LINES] for name in _NOVA),
        "",
        _nova_header,
        counter="Index",
    ),
)
"""One reader for each program."""
