"""The columns of a table in memory, asked for like those of a text table."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.text import shown

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray


class ArrowTable:
    """Columns of numbers, times or text by their position.

    :param source: the file, for error messages.
    :param table: its content.
    :param warnings: receives a sentence about each column that is left out.
    """

    def __init__(self, source: Source, table: pa.Table, warnings: list[str]) -> None:
        self._source = source
        self._table = table
        self._warnings = warnings

    def refuse(self, row: int, problem: str) -> NoReturn:
        """Refuse the file for what is in a row.

        :param row: data row from 0.
        :param problem: what was found and what was expected.
        :raises MeasurementError: always.
        """
        raise self._source.error(f"row {self.line(row)}", problem)

    def line(self, row: int) -> int:
        """Return the number of a data row, from 0, as a user counts it, from 1."""
        return row + 1

    def first(self, index: int) -> str:
        """Return the text of a column's first cell.

        :param index: position of the column.
        """
        return str(self.text(index)[0].as_py() or "")

    def text(self, index: int) -> pa.ChunkedArray:
        """Return a column as text without surrounding blanks.

        :param index: position of the column.
        """
        try:
            return pc.utf8_trim_whitespace(self._table.column(index).cast(pa.string()))
        except pa.ArrowException as error:
            raise self._not_readable(index, "text") from error

    def required(self, index: int, factor: float = 1.0) -> FloatArray:
        """Return a column of numbers without gaps.

        :param index: position of the column.
        :param factor: to the unit of the Battery Data Format.
        :raises MeasurementError: naming the row of the first gap.
        """
        values = self._floats(index, factor)
        if not np.isfinite(values).all():
            row = int(np.flatnonzero(~np.isfinite(values))[0])
            found = shown(str(self._table.column(index)[row].as_py()))
            self.refuse(row, f"{self._table.column_names[index]}: expected a number, found {found}")
        return values

    def optional(self, index: int, name: str, factor: float = 1.0) -> FloatArray | None:
        """Return a column of numbers with NaN in its gaps, or ``None`` with a warning when it holds no numbers.

        :param index: position of the column.
        :param name: canonical name, for the warning.
        :param factor: to the unit of the Battery Data Format.
        """
        try:
            return self._floats(index, factor)
        except MeasurementError as error:
            self._warnings.append(f"{name} was left out: {error.place}: {error.problem}.")
            return None

    def _floats(self, index: int, factor: float) -> FloatArray:
        column = self._table.column(index)
        if pa.types.is_timestamp(column.type) or pa.types.is_duration(column.type):
            column = column.cast(
                pa.timestamp("us", column.type.tz) if pa.types.is_timestamp(column.type) else pa.duration("us")
            )
            column, factor = column.cast(pa.int64()), 1e-6
        try:
            values: FloatArray = column.cast(pa.float64(), safe=False).to_numpy()
        except pa.ArrowException as error:
            raise self._not_readable(index, "numbers") from error
        return values if factor == 1.0 else values * factor

    def _not_readable(self, index: int, expected: str) -> MeasurementError:
        field = self._table.schema.field(index)
        return self._source.error(f"column {field.name}", f"expected {expected}, found the type {field.type}")
