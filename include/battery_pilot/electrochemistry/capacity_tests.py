"""Capacity tests in a log: full charges and discharges at a low, constant rate, and the peaks of their dQ/dV.

A test leads from one end of the voltage range to the other at no more than C/2.5 (ISO 12405-4 asks for C/3,
pseudo-open-circuit curves for C/20 and less). Rests of up to two minutes, as intermittent current interruption makes them,
belong to it; so does the phase at constant voltage of a charge. What a battery gives after more than a day of storage is no
capacity.

The ends of the voltage range are the rated ones; without ratings they are those of the log itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from battery_pilot.electrochemistry.condition import Ratings
from battery_pilot.electrochemistry.definitions import (
    CONSTANT_VOLTAGE_FRACTION,
    FULL_VOLTAGE_FRACTION,
    LONGEST_INTERVAL_SECOND,
    PULSE_CURRENT_FRACTION,
    STORAGE_SECOND,
    VOLTAGE_TOLERANCE_FRACTION,
)
from battery_pilot.electrochemistry.incremental_capacity import Peak, incremental_capacity
from battery_pilot.electrochemistry.rows import MISSING_TIME, Array, Log, previous
from battery_pilot.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Iterator

RESTING_C_RATE = 0.005
"""Slower than any test: a pseudo-open-circuit curve at C/50 is no rest."""

LARGEST_C_RATE = 0.4
PEAKS_C_RATE = 0.21
"""Up to C/5 the peaks of dQ/dV are those of the electrodes and not of the overvoltage."""

STEADY_FRACTION = 0.9
"""Share of the rows that must have the current of the test."""

INTERRUPTION_SECOND = 120.0
UNRATED_FRACTION = 0.8
"""Without ratings a test moves at least this share of the largest charge that the log moves in one go."""

EMPTY_WINDOW_FRACTION = 0.15
"""A battery that nothing is known of is empty while it rests in this lowest part of the voltage range."""


@dataclass(frozen=True)
class CapacityTest:
    """A full charge or discharge.

    :param charging: its direction.
    :param begin_second: test time of the row before it.
    :param end_second: test time of its last row.
    :param capacity_ah: charge that went through.
    :param energy_wh: energy that went through.
    :param c_rate: median current, without the phase at constant voltage, over the rated capacity (without ratings: over
        the largest charge of the log), 1/h.
    :param temperature_celsius: time-weighted mean at the surface; ``None`` where it was not measured.
    :param peaks: of dQ/dV, by voltage; empty above C/5 and where the log is too coarse.
    """

    charging: bool
    begin_second: float
    end_second: float
    capacity_ah: float
    energy_wh: float
    c_rate: float
    temperature_celsius: float | None
    peaks: tuple[Peak, ...]


class _Sweeps(NamedTuple):
    """First and last row of each charge and discharge, and whether it charges."""

    first: Array
    last: Array
    charging: Array


@dataclass(frozen=True, eq=False)
class Course:
    """A log and what a test is judged by.

    :param ratings: the rated values, or those of the log itself.
    :param rated: which of the two.
    :param direction: of each row, -1 discharging, 0 resting, 1 charging.
    :param active: positions of the rows that charge or discharge.
    :param ah: charge minus discharge up to each row.
    :param wh: the same of the energy.
    :param passed_ah: charge plus discharge up to each row.
    :param gaps: intervals up to each row that were too long to integrate.
    """

    log: Log
    ratings: Ratings
    rated: bool
    direction: Array
    active: Array
    ah: Array
    wh: Array
    passed_ah: Array
    gaps: Array


def runs_of(values: Array) -> tuple[Array, Array]:
    """Return first and last position of each run of equal values."""
    first = np.flatnonzero(np.r_[True, values[1:] != values[:-1]][: values.size])
    return first, np.append(first[1:], values.size) - 1 if values.size else first


def moment(log: Log, row: int) -> datetime | None:
    """Return the time of day of a row, UTC; ``None`` where the log has none."""
    microseconds = int(log.measured_at[row])
    return (
        None
        if microseconds == MISSING_TIME
        else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=microseconds)
    )


def course_of(log: Log, ratings: Ratings | None) -> Course | None:
    """Integrate a log; ``None`` where nothing flows."""
    step = np.diff(log.time, prepend=log.time[0])
    known = step <= LONGEST_INTERVAL_SECOND
    hours = np.where(known, step / 3600, 0.0)

    def integral(values: Array) -> Array:
        return np.cumsum(hours * (values + previous(values, 0.0)) / 2)

    ah = integral(log.current)
    rest_ampere = RESTING_C_RATE * (ratings.rated_capacity_ah if ratings else float(np.abs(log.current).max()))
    direction = np.sign(log.current) * (np.abs(log.current) > rest_ampere)
    limits = ratings or _observed(log, direction, ah)
    if limits is None:
        return None
    return Course(
        log=log,
        ratings=limits,
        rated=ratings is not None,
        direction=direction,
        active=np.flatnonzero(direction),
        ah=ah,
        wh=integral(log.voltage * log.current),
        passed_ah=integral(np.abs(log.current)),
        gaps=np.cumsum(~known),
    )


def _observed(log: Log, direction: Array, ah: Array) -> Ratings | None:
    """Take the capacity and the ends of the voltage range from the log; ``None`` where it has none."""
    sweeps = _sweeps(log, direction)
    # The extremes themselves may be glitches.
    low, high = np.percentile(log.voltage, (0.5, 99.5)).tolist()
    if sweeps.first.size == 0 or not 0 < low < high:
        return None
    largest = float(np.abs(ah[sweeps.last] - ah[np.maximum(sweeps.first - 1, 0)]).max())
    return (
        Ratings(rated_capacity_ah=largest, minimum_voltage_volt=low, maximum_voltage_volt=high)
        if largest > 0
        else None
    )


def _sweeps(log: Log, direction: Array) -> _Sweeps:
    """Find charges and discharges; short rests do not end one."""
    runs, last = runs_of(direction)
    begins, ends = log.time[np.maximum(runs - 1, 0)], log.time[np.minimum(last + 1, log.time.size - 1)]
    counts = (direction[runs] != 0) | (ends - begins > INTERRUPTION_SECOND)
    runs, last = runs[counts], last[counts]
    firsts, lasts = runs_of(direction[runs])
    active = direction[runs[firsts]] != 0
    first, end = runs[firsts][active], last[lasts][active]
    return _Sweeps(first, end, direction[first] > 0)


def capacity_tests(course: Course) -> Iterator[CapacityTest]:
    """Yield the charges and discharges that are capacity tests."""
    sweeps, ah = _sweeps(course.log, course.direction), course.ah
    moved = np.abs(ah[sweeps.last] - ah[np.maximum(sweeps.first - 1, 0)])
    # Without ratings the range is that of the log, which a partial charge may span as well.
    least = (0.0 if course.rated else UNRATED_FRACTION) * course.ratings.rated_capacity_ah
    for number in np.flatnonzero((moved > 0) & (moved >= least)).tolist():
        first, last = int(sweeps.first[number]), int(sweeps.last[number])
        charging = bool(sweeps.charging[number])
        if _is_whole(course, first, last, charging=charging):
            test = _capacity_test(course, first, last, charging=charging)
            if test is not None:
                yield test


def _is_whole(course: Course, first: int, last: int, *, charging: bool) -> bool:
    """Tell whether a sweep leads from one end of the voltage range to the other without a gap."""
    voltage, before = course.log.voltage, max(first - 1, 0)
    low, high = course.ratings.minimum_voltage_volt, course.ratings.maximum_voltage_volt
    empty, full = (1 + VOLTAGE_TOLERANCE_FRACTION) * low, FULL_VOLTAGE_FRACTION * high
    if course.gaps[last] != course.gaps[before]:
        return False
    swept = voltage[first : last + 1]
    if (swept.max() < full) if charging else (swept.min() > empty):
        return False
    place = int(np.searchsorted(course.active, first)) - 1
    last_active = int(course.active[place])
    stored = place >= 0 and course.log.time[first] - course.log.time[last_active] >= STORAGE_SECOND
    end = voltage[last_active] if place >= 0 else np.nan
    if charging:
        return bool(end <= empty or voltage[before] <= low + EMPTY_WINDOW_FRACTION * (high - low))
    return not stored and bool(end >= full or voltage[before] >= full)


def _capacity_test(course: Course, first: int, last: int, *, charging: bool) -> CapacityTest | None:
    """Measure a sweep; ``None`` where its current is not that of a test."""
    log, before, rows = course.log, max(first - 1, 0), slice(first, last + 1)
    voltage, current = log.voltage[rows], np.abs(log.current[rows])
    driven = course.direction[rows] != 0
    if charging:
        driven &= voltage < CONSTANT_VOLTAGE_FRACTION * voltage.max()
    if not driven.any():
        return None
    ampere = float(np.median(current[driven]))
    c_rate = ampere / course.ratings.rated_capacity_ah
    steady = np.abs(current[driven] - ampere) <= PULSE_CURRENT_FRACTION * ampere
    if c_rate > LARGEST_C_RATE or steady.mean() < STEADY_FRACTION:
        return None
    return CapacityTest(
        charging=charging,
        begin_second=float(log.time[before]),
        end_second=float(log.time[last]),
        capacity_ah=float(abs(course.ah[last] - course.ah[before])),
        energy_wh=float(abs(course.wh[last] - course.wh[before])),
        c_rate=c_rate,
        temperature_celsius=_mean_temperature(log, before, last),
        peaks=_peaks(voltage[driven], course.ah[rows][driven]) if c_rate <= PEAKS_C_RATE else (),
    )


def _peaks(voltage: Array, ah: Array) -> tuple[Peak, ...]:
    try:
        return incremental_capacity(voltage, ah).peaks
    except AnalysisError:  # too coarse: the test is sound, only its derivative is not
        return ()


def _mean_temperature(log: Log, first: int, last: int) -> float | None:
    celsius = log.columns.get("temperature_t1_celsius")
    if celsius is None:
        return None
    middle = (celsius[first:last] + celsius[first + 1 : last + 1]) / 2
    weight = np.where(np.isfinite(middle), np.diff(log.time[first : last + 1]), 0.0)
    return float(np.average(np.nan_to_num(middle), weights=weight)) if weight.sum() > 0 else None
