"""Vector ASC: a text log of a CAN bus, whose first lines name the base of its numbers and the kind of its time stamps."""

from __future__ import annotations

import re
import sys
from array import array
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.field.frames import (
    LARGEST_IDENTIFIER,
    LONGEST_FRAME_BYTES,
    Frames,
    extended,
    frames_of,
)
from battery_pilot.measurements.text import shown
from battery_pilot.measurements.times import OTHER_DATES, start_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.source import Source

_ASC_BASE = re.compile(r"^[ \t]*base[ \t]+(hex|dec)[ \t]+timestamps[ \t]+(absolute|relative)", re.MULTILINE)
_ASC_DATE = re.compile(
    r"^[ \t]*(?:date|Begin Trigger[Bb]lock)[ \t]+\S+[ \t]+(\S+)[ \t]+(\d{1,2})[ \t]+"
    r"(\d{1,2}:\d\d:\d\d)(\.\d{1,6})?[ \t]*([AaPp][Mm])?[ \t]*(\d{4})",
    re.MULTILINE,
)
_MONTHS = ("jan", "feb", "m(?:ar|är|rz)", "apr", "ma[iy]", "jun", "jul", "aug", "sep", "o[ck]t", "nov", "de[cz]")
# Any event with a time; the rest is there for data frames only, classical ones and those of CAN FD.
_ASC_EVENT = re.compile(
    r"^[ \t]*(\d{1,11}\.\d{1,9})[ \t]+(?:"
    r"(\d{1,3})[ \t]+([0-9A-Fa-f]{1,10}x?)[ \t]+(?:[A-Za-z_]\S*[ \t]+)?(?:Rx|Tx)[ \t]+d[ \t]+([0-9A-Fa-f]{1,2})"
    r"((?:[ \t]+[0-9A-Fa-f]{1,3}(?![0-9A-Za-z]))*)"
    r"|CANFD[ \t]+(\d{1,3})[ \t]+(?:Rx|Tx)[ \t]+([0-9A-Fa-f]{1,10}x?)[ \t]+(?:[A-Za-z_]\S*[ \t]+)?"
    r"[01][ \t]+[01][ \t]+[0-9A-Fa-f]{1,2}[ \t]+(\d{1,2})((?:[ \t]+[0-9A-Fa-f]{1,3}(?![0-9A-Za-z]))*))?",
    re.MULTILINE,
)


def is_asc(source: Source) -> bool:
    """Tell whether the file begins like a Vector ASC log."""
    begins_so = source.first_data_line[1].lstrip().startswith(("date ", "base ", "//"))
    return begins_so and _ASC_BASE.search(source.head_text) is not None


def read_asc(source: Source, warnings: list[str]) -> Frames:
    """Return the data frames of a Vector ASC log; other events only count where time stamps are relative.

    :raises MeasurementError: for no frame, or no line ``base hex timestamps absolute`` or the like.
    """
    text = source.text("Vector ASC log")
    head = _ASC_BASE.search(text)
    if head is None:
        raise source.error("header", "expected a line such as 'base hex timestamps absolute'")
    base = 16 if head[1] == "hex" else 10
    times, kept, identifiers = array("d"), array("L"), array("L")
    channels, payloads = [], []
    for found in _ASC_EVENT.finditer(text, head.end()):
        event = found.groups("")
        times.append(float(event[0]))
        channel, identifier = event[1] or event[5], event[2] or event[6]
        payload = _asc_payload(event, base) if channel and _digits(identifier, base) else None
        if payload is None or int(identifier.rstrip("x"), base) > LARGEST_IDENTIFIER:
            continue
        number = int(identifier.rstrip("x"), base)
        kept.append(len(times) - 1)
        channels.append(sys.intern(channel))
        identifiers.append(extended(number) if identifier.endswith("x") else number)
        payloads.append(payload)
    if len(times) > len(kept):
        warnings.append(f"{len(times) - len(kept)} events are no whole data frames and were left out.")
    seconds = np.cumsum(times) if head[2] == "relative" else np.array(times)
    return frames_of(source, seconds[kept], channels, identifiers, payloads, _asc_start(text, warnings))


def _digits(token: str, base: int) -> bool:
    return base == 16 or token.rstrip("x").isdecimal()


def _asc_payload(event: Sequence[str], base: int) -> bytes | None:
    """Return the data bytes of a frame, or ``None`` when some are missing."""
    if event[5]:
        stated, tokens = int(event[7]), event[8].split()
        tokens = tokens[:stated]
    else:
        code, tokens = event[3], event[4].split()
        # Codes above 8 stand for 8 bytes in a classical frame; some programs write frames of CAN FD like this.
        stated = min(int(code, base), 8) if _digits(code, base) else 8
        tokens = tokens[:LONGEST_FRAME_BYTES] if base == 16 else tokens[:stated]
    if not stated <= len(tokens) <= LONGEST_FRAME_BYTES:
        return None
    try:
        return bytes(int(token, base) for token in tokens)
    except ValueError:
        return None


def _asc_start(text: str, warnings: list[str]) -> dict[str, Any]:
    """Return the start, whose month and weekday are in the language of the recording computer."""
    dates = list(_ASC_DATE.finditer(text[:4000]))
    if not dates:
        return {}
    month_word, day, clock, fraction, half, year = dates[-1].groups()
    month = next((n for n, pattern in enumerate(_MONTHS, 1) if re.match(pattern, month_word.lower())), None)
    hour = int(clock.partition(":")[0])
    if half is not None:
        hour = hour % 12 + (12 if half.lower() == "pm" else 0)
    clock = f"{hour:02}:{clock.partition(':')[2]}{(fraction or '')[:7]}"
    if month is None:
        warnings.append(f"The month {shown(month_word)} of the start is not known; the start was left out.")
        return {}
    return start_facts(f"{int(day):02}.{month:02}.{year} {clock}", OTHER_DATES, warnings)
