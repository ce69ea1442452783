"""Tell what three columns without headings hold: real and imaginary part, or magnitude and phase."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from battery_pilot.measurements.tables import Points

if TYPE_CHECKING:
    from battery_pilot.measurements.tables import FloatArray

_FEWEST_POINTS = 8
_LARGEST_PHASE_DEGREE = 181.0
_CLEAR = 2.0
_LIKELY_DEGREE = 8.0
_UNLIKELY_DEGREE = 10.0
_OUTLIERS = 10
"""One point of so many may be off."""
_CARTESIAN = (
    "The table has no headings; its three columns were taken as frequency in Hz, real part in ohm and imaginary part "
    "in ohm with its sign."
)
_POLAR = (
    "The table has no headings; its three columns were taken as frequency in Hz, magnitude in ohm and phase in degree"
    "{turned}, because the third column follows from the slope of the second."
)
_TURNED = " with its sign turned round"


class _Reading(NamedTuple):
    """One way to read the columns, and by how much its phase misses the one that its magnitude demands."""

    error_degree: float
    sign: float


def points_of_bare_columns(points: Points, warnings: list[str]) -> Points:
    """Return the points of three columns without headings.

    The impedance of a cell has little choice: its phase is a quarter of a turn times the slope of its magnitude over
    the frequency, both logarithmic (Bode, Network Analysis and Feedback Amplifier Design, 1945). Where magnitude and
    phase keep this rule far better than real and imaginary part, the columns are those.

    :param points: the columns read as frequency, real and imaginary part.
    :param warnings: receives a sentence about what was decided.
    """
    frequency, second, third = (
        np.asarray(values, dtype=np.float64)
        for values in (points.frequency_hertz, points.real_ohm, points.imaginary_ohm)
    )
    if not _may_be_polar(frequency, second, third):
        warnings.append(_CARTESIAN)
        return points
    impedance = second + 1j * third
    polar = _best(frequency, second, third)
    cartesian = _best(frequency, np.abs(impedance), np.degrees(np.angle(impedance)))
    unlikely = max(_CLEAR * polar.error_degree, _UNLIKELY_DEGREE)
    if polar.error_degree > _LIKELY_DEGREE or cartesian.error_degree < unlikely:
        warnings.append(_CARTESIAN)
        if polar.error_degree < cartesian.error_degree:
            warnings.append("They may be magnitude and phase as well: add headings to be sure.")
        return points
    warnings.append(_POLAR.format(turned=_TURNED if polar.sign < 0 else ""))
    angle = np.radians(polar.sign * third)
    return Points(frequency, second * np.cos(angle), second * np.sin(angle), points.spectrum, points.places)


def _may_be_polar(frequency: FloatArray, magnitude: FloatArray, phase: FloatArray) -> bool:
    return bool(
        len(frequency) >= _FEWEST_POINTS
        and (frequency > 0).all()
        and (magnitude > 0).all()
        and np.abs(phase).max() <= _LARGEST_PHASE_DEGREE
    )


def _best(frequency: FloatArray, magnitude: FloatArray, phase_degree: FloatArray) -> _Reading:
    """Return how well a phase, with its sign or against it, follows from the magnitude."""
    decades = np.log(frequency)
    steps = np.diff(decades)
    inside = np.flatnonzero((steps[1:] * steps[:-1]) > 0) + 1  # Not at the ends of a sweep.
    if not len(inside):
        return _Reading(np.inf, 1.0)
    height = np.log(np.maximum(magnitude, np.finfo(float).tiny))
    slope = (height[inside + 1] - height[inside - 1]) / (decades[inside + 1] - decades[inside - 1])
    demanded = 90.0 * slope
    kept = len(inside) - len(inside) // _OUTLIERS
    readings = []
    for sign in (1.0, -1.0):
        errors = np.sort(np.abs(sign * phase_degree[inside] - demanded))[:kept]
        readings.append(_Reading(float(np.sqrt(np.mean(errors**2))), sign))
    return min(readings)
