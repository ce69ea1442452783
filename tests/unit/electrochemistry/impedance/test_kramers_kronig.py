from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from battery_pilot.electrochemistry.impedance.circuit import parse_circuit
from battery_pilot.electrochemistry.impedance.kramers_kronig import (
    fixed_kramers_kronig,
    linear_kramers_kronig,
    linear_kramers_kronig_batch,
)
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


def test_the_whole_range_of_a_valid_spectrum_can_be_trusted():
    assert linear_kramers_kronig(FREQUENCY, cell_impedance()).trusted_hertz == pytest.approx((1e-2, 1e4))


def test_only_the_sound_part_of_a_spectrum_can_be_trusted():
    slow = FREQUENCY < 0.1
    random = np.random.default_rng(3)
    spoilt = cell_impedance() * np.where(slow, 1 + 0.1 * random.standard_normal(FREQUENCY.size), 1)
    result = linear_kramers_kronig(FREQUENCY, spoilt)
    assert not result.valid
    lowest, highest = result.trusted_hertz
    assert 0.02 < lowest < 1
    assert highest == pytest.approx(1e4)
    inside = (lowest <= FREQUENCY) & (highest >= FREQUENCY)
    assert np.abs(result.residual_real[inside]).max() < 0.01
    assert np.abs(result.residual_imaginary[inside]).max() < 0.01


def test_noise_everywhere_leaves_no_range_to_trust():
    random = np.random.default_rng(3)
    noise = 1 + 0.3 * (random.standard_normal(FREQUENCY.size) + 1j * random.standard_normal(FREQUENCY.size))
    assert linear_kramers_kronig(FREQUENCY, cell_impedance() * noise).trusted_hertz is None


def test_chi_squared_is_the_sum_of_the_squared_residuals():
    result = linear_kramers_kronig(FREQUENCY, 1.01 * cell_impedance() + 1e-4)
    expected = np.sum(result.residual_real**2 + result.residual_imaginary**2)
    assert result.chi_squared == pytest.approx(expected)


def test_the_published_search_starts_at_one_element():
    circuit = parse_circuit("R0-p(R1,C1)")
    impedance = circuit.impedance(FREQUENCY, {"R0": 1.0, "R1": 2.0, "C1": 1.0})
    published = linear_kramers_kronig(FREQUENCY, impedance, minimum_elements=1)
    assert published.elements < linear_kramers_kronig(FREQUENCY, impedance).elements
    assert published.mu <= 0.85


def test_fixed_number_of_elements_is_one_per_point_unless_given():
    # Three unknowns more than elements: the resistance, the capacitance and the inductance in series.
    assert fixed_kramers_kronig(FREQUENCY, cell_impedance()).elements == FREQUENCY.size - 3
    assert fixed_kramers_kronig(FREQUENCY, cell_impedance(), elements=12).elements == 12


def test_fixed_number_of_elements_accepts_a_circuit_and_rejects_drift():
    assert fixed_kramers_kronig(FREQUENCY, cell_impedance()).max_residual_percent < 0.05
    jump = np.where(FREQUENCY < 1, 1.1, 1.0)
    assert not fixed_kramers_kronig(FREQUENCY, cell_impedance() * jump).valid


@pytest.mark.parametrize("extras", [(True, True), (True, False), (False, True), (False, False)])
def test_many_spectra_of_one_grid_give_the_same_as_each_alone(extras):
    random = np.random.default_rng(4)
    noise = random.standard_normal((6, FREQUENCY.size, 2)) @ [1, 1j]
    spectra = cell_impedance() * (1 + np.geomspace(1e-4, 1e-1, 6)[:, None] * noise)
    options = {"add_capacitance": extras[0], "add_inductance": extras[1]}
    together = linear_kramers_kronig_batch(FREQUENCY[::-1], spectra[:, ::-1], **options)
    for one, spectrum in zip(together, spectra, strict=True):
        alone = linear_kramers_kronig(FREQUENCY, spectrum, **options)
        assert one.elements == alone.elements
        assert one.mu == pytest.approx(alone.mu, abs=1e-8)
        np.testing.assert_allclose(one.residual_real, alone.residual_real, atol=1e-10)
        np.testing.assert_allclose(one.residual_imaginary, alone.residual_imaginary, atol=1e-10)


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


@settings(max_examples=40, deadline=None)
@given(decades=st.floats(-10, 15), spread=st.floats(0, 6), span=st.floats(1e-6, 8), seed=st.integers(0, 1000))
def test_any_numbers_get_a_verdict(decades, spread, span, seed):
    random = np.random.default_rng(seed)
    frequency = np.geomspace(1, 10**span, 12)
    impedance = (random.standard_normal((12, 2)) @ [1, 1j]) * 10 ** (
        decades + random.uniform(-spread / 2, spread / 2, 12)
    )
    assume((np.abs(impedance) > 1e-12).all())
    result = linear_kramers_kronig(frequency, impedance)
    assert result.valid == (result.max_residual_percent <= 1)
    assert np.isfinite([result.mu, result.chi_squared]).all()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f, z: (f[:7], z[:7]), "7 points are too few"),
        (lambda f, z: (f, z[:-1]), "equal length"),
        (lambda f, z: (f, np.where(f == f[3], np.nan, z)), "point 4 of 50: a value is not finite"),
        (lambda f, z: (np.where(f == f[9], 0, f), z), "point 10 of 50: the frequency is not positive"),
        (lambda f, z: (np.where(f == f[1], f[0], f), z), "10000 Hz occurs twice"),
        (lambda f, z: (f, 0 * z), "the impedance is zero"),
        (lambda f, z: (f, 1e30 * z), "point 1 of 50: the impedance is no cell's; check the unit"),
    ],
)
def test_unusable_spectra_are_refused_with_the_place(spoil, message):
    with pytest.raises(AnalysisError, match=message):
        linear_kramers_kronig(*spoil(FREQUENCY, cell_impedance()))
