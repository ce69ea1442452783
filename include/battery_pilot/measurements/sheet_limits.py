"""Refuse spreadsheets that unpack to more than they pretend, before a parser allocates memory for them.

The parser holds the dense rectangle from the first to the last cell of a sheet, so two cells in opposite corners
would need gigabytes; a repeated or shared text is copied into every cell that shows it.
"""

from __future__ import annotations

import io
import re
import string
import struct
import zipfile
import zlib
from typing import TYPE_CHECKING, Protocol
from xml.parsers import expat

from battery_pilot.measurements.binary_excel import extent_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from battery_pilot.measurements.source import Source

_LARGEST_BYTES = 512 << 20
_LARGEST_RATIO = 200
_RATIO_COUNTS_FROM_BYTES = 16 << 20
_PIECE_BYTES = 1 << 20
_BLOCK_BYTES = 1 << 16
_FREE_CELLS = 250_000
"""Size of a rectangle of cells that is never refused."""
_BYTES_OF_XML_TO_A_CELL = 8
"""A larger rectangle needs content: a cell with a number takes 20 bytes or more, and half of them may be empty."""
_LAST_ROW, _LAST_COLUMN = 1 << 20, 1 << 14
_SHARED_STRINGS = "sharedstrings.xml"
_LOCAL_HEADER = struct.Struct("<26xHH")
_BINARY_LINKS = "xl/_rels/workbook.bin.rels"
_TARGET = re.compile(rb'Target="([^"]*)"')
_SPREAD = (
    "its cells are spread over an area, or its texts repeated, far beyond what it holds; "
    "delete the cells far from the table or export it as CSV"
)

_REFERENCE = re.compile(rb'r="([A-Za-z]+[0-9]+)"')
_LETTERS = string.ascii_letters.encode()
_DIGITS = string.digits.encode()
_SINGLE_QUOTES = bytes.maketrans(b"'", b'"')
_BLANKS = b" \t\r\n"
_OPEN_DOCUMENT_VALUES = {
    *("office:value", "office:value-type", "office:string-value", "office:date-value", "office:time-value"),
    *("office:boolean-value", "table:formula"),
}


class _Meter(Protocol):
    """Takes the elements of an XML file and tells how much memory a parser will need."""

    def start(self, name: str, attributes: dict[str, str]) -> None: ...

    def end(self, name: str) -> None: ...

    def text(self, text: str) -> None: ...

    def total(self) -> int: ...


