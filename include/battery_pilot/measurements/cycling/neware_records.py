"""What Neware's binary files have in common: the records, units by the range of the current, dates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from battery_pilot.measurements.cycling.log import running_time, step_begins

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

IntArray = np.ndarray[Any, np.dtype[np.signedinteger[Any]]]
Moments = np.ndarray[Any, np.dtype[np.datetime64]]

COPY_AGAIN = "copy the file again, or export it from BTSDA as CSV"
# Unit of current and charge by the range of the channel, which is negative for those with several ranges.
_RANGES = {
    0.0: (0,),
    1e-5: (-1, -2, -5),
    1e-4: (-10, -20, -25, -50, 1, 2, 5),
    1e-3: (-100, -500, 10, 20, 25, 50),
    1e-2: (
        *(-1000, -2000, -3000, -5000, -6000, -10000, -12000, -20000, -30000, -40000, -50000, -60000),
        *(-100000, -200000, 100, 200, 250, 500),
    ),
    1e-1: (1000, 6000, 10000, 12000, 20000, 30000, 40000, 50000, 60000, 100000, 200000),
    1e1: (-100000000,),
}
_MILLIAMPERE = {number: unit for unit, numbers in _RANGES.items() for number in numbers}
# The beginning of 2201; a later time is a damaged one.
_LATEST_MILLISECOND = 7_289_654_400_000
_LATEST_YEAR = 2200


class Records(NamedTuple):
    """The records of a test in ascending order, each number once.

    :param number: number of each record in the test, from 1.
    :param columns: canonical name to values.
    :param moments: time of each record in UTC, null where it is not known.
    :param zone_is_known: whether the file has its times in UTC; otherwise they are those of an unknown zone.
    :param left_out: columns that have no place in the canonical table.
    """

    number: IntArray
    columns: dict[str, Any]
    moments: pa.Array
    zone_is_known: bool
    left_out: tuple[str, ...] = ()


def records_of(
    number: IntArray,
    step_time_second: FloatArray,
    columns: dict[str, Any],
    moments: Moments,
    *,
    zone_is_known: bool = True,
    left_out: tuple[str, ...] = (),
) -> Records:
    """Return records with the time of the test, from those with the time of the step.

    :param number: ascending numbers of the records.
    :param step_time_second: time since the beginning of the step, or of the test where it never runs backwards.
    :param columns: canonical name to values; receives the time of the test.
    :param moments: time of each record, ``NaT`` where it is not known.
    :param zone_is_known: see :class:`Records`.
    :param left_out: see :class:`Records`.
    """
    begins = step_begins(step_time_second, columns["step_count"])
    columns["test_time_second"] = running_time(step_time_second, begins)
    stamps = pa.array(moments, pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    return Records(number, columns, stamps, zone_is_known, left_out)


def layout(size: int, **fields: tuple[int, str]) -> np.dtype[np.void]:
    """Return the layout of records.

    :param size: length in byte.
    :param fields: where each field begins, and its type.
    """
    return np.dtype(
        {
            "names": list(fields),
            "offsets": [offset for offset, _ in fields.values()],
            "formats": [kind for _, kind in fields.values()],
            "itemsize": size,
        }
    )


def ascending(records: Any) -> Any:
    """Return the records in the order of their numbers; of those with the same number the first.

    :param records: structured array with the field ``number``.
    """
    numbers = records["number"]
    if (numbers[1:] > numbers[:-1]).all():
        return records
    return records[np.unique(numbers, return_index=True)[1]]


def each_once(records: Any, warnings: list[str]) -> Any:
    """Return the records in the order of their numbers, and tell how many have the number of another one.

    :param records: structured array with the field ``number``.
    :param warnings: receives a sentence about records that were left out.
    """
    kept = ascending(records)
    if len(kept) < len(records):
        warnings.append(f"{len(records) - len(kept)} records with the number of an earlier one were left out.")
    return kept


def ampere_of_range(source: Source, ranges: Any) -> FloatArray:
    """Return the unit of current and charge in ampere for the range of each record.

    :param source: the file.
    :param ranges: whole numbers as the file has them.
    :raises MeasurementError: for a range with an unknown unit.
    """
    known, position = np.unique(ranges, return_inverse=True)
    unknown = [str(number) for number in known.tolist() if number not in _MILLIAMPERE]
    if unknown:
        problem = f"unknown range {', '.join(unknown[:5])} of the current; export the test from BTSDA as CSV"
        raise source.error("records", problem)
    units = np.array([_MILLIAMPERE[number] for number in known.tolist()], dtype=np.float64)
    return units[position] * 1e-3


def counted_steps(step: Any) -> IntArray:
    """Return the number, from 1, of the step of each record.

    :param step: any number that changes from one step to the next.
    """
    begins = np.ones(len(step), dtype=np.int32)
    begins[1:] = step[1:] != step[:-1]
    return np.cumsum(begins, dtype=np.int32)


def moments_of(milliseconds: IntArray) -> Moments:
    """Return times from milliseconds since 1970; ``NaT`` for those that can only be damaged."""
    is_time = (milliseconds > 0) & (milliseconds < _LATEST_MILLISECOND)
    microseconds = milliseconds * 1000 if is_time.all() else np.where(is_time, milliseconds, 0) * 1000
    moments = microseconds.view("datetime64[us]")
    moments[~is_time] = np.datetime64("NaT")
    return moments


def calendar_moments(records: Any) -> Moments:
    """Return times from the fields year, month, day, hour, minute and second; ``NaT`` where they are no date."""
    year, month, day, hour, minute, second = (
        records[name].astype(np.int64) for name in ("year", "month", "day", "hour", "minute", "second")
    )
    is_time = (year >= 1970) & (year <= _LATEST_YEAR) & (month >= 1) & (month <= 12)
    is_time &= (day >= 1) & (hour < 24) & (minute < 60) & (second < 60)
    months = np.where(is_time, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    is_time &= days.astype("datetime64[M]") == months
    moments: Moments = days.astype("datetime64[us]") + (((hour * 60 + minute) * 60 + second) * 1_000_000).astype(
        "timedelta64[us]"
    )
    moments[~is_time] = np.datetime64("NaT")
    return moments


def at_records(number: IntArray, other: Any, values: Any, factor: float = 1.0) -> FloatArray:
    """Return values of an auxiliary channel for the records of the test, NaN where it has none.

    :param number: ascending numbers of the records.
    :param other: numbers of the records that the values belong to.
    :param values: values of the auxiliary channel.
    :param factor: unit of the values.
    """
    column = np.full(len(number), np.nan)
    if len(number):
        position = np.minimum(np.searchsorted(number, other), len(number) - 1)
        fits = number[position] == other
        column[position[fits][::-1]] = values[fits][::-1] * factor
    return column
