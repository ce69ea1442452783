"""Read dates and times of instrument files as UTC."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

ASSUMED_ZONE = "Times without a zone were taken as UTC."
ISO = "ISO 8601"
_LETTERS_AND_DIGITS = str.maketrans("", "", string.ascii_letters + string.digits + " ")

US_DATES = ("%m/%d/%Y %H:%M:%S.%f", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y")
"""Month first, as instruments with English settings write."""
OTHER_DATES = (
    "%d/%m/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M:%S.%f",
    "%d.%m.%Y %H:%M:%S",
    "%d-%b-%y %I:%M:%S %p",
    "%d %B %Y, %I:%M:%S %p",
    "%m-%d-%Y %H:%M:%S",
    "%d-%m-%Y %H:%M:%S",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d %I:%M %p",
    "%Y/%m/%d %H:%M:%S.%f",
    "%Y/%m/%d %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
    ISO,
)
"""Day first with dots or month names, month first with hyphens (ZPlot), year first, and ISO 8601."""
DATES = US_DATES + OTHER_DATES
_SIX_NUMBERS = re.compile(r"(\d\d?)([/.-])(\d\d?)\2(\d{4}) (\d\d?):(\d\d?):(\d\d?)")
_ORDER = {
    **{f"%m{sign}%d{sign}%Y %H:%M:%S": "md" for sign in "/-"},
    **{f"%d{sign}%m{sign}%Y %H:%M:%S": "dm" for sign in "/.-"},
}


def start_facts(text: str, patterns: Sequence[str], warnings: list[str]) -> dict[str, Any]:
    """Return ``started_at`` (ISO 8601, UTC), and ``time_zone`` where the zone was assumed.

    :param text: date and time as the file has them; empty gives no facts.
    :param patterns: date formats to try in this order, for example :data:`DATES`.
    :param warnings: receives a sentence for an unreadable, ambiguous or zoneless date.
    """
    text = " ".join(text.split())
    if not text:
        return {}
    for pattern in _fitting(text.translate(_LETTERS_AND_DIGITS), text.lower() != text.upper(), tuple(patterns)):
        moment = _parse(text, pattern)
        if moment is not None:
            break
    else:
        warnings.append(f"The start time {shown(text)} cannot be read and was left out.")
        return {}
    if moment.tzinfo is not None:
        try:
            return {"started_at": moment.astimezone(UTC).isoformat()}
        except OverflowError:
            warnings.append(f"The start time {shown(text)} cannot be read and was left out.")
            return {}
    if pattern.startswith("%m") and moment.day <= 12 and moment.day != moment.month:
        warnings.append(f"The date {shown(text)} was read as month, day, year.")
    warnings.append(ASSUMED_ZONE)
    return {"started_at": moment.replace(tzinfo=UTC).isoformat(), "time_zone": "assumed UTC"}


@lru_cache(maxsize=256)
def _fitting(signs: str, has_words: bool, patterns: tuple[str, ...]) -> list[str]:
    """Return the formats that can fit a date; strptime takes long to find out that one does not.

    :param signs: what stands between the numbers and words of the date without blanks, as ``//::``.
    :param has_words: whether it holds letters, as a month's name or AM.
    :param patterns: formats to choose from.
    """
    return [
        pattern
        for pattern in patterns
        if pattern == ISO
        or (
            re.sub("%.", "", pattern).translate(_LETTERS_AND_DIGITS) == signs
            and any(word in pattern for word in ("%b", "%B", "%p")) == has_words
        )
    ]


def _parse(text: str, pattern: str) -> datetime | None:
    try:
        if pattern == ISO:
            return datetime.fromisoformat(text)
        return _from_numbers(text, pattern) or datetime.strptime(text, pattern)  # noqa: DTZ007
    except (ValueError, OverflowError):
        return None


def _from_numbers(text: str, pattern: str) -> datetime | None:
    """Return what strptime returns for dates of six numbers, which nearly all are, at a fifth of its time."""
    order, numbers = _ORDER.get(pattern), _SIX_NUMBERS.fullmatch(text)
    if order is None or numbers is None or numbers[2] != pattern[2]:
        return None
    first, _, second, year, hour, minute, full_second = numbers.groups()
    month, day = (first, second) if order == "md" else (second, first)
    return datetime(int(year), int(month), int(day), int(hour), int(minute), int(full_second))  # noqa: DTZ001
