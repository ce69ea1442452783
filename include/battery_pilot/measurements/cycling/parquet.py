"""Logs as Parquet files: the Battery Data Format, and the tables that battery tools write."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from battery_pilot.measurements.arrow_table import ArrowTable
from battery_pilot.measurements.cycling.bdf import bdf_measurement, bdf_score, demand_columns
from battery_pilot.measurements.cycling.generic import is_log, log_measurement
from battery_pilot.measurements.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.errors import MeasurementError
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_MAGIC = b"PAR1"
_PLACE = "schema"
_BYTES_OF_A_VALUE = 8
# A column that holds one value a million times takes next to nothing in the file.
_ALWAYS_ALLOWED_BYTES = 256 << 20
_LARGEST_RATIO = 20


class BdfParquetReader:
    """Reads a Parquet file whose columns are those of the Battery Data Format."""

    name = "bdf-parquet"
    kinds: tuple[Kind, ...] = ("cycling", "impedance")
    suffixes: tuple[str, ...] = (".parquet",)
    expects = "BDF Parquet"

    def sniff(self, source: Source) -> int:
        """Return 80 for the required columns of one kind, 40 for two of the three of a log."""
        return bdf_score(_names(source)) if source.data.startswith(_MAGIC) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for a damaged or huge file, and a gap in a required column.
        """
        warnings: list[str] = []
        content = _read(source, warnings)
        names = content.column_names
        columns = demand_columns(names, source, _PLACE)
        table = ArrowTable(source, content, warnings)
        return bdf_measurement(source, self.name, names, table, columns, {}, warnings)


