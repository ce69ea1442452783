from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.electrochemistry.incremental_capacity import incremental_capacity
from battery_pilot.errors import AnalysisError

PEAKS, WIDTH = (3.6, 3.9), 0.04


def slow_charge(rows: int = 4000, noise_volt: float = 0.0):
    """A charge at constant current whose dQ/dV is a flat 0.5 Ah/V with two Gaussian peaks of 4 and 2 Ah/V on it."""
    fine = np.linspace(3.3, 4.2, 20001)
    slope = 0.5 + sum(
        height * np.exp(-((fine - at) ** 2) / (2 * WIDTH**2)) for at, height in zip(PEAKS, (4.0, 2.0), strict=True)
    )
    charge = np.concatenate([[0.0], np.cumsum((slope[1:] + slope[:-1]) / 2 * np.diff(fine))])
    even = np.linspace(0, charge[-1], rows)
    noise = noise_volt * np.random.default_rng(1).standard_normal(rows)
    return np.interp(even, charge, fine) + noise, even


def test_peaks_are_where_they_were_put_and_as_high():
    curve = incremental_capacity(*slow_charge())
    assert [peak.voltage_volt for peak in curve.peaks] == pytest.approx(PEAKS, abs=0.002)
    assert [peak.height_ah_per_volt for peak in curve.peaks] == pytest.approx([4.5, 2.5], rel=0.02)


def test_noise_of_a_millivolt_moves_no_peak_by_more_than_ten():
    curve = incremental_capacity(*slow_charge(noise_volt=0.001))
    assert [peak.voltage_volt for peak in curve.peaks] == pytest.approx(PEAKS, abs=0.01)


def test_curve_of_a_discharge_is_the_same():
    voltage, charge = slow_charge()
    up, down = incremental_capacity(voltage, charge), incremental_capacity(voltage[::-1], charge)
    shared = np.interp(up.voltage_volt, down.voltage_volt, down.incremental_capacity_ah_per_volt)
    inner = slice(20, -20)
    assert shared[inner] == pytest.approx(up.incremental_capacity_ah_per_volt[inner], rel=0.02)


def test_area_below_the_curve_is_the_charge():
    voltage, charge = slow_charge()
    curve = incremental_capacity(voltage, charge)
    area = np.trapezoid(curve.incremental_capacity_ah_per_volt, curve.voltage_volt)
    assert area == pytest.approx(charge[-1], rel=0.01)


def test_narrow_span_is_refused():
    with pytest.raises(AnalysisError, match="at least 5 windows"):
        incremental_capacity(np.linspace(3.6, 3.65, 100), np.linspace(0, 1, 100))


def test_sparse_rows_are_refused():
    with pytest.raises(AnalysisError, match="log more often"):
        incremental_capacity(np.linspace(3.0, 4.2, 10), np.linspace(0, 1, 10))
