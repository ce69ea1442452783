from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.electrochemistry.impedance.circuit import CircuitError, parse_circuit
from battery_pilot.electrochemistry.impedance.fit import fit_circuit
from battery_pilot.errors import AnalysisError

FREQUENCY = np.geomspace(1e4, 1e-2, 50)
CIRCUIT = "L0-R0-p(R1,CPE1)-p(R2,CPE2)-W1"
TRUE = {
    "L0": 2e-7,
    "R0": 0.02,
    "R1": 0.01,
    "CPE1_Q": 1.0,
    "CPE1_alpha": 0.9,
    "R2": 0.02,
    "CPE2_Q": 20.0,
    "CPE2_alpha": 0.85,
    "W1": 0.003,
}


def spectrum(circuit: str = CIRCUIT, values: dict[str, float] = TRUE, noise: float = 0.0):
    impedance = parse_circuit(circuit).impedance(FREQUENCY, values)
    random = np.random.default_rng(1)
    error = random.standard_normal(FREQUENCY.size) + 1j * random.standard_normal(FREQUENCY.size)
    return impedance * (1 + noise * error)


def test_simulated_parameters_are_recovered():
    fit = fit_circuit(FREQUENCY, spectrum(), CIRCUIT)
    assert fit.relative_rmse < 1e-5
    assert list(fit.parameters) == list(TRUE)
    for name, parameter in fit.parameters.items():
        assert parameter.value == pytest.approx(TRUE[name], rel=1e-3), name


def test_standard_errors_cover_the_truth_under_noise():
    fit = fit_circuit(FREQUENCY, spectrum(noise=0.002), CIRCUIT)
    assert fit.relative_rmse == pytest.approx(0.002 * np.sqrt(2), rel=0.2)
    for name, parameter in fit.parameters.items():
        assert abs(parameter.value - TRUE[name]) < 4 * parameter.standard_error, name


def test_arcs_are_ordered_by_time_constant():
    swapped = dict(TRUE)
    for one, other in (("R1", "R2"), ("CPE1_Q", "CPE2_Q"), ("CPE1_alpha", "CPE2_alpha")):
        swapped[one], swapped[other] = TRUE[other], TRUE[one]
    fit = fit_circuit(FREQUENCY, spectrum(values=swapped), CIRCUIT)
    assert fit.parameters["R1"].value == pytest.approx(TRUE["R1"], rel=1e-3)
    assert fit.parameters["R2"].value == pytest.approx(TRUE["R2"], rel=1e-3)


def test_fitted_impedance_keeps_the_order_of_the_points():
    impedance = spectrum()
    fit = fit_circuit(FREQUENCY[::-1], impedance[::-1], CIRCUIT)
    np.testing.assert_allclose(fit.impedance_ohm, impedance[::-1], rtol=1e-4)


def test_parameters_that_cannot_be_told_apart_have_no_standard_error():
    values = {"R0": 0.01, "R1": 0.02, "C1": 0.5}
    fit = fit_circuit(FREQUENCY, spectrum("R0-p(R1,C1)", values, noise=1e-3), "R0-R9-p(R1,C1)")
    assert fit.parameters["R0"].standard_error is None
    assert fit.parameters["R9"].standard_error is None
    assert fit.parameters["R1"].standard_error < 1e-3
    total = fit.parameters["R0"].value + fit.parameters["R9"].value
    assert total == pytest.approx(0.01, rel=0.01)


def test_smallest_sufficient_circuit_is_chosen():
    values = {"R0": 0.01, "R1": 0.02, "CPE1_Q": 0.5, "CPE1_alpha": 0.9}
    fit = fit_circuit(FREQUENCY, spectrum("R0-p(R1,CPE1)", values, noise=0.002))
    assert fit.circuit == "R0-p(R1,CPE1)"


def test_inductive_spectrum_gets_an_inductance():
    assert fit_circuit(FREQUENCY, spectrum(noise=0.001)).circuit == CIRCUIT


def test_same_spectrum_gives_the_same_fit():
    impedance = spectrum(noise=0.01)
    assert fit_circuit(FREQUENCY, impedance).parameters == fit_circuit(FREQUENCY, impedance).parameters


def test_too_large_a_circuit_is_refused():
    with pytest.raises(AnalysisError, match="18 parameters cannot be found from 8 points"):
        fit_circuit(FREQUENCY[::7], spectrum()[::7], "-".join(f"p(R{k},CPE{k})" for k in range(6)))


def test_broken_circuit_string_is_refused():
    with pytest.raises(CircuitError, match="position 4"):
        fit_circuit(FREQUENCY, spectrum(), "R0-Q1")


@settings(max_examples=15, deadline=None)
@given(
    resistance=st.floats(1e-3, 10),
    ratio=st.floats(0.3, 3),
    tau=st.floats(1e-3, 1.0),
)
def test_one_arc_is_recovered_at_any_scale(resistance, ratio, tau):
    values = {"R0": resistance, "R1": ratio * resistance, "C1": tau / (ratio * resistance)}
    fit = fit_circuit(FREQUENCY, spectrum("R0-p(R1,C1)", values), "R0-p(R1,C1)")
    for name, parameter in fit.parameters.items():
        assert parameter.value == pytest.approx(values[name], rel=1e-4)


def test_zhang_spectra_fit_within_five_percent(shared_data):
    folder = shared_data / "ageing" / "zhang2020" / "predict_capacity_from_eis" / "data"
    table = pd.read_csv(folder / "data_eis_zhang2020.csv")[::50]
    frequency = np.loadtxt(folder / "freq_eis_zhang2020.csv")
    # The file holds the negative imaginary part.
    impedance = table.filter(like="ZReal").to_numpy() - 1j * table.filter(like="ZImag").to_numpy()
    assert all(fit_circuit(frequency, z, CIRCUIT).relative_rmse < 0.05 for z in impedance)
