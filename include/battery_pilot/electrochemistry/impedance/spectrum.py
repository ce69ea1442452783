"""What every analysis of a spectrum asks of its input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from battery_pilot.errors import AnalysisError

MINIMUM_POINTS = 8
"""Fewer points than this determine neither a Kramers-Kronig test nor a circuit with one arc."""

# numpy's stubs lose the element type in complex arithmetic: these names say what the types cannot.
Floats = NDArray[Any]
Complexes = NDArray[Any]


def checked_spectrum(frequency_hertz: ArrayLike, impedance_ohm: ArrayLike) -> tuple[Floats, Complexes]:
    """Return a spectrum as arrays in order of falling frequency.

    :param frequency_hertz: frequencies, shape (n,), Hz, greater than 0, each at most once, in any order.
    :param impedance_ohm: complex impedance, shape (n,), ohm, the imaginary part with its sign (negative for a
        capacitive cell).
    :raises AnalysisError: shapes differ, there are fewer than :data:`MINIMUM_POINTS` points, a value is not finite,
        a frequency is not positive or occurs twice, or an impedance is zero.
    """
    frequency = np.asarray(frequency_hertz, dtype=np.float64)
    impedance = np.asarray(impedance_ohm, dtype=np.complex128)
    if frequency.ndim != 1 or frequency.shape != impedance.shape:
        raise AnalysisError(
            f"spectrum: frequency has shape {frequency.shape} and impedance {impedance.shape}; "
            "both must be one-dimensional and of equal length"
        )
    if frequency.size < MINIMUM_POINTS:
        raise AnalysisError(
            f"spectrum: {frequency.size} points are too few; measure at least {MINIMUM_POINTS} frequencies"
        )
    _reject(~np.isfinite(frequency) | ~np.isfinite(impedance), "a value is not finite", "remove the point")
    _reject(frequency <= 0, "the frequency is not positive", "remove the point")
    _reject(impedance == 0, "the impedance is zero", "remove the point")
    order = np.argsort(-frequency, kind="stable")
    frequency, impedance = frequency[order], impedance[order]
    if np.any(np.diff(frequency) == 0):
        twice = frequency[:-1][np.diff(frequency) == 0][0]
        raise AnalysisError(f"spectrum: {twice:g} Hz occurs twice; split the table into one spectrum per sweep")
    return frequency, impedance


def _reject(bad: NDArray[np.bool_], problem: str, remedy: str) -> None:
    """Raise for the first point that is marked bad."""
    if bad.any():
        raise AnalysisError(f"spectrum: point {int(np.argmax(bad)) + 1} of {bad.size}: {problem}; {remedy}")
