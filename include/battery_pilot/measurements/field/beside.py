"""What lies beside a field log and explains it: a mapping file, and the signal definitions of a CAN log."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.field.dbc import Signal, parse_dbc
from battery_pilot.measurements.text import decode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.measurements.field.mapping import ColumnMapping
    from battery_pilot.measurements.source import Source

MAPPING_FILE = "battery-pilot-columns.toml"
SIGNALS_SUFFIX = ".dbc"
_LARGEST_BYTES = 1 << 26


def mapping_path(source: Source) -> Path | None:
    """Return the nearest mapping file beside or above a log, or ``None``.

    :param source: the log; bytes that are no file on the disk have no neighbours.
    """
    folder = source.name
    try:
        if not os.path.isfile(folder):  # noqa: PTH113 - every table is asked this, and a Path takes five times as long
            return None
        while folder != (folder := os.path.dirname(folder)):  # noqa: PTH120 - as above
            if os.path.isfile(os.path.join(folder, MAPPING_FILE)):  # noqa: PTH113, PTH118 - as above
                return Path(folder, MAPPING_FILE)
    except ValueError:
        pass  # A name with a null character is none of a file.
    return None


def mapping_of(source: Source) -> ColumnMapping | None:
    """Return the mapping that holds for a log, or ``None`` where there is no mapping file.

    :param source: the log.
    :raises MeasurementError: for a mapping file that cannot be used.
    """
    path = mapping_path(source)
    return None if path is None else _mapping(path, _content(path))


@lru_cache(maxsize=16)
def _mapping(path: Path, content: bytes) -> ColumnMapping:
    from battery_pilot.measurements.field.mapping import parse_mapping  # pydantic is loaded only where it is needed

    return parse_mapping(path, content)


def _content(path: Path) -> bytes:
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise MeasurementError(path, "file", f"larger than the {_LARGEST_BYTES} bytes that are read")
        return path.read_bytes()
    except OSError as error:
        raise MeasurementError(path, "file", f"cannot be opened: {error}") from error


def signals_of(source: Source, mapping: ColumnMapping | None) -> Mapping[str, Signal]:
    """Return the signals of the DBC of a CAN log by their full names.

    :param source: the log.
    :param mapping: result of :func:`mapping_of`; the DBC that it names comes before one beside the log.
    :raises MeasurementError: for no DBC, several of them, and one that holds no signal.
    """
    path = _dbc_path(source, mapping)
    return _signals(path, _content(path))


def _dbc_path(source: Source, mapping: ColumnMapping | None) -> Path:
    beside = mapping_path(source)
    if mapping is not None and mapping.dbc is not None and beside is not None:
        return beside.parent / mapping.dbc
    try:
        found = sorted(path for path in Path(source.name).parent.iterdir() if path.suffix.lower() == SIGNALS_SUFFIX)
    except (OSError, ValueError):
        found = []
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.name for path in found) or "none"
    problem = (
        f"a CAN log needs the DBC file with its signals beside it, found {names}; put one there, or name it in "
        f'{MAPPING_FILE}: dbc = "vehicle.dbc"'
    )
    raise source.error("file", problem)


@lru_cache(maxsize=16)
def _signals(path: Path, content: bytes) -> Mapping[str, Signal]:
    signals = parse_dbc(decode(content, str(path), "DBC text"))
    if not signals:
        raise MeasurementError(path, "file", "holds no signal, expected BO_ and SG_ lines of a DBC file")
    return signals
