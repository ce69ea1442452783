"""The times of a field log's rows: numbers of seconds, numbers since 1970, or dates."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa

from battery_pilot.measurements.row_times import row_moments
from battery_pilot.measurements.text import shown, to_float
from battery_pilot.measurements.times import ASSUMED_ZONE
from battery_pilot.measurements.units import split_unit, unit_of

if TYPE_CHECKING:
    from battery_pilot.measurements.delimited import DelimitedTable
    from battery_pilot.measurements.tables import FloatArray

_TIMESTAMP = pa.timestamp("us", tz="UTC")
# Since 1970: 1973 to 2200 in seconds, and the same in milliseconds; no log lasts that long.
_EARLIEST_SECOND, _LATEST_SECOND = 1e8, 7.3e9
_EARLIEST_MILLISECOND, _LATEST_MILLISECOND = 1e11, 7.3e12


class Clock(NamedTuple):
    """How the cells of a log's time column are to be read.

    :param unit: of numbers; ``None`` leaves it to the heading and the numbers.
    :param format: of dates, as ``strptime`` knows it; ``None`` tries the usual ones.
    :param zone: of dates that have none.
    """

    unit: str | None
    format: str | None
    zone: str


def row_times(
    table: DelimitedTable,
    index: int,
    heading: str,
    first: str,
    clock: Clock,
    facts: dict[str, Any],
    warnings: list[str],
) -> tuple[pa.Array | None, FloatArray]:
    """Return the moment of each row, where the log tells it, and its seconds since the first one.

    :param table: the log.
    :param index: position of its time column.
    :param heading: of that column.
    :param first: text of its first filled cell, which tells numbers from dates.
    :param clock: how to read it.
    :param facts: receives ``started_at`` and ``time_zone``.
    :param warnings: receives a sentence about each guess.
    :raises MeasurementError: for a cell that is neither number nor date.
    """
    if clock.format is None and to_float(first, decimal_comma=True) is not None:
        return _numbers(table, index, heading, clock, facts, warnings)
    texts = table.text(index)
    moments = (
        row_moments(texts, facts, warnings) if clock.format is None else _dates(texts, clock.format, facts, warnings)
    )
    if moments is None or moments.null_count == len(moments):
        wanted = "numbers or usual dates" if clock.format is None else f"dates like {clock.format}"
        table.refuse(0, f"{heading}: expected {wanted}, found {shown(first)}")
    moments = _in_zone(moments, clock.zone, facts, warnings)
    return moments, _since_first(moments)


def _numbers(
    table: DelimitedTable, index: int, heading: str, clock: Clock, facts: dict[str, Any], warnings: list[str]
) -> tuple[pa.Array | None, FloatArray]:
    unit = unit_of(clock.unit) if clock.unit else split_unit(heading, {"second"})[1]
    seconds = table.optional(index, heading, 1.0 if unit is None else unit.factor)
    if seconds is None:
        seconds = table.required(index)
    known = seconds[np.isfinite(seconds)]
    first = float(known[0]) if len(known) else 0.0
    if unit is None and _EARLIEST_MILLISECOND <= first < _LATEST_MILLISECOND:
        seconds, first = seconds / 1000, first / 1000
        warnings.append(f"{shown(heading)} was taken as milliseconds since 1970.")
    elif unit is None and first < _EARLIEST_SECOND:
        warnings.append(f"{shown(heading)} has no unit and was taken as seconds.")
    if not _EARLIEST_SECOND <= first < _LATEST_SECOND:
        return None, seconds
    sane = (seconds >= _EARLIEST_SECOND) & (seconds < _LATEST_SECOND)
    microseconds = np.rint(np.where(sane, seconds, 0.0) * 1e6).astype(np.int64)
    moments = pa.array(microseconds, pa.int64(), mask=~sane).cast(_TIMESTAMP)
    facts.setdefault("started_at", moments.drop_null()[0].as_py().isoformat())
    return moments, np.where(sane, seconds - first, np.nan)


def _dates(texts: pa.ChunkedArray, pattern: str, facts: dict[str, Any], warnings: list[str]) -> pa.Array | None:
    """Return the dates of one format; those without a zone as if they were UTC, which ``time_zone`` tells."""
    column = pd.Series(texts.to_pylist(), dtype="string").str.strip()
    try:
        moments = pd.to_datetime(column, format=pattern, utc=True, errors="coerce")
    except ValueError:
        return None
    lost = int(moments.isna().sum() - (column.fillna("") == "").sum())
    if lost:
        warnings.append(f"{lost} times of rows are not like {pattern} and were left out.")
    if "%z" not in pattern and "%Z" not in pattern:
        facts["time_zone"] = "assumed UTC"
        warnings.append(ASSUMED_ZONE)
    return pa.array(moments.dt.as_unit("us"), _TIMESTAMP)


def _in_zone(moments: pa.Array, zone: str, facts: dict[str, Any], warnings: list[str]) -> pa.Array:
    """Shift moments that were taken as UTC, because they have no zone, to the zone that is known."""
    if facts.get("time_zone") is not None and zone != "UTC":
        local = moments.to_pandas().dt.tz_localize(None)
        shifted = local.dt.tz_localize(ZoneInfo(zone), ambiguous="NaT", nonexistent="NaT").dt.tz_convert(UTC)
        lost = int(shifted.isna().sum() - local.isna().sum())
        if lost:
            warnings.append(f"{lost} times lie in an hour that {zone} has twice or not at all, and were left out.")
        moments = pa.array(shifted.dt.as_unit("us"), _TIMESTAMP)
        del facts["time_zone"]
        facts.pop("started_at", None)
        warnings.remove(ASSUMED_ZONE)
    known = moments.drop_null()
    if len(known):
        facts["started_at"] = known[0].as_py().isoformat()
    return moments


def _since_first(moments: pa.Array) -> FloatArray:
    """Return the seconds since the first moment, missing as NaN."""
    microseconds = moments.cast(pa.int64()).to_numpy(zero_copy_only=False).astype(np.float64)
    known = microseconds[np.isfinite(microseconds)]
    seconds: FloatArray = (microseconds - (known[0] if len(known) else 0.0)) / 1e6
    return seconds
