"""Fit equivalent circuits to spectra.

The parameters are fitted as logarithms, with analytic derivatives, from several starting points that are read off the
spectrum. It is a local fit: the best of these starts, without a claim of the global optimum. Spectra of one frequency grid
are fitted together, which gives the same results as one at a time in a fraction of the time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

import numpy as np

from battery_pilot.electrochemistry.impedance.circuit import Circuit, parse_circuit
from battery_pilot.electrochemistry.impedance.elements import Frequencies, frequencies
from battery_pilot.electrochemistry.impedance.fitted import CircuitFit, akaike, named
from battery_pilot.electrochemistry.impedance.least_squares import Minimum, Model, minimise
from battery_pilot.electrochemistry.impedance.spectrum import (
    Complexes,
    Floats,
    checked_spectrum,
    usable_spectra,
)
from battery_pilot.electrochemistry.impedance.starts import bounds as natural_bounds
from battery_pilot.electrochemistry.impedance.starts import starting_points
from battery_pilot.electrochemistry.impedance.unknowns import (
    Restrictions,
    Unknowns,
    limited,
    restrictions,
    unknowns_of,
)
from battery_pilot.errors import AnalysisError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

CANDIDATES = (
    "R0-p(R1,CPE1)",
    "R0-p(R1,CPE1)-W1",
    "R0-p(R1,CPE1)-p(R2,CPE2)",
    "R0-p(R1,CPE1)-p(R2,CPE2)-W1",
    "R0-p(R1,CPE1)-p(R2,CPE2)-CPE3",
)
"""Circuits tried when none is asked for."""

LARGER_CANDIDATE = "R0-p(R1,CPE1)-p(R2,CPE2)-p(R3,CPE3)"
POOR_RELATIVE_RMSE = 0.03
"""A further circuit, tried where the best candidate fits worse than this."""

INDUCTANCE = "L0-"
"""Goes before a candidate when the spectrum has inductive points and the criterion finds the inductance worth it."""

SCREENING_ITERATIONS = 8
"""After these the best of the starting points is carried on alone."""

CHOOSING_ITERATIONS = 6
"""The same where a circuit is only one of several candidates."""

ITERATIONS = 100

ROUGH_TOLERANCE = 1e-3
ROUGH_ITERATIONS = 25
"""A step that gains less changes Akaike's criterion by about 0.1, where differences below 2 mean little."""

TOLERANCE = 1e-7
"""Leaves the parameters within a thousandth of their standard error."""

PERFECT_RELATIVE_RMSE = 1e-7
"""No instrument is that good: a fit stops here."""

SPECTRA_AT_ONCE = 64
"""What fits into a processor's cache: larger batches are slower, and need more memory."""

Weighting = Literal["modulus", "unit"]
"""Each point counts with its relative error, or with its error in ohm."""


@dataclass(frozen=True, eq=False)
class _Problem:
    """Spectra of one grid to fit: measured impedance and weights have shape (n, f)."""

    frequency: Floats
    at: Frequencies
    impedance: Complexes
    weights: Floats
    chosen: Restrictions

    def rows(self, which: NDArray[np.intp]) -> _Problem:
        """Return some of the spectra."""
        return _Problem(self.frequency, self.at, self.impedance[which], self.weights[which], self.chosen)


@dataclass(frozen=True, eq=False)
class _Solution:
    """The fits of one circuit to all spectra of a problem, between limits of shape (n, unknowns)."""

    circuit: Circuit
    unknowns: Unknowns
    low: Floats
    high: Floats
    minimum: Minimum

    def rows(self, which: NDArray[np.intp]) -> _Solution:
        """Return the fits to some of the spectra."""
        minimum = self.minimum.rows(which)
        return _Solution(self.circuit, self.unknowns, self.low[which], self.high[which], minimum)

    def aic(self, points: int) -> Floats:
        """Return Akaike's criterion, shape (n,)."""
        return akaike(self.minimum.cost, 2 * points, self.unknowns.count)


class FitOptions(TypedDict, total=False):
    """What is known of a circuit's parameters beforehand, by name, and what a residual counts.

    ``fixed`` holds values of parameters that are known, such as ``{"R0": 0.01}``; ``shared`` groups of parameters with
    one common value, such as ``[("CPE1_alpha", "CPE2_alpha")]``; ``bounds`` lowest and highest value of parameters, where
    0 and infinity leave that end to the spectrum; ``weighting`` is ``modulus`` (relative errors) or ``unit`` (errors in
    ohm).
    """

    fixed: Mapping[str, float]
    shared: Iterable[Iterable[str]]
    bounds: Mapping[str, tuple[float, float]]
    weighting: Weighting


