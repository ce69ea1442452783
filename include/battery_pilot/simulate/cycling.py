"""One month of a simulated cell on the cycler: full cycles, and a check-up at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from battery_pilot.simulate.ageing import CellState
from battery_pilot.simulate.design import CellDesign, dense_curve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Array = NDArray[np.float64]

DAY_SECOND = 86_400.0
CHECK_UP_DAYS_BEFORE_END = 2
"""The check-up starts on the last day but one, so that it is done when the spectrum is taken on the last day."""

STORAGE_STATE_OF_CHARGE = 0.5
RELAXATION_SECOND = 40.0
LONGEST_RECORD_INTERVAL_SECOND = 3600.0
THERMAL_SECOND = 900.0
CHECK_UP_CELSIUS = 25.0
CHECK_UP_RATE = 0.2
PULSE_RATE = 1.0
PULSE_SECOND = 10.0
CUT_OFF_RATE = 0.04
REACTION_SECOND = 0.1
DEEP_DISCHARGE_VOLT = 0.2
"""How far below the minimum voltage a discharge goes when the protection fails."""

VOLTAGE_NOISE_VOLT = 3e-4
RELATIVE_CURRENT_NOISE = 2e-4
TEMPERATURE_NOISE_KELVIN = 0.05
FINE_POINTS = 400
"""Points on which a step is calculated before its records are picked."""
DEEP_DISCHARGE_PROBABILITY = 0.05
SENSOR_GAP_PROBABILITY = 0.06
GAP_ROWS = 6


@dataclass(frozen=True)
class CyclingLog:
    """What a cycler records; all columns have the same length, one row a record.

    :param test_time_second: since the start of the month's test.
    :param step_time_second: since the start of the step.
    :param current_ampere: positive while the cell is charged.
    :param cycle: 0 before the first full cycle, then counting up.
    :param step_count: counts up with each step of the test.
    :param step_index: number of the step in the procedure; the same in every cycle.
    :param step_capacity_ah: charge since the start of the step, unsigned.
    :param step_energy_wh: energy since the start of the step, unsigned.
    :param resistance_ohm: measured by the pulse of the check-up; 0 before it.
    """

    test_time_second: Array
    step_time_second: Array
    voltage_volt: Array
    current_ampere: Array
    cycle: NDArray[np.int64]
    step_count: NDArray[np.int64]
    step_index: NDArray[np.int64]
    step_capacity_ah: Array
    step_energy_wh: Array
    temperature_celsius: Array
    ambient_celsius: Array
    resistance_ohm: Array


def cycle_month(
    design: CellDesign,
    before: CellState,
    after: CellState,
    *,
    days: int,
    cycles: int,
    ambient_celsius: float,
    random: np.random.Generator,
) -> CyclingLog:
    """Return the log of one month.

    The cell starts at half charge, is discharged, runs full cycles at equal distances and ends with the check-up: full
    charge, rest, a discharge at C/5 to the minimum voltage, a charge to half, rest, and a pulse of 10 s at 1C. (At full
    charge the steep open-circuit voltage of iron phosphate would hide the resistance.) Voltages are those of an
    open-circuit curve, a series resistance and one relaxation; the room follows the hour of the day, the check-up is
    at 25 degC. A few months have a gap in the records or one discharge below the minimum voltage.

    :param before: the cell at the start of the month.
    :param after: the cell at the check-up.
    """
    ratio = np.arange(1, cycles + 1) / (cycles + 1)
    deep_cycle = int(random.integers(1, cycles + 1)) if random.random() < DEEP_DISCHARGE_PROBABILITY else 0
    bench = _Bench(design, before)
    bench.rest(1, 300.0, rows=3)
    bench.current(2, -design.discharge_rate, rows=12)
    bench.rest(3, 1800.0, rows=3)
    spacing = (days - CHECK_UP_DAYS_BEFORE_END - 0.5) * DAY_SECOND / cycles
    first_start = bench.clock
    for number, part in enumerate(ratio, start=1):
        bench.state = _between(before, after, float(part))
        bench.cycle = number
        _full_cycle(bench, until_second=first_start + number * spacing, deep=number == deep_cycle)
    bench.state = after
    bench.cycle = cycles + 1
    bench.rest(8, (days - CHECK_UP_DAYS_BEFORE_END) * DAY_SECOND + 6 * 3600.0 - bench.clock, rows=4)
    check_up_start = bench.clock
    _check_up(bench)
    return _record(bench, check_up_start, ambient_celsius, random)


def _full_cycle(bench: _Bench, *, until_second: float, deep: bool) -> None:
    bench.current(4, bench.design.charge_rate, rows=12)
    bench.constant_voltage(5, rows=12)
    bench.rest(6, 1800.0, rows=4)
    bench.current(7, -bench.design.discharge_rate, rows=16, below_limit_volt=DEEP_DISCHARGE_VOLT if deep else 0.0)
    bench.rest(8, max(until_second - bench.clock, 1800.0), rows=4)


def _check_up(bench: _Bench) -> None:
    bench.current(9, bench.design.charge_rate, rows=20)
    bench.constant_voltage(10, rows=16)
    bench.rest(11, 3600.0, rows=6)
    bench.current(12, -CHECK_UP_RATE, rows=60)
    bench.rest(13, 1800.0, rows=4)
    bench.cycle += 1
    hours = STORAGE_STATE_OF_CHARGE * bench.relative_capacity / bench.design.charge_rate
    bench.current(14, bench.design.charge_rate, rows=12, seconds=hours * 3600.0)
    bench.rest(15, 3600.0, rows=6)
    before_volt = bench.pieces[-1].voltage_volt[-1]
    bench.current(16, -PULSE_RATE, rows=10, seconds=PULSE_SECOND)
    pulse = bench.pieces[-1]
    bench.resistance_ohm = float((before_volt - pulse.voltage_volt[-1]) / -pulse.current_ampere[-1])
    bench.rest(17, 1800.0, rows=5)


@dataclass(frozen=True)
class _Piece:
    """The rows of one step, with the counters of the cycler."""

    cycle: int
    step_index: int
    start_second: float
    time_second: Array
    voltage_volt: Array
    current_ampere: Array
    capacity_ah: Array
    energy_wh: Array
    resistance_ohm: float


class _Bench:
    """A cell on a cycler: every step starts where the one before it ended."""

    def __init__(self, design: CellDesign, state: CellState) -> None:
        self.design = design
        self.state = state
        self.cycle = 0
        self.clock = 0.0
        self.charge = STORAGE_STATE_OF_CHARGE
        self.relaxation_volt = 0.0
        self.resistance_ohm = 0.0
        self.pieces: list[_Piece] = []
        self._curve = dense_curve(design.open_circuit_curve)

    @property
    def relative_capacity(self) -> float:
        return self.state.capacity_ah / self.design.model.rated_capacity_ah

    def rest(self, step_index: int, seconds: float, *, rows: int) -> None:
        """Wait without current; the first records lie closer, where the voltage moves.

        :param rows: at least; there are more where records would lie more than an hour apart.
        """
        rows = max(rows, 2 + ceil((seconds - 60.0) / LONGEST_RECORD_INTERVAL_SECOND))
        times = np.concatenate(([1.0], np.linspace(60.0, seconds, rows - 1)))
        relaxation = self.relaxation_volt * np.exp(-times / RELAXATION_SECOND)
        still = np.zeros(rows)
        self._add(step_index, times, self._open_circuit(self.charge) + relaxation, still, still, still)
        self.relaxation_volt = float(relaxation[-1])

    def current(
        self, step_index: int, rate: float, *, rows: int, seconds: float | None = None, below_limit_volt: float = 0.0
    ) -> None:
        """Charge (positive rate) or discharge at constant current to the voltage limit, or for some seconds.

        :param rate: current over rated capacity, in 1/h.
        :param below_limit_volt: how far the discharge goes beyond the minimum voltage.
        """
        ampere = rate * self.design.model.rated_capacity_ah
        to_edge = (1.0 - self.charge) if rate > 0 else (self.charge + 0.03)
        longest = to_edge * self.state.capacity_ah * 3600.0 / abs(ampere)
        voltage = self._voltage_at(ampere)
        if seconds is None:
            seconds = self._time_to_limit(voltage, longest, rate, below_limit_volt)
        grid = np.linspace(0.0, min(seconds, longest), FINE_POINTS)
        fine = voltage(grid)
        amount = np.abs(ampere) * grid / 3600.0
        times = np.linspace(min(1.0, grid[-1] / 2.0), grid[-1], rows)
        energy = _integral(fine, amount)
        self._add(
            step_index,
            times,
            np.interp(times, grid, fine),
            np.full(rows, ampere),
            np.interp(times, grid, amount),
            np.interp(times, grid, energy),
        )
        self.charge += ampere * float(grid[-1]) / 3600.0 / self.state.capacity_ah
        steady = ampere * self.state.diffusion_resistance_ohm
        self.relaxation_volt = float(steady + (self.relaxation_volt - steady) * np.exp(-grid[-1] / RELAXATION_SECOND))

    def constant_voltage(self, step_index: int, *, rows: int) -> None:
        """Hold the maximum voltage until the current has fallen to C/25; the relaxation follows the slow current."""
        limit = self.design.model.maximum_voltage_volt
        resistance = self.state.series_resistance_ohm + self.state.diffusion_resistance_ohm
        cut_off = CUT_OFF_RATE * self.design.model.rated_capacity_ah
        full = float(np.interp(limit - cut_off * resistance, self._curve[1], self._curve[0]))
        if full <= self.charge:
            return
        charge = np.linspace(self.charge, full, FINE_POINTS)
        ampere = (limit - self._open_circuit(charge)) / resistance
        amount = (charge - charge[0]) * self.state.capacity_ah
        grid = _integral(3600.0 / ampere, amount)
        times = np.linspace(min(1.0, grid[-1] / 2.0), grid[-1], rows)
        amounts = np.interp(times, grid, amount)
        self._add(step_index, times, np.full(rows, limit), np.interp(times, grid, ampere), amounts, amounts * limit)
        self.charge = full
        self.relaxation_volt = cut_off * self.state.diffusion_resistance_ohm

    def _voltage_at(self, ampere: float) -> Callable[[Array], Array]:
        """Return the voltage over time of a constant current that starts now."""
        steady = ampere * self.state.diffusion_resistance_ohm

        def voltage(times: Array) -> Array:
            charge = self.charge + ampere * times / 3600.0 / self.state.capacity_ah
            relaxation = steady + (self.relaxation_volt - steady) * np.exp(-times / RELAXATION_SECOND)
            return self._open_circuit(charge) + ampere * self.state.series_resistance_ohm + relaxation

        return voltage

    def _time_to_limit(
        self, voltage: Callable[[Array], Array], longest: float, rate: float, below_limit_volt: float
    ) -> float:
        """Return when the cycler sees that the voltage has passed the limit; at the earliest after two seconds."""
        model = self.design.model
        limit = model.maximum_voltage_volt if rate > 0 else model.minimum_voltage_volt - below_limit_volt
        earliest, latest = 0.0, longest
        for _ in range(2):
            grid = np.linspace(earliest, latest, FINE_POINTS)
            passed = voltage(grid) >= limit if rate > 0 else voltage(grid) <= limit
            if not passed.any():
                break
            first = max(int(np.argmax(passed)), 1)
            earliest, latest = float(grid[first - 1]), float(grid[first])
        return max(latest + REACTION_SECOND, 2.0)

    def _open_circuit(self, charge: Array | float) -> Array:
        return np.asarray(np.interp(charge, *self._curve))

    def _add(
        self, step_index: int, times: Array, voltage: Array, ampere: Array, capacity_ah: Array, energy_wh: Array
    ) -> None:
        piece = _Piece(
            self.cycle, step_index, self.clock, times, voltage, ampere, capacity_ah, energy_wh, self.resistance_ohm
        )
        self.pieces.append(piece)
        self.clock += float(times[-1])


def _record(bench: _Bench, check_up_start: float, ambient_celsius: float, random: np.random.Generator) -> CyclingLog:
    """Join the steps to one log and add what a real instrument adds: noise, and now and then a gap."""
    pieces = bench.pieces
    lengths = [len(piece.time_second) for piece in pieces]
    step_time = np.concatenate([piece.time_second for piece in pieces])
    test_time = step_time + np.repeat([piece.start_second for piece in pieces], lengths)
    current = np.concatenate([piece.current_ampere for piece in pieces])
    true_voltage = np.concatenate([piece.voltage_volt for piece in pieces])
    ends = np.cumsum(lengths) - 1
    ambient = _ambient(test_time, check_up_start, ambient_celsius)
    resistance = bench.state.series_resistance_ohm + bench.state.diffusion_resistance_ohm
    rise = _self_heating(test_time, current**2 * resistance * bench.design.thermal_resistance_kelvin_per_watt)
    noise = random.normal(0.0, 1.0, (3, len(test_time)))
    # A cycler ends a step when its own reading reaches the limit: the last record of a step has no noise.
    # While it holds a voltage, that is its own reference.
    noise[0, ends] = 0.0
    noise[0, true_voltage == bench.design.model.maximum_voltage_volt] = 0.0
    log = CyclingLog(
        test_time_second=test_time,
        step_time_second=step_time,
        voltage_volt=true_voltage + VOLTAGE_NOISE_VOLT * noise[0],
        current_ampere=current * (1.0 + RELATIVE_CURRENT_NOISE * noise[1]),
        cycle=np.repeat([piece.cycle for piece in pieces], lengths),
        step_count=np.repeat(np.arange(1, len(pieces) + 1), lengths),
        step_index=np.repeat([piece.step_index for piece in pieces], lengths),
        step_capacity_ah=np.concatenate([piece.capacity_ah for piece in pieces]),
        step_energy_wh=np.concatenate([piece.energy_wh for piece in pieces]),
        temperature_celsius=ambient + rise + TEMPERATURE_NOISE_KELVIN * noise[2],
        ambient_celsius=ambient,
        resistance_ohm=np.repeat([piece.resistance_ohm for piece in pieces], lengths),
    )
    return _with_gap(log, pieces, random) if random.random() < SENSOR_GAP_PROBABILITY else log


def _ambient(test_time: Array, check_up_start: float, mean_celsius: float) -> Array:
    daily = mean_celsius + 1.5 * np.sin(2.0 * np.pi * (test_time / DAY_SECOND - 0.375))
    return np.where(test_time < check_up_start, daily, CHECK_UP_CELSIUS)


def _self_heating(test_time: Array, steady_rise: Array) -> Array:
    """Follow the steady rise of each record's power with the time constant of the cell."""
    share = -np.expm1(-np.diff(test_time, prepend=0.0) / THERMAL_SECOND)
    rise = 0.0
    rises = []
    for goal, part in zip(steady_rise.tolist(), share.tolist(), strict=True):
        rise += (goal - rise) * part
        rises.append(rise)
    return np.array(rises)


def _with_gap(log: CyclingLog, pieces: Sequence[_Piece], random: np.random.Generator) -> CyclingLog:
    """Drop some records in the middle of a charge, as when a cycler loses its computer for a while."""
    charges = [number for number, piece in enumerate(pieces, start=1) if piece.step_index == 4]
    step = random.choice(charges)
    inside = np.flatnonzero(log.step_count == step)[3 : 3 + GAP_ROWS]
    return replace(log, **{name: np.delete(column, inside) for name, column in vars(log).items()})


def _between(before: CellState, after: CellState, share: float) -> CellState:
    return CellState(**{name: value + share * (getattr(after, name) - value) for name, value in vars(before).items()})


def _integral(height: Array, width: Array) -> Array:
    """Return the running integral of height over width by the trapezoidal rule, starting at zero."""
    steps = 0.5 * (height[1:] + height[:-1]) * np.diff(width)
    return np.concatenate(([0.0], np.cumsum(steps)))
