"""What a circuit fit found: named parameters with their errors, and how well the circuit serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.electrochemistry.impedance.circuit import Circuit, Element, Group, Node, elements

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.impedance.least_squares import Minimum
    from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats
    from battery_pilot.electrochemistry.impedance.unknowns import Unknowns

    pass

LARGEST_RELATIVE_ERROR = 100.0
"""A parameter whose standard error exceeds its value this many times is not identifiable."""

NO_INFORMATION = 1e-13
"""Eigenvalue of the scaled normal matrix below which the spectrum says nothing about a direction."""


@dataclass(frozen=True)
class Parameter:
    """A fitted parameter.

    :param value: in ``unit``.
    :param unit: such as ``ohm`` or ``ohm^-1 s^alpha``.
    :param standard_error: in the same unit, from the Jacobian at the optimum; ``None`` when the spectrum does not
        determine the parameter, when it rests on a limit or was fixed.
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
    :param arc_resistances: names of the resistors in parallel blocks and of the Zarc elements.
    :param correlation: correlation of the parameters' logarithms, shape (parameters, parameters), in the order of
        ``parameters``; NaN for those that have no standard error.
    :param aic: Akaike's information criterion of the weighted residuals, n ln(RSS / n) + 2 k with n real residuals and
        k fitted numbers; to compare circuits on one spectrum with one weighting.
    """

    circuit: str
    parameters: Mapping[str, Parameter]
    relative_rmse: float
    impedance_ohm: Complexes
    series_resistances: tuple[str, ...]
    arc_resistances: tuple[str, ...]
    correlation: Floats
    aic: float


def akaike(cost: Floats, residuals: int, unknowns: int) -> Floats:
    """Return Akaike's information criterion from sums of squares, shape (n,)."""
    criterion: Floats = residuals * np.log(np.maximum(cost, 1e-300) / residuals) + 2 * unknowns
    return criterion


def named(
    circuit: Circuit, unknowns: Unknowns, minimum: Minimum, modelled: Complexes, measured: Complexes, held: set[str]
) -> list[CircuitFit]:
    """Turn minima into named parameters with standard errors and correlations.

    :param modelled: impedance at the minima, shape (n, f).
    :param measured: shape (n, f).
    :param held: parameters that the user restricted by name; arcs with one of these keep their place.
    """
    count = 2 * measured.shape[1]
    values = unknowns.parameters(minimum.x)
    variance = minimum.cost / max(count - unknowns.count, 1)
    covariance = _spread_out(unknowns, _covariance(minimum) * variance[:, None, None])
    rmse = np.sqrt(np.mean(np.abs((modelled - measured) / measured) ** 2, axis=1))
    criterion = akaike(minimum.cost, count, unknowns.count)
    series = tuple(leaf.name for leaf in circuit.root.members if isinstance(leaf, Element) and leaf.kind == "R")
    arcs = tuple(_arc_resistances(circuit))
    found = []
    for row in range(values.shape[0]):
        order = _by_time_constant(circuit, values[row], held)
        parameters, correlation = _parameters(circuit, values[row][order], covariance[row][np.ix_(order, order)])
        found.append(
            CircuitFit(
                circuit=circuit.string,
                parameters=parameters,
                relative_rmse=float(rmse[row]),
                impedance_ohm=modelled[row],
                series_resistances=series,
                arc_resistances=arcs,
                correlation=correlation,
                aic=float(criterion[row]),
            )
        )
    return found


def _arc_resistances(circuit: Circuit) -> list[str]:
    names = []
    for member in circuit.root.members:
        if isinstance(member, Group):
            names += [leaf.name for leaf in elements(member) if leaf.kind == "R"]
        elif member.kind == "Zarc":
            names.append(f"{member.name}_R")
    return names


