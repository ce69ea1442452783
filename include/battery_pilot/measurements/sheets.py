"""Spreadsheets (xlsx, xlsm, xls, ods) as rows of cells."""

from __future__ import annotations

import io
from functools import cached_property
from typing import TYPE_CHECKING, Any

from python_calamine import CalamineError, CalamineWorkbook

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source


class Workbook:
    """The sheets of a spreadsheet file, read when they are asked for.

    :param source: the file.
    :raises MeasurementError: for content that is no spreadsheet or that is larger than it pretends.
    """

    def __init__(self, source: Source) -> None:
        self._source = source

    @cached_property
    def _book(self) -> CalamineWorkbook:
        try:
            return CalamineWorkbook.from_filelike(io.BytesIO(self._source.data))
        except CalamineError as error:
            raise self._source.error(
                "file", f"damaged spreadsheet: {error}; copy or export the file again"
            ) from error

    @property
    def sheet_names(self) -> tuple[str, ...]:
        """Names of the sheets in their order."""
        return tuple(self._book.sheet_names)

    def rows(self, sheet: str, limit: int | None = None) -> list[list[Any]]:
        """Return the rows of a sheet from its first line; an empty cell is an empty string.

        :param sheet: one of :attr:`sheet_names`.
        :param limit: number of rows, for looking at the headings; ``None`` for all.
        """
        return self._book.get_sheet_by_name(sheet).to_python(skip_empty_area=False, nrows=limit)
