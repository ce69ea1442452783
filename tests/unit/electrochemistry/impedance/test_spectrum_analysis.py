from __future__ import annotations

import json

import numpy as np
import pytest

from battery_pilot.electrochemistry.impedance.analysis import analyse_spectrum, to_json
from battery_pilot.electrochemistry.impedance.circuit import parse_circuit
from battery_pilot.errors import AnalysisError

CIRCUIT = "L0-R0-p(R1,CPE1)-p(R2,CPE2)"
VALUES = {
    "L0": 2e-7,
    "R0": 0.02,
    "R1": 0.01,
    "CPE1_Q": 1.0,
    "CPE1_alpha": 0.9,
    "R2": 0.02,
    "CPE2_Q": 20.0,
    "CPE2_alpha": 0.85,
}


def spectrum(highest: float, lowest: float = 1e-2, points: int = 60):
    frequency = np.geomspace(highest, lowest, points)
    return frequency, parse_circuit(CIRCUIT).impedance(frequency, VALUES)


def test_resistances_of_a_simulated_cell():
    frequency, impedance = spectrum(2e4)
    analysis = analyse_spectrum(frequency, impedance, CIRCUIT)
    assert analysis.ohmic_resistance_method == "zero crossing"
    crossing = np.flatnonzero(impedance.imag < 0)[0]
    assert impedance.real[crossing - 1] <= analysis.ohmic_resistance_ohm <= impedance.real[crossing]
    assert frequency[crossing] <= analysis.ohmic_frequency_hertz <= frequency[crossing - 1]
    assert analysis.polarisation_resistance_ohm == pytest.approx(0.03, rel=1e-3)
    assert analysis.validity.valid
    assert analysis.absent == {}


def test_ac_resistance_is_interpolated_in_the_logarithm_of_the_frequency():
    frequency, impedance = np.array([4000.0, 250, 60, 20, 6, 2, 0.6, 0.2]), np.linspace(1, 2, 8) - 0.1j
    # 1 kHz lies halfway between 4 kHz and 250 Hz on a logarithmic axis.
    expected = (impedance[0].real + impedance[1].real) / 2
    assert analyse_spectrum(frequency, impedance, "R0-p(R1,CPE1)").ac_resistance_ohm == pytest.approx(expected)


def test_a_spectrum_below_1_khz_has_no_ac_resistance_and_says_why():
    analysis = analyse_spectrum(*spectrum(500), CIRCUIT)
    assert analysis.ac_resistance_ohm is None
    assert analysis.absent["ac_resistance_ohm"] == "the spectrum spans 0.01..500 Hz, which does not include 1 kHz"


def test_capacitive_spectrum_takes_the_ohmic_resistance_from_the_fit():
    analysis = analyse_spectrum(*spectrum(500), CIRCUIT)
    assert analysis.ohmic_resistance_method == "fitted series resistance"
    assert analysis.ohmic_frequency_hertz is None
    assert analysis.ohmic_resistance_ohm == pytest.approx(0.02, rel=1e-3)


def test_errors_of_the_resistances_are_those_of_repeated_measurements():
    frequency, impedance = spectrum(500)
    random = np.random.default_rng(0)
    noisy = [impedance * (1 + 0.002 * (random.normal(size=60) + 1j * random.normal(size=60))) for _ in range(60)]
    found = [analyse_spectrum(frequency, one, CIRCUIT, fixed={"L0": 2e-7}) for one in noisy]
    for name in ("ohmic_resistance", "polarisation_resistance"):
        spread = np.std([getattr(one, f"{name}_ohm") for one in found])
        stated = np.median([getattr(one, f"{name}_error_ohm") for one in found])
        assert stated == pytest.approx(spread, rel=0.35), name
    assert analyse_spectrum(*spectrum(2e4), CIRCUIT).ohmic_resistance_error_ohm is None


def test_a_bad_fit_gives_no_resistances():
    frequency, impedance = spectrum(500)
    analysis = analyse_spectrum(frequency, impedance, "R0-C1")
    assert analysis.fit.relative_rmse > 0.05
    assert analysis.ohmic_resistance_ohm is None
    assert analysis.polarisation_resistance_ohm is None
    assert set(analysis.absent) == {"ohmic_resistance_ohm", "polarisation_resistance_ohm", "ac_resistance_ohm"}


def test_json_has_the_agreed_shape():
    document = json.loads(json.dumps(to_json(analyse_spectrum(*spectrum(2e4), CIRCUIT)), allow_nan=False))
    assert set(document["validity"]) == {"m", "mu", "max_residual_percent", "valid", "trusted_hertz"}
    assert set(document["circuit"]) == {"string", "parameters", "relative_rmse", "aic"}
    assert document["circuit"]["string"] == CIRCUIT
    assert list(document["circuit"]["parameters"]) == list(VALUES)
    assert set(document["circuit"]["parameters"]["R1"]) == {"value", "unit", "standard_error"}
    assert document["polarisation_resistance_ohm"] == pytest.approx(0.03, rel=1e-3)


def test_too_few_points_are_refused():
    frequency, impedance = spectrum(1e4, points=7)
    with pytest.raises(AnalysisError, match="7 points are too few; measure at least 8 frequencies"):
        analyse_spectrum(frequency, impedance)


def test_non_finite_values_are_refused():
    frequency, impedance = spectrum(1e4)
    impedance[5] = complex(np.nan, 0)
    with pytest.raises(AnalysisError, match="point 6 of 60: a value is not finite"):
        analyse_spectrum(frequency, impedance)
