from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.electrochemistry.impedance.circuit import parse_circuit
from battery_pilot.electrochemistry.impedance.kramers_kronig import linear_kramers_kronig
from battery_pilot.errors import AnalysisError

FREQUENCY = np.geomspace(1e4, 1e-2, 50)
CELL = parse_circuit("L0-R0-p(R1,CPE1)-p(R2,CPE2)-W1")
VALUES = {
    "L0": 1e-7,
    "R0": 0.02,
    "R1": 0.01,
    "CPE1_Q": 1.0,
    "CPE1_alpha": 0.85,
    "R2": 0.02,
    "CPE2_Q": 20.0,
    "CPE2_alpha": 0.8,
    "W1": 0.002,
}


def cell_impedance():
    return CELL.impedance(FREQUENCY, VALUES)


def test_a_linear_circuit_is_valid():
    result = linear_kramers_kronig(FREQUENCY, cell_impedance())
    assert result.valid
    assert result.max_residual_percent < 0.5
    assert result.residual_real.shape == result.residual_imaginary.shape == FREQUENCY.shape


def test_drift_during_the_measurement_is_invalid():
    drift = 1 + 0.15 * np.linspace(0, 1, FREQUENCY.size) ** 2
    low_frequency_jump = np.where(FREQUENCY < 1, 1.1, 1.0)
    result = linear_kramers_kronig(FREQUENCY, cell_impedance() * drift * low_frequency_jump)
    assert not result.valid
    assert result.max_residual_percent > 1


def test_ripples_of_a_coarse_model_do_not_end_the_search():
    # With six elements for six decades mu dips below 0.85 although the spectrum is that of a circuit.
    circuit = parse_circuit("R0-p(R1,CPE1)-p(R2,CPE2)")
    values = {name: VALUES[name] for name in circuit.units}
    frequency = np.geomspace(2e4, 1e-2, 60)
    result = linear_kramers_kronig(frequency, circuit.impedance(frequency, values))
    assert result.valid
    assert result.elements > 12


def test_order_of_points_does_not_matter():
    order = np.random.default_rng(0).permutation(FREQUENCY.size)
    shuffled = linear_kramers_kronig(FREQUENCY[order], cell_impedance()[order])
    assert shuffled.max_residual_percent == linear_kramers_kronig(FREQUENCY, cell_impedance()).max_residual_percent


def test_number_of_elements_stays_below_number_of_points():
    result = linear_kramers_kronig(FREQUENCY[::5], cell_impedance()[::5], mu_threshold=-np.inf)
    assert result.elements == 7


def test_a_capacitive_spectrum_needs_the_series_capacitance():
    tail = cell_impedance() + 1 / (2j * np.pi * FREQUENCY * 50)
    assert linear_kramers_kronig(FREQUENCY, tail).valid
    assert not linear_kramers_kronig(FREQUENCY, tail, add_capacitance=False).valid


def test_impedance_py_example_gives_the_published_numbers(shared_data):
    table = np.loadtxt(shared_data / "eis" / "impedance.py" / "exampleData.csv", delimiter=",")
    frequency, impedance = table[:, 0], table[:, 1] + 1j * table[:, 2]
    first_quadrant = impedance.imag < 0
    result = linear_kramers_kronig(frequency[first_quadrant], impedance[first_quadrant])
    assert result.elements == 24
    assert result.mu == pytest.approx(0.7709, abs=1e-4)
    assert 100 * np.abs(result.residual_real).max() == pytest.approx(0.334, abs=1e-3)
    assert 100 * np.abs(result.residual_imaginary).max() == pytest.approx(0.330, abs=1e-3)
    assert result.valid


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f, z: (f[:7], z[:7]), "7 points are too few"),
        (lambda f, z: (f, z[:-1]), "equal length"),
        (lambda f, z: (f, np.where(f == f[3], np.nan, z)), "point 4 of 50: a value is not finite"),
        (lambda f, z: (np.where(f == f[9], 0, f), z), "point 10 of 50: the frequency is not positive"),
        (lambda f, z: (np.where(f == f[1], f[0], f), z), "10000 Hz occurs twice"),
        (lambda f, z: (f, 0 * z), "the impedance is zero"),
    ],
)
def test_unusable_spectra_are_refused_with_the_place(spoil, message):
    with pytest.raises(AnalysisError, match=message):
        linear_kramers_kronig(*spoil(FREQUENCY, cell_impedance()))
