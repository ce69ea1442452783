"""Read the columns of a large delimited table from its bytes, and name the line where it breaks."""

from __future__ import annotations

import csv as quoted
import itertools
import re
from array import array
from functools import cached_property
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from battery_pilot.measurements.decimal_signs import shows_decimal_comma, with_decimal_point
from battery_pilot.measurements.model import HALF_WRITTEN
from battery_pilot.measurements.number_blocks import numbers_at_once
from battery_pilot.measurements.number_columns import NumberColumns
from battery_pilot.measurements.text import is_cut_number, number, shown, split_cells, to_float

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_EXPECTED = "a text table"
_MISSING = ("", "nan", "NaN", "NAN", "N/A", "null", "NULL", "None", "-")
_SAMPLE_BYTES = 8192
_SAMPLE_ROWS = 8
_ROWS_THAT_SHOW_A_WIDTH = 30
# Rows whose cells show whether a column holds numbers; a column that is judged wrongly is read a second time.
_ROWS_FOR_TYPES = 3
_BYTES_WORTH_THREADS = 1 << 21
_BYTES_WORTH_A_PARSER = 1 << 16
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_MOST_NOTES = 1000
_LINE_END = re.compile(rb"\r\n?|\n")
_PLAIN_NUMBER = r"^-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_COLUMN_OF_ERROR = re.compile(r"In CSV column #(\d+)")


