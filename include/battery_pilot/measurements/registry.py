"""Choose the reader of a file by its content and read it.

A format is one class with the attributes of :class:`Reader` in a module of its own, and one line in ``_READERS``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from battery_pilot.errors import ReadError
from battery_pilot.measurements.cycling.arbin import ArbinCsvReader
from battery_pilot.measurements.cycling.bdf import BdfCsvReader
from battery_pilot.measurements.cycling.maccor import MaccorReader
from battery_pilot.measurements.cycling.nasa import NasaCyclingReader
from battery_pilot.measurements.impedance.biologic import BioLogicReader
from battery_pilot.measurements.impedance.gamry import GamryReader
from battery_pilot.measurements.impedance.nasa import NasaImpedanceReader
from battery_pilot.measurements.impedance.plain import PlainImpedanceReader
from battery_pilot.measurements.impedance.zplot import ZPlotReader
from battery_pilot.measurements.text import binary_position, peek, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement

log = logging.getLogger(__name__)

_HEAD_BYTES = 16384
_LARGEST_FILE_BYTES = 1 << 30


class Reader(Protocol):
    """What a format needs.

    ``name`` is its short name; ``kinds`` what it can yield (empty: it is only recognised, to refuse it with a reason);
    ``suffixes`` the usual file name endings in small letters, for messages only; ``expects`` the words for a message
    such as "expected Gamry EXPLAIN text".
    """

    name: str
    kinds: tuple[Kind, ...]
    suffixes: tuple[str, ...]
    expects: str

    def sniff(self, head: bytes, file_name: str) -> int:
        """Return how sure the reader is that the file is its own: 0 no, 100 certain.

        :param head: the first 16 KiB.
        :param file_name: name or path; the content counts more.
        """
        ...

    def read(self, data: bytes, file_name: str) -> Measurement:
        """Read the whole file.

        :param data: content.
        :param file_name: name or path, for error messages.
        :raises ReadError: for every problem with the content.
        """
        ...


_READERS: tuple[Reader, ...] = (
    GamryReader(),
    BioLogicReader(),
    ZPlotReader(),
    PlainImpedanceReader(),
    NasaImpedanceReader(),
    BdfCsvReader(),
    ArbinCsvReader(),
    MaccorReader(),
    NasaCyclingReader(),
)


def formats() -> dict[str, tuple[Kind, ...]]:
    """Return the short names of the formats that can be read, with the kinds of measurement that each can hold."""
    return {reader.name: reader.kinds for reader in _READERS if reader.kinds}


def read(path: Path) -> Measurement:
    """Read an instrument file of any known format.

    :param path: the file; it is read once and never changed.
    :returns: canonical table, metadata and a warning for each guess and each repair.
    :raises ReadError: for every problem, from a missing file to a row that breaks off.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE_BYTES:
            problem = f"{size} bytes are more than the {_LARGEST_FILE_BYTES} that can be read at once; split the file"
            raise ReadError(path, "file", problem)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise ReadError(path, "file", f"cannot be opened: {error}") from error
    return read_bytes(data, str(path))


def read_bytes(data: bytes, file_name: str) -> Measurement:
    """Read the content of an instrument file, for example of an upload.

    :param data: content of the file.
    :param file_name: name or path, for error messages.
    :raises ReadError: for every problem with the content.
    """
    if not data.strip():
        raise ReadError(file_name, "file", "empty file, expected a measurement")
    reader = _choose(data[:_HEAD_BYTES], file_name, _READERS)
    measurement = reader.read(data, file_name)
    log.debug("read %s as %s: %d rows", file_name, reader.name, measurement.table.num_rows)
    return measurement


def _choose(head: bytes, file_name: str, readers: Sequence[Reader]) -> Reader:
    scores = [(reader.sniff(head, file_name), reader) for reader in readers]
    best = max(score for score, _ in scores)
    candidates = [reader for score, reader in scores if score == best]
    if best == 0:
        raise _unknown(head, file_name, readers)
    if len(candidates) > 1:
        names = ", ".join(reader.name for reader in candidates)
        problem = f"ambiguous content, it fits {names} equally well; export it with the instrument's full header"
        raise ReadError(file_name, "header", problem)
    return candidates[0]


def _unknown(head: bytes, file_name: str, readers: Sequence[Reader]) -> ReadError:
    """Return the error for content that no reader knows; the file name tells what a user expected."""
    suffix = Path(file_name).suffix.lower()
    expected = " or ".join(reader.expects for reader in readers if suffix in reader.suffixes)
    tried = ", ".join(reader.name for reader in readers if reader.kinds)
    position = binary_position(head)
    if position is not None:
        wanted = expected or f"one of the text formats {tried}"
        return ReadError(file_name, f"byte {position}", f"binary content, expected {wanted}")
    first = peek(head).strip().partition("\n")[0]
    wanted = f", expected {expected}" if expected else ""
    return ReadError(file_name, "line 1", f"unknown format, beginning with {shown(first)}{wanted}; tried {tried}")
