"""Gamry Framework ``.DTA`` files with impedance.

The layout is Gamry's "EIS Data File Overview" (help.gamry.com): tab-delimited objects of tag, type and values; a curve
is a ``TABLE`` whose indented rows are headings, units and data.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.impedance.rows import Rows, check_end, rows_of, values_of
from battery_pilot.measurements.tables import Points, cycling_measurement, impedance_measurement
from battery_pilot.measurements.text import shown, to_float
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "Gamry EXPLAIN text"
_SPECTRUM, _LOG = "ZCURVE", "CURVE"
_MEASURED = ("Freq", "Zreal", "Zimag")
_CORRECTED = ("Freq", "ZrealDrCor", "ZimagDrCor")
_LOGGED = {"test_time_second": "T", "voltage_volt": "Vf", "current_ampere": "Im"}
# Experiments with a controlled current: chronopotentiometry and those of the battery package.
_CYCLING_TAGS = ("CHRONOP", "PWR")
_CURRENT_SIGN = "Positive current was taken as charging, as it is where the working electrode is the positive pole."
_LONGEST_NUMBER = 40
_LINE_END, _BLANK = 10, 32
_BYTES_AT_ONCE = 1 << 13
# A sweep ends at most one point (10 per decade: factor 1.26) away from the frequency that was asked for.
_FINAL_FREQUENCY_TOLERANCE = 1.3


class _Table(NamedTuple):
    """One table of the file: its tag, the number of rows that it announces, and where it and its lines are."""

    tag: str
    announced: str
    begin: int
    start: int
    end: int


class _Curve(NamedTuple):
    """The rows of a table with the positions of its headings."""

    columns: dict[str, int]
    rows: Rows

    def values(self, heading: str, source: Source) -> list[float]:
        return values_of(self.rows, self.columns[heading], heading, source)


class GamryReader:
    """Reads the impedance curves of a Gamry file; an aborted sweep gives the points that were measured."""

    name = "gamry-dta"
    kinds: tuple[Kind, ...] = ("impedance", "cycling")
    suffixes: tuple[str, ...] = (".dta",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for text that begins with EXPLAIN, or with the tag that follows it."""
        head = source.head_text
        if head.startswith(("EXPLAIN\n", "TAG\t")):
            return 90
        return 90 if head[:64].lstrip().startswith("EXPLAIN\n") else 0

    def read(self, source: Source) -> Measurement:
        """Read all tables ``ZCURVE``, each a spectrum, or else the curve of an experiment with controlled current.

        Where Framework corrected the impedance for drift, the corrected columns are read.

        :raises MeasurementError: when there is none, when one breaks off, or when it holds fewer rows than it announces.
        """
        text = source.text(_EXPECTED)
        spectra = list(_tables(text, _SPECTRUM))
        if spectra:
            return self._impedance(text, spectra, source)
        logs, header = list(_tables(text, _LOG)), _header(text)
        if len(logs) == 1 and _experiment(header).startswith(_CYCLING_TAGS):
            return self._cycling(text, logs[0], source)
        names = ", ".join(table.tag for table in islice(_tables(text), 5)) or "none"
        problem = (
            f"no impedance curve ZCURVE in the file: its experiment is {shown(_experiment(header))} (tables found: "
            f"{names}); hand in an EIS experiment, or one with controlled current"
        )
        raise source.error("file", problem)

    def _impedance(self, text: str, tables: list[_Table], source: Source) -> Measurement:
        warnings: list[str] = []
        curves = [_curve(text, table, _MEASURED, source, warnings) for table in tables]
        corrected = all(name in curve.columns for curve in curves for name in _CORRECTED)
        points = _points(curves, _CORRECTED if corrected else _MEASURED, source)
        bias = curves[0].values("Vdc", source) if len(curves) == 1 and "Vdc" in curves[0].columns else []

        def facts(warnings: list[str]) -> dict[str, Any]:
            header = _header(text)
            if corrected:
                warnings.append("The impedance corrected for drift was read; the measured one was left out.")
            if _is_aborted(header):
                count = len(points.frequency_hertz)
                warnings.append(f"The experiment was aborted; the {count} points measured until then were read.")
            else:
                warnings += _early_end(header, points)
            found = {"instrument": _instrument(header), **_metadata(header, warnings)}
            if bias:
                found["dc_bias_volt"] = sum(bias) / len(bias)
            if corrected or "\nDRIFTCOR\t" in header:
                found["drift_corrected"] = corrected
            if corrected:
                found["columns_left_out"] = _MEASURED[1:]
            return found

        return impedance_measurement(source, self.name, points, facts=facts, warnings=warnings)

    def _cycling(self, text: str, table: _Table, source: Source) -> Measurement:
        warnings, header = [_CURRENT_SIGN], _header(text)
        curve = _curve(text, table, tuple(_LOGGED.values()), source, warnings)
        if _is_aborted(header):
            warnings.append(f"The experiment was aborted; the {len(curve.rows.lines)} rows until then were read.")
        columns = {name: np.array(curve.values(heading, source)) for name, heading in _LOGGED.items()}
        facts = _metadata(header, warnings)
        facts["columns_left_out"] = tuple(name for name in curve.columns if name not in _LOGGED.values())
        return cycling_measurement(
            source, self.name, columns, instrument=_instrument(header), facts=facts, warnings=warnings
        )


