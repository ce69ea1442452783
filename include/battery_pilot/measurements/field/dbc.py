"""CAN databases (DBC): which bits of which frame hold which signal, and their values from many frames at once.

Read are messages (``BO_``), signals (``SG_``), floating-point types (``SIG_VALTYPE_``), extended multiplexing
(``SG_MUL_VAL_``) and the attribute ``VFrameFormat`` that marks messages of SAE J1939. Everything else in a database
describes nodes and displays. Layout after Vector's "DBC File Format Documentation", version 1.0/5 (2010).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.text import to_float

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.measurements.tables import BoolArray, FloatArray

IdArray = np.ndarray[Any, np.dtype[np.uint32]]
ByteArray = np.ndarray[Any, np.dtype[np.uint8]]

EXTENDED = 1 << 31
"""Bit of an identifier that tells a 29-bit one from an 11-bit one."""

_NUMBER = r"[ \t]*([-+.\deE]+)[ \t]*"
_MESSAGE_OR_SIGNAL = re.compile(
    r"^[ \t]*(?:BO_[ \t]+(\d{1,10})[ \t]+(\w+)[ \t]*:"
    r"|SG_[ \t]+(\w+)[ \t]*(M|m\d{1,5}M?)?[ \t]*:[ \t]*(\d{1,3})\|(\d{1,3})@([01])([+-])[ \t]*"
    rf'\({_NUMBER},{_NUMBER}\)[ \t]*\[[^\]\n]*\][ \t]*"([^"\n]*)")',
    re.MULTILINE,
)
_FLOAT_TYPE = re.compile(r"^SIG_VALTYPE_[ \t]+(\d{1,10})[ \t]+(\w+)[ \t]*:?[ \t]*([0-3])[ \t]*;", re.MULTILINE)
_MULTIPLEX = re.compile(r"^SG_MUL_VAL_[ \t]+(\d{1,10})[ \t]+(\w+)[ \t]+(\w+)[ \t]+([\d\-, \t]+);", re.MULTILINE)
_FRAME_FORMAT = re.compile(r'^BA_[ \t]+"VFrameFormat"[ \t]+BO_[ \t]+(\d{1,10})[ \t]+(\d+)[ \t]*;', re.MULTILINE)
_J1939_FORMAT = "3"
_J1939_BY_DEFAULT = re.compile(r'^BA_DEF_DEF_[ \t]+"VFrameFormat"[ \t]+"J1939PG"[ \t]*;', re.MULTILINE)
_NO_MESSAGE = "VECTOR__INDEPENDENT_SIG_MSG"
_LONGEST_FRAME_BITS = 64 * 8
_J1939_LENGTHS = (8, 16, 32)
_FIRST_INDICATOR = 0xFB
_FLOATS = {16: np.uint16, 32: np.uint32, 64: np.uint64}


@dataclass(frozen=True)
class Signal:
    """One number in the frames of a message.

    :param message: name of the message.
    :param identifier: of the message's frames, with :data:`EXTENDED` for 29 bits.
    :param name: unique within the message.
    :param start: number of its lowest bit in Intel order, of its highest bit in Motorola order, as the DBC counts.
    :param length: 1 to 64 bits.
    :param is_intel: least significant byte first.
    :param scale: from the raw number to the value.
    :param offset: added after scaling.
    :param is_j1939: the message is one of SAE J1939, known by its parameter group.
    :param unit: as the DBC writes it.
    :param is_multiplexer: whether other signals of the message depend on it.
    :param multiplexer: name of the signal of the same message that says when this one is there; ``None`` for always.
    :param multiplexer_values: first and last value of each range of the multiplexer with which it is there.
    """

    message: str
    identifier: int
    name: str
    start: int
    length: int
    is_intel: bool
    is_signed: bool
    is_float: bool
    is_j1939: bool
    scale: float
    offset: float
    unit: str
    is_multiplexer: bool
    multiplexer: str | None
    multiplexer_values: tuple[tuple[int, int], ...]

    @property
    def full_name(self) -> str:
        """Name that no other signal of the database has: ``Message.Signal``."""
        return f"{self.message}.{self.name}"


def parse_dbc(text: str) -> dict[str, Signal]:
    """Return the signals of a database by their full names.

    A signal whose bits do not fit into a frame of 64 bytes is left out, and so are signals without a message.

    :param text: content of the file.
    """
    floats = {(frame, name) for frame, name, kind in _FLOAT_TYPE.findall(text) if kind != "0"}
    ranges = {(frame, name): (switch, values) for frame, name, switch, values in _MULTIPLEX.findall(text)}
    formats = dict(_FRAME_FORMAT.findall(text))
    usual_format = _J1939_FORMAT if _J1939_BY_DEFAULT.search(text) else ""
    signals: dict[str, Signal] = {}
    switches: dict[str, str] = {}
    frame = message = ""
    for found in _MESSAGE_OR_SIGNAL.finditer(text):
        if found[1] is not None:
            frame, message = found[1], found[2]
            continue
        name, mark = found[3], found[4] or ""
        if mark == "M":
            switches[message] = name
        scale, offset = to_float(found[9]), to_float(found[10])
        if message in ("", _NO_MESSAGE) or scale is None or offset is None:
            continue
        values = ((int(mark[1:].rstrip("M")),) * 2,) if mark.startswith("m") else ()
        switch, written = ranges.get((frame, name), (None, ""))
        signal = Signal(
            message=message,
            identifier=int(frame),
            name=name,
            start=int(found[5]),
            length=int(found[6]),
            is_intel=found[7] == "1",
            is_signed=found[8] == "-",
            is_float=(frame, name) in floats,
            is_j1939=int(frame) >= EXTENDED and formats.get(frame, usual_format) == _J1939_FORMAT,
            scale=scale,
            offset=offset,
            unit=found[11].strip(),
            is_multiplexer=mark.endswith("M"),
            multiplexer=switch,
            multiplexer_values=_ranges(written) or values,
        )
        if _fits(signal):
            signals[signal.full_name] = signal
    return {name: _with_switch(signal, switches) for name, signal in signals.items()}


def _ranges(written: str) -> tuple[tuple[int, int], ...]:
    """Return the ranges of a line such as ``0-3, 7-7``."""
    return tuple((int(low), int(high)) for low, high in re.findall(r"(\d{1,19})-(\d{1,19})", written))


def _fits(signal: Signal) -> bool:
    if not 1 <= signal.length <= 64 or (signal.is_float and signal.length not in _FLOATS):
        return False
    return max(_byte_order(signal)[0]) < _LONGEST_FRAME_BITS // 8


def _with_switch(signal: Signal, switches: Mapping[str, str]) -> Signal:
    """Name the multiplexer of a signal that the plain notation (``m3``) leaves to its message."""
    if not signal.multiplexer_values or signal.multiplexer is not None:
        return signal
    return Signal(**{**vars(signal), "multiplexer": switches.get(signal.message)})


def _byte_order(signal: Signal) -> tuple[range, int]:
    """Return the bytes of a signal from the least significant one, and how far its lowest bit is above their lowest.

    In Motorola order bit numbers still rise within a byte, but the signal runs on from bit 0 to bit 7 of the next byte.
    """
    if signal.is_intel:
        return range(signal.start // 8, (signal.start + signal.length - 1) // 8 + 1), signal.start % 8
    first = signal.start // 8 * 8 + 7 - signal.start % 8
    last = first + signal.length - 1
    return range(last // 8, first // 8 - 1, -1), 7 - last % 8


def bytes_needed(signal: Signal) -> int:
    """Return how many data bytes a frame needs to hold a signal."""
    return max(_byte_order(signal)[0]) + 1


def belongs(signal: Signal, identifiers: IdArray) -> BoolArray:
    """Tell which frames are those of a signal's message.

    A J1939 message is known by its parameter group; priority and addresses differ from sender to sender (SAE J1939-21).

    :param signal: of the message.
    :param identifiers: one a frame, with :data:`EXTENDED` for 29 bits.
    """
    if not signal.is_j1939:
        same: BoolArray = identifiers == signal.identifier
        return same
    own_group = _parameter_group(np.array([signal.identifier], dtype=np.uint32))
    alike: BoolArray = (identifiers >= EXTENDED) & (_parameter_group(identifiers) == own_group)
    return alike


def _parameter_group(identifiers: IdArray) -> IdArray:
    """Return the parameter group numbers; below format 240 the low byte is a destination address, no part of it."""
    group = identifiers >> 8 & 0x3FFFF
    return np.where(group >> 8 & 0xFF < 240, group & 0x3FF00, group).astype(np.uint32)


def present(signal: Signal, data: ByteArray, signals: Mapping[str, Signal]) -> BoolArray:
    """Tell which frames of a message hold a multiplexed signal.

    :param signal: of that message.
    :param data: bytes of the frames, one row a frame, at least :func:`bytes_needed` for each multiplexer.
    :param signals: result of :func:`parse_dbc`.
    """
    there: BoolArray = np.ones(len(data), dtype=bool)
    seen = {signal.name}
    while signal.multiplexer is not None and signal.multiplexer not in seen:
        seen.add(signal.multiplexer)
        switch = signals.get(f"{signal.message}.{signal.multiplexer}")
        if switch is None:
            break
        number = raw_numbers(switch, data)
        there &= np.any([(number >= low) & (number <= high) for low, high in signal.multiplexer_values], axis=0)
        signal = switch
    return there


def raw_numbers(signal: Signal, data: ByteArray) -> np.ndarray[Any, np.dtype[np.uint64]]:
    """Return the bits of a signal as numbers without sign, one a frame.

    :param signal: what to take out.
    :param data: bytes of the frames, one row a frame, at least :func:`bytes_needed`.
    """
    order, shift = _byte_order(signal)
    numbers = np.zeros(len(data), dtype=np.uint64)
    for position, index in enumerate(order):
        column = data[:, index].astype(np.uint64)
        up = 8 * position - shift
        numbers |= column << np.uint64(up) if up >= 0 else column >> np.uint64(-up)
    return numbers & np.uint64((1 << signal.length) - 1)


def values(signal: Signal, data: ByteArray) -> FloatArray:
    """Return the physical values of a signal, one a frame.

    :param signal: what to take out.
    :param data: bytes of the frames, one row a frame, at least :func:`bytes_needed`.
    """
    numbers = raw_numbers(signal, data)
    if signal.is_float:
        kind = _FLOATS[signal.length]
        raw = numbers.astype(kind).view(f"f{signal.length // 8}").astype(np.float64)
    elif signal.is_signed:
        # Two's complement: shifted up to the sign bit of 64 bits and back down again.
        unused = np.int64(64 - signal.length)
        raw = ((numbers << np.uint64(unused)).view(np.int64) >> unused).astype(np.float64)
    else:
        raw = numbers.astype(np.float64)
    return raw * signal.scale + signal.offset


def is_available(signal: Signal, data: ByteArray) -> BoolArray:
    """Tell which frames hold a value: J1939 has codes for "error" and "not available" above the largest one.

    SAE J1939-71 keeps the codes from 0xFB on in the highest byte for these and other indicators.

    :param signal: what the frames shall hold.
    :param data: bytes of the frames, one row a frame, at least :func:`bytes_needed`.
    """
    if not signal.is_j1939 or signal.is_float or signal.length not in _J1939_LENGTHS:
        return np.ones(len(data), dtype=bool)
    available: BoolArray = raw_numbers(signal, data) >> np.uint64(signal.length - 8) < _FIRST_INDICATOR
    return available