class DelimitedTable(NumberColumns):
    r"""Some columns of a delimited table.

    Numbers are parsed straight from the bytes of the file; only what is spelled unusually takes the way over text.
    A line like the headings further down, as loggers write after a restart, is left out with a warning, and so is a
    last row that is shorter than the others or ends inside a number. Every other damaged row refuses the file.

    :param source: the file; UTF-8, Latin-1 or, with its byte order mark, UTF-16, with any line ends.
    :param heading_line: line of the headings, from 1; the data begin below it.
    :param headings: cells of that line; empty ones at its end may be left away.
    :param delimiter: delimiter of the cells, one character.
    :param wanted: positions of the columns to read, from 0.
    :param warnings: receives a sentence about each guess, each row and each column that is left out.
    :raises MeasurementError: for binary content, no rows, or a row with another number of cells than headings.
    """

    def __init__(
        self,
        source: Source,
        heading_line: int,
        headings: Sequence[str],
        delimiter: str,
        wanted: Sequence[int],
        warnings: list[str],
    ) -> None:
        super().__init__(source, headings, warnings)
        self._delimiter = delimiter
        self._wanted = sorted(set(wanted))
        self._first_line = heading_line + 1
        self._kept_lines: array[int] | None = None
        data = _utf8(source)
        start = _line_start(data, self._first_line)
        self._body = _without_blank_end(memoryview(data)[start:])
        self._has_quotes = data.find(b'"', start) >= 0
        is_ended = self._leave_out_notes() or source.data.endswith((b"\n", b"\r", b"\n\0", b"\r\0"))
        self._leave_out_half_row(not is_ended)
        sample = self._sample()
        if any(row[: len(headings)] == [*headings] for row in sample):
            self._leave_out_repeated_headings()
            sample = self._sample()
        if not sample:
            raise source.error("table", "no data rows; the file is truncated or empty")
        surplus = sample[0][len(headings) :]
        self._width = len(headings) + (0 if any(surplus) else len(surplus))
        self._decimal_comma = delimiter != "," and any(
            "," in row[index] and to_float(row[index], True) is not None
            for row in sample
            for index in self._wanted
            if index < len(row)
        )
        body = self._body
        self._table = self._parse(self._text_columns(sample[:_ROWS_FOR_TYPES]))
        # Parsing may have left out rows.
        self._first_row = sample[0] if body is self._body else self._sample()[0]

    def _sample(self) -> list[list[str]]:
        """Return the cells of the first rows."""
        lines = [line for line in bytes(self._body[:_SAMPLE_BYTES]).splitlines() if line]
        if len(self._body) > _SAMPLE_BYTES:
            lines = lines[:-1] or lines
        return [self._cells(line) for line in lines[:_SAMPLE_ROWS]]

    def _cells(self, line: bytes) -> list[str]:
        try:
            text = line.decode()
        except UnicodeDecodeError:
            text = line.decode("latin-1")
        if '"' not in text:
            return split_cells(text, self._delimiter)
        try:
            return [cell.strip() for cell in next(quoted.reader([text], delimiter=self._delimiter))]
        except quoted.Error:
            return split_cells(text, self._delimiter)  # The line is too long for that parser.

    def _leave_out_notes(self) -> bool:
        """Leave out text below the table: lines of fewer cells that begin with a letter, which its rows do not.

        :returns: whether there was any.
        """
        notes: list[bytes] = []
        while not self._body[:1].tobytes().isalpha() and len(notes) < _MOST_NOTES:
            end = bytes(self._body[-_SAMPLE_BYTES:])
            line = end[max(end.rfind(b"\n"), end.rfind(b"\r")) + 1 :]
            if not line[:1].isalpha() or line == end:
                break
            cells = self._cells(line)
            if len(cells) >= len(self._headings) or cells[0] in _MISSING:
                break
            notes.append(line)
            self._body = _without_blank_end(self._body[: -len(line)])
        if notes:
            first = shown(notes[-1].decode("latin-1"))
            self._warnings.append(f"The text below the table was left out; its first line is {first}.")
        return bool(notes)

    def _leave_out_half_row(self, may_be_cut: bool) -> None:
        """Leave out the last row if it was not written to its end.

        :param may_be_cut: the file does not end with a line end.
        """
        lines = [line for line in bytes(self._body[-_SAMPLE_BYTES:]).splitlines() if line]
        if not lines:
            return
        last = self._cells(lines[-1])
        is_used = may_be_cut and len(self._headings) - 1 in self._wanted
        earlier = [self._cells(line) for line in lines[-_ROWS_THAT_SHOW_A_WIDTH if is_used else -2 : -1]]
        is_short = len(last) < (len(earlier[0]) if earlier else len(self._headings))
        if is_short or (is_used and _is_cut(last[-1], [row[-1] for row in earlier])):
            found = shown(lines[-1].decode("latin-1"))
            self._warnings.append(f"{HALF_WRITTEN}it ends inside a row, {found}; this last row was left out.")
            self._body = _without_blank_end(self._body[: -len(lines[-1])])
        elif is_used and last[-1]:
            self._warnings.append(
                f"The file does not end with a line end; its last number, {shown(last[-1])}, may be cut."
            )

    def _text_columns(self, rows: Sequence[Sequence[str]]) -> frozenset[int]:
        """Return the wanted columns that hold something other than numbers in these rows."""
        return frozenset(
            index
            for row in rows
            for index in self._wanted
            if index < len(row) and row[index] not in _MISSING and to_float(row[index], self._decimal_comma) is None
        )

    def _parse(self, texts: frozenset[int]) -> pa.Table:
        """Return the wanted columns; those in ``texts`` as text, the others as numbers."""
        try:
            table = self._read_csv(self._wanted, texts)
        except pa.ArrowInvalid as error:
            return self._parse(self._remedy(error, texts))
        if self._has_quotes and not self._is_row_count(table.num_rows):
            self._refuse_broken_row()
        # Spreadsheets export rows without content as delimiters.
        if all(column.null_count for column in table.columns) and self._leave_out([""] * self._width):
            return self._parse(texts)
        return table

    def _is_row_count(self, rows: int) -> bool:
        """Tell whether the table has so many rows; a double quote that is not closed joins lines to one row."""
        return rows == bytes(self._body).count(b"\n") + 1 or rows == sum(1 for _ in self._numbered_lines())

    def _read_csv(self, wanted: Sequence[int], texts: Collection[int]) -> pa.Table:
        if len(self._body) <= _BYTES_WORTH_A_PARSER and not (texts or self._has_quotes or self._decimal_comma):
            numbers = numbers_at_once(bytes(self._body), self._delimiter, self._width)
            if numbers is not None:
                columns = [pa.array(np.ascontiguousarray(numbers[:, index])) for index in wanted]
                return pa.Table.from_arrays(columns, [str(index) for index in wanted])
        types = {str(index): pa.string() if index in texts else pa.float64() for index in wanted}
        return csv.read_csv(
            pa.BufferReader(pa.py_buffer(self._body)),
            csv.ReadOptions(
                use_threads=len(self._body) > _BYTES_WORTH_THREADS,
                column_names=[str(index) for index in range(self._width)],
            ),
            csv.ParseOptions(delimiter=self._delimiter, quote_char='"' if self._has_quotes else False),
            csv.ConvertOptions(
                include_columns=list(types),
                column_types=types,
                null_values=_MISSING,
                decimal_point="," if self._decimal_comma else ".",
            ),
        )

    def _remedy(self, error: pa.ArrowInvalid, texts: frozenset[int]) -> frozenset[int]:
        """Return the columns to read as text in another try, after a repair of what can be repaired.

        :raises MeasurementError: when nothing helps, naming the line.
        """
        if self._leave_out_repeated_headings():
            return texts
        column = _COLUMN_OF_ERROR.match(str(error))
        if column is None:
            self._refuse_broken_row()
        if "invalid UTF8" in str(error):
            self._body = memoryview(bytes(self._body).decode("latin-1").encode())
            return texts
        return texts | {int(column[1])}

    def _numbered_lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield line number and content of each row. Slow: for files with a peculiarity only."""
        numbers: Iterator[int] = (
            itertools.count(self._first_line) if self._kept_lines is None else iter(self._kept_lines)
        )
        start = 0
        for end in _LINE_END.finditer(self._body):
            number = next(numbers)
            if end.start() > start:
                yield number, bytes(self._body[start : end.start()])
            start = end.end()
        yield next(numbers), bytes(self._body[start:])

    @cached_property
    def _line_numbers(self) -> array[int]:
        """Line in the file of each row."""
        return self._kept_lines or array("q", (number for number, _ in self._numbered_lines()))

    def _leave_out_repeated_headings(self) -> bool:
        """Leave out rows that repeat the headings; tell whether there were any."""
        repeated = self._leave_out(self._headings)
        if repeated:
            self._warnings.append(f"{repeated} lines that repeat the headings were left out.")
        return repeated > 0

    def _leave_out(self, cells: Sequence[str]) -> int:
        """Leave out rows that begin with these cells, and return how many there were."""
        first = cells[0].encode()
        if first not in bytes(self._body):
            return 0

        def is_kept(line: bytes) -> bool:
            return not line.lstrip(b' "').startswith(first) or self._cells(line)[: len(cells)] != [*cells]

        left_out = sum(not is_kept(line) for _, line in self._numbered_lines())
        if left_out:
            body, line_numbers = bytearray(), array("q")
            for line_number, line in self._numbered_lines():
                if is_kept(line):
                    body += line + b"\n"
                    line_numbers.append(line_number)
            self._body = memoryview(body)[:-1]
            self._kept_lines = line_numbers
        return left_out

    def _refuse_broken_row(self) -> NoReturn:
        """Refuse the file for its first row with another number of cells or with an open quote."""
        for line_number, line in self._numbered_lines():
            found = len(self._cells(line))
            if found != self._width:
                problem = (
                    f"{found} columns found, {self._width} expected: the file is truncated or damaged; copy it again"
                )
                raise self._source.error(f"line {line_number}", problem)
            if line.count(b'"') % 2:
                problem = "a double quote is opened and not closed in its line; correct it"
                raise self._source.error(f"line {line_number}", problem)
        raise self._source.error("table", "cannot be split into rows and columns; export the file again")

    def line(self, row: int) -> int:
        """Return the line in the file, from 1, of a data row, from 0."""
        return self._line_numbers[row]

    def first(self, index: int) -> str:
        """Return the text of a column's first cell, without blanks and quotes around it.

        :param index: position of the column.
        """
        return self._first_row[index] if index < len(self._first_row) else ""

    def text(self, index: int) -> pa.ChunkedArray:
        """Return a column as text without surrounding blanks.

        :param index: position of the column.
        """
        column = self._table.column(str(index))
        if not pa.types.is_string(column.type):
            column = self._read_csv([index], [index]).column(0)
        return pc.utf8_trim_whitespace(column)

    def _place(self, row: int) -> str:
        return f"line {self.line(row)}"

    def _cell_text(self, row: int, index: int) -> str:
        text: str = self.text(index)[row].as_py()
        return text

    def _floats(self, index: int) -> FloatArray:
        column = self._table.column(str(index))
        if pa.types.is_string(column.type):
            column = self._cast(index)
        elif self._decimal_comma and not self._shows_decimal_comma:
            self._with_decimal_point(index, self.text(index))  # Only to see whether the commas are clear.
        values: FloatArray = column.to_numpy()
        return values

    def _cast(self, index: int) -> pa.Array | pa.ChunkedArray:
        """Turn a column of text into numbers, with either decimal sign where a comma does not separate cells."""
        texts = self.text(index)
        if pc.any(pc.match_substring(texts, ",")).as_py():
            texts = self._with_decimal_point(index, texts)
        missing = pa.array(_MISSING)
        texts = pc.if_else(pc.is_in(texts, value_set=missing), pa.scalar(None, pa.string()), texts)
        is_plain = pc.match_substring_regex(texts, _PLAIN_NUMBER).fill_null(True)
        if not pc.all(is_plain).as_py():
            # Arrow refuses some spellings of numbers, such as "+1".
            is_odd = pc.invert(is_plain)
            odd = pc.filter(texts, is_odd).to_pylist()
            rows = np.flatnonzero(is_odd.to_numpy())
            numbers = [repr(self._number(int(row), index, token)) for row, token in zip(rows, odd, strict=True)]
            texts = pc.replace_with_mask(texts.combine_chunks(), is_odd.combine_chunks(), pa.array(numbers))
        return pc.cast(texts, pa.float64())

    def _with_decimal_point(self, index: int, texts: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a column of numbers with decimal points.

        :raises MeasurementError: for a comma or a point that may stand before decimals or between thousands.
        """
        texts_with_point, unclear = with_decimal_point(texts, self._shows_decimal_comma)
        if unclear is not None:
            text = texts[unclear].as_py()
            sign = "comma" if "," in text else "point"
            problem = f"the {sign} in {shown(text)} may stand before decimals or between thousands; export without the latter"
            self.refuse(unclear, f"{self._headings[index]}: {problem}")
        return texts_with_point

    @cached_property
    def _shows_decimal_comma(self) -> bool:
        return shows_decimal_comma(self._body, self._delimiter)

    def _number(self, row: int, index: int, token: str) -> float:
        return number(token, self._source, self.line(row), self._headings[index])


def _utf8(source: Source) -> bytes:
    """Return the content, with UTF-16 turned into UTF-8; binary content is refused."""
    if source.data.startswith(_UTF16_MARKS):
        return source.text(_EXPECTED).encode()
    position = source.binary_position
    if position is not None:
        raise source.error(f"byte {position}", f"binary content, expected {_EXPECTED}")
    return source.data


def _line_start(data: bytes, line: int) -> int:
    """Return where a line begins, counted from 1."""
    ends = itertools.islice(_LINE_END.finditer(data), line - 2, None)
    end = next(ends, None)
    return end.end() if end else len(data)


def _without_blank_end(body: memoryview) -> memoryview:
    while len(body):
        tail = bytes(body[-_SAMPLE_BYTES:])
        blanks = len(tail) - len(tail.rstrip(b" \r\n"))
        body = body[: len(body) - blanks]
        if blanks < len(tail):
            break
    return body


def _is_cut(last: str, earlier: Sequence[str]) -> bool:
    """Tell whether the last cell of a file ends before its end, by the look of the cells above it."""
    filled = [cell for cell in earlier if cell]
    return is_cut_number(last, filled) if last else len(filled) == len(earlier)
