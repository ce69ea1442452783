"""Current pulses out of rest, as in a hybrid pulse power characterisation (HPPC), and the power that follows from them.

USABC, "Battery Test Manual for Electric Vehicles", revision 3.1 (2020), and IEC 62660-1: a constant current for 10 to 30 s
after a rest; resistance is voltage change over current change, against the last resting row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.electrochemistry.capacity_tests import moment, runs_of
from battery_pilot.electrochemistry.definitions import (
    NEIGHBOUR_PERCENT,
    POWER_STATES_OF_CHARGE_PERCENT,
    PULSE_CURRENT_FRACTION,
    STATE_OF_CHARGE_TOLERANCE_PERCENT,
    STEP_C_RATE,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from battery_pilot.electrochemistry.condition import Ratings
    from battery_pilot.electrochemistry.rows import Array, Log

REST_SECOND = 10.0
"""A pulse follows a rest of at least this."""

DURATION_SECOND = (1.0, 65.0)
"""Shortest and longest pulse; what takes longer is a discharge."""

IMMEDIATE_SECOND = 1.1
"""The first loaded row tells the immediate resistance only if it follows the last resting one within this: logs of one row a second."""

READINGS_SECOND = (10, 18, 30)
"""When the resistance is read in a pulse that lasts so long."""

POWER_READING_SECOND = READINGS_SECOND[0]

READING_FRACTION = 0.95
"""A pulse of 9.5 s is read at its end for one of 10 s: cyclers write their last row a little early."""


@dataclass(frozen=True)
class Pulse:
    """One pulse.

    :param row: position of the last resting row before it, in the order of time.
    :param began_at: time of day of that row, UTC; ``None`` where the log has none.
    :param begin_second: test time at which it begins.
    :param current_ampere: median current, above 0 while charging.
    :param duration_second: from its begin to its last row.
    :param rest_second: how long the battery had rested.
    :param rest_voltage_volt: voltage of the last resting row.
    :param immediate_resistance_ohm: resistance at the first loaded row; ``None`` where that comes too late.
    :param immediate_delay_second: time from the last resting row to the first loaded one.
    :param end_resistance_ohm: resistance at the last row of the pulse.
    :param temperature_celsius: surface temperature before the pulse; ``None`` where it was not measured.
    :param resistance_ohm: resistance at each of :data:`READINGS_SECOND` that the pulse reaches.
    :param state_of_charge_percent: before the pulse; ``None`` where the log does not tell.
    """

    row: int
    began_at: datetime | None
    begin_second: float
    current_ampere: float
    duration_second: float
    rest_second: float
    rest_voltage_volt: float
    immediate_resistance_ohm: float | None
    immediate_delay_second: float
    end_resistance_ohm: float
    temperature_celsius: float | None
    resistance_ohm: dict[int, float]
    state_of_charge_percent: float | None = None

    @property
    def end_second(self) -> float:
        """Test time of its last row."""
        return self.begin_second + self.duration_second


def find_pulses(log: Log, direction: Array, capacity_ah: float) -> Iterator[Pulse]:
    """Yield the pulses of a log by time: steady loads of some seconds that begin at rest and end within the log.

    What follows is a rest or a load in the other direction, with which a test goes on to the next state of charge.

    :param log: rows of one file; voltage and current are known in all of them.
    :param direction: of each row, -1 discharging, 0 resting, 1 charging.
    :param capacity_ah: what the rate of a current refers to.
    """
    first, last = runs_of(direction)
    resting = direction[first] == 0
    # A log need not write a row when a rest begins: it began after the row before.
    rested = log.time[last] - log.time[np.maximum(first - 1, 0)]
    between = np.zeros(first.size, dtype=bool)
    between[1:-1] = ~resting[1:-1] & resting[:-2] & (rested[:-2] >= REST_SECOND)
    shortest, longest = DURATION_SECOND
    for run in np.flatnonzero(between & (log.time[last] - log.time[first] <= longest)).tolist():
        pulse = _pulse(log, int(first[run]), int(last[run]), float(rested[run - 1]))
        if pulse is None or pulse.duration_second < shortest:
            continue
        if abs(pulse.current_ampere) >= STEP_C_RATE * capacity_ah:
            yield pulse


def _pulse(log: Log, first: int, end: int, rest_second: float) -> Pulse | None:
    """Read one pulse; ``None`` where its current is not steady or a resistance is not positive."""
    rest, loaded = first - 1, slice(first, end + 1)
    time, voltage, current = log.time[loaded], log.voltage[loaded], log.current[loaded]
    ampere = float(np.median(current))
    delay = float(time[0] - log.time[rest])
    begin = float(log.time[rest] if delay <= IMMEDIATE_SECOND else time[0])
    duration = float(time[-1] - begin)
    ohm = (voltage - log.voltage[rest]) / (current - log.current[rest])
    # The first row may fall into the rise of the current.
    steady = np.abs(current[1:] - ampere) <= PULSE_CURRENT_FRACTION * abs(ampere)
    if not steady.all() or not ohm[-1] > 0:
        return None
    celsius = (
        float(log.columns["temperature_t1_celsius"][rest]) if "temperature_t1_celsius" in log.columns else np.nan
    )
    return Pulse(
        row=rest,
        began_at=moment(log, rest),
        begin_second=begin,
        current_ampere=ampere,
        duration_second=duration,
        rest_second=rest_second,
        rest_voltage_volt=float(log.voltage[rest]),
        immediate_resistance_ohm=float(ohm[0]) if delay <= IMMEDIATE_SECOND and ohm[0] > 0 else None,
        immediate_delay_second=delay,
        end_resistance_ohm=float(ohm[-1]),
        temperature_celsius=celsius if np.isfinite(celsius) else None,
        resistance_ohm={
            second: float(np.interp(begin + second, time, ohm))
            for second in READINGS_SECOND
            if duration >= READING_FRACTION * second
        },
    )


def power_watt(pulse: Pulse, ratings: Ratings) -> float | None:
    """Return the power that the battery can give, or take, for 10 s without leaving its voltage limits.

    Discharge: minimum voltage x (resting voltage - minimum voltage) / resistance; charge: maximum voltage x (maximum
    voltage - resting voltage) / resistance (USABC manual, section on HPPC).

    :returns: watt, above 0; ``None`` for a shorter pulse or where the battery rests beyond the limit.
    """
    ohm = pulse.resistance_ohm.get(POWER_READING_SECOND)
    charging = pulse.current_ampere > 0
    limit = ratings.maximum_voltage_volt if charging else ratings.minimum_voltage_volt
    reserve = limit - pulse.rest_voltage_volt if charging else pulse.rest_voltage_volt - limit
    return limit * reserve / ohm if ohm is not None and reserve > 0 else None


def power_capability(pulses: Sequence[Pulse], ratings: Ratings) -> dict[str, float]:
    """Return the power at 80 and 20 % state of charge.

    It is linear between the pulses beside that state of charge, each at most 12 % away, else that of the nearest one, at
    most 5 % away, as in the summary of a cycle.

    :returns: ``discharge_power_at_80_percent_watt`` and the like, as far as there are such pulses.
    """
    result: dict[str, float] = {}
    for way, charging in (("discharge", False), ("charge", True)):
        chosen = [one for one in pulses if (one.current_ampere > 0) is charging]
        known = [
            (one.state_of_charge_percent, watt)
            for one in chosen
            if one.state_of_charge_percent is not None and (watt := power_watt(one, ratings)) is not None
        ]
        for percent in POWER_STATES_OF_CHARGE_PERCENT:
            watt = _power_at(percent, known)
            if watt is not None:
                result[f"{way}_power_at_{percent}_percent_watt"] = watt
    return result


def _power_at(percent: float, known: list[tuple[float, float]]) -> float | None:
    """Return the power at a state of charge from pairs of both."""
    lower = max((one for one in known if percent - NEIGHBOUR_PERCENT <= one[0] < percent), default=None)
    upper = min((one for one in known if percent <= one[0] <= percent + NEIGHBOUR_PERCENT), default=None)
    if lower and upper:
        return lower[1] + (upper[1] - lower[1]) * (percent - lower[0]) / (upper[0] - lower[0])
    nearest = min(known, key=lambda one: abs(one[0] - percent), default=None)
    if nearest is None or abs(nearest[0] - percent) > STATE_OF_CHARGE_TOLERANCE_PERCENT:
        return None
    return nearest[1]
