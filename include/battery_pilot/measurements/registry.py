"""Choose the reader of a file by its content and read it.

A format is one class with the attributes of :class:`Reader` in a module of its own, and one line in ``_READERS``.
"""

from __future__ import annotations

import logging
import os
import stat
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.biologic.mpr import BioLogicBinaryReader
from battery_pilot.measurements.biologic.mpt import BioLogicReader
from battery_pilot.measurements.biologic.side_files import BioLogicSideFileReader
from battery_pilot.measurements.compressed import unpacked
from battery_pilot.measurements.cycling.arbin import ArbinCsvReader
from battery_pilot.measurements.cycling.arbin_res import ArbinResReader
from battery_pilot.measurements.cycling.arbin_sheet import ArbinSheetReader
from battery_pilot.measurements.cycling.basytec import BasytecReader
from battery_pilot.measurements.cycling.battery_archive import BatteryArchiveReader
from battery_pilot.measurements.cycling.bdf import BdfCsvReader
from battery_pilot.measurements.cycling.bdf_records import BdfFeatherReader, BdfJsonReader
from battery_pilot.measurements.cycling.digatron import DigatronReader
from battery_pilot.measurements.cycling.generic import GenericCyclingReader
from battery_pilot.measurements.cycling.landt import LandtReader
from battery_pilot.measurements.cycling.log_sheet import LogSheetReader
from battery_pilot.measurements.cycling.maccor import MaccorReader
from battery_pilot.measurements.cycling.nasa import NasaCyclingReader
from battery_pilot.measurements.cycling.neware import NewareTextReader
from battery_pilot.measurements.cycling.neware_binary import NewareBinaryReader
from battery_pilot.measurements.cycling.neware_sheet import NewareSheetReader
from battery_pilot.measurements.cycling.novonix import NovonixReader
from battery_pilot.measurements.cycling.parquet import BdfParquetReader, ParquetLogReader
from battery_pilot.measurements.cycling.pec import PecReader
from battery_pilot.measurements.field.can import CAN_READERS
from battery_pilot.measurements.field.table import FieldLogReader
from battery_pilot.measurements.impedance.ecochemie import EcoChemieReader
from battery_pilot.measurements.impedance.elchemea import ElchemeaReader
from battery_pilot.measurements.impedance.gamry import GamryReader
from battery_pilot.measurements.impedance.ivium import IviumReader
from battery_pilot.measurements.impedance.listings import LISTING_READERS
from battery_pilot.measurements.impedance.maccor import MaccorImpedanceReader
from battery_pilot.measurements.impedance.nasa import NasaImpedanceReader
from battery_pilot.measurements.impedance.palmsens import PalmSensReader
from battery_pilot.measurements.impedance.plain import PlainImpedanceReader
from battery_pilot.measurements.impedance.sheet import ImpedanceSheetReader
from battery_pilot.measurements.impedance.versastudio import VersaStudioReader
from battery_pilot.measurements.impedance.zahner import ZahnerReader
from battery_pilot.measurements.impedance.zplot import ZPlotReader
from battery_pilot.measurements.source import Source
from battery_pilot.measurements.text import binary_position, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement

log = logging.getLogger(__name__)

# Arrow's usual allocator touches 30 MB for a table of 3 MB; jemalloc does not, and is as fast.
if "ARROW_DEFAULT_MEMORY_POOL" not in os.environ and "jemalloc" in pa.supported_memory_backends():
    pa.set_memory_pool(pa.jemalloc_memory_pool())

_LARGEST_FILE_BYTES = 1 << 30
_UNMISTAKABLE = 90
_MOST_CANDIDATES_SHOWN = 3
_READING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
"""How a file is opened: a pipe without waiting for its writer."""


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
        """Return how sure the reader is that the file is its own: 0 no, 90 or more unmistakable.

        No other reader is asked after one that finds its file unmistakable.

        :param source: the file; its content counts more than its name.
        """
        ...

    def read(self, source: Source) -> Measurement:
        """Read the whole file.

        :param source: the file.
        :raises MeasurementError: for every problem with the content.
        """
        ...


_GENERAL: tuple[Reader, ...] = (
    PlainImpedanceReader(),
    GenericCyclingReader(),
    FieldLogReader(),
)
"""Readers that go by headings alone, which takes time: they are asked last."""
_READERS: tuple[Reader, ...] = (
    GamryReader(),
    BioLogicReader(),
    BioLogicBinaryReader(),
    BioLogicSideFileReader(),
    ZPlotReader(),
    VersaStudioReader(),
    *LISTING_READERS,
    IviumReader(),
    EcoChemieReader(),
    ElchemeaReader(),
    PalmSensReader(),
    ZahnerReader(),
    ImpedanceSheetReader(),
    MaccorImpedanceReader(),
    NasaImpedanceReader(),
    BdfCsvReader(),
    BdfFeatherReader(),
    BdfJsonReader(),
    BdfParquetReader(),
    ParquetLogReader(),
    ArbinCsvReader(),
    BatteryArchiveReader(),
    MaccorReader(),
    NasaCyclingReader(),
    ArbinResReader(),
    ArbinSheetReader(),
    BasytecReader(),
    DigatronReader(),
    LandtReader(),
    LogSheetReader(),
    NewareTextReader(),
    NewareBinaryReader(),
    NewareSheetReader(),
    NovonixReader(),
    PecReader(),
    *CAN_READERS,
    *_GENERAL,
)
_BY_BEGINNING = {
    beginning: reader
    for reader in _READERS
    for beginning in {
        "gamry-dta": (b"EXPL",),
        "biologic-mpt": (b"EC-L", b"BT-L"),
        "zplot": (b"ZPLO", b'"Z60', b'\xef\xbb\xbf"'),
        "versastudio-par": (b"<App",),
        "parstat-txt": (b"Pote",),
        "powersuite-txt": (b"Freq",),
        "nasa-pcoe": (b"Volt",),
    }.get(reader.name, ())
}
"""The reader to ask first by a file's first four bytes: a saving of time only, as every reader looks at more."""