def _tables(text: str, tag: str = "") -> Iterator[_Table]:
    """Yield the tables whose tag begins so.

    Tables are jumped over: most of a file is the record of the open circuit. A single letter is found thirty times as
    fast as a word.
    """
    position = 0
    while (found := text.find(tag[0] if tag else "\tTABLE", position)) >= 0:
        begin = text.rfind("\n", position, found) + 1 or position
        position = _line_end(text, found) + 1
        name, kind, *fields = f"{text[begin : position - 1]}\t".split("\t", 3)
        if name.strip().startswith(tag or name.strip()[:1] or "\t") and kind.strip() == "TABLE":
            start, position = position, _end_of_table(text, position)
            yield _Table(name.strip(), fields[0].strip() if fields else "", begin, start, position)


def _end_of_table(text: str, start: int) -> int:
    """Return where the first line begins, from the start of a table on, that is not indented."""
    size = _BYTES_AT_ONCE
    while start < len(text):
        octets = _octets(text[start - 1 : start + size])
        begins = np.flatnonzero((octets[:-1] == _LINE_END) & (octets[1:] > _BLANK))
        if len(begins):
            return start + int(begins[0])
        start, size = start + size, 2 * size
    return len(text)


def _octets(text: str) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return the characters as numbers: one pass over them takes half the time of a search for each line."""
    return np.frombuffer(text.encode("latin-1", "replace"), dtype=np.uint8)


def _header(text: str) -> str:
    """Return the lines outside of tables, with a line end before the first."""
    tables = list(_tables(text))
    starts, ends = [table.begin for table in tables], [table.end for table in tables]
    return "\n" + "".join(text[start:end] for start, end in zip([0, *ends], [*starts, len(text)], strict=True))


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end


def _field(header: str, tag: str, index: int = 2) -> str:
    """Return a field of a tagged object, by default its value behind tag and type, or an empty string."""
    at = header.find(f"\n{tag}\t") + 1
    fields = header[at : _line_end(header, at)].split("\t") if at else []
    return fields[index].strip() if index < len(fields) else ""


def _is_aborted(header: str) -> bool:
    return _field(header, "EXPERIMENTABORTED") == "T"


def _experiment(header: str) -> str:
    return _field(header, "TAG", 1)


def _instrument(header: str) -> str:
    return f"Gamry {_field(header, 'PSTAT')}".strip()


def _curve(text: str, table: _Table, needed: tuple[str, ...], source: Source, warnings: list[str]) -> _Curve:
    """Return the rows of a table below its headings and units.

    Fewer rows than announced are no truncation where the experiment was stopped.

    :param text: the file.
    :param needed: headings that it must have.
    """
    line_of_table = 1 + int(np.count_nonzero(_octets(text[: table.begin]) == _LINE_END))
    start = min(_line_end(text, table.start) + 1, table.end)
    headings = [heading.strip() for heading in text[table.start : start].strip().split("\t")]
    columns = {heading: position for position, heading in enumerate(headings)}
    for name in needed:
        if name not in columns:
            problem = f"truncated or damaged table {table.tag}: column {name} is missing in its headings"
            raise source.error(f"line {line_of_table}", problem)
    line = line_of_table + 2
    if to_float(text[start : start + _LONGEST_NUMBER].removeprefix("\t").partition("\t")[0], True) is None:
        start, line = min(_line_end(text, start) + 1, table.end), line + 1  # The units.
    block = text[start : table.end]
    rows = rows_of(_with_tabs(block, len(headings)), line, "\t", len(headings), source, indentation="\t")
    announced = int(table.announced[:9]) if table.announced.isdecimal() else 0
    if len(rows.lines) < announced and not _is_aborted(_header(text)):
        problem = (
            f"truncated table {table.tag}: {len(rows.lines)} rows found, {announced} announced; copy the file again"
        )
        raise source.error(f"line {line_of_table}", problem)
    check_end(block, rows, max(columns[name] for name in needed), len(headings), source, warnings)
    return _Curve(columns, rows)


def _with_tabs(block: str, width: int) -> str:
    """Return the rows delimited by tabs, also those that have blanks in their place."""
    if " " not in block or ("  " not in block and block[:1] != " "):
        return block
    rows = [content.strip() for content in block.split("\n")]
    return "\n".join(row if row.count("\t") == width - 1 else "\t".join(row.split()) for row in rows)


def _points(curves: list[_Curve], names: tuple[str, ...], source: Source) -> Points:
    """Return the points of all curves, each a spectrum."""
    frequency, real, imaginary = ([curve.values(name, source) for curve in curves] for name in names)
    if len(curves) == 1:
        return Points(frequency[0], real[0], imaginary[0], places=curves[0].rows.lines)
    return Points(
        list(chain(*frequency)),
        list(chain(*real)),
        list(chain(*imaginary)),
        [index for index, curve in enumerate(curves) for _ in curve.rows.lines],
        list(chain(*(curve.rows.lines for curve in curves))),
    )


def _early_end(header: str, points: Points) -> list[str]:
    """Warn when a sweep to low frequencies stops well before the frequency that was asked for."""
    first, final = _number_field(header, "FREQINIT"), _number_field(header, "FREQFINAL")
    lowest = min(points.frequency_hertz, default=0.0)
    if first is None or final is None or not 0 < final < first or lowest <= final * _FINAL_FREQUENCY_TOLERANCE:
        return []
    return [f"The sweep ends at {lowest:g} Hz, before its final frequency of {final:g} Hz; the file may be cut."]


def _number_field(header: str, tag: str) -> float | None:
    return to_float(_field(header, tag), decimal_comma=True)


def _metadata(header: str, warnings: list[str]) -> dict[str, Any]:
    """Return the facts of the header; the set direct voltage only where it is one against the reference."""
    facts = start_facts(f"{_field(header, 'DATE')} {_field(header, 'TIME')}", DATES, warnings)
    numbers = {"electrode_area_square_centimetre": _number_field(header, "AREA")}
    if _field(header, "VDC", 3) == "F":
        numbers["dc_bias_volt"] = _number_field(header, "VDC")
    if "A-hr" in _field(header, "CAPACITY", 3):
        numbers["nominal_capacity_ah"] = _number_field(header, "CAPACITY")
    facts.update({name: value for name, value in numbers.items() if value is not None})
    version, experiment = _field(header, "FRAMEWORKVERSION"), _experiment(header)
    if version:
        facts["instrument_software"] = f"Gamry Framework {version}"
    if experiment:
        facts["technique"] = experiment
    facts.update(facts_in(header, warnings))
    return facts
