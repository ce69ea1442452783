"""Choose the reader of a file by its content and read it.

A format is one class with the attributes of :class:`Reader` in a module of its own, and one line in ``_READERS``.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.biologic.mpt import BioLogicReader
from battery_pilot.measurements.cycling.arbin import ArbinCsvReader
from battery_pilot.measurements.cycling.bdf import BdfCsvReader
from battery_pilot.measurements.cycling.maccor import MaccorReader
from battery_pilot.measurements.cycling.nasa import NasaCyclingReader
from battery_pilot.measurements.impedance.gamry import GamryReader
from battery_pilot.measurements.impedance.nasa import NasaImpedanceReader
from battery_pilot.measurements.impedance.plain import PlainImpedanceReader
from battery_pilot.measurements.impedance.zplot import ZPlotReader
from battery_pilot.measurements.source import Source
from battery_pilot.measurements.text import binary_position, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement

log = logging.getLogger(__name__)

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

    def sniff(self, source: Source) -> int:
        """Return how sure the reader is that the file is its own: 0 no, 100 certain.

        :param source: the file; its content counts more than its name.
        """
        ...

    def read(self, source: Source) -> Measurement:
        """Read the whole file.

        :param source: the file.
        :raises MeasurementError: for every problem with the content.
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
    :raises MeasurementError: for every problem, from a missing file to a row that breaks off.
    """
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE_BYTES:
            problem = f"{size} bytes are more than the {_LARGEST_FILE_BYTES} that can be read at once; split the file"
            raise MeasurementError(path, "file", problem)
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        raise MeasurementError(path, "file", f"cannot be opened: {error}") from error
    return read_bytes(data, str(path))


def read_bytes(data: bytes, file_name: str) -> Measurement:
    """Read the content of an instrument file, for example of an upload.

    :param data: content of the file.
    :param file_name: name or path, for error messages.
    :raises MeasurementError: for every problem with the content.
    """
    source = Source(data, file_name)
    if not data or data.isspace():
        raise source.error("file", "empty file, expected a measurement")
    reader = _choose(source, _READERS)
    measurement = reader.read(source)
    log.debug("read %s as %s: %d rows", file_name, reader.name, measurement.table.num_rows)
    return measurement


def _choose(source: Source, readers: Sequence[Reader]) -> Reader:
    scores = [(reader.sniff(source), reader) for reader in readers]
    best = max(score for score, _ in scores)
    candidates = [reader for score, reader in scores if score == best]
    if best == 0:
        raise _unknown(source, readers)
    if len(candidates) > 1:
        names = ", ".join(reader.name for reader in candidates)
        problem = f"ambiguous content, it fits {names} equally well; export it with the instrument's full header"
        raise source.error("header", problem)
    return candidates[0]


def _unknown(source: Source, readers: Sequence[Reader]) -> MeasurementError:
    """Return the error for content that no reader knows; the file name tells what a user expected."""
    expected = " or ".join(reader.expects for reader in readers if source.suffix in reader.suffixes)
    tried = ", ".join(reader.name for reader in readers if reader.kinds)
    position = binary_position(source.head)
    if position is not None:
        wanted = expected or f"one of the text formats {tried}"
        return source.error(f"byte {position}", f"binary content, expected {wanted}")
    first = source.head_text.strip().partition("\n")[0]
    wanted = f", expected {expected}" if expected else ""
    return source.error("line 1", f"unknown format, beginning with {shown(first)}{wanted}; tried {tried}")
