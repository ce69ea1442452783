"""Take the rows below the headings of an impedance table apart, at the speed of a few list operations."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from battery_pilot.measurements.number_blocks import all_but
from battery_pilot.measurements.tables import Points, are_finite
from battery_pilot.measurements.text import check_last_line, number, numbers, split_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.impedance.columns import Column, ImpedanceColumns
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray


_ROWS_AT_THE_END = 30


class Rows(NamedTuple):
    """The rows of a table, all with the same number of cells.

    :param columns: the cells column by column; of those that nobody will ask for, some may be missing at the end.
    :param lines: line in the file of each row, counted from 1.
    :param decimal_comma: a comma is the decimal sign.
    :param is_plain: no cell holds a character that Python, but no instrument, takes for part of a number.
    """

    columns: Sequence[Sequence[str]]
    lines: Sequence[int]
    decimal_comma: bool = False
    is_plain: bool = False

    def column(self, position: int) -> Sequence[str]:
        """Return the cells of a column.

        :param position: counted from 0.
        """
        return self.columns[position] if self.columns else ()


def rows_from(rows: Sequence[Sequence[str]], lines: Sequence[int], decimal_comma: bool = False) -> Rows:
    """Return the table of rows that were split one by one.

    :param rows: cells of each row, as many in each.
    :param lines: line in the file of each row, counted from 1.
    :param decimal_comma: a comma is the decimal sign.
    """
    return Rows(list(zip(*rows, strict=True)), lines, decimal_comma)


def rows_of(
    block: str,
    first_line: int,
    delimiter: str | None,
    width: int,
    source: Source,
    *,
    last_used: int | None = None,
    indentation: str = "",
) -> Rows:
    r"""Split a block of text into rows; blank lines are passed over.

    :param block: text of the rows with line ends ``\n``.
    :param first_line: line in the file with which the block begins, counted from 1.
    :param delimiter: delimiter of the cells; ``None`` for any blanks. A comma in a cell is a decimal comma.
    :param width: number of headings; further cells must be empty.
    :param source: the file, for error messages.
    :param last_used: position of the last column that will be asked for; by default all can be.
    :param indentation: what stands before the first cell of each row: nothing, or one delimiter.
    :raises MeasurementError: for a row with fewer or more cells than headings, but for empty ones at its end.
    """
    body = block.lstrip("\n")
    first_line += len(block) - len(body)
    body = body.rstrip("\n")
    decimal_comma = delimiter != "," and "," in body
    has_quotes = '"' in body
    if delimiter and not has_quotes:
        newlines, stride, count = _layout(body, delimiter, indentation)
        if stride in (width, width + 1):
            kept = stride if last_used is None else last_used + 1
            columns = _columns(body.removeprefix(indentation), newlines + indentation, delimiter, stride, kept)
            is_whole = stride == width or {cell[-1:] for cell in columns[-1]} <= {"", delimiter}
            # Text between two line ends that are one elsewhere makes fewer rows.
            if is_whole and len(columns[-1]) == count:
                lines = range(first_line, first_line + len(newlines) * count, len(newlines))
                return Rows(columns, lines, decimal_comma, body.isascii() and "_" not in body)
    numbered = enumerate(body.split("\n"), first_line)
    contents = [(line, text.removeprefix(indentation)) for line, text in numbered if text and not text.isspace()]
    if has_quotes:
        filled = [(line, split_cells(text, delimiter or " ")) for line, text in contents]
    else:
        filled = [(line, text.split(delimiter)) for line, text in contents]
    demand_width(filled, width, source)
    return rows_from([row for _, row in filled], [line for line, _ in filled], decimal_comma)


def _columns(body: str, end: str, delimiter: str, stride: int, kept: int) -> list[Sequence[str]]:
    """Return the first columns of rows that are all alike, and the last one or the rest of each row.

    :param end: what stands between two rows.
    :param stride: cells of each row.
    :param kept: how many columns are wanted.
    """
    if 2 * kept < stride:
        return list(zip(*[row.split(delimiter, kept) for row in body.split(end)], strict=True))
    cells = body.replace(end, delimiter).split(delimiter)
    return [cells[position::stride] for position in (*range(kept), stride - 1)]


def _layout(body: str, delimiter: str, indentation: str) -> tuple[str, int, int]:
    """Return what ends the rows of a table, the number of cells in each, and the number of rows.

    What is left of the text without its cells tells all three. Rows that are not all alike have 0 cells.
    """
    skeleton = body.encode().translate(None, all_but(delimiter[0]))
    row = skeleton[: skeleton.find(b"\n") % (len(skeleton) + 1)]
    newlines = b"\n\n" if skeleton.startswith(b"\n\n", len(row)) else b"\n"
    pattern = row + newlines
    count, rest = divmod(len(skeleton) + len(newlines), len(pattern))
    if rest or skeleton + newlines != pattern * count or not body.startswith(indentation):
        return "\n", 0, 0
    return newlines.decode(), len(row) + 1 - len(indentation), count


def demand_width(rows: Sequence[tuple[int, Sequence[str]]], width: int, source: Source) -> None:
    """Refuse rows with another number of cells than most, and cells without a heading.

    Some programs end their rows with a delimiter: a row without it has lost one elsewhere.

    :param rows: line in the file, counted from 1, and cells of each row.
    :param width: number of headings.
    :param source: the file, for the error message.
    :raises MeasurementError: naming the line.
    """
    usual = max(width, Counter(len(row) for _, row in rows).most_common(1)[0][0] if rows else 0)
    for line, row in rows:
        if any(cell.strip() for cell in row[width:]):
            problem = f"{len(row)} columns found, {width} expected: delimiters and decimal signs cannot be told apart"
            raise source.error(f"line {line}", f"{problem}; export it again with decimal points")
        if len(row) != usual:
            problem = f"{len(row)} columns found, {usual} expected: the file is truncated or damaged; copy it again"
            raise source.error(f"line {line}", problem)


def values_of(rows: Rows, position: int, heading: str, source: Source) -> list[float]:
    """Return the numbers of a column.

    :param rows: the table.
    :param position: position of the column, counted from 0.
    :param heading: heading of the column, for the error message.
    :param source: the file, for the error message.
    :raises MeasurementError: naming line and column of the first cell that is no number.
    """
    cells = rows.column(position)
    if rows.is_plain and not rows.decimal_comma:
        try:
            values = list(map(float, cells))
        except ValueError:
            pass  # The line is named below.
        else:
            if math.isfinite(sum(values)):
                return values
    return numbers(cells, rows.lines, source, heading, rows.decimal_comma)


def columns_of(rows: Rows, columns: Sequence[tuple[int, str]], source: Source) -> FloatArray:
    """Return the numbers of some columns as the rows of an array; the way of :func:`values_of` for several at once.

    :param rows: the table.
    :param columns: position, counted from 0, and heading of each.
    :param source: the file, for the error message.
    :raises MeasurementError: naming line and column of the first cell that is no number.
    """
    if rows.is_plain and not rows.decimal_comma:
        wanted: list[str] = []
        for position, _ in columns:
            wanted += rows.columns[position]
        try:
            values = np.array(wanted, np.float64)
        except ValueError:
            pass  # The line is named below.
        else:
            if are_finite(values):
                return values.reshape(len(columns), len(rows.lines))
    return np.array([values_of(rows, position, heading, source) for position, heading in columns])


def points_in(rows: Rows, columns: ImpedanceColumns, source: Source) -> Points:
    """Turn rows into points.

    :param rows: the table.
    :param columns: where the quantities are.
    :param source: the file, for error messages.
    :raises MeasurementError: for cells that are not numbers.
    """
    wanted = columns.frequency, columns.first, columns.second
    values = columns_of(rows, [(column.position, column.heading) for column in wanted], source)
    for column, own in zip(wanted, values, strict=True):
        if column.factor != 1.0:
            own *= column.factor
    frequency, first, second = values
    if columns.polar:
        phase = np.radians(second)
        first, second = first * np.cos(phase), first * np.sin(phase)
    numbering = numbering_in(rows, columns.spectrum, source) if columns.spectrum else None
    return Points(frequency, first, second, numbering, rows.lines)


def numbering_in(rows: Rows, column: Column, source: Source) -> list[float] | None:
    """Return the numbers that tell the spectra apart, or ``None`` where all rows have the same one.

    :param rows: the table.
    :param column: where the numbers are.
    :param source: the file, for the error message.
    :raises MeasurementError: for a cell that is no number.
    """
    cells = rows.column(column.position)
    if not cells:
        return None
    if cells.count(cells[0]) == len(cells):
        number(cells[0], source, rows.lines[0], column.heading, rows.decimal_comma)
        return None
    return values_of(rows, column.position, column.heading, source)


def check_end(text: str, rows: Rows, last_used: int, width: int, source: Source, warnings: list[str]) -> None:
    """Refuse a table that ends inside a number, or warn where that cannot be excluded.

    :param text: the file, or its end with the table; a line end at its end proves the last number.
    :param rows: the table, with which the file ends.
    :param last_used: position of the last column that is used.
    :param width: number of headings.
    :param source: the file, for the error message.
    :param warnings: receives a sentence when the file may be cut.
    :raises MeasurementError: when the last number is unfinished.
    """
    if text.endswith("\n") or last_used < width - 1:
        return
    last = zip(rows.lines[-_ROWS_AT_THE_END:], rows.column(width - 1)[-_ROWS_AT_THE_END:], strict=True)
    check_last_line([(line, cell.strip()) for line, cell in last], "\t", source, warnings, used=True)
