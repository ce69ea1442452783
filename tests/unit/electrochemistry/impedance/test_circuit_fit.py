from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.electrochemistry.impedance.circuit import CircuitError, parse_circuit
from battery_pilot.electrochemistry.impedance.fit import fit_circuit, fit_circuits
from battery_pilot.errors import AnalysisError, InputError

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


@pytest.mark.parametrize(
    ("circuit", "values"),
    [
        ("R0-p(R1-W1,C1)", {"R0": 0.01, "R1": 0.02, "W1": 0.005, "C1": 0.3}),
        ("R0-p(R1-Wo2,CPE1)", {"R0": 1, "R1": 2, "Wo2_R": 1, "Wo2_tau": 10, "CPE1_Q": 1e-3, "CPE1_alpha": 0.9}),
        ("R0-p(R1-p(R2,C2),C1)", {"R0": 1, "R1": 2, "R2": 3, "C2": 1, "C1": 1e-3}),
        ("R0-Zarc1-Zarc2", {"R0": 1, "Zarc1_R": 2, "Zarc1_tau": 1e-3, "Zarc1_gamma": 0.9}
         | {"Zarc2_R": 1, "Zarc2_tau": 0.5, "Zarc2_gamma": 0.8}),
        ("R0-p(R1,C1)-G2", {"R0": 1, "R1": 2, "C1": 1e-3, "G2_R": 2, "G2_tau": 10}),
        ("R0-p(R1,C1)-Ws2", {"R0": 1, "R1": 2, "C1": 1e-3, "Ws2_R": 2, "Ws2_tau": 20}),
        ("R0-p(R1,C1)-Wo2", {"R0": 1, "R1": 2, "C1": 1e-3, "Wo2_R": 2, "Wo2_tau": 20}),
        ("L0-C9-R0-p(R1,C1)-p(R2,C2)-p(R3,C3)", {"L0": 1e-6, "C9": 50, "R0": 1, "R1": 1, "C1": 1e-3}
         | {"R2": 1, "C2": 0.03, "R3": 1, "C3": 1}),
    ],
)  # fmt: skip
def test_every_kind_of_element_is_recovered_without_a_guess(circuit, values):
    fit = fit_circuit(FREQUENCY, spectrum(circuit, values), circuit)
    assert fit.relative_rmse < 1e-5
    for name, parameter in fit.parameters.items():
        assert parameter.value == pytest.approx(values[name], rel=1e-3), name


def test_polarisation_counts_the_resistances_of_arcs_only():
    values = {"R0": 1, "Zarc1_R": 2, "Zarc1_tau": 1e-3, "Zarc1_gamma": 0.9, "R2": 1, "C2": 1, "W3": 0.1}
    circuit = "R0-Zarc1-p(R2,C2)-W3"
    fit = fit_circuit(FREQUENCY, spectrum(circuit, values), circuit)
    assert fit.series_resistances == ("R0",)
    assert fit.arc_resistances == ("Zarc1_R", "R2")


def test_a_fixed_parameter_keeps_its_value_and_has_no_error():
    fit = fit_circuit(FREQUENCY, spectrum(noise=0.002), CIRCUIT, fixed={"R0": 0.025})
    assert fit.parameters["R0"].value == pytest.approx(0.025, rel=1e-12)
    assert fit.parameters["R0"].standard_error is None
    assert fit.parameters["L0"].standard_error > 0
    assert fit.relative_rmse > fit_circuit(FREQUENCY, spectrum(noise=0.002), CIRCUIT).relative_rmse


def test_shared_parameters_have_one_value_and_one_error():
    circuit, values = "R0-p(R1,CPE1)-p(R2,CPE2)", {name: TRUE[name] for name in TRUE if name not in ("L0", "W1")}
    values = values | {"CPE1_alpha": 0.88, "CPE2_alpha": 0.88}
    measured = spectrum(circuit, values, noise=0.002)
    fit = fit_circuit(FREQUENCY, measured, circuit, shared=[("CPE1_alpha", "CPE2_alpha")])
    first, second = fit.parameters["CPE1_alpha"], fit.parameters["CPE2_alpha"]
    assert first == second
    assert first.value == pytest.approx(0.88, abs=4 * first.standard_error)
    assert first.standard_error < fit_circuit(FREQUENCY, measured, circuit).parameters["CPE1_alpha"].standard_error


def test_bounds_are_kept():
    fit = fit_circuit(FREQUENCY, spectrum(), CIRCUIT, bounds={"R0": (0.0, 0.015), "CPE2_alpha": (0.9, 1.0)})
    assert fit.parameters["R0"].value <= 0.015 * (1 + 1e-12)
    assert 0.9 * (1 - 1e-12) <= fit.parameters["CPE2_alpha"].value <= 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fixed": {"R7": 1.0}}, "has no parameter R7; its parameters: L0, R0"),
        ({"fixed": {"R0": 0.0}}, "R0 is fixed to 0.0; expected a value greater than 0"),
        ({"bounds": {"R0": (2.0, 1.0)}}, "R0 has the bounds 2.0..1.0"),
        ({"shared": [("R0", "CPE1_Q")]}, "differ in unit: R0 in ohm, CPE1_Q in"),
        ({"shared": [("R0",)]}, "expected at least two names"),
        ({"shared": [("R0", "R1")], "fixed": {"R0": 1.0}}, "R0: restricted twice"),
        ({"fixed": dict.fromkeys(TRUE, 0.5)}, "all parameters are fixed"),
    ],
)
def test_restrictions_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        fit_circuit(FREQUENCY, spectrum(), CIRCUIT, **options)


