"""Impedance as a plain table: frequency with real and imaginary part, magnitude and phase, or complex numbers.

Lines that begin with ``#`` above the table are comments; ``# battery_id=ABC``, ``# temperature_celsius=25.0`` and
``# state_of_charge_percent=50`` among them become metadata.
"""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.facts import leading_facts, start_above
from battery_pilot.measurements.impedance.bare import points_of_bare_columns
from battery_pilot.measurements.impedance.columns import Column, ImpedanceColumns
from battery_pilot.measurements.impedance.headings import FREQUENCY_SIGNS, Headings, headings_in, with_units
from battery_pilot.measurements.impedance.rows import check_end, demand_width, rows_from, rows_of
from battery_pilot.measurements.impedance.spectra import one_after_another, points_of_spectra
from battery_pilot.measurements.impedance.wide import points_of_wide
from battery_pilot.measurements.tables import impedance_measurement
from battery_pilot.measurements.text import split_cells, to_float, trim_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.measurements.impedance.rows import Rows
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import Points

_EXPECTED = "a table of frequency and impedance"
_BARE_NAMES = ("column 1 (frequency)", "column 2 (real part)", "column 3 (imaginary part)")
_FREQUENCY, _REAL, _IMAGINARY = (Column(index, name, 1.0, True) for index, name in enumerate(_BARE_NAMES))
_BARE_COLUMNS = ImpedanceColumns(_FREQUENCY, _REAL, _IMAGINARY)
_FEWEST_POINTS_OF_BARE_SWEEP = 5
_CHARACTERS_BEFORE_TABLE = 4096
_FREQUENCY_WORDS = ("req", "Hz", "REQ", "quen", "mega", *FREQUENCY_SIGNS)
"""One of these stands in headings below a free text, which are looked for less thoroughly than in the first line."""
_LINES_TO_TRY = 8
_PIECE_CHARACTERS = 1 << 20
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_NUMBER_BEGINS = frozenset("0123456789+-.")


class _Block(NamedTuple):
    """A table in a text.

    :param headings: its headings.
    :param headings_start: position of their line in the text.
    :param line: line of the first row below headings and units, from 1.
    :param start: position of that line in the text.
    :param end: position behind the last row.
    """

    headings: Headings
    headings_start: int
    line: int
    start: int
    end: int


