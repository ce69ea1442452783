r"""The distribution of relaxation times: which processes a spectrum shows, without assuming a circuit.

The impedance is that of a series resistance, optionally an inductance and a capacitance, and a continuum of RC elements::

    Z(w) = R + jwL + 1 / (jwC) + integral of gamma(ln tau) / (1 + jw tau) over ln tau

gamma is piecewise linear in ln tau and not negative. It minimises the sum of the squared residuals, relative to \|Z\|, plus
the regularisation times the integral of the squared derivative of gamma, relative to the largest \|Z\|; the paper has
absolute residuals, which lose the fast processes of a spectrum that spans decades of \|Z\|.

T. H. Wan, M. Saccoccio, C. Chen, F. Ciucci, "Influence of the Discretization Methods on the Distribution of Relaxation
Times Deconvolution", Electrochimica Acta 184 (2015) 483-499, doi:10.1016/j.electacta.2015.09.097.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import nnls
from scipy.signal import find_peaks

from battery_pilot.electrochemistry.impedance.spectrum import (
    Complexes,
    Floats,
    checked_spectrum,
    usable_spectra,
)
from battery_pilot.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

TIME_CONSTANTS = 80
"""Number of points of gamma, evenly spaced in ln tau."""

BEYOND_DECADES = 0.5
"""How far the time constants reach beyond 1 / w at both ends: processes there still bend the ends of the spectrum."""

LADDER = tuple(10.0**exponent for exponent in range(0, -7, -1))
"""Regularisations that cross-validation tries, the smoothest first."""

MINIMUM_DECADES = 1.0
"""One RC element alone bends a spectrum over a decade on each side: less than one decade separates nothing."""

PROMINENCE = 0.08
"""A peak rises above the minima beside it by at least this share of the highest peak.