def test_unit_weighting_fits_the_large_impedances_better():
    values = {"R0": 0.01, "R1": 0.02, "CPE1_Q": 0.5, "CPE1_alpha": 0.7, "W1": 0.02}
    measured = spectrum("R0-p(R1,CPE1)-W1", values, noise=0.03)
    fits = {
        weighting: fit_circuit(FREQUENCY, measured, "R0-p(R1,CPE1)-W1", weighting=weighting)
        for weighting in ("modulus", "unit")
    }
    in_ohm = {name: np.linalg.norm(fit.impedance_ohm - measured) for name, fit in fits.items()}
    assert in_ohm["unit"] < in_ohm["modulus"]
    assert fits["modulus"].relative_rmse < fits["unit"].relative_rmse


def test_correlation_is_that_of_repeated_measurements():
    circuit, values = "R0-p(R1,C1)", {"R0": 0.01, "R1": 0.02, "C1": 0.5}
    random = np.random.default_rng(2)
    clean = spectrum(circuit, values)
    noise = random.standard_normal((400, FREQUENCY.size, 2)) @ [1, 1j]
    fits = fit_circuits(FREQUENCY, clean * (1 + 0.01 * noise), circuit)
    found = np.log([[parameter.value for parameter in fit.parameters.values()] for fit in fits])
    np.testing.assert_allclose(fits[0].correlation, np.corrcoef(found.T), atol=0.15)
    errors = [parameter.standard_error / parameter.value for parameter in fits[0].parameters.values()]
    np.testing.assert_allclose(errors, found.std(axis=0), rtol=0.3)


def test_the_better_of_the_given_candidates_is_chosen():
    values = {"R0": 0.01, "R1": 0.02, "C1": 0.5, "Ws2_R": 0.03, "Ws2_tau": 20.0}
    measured = spectrum("R0-p(R1,C1)-Ws2", values, noise=0.002)
    fit = fit_circuit(FREQUENCY, measured, ["R0-p(R1,C1)", "R0-p(R1,C1)-Ws2", "R0-p(R1,C1)-W2"])
    assert fit.circuit == "R0-p(R1,C1)-Ws2"
    assert fit.aic < fit_circuit(FREQUENCY, measured, "R0-p(R1,C1)-W2").aic


@pytest.mark.parametrize("circuit", [CIRCUIT, None, ["R0-p(R1,CPE1)", "L0-R0-p(R1,CPE1)-W1"]])
def test_many_spectra_of_one_grid_are_fitted_as_each_alone(circuit):
    random = np.random.default_rng(6)
    noise = random.standard_normal((8, FREQUENCY.size, 2)) @ [1, 1j]
    spectra = spectrum() * np.geomspace(0.1, 10, 8)[:, None] * (1 + 0.003 * noise)
    spectra[::2] = spectra[::2].real - 1j * np.abs(spectra[::2].imag)
    together = fit_circuits(FREQUENCY, spectra, circuit)
    for one, measured in zip(together, spectra, strict=True):
        alone = fit_circuit(FREQUENCY, measured, circuit)
        assert one.circuit == alone.circuit
        assert one.relative_rmse == pytest.approx(alone.relative_rmse, rel=1e-6)
        np.testing.assert_allclose(one.impedance_ohm, alone.impedance_ohm, rtol=1e-5)


def test_a_batch_with_an_unusable_spectrum_names_its_row():
    spectra = np.array([spectrum(), spectrum(), spectrum()])
    spectra[1, 3] = np.nan
    with pytest.raises(AnalysisError, match="row 2 of 3 holds a value that is not finite or no impedance of a cell"):
        fit_circuits(FREQUENCY, spectra, "R0-p(R1,C1)")


def test_random_two_arc_cells_reach_their_noise():
    random = np.random.default_rng(5)
    circuit = parse_circuit("L0-R0-p(R1,CPE1)-p(R2,CPE2)-W1")
    measured = []
    for _ in range(60):
        scale, taus = (
            10 ** random.uniform(-3, 2),
            10 ** np.array([random.uniform(-3.3, -1.5), random.uniform(-0.8, 0.5)]),
        )
        alphas, shares = random.uniform(0.7, 1, 2), 10 ** random.uniform(-0.5, 0.5, 2)
        values = {"L0": 1e-6 * scale, "R0": scale, "W1": 0.1 * scale}
        for arc in (1, 2):
            values[f"R{arc}"] = scale * shares[arc - 1]
            values[f"CPE{arc}_alpha"] = alphas[arc - 1]
            values[f"CPE{arc}_Q"] = taus[arc - 1] ** alphas[arc - 1] / values[f"R{arc}"]
        measured.append(circuit.impedance(FREQUENCY, values))
    noise = random.standard_normal((60, FREQUENCY.size, 2)) @ [1, 1j]
    fits = fit_circuits(FREQUENCY, np.array(measured) * (1 + 0.003 * noise), circuit.string)
    reached = [fit.relative_rmse < 1.25 * 0.003 * np.sqrt(2) for fit in fits]
    assert np.mean(reached) >= 0.95


@settings(max_examples=30, deadline=None)
@given(decades=st.floats(-8, 10), spread=st.floats(0, 6), seed=st.integers(0, 1000))
def test_any_numbers_get_a_finite_fit(decades, spread, seed):
    random = np.random.default_rng(seed)
    frequency = np.geomspace(1e4, 1e-1, 12)
    impedance = (random.standard_normal((12, 2)) @ [1, 1j]) * 10 ** (
        decades + random.uniform(-spread / 2, spread / 2, 12)
    )
    fit = fit_circuit(frequency, impedance)
    assert np.isfinite([fit.relative_rmse, fit.aic]).all()
    assert np.isfinite(fit.impedance_ohm).all()
    assert all(0 < parameter.value < np.inf for parameter in fit.parameters.values())
