"""The content of one file, as sniffing and readers see it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.sheets import Workbook
from battery_pilot.measurements.text import decode, delimiter_of, first_data_line, peek, split_cells, trim_empty

_HEAD_BYTES = 16384


@dataclass(frozen=True)
class Source:
    """A file in memory, with what several readers ask of it found once.

    :param data: the whole content.
    :param name: name or path; the content counts more than its ending.
    """

    data: bytes
    name: str

    def error(self, place: str, problem: str) -> MeasurementError:
        """Return the error to raise for a problem in this file.

        :param place: where, for example ``line 12``, ``byte 80`` or ``header``.
        :param problem: what was found, what was expected, and the remedy.
        """
        return MeasurementError(self.name, place, problem)

    @cached_property
    def sha256(self) -> str:
        """Digest of the content, hexadecimal."""
        return hashlib.sha256(self.data).hexdigest()

    @cached_property
    def suffix(self) -> str:
        """Ending of the name in small letters with its dot, or an empty string."""
        return PurePath(self.name).suffix.lower()

    @cached_property
    def head(self) -> bytes:
        """The first 16 KiB."""
        return self.data[:_HEAD_BYTES]

    @cached_property
    def head_text(self) -> str:
        r"""The first 16 KiB as text with line ends ``\n``; empty for binary content."""
        return peek(self.head)

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
        return decode(self.data, self.name, expected)
