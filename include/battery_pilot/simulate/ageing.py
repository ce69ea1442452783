"""How a simulated cell loses capacity and gains resistance from month to month."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.simulate.design import CellDesign

CYCLE_EXPONENT = 0.75
CALENDAR_EXPONENT = 0.5
ACTIVATION_ENERGY_JOULE_PER_MOLE = 30_000.0
GAS_CONSTANT = 8.314462618
REFERENCE_KELVIN = 298.15
SELF_HEATING_KELVIN = 3.0

# A new cell holds a little more than what its maker rates: a test at C/5 between the voltage limits does not reach all.
FRESH_CAPACITY_FACTOR = 1.012
KNEE_LOSS = 1.5e-4
LARGEST_LOSS = 0.5


@dataclass(frozen=True)
class CellState:
    """What a cell is like at 25 degC at one point of its life.

    :param capacity_ah: charge between the open-circuit voltages that equal the voltage limits.
    :param full_equivalent_cycles: charge throughput over twice the rated capacity.
    """

    capacity_ah: float
    full_equivalent_cycles: float
    ohmic_resistance_ohm: float
    film_resistance_ohm: float
    charge_transfer_resistance_ohm: float
    diffusion_resistance_ohm: float

    @property
    def series_resistance_ohm(self) -> float:
        """What a current step shows at once: all but the slow polarisation."""
        return self.ohmic_resistance_ohm + self.film_resistance_ohm + self.charge_transfer_resistance_ohm


@dataclass(frozen=True)
class _Individual:
    """What makes one cell differ from the next of its design; factors around one."""

    capacity: float
    resistance: float
    cycle_rate: float
    calendar_rate: float
    resistance_gain: float
    knee_cycle: float


def age(
    design: CellDesign,
    battery_random: np.random.Generator,
    stress_random: Sequence[np.random.Generator],
    *,
    ambient_celsius: Sequence[float],
    days: Sequence[int],
    cycles_per_month: int,
    has_knee: bool,
) -> list[CellState]:
    """Return the states of one cell: new, and after each month.

    Capacity loss is the sum of a cyclic part, ``a * cycles ** 0.75``, and a calendar part, ``b * days ** 0.5``, both
    faster when hot (Arrhenius, 30 kJ/mol), as reported for commercial cells, for example in Naumann et al., J. Power
    Sources 451 (2020) 227666. Each cell has its own rates, which wander from month to month. What consumes lithium
    grows a film that shows in the resistance at once and in the capacity a month later; the resistance thus tells
    more about the next month than the capacity itself. A cell with a knee loses capacity ever faster from some point
    on, and its resistance rises before. The rates are those of accelerated tests: a hot room and full cycles lose 2 to
    8 % within six months at 20 cycles a month.

    :param battery_random: draws the individual; always asked for the same numbers.
    :param stress_random: one generator for each month, so that later months change nothing in earlier ones.
    :param ambient_celsius: mean room temperature of each month.
    :param days: length of each month.
    """
    cell = _individual(battery_random, has_knee=has_knee)
    states = [_state(design, cell, 0.0, 0.0, 0.0)]
    film, lithium = _Exposure(), _Exposure()
    cycles = log_stress = 0.0
    for random, celsius, month_days in zip(stress_random, ambient_celsius, days, strict=True):
        previous = log_stress
        log_stress = 0.7 * log_stress + random.normal(0.0, 0.2)
        film_growth = log_stress + random.normal(0.0, 0.2)
        heat = _arrhenius(celsius + SELF_HEATING_KELVIN)
        cycles += cycles_per_month + 1
        film.add(cycles_per_month + 1, month_days, heat * np.exp(film_growth))
        lithium.add(cycles_per_month + 1, month_days, heat * np.exp(previous))
        states.append(
            _state(
                design,
                cell,
                cycles,
                lithium.loss(design, cell) + _knee(cycles - cell.knee_cycle),
                film.loss(design, cell) + _knee(cycles + 20.0 - cell.knee_cycle),
            )
        )
    return states


class _Exposure:
    """Cycles and days, weighted so that a power law of their sum takes each month at its own rate."""

    def __init__(self) -> None:
        self.cycles = 0.0
        self.days = 0.0

    def add(self, cycles: float, days: float, rate: float) -> None:
        self.cycles += cycles * rate ** (1.0 / CYCLE_EXPONENT)
        self.days += days * rate ** (1.0 / CALENDAR_EXPONENT)

    def loss(self, design: CellDesign, cell: _Individual) -> float:
        cyclic = design.cycle_loss * cell.cycle_rate * self.cycles**CYCLE_EXPONENT
        return float(cyclic + design.calendar_loss * cell.calendar_rate * self.days**CALENDAR_EXPONENT)


def _individual(random: np.random.Generator, *, has_knee: bool) -> _Individual:
    capacity, resistance, cycle_rate, calendar_rate, gain = random.standard_normal(5)
    knee_cycle = random.uniform(55.0, 80.0)
    return _Individual(
        capacity=1.0 + float(np.clip(0.008 * capacity, -0.02, 0.02)),
        resistance=float(np.exp(0.04 * resistance)),
        cycle_rate=float(np.exp(0.28 * cycle_rate)),
        calendar_rate=float(np.exp(0.25 * calendar_rate)),
        resistance_gain=float(np.exp(0.10 * gain)),
        knee_cycle=knee_cycle if has_knee else float("inf"),
    )


def _state(design: CellDesign, cell: _Individual, cycles: float, lithium_loss: float, film_loss: float) -> CellState:
    growth = cell.resistance_gain * film_loss
    return CellState(
        capacity_ah=(
            design.model.rated_capacity_ah
            * FRESH_CAPACITY_FACTOR
            * cell.capacity
            * (1.0 - min(lithium_loss, LARGEST_LOSS))
        ),
        full_equivalent_cycles=cycles,
        ohmic_resistance_ohm=design.ohmic_resistance_ohm * cell.resistance * (1.0 + 2.5 * growth),
        film_resistance_ohm=design.film_resistance_ohm * cell.resistance * (1.0 + 9.0 * growth),
        charge_transfer_resistance_ohm=design.charge_transfer_resistance_ohm * cell.resistance * (1.0 + 8.0 * growth),
        diffusion_resistance_ohm=design.diffusion_resistance_ohm * cell.resistance * (1.0 + 4.0 * growth),
    )


def _knee(cycles_beyond: float) -> float:
    return float(KNEE_LOSS * max(cycles_beyond, 0.0) ** 1.5)


def _arrhenius(celsius: float) -> float:
    """Return the rate relative to 25 degC."""
    inverse = 1.0 / REFERENCE_KELVIN - 1.0 / (celsius + 273.15)
    return float(np.exp(ACTIVATION_ENERGY_JOULE_PER_MOLE / GAS_CONSTANT * inverse))
