"""Current steps out of rest: direct-current resistance and power capability."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from battery_pilot.electrochemistry.definitions import (
    NEIGHBOUR_PERCENT,
    POWER_STATES_OF_CHARGE_PERCENT,
    PULSE_CURRENT_FRACTION,
    PULSE_DELAY_SECOND,
    STATE_OF_CHARGE_TOLERANCE_PERCENT,
    STEP_DELAY_SECOND,
    Limits,
)
from battery_pilot.electrochemistry.rows import Array, Log, previous

if TYPE_CHECKING:
    import pandas as pd

    from battery_pilot.electrochemistry.discharges import States


class Steps(NamedTuple):
    """Loaded rows after a rest.

    :param at: positions of all loaded rows that follow a resting one, however long ago.
    :param rest: positions of the newest resting row before each.
    :param delay: seconds from one to the other.
    :param steady: whether the current has been within 10 % of that with which the load began ever since.
    """

    at: Array
    rest: Array
    delay: Array
    steady: Array


def steps_of(log: Log, limits: Limits) -> Steps:
    """Find the loaded rows and the rest before each."""
    resting = (np.abs(log.current) <= limits.rest_ampere) & np.isfinite(log.voltage)
    rest = log.last(resting, before=True)
    longest = max(STEP_DELAY_SECOND[1], PULSE_DELAY_SECOND[1])
    at = np.flatnonzero(~resting & (rest >= 0) & (log.time - log.time[rest] <= longest))
    rest = rest[at]
    delay, current, onset = log.time[at] - log.time[rest], log.current[at], log.current[rest + 1]
    loaded = (np.abs(current) > limits.step_ampere) & np.isfinite(log.voltage[at])
    steady = loaded & (np.abs(current - onset) <= PULSE_CURRENT_FRACTION * np.abs(onset))
    steady &= ~np.isin(rest, rest[~steady & (delay < PULSE_DELAY_SECOND[0])])
    return Steps(at[loaded], rest[loaded], delay[loaded], steady[loaded])


def _first_of_rest(steps: Steps, chosen: Array) -> Array:
    """Return the indices of the first chosen step after each rest."""
    index = np.flatnonzero(chosen)
    rest = steps.rest[index]
    first: Array = index[rest != previous(rest, -1)]
    return first


def _resistance(log: Log, steps: Steps, index: Array) -> Array:
    at, rest = steps.at[index], steps.rest[index]
    ohm: Array = (log.voltage[at] - log.voltage[rest]) / (log.current[at] - log.current[rest])
    return ohm


def resistances(log: Log, steps: Steps) -> dict[str, Array]:
    """Return ``cycle``, resistance and delay of each current step out of rest."""
    shortest, longest = STEP_DELAY_SECOND
    index = _first_of_rest(steps, (steps.delay >= shortest) & (steps.delay <= longest))
    ohm = _resistance(log, steps, index)
    index, ohm = index[ohm > 0], ohm[ohm > 0]
    return {
        "cycle": log.cycle[steps.at[index]],
        "dc_resistance_ohm": ohm,
        "dc_resistance_delay_second": steps.delay[index],
    }


def pulses(log: Log, limits: Limits, state: States, flows: dict[str, Array], steps: Steps) -> dict[str, Array]:
    """Return ``cycle``, current, 10 s resistance, discharge power and state of charge of each pulse out of rest."""
    shortest, longest = PULSE_DELAY_SECOND
    index = _first_of_rest(steps, steps.steady & (steps.delay >= shortest) & (steps.delay <= longest))
    ohm = _resistance(log, steps, index)
    index, ohm = index[ohm > 0], ohm[ohm > 0]
    at, rest = steps.at[index], steps.rest[index]
    return {
        "cycle": log.cycle[at],
        "current_ampere": log.current[at],
        "resistance_ohm": ohm,
        "power_watt": limits.empty_volt * (log.voltage[rest] - limits.empty_volt) / ohm,
        "state_of_charge_percent": states_of_charge(log, state, flows, rest),
    }


def pulses_by_cycle(found: pd.DataFrame) -> pd.DataFrame:
    """Return the median resistance of each direction and the discharge power near 80 and 20 % charge, by cycle.

    :param found: what :func:`pulses` returns, as a table.
    """
    discharging = found["current_ampere"] < 0
    by_cycle = found.assign(
        discharge_pulse_resistance_ohm=found["resistance_ohm"].where(discharging),
        charge_pulse_resistance_ohm=found["resistance_ohm"].where(~discharging),
    ).groupby("cycle")
    result: pd.DataFrame = by_cycle[["discharge_pulse_resistance_ohm", "charge_pulse_resistance_ohm"]].median()
    able = found[discharging & (found["power_watt"] > 0)]
    for target in POWER_STATES_OF_CHARGE_PERCENT:
        result[f"power_at_{target}_percent_watt"] = _powers_at(able, target)
    return result


def _powers_at(able: pd.DataFrame, target: int) -> pd.Series:
    """Return the power at a state of charge by cycle: between the pulses beside it, else that of the nearest one."""
    ranked = able.assign(away=able["state_of_charge_percent"] - target)
    ranked = ranked.sort_values("away", key=abs, kind="stable")
    nearest = ranked[ranked["away"].abs() <= STATE_OF_CHARGE_TOLERANCE_PERCENT].groupby("cycle")["power_watt"].first()
    beside = ranked[ranked["away"].abs() <= NEIGHBOUR_PERCENT]
    columns = ["away", "power_watt"]
    lower = beside[beside["away"] < 0].groupby("cycle")[columns].first()
    upper = beside[beside["away"] >= 0].groupby("cycle")[columns].first()
    share = -lower["away"] / (upper["away"] - lower["away"])
    between: pd.Series = lower["power_watt"] + (upper["power_watt"] - lower["power_watt"]) * share
    return between.combine_first(nearest)


def states_of_charge(log: Log, state: States, flows: dict[str, Array], at: Array) -> Array:
    """Return the state of charge (%) at rows between a full and an empty one of the same file.

    Charge since the newest full row, relative to the charge from there to the next empty row; not-a-number where one
    of the two or a part of the way is missing.

    :param at: positions of the rows.
    """
    if not (at.size and state.emptied.size):
        return np.full(at.size, np.nan)
    empty = np.append(state.emptied, -1)[np.searchsorted(state.emptied, at)]
    tops = topped(log, state)
    top = log.newest(tops, at)
    bridged = (top >= 0) & (empty >= 0) & (log.first[at] == log.first[empty])
    bridged &= log.newest(tops, empty) == top
    gaps = np.flatnonzero(flows["gaps"])
    bridged &= np.searchsorted(gaps, top, side="right") == np.searchsorted(gaps, empty, side="right")
    whole = state.net[top] - state.net[empty]
    known = bridged & (whole > 0)
    share = np.divide(state.net[at] - state.net[empty], whole, out=np.full(at.size, np.nan), where=known)
    percent: Array = 100 * share
    return percent


def topped(log: Log, state: States) -> Array:
    """Return the positions of the rows that are surely full: at the end of a charge, or before anything happened."""
    full = np.flatnonzero(state.full)
    untouched = log.newest(state.active, full) < 0
    topped: Array = full[state.charging[full] | untouched]
    return topped