def fit_circuit(
    frequency_hertz: ArrayLike,
    impedance_ohm: ArrayLike,
    circuit: str | Sequence[str] | None = None,
    **options: Unpack[FitOptions],
) -> CircuitFit:
    """Fit a circuit, or the best of several by Akaike's information criterion.

    :param frequency_hertz: frequencies, shape (f,), Hz, in any order.
    :param impedance_ohm: complex impedance, shape (f,), ohm.
    :param circuit: a circuit string, or several to choose from; ``None`` chooses from :data:`CANDIDATES`, with an
        inductance where the spectrum needs one.
    :param options: see :class:`FitOptions`.
    :raises CircuitError: a string cannot be parsed.
    :raises InputError: a restriction does not suit a circuit.
    :raises AnalysisError: the spectrum is unusable or has too few points for the circuit.
    """
    frequency, impedance = checked_spectrum(frequency_hertz, impedance_ohm)
    return _all_fits(frequency_hertz, frequency, impedance[None], circuit, options)[0]


def fit_circuits(
    frequency_hertz: ArrayLike,
    impedance_ohm: ArrayLike,
    circuit: str | Sequence[str] | None = None,
    **options: Unpack[FitOptions],
) -> list[CircuitFit]:
    """Fit many spectra of one frequency grid together; the parameters are those of :func:`fit_circuit`.

    :param impedance_ohm: complex impedance, one spectrum per row, shape (n, f), ohm.
    :return: one fit per row.
    :raises AnalysisError: a spectrum is unusable, or the grid has too few points for the circuit.
    """
    frequency, impedance = usable_spectra(frequency_hertz, impedance_ohm)
    return _all_fits(frequency_hertz, frequency, impedance, circuit, options)


def _all_fits(
    frequency_hertz: ArrayLike,
    frequency: Floats,
    impedance: Complexes,
    circuit: str | Sequence[str] | None,
    options: FitOptions,
) -> list[CircuitFit]:
    """Fit checked spectra, some dozen at a time."""
    chosen = restrictions(options.get("fixed"), options.get("shared", ()), options.get("bounds"))
    as_given = np.asarray(frequency_hertz, dtype=np.float64)
    found: list[CircuitFit] = []
    for first in range(0, impedance.shape[0], SPECTRA_AT_ONCE):
        part = _problem(
            frequency, impedance[first : first + SPECTRA_AT_ONCE], chosen, options.get("weighting", "modulus")
        )
        found += _fits(part, circuit, as_given)
    return found


def _problem(frequency: Floats, impedance: Complexes, chosen: Restrictions, weighting: Weighting) -> _Problem:
    modulus = np.abs(impedance)
    if weighting == "unit":
        modulus = np.broadcast_to(np.sqrt(np.mean(modulus**2, axis=1, keepdims=True)), modulus.shape)
    return _Problem(frequency, frequencies(frequency), impedance, 1 / modulus, chosen)


def _fits(problem: _Problem, circuit: str | Sequence[str] | None, as_given: Floats) -> list[CircuitFit]:
    """Fit one circuit or choose among several; one result per spectrum."""
    if isinstance(circuit, str):
        return _named(_solve(parse_circuit(circuit), problem), problem, as_given)
    if circuit is not None:
        return _best([parse_circuit(string) for string in circuit], problem, as_given)
    return _best_default(problem, as_given)


def _best_default(problem: _Problem, as_given: Floats) -> list[CircuitFit]:
    """Choose among the candidates; where points are inductive, the chosen one must also need its inductance."""
    inductive = (problem.impedance.imag > 0).any(axis=1)
    fits: dict[int, CircuitFit] = {}
    for prefix, kind in (("", ~inductive), (INDUCTANCE, inductive)):
        rows = np.flatnonzero(kind)
        if rows.size == 0:
            continue
        circuits = [parse_circuit(prefix + string) for string in CANDIDATES]
        fits.update(zip(rows.tolist(), _best(circuits, problem.rows(rows), as_given), strict=True))
        poor = [row for row in rows.tolist() if fits[row].relative_rmse > POOR_RELATIVE_RMSE]
        _improve(fits, poor, prefix + LARGER_CANDIDATE, problem, as_given)
    with_inductance = {row: fit.circuit for row, fit in fits.items() if fit.circuit.startswith(INDUCTANCE)}
    for string in sorted(set(with_inductance.values())):
        same = [row for row, circuit in with_inductance.items() if circuit == string]
        _improve(fits, same, string.removeprefix(INDUCTANCE), problem, as_given)
    return [fits[row] for row in range(inductive.size)]


def _improve(fits: dict[int, CircuitFit], rows: list[int], string: str, problem: _Problem, as_given: Floats) -> None:
    """Replace the fits of some rows where another circuit has the lower criterion."""
    circuit = parse_circuit(string)
    if not rows or 2 * problem.frequency.size <= len(circuit.units):
        return
    part = problem.rows(np.array(rows))
    other = _rough(circuit, part)
    better = np.flatnonzero(other.aic(problem.frequency.size) < [fits[row].aic for row in rows])
    if better.size:
        part = part.rows(better)
        replaced = _named(_refined(other.rows(better), part), part, as_given)
        fits.update(zip(np.array(rows)[better].tolist(), replaced, strict=True))


