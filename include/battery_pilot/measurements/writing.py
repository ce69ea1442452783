"""Write canonical tables as Parquet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.parquet as pq

from battery_pilot.measurements.model import (
    CYCLING_COLUMNS,
    IMPEDANCE_COLUMNS,
    OPTIONAL_CYCLING_COLUMNS,
    Measurement,
)
from battery_pilot.measurements.tables import COUNTERS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType


def _type_of(name: str) -> pa.DataType:
    if name == "spectrum_index":
        return pa.int32()
    return pa.int64() if name in COUNTERS else pa.float64()


_VALUES = (*CYCLING_COLUMNS, *OPTIONAL_CYCLING_COLUMNS, *IMPEDANCE_COLUMNS)
SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("format", pa.string()),
        ("battery_id", pa.string()),
        ("source_sha256", pa.string()),
        ("source_path", pa.string()),
        ("measured_at", pa.timestamp("us", tz="UTC")),
        *((name, _type_of(name)) for name in _VALUES),
    ]
)
"""Columns of a table that holds files of all kinds; what a kind does not have is null."""

DESCRIPTION = b"battery_pilot"
"""Key of the Parquet metadata under which :func:`write_table` keeps what is known besides the table, as JSON."""


def conform(table: pa.Table, schema: pa.Schema, constants: Mapping[str, str]) -> pa.Table:
    """Return a table in the columns and types of a schema; what it does not have is null.

    :param table: any table.
    :param schema: target.
    :param constants: columns of one text.
    """
    columns = []
    for field in schema:
        if field.name in constants:
            columns.append(pa.repeat(pa.scalar(constants[field.name], field.type), table.num_rows))
        elif field.name in table.column_names:
            columns.append(table[field.name].cast(field.type))
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=schema)


def write_table(measurement: Measurement, path: Path) -> None:
    """Write the table of one measurement, with its metadata and warnings in the Parquet file's own metadata.

    :param measurement: any measurement.
    :param path: file to write; an existing one is replaced once the new one is complete.
    """
    description = {
        "kind": measurement.kind,
        "format": measurement.format,
        "instrument": measurement.instrument,
        "source_sha256": measurement.source_sha256,
        "metadata": measurement.metadata.known(),
        "warnings": list(measurement.warnings),
    }
    table = measurement.table.replace_schema_metadata({DESCRIPTION: json.dumps(description).encode()})
    half = half_written(path)
    pq.write_table(table, half)
    half.replace(path)


def half_written(path: Path) -> Path:
    """Return the hidden file in which another is written until it is complete.

    :param path: the file, once it is complete.
    """
    return path.with_name(f".{path.name}.part")


class PartWriter:
    """Writes the tables of several files into one Parquet file, one row group a file.

    :param path: file to write, there once it is complete and holds a table; ``None`` writes nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is None or self._path is None:
            return
        self._writer.close()
        if kind is None:
            half_written(self._path).replace(self._path)
        else:
            half_written(self._path).unlink()

    def write(self, measurement: Measurement, source: Path) -> list[str]:
        """Add the table of a measurement in the columns of :data:`SCHEMA`.

        :param measurement: any measurement.
        :param source: the file it was read from.
        :returns: names of the table's columns that the schema does not have.
        """
        if self._path is None:
            return []
        if self._writer is None:
            self._writer = pq.ParquetWriter(half_written(self._path), SCHEMA)
        table = conform(
            measurement.table,
            SCHEMA,
            {
                "kind": measurement.kind,
                "format": measurement.format,
                "source_path": str(source).encode("utf-8", "backslashreplace").decode(),
            },
        )
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        return [name for name in measurement.table.column_names if name not in SCHEMA.names]