def check_archive(source: Source) -> None:
    """Refuse an xlsx or ods file that is damaged, encrypted or a decompression bomb.

    Every member is unpacked piece by piece and measured. A quick look at the references of cells tells how large a
    sheet can be at most; only where that is too much, its XML is parsed, and empty cells do not count.

    :param source: the file, a zip archive.
    :raises MeasurementError: naming the member and the limit.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(source.data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
        raise source.error("file", f"damaged spreadsheet: {error}; copy or export the file again") from error
    if sum(member.file_size for member in members) > _LARGEST_BYTES:
        problem = f"the spreadsheet unpacks to more than {_LARGEST_BYTES >> 20} MiB; split it or export it as CSV"
        raise source.error("file", problem)
    sheets: list[zipfile.ZipInfo] = []
    strings: zipfile.ZipInfo | None = None
    rectangle = shown_strings = 0
    for member in members:
        extent, uses = _look(source, member)
        if extent:
            sheets.append(member)
        rectangle += extent
        shown_strings += uses
        if member.filename == "content.xml":
            _measure(source, member, _OpenDocumentCells(), _allowed(member.file_size))
        if member.filename.lower().endswith(_SHARED_STRINGS):
            strings = member
    allowed = _allowed(sum(sheet.file_size for sheet in sheets))
    if rectangle > allowed:
        for sheet in sheets:
            allowed -= _measure(source, sheet, _ExcelCells(), allowed)
    if strings is not None and strings.file_size * shown_strings > _LARGEST_BYTES:
        _measure(source, strings, _SharedStrings(shown_strings), _LARGEST_BYTES)
    _check_binary_sheets(source, members)


def _check_binary_sheets(source: Source, members: Sequence[zipfile.ZipInfo]) -> None:
    """Refuse an xlsb file whose sheets take far more memory than they hold."""
    links = [member for member in members if member.filename == _BINARY_LINKS]
    targets = {target.rpartition(b"/")[2] for link in links for target in _targets(source, link)}
    parts = [member for member in members if member.filename.encode().rpartition(b"/")[2] in targets]
    extents = [extent_of(b"".join(_pieces(source, part))) for part in parts]
    cells, uses = (sum(extent[field] for extent in extents) for field in range(2))
    longest = max((extent.longest for extent in extents), default=0)
    if cells > _allowed(sum(part.file_size for part in parts)) or longest * uses > _LARGEST_BYTES:
        raise source.error("file", _SPREAD)


def _targets(source: Source, links: zipfile.ZipInfo) -> list[bytes]:
    """Return the parts of an xlsb file that are sheets or lists of strings, as the workbook names them."""
    return _TARGET.findall(b"".join(_pieces(source, links)).translate(_SINGLE_QUOTES))


def _allowed(xml_bytes: int) -> int:
    """Return how many cells the rectangles of all sheets may have together."""
    return _FREE_CELLS + xml_bytes // _BYTES_OF_XML_TO_A_CELL


def _look(source: Source, member: zipfile.ZipInfo) -> tuple[int, int]:
    """Unpack a member once.

    :returns: for a sheet of an xlsx file, an upper limit of its cells, and how many of them may show shared strings.
    """
    last_row, uses, in_sheet, is_regular = 1, 0, False, True
    columns: set[bytes] = set()
    for piece in _pieces(source, member):
        if member.filename.endswith((".xml", ".rels")) and (b"<!DOCTYPE" in piece or b"\0" in piece):
            problem = "expected the XML of a spreadsheet, found a document type or UTF-16; save the spreadsheet again"
            raise source.error(member.filename, problem)
        if not in_sheet:
            start = piece.find(b"sheetData")
            if start < 0:
                continue
            in_sheet, piece = True, piece[start:]
        plain = piece.translate(_SINGLE_QUOTES, _BLANKS)
        references = b" ".join(_REFERENCE.findall(plain))
        columns.update(references.translate(None, _DIGITS).split())
        last_row = max(last_row, *map(_whole, set(references.translate(None, _LETTERS).split())), 1)
        is_regular &= _has_references_only(plain)
        uses += plain.count(b't="s"')
    if not in_sheet:
        return 0, 0
    if not is_regular:
        return _LAST_ROW * _LAST_COLUMN, uses
    return last_row * max((_column_number(letters.decode()) for letters in columns), default=1), uses


def _has_references_only(plain: bytes) -> bool:
    """Tell whether each cell begins with its reference and nothing is hidden in comments.

    :param plain: XML of a sheet without blanks.
    """
    return (
        b"<!" not in plain
        and plain.count(b"<c") == plain.count(b'<cr="')
        and plain.count(b":c") == plain.count(b':cr="')
    )


def _pieces(source: Source, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the unpacked content in pieces that end where a tag begins.

    :raises MeasurementError: where the content is damaged or larger than declared.
    """
    rest, size = b"", 0
    for piece in _inflated(source, member):
        size += len(piece)
        if size > member.file_size:
            break
        piece = rest + piece
        end = piece.rfind(b"<")
        if end < 0:
            end = len(piece)
        if len(piece) - end > _PIECE_BYTES:
            if member.filename.endswith(".xml"):
                raise source.error(member.filename, "an XML tag of more than 1 MiB; export the spreadsheet again")
            end = len(piece)
        rest = piece[end:]
        yield piece[:end]
    if size != member.file_size:
        problem = f"damaged spreadsheet: {size} bytes unpacked where {member.file_size} are declared; copy it again"
        raise source.error(member.filename, problem)
    yield rest


def _inflated(source: Source, member: zipfile.ZipInfo) -> Iterator[bytes]:
    """Yield the unpacked content in pieces of limited size."""
    packed, unpacked = member.compress_size, member.file_size
    if unpacked > _RATIO_COUNTS_FROM_BYTES and unpacked > _LARGEST_RATIO * packed:
        problem = f"{packed} bytes unpack to {unpacked}, more than {_LARGEST_RATIO} times; this is no measurement"
        raise source.error(member.filename, problem)
    if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise source.error(member.filename, "encrypted or packed in an unusual way; save the spreadsheet again")
    header = source.data[member.header_offset : member.header_offset + _LOCAL_HEADER.size]
    if len(header) < _LOCAL_HEADER.size:
        return
    start = member.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(header))
    blocks = (
        source.data[position : min(position + _BLOCK_BYTES, start + packed)]
        for position in range(start, start + packed, _BLOCK_BYTES)
    )
    if member.compress_type == zipfile.ZIP_STORED:
        yield from blocks
        return
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        for block in blocks:
            while block and not inflate.eof:
                yield inflate.decompress(block, _PIECE_BYTES)
                block = inflate.unconsumed_tail
        yield inflate.flush()  # The last bytes of a match that reached the size of a piece.
    except zlib.error as error:
        raise source.error(member.filename, f"damaged spreadsheet: {error}; copy it again") from error


