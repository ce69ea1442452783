"""Logs of BUSMASTER (RBEI, ETAS): text with a header between asterisks and one frame a line."""

from __future__ import annotations

import re
import sys
from array import array
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.field.frames import (
    LARGEST_IDENTIFIER,
    LONGEST_FRAME_BYTES,
    Frames,
    extended,
    frames_of,
    tell_others,
)
from battery_pilot.measurements.times import start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_BEGINNING = "***BUSMASTER Ver"
_START = re.compile(
    r"^\*\*\*START DATE AND TIME (\d{1,2}):(\d{1,2}):(\d{4}) (\d{1,2}:\d{1,2}:\d{1,2}):(\d{1,3})", re.M
)
_HEADER_LINE = re.compile(r"^[ \t]*\*.*$", re.MULTILINE)
# 09:25:06:1260 Rx 1 0x136 x 8 13 24 C2 A1 00 00 90 FF
_FRAME = re.compile(
    r"^[ \t]*(\d{1,5}):(\d{1,2}):(\d{1,2}):(\d{4})[ \t]+[RT]x[ \t]+(\d{1,2})[ \t]+(0x[0-9A-Fa-f]{1,8}|\d{1,9})"
    r"[ \t]+([sx])(?:-fd)?[ \t]+(\d{1,2})((?:[ \t]+[0-9A-Fa-f]{1,3}(?!\S)){0,64})[ \t]*$",
    re.MULTILINE,
)
_DAY_SECOND = 86400.0
_PARTS_OF_A_SECOND = 10_000


def is_busmaster(source: Source) -> bool:
    """Tell whether the file begins like a log of BUSMASTER."""
    return source.first_data_line[1].lstrip("-").startswith(_BEGINNING)


def read_busmaster(source: Source, warnings: list[str]) -> Frames:
    """Return the data frames of a BUSMASTER log, in hexadecimal or decimal, with any of its three kinds of time.

    :raises MeasurementError: for no frame.
    """
    text = source.text("BUSMASTER log")
    base = 10 if "***DEC***" in text else 16
    times, identifiers = array("d"), array("L")
    channels, payloads = [], []
    for found in _FRAME.finditer(text):
        hour, minute, second, parts, channel, identifier, kind, stated, spaced = found.groups()
        number = int(identifier, 0 if identifier.startswith("0x") else 10)
        payload = _payload(spaced.split(), base)
        if payload is None or len(payload) != int(stated) or number > LARGEST_IDENTIFIER:
            continue
        times.append(3600 * int(hour) + 60 * int(minute) + int(second) + int(parts) / _PARTS_OF_A_SECOND)
        channels.append(sys.intern(channel))
        identifiers.append(extended(number) if kind == "x" else number)
        payloads.append(payload)
    tell_others(_HEADER_LINE.sub("", text), len(times), warnings)
    facts, clock = _start(text, warnings)
    seconds = _since_start(np.array(times, dtype=np.float64), text, clock)
    return frames_of(source, seconds, channels, identifiers, payloads, facts)


def _payload(tokens: list[str], base: int) -> bytes | None:
    if len(tokens) > LONGEST_FRAME_BYTES:
        return None
    try:
        return bytes(int(token, base) for token in tokens)
    except ValueError:
        return None


def _start(text: str, warnings: list[str]) -> tuple[dict[str, Any], float]:
    """Return the facts about the start, and its clock time in second; 0 where the log does not tell it."""
    found = _START.search(text)
    if found is None:
        return {}, 0.0
    day, month, year, clock, milliseconds = found.groups()
    padded = ":".join(part.zfill(2) for part in clock.split(":"))
    written = f"{day.zfill(2)}.{month.zfill(2)}.{year} {padded}.{milliseconds.zfill(3)}"
    facts = start_facts(written, ("%d.%m.%Y %H:%M:%S.%f",), warnings)
    if not facts:
        return {}, 0.0
    moment = datetime.fromisoformat(facts["started_at"])
    return facts, (moment - moment.replace(hour=0, minute=0, second=0, microsecond=0)).total_seconds()


def _since_start(times: FloatArray, text: str, clock: float) -> FloatArray:
    """Return seconds since the start from clock times, times since the start, or times between frames."""
    if "***RELATIVE MODE***" in text:
        return np.cumsum(times)
    if "***ABSOLUTE MODE***" in text or not len(times):
        return times
    midnights = np.cumsum(np.diff(times, prepend=times[:1]) < -_DAY_SECOND / 2)
    return np.asarray(times + _DAY_SECOND * midnights - (clock or times[0]))
