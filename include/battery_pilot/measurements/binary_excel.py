"""How much memory the parts of a binary Excel file (xlsb) will take.

Source of the layout: [MS-XLSB] 2.1.4 for the records, an Open Specification: kind in one or two bytes, size of the
content in one to four, seven bits in each, the lowest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHEET_BEGINS = 145
_ROW, _FIRST_CELL, _SHARED_STRING_CELL, _LAST_CELL, _SHARED_STRING = 0, 1, 7, 11, 19
_MOST_BYTES_OF_KIND, _MOST_BYTES_OF_SIZE = 2, 4
_NUMBER_BYTES = 4


class Extent(NamedTuple):
    """What is in a part of the file.

    :param cells: size of the rectangle from the first cell to the last filled one.
    :param uses: how many cells show a shared string.
    :param longest: bytes of the longest shared string.
    """

    cells: int
    uses: int
    longest: int


def extent_of(part: bytes) -> Extent:
    """Return what is in a sheet or in the list of shared strings.

    :param part: content of the member.
    """
    row = last_row = last_column = uses = longest = 0
    in_sheet = False
    for kind, start, size in _records(part):
        if not in_sheet:
            in_sheet = kind == _SHEET_BEGINS
            longest = max(longest, size if kind == _SHARED_STRING else 0)
        elif kind == _ROW:
            row = int.from_bytes(part[start : start + _NUMBER_BYTES], "little") + 1
        elif _FIRST_CELL <= kind <= _LAST_CELL:
            column = int.from_bytes(part[start : start + _NUMBER_BYTES], "little") + 1
            last_row, last_column = max(last_row, row), max(last_column, column)
            uses += kind == _SHARED_STRING_CELL
    return Extent(last_row * last_column, uses, longest)


def _records(part: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield kind, position of the content and its size, for each record."""
    position = 0
    while position < len(part):
        kind, position = _number(part, position, _MOST_BYTES_OF_KIND)
        size, position = _number(part, position, _MOST_BYTES_OF_SIZE)
        yield kind, position, size
        position += size


def _number(part: bytes, position: int, most_bytes: int) -> tuple[int, int]:
    value = 0
    for place, octet in enumerate(part[position : position + most_bytes]):
        value |= (octet & 0x7F) << (7 * place)
        if octet < 0x80:
            return value, position + place + 1
    return value, position + most_bytes
