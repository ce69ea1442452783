"""Text exports of impedance that are a list of points below a few lines of header.

Each program has a layout of its own, told by its first lines; what they share is read in one way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.impedance.columns import recognise, recognise_all
from battery_pilot.measurements.impedance.rows import check_end, points_in, rows_of, values_of
from battery_pilot.measurements.impedance.spectra import points_of_spectra
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
    :param facts: returns what the lines above the first row tell; it may add warnings.
    :param counter: heading of a column that counts the points and falls where the next spectrum begins.
    """

    name: str
    expects: str
    is_own: Callable[[str], bool]
    first_heading: str
    facts: Callable[[str, list[str]], dict[str, Any]]
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
        simple = len(set(headings)) == width and self.counter not in headings
        last = columns.last_position if simple else None
        rows = rows_of(block, text.count("\n", 0, start) + 1, delimiter, width, source, last_used=last)
        check_end(text, rows, columns.last_position, width, source, warnings)
        header = text[:start]
        if len(set(headings)) < len(headings):
            points = points_of_spectra([rows], recognise_all(headings), source, warnings)
        else:
            points = points_in(rows, columns, source)
        if self.counter in headings and rows.lines:
            count = values_of(rows, headings.index(self.counter), self.counter, source)
            points = points._replace(spectrum=np.cumsum(np.diff(count, prepend=count[0]) < 0))
        return impedance_measurement(
            source,
            self.name,
            points,
            facts=partial(self.facts, header),
            warnings=warnings,
        )

    def _headings(self, text: str, source: Source) -> tuple[ImpedanceColumns, list[str], str, int]:
        """Return columns, headings, delimiter, and where the first row begins."""
        at = 0 if text.startswith(self.first_heading) else text.find(f"\n{self.first_heading}") + 1
        end = text.find("\n", at) % (len(text) + 1)
        line = text[at:end].replace(_RELAXIS_HEADING, "")
        delimiter, headings, columns = _columns(line)
        if not text.startswith(self.first_heading, at):
            columns = None
        if columns is None:
            technique = text.split("\n", 2)[1].strip() if "\n" in text else ""
            problem = f"no impedance: expected headings that begin with {shown(self.first_heading)}, found none"
            raise source.error("header", f"{problem} (second line: {shown(technique)}); export an impedance spectrum")
        start = end + 1
        following = text[start : text.find("\n", start) % (len(text) + 1)]
        if following and to_float(split_cells(following, delimiter)[0], decimal_comma=True) is None:
            start += len(following) + 1 if following.strip() else 0
        return columns, headings, delimiter, start


@lru_cache(maxsize=64)
def _columns(line: str) -> tuple[str, list[str], ImpedanceColumns | None]:
    """Return delimiter, headings and columns of a line of headings; a laboratory's files repeat few."""
    delimiter = delimiter_of(line)
    headings = trim_empty(split_cells(line, delimiter))
    return delimiter, headings, recognise(headings)


def _value(header: str, name: str) -> str:
    """Return what stands behind a name at the beginning of a line, or an empty string."""
    return header.partition(f"\n{name}")[2].partition("\n")[0].strip(" =\t")


def _chi_facts(header: str, warnings: list[str]) -> dict[str, Any]:
    """Return the facts of a CH Instruments header; ``Init E`` is the direct voltage of the measurement."""
    date = _MONTH.search(header)
    facts = start_facts(" ".join([f"{date[1]} {date[2]}, {date[3]}", date[4]]), _CHI_DATES, warnings) if date else {}
    bias = to_float(_value(header, "Init E (V)"))
    if bias is not None:
        facts["dc_bias_volt"] = bias
    facts["technique"] = header.split("\n", 2)[1].strip()
    facts["instrument"] = f"CH Instruments {_value(header, 'Instrument Model:')}".strip()
    return facts | facts_in(header, warnings)


def _relaxis_facts(header: str, warnings: list[str]) -> dict[str, Any]:
    facts = start_facts(_value(header, "Date:"), DATES, warnings)
    facts["instrument_software"] = header.partition(" Spectrum")[0].strip()
    bias = _RELAXIS_BIAS.search(header)
    value = to_float(bias[1]) if bias else None
    if value is not None:
        facts["dc_bias_volt"] = value
    return facts | facts_in(header, warnings)


def _constant(**facts: str) -> Callable[[str, list[str]], dict[str, Any]]:
    """Return what tells the same of each file."""
    return lambda header, warnings: dict(facts)


LISTING_READERS = (
    ListingReader(
        "parstat-txt",
        "a Parstat listing",
        lambda head: head.startswith(_PARSTAT),
        _PARSTAT,
        _constant(instrument="Princeton Applied Research PARSTAT"),
    ),
    ListingReader(
        "powersuite-txt",
        "a PowerSuite listing",
        lambda head: head.startswith(_POWERSUITE),
        _POWERSUITE,
        _constant(instrument="Princeton Applied Research", instrument_software="PowerSuite"),
    ),
    ListingReader(
        "chi-txt",
        "a CH Instruments listing",
        lambda head: _CHI_MODEL in head[:_FIRST_LINES],
        "Freq/Hz",
        _chi_facts,
    ),
    ListingReader(
        "relaxis-txt",
        "a RelaxIS spectrum export",
        lambda head: head.startswith(_RELAXIS) and "Spectrum export\n" in head[:_FIRST_LINES],
        f"{_RELAXIS_HEADING}Frequency",
        _relaxis_facts,
    ),
    ListingReader(
        "autolab-txt",
        "an Autolab NOVA listing",
        lambda head: all(name in head[:_FIRST_LINES] for name in _NOVA),
        "",
        _constant(instrument="Metrohm Autolab"),
        counter="Index",
    ),
)
"""One reader for each program."""
