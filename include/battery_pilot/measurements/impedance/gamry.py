"""Gamry Framework ``.DTA`` files with impedance.

The layout is Gamry's "EIS Data File Overview" (help.gamry.com): tab-delimited objects of tag, type and values; a curve
is a ``TABLE`` whose indented rows are headings, units and data.
"""

from __future__ import annotations

from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.impedance.rows import check_end, columns_of, rows_of
from battery_pilot.measurements.tables import Points, cycling_measurement, impedance_measurement
from battery_pilot.measurements.text import shown, to_float
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_EXPECTED = "Gamry EXPLAIN text"
_SPECTRUM, _LOG = "ZCURVE", "CURVE"
_MEASURED = ("Freq", "Zreal", "Zimag")
_CORRECTED = ("Freq", "ZrealDrCor", "ZimagDrCor")
_BIAS = "Vdc"
_LOGGED = {"test_time_second": "T", "voltage_volt": "Vf", "current_ampere": "Im"}
# Experiments with a controlled current: chronopotentiometry and those of the battery package.
_CYCLING_TAGS = ("CHRONOP", "PWR")
_CURRENT_SIGN = "Positive current was taken as charging, as it is where the working electrode is the positive pole."
_LONGEST_NUMBER = 40
_LINE_END, _BLANK = 10, 32
_BYTES_AT_ONCE = 1 << 13
_CHARACTERS_AT_ONCE = 1 << 20
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
    """The headings of a table, the numbers of the columns that were asked for, and the line of each row."""

    headings: list[str]
    values: dict[str, FloatArray]
    lines: Sequence[int]


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
        curves = [_curve(text, table, _MEASURED, source, warnings, _CORRECTED) for table in tables]
        corrected = all(name in curve.values for curve in curves for name in _CORRECTED)
        points = _points(curves, _CORRECTED if corrected else _MEASURED)

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
            if len(curves) == 1 and _BIAS in curves[0].headings:
                found |= _bias(text, tables[0], source, warnings)
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
            warnings.append(f"The experiment was aborted; the {len(curve.lines)} rows until then were read.")
        columns = {name: curve.values[heading] for name, heading in _LOGGED.items()}
        facts = _metadata(header, warnings)
        facts["columns_left_out"] = tuple(name for name in curve.headings if name not in curve.values)
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


def _curve(
    text: str,
    table: _Table,
    needed: tuple[str, ...],
    source: Source,
    warnings: list[str],
    wanted: tuple[str, ...] = (),
) -> _Curve:
    """Return the rows of a table below its headings and units.

    Fewer rows than announced are no truncation where the experiment was stopped.

    :param text: the file.
    :param needed: headings that it must have.
    :param wanted: further headings whose values will be asked for, where it has them.
    """
    line_of_table = 1 + int(np.count_nonzero(_octets(text[: table.begin]) == _LINE_END))
    start = min(_line_end(text, table.start) + 1, table.end)
    headings = [heading.strip() for heading in text[table.start : start].strip().split("\t")]
    for name in needed:
        if name not in headings:
            problem = f"truncated or damaged table {table.tag}: column {name} is missing in its headings"
            raise source.error(f"line {line_of_table}", problem)
    line = line_of_table + 2
    if to_float(text[start : start + _LONGEST_NUMBER].removeprefix("\t").partition("\t")[0], True) is None:
        start, line = min(_line_end(text, start) + 1, table.end), line + 1  # The units.
    columns = [(headings.index(name), name) for name in (*needed, *wanted) if name in headings]
    values, lines = _numbers(text[start : table.end], line, headings, columns, source, warnings)
    announced = int(table.announced[:9]) if table.announced.isdecimal() else 0
    if len(lines) < announced and not _is_aborted(_header(text)):
        problem = f"truncated table {table.tag}: {len(lines)} rows found, {announced} announced; copy the file again"
        raise source.error(f"line {line_of_table}", problem)
    return _Curve(headings, {name: own for (_, name), own in zip(columns, values, strict=True)}, lines)


def _numbers(
    block: str,
    line: int,
    headings: list[str],
    columns: list[tuple[int, str]],
    source: Source,
    warnings: list[str],
) -> tuple[FloatArray, Sequence[int]]:
    """Return the numbers of some columns, one column a row, and the line of each row.

    A long table is read in pieces, as its cells take many times the memory of its numbers.
    """
    width, last_used = len(headings), max(position for position, _ in columns)
    parts: list[FloatArray] = []
    lines: list[Sequence[int]] = []
    start = 0
    while start < len(block) or not parts:
        end = block.find("\n", start + _CHARACTERS_AT_ONCE) + 1 or len(block)
        piece = _with_tabs(block[start:end], width)
        rows = rows_of(piece, line, "\t", width, source, last_used=last_used, indentation="\t")
        parts.append(columns_of(rows, columns, source))
        lines.append(rows.lines)
        line, start = line + (block.count("\n", start, end) if end < len(block) else 0), end
    check_end(block, rows, last_used, width, source, warnings)
    if len(parts) == 1:
        return parts[0], lines[0]
    return np.concatenate(parts, axis=1), list(chain.from_iterable(lines))


def _with_tabs(block: str, width: int) -> str:
    """Return the rows delimited by tabs, also those that have blanks in their place."""
    if " " not in block or ("  " not in block and block[:1] != " "):
        return block
    rows = [content.strip() for content in block.split("\n")]
    return "\n".join(row if row.count("\t") == width - 1 else "\t".join(row.split()) for row in rows)


def _bias(text: str, table: _Table, source: Source, warnings: list[str]) -> dict[str, float]:
    """Return the mean direct voltage of a spectrum."""
    try:
        values = _curve(text, table, (_BIAS,), source, []).values[_BIAS]
    except MeasurementError as error:
        warnings.append(f"The measured direct voltage was left out: {error.place}: {error.problem}.")
        return {}
    return {"dc_bias_volt": float(values.sum()) / len(values)}


def _points(curves: list[_Curve], names: tuple[str, ...]) -> Points:
    """Return the points of all curves, each a spectrum."""
    frequency, real, imaginary = ([curve.values[name] for curve in curves] for name in names)
    if len(curves) == 1:
        return Points(frequency[0], real[0], imaginary[0], places=curves[0].lines)
    return Points(
        np.concatenate(frequency),
        np.concatenate(real),
        np.concatenate(imaginary),
        np.repeat(np.arange(len(curves)), [len(curve.lines) for curve in curves]),
        list(chain.from_iterable(curve.lines for curve in curves)),
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
