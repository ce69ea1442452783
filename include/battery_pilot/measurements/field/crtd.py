"""CRTD logs of the Open Vehicle Monitoring System: time, kind of record with its bus, identifier and bytes."""

from __future__ import annotations

import re
import sys
from array import array
from typing import TYPE_CHECKING

from battery_pilot.measurements.field.frames import LARGEST_IDENTIFIER, Frames, extended, frames_of, tell_others

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source

# 1320745424.002 1R11 402 FA 01 C3 A0 96 00 07 01
_FRAME = re.compile(
    r"^[ \t]*(\d{1,11}\.\d{1,9})[ \t]+(\d{0,2})[RT](11|29)[ \t]+([0-9A-Fa-f]{1,8})"
    r"((?:[ \t]+[0-9A-Fa-f]{2}(?!\S)){0,8})[ \t]*$",
    re.MULTILINE,
)
_COMMENT = re.compile(r"^[ \t]*\d{1,11}\.\d{1,9}[ \t]+\d{0,2}C(?:XX|EV|ER|ST)\b.*$", re.MULTILINE)
_RECORD = re.compile(r"[ \t]*\d{1,11}\.\d{1,9}[ \t]+\d{0,2}(?:[RT](?:11|29)|C[A-Z]{2})(?:[ \t]|$)")


def is_crtd(source: Source) -> bool:
    """Tell whether the first line is a record of CRTD."""
    return _RECORD.match(source.first_data_line[1]) is not None


def read_crtd(source: Source, warnings: list[str]) -> Frames:
    """Return the data frames of a CRTD log.

    :raises MeasurementError: for no frame.
    """
    text = source.text("CRTD log")
    times, identifiers = array("d"), array("L")
    channels, payloads = [], []
    for found in _FRAME.finditer(text):
        second, channel, bits, identifier, spaced = found.groups()
        number = int(identifier, 16)
        if number > LARGEST_IDENTIFIER:
            continue
        times.append(float(second))
        channels.append(sys.intern(channel))
        identifiers.append(extended(number) if bits == "29" else number)
        payloads.append(bytes.fromhex(spaced))
    tell_others(_COMMENT.sub("", text), len(times), warnings)
    return frames_of(source, times, channels, identifiers, payloads, {})
