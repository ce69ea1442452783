from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import spence

from battery_pilot.electrochemistry.impedance.drt import relaxation_times, relaxation_times_batch, to_json
from battery_pilot.errors import AnalysisError

FREQUENCY = np.geomspace(1e4, 1e-2, 57)
S = 2j * np.pi * FREQUENCY
ARCS = ((0.01, 1e-3), (0.02, 0.5))
"""Resistance in ohm and time constant in seconds of the processes below."""


def arcs(alpha: float):
    return 0.02 + sum(resistance / (1 + (S * tau) ** alpha) for resistance, tau in ARCS)


def noisy(impedance, share: float, seed: int):
    noise = np.random.default_rng(seed).standard_normal((2, impedance.size))
    return impedance + share * np.abs(impedance) * (noise[0] + 1j * noise[1]) / np.sqrt(2)


def assert_shows_the_arcs(result, *, resistance: float, decades: float):
    measured = [peak for peak in result.peaks if peak.measured]
    assert len(measured) == len(ARCS)
    for peak, (ohm, tau) in zip(measured, ARCS, strict=True):
        assert peak.resistance_ohm == pytest.approx(ohm, rel=resistance)
        assert abs(np.log10(peak.time_constant_second / tau)) < decades


@pytest.mark.parametrize("alpha", [1.0, 0.85])
@pytest.mark.parametrize("derivative", [1, 2])
def test_two_processes_are_found_with_resistance_and_time_constant(alpha, derivative):
    result = relaxation_times(FREQUENCY, arcs(alpha), derivative=derivative)
    assert_shows_the_arcs(result, resistance=0.03, decades=0.02)
    assert result.series_resistance_ohm == pytest.approx(0.02, rel=0.01)
    assert result.polarisation_resistance_ohm == pytest.approx(0.03, rel=0.01)
    assert result.warnings == ()


@pytest.mark.parametrize("seed", range(5))
def test_noise_of_half_a_percent_moves_the_processes_little_and_adds_none(seed):
    result = relaxation_times(FREQUENCY, noisy(arcs(0.9), 0.005, seed))
    assert_shows_the_arcs(result, resistance=0.05, decades=0.03)
    assert 0.003 < result.relative_rmse < 0.007


def test_gamma_is_that_of_a_cole_cole_arc():
    # Electrochimica Acta 184, section 3: gamma(ln tau) of R / (1 + (s tau0)^alpha).
    alpha = 0.8
    result = relaxation_times(FREQUENCY, 0.02 + 0.03 / (1 + (S * 0.1) ** alpha))
    distance = alpha * np.log(result.time_constant_second / 0.1)
    turn = (1 - alpha) * np.pi
    expected = 0.03 / (2 * np.pi) * np.sin(turn) / (np.cosh(distance) - np.cos(turn))
    assert np.abs(result.gamma_ohm - expected).max() < 0.04 * expected.max()


def test_the_model_is_the_integral_over_the_piecewise_linear_gamma():
    # With u = ln(w tau), u^2 / 2 + Li2(-j e^u) is the second antiderivative of 1 / (1 + j e^u).
    result = relaxation_times(FREQUENCY, arcs(0.85), add_inductance=False, add_capacitance=False)
    log_tau = np.log(result.time_constant_second)
    step = log_tau[1] - log_tau[0]
    around = np.concatenate([[log_tau[0] - step], log_tau, [log_tau[-1] + step]])
    u = np.log(2 * np.pi * result.frequency_hertz)[:, None] + around
    triangles = np.diff(u**2 / 2 + spence(1 + 1j * np.exp(u)), 2, axis=1) / step
    exact = result.series_resistance_ohm + triangles @ result.gamma_ohm
    assert np.abs(exact - result.impedance_ohm).max() < 1e-7 * np.abs(exact).max()


def test_peaks_without_ripples_share_the_whole_polarisation_resistance():
    result = relaxation_times(FREQUENCY, arcs(0.85))
    assert sum(peak.resistance_ohm for peak in result.peaks) == pytest.approx(result.polarisation_resistance_ohm)


def test_leads_and_a_blocking_end_are_told_from_the_processes():
    result = relaxation_times(FREQUENCY, arcs(0.95) + S * 1e-7 + 1 / (S * 500))
    assert result.inductance_henry == pytest.approx(1e-7, rel=0.02)
    assert result.elastance_per_farad == pytest.approx(1 / 500, rel=0.05)
    assert_shows_the_arcs(result, resistance=0.05, decades=0.05)


def test_elements_that_are_left_out_are_zero():
    result = relaxation_times(FREQUENCY, arcs(0.9) + S * 1e-7, add_inductance=False, add_capacitance=False)
    assert (result.inductance_henry, result.elastance_per_farad) == (0, 0)


@pytest.mark.parametrize("impedance", [np.full(FREQUENCY.size, 0.02), 0.02 + S * 1e-7])
def test_a_resistor_has_no_processes(impedance):
    result = relaxation_times(FREQUENCY, impedance)
    assert result.peaks == ()
    assert result.series_resistance_ohm == pytest.approx(0.02)
    assert result.warnings == ()


def test_cross_validation_smooths_more_where_there_is_more_noise():
    chosen = [relaxation_times(FREQUENCY, noisy(arcs(0.85), share, 1)).regularisation for share in (0, 1e-3, 1e-2)]
    assert chosen[0] < chosen[1] < chosen[2]


def test_a_larger_regularisation_gives_a_flatter_distribution():
    heights = [relaxation_times(FREQUENCY, arcs(1), regularisation=value).gamma_ohm.max() for value in (1e-5, 1e-2)]
    assert heights[1] < 0.7 * heights[0]


