"""Tell the spectra of an impedance technique apart, in text exports as in binary files."""

from __future__ import annotations

from operator import gt
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.tables import Points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.tables import FloatArray

    IntegerArray = np.ndarray[Any, np.dtype[np.int64]]

BIAS = ("<Ewe>/V", "<Ewe/V>", "Ewe/V", "<Ecell>/V")
"""Headings of the direct voltage; of several the first one counts."""

_RESTART_TOLERANCE = 0.01
_RESTART_RATIO = 2.0
_FARTHEST_BIAS_VOLT = 0.005


def impedance_points(points: Points) -> Points:
    """Return the points with their spectra numbered, and rows of direct current (frequency 0) as zeros.

    A spectrum ends where the cycle number changes, and where the frequency jumps back to that of the first point.

    :param points: all rows of the file, with the cycle number as ``spectrum`` where the file has it.
    """
    cycle, real, imaginary = points.spectrum, points.real_ohm, points.imaginary_ohm
    if cycle is None and falls(points.frequency_hertz):
        return points
    frequency = np.asarray(points.frequency_hertz)
    is_point = frequency != 0
    if not is_point.all():
        real, imaginary = np.where(is_point, real, 0.0), np.where(is_point, imaginary, 0.0)
    with np.errstate(all="ignore"):
        marks = _marks(frequency[is_point], None if cycle is None else np.asarray(cycle)[is_point])
    if marks is None:
        return Points(frequency, real, imaginary, None, points.places)
    spectrum = np.zeros(len(frequency), dtype=np.int64)
    spectrum[is_point] = marks
    return Points(frequency, real, imaginary, spectrum, points.places)


def falls(frequency_hertz: Sequence[float] | FloatArray) -> bool:
    """Tell whether a sweep falls from its first to its last frequency, as that of most files does.

    :param frequency_hertz: of all rows.
    """
    if not len(frequency_hertz) or not frequency_hertz[-1] > 0:
        return False
    values = np.asarray(frequency_hertz).tolist()  # Of a few numbers this takes half of numpy's time.
    return all(map(gt, values, values[1:]))


def bias_facts(points: Points, voltage_volt: Sequence[float] | FloatArray | None) -> dict[str, float]:
    """Return ``dc_bias_volt`` where it is the same for all spectra.

    :param points: result of :func:`impedance_points`.
    :param voltage_volt: direct voltage of each row, where the file has it.
    """
    if voltage_volt is None:
        return {}
    is_point = np.asarray(points.frequency_hertz) != 0
    marks = None if points.spectrum is None else np.asarray(points.spectrum)[is_point]
    with np.errstate(all="ignore"):
        bias = _common_bias(np.asarray(voltage_volt)[is_point], marks)
    return {} if bias is None else {"dc_bias_volt": bias}


def cartesian(magnitude: FloatArray, phase_degree: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return real and imaginary part of an impedance.

    :param magnitude: of any unit.
    :param phase_degree: negative for a capacitive cell.
    """
    angle = np.radians(phase_degree)
    return magnitude * np.cos(angle), magnitude * np.sin(angle)


def _marks(frequency: FloatArray, cycle: FloatArray | None) -> IntegerArray | None:
    """Return the number of each point's spectrum, from 0, or ``None`` for one spectrum."""
    before, after = frequency[:-1], frequency[1:]
    begins = np.abs(after - frequency[:1]) <= _RESTART_TOLERANCE * frequency[:1]
    begins &= (after > _RESTART_RATIO * before) | (before > _RESTART_RATIO * after)
    if cycle is not None:
        begins |= cycle[1:] != cycle[:-1]
    if not begins.any():
        return None
    marks = np.zeros(len(frequency), dtype=np.int64)
    np.cumsum(begins, out=marks[1:])
    return marks


def _common_bias(voltage_volt: FloatArray, marks: IntegerArray | None) -> float | None:
    """Return the mean direct voltage, or ``None`` when it is not the same for all spectra."""
    total = float(voltage_volt.sum())
    if not len(voltage_volt) or not np.isfinite(total):
        return None
    if marks is not None:
        means = np.bincount(marks, voltage_volt) / np.bincount(marks)
        if means.max() - means.min() > _FARTHEST_BIAS_VOLT:
            return None
    return total / len(voltage_volt)
