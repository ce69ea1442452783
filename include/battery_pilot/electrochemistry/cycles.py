"""Cycle summaries: what went into a cell and came out, between which limits, for how long.

A cycle is what the cycler's ``cycle_count`` says; a file without it is one cycle. Quantities are integrals over the rows
themselves, and the cycler's own counters are only compared with them. Definitions that need care:

* *Interval*: from the row before, in the same file and cycle. Current, power and temperature run linearly between two
  rows, so an interval in which the current changes its sign is split at the zero crossing. An interval longer than
  :data:`LONGEST_INTERVAL_SECOND` or with a missing value at either end is a gap: it adds nothing and is counted.
* *Resting, charging, discharging*: the current is within, above, below a fiftieth of the rated capacity per hour.
* *Capacity*: what the cell delivers from the start of a discharge until the voltage first falls below the minimum
  voltage, the interval that crosses it included. It counts only for a discharge from full that no charging and no gap
  interrupts. Full means within 3 % of the maximum voltage, at no more than C/5 of charging current, either at the row
  before the discharge or at the last charging row before it (an LFP cell relaxes by more than 3 %).
* *DC resistance*: voltage over current change from a resting row to the first row 1..12 s later with more than C/10.
* *Excursion*: voltage beyond a limit by more than 20 mV for at least 5 s. Shorter ones are the overshoot with which
  every cycler ends a step.

:mod:`battery_pilot.electrochemistry.cycles_sql` computes the same for Spark; a test compares the two.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from battery_pilot.errors import AnalysisError

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.condition import Ratings

LONGEST_INTERVAL_SECOND = 3600.0
REST_C_RATE = 0.02
STEP_C_RATE = 0.1
TAPER_C_RATE = 0.2
STEP_DELAY_SECOND = (1.0, 12.0)
FULL_VOLTAGE_FRACTION = 0.97
VOLTAGE_TOLERANCE_VOLT = 0.02
EXCURSION_SECOND = 5.0
FULL_CYCLE_FRACTION = 0.02
COUNTER_RESET_FRACTION = 0.5
"""A counter that falls below this share of its value was reset; a smaller fall is noise."""

COUNTER_TOLERANCE_PERCENT = 1.0
"""A cycle whose integrated charge differs by more from the cycler's own counters is reported."""

REQUIRED_COLUMNS = (
    "battery_id",
    "source_sha256",
    "measured_at",
    "test_time_second",
    "voltage_volt",
    "current_ampere",
)
OPTIONAL_COLUMNS = (
    "cycle_count",
    "step_count",
    "temperature_t1_celsius",
    "charging_capacity_ah",
    "discharging_capacity_ah",
)
"""Columns of the canonical table that a summary uses where they exist."""

SUMMARY_COLUMNS = (
    "battery_id",
    "source_sha256",
    "cycle_count",
    "started_at",
    "ended_at",
    "duration_second",
    "charge_ah",
    "discharge_ah",
    "charge_wh",
    "discharge_wh",
    "counter_charge_ah",
    "counter_discharge_ah",
    "counter_disagreement_percent",
    "minimum_voltage_volt",
    "maximum_voltage_volt",
    "mean_temperature_celsius",
    "maximum_temperature_celsius",
    "capacity_ah",
    "capacity_wh",
    "is_full_cycle",
    "dc_resistance_ohm",
    "dc_resistance_delay_second",
    "time_above_idle_minute",
    "time_below_idle_minute",
    "charging_time_above_idle_minute",
    "charging_time_below_idle_minute",
    "deep_discharge_events",
    "overcharge_events",
    "net_ah_since_empty",
    "gap_second",
    "rows",
)
"""Columns of a summary, one row a cycle."""

Array = NDArray[Any]


class _Limits(NamedTuple):
    """Thresholds of one kind of cell; not-a-number where there is no rating, so that no comparison holds."""

    rest_ampere: float
    step_ampere: float
    taper_ampere: float
    empty_volt: float
    full_volt: float
    deep_volt: float
    over_volt: float
    cold_celsius: float
    hot_celsius: float


class _Log(NamedTuple):
    """Rows in order, as arrays of equal length.

    ``first`` is the position of the first row of each row's file, ``cycle`` numbers the pairs of file and cycle.
    """

    time: Array
    voltage: Array
    current: Array
    temperature: Array
    first: Array
    cycle: Array

    @property
    def follows(self) -> Array:
        """Whether the row before is of the same file."""
        return np.arange(self.time.size) > self.first

    def last(self, flag: Array, *, before: bool = False) -> Array:
        """Return the position of the newest flagged row of the file, up to or before each row; -1 where there is none."""
        newest = np.maximum.accumulate(np.where(flag, np.arange(flag.size), -1))
        if before:
            newest = np.concatenate([[-1], newest[:-1]])
        return np.where(newest >= self.first, newest, -1)


