"""What every analysis of a spectrum asks of its input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from battery_pilot.errors import AnalysisError

MINIMUM_POINTS = 8
"""Fewer points than this determine neither a Kramers-Kronig test nor a circuit with one arc."""

MODULUS_OHM = (1e-12, 1e18)
"""No cell and no insulator lies outside; a spectrum that does has a wrong unit or damaged digits."""

# numpy's stubs lose the element type in complex arithmetic: these names say what the types cannot.
Floats = NDArray[Any]
Complexes = NDArray[Any]


def checked_spectrum(frequency_hertz: ArrayLike, impedance_ohm: ArrayLike) -> tuple[Floats, Complexes]:
    """Return a spectrum as arrays in order of falling frequency.

    :param frequency_hertz: frequencies, shape (n,), Hz, greater than 0, each at most once, in any order.
    :param impedance_ohm: complex impedance, shape (n,), ohm, the imaginary part with its sign (negative for a
        capacitive cell).
    :raises AnalysisError: shapes differ, there are fewer than :data:`MINIMUM_POINTS` points, a value is not finite,
        a frequency is not positive or occurs twice, or an impedance is zero or outside :data:`MODULUS_OHM`.
    """
    frequency = np.asarray(frequency_hertz, dtype=np.float64)
    impedance = np.asarray(impedance_ohm, dtype=np.complex128)
    if frequency.ndim != 1 or frequency.shape != impedance.shape:
        raise AnalysisError(
            f"spectrum: frequency has shape {frequency.shape} and impedance {impedance.shape}; "
            "both must be one-dimensional and of equal length"
        )
    _reject(~np.isfinite(frequency) | ~np.isfinite(impedance), "a value is not finite", "remove the point")
    order = _falling(frequency)
    _reject(impedance == 0, "the impedance is zero", "remove the point")
    modulus = np.abs(impedance)
    outside = (modulus < MODULUS_OHM[0]) | (modulus > MODULUS_OHM[1])
    _reject(outside, "the impedance is no cell's", "check the unit of the columns")
    return frequency[order], impedance[order]


def checked_spectra(frequency_hertz: ArrayLike, impedance_ohm: ArrayLike) -> tuple[Floats, Complexes]:
    """Return spectra of one frequency grid as arrays in order of falling frequency.

    A spectrum with a value that is not finite or no cell's is left as it is: see :func:`usable`.

    :param frequency_hertz: frequencies of all spectra, shape (f,), Hz, greater than 0, each at most once, in any order.
    :param impedance_ohm: complex impedance, one spectrum per row, shape (n, f), ohm.
    :raises AnalysisError: the shapes do not belong together or the frequencies are unusable.
    """
    frequency = np.asarray(frequency_hertz, dtype=np.float64)
    impedance = np.asarray(impedance_ohm, dtype=np.complex128)
    if frequency.ndim != 1 or impedance.ndim != 2 or impedance.shape[1] != frequency.size:
        raise AnalysisError(
            f"spectra: frequency has shape {frequency.shape} and impedance {impedance.shape}; "
            "expected (frequencies,) and (spectra, frequencies)"
        )
    _reject(~np.isfinite(frequency), "the frequency is not finite", "remove the point")
    order = _falling(frequency)
    return frequency[order], impedance[:, order]


def usable_spectra(frequency_hertz: ArrayLike, impedance_ohm: ArrayLike) -> tuple[Floats, Complexes]:
    """Return what :func:`checked_spectra` does, where every spectrum must be :func:`usable`.

    :raises AnalysisError: also for the first spectrum that is not.
    """
    frequency, impedance = checked_spectra(frequency_hertz, impedance_ohm)
    bad = ~usable(impedance)
    if bad.any():
        raise AnalysisError(
            f"spectra: row {int(np.argmax(bad)) + 1} of {bad.size} holds a value that is not finite or no impedance of a "
            "cell; remove it"
        )
    return frequency, impedance


def usable(impedance: Complexes) -> NDArray[np.bool_]:
    """Tell which rows of impedances, shape (n, f), are finite and within :data:`MODULUS_OHM`."""
    modulus = np.abs(impedance)
    inside = (modulus >= MODULUS_OHM[0]) & (modulus <= MODULUS_OHM[1])
    return np.asarray(inside.all(axis=1))


def _falling(frequency: Floats) -> NDArray[np.intp]:
    """Return the order by falling frequency of a usable grid."""
    if frequency.size < MINIMUM_POINTS:
        raise AnalysisError(
            f"spectrum: {frequency.size} points are too few; measure at least {MINIMUM_POINTS} frequencies"
        )
    _reject(frequency <= 0, "the frequency is not positive", "remove the point")
    order = np.argsort(-frequency, kind="stable")
    same = np.diff(frequency[order]) == 0
    if np.any(same):
        twice = frequency[order][:-1][same][0]
        raise AnalysisError(f"spectrum: {twice:g} Hz occurs twice; split the table into one spectrum per sweep")
    return order


def _reject(bad: NDArray[np.bool_], problem: str, remedy: str) -> None:
    """Raise for the first point that is marked bad."""
    if bad.any():
        raise AnalysisError(f"spectrum: point {int(np.argmax(bad)) + 1} of {bad.size}: {problem}; {remedy}")
