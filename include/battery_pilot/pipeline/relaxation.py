"""The peaks of the relaxation times of a file's spectra, as the lake keeps them."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING

from battery_pilot.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.electrochemistry.impedance.drt import RelaxationTimes
    from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats


def relaxation_peaks(spectra: Mapping[int, tuple[Floats, Complexes]]) -> dict[int, str]:
    """Return the measured peaks of each spectrum as JSON; without those whose distribution cannot be found.

    Spectra of one frequency grid are inverted together: the matrices are most of the work.

    :param spectra: number of the spectrum to frequencies (Hz) and complex impedance (ohm), shape (n,) each.
    """
    import numpy as np

    from battery_pilot.electrochemistry.impedance.drt import relaxation_times_batch

    grids: dict[bytes, list[int]] = defaultdict(list)
    for number, (frequency, _) in spectra.items():
        grids[frequency.tobytes()].append(number)
    found: dict[int, str] = {}
    for numbers in grids.values():
        frequency = spectra[numbers[0]][0]
        try:
            results = relaxation_times_batch(frequency, np.stack([spectra[number][1] for number in numbers]))
        except AnalysisError:  # the spectra are stated without peaks
            continue
        found |= {number: _written(result) for number, result in zip(numbers, results, strict=True)}
    return found


def _written(result: RelaxationTimes) -> str:
    peaks = [
        {"time_constant_second": peak.time_constant_second, "resistance_ohm": peak.resistance_ohm}
        for peak in result.peaks
        if peak.measured
    ]
    return json.dumps(peaks)
