"""Battery Data Format as JSON (a list of records, or a list for each column), as lines of JSON, and as Feather."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import ipc, json

from battery_pilot.measurements.arrow_table import ArrowTable
from battery_pilot.measurements.cycling.bdf import bdf_measurement, bdf_score, demand_columns
from battery_pilot.measurements.cycling.parquet import demand_size, plain_columns

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_RECORD_BEGINS = re.compile(r'\s*\[?\s*\{\s*"')
_KEY = re.compile(r'"([^"]{1,100})"\s*:')
_BETWEEN_RECORDS = re.compile(rb"\}\s*,\s*\{")
_NESTED = re.compile(rb"\{[^}]*[{\[]")
_NESTED_COLUMNS = re.compile(rb"\[[^\]]*[{\[]|\{[^}]*\{")
_NOT_A_NUMBER = re.compile(rb":\s*(?:NaN|-?Infinity)\b")
_COPY_AGAIN = "copy or export the file again"

_FEATHER = b"ARROW1"
_LENGTH = struct.Struct("<q")
_BUFFER = struct.Struct("<qq")
# Fields of the flatbuffers Message, RecordBatch and DictionaryBatch, by their numbers in Arrow's format/*.fbs.
_HEADER, _BUFFERS, _COMPRESSION, _BATCH_OF_DICTIONARY = 2, 2, 3, 1


class BdfJsonReader:
    """Reads the forms of JSON in which tables with the columns of BDF are written."""

    name = "bdf-json"
    kinds: tuple[Kind, ...] = ("cycling", "impedance")
    suffixes: tuple[str, ...] = (".json", ".ndjson", ".jsonl")
    expects = "BDF JSON"

    def sniff(self, source: Source) -> int:
        """Return 80 for the required columns of one kind in the first record, 40 for two of the three of a log."""
        text = source.head_text
        return bdf_score(_KEY.findall(text)) if _RECORD_BEGINS.match(text) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for damaged or nested JSON, and a gap in a required column.
        """
        try:
            return _measurement(source, self.name, _records(source), "records")
        except (pa.ArrowException, ValueError) as error:
            raise source.error("file", f"damaged JSON: {error}; {_COPY_AGAIN}") from error


class BdfFeatherReader:
    """Reads a Feather file (Arrow IPC) whose columns are those of the Battery Data Format."""

    name = "bdf-feather"
    kinds: tuple[Kind, ...] = ("cycling", "impedance")
    suffixes: tuple[str, ...] = (".feather", ".ftr", ".arrow", ".ipc")
    expects = "BDF Feather"

    def sniff(self, source: Source) -> int:
        """Return 80 for Feather: nothing else of this library's formats is, and its problem is named."""
        return 80 if source.data.startswith(_FEATHER) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for a damaged or huge file, other columns, and a gap in a required column.
        """
        try:
            file = ipc.open_file(pa.BufferReader(source.data))
            demand_columns(file.schema.names, source, "schema")
            demand_size(source, _unpacked_bytes(source.data))
            table = file.read_all()
            table.validate(full=True)
        except (pa.ArrowException, OSError, ValueError, struct.error, IndexError) as error:
            raise source.error("file", f"damaged Feather file: {error}; {_COPY_AGAIN}") from error
        return _measurement(source, self.name, table, "schema")


def _measurement(source: Source, format_name: str, content: pa.Table, place: str) -> Measurement:
    warnings: list[str] = []
    content = plain_columns(source, content, warnings)
    names = content.column_names
    columns = demand_columns(names, source, place)
    table = ArrowTable(source, content, warnings)
    return bdf_measurement(source, format_name, names, table, columns, {}, warnings)


def _records(source: Source) -> pa.Table:
    """Return the table in a JSON file; Arrow takes records without commas between them."""
    text = source.data.removeprefix(b"\xef\xbb\xbf").strip()
    if text.startswith(b"["):
        if not text.endswith(b"]"):
            raise source.error("file", f"truncated: its list of records has no end; {_COPY_AGAIN}")
        text = _BETWEEN_RECORDS.sub(b"}\n{", text[1:-1].strip())
    in_columns = re.match(rb'\{\s*"[^"]*"\s*:\s*\[', text) is not None
    if (_NESTED_COLUMNS if in_columns else _NESTED).search(text):
        raise source.error("file", "nested JSON; expected a list of records, or a list of numbers for each column")
    text = _NOT_A_NUMBER.sub(b":null", text)
    # A record may have line ends in it, and all columns together are one record.
    options = json.ReadOptions(use_threads=False, block_size=len(text) + 1 if in_columns else 1 << 20)
    table = json.read_json(pa.BufferReader(text), options, json.ParseOptions(newlines_in_values=True))
    if not in_columns:
        return table
    columns = {name: table.column(name).combine_chunks() for name in table.column_names}
    return pa.table({name: column.flatten() for name, column in columns.items() if pa.types.is_list(column.type)})


def _unpacked_bytes(data: bytes) -> int:
    """Return how many bytes the columns of a Feather file unpack to: each buffer states its length."""
    size = 0
    for message in ipc.MessageReader.open_stream(pa.py_buffer(data)[8:]):
        if message.type == "schema":
            continue
        metadata = message.metadata.to_pybytes()
        batch = _table(metadata, int.from_bytes(metadata[:4], "little"), _HEADER)
        if message.type == "dictionary":
            batch = _table(metadata, batch, _BATCH_OF_DICTIONARY)
        body, is_packed = message.body, _at(metadata, batch, _COMPRESSION) > 0
        begin = _table(metadata, batch, _BUFFERS)
        for number in range(int.from_bytes(metadata[begin : begin + 4], "little")):
            offset, length = _BUFFER.unpack_from(metadata, begin + 4 + number * _BUFFER.size)
            stated = _LENGTH.unpack_from(body, offset)[0] if is_packed and length else -1
            size += length if stated < 0 else stated
    return size


def _at(flat: bytes, table: int, field: int) -> int:
    """Return the position of a field of a flatbuffers table; 0 where it is absent."""
    fields = table - struct.unpack_from("<i", flat, table)[0]
    size = struct.unpack_from("<H", flat, fields)[0]
    entry = 4 + 2 * field
    offset = struct.unpack_from("<H", flat, fields + entry)[0] if entry < size else 0
    return table + offset if offset else 0


def _table(flat: bytes, table: int, field: int) -> int:
    """Return the position of the table or list that a field refers to."""
    position = _at(flat, table, field)
    return int(position + struct.unpack_from("<I", flat, position)[0])
