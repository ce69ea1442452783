from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.electrochemistry.impedance.analysis import analyse_spectrum
from battery_pilot.electrochemistry.impedance.batch import analyse_all, analyse_spectra
from battery_pilot.electrochemistry.impedance.circuit import CircuitError, parse_circuit
from battery_pilot.electrochemistry.impedance.fit import SPECTRA_AT_ONCE
from battery_pilot.errors import AnalysisError, MeasurementError
from battery_pilot.measurements import read

FREQUENCY = np.geomspace(1e4, 1e-2, 40)
CIRCUIT = "R0-p(R1,CPE1)"


def spectra(count: int, frequency=FREQUENCY):
    clean = parse_circuit("R0-p(R1,CPE1)-W1").impedance(
        frequency, {"R0": 0.01, "R1": 0.02, "CPE1_Q": 0.5, "CPE1_alpha": 0.9, "W1": 0.001}
    )
    noise = np.random.default_rng(1).standard_normal((count, frequency.size, 2)) @ [1, 1j]
    return clean * np.linspace(1, 2, count)[:, None] * (1 + 0.002 * noise)


def assert_same(one, other):
    assert one.fit.circuit == other.fit.circuit
    assert one.validity.elements == other.validity.elements
    assert one.validity.max_residual_percent == pytest.approx(other.validity.max_residual_percent, rel=1e-6)
    for name in ("ohmic_resistance_ohm", "polarisation_resistance_ohm", "ac_resistance_ohm"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-4), name
    assert one.absent == other.absent


def test_a_batch_gives_the_analyses_of_each_spectrum():
    measured = spectra(5)
    for one, impedance in zip(analyse_spectra(FREQUENCY, measured, CIRCUIT), measured, strict=True):
        assert_same(one, analyse_spectrum(FREQUENCY, impedance, CIRCUIT))


def test_more_spectra_than_are_fitted_at_once_come_in_their_order():
    measured = spectra(SPECTRA_AT_ONCE + 3)
    ohmic = [one.ohmic_resistance_ohm for one in analyse_spectra(FREQUENCY, measured, "R0-p(R1,C1)-W1")]
    np.testing.assert_allclose(ohmic, 0.01 * np.linspace(1, 2, SPECTRA_AT_ONCE + 3), rtol=0.03)


def test_a_row_that_cannot_be_analysed_does_not_cost_the_others():
    measured = spectra(3)
    measured[1, 4] = np.nan
    first, second, third = analyse_spectra(FREQUENCY, measured, CIRCUIT)
    assert isinstance(second, AnalysisError)
    assert "not finite or no impedance of a cell" in str(second)
    assert_same(first, analyse_spectrum(FREQUENCY, measured[0], CIRCUIT))
    assert_same(third, analyse_spectrum(FREQUENCY, measured[2], CIRCUIT))


def test_spectra_of_several_grids_keep_their_order():
    other = np.geomspace(5e3, 1e-1, 30)
    mixed = [
        (FREQUENCY, spectra(2)[0]),
        (other, spectra(1, other)[0]),
        (FREQUENCY[:4], np.ones(4)),
        (FREQUENCY, spectra(2)[1]),
    ]
    outcomes = analyse_all(mixed, CIRCUIT)
    assert isinstance(outcomes[2], AnalysisError)
    assert "4 points are too few" in str(outcomes[2])
    for place in (0, 1, 3):
        assert_same(outcomes[place], analyse_spectrum(*mixed[place], CIRCUIT))


def test_no_spectra_give_no_outcomes():
    assert analyse_all([]) == []
    assert list(analyse_spectra(FREQUENCY, np.empty((0, FREQUENCY.size)))) == []


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(AnalysisError, match=r"expected \(frequencies,\) and \(spectra, frequencies\)"):
        analyse_spectra(FREQUENCY, np.ones((3, FREQUENCY.size - 1)))


def test_a_broken_circuit_string_is_refused():
    with pytest.raises(CircuitError):
        list(analyse_spectra(FREQUENCY, spectra(1), "R0-Q1"))


def test_real_spectra_that_are_valid_fit_within_five_percent(shared_data):
    files = [path for path in sorted((shared_data / "eis").rglob("*")) if path.is_file()]
    found = []
    for path in files:
        try:
            measurement = read(path)
        except MeasurementError:
            continue
        if measurement.kind == "impedance":
            for _, one in measurement.table.to_pandas().groupby("spectrum_index"):
                z = one["real_impedance_ohm"].to_numpy() + 1j * one["imaginary_impedance_ohm"].to_numpy()
                found.append((one["frequency_hertz"].to_numpy(), z))
    outcomes = [one for one in analyse_all(found) if not isinstance(one, AnalysisError)]
    fits = [one.fit.relative_rmse for one in outcomes if one.validity.valid]
    assert len(fits) >= 30
    assert np.mean(np.array(fits) <= 0.05) >= 0.95


@pytest.mark.parametrize("circuit", [None, "L0-R0-p(R1,CPE1)-p(R2,CPE2)", "L0-R0-p(R1,CPE1)-p(R2,CPE2)-Wo1"])
def test_spectra_of_ageing_cells_that_are_valid_fit_within_five_percent(shared_data, circuit):
    folder = shared_data / "ageing" / "zhang2020" / "predict_capacity_from_eis" / "data"
    table = read(folder / "data_eis_zhang2020.csv").table.to_pandas()
    table = table[table["spectrum_index"] % 20 == 0]
    shape = (table["spectrum_index"].nunique(), -1)
    frequency = table["frequency_hertz"].to_numpy().reshape(shape)[0]
    # The file holds the negative imaginary part, of which the reader warns.
    impedance = (table["real_impedance_ohm"] - 1j * table["imaginary_impedance_ohm"]).to_numpy().reshape(shape)
    outcomes = list(analyse_spectra(frequency, impedance, circuit))
    fits = [one.fit.relative_rmse for one in outcomes if one.validity.valid]
    assert len(fits) >= 50
    assert np.mean(np.array(fits) <= 0.05) >= 0.95
