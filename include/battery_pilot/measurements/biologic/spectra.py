"""Tell the spectra of an impedance technique apart, in text exports as in binary files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.tables import Points

if TYPE_CHECKING:
    from battery_pilot.measurements.tables import FloatArray

    IntegerArray = np.ndarray[Any, np.dtype[np.int64]]

BIAS = ("<Ewe>/V", "<Ewe/V>", "Ewe/V", "<Ecell>/V")
"""Headings of the direct voltage; of several the first one counts."""

_RESTART_TOLERANCE = 0.01
_RESTART_RATIO = 2.0
_FARTHEST_BIAS_VOLT = 0.005


def impedance_points(points: Points, voltage_volt: FloatArray | None, facts: dict[str, Any]) -> Points:
    """Return the points with their spectra numbered, and rows of direct current (frequency 0) as zeros.

    A spectrum ends where the cycle number changes, and where the frequency jumps back to that of the first point.

    :param points: all rows of the file, with the cycle number as ``spectrum`` where the file has it.
    :param voltage_volt: direct voltage of each row, where the file has it.
    :param facts: receives ``dc_bias_volt`` where it is the same for all spectra.
    """
    frequency, real, imaginary = np.asarray(points.frequency_hertz), points.real_ohm, points.imaginary_ohm
    cycle = None if points.spectrum is None else np.asarray(points.spectrum)
    is_point = frequency != 0
    has_rests = not is_point.all()
    if has_rests:
        real, imaginary = np.where(is_point, real, 0.0), np.where(is_point, imaginary, 0.0)
        cycle = cycle if cycle is None else cycle[is_point]
        voltage_volt = voltage_volt if voltage_volt is None else voltage_volt[is_point]
    with np.errstate(all="ignore"):
        marks = _marks(frequency[is_point] if has_rests else frequency, cycle)
        bias = None if voltage_volt is None else _common_bias(voltage_volt, marks)
    if bias is not None:
        facts.setdefault("dc_bias_volt", bias)
    if marks is None:
        return Points(frequency, real, imaginary, None, points.places)
    spectrum = np.zeros(len(frequency))
    spectrum[is_point] = marks
    return Points(frequency, real, imaginary, spectrum, points.places)


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
    if cycle is None and (after < before).all():
        return None  # Most files hold one sweep that falls from the first to the last frequency.
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
