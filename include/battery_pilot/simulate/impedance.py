"""The impedance spectrum of a simulated cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.simulate.cycling import STORAGE_STATE_OF_CHARGE
from battery_pilot.simulate.design import dense_curve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from battery_pilot.simulate.ageing import CellState
    from battery_pilot.simulate.design import CellDesign

HIGHEST_HERTZ = 10_000.0
LOWEST_HERTZ = 0.01
POINTS = 41
FILM_SECOND = 2e-3
FILM_EXPONENT = 0.85
CHARGE_TRANSFER_SECOND = 0.12
CHARGE_TRANSFER_EXPONENT = 0.80
WARBURG_SHARE = 0.1
"""Warburg coefficient (ohm per square root of second) over diffusion resistance."""


@dataclass(frozen=True)
class Spectrum:
    """An impedance spectrum, from high to low frequency.

    :param frequency_hertz: of the excitation.
    :param impedance_ohm: complex; the imaginary part is negative where the cell is capacitive.
    :param dc_bias_volt: voltage of the cell meanwhile.
    """

    frequency_hertz: NDArray[np.float64]
    impedance_ohm: NDArray[np.complex128]
    dc_bias_volt: float


def spectrum(design: CellDesign, state: CellState, random: np.random.Generator) -> Spectrum:
    """Return the spectrum of a half-charged cell, with the noise of a good instrument (0.1 to 0.3 %).

    The circuit is L - R - p(R,CPE) - p(R,CPE) - W: leads, ohmic part, surface film, charge transfer and semi-infinite
    diffusion. Time constants are fixed, resistances follow the ageing; the spectrum satisfies the Kramers-Kronig
    relations because a linear circuit does.
    """
    frequency = np.geomspace(HIGHEST_HERTZ, LOWEST_HERTZ, POINTS)
    jomega = 2j * np.pi * frequency
    ideal = (
        jomega * design.inductance_henry
        + state.ohmic_resistance_ohm
        + state.film_resistance_ohm / (1.0 + (jomega * FILM_SECOND) ** FILM_EXPONENT)
        + state.charge_transfer_resistance_ohm / (1.0 + (jomega * CHARGE_TRANSFER_SECOND) ** CHARGE_TRANSFER_EXPONENT)
        + WARBURG_SHARE * state.diffusion_resistance_ohm * np.sqrt(2.0) / np.sqrt(jomega)
    )
    level = random.uniform(0.001, 0.003) / np.sqrt(2.0)
    noise = random.normal(0.0, level, POINTS) + 1j * random.normal(0.0, level, POINTS)
    voltage = np.interp(STORAGE_STATE_OF_CHARGE, *dense_curve(design.open_circuit_curve))
    return Spectrum(frequency, ideal + noise * np.abs(ideal), float(voltage))
