"""Spreadsheets (xlsx, xlsm, xlsb, xls, ods) as rows of cells, and a table in a sheet as columns."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from python_calamine import CalamineWorkbook

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.number_columns import NumberColumns
from battery_pilot.measurements.old_excel import MAGIC, check_old_excel
from battery_pilot.measurements.sheet_limits import check_archive
from battery_pilot.measurements.text import shown, to_float

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from python_calamine import CalamineSheet

    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_Parsed = TypeVar("_Parsed")
_MISSING = frozenset({"", "nan", "NaN", "NAN", "N/A", "#N/A", "null", "NULL", "None", "-", "--"})


class Workbook:
    """The sheets of a spreadsheet file, read when they are asked for.

    :param source: the file.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._sheets: dict[str, CalamineSheet] = {}

    @cached_property
    def _book(self) -> CalamineWorkbook:
        check = check_old_excel if self._source.data.startswith(MAGIC) else check_archive
        check(self._source)
        return self._parsed(lambda: CalamineWorkbook.from_filelike(io.BytesIO(self._source.data)))

    @cached_property
    def sheet_names(self) -> tuple[str, ...]:
        """Names of the sheets in their order.

        :raises MeasurementError: for content that is no spreadsheet or that is larger than it pretends.
        """
        return tuple(self._book.sheet_names)

    def rows(self, sheet: str, limit: int | None = None) -> list[list[Any]]:
        """Return the rows of a sheet from its first line, all of one length; an empty cell is an empty string.

        Numbers are ``float``; dates, times and durations are those of :mod:`datetime`. The sheet is parsed once for
        all looks at its headings; what was parsed is let go with all its rows, as both take several times its size.

        :param sheet: one of :attr:`sheet_names`.
        :param limit: number of rows, for looking at the headings; ``None`` for all.
        :raises MeasurementError: for content that is damaged or larger than it pretends.
        """
        found = self._sheets.pop(sheet, None) or self._parsed(lambda: self._book.get_sheet_by_name(sheet))
        if limit is not None:
            self._sheets[sheet] = found
        return self._parsed(lambda: found.to_python(skip_empty_area=False, nrows=limit))

    def _parsed(self, parse: Callable[[], _Parsed]) -> _Parsed:
        """Call the parser, whose panics are no :class:`Exception`."""
        try:
            return parse()
        except MeasurementError:
            raise
        except BaseException as error:
            if not (isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime"):
                raise
            problem = f"damaged spreadsheet: {shown(str(error))}; copy or export the file again"
            raise self._source.error("file", problem) from error


class SheetTable(NumberColumns):
    """A table in a sheet, asked for by column as :class:`~battery_pilot.measurements.delimited.DelimitedTable` is.

    :param source: name for error messages.
    :param sheet: name of the sheet, for error messages.
    :param rows: all rows of the sheet, as :meth:`Workbook.rows` returns them.
    :param heading_row: position of the row of headings, from 0; the data begin below it. Empty rows are left out.
    :param headings: one a column.
    :param warnings: receives a sentence about each column that is left out.
    :raises MeasurementError: when there is no row with data.
    """

    def __init__(
        self,
        source: Source,
        sheet: str,
        rows: Sequence[Sequence[Any]],
        heading_row: int,
        headings: Sequence[str],
        warnings: list[str],
    ) -> None:
        super().__init__(source, headings, warnings)
        self._sheet = sheet
        self._lines = [
            number + 1 for number in range(heading_row + 1, len(rows)) if any(cell != "" for cell in rows[number])
        ]
        if not self._lines:
            raise source.error(f"sheet {sheet!r}", "no data rows below the headings")
        self._rows = [rows[line - 1] for line in self._lines]

    def __len__(self) -> int:
        """Return the number of data rows."""
        return len(self._rows)

    def line(self, row: int) -> int:
        """Return the row of the sheet, from 1, of a data row, from 0."""
        return self._lines[row]

    def cells(self, index: int) -> list[Any]:
        """Return a column as the sheet has it: ``float``, ``str``, ``bool``, or dates and times.

        :param index: position of the column.
        """
        return [row[index] for row in self._rows]

    def first(self, index: int) -> str:
        """Return the text of a column's first cell; a time or duration in seconds.

        :param index: position of the column.
        """
        cell = self._rows[0][index]
        return as_text(as_number(cell) if isinstance(cell, time | timedelta) else cell)

    def text(self, index: int) -> pa.ChunkedArray:
        """Return a column as text without surrounding blanks.

        Whole numbers have no decimals; dates are ISO 8601; times and durations are ``hours:minutes:seconds``.

        :param index: position of the column.
        """
        return pa.chunked_array([pa.array([as_text(cell) for cell in self.cells(index)], pa.string())])

    def _floats(self, index: int) -> FloatArray:
        cells = self.cells(index)
        if set(map(type, cells)) <= {float, int}:
            return np.array(cells, dtype=np.float64)
        values = np.empty(len(cells), dtype=np.float64)
        for row, cell in enumerate(cells):
            value = np.nan if is_missing(cell) else as_number(cell)
            if value is None:
                self._refuse_cell(row, index)
            values[row] = value
        return values

    def _place(self, row: int) -> str:
        return f"sheet {self._sheet!r}, row {self.line(row)}"

    def _cell_text(self, row: int, index: int) -> str:
        return as_text(self._rows[row][index])


def is_missing(cell: Any) -> bool:
    """Tell whether a cell stands for a value that was not measured."""
    return isinstance(cell, str) and cell.strip() in _MISSING


def as_number(cell: Any) -> float | None:
    """Return the finite number in a cell, seconds for a time or duration, or ``None``.

    :param cell: as :meth:`Workbook.rows` returns it; a number written as text may have a decimal comma.
    """
    if isinstance(cell, bool):
        return None
    if isinstance(cell, float | int):
        return float(cell)
    if isinstance(cell, str):
        return to_float(cell.strip(), decimal_comma="," in cell)
    if isinstance(cell, timedelta):
        return cell.total_seconds()
    if isinstance(cell, time):
        return cell.hour * 3600.0 + cell.minute * 60.0 + cell.second + cell.microsecond * 1e-6
    return None


def as_text(cell: Any) -> str:
    """Return a cell as text without surrounding blanks.

    :param cell: as :meth:`Workbook.rows` returns it.
    """
    if isinstance(cell, str):
        return cell.strip()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    if isinstance(cell, datetime):
        return cell.isoformat(" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        minutes, seconds = divmod(cell, timedelta(minutes=1))
        return f"{minutes // 60}:{minutes % 60:02}:{seconds.total_seconds():09.6f}"
    return str(cell)