def formats() -> dict[str, Reader]:
    """Return the readers of all formats that can be read, by the short name of the format."""
    return {reader.name: reader for reader in _READERS if reader.kinds}


def load(path: Path | str) -> bytes:
    """Return the content of a file.

    :param path: the file; it is read once and never changed.
    :raises MeasurementError: for a file that is missing, that may not be read, or that is too large to be read at once.
    """
    try:
        file = os.open(path, _READING)  # A file object takes longer to make than a sweep's file to read.
        try:
            status = os.fstat(file)
            size = status.st_size
            if not stat.S_ISREG(status.st_mode):
                os.read(file, 0)  # Of a folder this tells the reason.
                raise MeasurementError(
                    path, "file", "a pipe or a device, expected a file; write its content to one first"
                )
            if size > _LARGEST_FILE_BYTES:
                problem = (
                    f"{size} bytes are more than the {_LARGEST_FILE_BYTES} that can be read at once; split the file"
                )
                raise MeasurementError(path, "file", problem)
            data = os.read(file, size + 1)
            while len(data) < size and (more := os.read(file, size + 1)):
                data += more
        finally:
            os.close(file)
    except (OSError, ValueError) as error:
        raise MeasurementError(path, "file", f"cannot be opened: {error}") from error
    return data


def read(path: Path | str) -> Measurement:
    """Read an instrument file of any known format.

    :param path: the file.
    :returns: canonical table, metadata and a warning for each guess and each repair.
    :raises MeasurementError: for every problem, from a missing file to a row that breaks off.
    """
    return read_bytes(load(path), str(path))


def read_bytes(data: bytes, file_name: str) -> Measurement:
    """Read the content of an instrument file, for example of an upload.

    :param data: content of the file.
    :param file_name: name or path, for error messages.
    :raises MeasurementError: for every problem with the content.
    """
    source = unpacked(Source(data, file_name)).from_first_line()
    if not source.data or source.data.isspace():
        raise source.error("file", "empty file, expected a measurement")
    reader = _BY_BEGINNING.get(source.data[:4])
    if reader is None or reader.sniff(source) < _UNMISTAKABLE:
        source = source.in_utf8()
        reader = _choose(source, _READERS)
    measurement = reader.read(source)
    log.debug("read %s as %s", file_name, reader.name)
    return measurement


def _choose(source: Source, readers: Sequence[Reader]) -> Reader:
    scores = []
    for reader in _in_order(source.suffix, tuple(readers)):
        score = reader.sniff(source)
        if score >= _UNMISTAKABLE:
            return reader
        scores.append((score, reader))
    best = max(score for score, _ in scores)
    candidates = [reader for score, reader in scores if score == best]
    if best == 0:
        raise _unknown(source, readers)
    if len(candidates) > 1:
        names = ", ".join(reader.name for reader in candidates)
        problem = f"ambiguous content, it fits {names} equally well; export it with the instrument's full header"
        raise source.error("header", problem)
    return candidates[0]


@lru_cache(maxsize=64)
def _in_order(suffix: str, readers: tuple[Reader, ...]) -> tuple[Reader, ...]:
    """Return the readers with those first that expect files of this ending: most names are right."""
    return tuple(sorted(readers, key=lambda reader: (reader in _GENERAL, suffix not in reader.suffixes)))


def _unknown(source: Source, readers: Sequence[Reader]) -> MeasurementError:
    """Return the error for content that no reader knows; the file name tells what a user expected."""
    candidates = [reader.expects for reader in readers if source.suffix in reader.suffixes]
    expected = " or ".join(candidates) if len(candidates) <= _MOST_CANDIDATES_SHOWN else ""
    known = f"none of the {sum(bool(reader.kinds) for reader in readers)} known formats; `battery-pilot formats` lists them"
    wanted = f", expected {expected}" if expected else ""
    position = binary_position(source.head)
    if source.workbook is not None:
        sheets = "a spreadsheet, but no sheet has headings of a log (time, voltage, current) or of impedance"
        return source.error("file", f"{sheets} (frequency, real and imaginary part): {known}")
    if position is not None:
        return source.error(f"byte {position}", f"binary content{wanted}: {known}")
    first = source.head_text.strip().partition("\n")[0]
    return source.error("line 1", f"unknown format, beginning with {shown(first)}{wanted}: {known}")