def test_a_spectrum_that_no_relaxations_explain_is_warned_of():
    drifting = arcs(0.85) * (1 + 0.3 * np.linspace(0, 1, FREQUENCY.size) ** 2) * np.where(FREQUENCY < 1, 1.1, 1.0)
    (warning,) = relaxation_times(FREQUENCY, drifting).warnings
    assert warning.startswith("the distribution misses the spectrum by 4.5% of |Z|")


def test_a_tail_that_goes_on_beyond_the_lowest_frequency_is_warned_of():
    result = relaxation_times(FREQUENCY, arcs(0.85) + 0.03 / (1 + S * 40), add_capacitance=False)
    assert not result.peaks[-1].measured
    (warning,) = result.warnings
    assert "of the polarisation resistance belong to processes slower than the lowest measured frequency" in warning


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [(0, 7, "7 points are too few"), (0, 9, "span 0.86 decades, too few .* measure at least 1")],
)
def test_a_spectrum_too_short_is_refused(start, stop, message):
    with pytest.raises(AnalysisError, match=message):
        relaxation_times(FREQUENCY[start:stop], arcs(0.85)[start:stop])


@pytest.mark.parametrize("value", [0, -1, np.inf, np.nan])
def test_a_regularisation_that_is_none_is_refused(value):
    with pytest.raises(AnalysisError, match="is not a number above 0"):
        relaxation_times(FREQUENCY, arcs(0.85), regularisation=value)


def test_few_points_give_a_smooth_distribution_rather_than_none():
    few = slice(None, None, 7)
    result = relaxation_times(FREQUENCY[few], arcs(0.85)[few])
    assert result.polarisation_resistance_ohm == pytest.approx(0.03, rel=0.05)


def test_many_spectra_give_what_each_gives_alone():
    impedances = np.array([noisy(arcs(alpha), 1e-3, 2) for alpha in (1.0, 0.9, 0.8)])
    together = relaxation_times_batch(FREQUENCY, impedances)
    for result, impedance in zip(together, impedances, strict=True):
        assert np.array_equal(result.gamma_ohm, relaxation_times(FREQUENCY, impedance).gamma_ohm)


def test_the_spoiled_one_of_many_spectra_is_named():
    impedances = np.array([arcs(0.9)] * 3)
    impedances[1, 4] = np.nan
    with pytest.raises(AnalysisError, match="row 2 of 3 holds a value that is not finite"):
        relaxation_times_batch(FREQUENCY, impedances)


def test_no_spectra_give_no_distributions():
    assert relaxation_times_batch(FREQUENCY, np.empty((0, FREQUENCY.size))) == []


@settings(max_examples=20, deadline=None)
@given(exponent=st.floats(-7, 7), alpha=st.floats(0.6, 1.0), seed=st.integers(0, 99))
def test_a_scaled_impedance_has_a_scaled_distribution(exponent, alpha, seed):
    impedance = noisy(arcs(alpha), 1e-3, seed)
    factor = 10.0**exponent
    once, scaled = (relaxation_times(FREQUENCY, k * impedance, regularisation=1e-3) for k in (1, factor))
    assert scaled.gamma_ohm == pytest.approx(factor * once.gamma_ohm, rel=1e-6, abs=1e-8 * factor)
    assert scaled.series_resistance_ohm == pytest.approx(factor * once.series_resistance_ohm, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(FREQUENCY.size)))
def test_the_order_of_the_points_does_not_matter(order):
    impedance = noisy(arcs(0.85), 1e-3, 3)
    result = relaxation_times(FREQUENCY[order], impedance[order], regularisation=1e-3)
    assert np.array_equal(result.gamma_ohm, relaxation_times(FREQUENCY, impedance, regularisation=1e-3).gamma_ohm)


@settings(max_examples=20, deadline=None)
@given(
    parts=st.lists(
        st.tuples(st.floats(-10, 10), st.floats(-10, 10)).filter(lambda part: max(map(abs, part)) > 1e-9),
        min_size=12,
        max_size=12,
    ),
    decades=st.floats(1, 12),
)
def test_any_finite_spectrum_gives_a_finite_distribution(parts, decades):
    frequency = np.geomspace(1, 10**decades, 12) * 1.0000001 ** np.arange(12)
    impedance = np.array([complex(*part) for part in parts])
    result = relaxation_times(frequency, impedance)
    assert np.isfinite(result.gamma_ohm).all()
    assert (result.gamma_ohm >= 0).all()
    json.dumps(to_json(result), allow_nan=False)


def test_json_holds_the_peaks_by_rising_time_constant():
    document = json.loads(json.dumps(to_json(relaxation_times(FREQUENCY, arcs(0.9))), allow_nan=False))
    assert list(document) == [
        "peaks",
        "polarisation_resistance_ohm",
        "series_resistance_ohm",
        "regularisation",
        "relative_rmse",
        "warnings",
    ]
    assert [list(peak) for peak in document["peaks"]] == [["time_constant_second", "resistance_ohm", "measured"]] * 2
    assert document["peaks"][0]["time_constant_second"] < document["peaks"][1]["time_constant_second"]


def test_the_example_of_impedance_py_is_explained(shared_data):
    table = np.loadtxt(shared_data / "eis" / "impedance.py" / "exampleData.csv", delimiter=",")
    result = relaxation_times(table[:, 0], table[:, 1] + 1j * table[:, 2])
    assert result.relative_rmse < 0.007
    assert result.series_resistance_ohm == pytest.approx(0.0151, rel=0.02)
    assert all("misses" not in warning for warning in result.warnings)