class PlainImpedanceReader:
    """Reads text tables of impedance with any common delimiter, decimal sign and headings, or three bare columns."""

    name = "impedance-csv"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".csv", ".tsv", ".txt")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 60 for headings in the first line, 20 for headings further down, 10 for three columns of numbers.

        Words between blanks may be a sentence, and so may headings below a text: numbers must follow them.
        """
        number, line = source.first_data_line
        if not number:
            return 0
        headings = headings_in(line)
        if headings is not None and headings.delimiter is not None and headings.refusal is None:
            return 60
        if _bare_headings(line) is not None:
            return 10
        if not _numbers_follow(source.head_text):
            return 0
        return 20 if headings is None else 60

    def read(self, source: Source) -> Measurement:
        """Read the table; see :func:`~battery_pilot.measurements.impedance.spectra.points_of_spectra` for several.

        :raises MeasurementError: when a row breaks off or holds no numbers, or when bare columns cannot be a sweep.
        """
        text = source.text(_EXPECTED)
        warnings: list[str] = []
        first = _first_table(text)
        if first is None:
            raise source.error("file", f"no table, expected {_EXPECTED}")
        head = text[: first.headings_start]
        lines = head.split("\n")
        facts = {**start_above(lines, warnings), **leading_facts(lines, warnings)}
        above = sum(1 for _ in _lines(head))
        if above:
            warnings.append(f"Lines of text above the table were left out: {above}.")
        notes: list[str] = []
        try:
            points = _points(text, first, source, notes)
        except MeasurementError:
            blocks = _all_tables(text, first, source, warnings)
            if blocks == [first]:
                raise
            notes.clear()
            points = one_after_another([_points(text, block, source, notes) for block in blocks])
        facts["columns_left_out"] = first.headings.left_out
        return impedance_measurement(source, self.name, points, facts=facts, warnings=warnings + notes)


def _lines(text: str, start: int = 0, number: int = 1) -> Iterator[tuple[int, int, str]]:
    """Yield number, position and content of each line that is neither blank nor a comment."""
    while start < len(text):
        end = _line_end(text, start)
        line = text[start:end]
        if line and not line.isspace() and not line.lstrip().startswith("#"):
            yield number, start, line
        start, number = end + 1, number + 1


def _first_table(text: str) -> _Block | None:
    """Return the table at the beginning, or the one below the first line of headings, or ``None``."""
    number, start, line = next(_lines(text), (0, 0, ""))
    if not number:
        return None
    bare = _bare_headings(line)
    if bare is not None:
        return _Block(bare, start, number, start, len(text))
    for position in (start, *_lines_with_a_frequency(text)):
        line = text[position : _line_end(text, position)]
        headings = headings_in(line)
        if headings is not None:
            return _below(text, headings, text.count("\n", 0, position) + 1, position)
    return None


def _numbers_follow(text: str) -> bool:
    """Tell whether there are headings with a number in the line below them."""
    first = _first_table(text)
    if first is None:
        return False
    _, _, line = next(_lines(text, first.start), (0, 0, ""))
    return any(to_float(cell, decimal_comma=True) is not None for cell in _cells(line, first.headings.delimiter))


def _lines_with_a_frequency(text: str) -> list[int]:
    """Return where those lines near the beginning begin that may be headings below a free text."""
    found = set()
    for word in _FREQUENCY_WORDS:
        position = text.find(word, 0, _CHARACTERS_BEFORE_TABLE)
        for _ in range(_LINES_TO_TRY):
            if position < 0:
                break
            found.add(text.rfind("\n", 0, position) + 1)
            position = text.find(word, _line_end(text, position), _CHARACTERS_BEFORE_TABLE)
    return sorted(found)


def _line_end(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _bare_headings(line: str) -> Headings | None:
    """Return names for the columns of a line of three numbers, or ``None`` for any other line."""
    if line.lstrip()[0] not in _NUMBER_BEGINS:
        return None
    for delimiter in ("\t", ";", ",", None):
        cells = _cells(line, delimiter)
        if len(cells) == len(_BARE_NAMES) and all(to_float(cell, delimiter != ",") is not None for cell in cells):
            return Headings(_BARE_NAMES, delimiter, (_BARE_COLUMNS,))
    return None


def _below(text: str, headings: Headings, number: int, start: int) -> _Block:
    """Return the table below a line of headings, with the units of the next line where they stand there."""
    below = _line_end(text, start) + 1
    following = next(_lines(text, below, number + 1), None)
    if following is not None and following[2].lstrip()[0] not in _NUMBER_BEGINS:
        line, position, content = following
        units = with_units(headings, _cells(content, headings.delimiter))
        if units is not None:
            return _Block(units, start, line + 1, position + len(content) + 1, len(text))
    return _Block(headings, start, number + 1, below, len(text))


def _cells(line: str, delimiter: str | None) -> list[str]:
    if delimiter is None:
        return line.split()
    if '"' not in line:
        return trim_empty(split_cells(line, delimiter))
    try:
        return trim_empty(_quoted_cells(line, delimiter))
    except csv.Error:
        return []


def _quoted_cells(line: str, delimiter: str) -> list[str]:
    """Split a line in which cells with the delimiter in them stand in quotes."""
    return next(csv.reader((line,), delimiter=delimiter, skipinitialspace=True))


def _all_tables(text: str, first: _Block, source: Source, warnings: list[str]) -> list[_Block]:
    """Return the tables below each other, each with its own headings.

    :raises MeasurementError: for numbers below a line of text that is no line of headings.
    """
    blocks, block, skipped, closed = [], first, 0, len(text)
    for number, start, line in _lines(text, first.start, first.line):
        headings = headings_in(line)
        if headings is not None:
            if block.start < start:  # Else the headings above are repeated.
                blocks.append(block._replace(end=min(closed, start)))
            block, closed = _below(text, headings, number, start), len(text)
        elif start < block.start:
            continue  # The row of units.
        elif any(to_float(cell, decimal_comma=True) is not None for cell in _cells(line, block.headings.delimiter)):
            if closed < len(text):
                raise source.error(f"line {number}", "expected headings after a line of text, found a row of numbers")
        else:
            skipped, closed = skipped + 1, min(closed, start)
    if skipped:
        warnings.append(f"Lines of text between or below the tables were left out: {skipped}.")
    return [*blocks, block._replace(end=closed)]


def _points(text: str, block: _Block, source: Source, warnings: list[str]) -> Points:
    headings = block.headings
    if headings.refusal is not None:
        raise source.error(f"line {block.line - 1}", headings.refusal)
    pieces = _pieces(text, block, source, warnings)
    if headings.wide is not None:
        return points_of_wide(pieces, headings.wide, source, warnings)
    warnings += headings.guesses
    points = points_of_spectra(pieces, headings.spectra, source, warnings)
    if headings.spectra[0] is _BARE_COLUMNS:
        _check_sweeps(points, source)
        return points_of_bare_columns(points, warnings)
    return points


def _pieces(text: str, block: _Block, source: Source, warnings: list[str]) -> Iterator[Rows]:
    """Yield the rows of a table in pieces, so that only numbers of a large file are in memory at once."""
    start, line, width = block.start, block.line, len(block.headings.cells)
    while True:
        end = block.end
        if end - start > _PIECE_CHARACTERS:
            end = text.find("\n", start + _PIECE_CHARACTERS, end) + 1 or end
        piece = text[start:end]
        rows = _rows(
            _COMMENT.sub("", piece) if "#" in piece else piece, line, block.headings.delimiter, width, source
        )
        if end == len(text) and rows.lines:
            check_end(text, rows, block.headings.last_used, width, source, warnings)
        yield rows
        start, line = end, line + piece.count("\n")
        if start >= block.end:
            return


def _rows(piece: str, line: int, delimiter: str | None, width: int, source: Source) -> Rows:
    if '"' not in piece or delimiter is None:
        return rows_of(piece, line, delimiter, width, source)
    rows = []
    for number, text in enumerate(piece.split("\n"), line):
        if not text or text.isspace():
            continue
        try:
            rows.append((number, _quoted_cells(text, delimiter)))
        except csv.Error as error:
            raise source.error(f"line {number}", f"cannot be split into cells: {error}") from error
    demand_width(rows, width, source)
    return rows_from([cells for _, cells in rows], [number for number, _ in rows])


def _check_sweeps(points: Points, source: Source) -> None:
    """Refuse three bare columns whose first one does not run steadily from one frequency to another."""
    frequency = np.asarray(points.frequency_hertz)
    starts = [0]
    if points.spectrum is not None:
        starts += (np.flatnonzero(np.diff(points.spectrum)) + 1).tolist()
    for start, end in zip(starts, [*starts[1:], len(frequency)], strict=True):
        steps = np.diff(frequency[start:end])
        broken = np.flatnonzero(steps * steps[:1].sum() <= 0)
        if len(broken) or (len(starts) > 1 and end - start < _FEWEST_POINTS_OF_BARE_SWEEP):
            problem = (
                "three columns without headings, but the first is no frequency sweep; add headings such as "
                "'frequency / Hz', 'real / ohm', 'imaginary / ohm'"
            )
            raise source.error(points.place(start + int(broken[0]) + 1 if len(broken) else start), problem)
