"""Read the times of many rows at once: clock times, and dates with clock times, as UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from battery_pilot.measurements.text import shown, to_float
from battery_pilot.measurements.times import ASSUMED_ZONE, DATES, ISO

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from battery_pilot.measurements.tables import FloatArray

_DAYS = tuple(dict.fromkeys(re.split(" ?%[HI]", pattern)[0] for pattern in DATES if pattern != ISO))
_DAYS_AND_HOURS = re.compile(r"\s*(?:(\d{1,6}) *[d.\-] *)?(\d{1,6})", re.ASCII)
_SHORT_DATE = re.compile(r"\d\d?([/.-])\d\d?\1\d\d", re.ASCII)
_MOST_SHORT_DATES = 10_000
# Days that follow each other are 28 times further apart when the day is taken for the month.
_CLOSER = 20
_TIMESTAMP = pa.timestamp("us", tz="UTC")
SCALES = {
    "days since 1899-12-30": (86400.0, 25569.0, 2e4, 8e4),
    "days since the year 0": (86400.0, 719529.0, 7e5, 8e5),
    "seconds since 1970": (1.0, 0.0, 1e8, 7.3e9),
    "milliseconds since 1970": (1e-3, 0.0, 1e11, 7.3e12),
}
"""How numbers count time: factor to second, number at the beginning of 1970, and the range that tells the scale."""
# The years 1738 to 2201; what lies outside is no time of a measurement.
_LARGEST_UNIX_SECOND = 7.3e9


def clock_seconds(texts: pa.Array) -> FloatArray:
    """Return clock times in second, NaN for any other text.

    Hours may exceed 24 and days may stand before them: ``9:00:10``, ``26:03:10.5``, ``2d 02:52:51.57``, ``2-02:52:51``.

    :param texts: one time per row.
    """
    parts = pc.split_pattern(texts, ":")
    is_clock = pc.equal(pc.list_value_length(parts), 3).fill_null(False)
    if not pc.all(is_clock).as_py():
        parts = pc.if_else(is_clock, parts, pa.scalar(["", "", ""], parts.type))
    hour, minute, second = (pc.list_element(parts, index) for index in range(3))
    within_hour = _for_each_distinct(minute, _sexagesimal) * 60 + _decimals(second)
    return _for_each_distinct(hour, _days_and_hours) + within_hour


def _for_each_distinct(texts: pa.Array, function: Callable[[str], float]) -> FloatArray:
    """Return the values of a function whose argument repeats in many rows."""
    encoded = texts.dictionary_encode()
    values = np.array([*map(function, encoded.dictionary.to_pylist()), np.nan])
    found: FloatArray = values[encoded.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)]
    return found


def _days_and_hours(text: str) -> float:
    found = _DAYS_AND_HOURS.fullmatch(text)
    return 86400.0 * int(found[1] or 0) + 3600.0 * int(found[2]) if found else np.nan


def _sexagesimal(text: str) -> float:
    return float(text) if text.isdecimal() and len(text) <= 2 and int(text) < 60 else np.nan


def _decimal(text: str) -> float:
    value = to_float(text, decimal_comma=True)
    return np.nan if value is None else value


def _decimals(texts: pa.Array) -> FloatArray:
    """Return seconds within a minute."""
    try:
        seconds = np.asarray(pc.cast(texts, pa.float64()).to_numpy(zero_copy_only=False))
    except pa.ArrowInvalid:
        seconds = _for_each_distinct(texts, _decimal)
    return np.where((seconds >= 0) & (seconds <= 60), seconds, np.nan)


def row_moments(
    texts: Sequence[str] | pa.Array | pa.ChunkedArray, facts: dict[str, Any], warnings: list[str]
) -> pa.Array | None:
    """Return the time of each row, or ``None`` when no known format fits.

    :param texts: one date with time per row; empty cells become missing.
    :param facts: receives ``started_at`` from the first row, unless it is known, and ``time_zone`` where assumed.
    :param warnings: receives a sentence about the assumed zone, the order of day and month and unreadable cells.
    """
    column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else pa.array(texts, pa.string())
    column = pc.utf8_trim_whitespace(column).fill_null("")
    filled = len(column) - pc.sum(pc.equal(column, "")).as_py()
    if not filled:
        return None
    first = column[pc.index(pc.equal(column, ""), False).as_py()].as_py()
    iso = _iso(first)
    moments = _dates_with_clocks(column, warnings) if iso is None else _iso_moments(column)
    known = len(moments) - moments.null_count
    if not known:
        warnings.append(f"Times of the rows ({shown(first)}) cannot be read and were left out.")
        return None
    if known < filled:
        warnings.append(f"{filled - known} times of rows cannot be read and were left out.")
    facts.setdefault("started_at", moments[pc.index(moments.is_valid(), True).as_py()].as_py().isoformat())
    if iso is None or iso.tzinfo is None:
        facts["time_zone"] = "assumed UTC"
        warnings.append(ASSUMED_ZONE)
    return moments


def _iso_moments(column: pa.Array) -> pa.Array:
    # ISO 8601 allows a decimal comma, which pandas does not know.
    points = pc.replace_substring(column, ",", ".")
    moments = pd.to_datetime(pd.Series(points), format="ISO8601", utc=True, errors="coerce")
    return pa.array(moments.dt.as_unit("us"), _TIMESTAMP)


def _dates_with_clocks(column: pa.Array, warnings: list[str]) -> pa.Array:
    """Return the moments of texts with date, clock time and perhaps ``AM`` or ``PM``; null for any other text."""
    parts = pc.split_pattern(pc.ascii_rtrim(column, " AMPamp."), " ", max_splits=1, reverse=True)
    is_pair = pc.equal(pc.list_value_length(parts), 2)
    dates = pc.list_element(parts, 0)
    # At midnight some testers write the date alone.
    clocks = pc.list_element(pc.if_else(is_pair, parts, pa.scalar(["", "0:00:00"], parts.type)), 1)
    clock = clock_seconds(clocks)
    for mark, at_noon in (("AM", 0.0), ("PM", 43200.0)):
        marked = pc.ends_with(column, mark, ignore_case=True).to_numpy(zero_copy_only=False)
        clock = np.where(marked, np.where((clock >= 3600) & (clock < 46800), clock % 43200 + at_noon, np.nan), clock)
    clock[~(clock < 86400)] = np.nan
    days = dates.dictionary_encode()
    seconds = _seconds_of_days(days, warnings)[days.indices.to_numpy()] + clock
    known = np.isfinite(seconds)
    microseconds = np.rint(np.where(known, seconds, 0.0) * 1e6).astype(np.int64)
    return pa.array(microseconds, pa.int64(), mask=~known).cast(_TIMESTAMP)


def _seconds_of_days(days: pa.DictionaryArray, warnings: list[str]) -> FloatArray:
    """Return the second since 1970 at which each distinct day begins, by the date format that most rows fit."""
    rows, texts = np.bincount(days.indices.to_numpy(), minlength=len(days.dictionary)), days.dictionary.to_pylist()
    best, best_pattern, most = np.full(len(rows), np.nan), "", 0
    for pattern in _DAYS:
        found = np.array([_second_of_day(text, pattern) for text in texts])
        count = int(rows[np.isfinite(found)].sum())
        if count > most:
            best, best_pattern, most = found, pattern, count
        if most == len(days):
            break  # strptime takes long.
    if not most:
        return _days_with_short_years(texts, warnings)
    day_first = f"%d{best_pattern[2:3]}%m{best_pattern[5:]}"
    if (
        best_pattern.startswith("%m")
        and day_first in _DAYS
        and most
        == sum(count for text, count in zip(texts, rows, strict=True) if np.isfinite(_second_of_day(text, day_first)))
    ):
        warnings.append(f"The dates of the rows, {shown(days.dictionary[0].as_py())}, were read as month, day, year.")
    return best


def _days_with_short_years(texts: Sequence[str], warnings: list[str]) -> FloatArray:
    """Return the second since 1970 at which each day begins where its year has two digits, NaN where that is not clear.

    It is clear where one order of day, month and year alone fits all dates, or makes of them days that follow each
    other closely, while every other order spreads them over months or years.

    :param texts: the distinct dates in the order of their first row.
    """
    unknown = np.full(len(texts), np.nan)
    shapes = [_SHORT_DATE.fullmatch(text) for text in texts]
    if not all(shapes) or len(texts) > _MOST_SHORT_DATES:
        return unknown
    sign = next(shape[1] for shape in shapes if shape)
    fitting = []
    for order in ("%m{0}%d{0}%y", "%d{0}%m{0}%y", "%y{0}%m{0}%d"):
        days = np.array([_second_of_day(text, order.format(sign)) for text in texts])
        if np.isfinite(days).all() and (np.diff(days) > 0).all():
            fitting.append((float(days[-1] - days[0]), order, days))
    fitting.sort(key=lambda one: one[0])
    if not fitting or (len(fitting) > 1 and not 0 < _CLOSER * fitting[0][0] < fitting[1][0]):
        return unknown
    words = {"d": "day", "m": "month", "y": "year"}
    order_in_words = ", ".join(words[letter] for letter in fitting[0][1] if letter in words)
    warnings.append(f"The dates of the rows, {shown(texts[0])}, were read as {order_in_words}.")
    return fitting[0][2]


@lru_cache(maxsize=1024)
def _second_of_day(text: str, pattern: str) -> float:
    try:
        return datetime.strptime(text, pattern).replace(tzinfo=UTC).timestamp()
    except ValueError:
        return np.nan


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def counted_moments(
    values: FloatArray, facts: dict[str, Any], warnings: list[str], scale: str | None = None
) -> pa.Array | None:
    """Return the time of each row from numbers, or ``None`` with a warning when they count nothing known.

    :param values: seconds or milliseconds since 1970 in UTC, or days as spreadsheets or MATLAB count them; NaN is missing.
    :param facts: receives ``started_at`` from the first row, unless it is known, and ``time_zone`` where assumed.
    :param warnings: receives a sentence where the numbers are days, and where they cannot be times.
    :param scale: one of the keys of :data:`SCALES`; by default the one that fits the size of the first number.
    """
    finite = np.flatnonzero(np.isfinite(values))
    if not len(finite):
        return None
    first = float(values[finite[0]])
    scale = scale or next((name for name, (_, _, least, most) in SCALES.items() if least <= first < most), None)
    if scale is None:
        warnings.append(f"The times of the rows ({first:g}) are not seconds since 1970 and were left out.")
        return None
    factor, origin, _, _ = SCALES[scale]
    seconds = (values - origin) * factor
    known = np.abs(seconds) < _LARGEST_UNIX_SECOND
    microseconds = np.rint(np.where(known, seconds, 0.0) * 1e6).astype(np.int64)
    moments = pa.array(microseconds, pa.int64(), mask=None if known.all() else ~known).cast(_TIMESTAMP)
    if moments[0].is_valid:
        facts.setdefault("started_at", moments[0].as_py().isoformat())
    if "days" in scale:
        facts["time_zone"] = "assumed UTC"
        warnings += [f"The times of the rows ({first:g}) were taken as {scale}.", ASSUMED_ZONE]
    return moments
