"""Spreadsheets (xlsx, xlsm, xlsb, xls, ods) as rows of cells, and a table in a sheet as columns."""

from __future__ import annotations

import io
from datetime import date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import numpy as np
import pyarrow as pa
from python_calamine import CalamineWorkbook

from battery_pilot.errors import MeasurementError
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

        Numbers are ``float``; dates, times and durations are those of :mod:`datetime`. The sheet is parsed once,
        however often it is asked for.

        :param sheet: one of :attr:`sheet_names`.
        :param limit: number of rows, for looking at the headings; ``None`` for all.
        :raises MeasurementError: for content that is damaged or larger than it pretends.
        """
        if sheet not in self._sheets:
            self._sheets[sheet] = self._parsed(lambda: self._book.get_sheet_by_name(sheet))
        return self._parsed(lambda: self._sheets[sheet].to_python(skip_empty_area=False, nrows=limit))

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


class SheetTable:
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
        self._source = source
        self._sheet = sheet
        self._headings = headings
        self._warnings = warnings
        filled = [
            (number, row)
            for number, row in enumerate(rows[heading_row + 1 :], heading_row + 2)
            if any(cell != "" for cell in row)
        ]
        if not filled:
            raise source.error(f"sheet {sheet!r}", "no data rows below the headings")
        self._lines = [number for number, _ in filled]
        self._rows = [row for _, row in filled]

    def __len__(self) -> int:
        """Return the number of data rows."""
        return len(self._rows)

    def refuse(self, row: int, problem: str) -> NoReturn:
        """Refuse the file for what is in a row.

        :param row: data row from 0.
        :param problem: what was found and what was expected.
        :raises MeasurementError: always.
        """
        raise self._source.error(f"sheet {self._sheet!r}, row {self.line(row)}", problem)

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

    def required(self, index: int, factor: float = 1.0) -> FloatArray:
        """Return a column of numbers without gaps; a time or duration counts in seconds.

        :param index: position of the column.
        :param factor: to the unit of the Battery Data Format.
        :raises MeasurementError: naming the row of the first cell that is no finite number.
        """
        values = self._floats(index) * factor
        gaps = np.flatnonzero(~np.isfinite(values))
        if len(gaps):
            self._refuse_cell(int(gaps[0]), index)
        return values

    def optional(self, index: int, name: str, factor: float = 1.0) -> FloatArray | None:
        """Return a column of numbers with NaN in its gaps, or ``None`` with a warning when it holds other text.

        :param index: position of the column.
        :param name: canonical name, for the warning.
        :param factor: to the unit of the Battery Data Format.
        """
        try:
            return self._floats(index) * factor
        except MeasurementError as error:
            self._warnings.append(f"{name} was left out: {error.place}: {error.problem}.")
            return None

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

    def _refuse_cell(self, row: int, index: int) -> NoReturn:
        found = shown(as_text(self._rows[row][index]))
        self.refuse(row, f"{self._headings[index]}: expected a number, found {found}")


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