class ParquetLogReader:
    """Reads a Parquet file whose columns name time, voltage and current, such as the battery data toolkit writes."""

    name = "parquet-log"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".parquet",)
    expects = "Parquet with time, voltage and current"

    def sniff(self, source: Source) -> int:
        """Return 60 for columns of a log, 20 for any other Parquet file, so that its problem is named."""
        if not source.data.startswith(_MAGIC):
            return 0
        return 60 if is_log(_names(source)) else 20

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for a damaged or huge file, other columns, and a current of unknown direction.
        """
        warnings: list[str] = []
        content = _read(source, warnings)
        names = content.column_names
        if not is_log(names):
            problem = f"expected columns for time, voltage and current, found {shown(', '.join(names))}"
            raise source.error(_PLACE, problem)
        table = ArrowTable(source, content, warnings)
        return log_measurement(source, self.name, names, table, _PLACE, {}, warnings)


def _names(source: Source) -> list[str]:
    """Return the names of the columns; none for a damaged file."""
    return list(_schema_names(source.data))


@lru_cache(maxsize=1)
def _schema_names(data: bytes) -> tuple[str, ...]:
    try:
        return tuple(pq.read_schema(pa.BufferReader(data)).names)
    except (pa.ArrowException, OSError, ValueError):
        return ()


class _Columns:
    """The columns of a Parquet file as of a table, each read when it is asked for.

    A log of whole numbers and repetitions unpacks to a hundred times its size: only what is used may be in memory.
    """

    def __init__(self, source: Source, file: pq.ParquetFile, fields: Sequence[pa.Field]) -> None:
        self._source = source
        self._file = file
        self.schema = pa.schema(fields)
        self.column_names: list[str] = self.schema.names

    def column(self, index: int) -> pa.ChunkedArray:
        """Return a column.

        :raises MeasurementError: for damage, and for texts that unpack to too much.
        """
        try:
            table = self._file.read(columns=[self.column_names[index]], use_threads=False)
            table.validate(full=True)
            column = _with_plain_text(self._source, table.column(0))
        except (pa.ArrowException, OSError, ValueError, KeyError, IndexError) as error:
            raise _damaged(self._source, error) from error
        if len(column) != self._file.metadata.num_rows:
            rows = f"{len(column)} of {self._file.metadata.num_rows} rows in a column"
            raise _damaged(self._source, ValueError(rows))
        return column


def _read(source: Source, warnings: list[str]) -> _Columns:
    """Return the columns of numbers, times and texts, after a look at how large they are.

    A text that repeats is held once at first, because the footer does not tell how long it is altogether.
    """
    try:
        content = pa.BufferReader(source.data)
        schema = pq.read_schema(content)
        wanted = _plain_fields(schema, warnings)
        file = pq.ParquetFile(
            content, read_dictionary=sorted({field.name for field in wanted if _is_text(field.type)})
        )
        demand_size(source, _size(file.metadata))
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise _damaged(source, error) from error
    if not file.metadata.num_rows:
        raise source.error("table", "no data rows; the file is empty")
    return _Columns(source, file, wanted)


def _damaged(source: Source, error: Exception) -> MeasurementError:
    return source.error("file", f"damaged Parquet file: {error}; copy it again")


def plain_columns(source: Source, table: pa.Table, warnings: list[str]) -> pa.Table:
    """Return the columns of numbers, times and texts of a table in memory; texts as such.

    :param source: the file, for error messages.
    :param table: its content.
    :param warnings: receives a sentence about columns that are left out.
    :raises MeasurementError: for no rows, and for repeated texts that unpack to too much.
    """
    if not table.num_rows:
        raise source.error("table", "no data rows; the file is empty")
    names = [field.name for field in _plain_fields(table.schema, warnings)]
    return pa.table([_with_plain_text(source, table.column(name)) for name in names], names)


def _plain_fields(schema: pa.Schema, warnings: list[str]) -> list[pa.Field]:
    others = [field.name for field in schema if pa.types.is_nested(field.type) or _is_binary(field.type)]
    if others:
        warnings.append(f"Columns that hold neither numbers nor text were left out: {', '.join(map(shown, others))}.")
    return [field for field in schema if field.name not in others]


def _with_plain_text(source: Source, column: pa.ChunkedArray) -> pa.ChunkedArray:
    demand_size(source, _text_bytes(column))
    is_text = pa.types.is_dictionary(column.type) and _is_text(column.type.value_type)
    return column.cast(column.type.value_type) if is_text else column


def _is_text(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.string_view())


def _is_binary(kind: pa.DataType) -> bool:
    return kind in (pa.binary(), pa.large_binary()) or bool(pa.types.is_fixed_size_binary(kind))


def _size(footer: pq.FileMetaData) -> int:
    """Return how many bytes a file unpacks to by its footer.

    Only the row groups are asked: pyarrow ends the process over a damaged description of a column.
    """
    groups = [footer.row_group(index) for index in range(footer.num_row_groups)]
    packed = sum(group.total_byte_size for group in groups)
    rows = sum(max(group.num_rows, 0) for group in groups)
    return int(max(packed, _BYTES_OF_A_VALUE * max(rows, footer.num_rows * footer.num_columns)))


def _text_bytes(column: pa.ChunkedArray) -> int:
    """Return how many bytes the texts of a column take that are held once each; 0 for any other column."""
    if not (pa.types.is_dictionary(column.type) and _is_text(column.type.value_type)):
        return 0
    lengths = [pc.sum(pc.binary_length(chunk.dictionary).take(chunk.indices)).as_py() for chunk in column.chunks]
    return sum(int(length or 0) for length in lengths)


def demand_size(source: Source, unpacked: int) -> None:
    """Refuse a packed table that is much larger than its file.

    :param source: the file.
    :param unpacked: how many bytes its columns take.
    :raises MeasurementError: naming both sizes.
    """
    if unpacked > max(_ALWAYS_ALLOWED_BYTES, _LARGEST_RATIO * len(source.data)):
        problem = (
            f"{len(source.data)} bytes unpack to {unpacked}, more than {_LARGEST_RATIO} times as many; "
            "hand in the file that it was made from"
        )
        raise source.error("file", problem)
