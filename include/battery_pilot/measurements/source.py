"""The content of one file, as sniffing and readers see it."""

from __future__ import annotations

import hashlib
import io
import os
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.sheets import Workbook
from battery_pilot.measurements.text import decode, delimiter_of, first_data_line, peek, split_cells, trim_empty

_HEAD_BYTES = 16384
_LINE = re.compile(r"^line (\d+)")
_SMALL_BYTES = 1 << 18


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
        is_zip = "xl/workbook.xml" in names or ("content.xml" in names and "mimetype" in names)
        is_old_excel = self.data.startswith(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1") and self.suffix == ".xls"
        return Workbook(self) if is_zip or is_old_excel else None

    def text(self, expected: str) -> str:
        r"""Return the whole content as text with line ends ``\n``.

        :param expected: what the reader wants, for the message, for example ``Gamry EXPLAIN text``.
        :raises MeasurementError: for binary content, naming the first byte that no text has.
        """
        return decode(self.data, self.name, expected) if self._small_text is None else self._small_text