def _best(circuits: list[Circuit], problem: _Problem, as_given: Floats) -> list[CircuitFit]:
    """Fit every circuit that the points allow and choose by Akaike's criterion for each spectrum."""
    small = [circuit for circuit in circuits if 2 * problem.frequency.size > len(circuit.units)]
    tries = [_rough(circuit, problem) for circuit in small or circuits[:1]]
    winners = np.argmin([one.aic(problem.frequency.size) for one in tries], axis=0)
    fits: dict[int, CircuitFit] = {}
    for number, one in enumerate(tries):
        rows = np.flatnonzero(winners == number)
        if rows.size:
            part = problem.rows(rows)
            fits.update(zip(rows.tolist(), _named(_refined(one.rows(rows), part), part, as_given), strict=True))
    return [fits[row] for row in range(winners.size)]


def _solve(circuit: Circuit, problem: _Problem) -> _Solution:
    """Fit a circuit to all spectra."""
    return _refined(_screened(circuit, problem, SCREENING_ITERATIONS), problem)


def _rough(circuit: Circuit, problem: _Problem) -> _Solution:
    """Fit a circuit to all spectra, precisely enough to compare circuits."""
    return _continued(_screened(circuit, problem, CHOOSING_ITERATIONS), problem, ROUGH_TOLERANCE, ROUGH_ITERATIONS)


def _screened(circuit: Circuit, problem: _Problem, iterations: int) -> _Solution:
    """Take some steps from each starting point and return where the best of them has led."""
    points = problem.frequency.size
    unknowns = unknowns_of(circuit, problem.chosen)
    if 2 * points <= unknowns.count:
        raise AnalysisError(
            f"circuit {circuit.string}: {unknowns.count} parameters cannot be found from {points} points; "
            "measure more frequencies or choose a smaller circuit"
        )
    low, high = limited(circuit, problem.chosen, *natural_bounds(circuit, problem.frequency, problem.impedance))
    low, high = unknowns.limits(low, high)
    starts = starting_points(circuit, problem.frequency, problem.impedance, problem.weights)
    count, choices, _ = starts.shape
    each = np.repeat(np.arange(count), choices)
    # A start on a limit would have no way to move inwards.
    margin = 1e-3 * np.minimum(1.0, high - low)
    inside = np.clip(unknowns.start(starts.reshape(count * choices, -1)), (low + margin)[each], (high - margin)[each])
    screened = minimise(
        _model(circuit, unknowns, problem.rows(each)),
        inside,
        low[each],
        high[each],
        iterations=iterations,
        tolerance=ROUGH_TOLERANCE,
        good_cost=np.repeat(_perfect(problem), choices),
    )
    best = np.arange(count) * choices + screened.cost.reshape(count, choices).argmin(axis=1)
    return _Solution(circuit, unknowns, low, high, screened.rows(best))


def _refined(solution: _Solution, problem: _Problem) -> _Solution:
    """Carry a solution on to the minimum."""
    return _continued(solution, problem, TOLERANCE, ITERATIONS)


def _continued(solution: _Solution, problem: _Problem, tolerance: float, iterations: int) -> _Solution:
    minimum = minimise(
        _model(solution.circuit, solution.unknowns, problem),
        solution.minimum.x,
        solution.low,
        solution.high,
        iterations=iterations,
        tolerance=tolerance,
        good_cost=_perfect(problem),
        damping=solution.minimum.damping,
    )
    return replace(solution, minimum=minimum)


def _perfect(problem: _Problem) -> Floats:
    """Return the cost at which no instrument could tell a fit from the truth."""
    return np.full(problem.impedance.shape[0], problem.frequency.size * PERFECT_RELATIVE_RMSE**2)


def _model(circuit: Circuit, unknowns: Unknowns, problem: _Problem) -> Model:
    """Return the weighted residuals and their derivatives as a function of the unknowns of some rows."""
    all_free = unknowns.count == unknowns.membership.shape[0]

    def model(x: Floats, rows: NDArray[np.intp]) -> tuple[Floats, Floats]:
        weights = problem.weights[rows]
        z, derivatives = circuit.respond(problem.at, unknowns.parameters(x), weights)
        residual = ((z - problem.impedance[rows]) * weights).view(np.float64)
        jacobian = derivatives.view(np.float64)
        return residual, jacobian if all_free else unknowns.membership.T @ jacobian

    return model


def _named(solution: _Solution, problem: _Problem, as_given: Floats) -> list[CircuitFit]:
    """Return the results with the impedance in the caller's order of frequencies."""
    values = solution.unknowns.parameters(solution.minimum.x)
    modelled = solution.circuit.respond(problem.at, values)[0]
    back = np.argsort(np.argsort(-as_given, kind="stable"), kind="stable")
    fits = named(
        solution.circuit, solution.unknowns, solution.minimum, modelled, problem.impedance, problem.chosen.names()
    )
    return [replace(fit, impedance_ohm=fit.impedance_ohm[back]) for fit in fits]
