"""Read dates and times of instrument files as UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from battery_pilot.measurements.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

ASSUMED_ZONE = "Times without a zone were taken as UTC."
ISO = "ISO 8601"

US_DATES = ("%m/%d/%Y %H:%M:%S.%f", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y")
"""Month first, as instruments with English settings write."""
OTHER_DATES = (
    "%d/%m/%Y %H:%M:%S",
    "%d.%m.%Y %H:%M:%S.%f",
    "%d.%m.%Y %H:%M:%S",
    "%d-%b-%y %I:%M:%S %p",
    "%d %B %Y, %I:%M:%S %p",
    "%m-%d-%Y %H:%M:%S",
    ISO,
)
"""Day first with dots or month names, month first with hyphens (ZPlot), and ISO 8601."""
DATES = US_DATES + OTHER_DATES


def start_facts(text: str, patterns: Sequence[str], warnings: list[str]) -> dict[str, Any]:
    """Return ``started_at`` (ISO 8601, UTC), and ``time_zone`` where the zone was assumed.

    :param text: date and time as the file has them; empty gives no facts.
    :param patterns: date formats to try in this order, for example :data:`DATES`.
    :param warnings: receives a sentence for an unreadable, ambiguous or zoneless date.
    """
    text = " ".join(text.split())
    if not text:
        return {}
    for pattern in patterns:
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


def _parse(text: str, pattern: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text) if pattern == ISO else datetime.strptime(text, pattern)  # noqa: DTZ007
    except (ValueError, OverflowError):
        return None


def row_moments(texts: Sequence[str], facts: dict[str, Any], warnings: list[str]) -> pa.Array | None:
    """Return the time of each row, or ``None`` when no known format fits.

    :param texts: one date with time per row; empty cells become missing.
    :param facts: receives ``started_at`` from the first row, unless it is known, and ``time_zone`` where assumed.
    :param warnings: receives a sentence about the assumed zone and about unreadable cells.
    """
    column = pd.Series(texts, dtype="string").str.strip()
    filled = column[column.fillna("") != ""]
    if filled.empty:
        return None
    best: pd.Series[pd.Timestamp] | None = None
    for pattern in [pattern for pattern in DATES if _parse(filled.iloc[0], pattern)]:
        expected = "ISO8601" if pattern == ISO else pattern
        moments = pd.to_datetime(column, format=expected, utc=True, errors="coerce")
        if best is None or moments.count() > best.count():
            best = moments
    if best is None or not best.count():
        warnings.append(f"Times of the rows ({shown(filled.iloc[0])}) cannot be read and were left out.")
        return None
    if best.count() < len(filled):
        warnings.append(f"{len(filled) - best.count()} times of rows cannot be read and were left out.")
    facts.setdefault("started_at", best.dropna().iloc[0].isoformat())
    iso = _parse(filled.iloc[0], ISO)
    if iso is None or iso.tzinfo is None:
        facts["time_zone"] = "assumed UTC"
        warnings.append(ASSUMED_ZONE)
    return pa.array(best.dt.as_unit("us"), pa.timestamp("us", tz="UTC"))