def _parameters(circuit: Circuit, values: Floats, covariance: Floats) -> tuple[dict[str, Parameter], Floats]:
    """Name the values and split the covariance of their logarithms into standard errors and correlations."""
    variance = np.diagonal(covariance)
    known = np.isfinite(variance) & (variance <= LARGEST_RELATIVE_ERROR**2)
    errors = np.sqrt(np.where(known, variance, np.nan))
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation = np.clip(covariance / np.outer(errors, errors), -1, 1)
    parameters = {
        name: Parameter(float(value), unit, float(value * error) if good and error > 0 else None)
        for (name, unit), value, error, good in zip(circuit.units.items(), values, errors, known, strict=True)
    }
    return parameters, correlation


def _covariance(minimum: Minimum) -> Floats:
    """Return the inverse of the normal matrices, infinite in directions without information, shape (n, k, k)."""
    scale = np.sqrt(np.diagonal(minimum.normal, axis1=1, axis2=2))
    dead = minimum.at_limit | (scale == 0)
    scale = np.where(scale == 0, 1.0, scale)
    # Parameters on a limit are taken as known, as the fit did.
    normal = minimum.normal / (scale[:, :, None] * scale[:, None, :])
    normal = np.where(dead[:, :, None] | dead[:, None, :], np.eye(scale.shape[1]), normal)
    strength, directions = np.linalg.eigh(normal)
    informed = strength > NO_INFORMATION * strength[:, -1:]
    inverse = np.where(informed, 1 / np.where(informed, strength, 1.0), 0.0)
    covariance = (directions * inverse[:, None, :]) @ directions.transpose(0, 2, 1)
    lost = ((np.abs(directions) > 1e-6) & ~informed[:, None, :]).any(axis=2) | dead
    covariance = np.where(lost[:, :, None] | lost[:, None, :], np.nan, covariance)
    result: Floats = covariance / (scale[:, :, None] * scale[:, None, :])
    return result


def _spread_out(unknowns: Unknowns, covariance: Floats) -> Floats:
    """Return the covariance of all parameters from that of the unknowns; fixed parameters have none."""
    member_of = np.where(unknowns.membership.any(axis=1), unknowns.membership.argmax(axis=1), -1)
    spread = covariance[:, member_of][:, :, member_of]
    free = member_of >= 0
    result: Floats = np.where(free[:, None] & free[None, :], spread, np.nan)
    return result


def _by_time_constant(circuit: Circuit, values: Floats, held: set[str]) -> list[int]:
    """Return the order of parameters that puts interchangeable arcs of the outer series by rising time constant."""
    order = list(range(values.size))
    names = list(circuit.units)
    alike: dict[tuple[str, ...], list[Node]] = {}
    for member in circuit.root.members:
        kinds = _arc_kinds(member)
        if kinds is not None and not held.intersection(names[member.start : member.stop]):
            alike.setdefault(kinds, []).append(member)
    for kinds, arcs in alike.items():
        by_time = sorted(arcs, key=lambda arc: _time_constant(kinds, values[arc.start : arc.stop]))
        for place, arc in zip(arcs, by_time, strict=True):
            order[place.start : place.stop] = range(arc.start, arc.stop)
    return order


def _arc_kinds(node: Node) -> tuple[str, ...] | None:
    """Return the kinds of a Zarc, or of a resistor in parallel with a capacitor or constant-phase element."""
    if isinstance(node, Element):
        return ("Zarc",) if node.kind == "Zarc" else None
    leaves = [leaf for leaf in node.members if isinstance(leaf, Element)]
    kinds = tuple(leaf.kind for leaf in leaves)
    simple = node.parallel and len(node.members) == 2 and sorted(kinds) in (["C", "R"], ["CPE", "R"])
    return kinds if simple else None


def _time_constant(kinds: tuple[str, ...], values: Floats) -> float:
    """(R Q)^(1/alpha) of an arc, alpha being 1 for a capacitor; seconds."""
    if kinds == ("Zarc",):
        return float(values[1])
    if "C" in kinds:
        return float(values[0] * values[1])
    resistance, q, alpha = values if kinds[0] == "R" else (values[2], values[0], values[1])
    return float((resistance * q) ** (1 / alpha))
