"""Vector BLF: the binary log of a CAN bus.

A header (``LOGG``), then objects (``LOBJ``) that are containers of further objects, mostly compressed with zlib. Layout
of headers, containers and classical frames after the Kaitai description ``blf.ksy`` (CC0-1.0) in
github.com/driftregion/EmbeddedBLFLogger; of object 101 from files that exist both as BLF and as ASC.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from battery_pilot.measurements.field.frames import (
    LARGEST_IDENTIFIER,
    LONGEST_FRAME_BYTES,
    Frames,
    extended,
    frames_of,
)
from battery_pilot.measurements.times import ASSUMED_ZONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.measurements.source import Source

_FILE_HEADER = struct.Struct("<4sI")
_START = struct.Struct("<8H")
_START_POSITION = 40
_OBJECT = struct.Struct("<4sHHII")
_OBJECT_TIME = struct.Struct("<IHHQ")
_CONTAINER = struct.Struct("<H6xI4x")
_CLASSICAL = struct.Struct("<HBBI")
_FD = struct.Struct("<HBBIIBBB5x")
_FD_64 = struct.Struct("<BBBxI")
_FD_64_HEADER = 40

_CONTAINER_TYPE = 10
_CLASSICAL_TYPES = (1, 86)
_FD_TYPE = 100
_FD_64_TYPE = 101
_STORED, _ZLIB = 0, 2
_TEN_MICROSECONDS = 1
_REMOTE = 0x80
_IDENTIFIER_29_BITS = 1 << 31
_MOST_EXPANSION = 16
_SMALL_BYTES = 1 << 20
_LARGEST_GAP = 3


class _Frame(NamedTuple):
    """A data frame."""

    time_second: float
    channel: int
    identifier: int
    payload: bytes


def is_blf(source: Source) -> bool:
    """Tell whether the file begins like a Vector BLF log."""
    return source.data.startswith(b"LOGG")


def read_blf(source: Source, warnings: list[str]) -> Frames:
    """Return the data frames of a BLF log.

    :raises MeasurementError: for a broken container, one that unpacks to far more than the file, and no frame.
    """
    content = _unpack(source, warnings)
    # Arrays, not lists: a compressed log holds many frames in few bytes.
    times, channels, identifiers, others = array("d"), array("H"), array("L"), 0
    payloads: list[bytes] = []
    for kind, start, header_size, end in _objects(content, 0, warnings):
        frame = _frame(content, kind, start, start + header_size, end)
        if frame is None:
            others += 1
            continue
        times.append(frame.time_second)
        channels.append(frame.channel)
        identifiers.append(frame.identifier)
        payloads.append(frame.payload)
    if others:
        warnings.append(f"{others} objects are no data frames and were left out.")
    return frames_of(source, times, np.array(channels), identifiers, payloads, _start(source, warnings))


def _unpack(source: Source, warnings: list[str]) -> bytes:
    """Return the content of all containers; an object may run on from one to the next."""
    if len(source.data) < _FILE_HEADER.size:
        raise source.error("header", "truncated BLF header; copy the file again")
    size = _FILE_HEADER.unpack_from(source.data)[1]
    left = _MOST_EXPANSION * len(source.data) + _SMALL_BYTES
    parts: list[bytes] = []
    for kind, start, header_size, end in _objects(source.data, size, warnings):
        if kind == _CONTAINER_TYPE:
            parts.append(_unpack_container(source, start, header_size, end, left))
        else:
            parts.append(source.data[start:end] + b"\0" * (-(end - start) % 4))
        left -= len(parts[-1])
    return b"".join(parts)


def _unpack_container(source: Source, start: int, header_size: int, end: int, left: int) -> bytes:
    place = f"byte {start}"
    begin = start + header_size + _CONTAINER.size
    if begin > end:
        raise source.error(place, "a BLF container shorter than its header; copy the file again")
    method, _ = _CONTAINER.unpack_from(source.data, start + header_size)
    packed = source.data[begin:end]
    if method == _STORED:
        return packed
    if method != _ZLIB:
        raise source.error(place, f"compression {method} of a BLF container is not known, expected 0 or 2")
    unpacker = zlib.decompressobj()
    try:
        content = unpacker.decompress(packed, max(left, 1))
    except zlib.error as error:
        raise source.error(place, f"damaged BLF container: {error}; copy the file again") from error
    if len(content) >= left:
        raise source.error(place, f"unpacks to more than {_MOST_EXPANSION} times the size of the file; not a log")
    if not unpacker.eof:
        raise source.error(place, "damaged BLF container: it ends too early; copy the file again")
    return content


def _objects(content: bytes, position: int, warnings: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Yield type, start, size of the header and end of each whole object; up to three bytes fill the gaps."""
    while (start := content.find(b"LOBJ", position, position + 7)) >= 0 and start + _OBJECT.size <= len(content):
        _, header_size, _, size, kind = _OBJECT.unpack_from(content, start)
        if size < max(header_size, _OBJECT.size) or start + size > len(content):
            break
        position = start + size
        yield kind, start, header_size, position
    if len(content) - position > _LARGEST_GAP:
        warnings.append(
            f"The log breaks off {len(content) - position} bytes before its end; what stands there is lost."
        )


def _frame(content: bytes, kind: int, start: int, body: int, end: int) -> _Frame | None:
    """Return the data frame of an object, or ``None`` for another event, a remote frame and a broken object."""
    found = _payload(content, kind, body, end)
    if found is None or body - start < _OBJECT.size + _OBJECT_TIME.size:
        return None
    channel, identifier, payload = found
    number = identifier & ~_IDENTIFIER_29_BITS
    flags, _, _, ticks = _OBJECT_TIME.unpack_from(content, start + _OBJECT.size)
    second = ticks * (1e-5 if flags == _TEN_MICROSECONDS else 1e-9)
    if number > LARGEST_IDENTIFIER or second >= 1e8:
        return None
    return _Frame(second, channel, extended(number) if identifier & _IDENTIFIER_29_BITS else number, payload)


def _payload(content: bytes, kind: int, body: int, end: int) -> tuple[int, int, bytes] | None:
    """Return channel, identifier and data bytes of an object that is a data frame."""
    if kind in _CLASSICAL_TYPES and body + _CLASSICAL.size + 8 <= end:
        channel, flags, code, identifier = _CLASSICAL.unpack_from(content, body)
        begin, length = body + _CLASSICAL.size, min(code, 8)
    elif kind == _FD_TYPE and body + _FD.size <= end:
        channel, flags, _, identifier, _, _, _, length = _FD.unpack_from(content, body)
        begin = body + _FD.size
    elif kind == _FD_64_TYPE and body + _FD_64_HEADER <= end:
        channel, _, length, identifier = _FD_64.unpack_from(content, body)
        begin, flags = body + _FD_64_HEADER, 0
    else:
        return None
    if flags & _REMOTE or length > LONGEST_FRAME_BYTES or begin + length > end:
        return None
    return channel, identifier, content[begin : begin + length]


def _start(source: Source, warnings: list[str]) -> dict[str, Any]:
    """Return the moment of time 0, which the header holds in local time."""
    if len(source.data) < _START_POSITION + _START.size:
        return {}
    year, month, _, day, hour, minute, second, millisecond = _START.unpack_from(source.data, _START_POSITION)
    try:
        start = datetime(year, month, day, hour, minute, second, 1000 * millisecond, tzinfo=UTC)
    except (ValueError, OverflowError):
        return {}
    warnings.append(ASSUMED_ZONE)
    return {"started_at": start.isoformat(), "time_zone": "assumed UTC"}
