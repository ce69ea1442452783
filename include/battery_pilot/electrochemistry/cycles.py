"""Cycle summaries: what went into a battery and came out, between which limits, for how long.

A cycle is what the cycler's ``cycle_count`` says; a file without it, such as a field log, is one cycle. Quantities are
integrals over the rows themselves, and the cycler's own counters are only compared with them. Definitions that need
care, with their thresholds in :mod:`battery_pilot.electrochemistry.definitions`:

* *Interval*: from the row before, in the same file and cycle. Current, power and temperature run linearly between two
  rows, so an interval in which the current changes its sign is split at the zero crossing. An interval longer than an
  hour or with a missing value at either end is a gap: it adds nothing and is counted.
* *Resting, charging, discharging*: the current is within, above, below a fiftieth of the rated capacity per hour.
  *End voltages* are those of the last charging and the last discharging row.
* *Capacity*: what the battery delivers from the start of a discharge until it is empty: the voltage first falls to the
  minimum voltage, the interval that crosses it included. A cycler may write its last row up to 0.01 % above. It counts only for a discharge from full that no charging and no gap
  interrupts. Full means within 3 % of the maximum voltage, at no more than C/5 of charging current, either at the row
  before the discharge or at the last charging row before it (an LFP cell relaxes by more than 3 %). A battery that was
  charged a day before or earlier has lost charge since: what it then delivers is the *retained* charge, no capacity.
* *Constant-voltage share*: part of the charge that is taken in within 0.25 % of the maximum voltage or above; null for
  a cycle that never charges there.
* *Efficiencies*: discharge over charge of a cycle with a full discharge and with a charge that ends full.
* *DC resistance*: voltage over current change from a resting row to the first row 1..12 s later with more than C/10.
  *Pulse resistance*: the same 9.5..12 s later, where the current stays within 10 % of that with which the load began.
* *Power* at 80 and 20 % state of charge: minimum voltage x (resting voltage - minimum voltage) / pulse resistance, as in
  the USABC battery test manual: linear between the discharge pulses beside it, at most 12 % away, else that of the
  nearest one, at most 5 % away. The state of charge is that between the newest full row and the next empty row of the
  file.
* *Excursion*: voltage beyond a limit by more than 20 mV and 0.5 % for at least 5 s. Shorter ones are the overshoot with
  which every cycler ends a step.

:mod:`battery_pilot.electrochemistry.cycles_sql` computes the same for Spark; a test compares the two.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from battery_pilot.electrochemistry.definitions import (
    COUNTER_TOLERANCE_PERCENT,
    FULL_CYCLE_FRACTION,
    SUMMARY_COLUMNS,
    Limits,
    limits_of,
)
from battery_pilot.electrochemistry.discharges import capacities, net_since_empty, states
from battery_pilot.electrochemistry.integrals import counted_by_cycler, excursions, intervals, temperature_times
from battery_pilot.electrochemistry.rows import MISSING_TIME, Array, Log, numbered
from battery_pilot.electrochemistry.steps import pulses, pulses_by_cycle, resistances, steps_of

if TYPE_CHECKING:
    import pyarrow as pa

    from battery_pilot.electrochemistry.condition import Ratings

__all__ = ["COUNTER_TOLERANCE_PERCENT", "SUMMARY_COLUMNS", "summarise_cycles"]

_KEYS = ["battery_id", "source_sha256", "cycle_count"]


def summarise_cycles(table: pd.DataFrame | pa.Table, ratings: Ratings | None) -> pd.DataFrame:
    """Summarise canonical cycling rows, one row a cycle.

    :param table: columns :data:`~.definitions.REQUIRED_COLUMNS` and any of :data:`~.definitions.OPTIONAL_COLUMNS`, in
        any row order; several files and batteries of the same ratings. Rows are taken by test time within a file; equal
        times by cycle, step, voltage and current, so that the result does not depend on the order in the table. Rows
        without a test time are left out. An Arrow table is faster, most of all with dictionaries for the ids.
    :param ratings: rated values of these batteries; ``None`` leaves every column null that needs them.
    :returns: columns :data:`~.definitions.SUMMARY_COLUMNS`, sorted by battery, source and cycle.
    :raises AnalysisError: a required column is missing.
    """
    rows = numbered(table)
    summarise = partial(_summarise, limits=limits_of(ratings))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        parts = list(pool.map(summarise, rows.blocks()))
    cycles = _joined(parts) if parts else _empty()
    files = rows.files.iloc[cycles.pop("file")].reset_index(drop=True)
    return _finished(pd.concat([files, cycles], axis=1), ratings).sort_values(_KEYS, ignore_index=True)


class _Part(NamedTuple):
    """Summary of a block: values of every cycle, and discharges, steps and pulses with the number of their cycle."""

    cycles: dict[str, Array]
    discharges: dict[str, Array]
    steps: dict[str, Array]
    pulses: dict[str, Array]


def _summarise(log: Log, limits: Limits) -> _Part:
    """Summarise one block of rows."""
    flows = intervals(log, limits)
    state = states(log, limits, flows)
    sums = {**flows, **temperature_times(log, limits)}
    steps = steps_of(log, limits)
    known = np.isfinite(log.voltage)
    cycles = {
        **{name: log.by_cycle(np.add, values, 0) for name, values in sums.items()},
        **_extremes(log),
        **counted_by_cycler(log),
        "charge_end_voltage_volt": log.at_last(state.charging & known, log.voltage),
        "discharge_end_voltage_volt": log.at_last(state.discharging & known, log.voltage),
        "charges_held": log.by_cycle(np.logical_or, state.charging & (log.voltage >= limits.held_volt), False),
        "charges_full": log.by_cycle(np.logical_or, state.charging & state.full, False),
        "deep_discharge_events": excursions(log, log.voltage < limits.deep_volt),
        "overcharge_events": excursions(log, log.voltage > limits.over_volt),
        "net_ah_since_empty": net_since_empty(log, state),
    }
    return _Part(
        cycles, capacities(log, state, flows), resistances(log, steps), pulses(log, limits, state, flows, steps)
    )


def _joined(parts: list[_Part]) -> pd.DataFrame:
    """Put the summaries of the blocks together."""
    offsets = np.cumsum([0, *(part.cycles["rows"].size for part in parts[:-1])])

    def table(kind: str) -> pd.DataFrame:
        blocks = [getattr(part, kind) for part in parts]
        names = dict.fromkeys(name for block in blocks for name in block)
        columns = {name: np.concatenate([_column(block, name) for block in blocks]) for name in names}
        if kind != "cycles":
            columns["cycle"] += np.repeat(offsets, [block["cycle"].size for block in blocks])
        return pd.DataFrame(columns)

    return table("cycles").join(
        [
            table("discharges").groupby("cycle").first(),
            table("steps").groupby("cycle").median(),
            pulses_by_cycle(table("pulses")),
        ]
    )


def _column(block: dict[str, Array], name: str) -> Array:
    """Return a column of a block; one that the block does not have, as all its values are missing, is not-a-number."""
    return block[name] if name in block else np.full(block["rows"].size, np.nan)


def _empty() -> pd.DataFrame:
    names = ("file", "started_at", "ended_at", "deep_discharge_events", "overcharge_events", "rows")
    return pd.DataFrame({name: np.zeros(0, dtype=np.int64) for name in names})


def _extremes(log: Log) -> dict[str, Array]:
    """Return identity, limits and sizes of each cycle."""
    time, voltage = log.time, log.voltage
    last_moment = np.iinfo(np.int64).max
    known = np.where(log.measured_at == MISSING_TIME, last_moment, log.measured_at)
    result = {
        "file": log.by_cycle(np.maximum, log.file, 0),
        "started_at": log.by_cycle(np.minimum, known, last_moment),
        "ended_at": log.by_cycle(np.maximum, log.measured_at, MISSING_TIME),
        "duration_second": log.by_cycle(np.maximum, time, -np.inf) - log.by_cycle(np.minimum, time, np.inf),
        "minimum_voltage_volt": log.by_cycle(np.fmin, voltage, np.nan),
        "maximum_voltage_volt": log.by_cycle(np.fmax, voltage, np.nan),
        "rows": np.bincount(log.cycle, minlength=log.cycles),
    }
    result["started_at"] = np.where(result["started_at"] == last_moment, MISSING_TIME, result["started_at"])
    for name, values in log.columns.items():
        if name == "cycle_count":
            result[name] = log.by_cycle(np.fmin, values, np.nan)
        elif name == "temperature_t1_celsius":
            result["minimum_temperature_celsius"] = log.by_cycle(np.fmin, values, np.nan)
            result["maximum_temperature_celsius"] = log.by_cycle(np.fmax, values, np.nan)
        elif name == "state_of_charge_percent":
            result[name] = log.at_last(np.isfinite(values), values)
    return result


def _finished(cycles: pd.DataFrame, ratings: Ratings | None) -> pd.DataFrame:
    """Derive what follows from the sums, and put null where there is nothing to say."""
    derived = ("temperature_minute", "temperature_celsius_minute", "held_ah", "charges_held", "charges_full")
    cycles = cycles.reindex(columns=[*SUMMARY_COLUMNS, *derived])
    for name in ("started_at", "ended_at"):
        # numpy's not-a-time is the same number as MISSING_TIME.
        cycles[name] = pd.Series(cycles[name].to_numpy("datetime64[us]")).dt.tz_localize("UTC")
    known_temperature = cycles["temperature_minute"] > 0
    mean = cycles["temperature_celsius_minute"] / cycles["temperature_minute"]
    cycles["mean_temperature_celsius"] = mean.where(known_temperature)
    cycles["counter_disagreement_percent"] = _disagreement(cycles, "ah")
    cycles["counter_energy_disagreement_percent"] = _disagreement(cycles, "wh")
    share = 100 * cycles["held_ah"] / cycles["charge_ah"]
    cycles["constant_voltage_share_percent"] = share.where((cycles["charges_held"] > 0) & (cycles["charge_ah"] > 0))
    for side, limit in (
        ("above", ratings and ratings.idle_temperature_maximum_celsius),
        ("below", ratings and ratings.idle_temperature_minimum_celsius),
    ):
        for column in (f"time_{side}_idle_minute", f"charging_time_{side}_idle_minute"):
            cycles[column] = cycles[column].where(known_temperature & (limit is not None))
    for column in ("deep_discharge_events", "overcharge_events"):
        cycles[column] = cycles[column].astype("Int64").mask(np.full(len(cycles), ratings is None))
    emptied = cycles["capacity_ah"].notna()
    returned = emptied & (cycles["charges_full"] > 0) & (cycles["charge_ah"] > 0)
    for name, unit in (("coulombic_efficiency_percent", "ah"), ("energy_efficiency_percent", "wh")):
        cycles[name] = (100 * cycles[f"discharge_{unit}"] / cycles[f"charge_{unit}"]).where(returned)
    restored = (cycles["charge_ah"] - cycles["discharge_ah"]).abs() <= FULL_CYCLE_FRACTION * cycles["discharge_ah"]
    cycles["is_full_cycle"] = emptied & restored
    cycles["cycle_count"] = cycles["cycle_count"].astype("Int64")
    return cycles[list(SUMMARY_COLUMNS)]


def _disagreement(cycles: pd.DataFrame, unit: str) -> pd.Series:
    """Return the larger difference between integral and counter, percent of the cycle's larger throughput."""
    columns = [f"charge_{unit}", f"discharge_{unit}"]
    counters = cycles[[f"counter_{name}" for name in columns]].set_axis(columns, axis=1)
    difference = (cycles[columns] - counters).abs().max(axis=1)
    throughput = pd.concat([cycles[columns], counters], axis=1).max(axis=1)
    return (100 * difference / throughput).where(throughput > 0)
