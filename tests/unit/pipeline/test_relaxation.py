from __future__ import annotations

import json

import numpy as np
import pytest

from battery_pilot.pipeline.relaxation import relaxation_peaks

FREQUENCY = np.logspace(4, -1, 41)


def arcs(*elements: tuple[float, float]) -> np.ndarray:
    """Return the impedance of parallel RC elements, each a resistance and a time constant, in series."""
    return 0.01 + sum(
        resistance / (1 + 2j * np.pi * FREQUENCY * time_constant) for resistance, time_constant in elements
    )


def test_peaks_of_every_spectrum_lie_at_its_time_constants():
    spectra = {3: (FREQUENCY, arcs((0.02, 0.01))), 5: (FREQUENCY, arcs((0.03, 0.1)))}
    found = {number: json.loads(text) for number, text in relaxation_peaks(spectra).items()}
    for number, (resistance, time_constant) in {3: (0.02, 0.01), 5: (0.03, 0.1)}.items():
        largest = max(found[number], key=lambda peak: peak["resistance_ohm"])
        assert largest["time_constant_second"] == pytest.approx(time_constant, rel=0.1)
        assert largest["resistance_ohm"] == pytest.approx(resistance, rel=0.1)


def test_spectrum_whose_distribution_cannot_be_found_has_no_peaks_and_costs_no_other():
    few = FREQUENCY[:3]
    found = relaxation_peaks({0: (few, np.ones(3, dtype=complex)), 1: (FREQUENCY, arcs((0.02, 0.01)))})
    assert found.keys() == {1}


def test_no_spectra_have_no_peaks():
    assert relaxation_peaks({}) == {}
