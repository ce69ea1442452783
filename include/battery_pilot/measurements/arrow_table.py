"""The columns of a table in memory, asked for like those of a text table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from battery_pilot.measurements.number_columns import NumberColumns

if TYPE_CHECKING:
    from battery_pilot.errors import MeasurementError
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray


class ArrowTable(NumberColumns):
    """Columns of numbers, times or text by their position.

    :param source: the file, for error messages.
    :param table: its content.
    :param warnings: receives a sentence about each column that is left out.
    """

    def __init__(self, source: Source, table: pa.Table, warnings: list[str]) -> None:
        super().__init__(source, table.column_names, warnings)
        self._table = table

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

    def _floats(self, index: int) -> FloatArray:
        column = self._table.column(index)
        if _is_time(column.type):
            unit = pa.timestamp("us", column.type.tz) if pa.types.is_timestamp(column.type) else pa.duration("us")
            return self._cast(index, column.cast(unit).cast(pa.int64())) * 1e-6
        return self._cast(index, column)

    def _scaled(self, index: int, factor: float) -> FloatArray:
        return super()._scaled(index, 1.0 if _is_time(self._table.column(index).type) else factor)

    def _cast(self, index: int, column: pa.ChunkedArray) -> FloatArray:
        try:
            values: FloatArray = column.cast(pa.float64(), safe=False).to_numpy()
        except pa.ArrowException as error:
            raise self._not_readable(index, "numbers") from error
        return values

    def _place(self, row: int) -> str:
        return f"row {self.line(row)}"

    def _cell_text(self, row: int, index: int) -> str:
        return str(self._table.column(index)[row].as_py())

    def _not_readable(self, index: int, expected: str) -> MeasurementError:
        field = self._table.schema.field(index)
        return self._source.error(f"column {field.name}", f"expected {expected}, found the type {field.type}")


def _is_time(kind: pa.DataType) -> bool:
    """Tell whether values are times, which have their unit whatever the heading states."""
    return bool(pa.types.is_timestamp(kind) or pa.types.is_duration(kind))