def summarise_cycles(table: pd.DataFrame, ratings: Ratings | None) -> pd.DataFrame:
    """Summarise canonical cycling rows, one row a cycle.

    :param table: columns :data:`REQUIRED_COLUMNS` and any of :data:`OPTIONAL_COLUMNS`, in any row order; several files
        and batteries of the same ratings. Rows are taken by test time within a file; equal times by cycle, step,
        voltage and current, so that the result does not depend on the order in the table. Rows without a test time
        are left out.
    :param ratings: rated values of these batteries; ``None`` leaves every column null that needs them.
    :returns: columns :data:`SUMMARY_COLUMNS`, sorted by battery, source and cycle.
    :raises AnalysisError: a required column is missing.
    """
    missing = [name for name in REQUIRED_COLUMNS if name not in table]
    if missing:
        raise AnalysisError(
            f"cycling table: columns missing: {', '.join(missing)}; use the canonical table of a reader"
        )
    rows, log = _ordered(table)
    limits = _limits(ratings)
    intervals = _intervals(log, limits)
    row_wise = pd.concat([intervals, _counters(rows, log), _events(log, limits)], axis=1)
    cycles = row_wise.groupby(log.cycle).sum()
    cycles = (
        cycles.join(_extremes(rows, log)).join(_capacities(log, limits, intervals)).join(_resistances(log, limits))
    )
    cycles["net_ah_since_empty"] = _net_since_empty(log, limits, intervals)
    return _finished(cycles, ratings)


def _limits(ratings: Ratings | None) -> _Limits:
    if ratings is None:
        return _Limits(*[np.nan] * len(_Limits._fields))
    low, high = ratings.idle_temperature_minimum_celsius, ratings.idle_temperature_maximum_celsius
    return _Limits(
        rest_ampere=REST_C_RATE * ratings.rated_capacity_ah,
        step_ampere=STEP_C_RATE * ratings.rated_capacity_ah,
        taper_ampere=TAPER_C_RATE * ratings.rated_capacity_ah,
        empty_volt=ratings.minimum_voltage_volt,
        full_volt=FULL_VOLTAGE_FRACTION * ratings.maximum_voltage_volt,
        deep_volt=ratings.minimum_voltage_volt - VOLTAGE_TOLERANCE_VOLT,
        over_volt=ratings.maximum_voltage_volt + VOLTAGE_TOLERANCE_VOLT,
        cold_celsius=np.nan if low is None else low,
        hot_celsius=np.nan if high is None else high,
    )


def _ordered(table: pd.DataFrame) -> tuple[pd.DataFrame, _Log]:
    """Sort the rows by file and time and number files and cycles."""
    rows = table.reindex(columns=[*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS])
    rows = rows[rows["test_time_second"].notna()].reset_index(drop=True)
    numbers = [*REQUIRED_COLUMNS[3:], *OPTIONAL_COLUMNS]
    rows[numbers] = rows[numbers].astype("float64")
    # Microseconds, because Spark cannot read nanoseconds from Parquet.
    rows["measured_at"] = pd.to_datetime(rows["measured_at"], utc=True).astype("datetime64[us, UTC]")
    file = rows.groupby(["battery_id", "source_sha256"], dropna=False).ngroup().to_numpy()
    keys = ["current_ampere", "voltage_volt", "step_count", "cycle_count", "test_time_second"]
    order = np.lexsort([rows[key].to_numpy() for key in keys] + [file])
    rows, file = rows.iloc[order].reset_index(drop=True), file[order]
    starts = np.flatnonzero(np.diff(file, prepend=-1))
    return rows, _Log(
        time=rows["test_time_second"].to_numpy(),
        voltage=rows["voltage_volt"].to_numpy(),
        current=rows["current_ampere"].to_numpy(),
        temperature=rows["temperature_t1_celsius"].to_numpy(),
        first=np.repeat(starts, np.diff(starts, append=file.size)),
        cycle=rows.groupby([file, "cycle_count"], dropna=False).ngroup().to_numpy(),
    )


def _previous(values: Array) -> Array:
    """Shift by one row; meaningless at the first row of a file."""
    return np.concatenate([values[:1], values[:-1]])


def _positive_mean(before: Array, after: Array) -> Array:
    """Return the mean of the positive part of a line from one value to another."""
    size = np.abs(before) + np.abs(after)
    positive = np.maximum(before, 0) + np.maximum(after, 0)
    mean: Array = np.divide(positive * positive, 2 * size, out=np.zeros_like(size), where=size > 0)
    return mean


