from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from battery_pilot.simulate.design import DESIGNS, CellDesign
from battery_pilot.simulate.fleet import fleet_states
from battery_pilot.simulate.impedance import Spectrum, spectrum

if TYPE_CHECKING:
    from battery_pilot.simulate.ageing import CellState


def new_cell(index: int) -> tuple[CellDesign, CellState]:
    return DESIGNS[index], fleet_states(index, months=0, seed=3)[0]


def measured(design: CellDesign, state: CellState, seed: int = 0) -> Spectrum:
    return spectrum(design, state, np.random.default_rng(seed))


@pytest.fixture(params=[0, 1, 2], ids=[design.model.model_id for design in DESIGNS])
def case(request: pytest.FixtureRequest) -> tuple[CellDesign, CellState]:
    return new_cell(request.param)


def test_a_spectrum_falls_from_ten_kilohertz_to_ten_millihertz(case: tuple[CellDesign, CellState]) -> None:
    frequency = measured(*case).frequency_hertz
    assert (np.diff(frequency) < 0).all()
    assert (frequency[0], frequency[-1]) == (pytest.approx(1e4), pytest.approx(1e-2))
    assert len(frequency) == 41


def test_a_cell_is_inductive_above_one_kilohertz_and_capacitive_below_a_hundred_hertz(
    case: tuple[CellDesign, CellState],
) -> None:
    points = measured(*case)
    assert points.impedance_ohm.imag[0] > 0
    assert (points.impedance_ohm.imag[points.frequency_hertz < 100.0] < 0).all()


def test_the_real_axis_is_crossed_at_the_ohmic_resistance(case: tuple[CellDesign, CellState]) -> None:
    design, state = case
    z = measured(design, state).impedance_ohm
    crossing = int(np.argmax(z.imag < 0))
    assert z.real[crossing] == pytest.approx(state.ohmic_resistance_ohm, rel=0.12)


def test_noise_is_a_few_tenths_of_a_percent(case: tuple[CellDesign, CellState]) -> None:
    spectra = np.array([measured(*case, seed).impedance_ohm for seed in range(40)])
    relative = np.abs(spectra - spectra.mean(axis=0)) / np.abs(spectra.mean(axis=0))
    assert 0.001 < np.sqrt(np.mean(relative**2)) < 0.003


def test_ageing_widens_the_arcs(case: tuple[CellDesign, CellState]) -> None:
    design, state = case
    aged = replace(state, charge_transfer_resistance_ohm=2.0 * state.charge_transfer_resistance_ohm)
    growth = measured(design, aged).impedance_ohm.real[-1] - measured(design, state).impedance_ohm.real[-1]
    assert growth == pytest.approx(state.charge_transfer_resistance_ohm, rel=0.1)
