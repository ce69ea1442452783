"""Linear Kramers-Kronig tests, which tell whether a spectrum is that of a linear, stable and causal system.

Two choices of the number M of RC elements: as few as do not fit noise yet (M. Schoenleber, D. Klotz, E. Ivers-Tiffee, "A
Method for Improving the Robustness of linear Kramers-Kronig Validity Tests", Electrochimica Acta 131 (2014) 20-27,
doi:10.1016/j.electacta.2014.01.034), or a fixed number (B. A. Boukamp, "A Linear Kronig-Kramers Transform Test for
Immittance Data Validation", Journal of the Electrochemical Society 142 (1995) 1885-1894, doi:10.1149/1.2044210).

All spectra of one frequency grid share the columns of the model, which are computed once for a grid and an M. Weighted for
a spectrum, they are factorised (QR) rather than multiplied into normal equations, which would lose the digits that close
time constants and a modulus over many decades need.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypedDict, Unpack

import numpy as np

from battery_pilot.electrochemistry.impedance.spectrum import (
    MINIMUM_POINTS,
    Complexes,
    Floats,
    checked_spectra,
    checked_spectrum,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

MAXIMUM_RESIDUAL_PERCENT = 1.0
r"""A spectrum is valid while no residual exceeds this share of \|Z\|.

