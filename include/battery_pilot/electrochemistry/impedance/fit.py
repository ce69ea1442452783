"""Fit an equivalent circuit to a spectrum.

The residuals are weighted with the modulus of the measured impedance (every point counts with its relative error), the
parameters are fitted as logarithms, and the fit starts from several points that are read off the spectrum. It is a local
fit: the best of these starts, without a claim of the global optimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

import numpy as np
from scipy.optimize import OptimizeResult, least_squares

from battery_pilot.electrochemistry.impedance.circuit import Circuit, Element, Group, Node, elements, parse_circuit
from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats, checked_spectrum
from battery_pilot.electrochemistry.impedance.starts import bounds, starting_points
from battery_pilot.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike

CANDIDATES = (
    "R0-p(R1,CPE1)",
    "R0-p(R1,CPE1)-W1",
    "R0-p(R1,CPE1)-p(R2,CPE2)",
    "R0-p(R1,CPE1)-p(R2,CPE2)-W1",
    "R0-p(R1,CPE1)-p(R2,CPE2)-CPE3",
)
"""Circuits tried when none is asked for."""

INDUCTANCE = "L0-"
"""Goes before a candidate when the spectrum has inductive points and the criterion finds the inductance worth it."""

GOOD_RELATIVE_RMSE = 0.005
"""Further starting points are not tried below this: the fit is as good as the instrument."""

LARGEST_RELATIVE_ERROR = 100.0
"""A parameter whose standard error exceeds its value this many times is not identifiable."""


@dataclass(frozen=True)
class Parameter:
    """A fitted parameter.

    :param value: in ``unit``.
    :param unit: such as ``ohm`` or ``ohm^-1 s^alpha``.
    :param standard_error: in the same unit, from the Jacobian at the optimum; ``None`` when the spectrum does not
        determine the parameter.
    """

    value: float
    unit: str
    standard_error: float | None


@dataclass(frozen=True, eq=False)
class CircuitFit:
    r"""A fitted circuit.

    :param circuit: the circuit string.
    :param parameters: by name, in the order of the string; interchangeable arcs stand by rising time constant.
    :param relative_rmse: root mean square of \|measured - fitted\| / \|measured\|, a fraction.
    :param impedance_ohm: the fitted impedance at the measured frequencies, in the caller's order.
    :param series_resistances: names of the resistors in the outer series.
    :param arc_resistances: names of the resistors in parallel blocks.
    """

    circuit: str
    parameters: Mapping[str, Parameter]
    relative_rmse: float
    impedance_ohm: Complexes
    series_resistances: tuple[str, ...]
    arc_resistances: tuple[str, ...]


def fit_circuit(frequency_hertz: ArrayLike, impedance_ohm: ArrayLike, circuit: str | None = None) -> CircuitFit:
    """Fit a circuit, or the best of :data:`CANDIDATES` by Akaike's information criterion.

    :param frequency_hertz: frequencies, shape (n,), Hz, in any order.
    :param impedance_ohm: complex impedance, shape (n,), ohm.
    :param circuit: a circuit string; ``None`` tries the candidates.
    :raises CircuitError: the string cannot be parsed.
    :raises AnalysisError: the spectrum is unusable or has too few points for the circuit.
    """
    frequency, impedance = checked_spectrum(frequency_hertz, impedance_ohm)
    if circuit is None:
        parsed, solution = _best_candidate(frequency, impedance)
    else:
        parsed = parse_circuit(circuit)
        solution = _best_of_starts(parsed, frequency, impedance)
    return _report(parsed, solution, frequency, impedance, np.asarray(frequency_hertz, dtype=np.float64))


def _best_candidate(frequency: Floats, impedance: Complexes) -> tuple[Circuit, OptimizeResult]:
    """Fit the candidates and choose by Akaike's criterion; the chosen one must also need its inductance."""

    def best(strings: list[str]) -> tuple[Circuit, OptimizeResult]:
        parsed = [parse_circuit(string) for string in strings]
        small = [circuit for circuit in parsed if 2 * frequency.size > len(circuit.units)]
        fits = [(circuit, _best_of_starts(circuit, frequency, impedance)) for circuit in small]
        return min(fits, key=lambda fit: _akaike(fit[1]))

    if not np.any(impedance.imag > 0):
        return best(list(CANDIDATES))
    chosen, _ = best([INDUCTANCE + candidate for candidate in CANDIDATES])
    return best([chosen.string, chosen.string.removeprefix(INDUCTANCE)])