def _intervals(log: _Log, limits: _Limits) -> pd.DataFrame:
    """Integrate over the interval that ends at each row."""
    step = log.time - _previous(log.time)
    inside = log.follows & (log.cycle == _previous(log.cycle))
    short = inside & (step <= LONGEST_INTERVAL_SECOND)
    known = np.isfinite(log.voltage) & np.isfinite(log.current)
    counted = short & known & _previous(known)
    hours = np.where(counted, step / 3600, 0.0)
    current = np.where(known, log.current, 0.0)
    power = np.where(known, log.voltage * log.current, 0.0)
    temperature = (log.temperature + _previous(log.temperature)) / 2
    minutes = np.where(short & np.isfinite(temperature), step / 60, 0.0)
    hot, cold = temperature > limits.hot_celsius, temperature < limits.cold_celsius
    charging = counted & ((current + _previous(current)) / 2 > limits.rest_ampere)
    return pd.DataFrame(
        {
            "charge_ah": _positive_mean(_previous(current), current) * hours,
            "discharge_ah": _positive_mean(-_previous(current), -current) * hours,
            "charge_wh": _positive_mean(_previous(power), power) * hours,
            "discharge_wh": _positive_mean(-_previous(power), -power) * hours,
            "gap_second": np.where(inside & ~counted, step, 0.0),
            "gaps": inside & ~counted,
            "temperature_minute": minutes,
            "temperature_celsius_minute": np.where(minutes > 0, temperature, 0.0) * minutes,
            "time_above_idle_minute": np.where(hot, minutes, 0.0),
            "time_below_idle_minute": np.where(cold, minutes, 0.0),
            "charging_time_above_idle_minute": np.where(hot & charging, minutes, 0.0),
            "charging_time_below_idle_minute": np.where(cold & charging, minutes, 0.0),
        }
    )


def _counters(rows: pd.DataFrame, log: _Log) -> pd.DataFrame:
    """Return by how much the cycler's counters grew at each row, and whether they have a value."""
    result = {}
    for name, column in (("charge", "charging_capacity_ah"), ("discharge", "discharging_capacity_ah")):
        value = rows[column].to_numpy()
        known = np.isfinite(value)
        before = log.last(known, before=True)
        growth = value - value[before]
        reset = np.where(value < COUNTER_RESET_FRACTION * value[before], value, 0.0)
        usable = known & (before >= 0) & (log.cycle == log.cycle[before])
        result[f"counter_{name}_ah"] = np.where(usable, np.where(growth >= 0, growth, reset), 0.0)
        result[f"counter_{name}_rows"] = known.astype(np.int64)
    return pd.DataFrame(result)


def _events(log: _Log, limits: _Limits) -> pd.DataFrame:
    """Mark the row at which an excursion has lasted long enough to count."""
    last_known = log.last(np.isfinite(log.voltage))
    voltage = np.where(last_known >= 0, log.voltage[last_known], np.nan)
    marks = {}
    for name, beyond in (
        ("deep_discharge_events", voltage < limits.deep_volt),
        ("overcharge_events", voltage > limits.over_volt),
    ):
        begins = log.last(beyond & ~(log.follows & _previous(beyond)))
        lasts = log.time - log.time[begins] >= EXCURSION_SECOND
        lasted = log.follows & (_previous(log.time) - log.time[begins] >= EXCURSION_SECOND)
        marks[name] = (beyond & lasts & ~lasted).astype(np.int64)
    return pd.DataFrame(marks)


def _extremes(rows: pd.DataFrame, log: _Log) -> pd.DataFrame:
    """Return identity, limits and sizes of each cycle."""
    return rows.groupby(log.cycle).agg(
        battery_id=("battery_id", "first"),
        source_sha256=("source_sha256", "first"),
        cycle_count=("cycle_count", "first"),
        started_at=("measured_at", "min"),
        ended_at=("measured_at", "max"),
        begins_second=("test_time_second", "min"),
        ends_second=("test_time_second", "max"),
        minimum_voltage_volt=("voltage_volt", "min"),
        maximum_voltage_volt=("voltage_volt", "max"),
        maximum_temperature_celsius=("temperature_t1_celsius", "max"),
        rows=("test_time_second", "size"),
    )


def _capacities(log: _Log, limits: _Limits, intervals: pd.DataFrame) -> pd.DataFrame:
    """Return charge and energy of the first full discharge of each cycle that has one."""
    charging = log.current > limits.rest_ampere
    discharging = log.current < -limits.rest_ampere
    full = (log.voltage >= limits.full_volt) & (log.current <= limits.taper_ampere)
    empty = log.voltage < limits.empty_volt

    newest_active = log.last(charging | discharging, before=True)
    starts = discharging & ((newest_active < 0) | charging[newest_active])
    charged = log.last(charging, before=True)
    from_full = np.where(log.follows, _previous(full), full) | ((charged >= 0) & full[charged])

    start = log.last(starts)
    first_empty = empty & (start >= 0) & (log.last(empty, before=True) < start) & (log.last(charging) < start)
    end = np.flatnonzero(first_empty)
    start = start[end]
    sums = {name: _segment_sums(intervals[name], start, end) for name in ("discharge_ah", "discharge_wh", "gaps")}
    whole = from_full[start] & (sums["gaps"] == 0) & (log.cycle[start] == log.cycle[end])
    found = pd.DataFrame({"capacity_ah": sums["discharge_ah"], "capacity_wh": sums["discharge_wh"]})
    first: pd.DataFrame = found.set_axis(log.cycle[end])[whole].groupby(level=0).first()
    return first


