"""The content of one file, as sniffing and readers see it."""

from __future__ import annotations

import codecs
import hashlib
import io
import os
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.old_excel import is_old_excel
from battery_pilot.measurements.sheets import Workbook
from battery_pilot.measurements.text import (
    binary_position,
    decode,
    delimiter_of,
    first_data_line,
    peek,
    split_cells,
    trim_empty,
)

_HEAD_BYTES = 16384
_LINE = re.compile(r"^line (\d+)")
_SMALL_BYTES = 1 << 18
_BYTES_WITH_HEADINGS = 4096
_WORDS_THAT_TELL = 2
_HIGH_BYTES_OF_WORDS = (
    2 * _WORDS_THAT_TELL
)  # each word has two characters or more, and each of them a byte above ASCII
_ASCII = bytes(range(128))
_EAST_ASIAN = {
    encoding: tuple(word.encode(encoding) for word in words.split())
    for encoding, words in {
        "gb18030": "电压 电流 频率 时间 记录 循环 序号 阻抗 实部",
        "cp932": "電圧 電流 周波数 時間 経過 インピーダンス 実部",
        "cp949": "전압 전류 주파수 시간",
        "big5": "電壓 電流 頻率 時間 阻抗",
    }.items()
}
"""Words of headings in the encodings of Windows in China, Japan, Korea and Taiwan; two of them tell the encoding."""
_WORKBOOKS = frozenset({"xl/workbook.xml", "xl/workbook.bin"})


@dataclass(frozen=True)
class Source:
    """A file in memory, with what several readers ask of it found once.

    :param data: the whole content.
    :param name: name or path; the content counts more than its ending.
    :param packed: the file as it is stored, where ``data`` was taken from it.
    :param blank_lines: how many lines of the file stand before ``data``, for messages.
    """

    data: bytes
    name: str
    packed: bytes | None = None
    blank_lines: int = 0

    def error(self, place: str, problem: str) -> MeasurementError:
        """Return the error to raise for a problem in this file.

        :param place: where, for example ``line 12``, ``byte 80`` or ``header``.
        :param problem: what was found, what was expected, and the remedy.
        """
        if self.blank_lines:
            place = _LINE.sub(lambda line: f"line {int(line[1]) + self.blank_lines}", place)
        return MeasurementError(self.name, place, problem)

    def from_first_line(self) -> Source:
        """Return the file from its first line with content on; every reader expects that one first."""
        if self.data[:1] not in (b"\r", b"\n"):
            return self
        content = self.data.lstrip(b"\r\n")
        blank = self.data[: len(self.data) - len(content)]
        lines = blank.count(b"\n") or blank.count(b"\r")
        return Source(content, self.name, self.data if self.packed is None else self.packed, lines)

    def in_utf8(self) -> Source:
        """Return the file with the text of East Asian Windows as UTF-8; every other file as it is."""
        head = self.data[:_BYTES_WITH_HEADINGS]
        if head.isascii() or len(head.translate(None, _ASCII)) < _HIGH_BYTES_OF_WORDS:
            return self
        counts = {encoding: sum(word in head for word in words) for encoding, words in _EAST_ASIAN.items()}
        encoding = max(counts, key=counts.__getitem__)
        if counts[encoding] < _WORDS_THAT_TELL or self._is_utf8:
            return self
        text = self.data.decode(encoding, errors="replace")
        return Source(text.encode(), self.name, self.data if self.packed is None else self.packed, self.blank_lines)

    @property
    def _is_utf8(self) -> bool:
        try:
            codecs.getincrementaldecoder("utf-8")().decode(self.head)
        except UnicodeDecodeError:
            return False
        return True

    @cached_property
    def sha256(self) -> str:
        """Digest of the file as it is stored, hexadecimal."""
        return hashlib.sha256(self.data if self.packed is None else self.packed).hexdigest()

    @cached_property
    def suffix(self) -> str:
        """Ending of the name in small letters with its dot, or an empty string."""
        return os.path.splitext(self.name)[1].lower()  # noqa: PTH122 - a PurePath takes four times as long

    @cached_property
    def head(self) -> bytes:
        """The first 16 KiB."""
        return self.data[:_HEAD_BYTES]

    @cached_property
    def head_text(self) -> str:
        r"""The first 16 KiB as text with line ends ``\n``; empty for binary content."""
        return peek(self.head) if self._small_text is None else self._small_text[:_HEAD_BYTES]

    @cached_property
    def _small_text(self) -> str | None:
        """The whole text of a small file, so that sniffing and reading decode it once; ``None`` for any other."""
        if len(self.data) > _SMALL_BYTES:
            return None
        try:
            return decode(self.data, self.name, "text")
        except MeasurementError:
            return None

    @cached_property
    def binary_position(self) -> int | None:
        """Position of the first byte that no text has, or ``None`` for text."""
        return binary_position(self.data) if self._small_text is None else None

    @cached_property
    def first_data_line(self) -> tuple[int, str]:
        """Number (from 1) and text of the first line that is neither blank nor a ``#`` comment; 0 where none is."""
        return first_data_line(self.head_text)

    @cached_property
    def first_cells(self) -> list[str]:
        """Cells of :attr:`first_data_line` at the delimiter that it shows, without empty ones at the end."""
        line = self.first_data_line[1]
        return trim_empty(split_cells(line, delimiter_of(line)))

    @cached_property
    def zip_names(self) -> tuple[str, ...]:
        """Names of the members of a zip archive (xlsx, ods and others are such); empty for any other content."""
        if not self.data.startswith(b"PK"):
            return ()
        try:
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
                return tuple(archive.namelist())
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
            return ()

    @cached_property
    def workbook(self) -> Workbook | None:
        """The spreadsheet in the file, or ``None`` when its content is none."""
        names = self.zip_names
        is_zip = bool(_WORKBOOKS.intersection(names)) or ("content.xml" in names and "mimetype" in names)
        return Workbook(self) if is_zip or is_old_excel(self.data, self.suffix) else None

    def text(self, expected: str) -> str:
        r"""Return the whole content as text with line ends ``\n``.

        :param expected: what the reader wants, for the message, for example ``Gamry EXPLAIN text``.
        :raises MeasurementError: for binary content, naming the first byte that no text has.
        """
        return decode(self.data, self.name, expected) if self._small_text is None else self._small_text