def _best_of_starts(circuit: Circuit, frequency: Floats, impedance: Complexes) -> OptimizeResult:
    """Run the fit from each starting point and keep the best."""
    if 2 * frequency.size <= len(circuit.units):
        raise AnalysisError(
            f"circuit {circuit.string}: {len(circuit.units)} parameters cannot be found from {frequency.size} points; "
            "measure more frequencies or choose a smaller circuit"
        )
    low, high = np.log(bounds(circuit, frequency, impedance))
    modulus = np.abs(impedance)

    def residuals(logarithms: Floats) -> Floats:
        modelled, _ = circuit.respond(frequency, np.exp(logarithms))
        return _stacked((modelled - impedance) / modulus)

    def jacobian(logarithms: Floats) -> Floats:
        _, derivatives = circuit.respond(frequency, np.exp(logarithms))
        return _stacked(derivatives.T / modulus[:, None])

    solutions: list[OptimizeResult] = []
    for start in starting_points(circuit, frequency, impedance):
        # A start on a limit would have no way to move inwards.
        inside = np.clip(np.log(start), low + 1e-3, high - 1e-3)
        found = least_squares(residuals, inside, jacobian, bounds=(low, high), max_nfev=100, ftol=1e-9, xtol=1e-9)
        solutions.append(found)
        if 2 * found.cost / frequency.size < GOOD_RELATIVE_RMSE**2:
            break
    return min(solutions, key=lambda solution: solution.cost)


def _akaike(solution: OptimizeResult) -> float:
    """Akaike's information criterion of a least-squares fit: n ln(RSS / n) + 2 k."""
    count = solution.fun.size
    return float(count * np.log(max(2 * solution.cost, 1e-300) / count) + 2 * solution.x.size)


def _report(
    circuit: Circuit, solution: OptimizeResult, frequency: Floats, impedance: Complexes, as_given: Floats
) -> CircuitFit:
    """Turn the optimum into named parameters with standard errors."""
    order = _by_time_constant(circuit, np.exp(solution.x))
    values = np.exp(solution.x)[order]
    errors = _relative_errors(solution)[order]
    errors[solution.active_mask[order] != 0] = np.inf
    parameters = {
        name: Parameter(float(value), unit, float(value * error) if error <= LARGEST_RELATIVE_ERROR else None)
        for (name, unit), value, error in zip(circuit.units.items(), values, errors, strict=True)
    }
    return CircuitFit(
        circuit=circuit.string,
        parameters=parameters,
        relative_rmse=float(np.sqrt(2 * solution.cost / frequency.size)),
        impedance_ohm=circuit.respond(as_given, values)[0],
        series_resistances=tuple(leaf.name for leaf in circuit.root.members if _is_resistor(leaf)),
        arc_resistances=tuple(
            leaf.name
            for member in circuit.root.members
            if isinstance(member, Group)
            for leaf in elements(member)
            if leaf.kind == "R"
        ),
    )


def _is_resistor(node: Node) -> TypeGuard[Element]:
    return isinstance(node, Element) and node.kind == "R"


def _relative_errors(solution: OptimizeResult) -> Floats:
    """Return the standard error of each logarithm, infinite where the Jacobian says nothing; shape (parameters,)."""
    degrees = max(solution.fun.size - solution.x.size, 1)
    _, singular, directions = np.linalg.svd(solution.jac, full_matrices=False)
    # A direction without influence gets an infinite variance, and so does every parameter that moves along it.
    inverse = np.full(singular.size, np.inf)
    np.divide(1, singular, out=inverse, where=singular > singular[0] * np.finfo(float).eps * solution.fun.size)
    weights = np.where(np.abs(directions) > 1e-6, directions, 0.0)
    with np.errstate(invalid="ignore"):
        variance = np.nansum((weights * inverse[:, None]) ** 2, axis=0)
    errors: Floats = np.sqrt(variance * 2 * solution.cost / degrees)
    return errors


def _by_time_constant(circuit: Circuit, values: Floats) -> list[int]:
    """Return the order of parameters that puts interchangeable arcs of the outer series by rising time constant."""
    order = list(range(values.size))
    alike: dict[tuple[str, ...], list[Node]] = {}
    for member in circuit.root.members:
        kinds = _arc_kinds(member)
        if kinds is not None:
            alike.setdefault(kinds, []).append(member)
    for kinds, arcs in alike.items():
        by_time = sorted(arcs, key=lambda arc: _time_constant(kinds, values[arc.start : arc.stop]))
        for place, arc in zip(arcs, by_time, strict=True):
            order[place.start : place.stop] = range(arc.start, arc.stop)
    return order


def _arc_kinds(node: Node) -> tuple[str, ...] | None:
    """Return the two kinds of a resistor in parallel with a capacitor or constant-phase element, else ``None``."""
    if isinstance(node, Element) or not node.parallel or len(node.members) != 2:
        return None
    leaves = [member.members[0] for member in node.members if isinstance(member, Group) and len(member.members) == 1]
    kinds = tuple(leaf.kind for leaf in leaves if isinstance(leaf, Element))
    return kinds if sorted(kinds) in (["C", "R"], ["CPE", "R"]) else None


def _time_constant(kinds: tuple[str, ...], values: Floats) -> float:
    """(R Q)^(1/alpha) of an arc, alpha being 1 for a capacitor; seconds."""
    if "C" in kinds:
        return float(values[0] * values[1])
    resistance, q, alpha = values if kinds[0] == "R" else (values[2], values[0], values[1])
    return float((resistance * q) ** (1 / alpha))


def _stacked(values: Complexes) -> Floats:
    """Real parts above imaginary parts, along the first axis."""
    return np.concatenate([values.real, values.imag])
