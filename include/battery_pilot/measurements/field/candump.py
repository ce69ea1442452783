"""Logs of candump, the recorder of Linux can-utils: ``candump -l``, and its console output with time stamps."""

from __future__ import annotations

import re
import sys
from array import array
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.field.frames import (
    LARGEST_IDENTIFIER,
    Frames,
    frames_of,
    hexadecimal_identifier,
    tell_others,
)
from battery_pilot.measurements.times import ASSUMED_ZONE

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source

_FRAME = re.compile(
    r"^[ \t]*\((\d{1,11}\.\d{1,9}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{1,6})\)[ \t]+(\S{1,32})[ \t]+"
    r"(?:(?:RX|TX)[ \t][-B][ \t][-E][ \t]+)?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})"
    r"(?:#(?:#[0-9A-Fa-f])?((?:[0-9A-Fa-f]{2}){0,64})(?![^ \t\n])"
    r"|[ \t]+\[(\d{1,2})\]((?:[ \t]+[0-9A-Fa-f]{2}(?![^ \t\n])){0,64}))",
    re.MULTILINE,
)


def is_candump(source: Source) -> bool:
    """Tell whether the first line is a frame as candump writes it, with a time stamp."""
    line = source.first_data_line[1].lstrip()
    return line.startswith("(") and _FRAME.match(line) is not None


def read_candump(source: Source, warnings: list[str]) -> Frames:
    """Return the data frames of a candump log (``candump -l``, or its console output with ``-t a`` or ``-t A``).

    :raises MeasurementError: for no frame, and for time stamps that are differences (``-t d``).
    """
    text = source.text("candump log")
    times, identifiers = array("d"), array("L")
    channels, payloads = [], []
    for found in _FRAME.finditer(text):
        stamp, channel, identifier, packed, stated, spaced = found.groups("")
        second = _second(stamp)
        payload = bytes.fromhex(packed or spaced)
        if second is None or len(payload) != int(stated or len(payload)) or int(identifier, 16) > LARGEST_IDENTIFIER:
            continue
        times.append(second)
        channels.append(sys.intern(channel))
        identifiers.append(hexadecimal_identifier(identifier))
        payloads.append(payload)
    tell_others(text, len(times), warnings)
    if sum(later < earlier for earlier, later in zip(times, times[1:], strict=False)) > len(times) / 10:
        raise source.error("log", "time stamps are differences from frame to frame; record with `candump -l`")
    facts: dict[str, Any] = {}
    if "-" in source.first_data_line[1].partition(")")[0]:
        facts["time_zone"] = "assumed UTC"
        warnings.append(ASSUMED_ZONE)
    return frames_of(source, times, channels, identifiers, payloads, facts)


def _second(stamp: str) -> float | None:
    """Return the seconds of a time stamp: a number, or a date of which none is known to lie in a zone."""
    if "-" not in stamp:
        return float(stamp)
    try:
        return datetime.fromisoformat(stamp).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