One percent is the usual rule of practice for this test (documentation of ImpedanceFitter, "LinKK test"; the authors of
rLKK name 1..2 %): the noise of a good instrument stays well below it, drift and non-linearity do not.
"""

ELEMENTS_PER_DECADE = 3
"""Smallest density of time constants; fixed, so that it does not follow the outcome for a spectrum."""

MOST_ELEMENTS_PER_DECADE = 10
"""Closer time constants differ by less than any spectrum, and soon by less than double precision, can tell."""


@dataclass(frozen=True, eq=False)
class KramersKronig:
    r"""The outcome of the test.

    :param elements: number M of RC elements.
    :param mu: 1 - (sum of the negative \|R\|) / (sum of the positive R); small when the model starts to fit noise.
    :param residual_real: real part of (measured - modelled) / \|measured\|, by falling frequency.
    :param residual_imaginary: the same for the imaginary part.
    :param max_residual_percent: largest absolute value of both, percent of \|Z\|.
    :param chi_squared: sum of the squares of both (Boukamp's pseudo chi-squared).
    :param valid: whether the largest one is at most :data:`MAXIMUM_RESIDUAL_PERCENT`.
    :param trusted_hertz: lowest and highest frequency of the longest run of points that all meet that limit; ``None``
        when it has fewer than 8 points. The whole range for a valid spectrum.
    """

    elements: int
    mu: float
    residual_real: Floats
    residual_imaginary: Floats
    max_residual_percent: float
    chi_squared: float
    valid: bool
    trusted_hertz: tuple[float, float] | None


class SearchOptions(TypedDict, total=False):
    """How the number M of RC elements is found, and what stands in series with them.

    ``mu_threshold``, 0..1, ends the search (default 0.85, as the paper proposes). ``minimum_elements`` is where M starts
    (default :data:`ELEMENTS_PER_DECADE`; 1 for the paper's search) and ``maximum_elements`` its upper limit (default 50;
    the number of points and :data:`MOST_ELEMENTS_PER_DECADE` limit it too). ``add_capacitance`` is for spectra whose
    imaginary part does not return to zero at low frequency (cells do not), ``add_inductance`` for leads; both default to
    true.
    """

    mu_threshold: float
    minimum_elements: int | None
    maximum_elements: int
    add_capacitance: bool
    add_inductance: bool


def linear_kramers_kronig(
    frequency_hertz: ArrayLike, impedance_ohm: ArrayLike, **options: Unpack[SearchOptions]
) -> KramersKronig:
    """Test a spectrum after Schoenleber, by a linear fit of M RC elements that satisfy the relations by construction.

    M grows until ``mu`` falls to the threshold: fewer elements underfit, more of them fit the noise. Unlike the paper's
    it starts at :data:`ELEMENTS_PER_DECADE`, because a coarse model of a narrow arc ripples, which gives negative
    resistances as well and would end the search with large residuals for a sound spectrum.

    :param frequency_hertz: frequencies, shape (f,), Hz, in any order.
    :param impedance_ohm: complex impedance, shape (f,), ohm.
    :param options: see :class:`SearchOptions`.
    :raises AnalysisError: see :func:`~battery_pilot.electrochemistry.impedance.spectrum.checked_spectrum`.
    """
    frequency, impedance = checked_spectrum(frequency_hertz, impedance_ohm)
    return _search(frequency, impedance[None], **options)[0]


def linear_kramers_kronig_batch(
    frequency_hertz: ArrayLike, impedance_ohm: ArrayLike, **options: Unpack[SearchOptions]
) -> list[KramersKronig]:
    """Test many spectra of one frequency grid at once; the results are those of :func:`linear_kramers_kronig`.

    :param impedance_ohm: complex impedance, one spectrum per row, shape (n, f), ohm, finite and not zero.
    :return: one outcome per row.
    :raises AnalysisError: the shapes do not belong together or the frequencies are unusable.
    """
    frequency, impedance = checked_spectra(frequency_hertz, impedance_ohm)
    return _search(frequency, impedance, **options)


def fixed_kramers_kronig(
    frequency_hertz: ArrayLike,
    impedance_ohm: ArrayLike,
    *,
    elements: int | None = None,
    add_capacitance: bool = True,
    add_inductance: bool = True,
) -> KramersKronig:
    """Test a spectrum after Boukamp, with a number of RC elements that does not depend on the spectrum.

    With one element per point it is the most tolerant test: what fails it is not explained by any passive circuit.

    :param elements: number of RC elements; ``None`` for one per point, limited as in :func:`linear_kramers_kronig`.
    :raises AnalysisError: see :func:`~battery_pilot.electrochemistry.impedance.spectrum.checked_spectrum`.
    """
    frequency, impedance = checked_spectrum(frequency_hertz, impedance_ohm)
    count = frequency.size if elements is None else elements
    return _search(frequency, impedance[None], -np.inf, count, count, add_capacitance, add_inductance)[0]


def _search(
    frequency: Floats,
    impedance: Complexes,
    mu_threshold: float = 0.85,
    minimum_elements: int | None = None,
    maximum_elements: int = 50,
    add_capacitance: bool = True,
    add_inductance: bool = True,
) -> list[KramersKronig]:
    """Raise M for each spectrum until its ``mu`` falls to the threshold."""
    extras = (add_capacitance, add_inductance)
    decades = float(np.log10(frequency[0] / frequency[-1]))
    # An underdetermined fit has zero residuals and proves nothing: keep fewer unknowns than points.
    limit = min(frequency.size - 1 - sum(extras), max(1, round(MOST_ELEMENTS_PER_DECADE * decades)))
    most = max(1, min(maximum_elements, limit))
    least = round(ELEMENTS_PER_DECADE * decades) if minimum_elements is None else minimum_elements
    grid = frequency.tobytes()
    found: dict[int, KramersKronig] = {}
    rows = np.arange(impedance.shape[0])
    for elements in range(max(1, min(most, least)), most + 1):
        residual, mu = _fitted(_columns(grid, elements, *extras), elements, impedance[rows])
        done = (mu <= mu_threshold) | (elements == most)
        for row, one, value in zip(rows[done].tolist(), residual[done], mu[done].tolist(), strict=True):
            found[row] = _judged(frequency, elements, value, one)
        rows = rows[~done]
        if rows.size == 0:
            break
    return [found[row] for row in range(impedance.shape[0])]


@lru_cache(maxsize=128)
def _columns(grid: bytes, elements: int, capacitance: bool, inductance: bool) -> Floats:
    """Return the model for the bytes of a frequency grid, shape (2 f, k), real parts above imaginary ones.

    Its first columns are the RC elements.
    """
    omega = 2 * np.pi * np.frombuffer(grid)
    time_constants = np.geomspace(1 / omega[0], 1 / omega[-1], elements)
    parts = [1 / (1 + 1j * np.outer(omega, time_constants)), np.ones((omega.size, 1))]
    if capacitance:
        parts.append(1 / (1j * omega[:, None]))
    if inductance:
        parts.append(1j * omega[:, None])
    matrix = np.concatenate(parts, axis=1)
    return np.concatenate([matrix.real, matrix.imag])


def _fitted(columns: Floats, elements: int, impedance: Complexes) -> tuple[Complexes, Floats]:
    """Return the relative residuals, shape (n, f), and mu, shape (n,), of the fits to impedances, shape (n, f)."""
    modulus = np.abs(impedance)
    weights = 1 / np.concatenate([modulus, modulus], axis=1)
    target = (np.concatenate([impedance.real, impedance.imag], axis=1) * weights)[:, :, None]
    weighted = columns * weights[:, :, None]
    length = np.linalg.norm(weighted, axis=1, keepdims=True)
    orthogonal, triangle = np.linalg.qr(weighted / length)
    shares = orthogonal.transpose(0, 2, 1) @ target
    residual = (target - orthogonal @ shares)[:, :, 0]
    # Columns that rounding makes equal must not divide by zero.
    diagonal = np.einsum("nkk->nk", triangle)
    diagonal += np.where(np.abs(diagonal) < np.finfo(float).eps, np.finfo(float).eps, 0)
    resistances = np.linalg.solve(triangle, shares)[:, :elements, 0] / length[:, 0, :elements]
    points = impedance.shape[1]
    return residual[:, :points] + 1j * residual[:, points:], _mu(resistances)


def _mu(resistances: Floats) -> Floats:
    """How far the resistances, shape (n, M), are from all being positive: the paper's measure of overfitting."""
    positive = np.where(resistances >= 0, resistances, 0).sum(axis=1)
    negative = np.where(resistances < 0, -resistances, 0).sum(axis=1)
    mu: Floats = np.where(positive > 0, 1 - negative / np.where(positive > 0, positive, 1.0), 0.0)
    return mu


def _judged(frequency: Floats, elements: int, mu: float, residual: Complexes) -> KramersKronig:
    """Compare the residuals with the limit."""
    size = 100 * np.maximum(np.abs(residual.real), np.abs(residual.imag))
    largest = float(size.max())
    return KramersKronig(
        elements=elements,
        mu=mu,
        residual_real=residual.real,
        residual_imaginary=residual.imag,
        max_residual_percent=largest,
        chi_squared=float(np.vdot(residual, residual).real),
        valid=largest <= MAXIMUM_RESIDUAL_PERCENT,
        trusted_hertz=_trusted(frequency, size <= MAXIMUM_RESIDUAL_PERCENT),
    )


def _trusted(frequency: Floats, good: NDArray[np.bool_]) -> tuple[float, float] | None:
    """Return the ends of the longest run of good points."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    if edges.size == 0:
        return None
    starts, ends = edges[::2], edges[1::2]
    longest = int(np.argmax(ends - starts))
    if ends[longest] - starts[longest] < MINIMUM_POINTS:
        return None
    return float(frequency[ends[longest] - 1]), float(frequency[starts[longest]])
