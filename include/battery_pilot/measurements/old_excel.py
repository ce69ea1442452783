"""Refuse old Excel files (xls) whose structure would send a parser round in circles or out of memory.

Sources of the layout: [MS-CFB] for the container, [MS-XLS] 2.4 for the records; both are Open Specifications.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.measurements.source import Source

MAGIC = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LAST_REGULAR_SECTOR = 0xFFFFFFF9
_SMALLEST_REGULAR_STREAM = 4096
_DIRECTORY_ENTRY = struct.Struct("<64sH50xII4x")
_SHORT_SECTOR = 64
_STREAM_NAMES = ("Workbook", "Book")
_ROOT = "Root Entry"

_BOUND_SHEET, _BEGIN, _DIMENSIONS = 0x0085, 0x0809, 0x0200
_SEVERAL_NUMBERS = 0x00BD
_CELLS = frozenset({0x0006, 0x0203, 0x0204, 0x0205, 0x00D6, 0x027E, 0x00FD, _SEVERAL_NUMBERS})
# Of the versions 5 and 8 of the format, by their size: first row, rows, first column, columns.
_LAYOUTS_OF_DIMENSIONS = {10: "<HHHH", 14: "<IIHH"}
_FREE_CELLS = 250_000
_BYTES_TO_A_CELL = 2
"""A larger rectangle of cells needs content: a cell takes 6 bytes or more."""


def is_old_excel(data: bytes, suffix: str) -> bool:
    """Tell whether a file is the container of older Office files with a workbook, not with a text or a message.

    :param data: content of the file.
    :param suffix: ending of its name; of a damaged ``.xls`` file the problem is named.
    """
    if not data.startswith(MAGIC):
        return False
    return suffix == ".xls" or any(name.encode("utf-16-le") in data for name in _STREAM_NAMES)


def check_old_excel(source: Source) -> None:
    """Refuse a file with circular chains of sectors or with cells spread far beyond what it holds.

    :param source: the file, which begins with :data:`MAGIC`.
    :raises MeasurementError: naming what is wrong.
    """
    try:
        stream = _workbook_stream(source.data)
    except (struct.error, IndexError, KeyError) as error:
        raise source.error("file", "damaged xls file: it refers to sectors behind its end; copy it again") from error
    except ValueError as error:
        raise source.error("file", f"damaged xls file: {error}; save it as xlsx") from error
    begins: set[int] = set()
    sheets: list[int] = []
    area = last_row = last_column = 0
    for position, kind, start, size in _records(stream):
        if kind == _BEGIN:
            begins.add(position)
            area += last_row * last_column
            last_row = last_column = 0
        elif kind == _BOUND_SHEET and size >= 4:
            sheets.append(*struct.unpack_from("<I", stream, start))
        elif kind == _DIMENSIONS and size in _LAYOUTS_OF_DIMENSIONS:
            rows, columns = _dimensions(source, stream, start, size)
            last_row, last_column = max(last_row, rows), max(last_column, columns)
        elif kind in _CELLS and size >= 6:
            row, column = struct.unpack_from("<HH", stream, start)
            last_row, last_column = (
                max(last_row, row + 1),
                max(last_column, column + (size // 6 if kind == _SEVERAL_NUMBERS else 1)),
            )
    area += last_row * last_column
    if len(set(sheets)) < len(sheets) or not begins.issuperset(sheets):
        raise source.error("file", "damaged xls file: a sheet does not begin where the list says; save it as xlsx")
    if area > _FREE_CELLS + len(stream) // _BYTES_TO_A_CELL:
        raise source.error("file", "its cells are spread over an area far beyond what it holds; save it as CSV")


def _dimensions(source: Source, stream: bytes, start: int, size: int) -> tuple[int, int]:
    first, rows, _, columns = struct.unpack_from(_LAYOUTS_OF_DIMENSIONS[size], stream, start)
    if first > rows:
        raise source.error("file", "damaged xls file: a sheet ends before it begins; save it as xlsx")
    return rows, columns


def _workbook_stream(data: bytes) -> bytes:
    """Return the stream with the sheets."""
    size = 1 << struct.unpack_from("<H", data, 30)[0]
    if size not in (512, 4096):
        raise ValueError("unknown sector size")
    table = _sector_table(data, size)
    directory = _chain(data, size, table, struct.unpack_from("<I", data, 48)[0])
    streams = {}
    for position in range(0, len(directory) - 127, 128):
        name, length, start, bytes_ = _DIRECTORY_ENTRY.unpack_from(directory, position)
        if bytes_ > len(data):
            raise ValueError("a stream is longer than the file")
        streams[name[: max(length - 2, 0)].decode("utf-16-le", "replace")] = (start, bytes_)
    start, length = next((streams[name] for name in _STREAM_NAMES if name in streams), (0, 0))
    if not length:
        raise ValueError("it holds no workbook")
    if length >= _SMALLEST_REGULAR_STREAM:
        return _chain(data, size, table, start)[:length]
    # Short streams share one, which is divided into sectors of their own.
    shared = b"\0" * _SHORT_SECTOR + _chain(data, size, table, streams[_ROOT][0])
    short_table = _chain(data, size, table, struct.unpack_from("<I", data, 60)[0])
    numbers = list(struct.unpack(f"<{len(short_table) // 4}I", short_table))
    return _chain(shared, _SHORT_SECTOR, numbers, start)[:length]


def _sector_table(data: bytes, size: int) -> list[int]:
    """Return the number of the sector that follows each sector."""
    numbers = list(struct.unpack_from("<109I", data, 76))
    following, seen = struct.unpack_from("<I", data, 68)[0], set()
    while following <= _LAST_REGULAR_SECTOR:
        if following in seen:
            raise ValueError("its list of sectors is circular")
        seen.add(following)
        numbers += struct.unpack(f"<{size // 4}I", _sector(data, size, following))
        following = numbers.pop()
    table: list[int] = []
    for number in numbers:
        if number <= _LAST_REGULAR_SECTOR:
            table += struct.unpack(f"<{size // 4}I", _sector(data, size, number))
    return table


def _sector(data: bytes, size: int, number: int) -> bytes:
    # The header takes the room of one sector.
    return data[(number + 1) * size : (number + 2) * size]


def _chain(data: bytes, size: int, table: list[int], number: int) -> bytes:
    """Return the content of a chain of sectors.

    :raises ValueError: when it is longer than the file, which only a circular one can be.
    """
    sectors: list[bytes] = []
    while number <= _LAST_REGULAR_SECTOR:
        if len(sectors) * size > len(data):
            raise ValueError("a chain of sectors is circular")
        sectors.append(_sector(data, size, number))
        number = table[number]
    return b"".join(sectors)


def _records(stream: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Yield position, kind, position of the content and its size, for each record."""
    position = 0
    while position + 4 <= len(stream):
        kind, size = struct.unpack_from("<HH", stream, position)
        yield position, kind, position + 4, min(size, len(stream) - position - 4)
        position += 4 + size
