"""What runs up over the intervals of a log: charge, energy, times, counters, excursions."""

from __future__ import annotations

import numpy as np

from battery_pilot.electrochemistry.definitions import (
    COUNTER_RESET_FRACTION,
    COUNTERS,
    EXCURSION_SECOND,
    LONGEST_INTERVAL_SECOND,
    Limits,
)
from battery_pilot.electrochemistry.rows import Array, Log, previous


def intervals(log: Log, limits: Limits) -> dict[str, Array]:
    """Integrate over the interval that ends at each row.

    :returns: charge and energy in both directions, the charge taken at the held voltage, and gaps.
    """
    inside = np.ones(log.time.size, dtype=bool)
    inside[log.runs] = False
    step = log.time - previous(log.time, 0.0)
    known = np.isfinite(log.voltage) & np.isfinite(log.current)
    counted = inside & (step <= LONGEST_INTERVAL_SECOND) & known & previous(known, False)
    hours = np.where(counted, step / 3600, 0.0)
    current = np.where(known, log.current, 0.0)
    power = np.where(known, log.voltage * log.current, 0.0)
    charge_ah, discharge_ah = _both_ways(current, hours)
    charge_wh, discharge_wh = _both_ways(power, hours)
    held = (log.voltage >= limits.held_volt) & (log.current > limits.rest_ampere)
    gap = inside & ~counted
    return {
        "charge_ah": charge_ah,
        "discharge_ah": discharge_ah,
        "charge_wh": charge_wh,
        "discharge_wh": discharge_wh,
        "held_ah": np.where(held & previous(held, False), charge_ah, 0.0),
        "gap_second": np.where(gap, step, 0.0),
        "gaps": gap,
    }


def _both_ways(values: Array, hours: Array) -> tuple[Array, Array]:
    """Integrate the positive and the negative part of a line from each row to the next, split where it crosses zero."""
    positive = np.maximum(values, 0.0)
    negative = positive - values
    up, down = positive + previous(positive, 0.0), negative + previous(negative, 0.0)
    size = 2 * (up + down)
    size[size == 0] = 1.0
    return up * (up / size) * hours, down * (down / size) * hours


def temperature_times(log: Log, limits: Limits) -> dict[str, Array]:
    """Return minutes with a known temperature, their product with it, and the minutes beyond the idle range.

    :returns: nothing where no temperature was measured.
    """
    values = log.columns.get("temperature_t1_celsius")
    if values is None:
        return {}
    step = log.time - previous(log.time, 0.0)
    inside = step <= LONGEST_INTERVAL_SECOND
    inside[log.runs] = False
    celsius = (values + previous(values, np.nan)) / 2
    minutes = np.where(inside & np.isfinite(celsius), step / 60, 0.0)
    mean_ampere = (log.current + previous(log.current, np.nan)) / 2
    charging = np.isfinite(log.voltage + previous(log.voltage, np.nan)) & (mean_ampere > limits.rest_ampere)
    hot = np.where(celsius > limits.hot_celsius, minutes, 0.0)
    cold = np.where(celsius < limits.cold_celsius, minutes, 0.0)
    return {
        "temperature_minute": minutes,
        "temperature_celsius_minute": np.where(minutes > 0, celsius, 0.0) * minutes,
        "time_above_idle_minute": hot,
        "time_below_idle_minute": cold,
        "charging_time_above_idle_minute": np.where(charging, hot, 0.0),
        "charging_time_below_idle_minute": np.where(charging, cold, 0.0),
    }


def counted_by_cycler(log: Log) -> dict[str, Array]:
    """Return by how much the cycler's counters grew in each cycle, not-a-number where they have no value."""
    return {
        f"counter_{name}": _growth(log, log.columns[column])
        for name, column in COUNTERS.items()
        if column in log.columns
    }


def _growth(log: Log, values: Array) -> Array:
    known = np.flatnonzero(np.isfinite(values))
    total = np.full(log.cycles, np.nan)
    if known.size == 0:
        return total
    value, cycle = values[known], log.cycle[known]
    before = previous(value, 0.0)
    reset = np.where(value < COUNTER_RESET_FRACTION * before, value, 0.0)
    growth = np.where(value >= before, value - before, reset)
    growth[cycle != previous(cycle, -1)] = 0.0
    sums = np.bincount(cycle, weights=growth, minlength=log.cycles)
    return np.where(np.bincount(cycle, minlength=log.cycles) > 0, sums, np.nan)


def excursions(log: Log, beyond: Array) -> Array:
    """Count the lasting excursions of each cycle.

    :param beyond: whether the voltage is beyond a limit; a row without voltage is like the one before.
    """
    known = np.isfinite(log.voltage)
    if not known.all():
        newest = log.last(known)
        beyond = (newest >= 0) & beyond[newest]
    # Few rows are beyond a limit, so only they are looked at.
    at = np.flatnonzero(beyond)
    begins = (np.diff(at, prepend=-2) > 1) | (log.first[at] == at)
    begin = at[np.maximum.accumulate(np.where(begins, np.arange(at.size), 0))]
    lasts = log.time[at] - log.time[begin] >= EXCURSION_SECOND
    counts: Array = np.bincount(log.cycle[at[lasts & ~previous(lasts, False)]], minlength=log.cycles)
    return counts