The penalty makes gamma ring beside narrow peaks; those waves stay below it.
"""

MAXIMUM_RELATIVE_RMSE = 0.02
"""No set of relaxations is behind a spectrum that is missed by more."""

LEAST_MODULUS = 1e-6
"""A point of less than this share of the largest modulus is as uncertain as one of it; it keeps the sums finite."""

QUADRATURE_ERROR = 1e-6
"""The matrices are at least this exact."""

MAXIMUM_SHARE_BEYOND = 0.1
"""More of the polarisation resistance than this outside the measured range is worth a warning."""


@dataclass(frozen=True)
class Peak:
    """A process that the distribution shows.

    :param time_constant_second: where gamma is largest.
    :param resistance_ohm: area under gamma between the minima beside the peak.
    :param measured: whether the spectrum holds the frequency 1 / (2 pi tau); if not, the resistance is extrapolated.
    """

    time_constant_second: float
    resistance_ohm: float
    measured: bool


@dataclass(frozen=True, eq=False)
class RelaxationTimes:
    r"""A distribution of relaxation times. Arrays over frequency are in order of falling frequency.

    :param time_constant_second: tau, rising, shape (:data:`TIME_CONSTANTS`,).
    :param gamma_ohm: resistance per unit of ln tau (tau in s), ohm, not negative, of the same shape.
    :param regularisation: weight of the penalty.
    :param series_resistance_ohm: R, what remains at infinite frequency.
    :param inductance_henry: L; 0 without an inductance.
    :param elastance_per_farad: 1 / C; 0 without a capacitance.
    :param polarisation_resistance_ohm: area under gamma.
    :param peaks: by rising time constant; those with less resistance than the misfit (``relative_rmse`` of the largest
        modulus) are left out.
    :param frequency_hertz: shape (n,).
    :param impedance_ohm: complex impedance of the model, shape (n,).
    :param residual_real: real part of (measured - modelled) / \|measured\|, shape (n,).
    :param residual_imaginary: the same for the imaginary part.
    :param relative_rmse: root mean square of the modulus of both.
    :param warnings: why the distribution should not, or not wholly, be trusted.
    """

    time_constant_second: Floats
    gamma_ohm: Floats
    regularisation: float
    series_resistance_ohm: float
    inductance_henry: float
    elastance_per_farad: float
    polarisation_resistance_ohm: float
    peaks: tuple[Peak, ...]
    frequency_hertz: Floats
    impedance_ohm: Complexes
    residual_real: Floats
    residual_imaginary: Floats
    relative_rmse: float
    warnings: tuple[str, ...]


class Inversion(TypedDict, total=False):
    """How a distribution is found.

    ``regularisation`` is the weight of the penalty, greater than 0, usually 1e-6..1: small values resolve close
    processes, large ones suppress noise; without it, the one of :data:`LADDER` with the least error in generalised
    cross-validation is taken, or a larger one that is not clearly worse. ``derivative`` is the order of the derivative of
    gamma that is penalised (default 2). ``add_capacitance`` is for the blocking end of a cell's spectrum,
    ``add_inductance`` for leads; both default to true.
    """

    regularisation: float | None
    derivative: Literal[1, 2]
    add_capacitance: bool
    add_inductance: bool


def relaxation_times(
    frequency_hertz: ArrayLike, impedance_ohm: ArrayLike, **options: Unpack[Inversion]
) -> RelaxationTimes:
    """Return the distribution of relaxation times of one spectrum.

    :param frequency_hertz: frequencies, shape (n,), Hz, in any order.
    :param impedance_ohm: complex impedance, shape (n,), ohm, the imaginary part with its sign.
    :param options: see :class:`Inversion`.
    :raises AnalysisError: the spectrum is unusable (see
        :func:`~battery_pilot.electrochemistry.impedance.spectrum.checked_spectrum`) or spans less than
        :data:`MINIMUM_DECADES`, or the regularisation is not above 0.
    """
    frequency, impedance = checked_spectrum(frequency_hertz, impedance_ohm)
    return _distribution(_Model(frequency, **options), impedance)


def relaxation_times_batch(
    frequency_hertz: ArrayLike, impedance_ohm: ArrayLike, **options: Unpack[Inversion]
) -> list[RelaxationTimes]:
    """Return the distributions of many spectra of one frequency grid, which share the matrices.

    The other parameters are those of :func:`relaxation_times`, and so are the results.

    :param frequency_hertz: frequencies of all spectra, shape (f,), Hz, in any order.
    :param impedance_ohm: complex impedance, one spectrum per row, shape (n, f), ohm.
    :return: one distribution per row.
    :raises AnalysisError: a spectrum or the grid is unusable, see :func:`relaxation_times`.
    """
    frequency, impedance = usable_spectra(frequency_hertz, impedance_ohm)
    model = _Model(frequency, **options)
    return [_distribution(model, row) for row in impedance]


def to_json(result: RelaxationTimes) -> dict[str, object]:
    """Return a distribution as JSON types, without the arrays."""
    return {
        "peaks": [
            {
                "time_constant_second": peak.time_constant_second,
                "resistance_ohm": peak.resistance_ohm,
                "measured": peak.measured,
            }
            for peak in result.peaks
        ],
        "polarisation_resistance_ohm": result.polarisation_resistance_ohm,
        "series_resistance_ohm": result.series_resistance_ohm,
        "regularisation": result.regularisation,
        "relative_rmse": result.relative_rmse,
        "warnings": list(result.warnings),
    }


def _ladder(regularisation: float | None) -> Sequence[float]:
    """Return the regularisations to try."""
    if regularisation is None:
        return LADDER
    if not 0 < regularisation < np.inf:
        raise AnalysisError(f"regularisation {regularisation:g} is not a number above 0; choose one in 1e-6..1")
    return (regularisation,)


class _Model:
    """What the spectra of one frequency grid share.

    The unknowns are gamma, the series resistance, the inductance times the highest angular frequency and the elastance
    over the lowest one, which makes all of them resistances.
    """

    def __init__(
        self,
        frequency: Floats,
        regularisation: float | None = None,
        derivative: int = 2,
        add_capacitance: bool = True,
        add_inductance: bool = True,
    ) -> None:
        decades = float(np.log10(frequency[0] / frequency[-1]))
        if decades < MINIMUM_DECADES:
            raise AnalysisError(
                f"spectrum: {frequency[-1]:g}..{frequency[0]:g} Hz span {decades:.2g} decades, too few to tell "
                f"relaxation times apart; measure at least {MINIMUM_DECADES:g}"
            )
        self.frequency = frequency
        self.omega = 2 * np.pi * frequency
        beyond = BEYOND_DECADES * np.log(10)
        self.log_tau = np.linspace(-np.log(self.omega[0]) - beyond, -np.log(self.omega[-1]) + beyond, TIME_CONSTANTS)
        self.step = float(self.log_tau[1] - self.log_tau[0])
        resistance = np.ones_like(self.omega, dtype=np.complex128)
        inductance = 1j * self.omega / self.omega[0] * add_inductance
        capacitance = self.omega[-1] / (1j * self.omega) * add_capacitance
        self.matrix = np.column_stack([self._relaxations(), resistance, inductance, capacitance])
        self.ladder = _ladder(regularisation)
        self.penalty = self._penalty(derivative)

    def _relaxations(self) -> Complexes:
        """Integrate 1 / (1 + jw tau) over ln tau under a triangle of unit height and half-width ``step`` at each tau.

        Three Gauss points a step are exact to better than a millionth for the steps of any instrument's range.
        """
        points, weights = np.polynomial.legendre.leggauss(3)
        starts = np.arange(-1, TIME_CONSTANTS)
        places = (starts[:, None] + (points + 1) / 2).ravel()
        triangles = np.clip(1 - np.abs(places[:, None] - np.arange(TIME_CONSTANTS)), 0, None)
        areas = triangles * np.tile(weights / 2 * self.step, starts.size)[:, None]
        tau = np.exp(self.log_tau[0] + self.step * places)
        integrals: Complexes = 1 / (1 + 1j * np.outer(self.omega, tau)) @ areas
        return integrals

    def _penalty(self, derivative: int) -> Floats:
        """Return the matrix of the integral of the squared derivative of gamma."""
        # gamma is zero beyond its ends: otherwise fast processes and the series resistance could stand in for each other.
        padded = np.pad(np.eye(TIME_CONSTANTS), ((derivative, derivative), (0, 0)))
        differences = np.diff(padded, derivative, axis=0) / self.step ** (derivative - 0.5)
        others = self.matrix.shape[1] - TIME_CONSTANTS
        penalty: Floats = np.pad(differences.T @ differences, (0, others))
        return penalty

    def solve(self, impedance: Complexes) -> tuple[Floats, float]:
        """Return the unknowns, ohm, and the regularisation that gave them."""
        # With numbers near 1 one regularisation suits micro-ohms and mega-ohms alike.
        scale = float(np.abs(impedance).max())
        weights = scale / np.maximum(np.abs(impedance), LEAST_MODULUS * scale)
        matrix = _stacked(self.matrix * weights[:, None])
        target = _stacked(impedance / scale * weights)
        gram, projected = matrix.T @ matrix, matrix.T @ target
        # Rounding may make the sum indefinite, and the column of an element that is left out is zero.
        gram[np.diag_indices_from(gram)] += 1e-13 * np.trace(gram)
        tried = []
        for regularisation in self.ladder:
            normal = gram + regularisation * self.penalty
            factor = np.linalg.cholesky(normal)
            unknowns = _non_negative(factor.T, solve_triangular(factor, projected, lower=True))
            error = _validation_error(matrix, target, normal, unknowns) if len(self.ladder) > 1 else 0.0
            tried.append((error, scale * unknowns, regularisation))
        # An error is known to about sqrt(2 / n) of itself: take the smoothest that is not clearly worse than the best.
        allowed = min(error for error, _, _ in tried) * (1 + np.sqrt(2 / target.size))
        return next((unknowns, regularisation) for error, unknowns, regularisation in tried if error <= allowed)


def _validation_error(matrix: Floats, target: Floats, normal: Floats, unknowns: Floats) -> float:
    """Generalised cross-validation over the unknowns that the constraint leaves free.

    G. H. Golub, M. Heath, G. Wahba, Technometrics 21 (1979) 215-223, doi:10.1080/00401706.1979.10489751.
    """
    free = unknowns > 0
    used = matrix[:, free]
    freedom = np.trace(np.linalg.solve(normal[np.ix_(free, free)], used.T @ used))
    residual = target - used @ unknowns[free]
    # Never infinite, so that the smoothest one is left where the points are too few for any.
    return float(residual @ residual / max(1 - freedom / target.size, 1e-6) ** 2)


def _non_negative(matrix: Floats, target: Floats) -> Floats:
    """Solve a least-squares problem with unknowns of at least 0."""
    try:
        unknowns: Floats = nnls(matrix, target)[0]
    except RuntimeError as error:
        raise AnalysisError(
            "spectrum: no distribution of relaxation times was found; raise the regularisation"
        ) from error
    return unknowns


def _distribution(model: _Model, impedance: Complexes) -> RelaxationTimes:
    """Solve for one spectrum and read the result."""
    unknowns, weight = model.solve(impedance)
    gamma, (resistance, inductance, elastance) = unknowns[:TIME_CONSTANTS], unknowns[TIME_CONSTANTS:].tolist()
    modelled = model.matrix @ unknowns
    residual = (impedance - modelled) / np.abs(impedance)
    relative_rmse = float(np.sqrt(np.mean(np.abs(residual) ** 2)))
    doubt_ohm = max(relative_rmse, QUADRATURE_ERROR) * float(np.abs(impedance).max())
    return RelaxationTimes(
        time_constant_second=np.exp(model.log_tau),
        gamma_ohm=gamma,
        regularisation=weight,
        series_resistance_ohm=resistance,
        inductance_henry=inductance / float(model.omega[0]),
        elastance_per_farad=elastance * float(model.omega[-1]),
        polarisation_resistance_ohm=float(gamma.sum()) * model.step,
        peaks=_peaks(model, gamma, doubt_ohm),
        frequency_hertz=model.frequency,
        impedance_ohm=modelled,
        residual_real=residual.real,
        residual_imaginary=residual.imag,
        relative_rmse=relative_rmse,
        warnings=tuple(_warnings(model, gamma, relative_rmse, doubt_ohm)),
    )


def _peaks(model: _Model, gamma: Floats, doubt_ohm: float) -> tuple[Peak, ...]:
    """Cut gamma at the minima between its peaks and leave out what is smaller than the misfit."""
    # Zeros on both sides make a maximum at the end of the range a peak, too.
    padded = np.concatenate([[0.0], gamma, [0.0]])
    tops = find_peaks(padded, prominence=PROMINENCE * padded.max())[0] - 1
    if tops.size == 0:
        return ()
    cuts = [a + int(np.argmin(gamma[a : b + 1])) for a, b in zip(tops[:-1], tops[1:], strict=True)]
    peaks = []
    for top, start, end in zip(tops, [0, *cuts], [*cuts, gamma.size], strict=True):
        area = float(gamma[start:end].sum()) * model.step
        if area <= doubt_ohm:
            continue
        log_tau = model.log_tau[top] + model.step * _vertex(padded[top : top + 3])
        measured = -np.log(model.omega[0]) <= log_tau <= -np.log(model.omega[-1])
        peaks.append(Peak(float(np.exp(log_tau)), area, bool(measured)))
    return tuple(peaks)


def _vertex(values: Floats) -> float:
    """Where the parabola through three values, of which the middle one is the largest, has its top: -0.5..0.5 steps."""
    before, top, after = values.tolist()
    bend = before - 2 * top + after
    return 0.0 if bend == 0 else 0.5 * (before - after) / bend


def _warnings(model: _Model, gamma: Floats, relative_rmse: float, doubt_ohm: float) -> list[str]:
    """Tell why the distribution should not be trusted."""
    warnings = []
    if relative_rmse > MAXIMUM_RELATIVE_RMSE:
        warnings.append(
            f"the distribution misses the spectrum by {relative_rmse:.1%} of |Z| (root mean square), more than "
            f"{MAXIMUM_RELATIVE_RMSE:.0%}: drift, non-linearity or an inductive loop; do not use its resistances"
        )
    total_ohm = float(gamma.sum()) * model.step
    for end, beyond in (
        ("faster than the highest", model.log_tau < -np.log(model.omega[0])),
        ("slower than the lowest", model.log_tau > -np.log(model.omega[-1])),
    ):
        beyond_ohm = float(gamma[beyond].sum()) * model.step
        if beyond_ohm > max(MAXIMUM_SHARE_BEYOND * total_ohm, doubt_ohm):
            warnings.append(
                f"{beyond_ohm / total_ohm:.0%} of the polarisation resistance belong to processes {end} measured "
                "frequency: extrapolated"
            )
    return warnings


def _stacked(values: Complexes) -> Floats:
    """Real parts above imaginary parts: the complex fit as a real one."""
    return np.concatenate([values.real, values.imag])