class _ExcelCells:
    """Measures the rectangle of filled cells of an xlsx sheet."""

    def __init__(self) -> None:
        self._row = self._cell_row = self._column = 0
        self._last_row = self._last_column = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if name == "row":
            self._row = _count(attributes, "r") if "r" in attributes else self._row + 1
            self._column = 0
        elif name == "c":
            # A cell without a reference follows its predecessor, in the row of its element.
            self._column += 1
            self._cell_row = self._row
            reference = attributes.get("r")
            if reference is not None:
                letters = reference.rstrip("0123456789")
                self._cell_row = _whole(reference[len(letters) :])
                self._column = _column_number(letters)
        elif name in ("v", "is", "t"):
            self._last_row = max(self._last_row, self._cell_row)
            self._last_column = max(self._last_column, self._column)

    def end(self, name: str) -> None:
        pass

    def text(self, text: str) -> None:
        pass

    def total(self) -> int:
        return self._last_row * self._last_column


class _OpenDocumentCells:
    """Measures the rectangles of filled cells of an ods file, with what their repeated texts take."""

    def __init__(self) -> None:
        self._done = self._rows = self._last_row = self._last_column = 0
        self._row_repeats = self._column = self._repeats = self._text_length = 0
        self._text_repeats = self._last_filled = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "table:table":
            self._close()
        elif name == "table:table-row":
            self._row_repeats = min(_count(attributes, "table:number-rows-repeated"), _LAST_ROW)
            self._column = self._last_filled = self._text_repeats = 0
        elif name in ("table:table-cell", "table:covered-table-cell"):
            self._repeats = min(_count(attributes, "table:number-columns-repeated"), _LAST_COLUMN)
            self._column = min(self._column + self._repeats, _LAST_COLUMN)
            self._text_length = 0
            if not attributes.keys().isdisjoint(_OPEN_DOCUMENT_VALUES):
                self._last_filled = self._column
                self._text_length = sum(map(len, attributes.values()))
        elif name == "text:s":
            self._text_length += _count(attributes, "text:c")

    def end(self, name: str) -> None:
        if name in ("table:table-cell", "table:covered-table-cell"):
            self._text_repeats += self._repeats * self._text_length
        elif name == "table:table-row":
            self._rows = min(self._rows + self._row_repeats, _LAST_ROW)
            # A cell takes about as much memory as 32 letters, which need no room of their own.
            self._done += self._row_repeats * self._text_repeats // 32
            if self._last_filled:
                self._last_row = self._rows
                self._last_column = max(self._last_column, self._last_filled)

    def text(self, text: str) -> None:
        self._text_length += len(text)

    def _close(self) -> None:
        self._done += self._last_row * self._last_column
        self._rows = self._last_row = self._last_column = 0

    def total(self) -> int:
        self._close()
        return self._done


class _SharedStrings:
    """Measures what the shared strings of an xlsx file take when each cell that shows one shows the longest."""

    def __init__(self, uses: int) -> None:
        self._uses = uses
        self._length = self._longest = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name.rpartition(":")[2] == "si":
            self._length = 0

    def end(self, name: str) -> None:
        self._longest = max(self._longest, self._length)

    def text(self, text: str) -> None:
        self._length += len(text)

    def total(self) -> int:
        return self._longest * self._uses


def _count(attributes: dict[str, str], name: str) -> int:
    """Return a number of repetitions, which is at least 0."""
    text = attributes.get(name, "1")
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{name} is no number")
    return _whole(text)


def _whole(digits: str | bytes) -> int:
    """Return a whole number, or a too large one for so many digits that Python refuses them."""
    return int(digits) if len(digits) < 20 else _LAST_ROW * _LAST_COLUMN


def _column_number(letters: str) -> int:
    column = 0
    for letter in letters.upper()[:8]:
        column = column * 26 + ord(letter) - ord("A") + 1
    return column


def _measure(source: Source, member: zipfile.ZipInfo, meter: _Meter, allowed: int) -> int:
    """Return what a meter finds in a member.

    :raises MeasurementError: when that is more than allowed, and for XML that is not well formed.
    """
    parser = expat.ParserCreate()
    parser.StartElementHandler = meter.start
    parser.EndElementHandler = meter.end
    parser.CharacterDataHandler = meter.text
    try:
        for piece in _pieces(source, member):
            parser.Parse(piece)
        parser.Parse(b"", True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise source.error(member.filename, f"damaged XML: {error}; export the spreadsheet again") from error
    total = meter.total()
    if total > allowed:
        raise source.error(member.filename, _SPREAD)
    return total