def _segment_sums(values: pd.Series, start: Array, end: Array) -> Array:
    """Sum ``values`` from each start to its end, both included."""
    padded = np.append(values.to_numpy(dtype=np.float64), 0.0)
    if start.size == 0:
        return np.zeros(0)
    edges = np.column_stack([start, end + 1]).ravel()
    sums: Array = np.add.reduceat(padded, edges)[::2]
    return sums


def _resistances(log: _Log, limits: _Limits) -> pd.DataFrame:
    """Return the median resistance of the current steps of each cycle, and the median time after the resting row."""
    resting = (np.abs(log.current) <= limits.rest_ampere) & np.isfinite(log.voltage)
    rest = log.last(resting, before=True)
    delay = log.time - log.time[rest]
    shortest, longest = STEP_DELAY_SECOND
    loaded = (np.abs(log.current) > limits.step_ampere) & np.isfinite(log.voltage)
    candidate = loaded & (rest >= 0) & (delay >= shortest) & (delay <= longest)
    pulse = candidate & (log.last(candidate, before=True) < rest)
    at, since = np.flatnonzero(pulse), rest[pulse]
    resistance = (log.voltage[at] - log.voltage[since]) / (log.current[at] - log.current[since])
    pulses = pd.DataFrame({"dc_resistance_ohm": resistance, "dc_resistance_delay_second": delay[at]})
    medians: pd.DataFrame = pulses.set_axis(log.cycle[at])[resistance > 0].groupby(level=0).median()
    return medians


def _net_since_empty(log: _Log, limits: _Limits, intervals: pd.DataFrame) -> pd.Series:
    """Return the net charge of each cycle after its last row below the minimum voltage."""
    net = (intervals["charge_ah"] - intervals["discharge_ah"]).groupby(log.first).cumsum()
    empty = log.voltage < limits.empty_volt
    return net.groupby(log.cycle).last() - net[empty].groupby(log.cycle[empty]).last()


def _finished(cycles: pd.DataFrame, ratings: Ratings | None) -> pd.DataFrame:
    """Derive what follows from the sums, and put null where there is nothing to say."""
    cycles = cycles.reset_index(drop=True)
    cycles["duration_second"] = cycles["ends_second"] - cycles["begins_second"]
    known_temperature = cycles["temperature_minute"] > 0
    mean = cycles["temperature_celsius_minute"] / cycles["temperature_minute"]
    cycles["mean_temperature_celsius"] = mean.where(known_temperature)
    for name in ("charge", "discharge"):
        column = f"counter_{name}_ah"
        cycles[column] = cycles[column].where(cycles[f"counter_{name}_rows"] > 0)
    cycles["counter_disagreement_percent"] = _disagreement(cycles)
    for side, limit in (
        ("above", ratings and ratings.idle_temperature_maximum_celsius),
        ("below", ratings and ratings.idle_temperature_minimum_celsius),
    ):
        for column in (f"time_{side}_idle_minute", f"charging_time_{side}_idle_minute"):
            cycles[column] = cycles[column].where(known_temperature & (limit is not None))
    for column in ("deep_discharge_events", "overcharge_events"):
        cycles[column] = cycles[column].astype("Int64").mask(np.full(len(cycles), ratings is None))
    restored = (cycles["charge_ah"] - cycles["discharge_ah"]).abs() <= FULL_CYCLE_FRACTION * cycles["discharge_ah"]
    cycles["is_full_cycle"] = cycles["capacity_ah"].notna() & restored
    cycles["cycle_count"] = cycles["cycle_count"].astype("Int64")
    return cycles[list(SUMMARY_COLUMNS)]


def _disagreement(cycles: pd.DataFrame) -> pd.Series:
    """Return the larger difference between integral and counter, percent of the cycle's larger throughput."""
    columns = ["charge_ah", "discharge_ah"]
    counters = cycles[["counter_charge_ah", "counter_discharge_ah"]].set_axis(columns, axis=1)
    difference = (cycles[columns] - counters).abs().max(axis=1)
    throughput = pd.concat([cycles[columns], counters], axis=1).max(axis=1)
    return (100 * difference / throughput).where(throughput > 0)
