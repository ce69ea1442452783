"""Which parameters of a circuit a fit may change, and how far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.impedance.circuit import Circuit
    from battery_pilot.electrochemistry.impedance.spectrum import Floats


@dataclass(frozen=True)
class Restrictions:
    """What the user knows beforehand of a circuit's parameters, by name and in their units.

    :param fixed: parameters that keep a value, greater than 0.
    :param shared: groups of parameters that have one common value, such as ``("CPE1_alpha", "CPE2_alpha")``.
    :param bounds: lowest and highest value of a parameter; 0 and infinity leave that end to the spectrum.
    """

    fixed: Mapping[str, float]
    shared: tuple[tuple[str, ...], ...]
    bounds: Mapping[str, tuple[float, float]]

    def names(self) -> set[str]:
        """Return the names of all parameters that are restricted in any way."""
        return {*self.fixed, *self.bounds, *(name for group in self.shared for name in group)}


@dataclass(frozen=True, eq=False)
class Unknowns:
    """The fitted numbers: logarithms of parameters, or of the common value of shared ones.

    :param fixed: logarithms of the fixed parameters, 0 for the others, shape (parameters,).
    :param membership: 1 where a parameter has the value of an unknown, shape (parameters, unknowns).
    """

    fixed: Floats
    membership: Floats

    @property
    def count(self) -> int:
        """Number of unknowns."""
        return int(self.membership.shape[1])

    def parameters(self, unknowns: Floats) -> Floats:
        """Return all parameters, shape (n, parameters), from the unknowns, shape (n, unknowns)."""
        values: Floats = np.exp(self.fixed + unknowns @ self.membership.T)
        return values

    def start(self, parameters: Floats) -> Floats:
        """Return the unknowns that come nearest to parameters, shape (n, parameters)."""
        means: Floats = np.log(parameters) @ self.membership / self.membership.sum(axis=0)
        return means

    def limits(self, low: Floats, high: Floats) -> tuple[Floats, Floats]:
        """Return the limits of the unknowns from those of the parameters, shape (n, parameters) each."""
        inside = self.membership.T[None, :, :] > 0
        lowest = np.where(inside, np.log(low)[:, None, :], -np.inf).max(axis=2)
        highest = np.where(inside, np.log(high)[:, None, :], np.inf).min(axis=2)
        return lowest, highest


def restrictions(
    fixed: Mapping[str, float] | None = None,
    shared: Iterable[Iterable[str]] = (),
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Restrictions:
    """Check and collect restrictions.

    :raises InputError: a value is not positive, a lower bound is not below the upper one, a group has one member, or a
        parameter is restricted twice.
    """
    groups = tuple(tuple(group) for group in shared)
    found = Restrictions(dict(fixed or {}), groups, dict(bounds or {}))
    for name, value in found.fixed.items():
        if not 0 < value < np.inf:
            raise InputError(f"{name} is fixed to {value}; expected a value greater than 0")
    for name, (low, high) in found.bounds.items():
        if not 0 <= low < high:
            raise InputError(f"{name} has the bounds {low}..{high}; expected 0 <= lower < upper")
    members = [name for group in groups for name in group]
    for group in groups:
        if len(group) < 2:
            raise InputError(f"shared parameters {group}: expected at least two names")
    twice = {name for name in members if members.count(name) > 1} | (set(members) & set(found.fixed))
    twice |= set(found.fixed) & set(found.bounds)
    if twice:
        raise InputError(f"{', '.join(sorted(twice))}: restricted twice; fix, share or bound a parameter only once")
    return found


def unknowns_of(circuit: Circuit, chosen: Restrictions) -> Unknowns:
    """Return what is left to fit.

    :raises InputError: the circuit has no parameter of a restriction's name, shared ones differ in unit, or nothing is
        left to fit.
    """
    names = list(circuit.units)
    unknown = chosen.names() - set(names)
    if unknown:
        raise InputError(
            f"circuit {circuit.string}: has no parameter {', '.join(sorted(unknown))}; its parameters: {', '.join(names)}"
        )
    for group in chosen.shared:
        if len({circuit.units[name] for name in group}) > 1:
            units = ", ".join(f"{name} in {circuit.units[name]}" for name in group)
            raise InputError(f"circuit {circuit.string}: shared parameters differ in unit: {units}")
    first = {name: group[0] for group in chosen.shared for name in group}
    leaders = [name for name in names if name not in chosen.fixed and first.get(name, name) == name]
    if not leaders:
        raise InputError(f"circuit {circuit.string}: all parameters are fixed; leave at least one to fit")
    membership = np.array(
        [
            [float(name not in chosen.fixed and first.get(name, name) == leader) for leader in leaders]
            for name in names
        ]
    )
    logarithms = np.array([np.log(chosen.fixed.get(name, 1.0)) for name in names])
    return Unknowns(logarithms, membership)


def limited(circuit: Circuit, chosen: Restrictions, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return limits, shape (n, parameters) each, narrowed to the user's bounds."""
    low, high = low.copy(), high.copy()
    for index, name in enumerate(circuit.units):
        least, most = chosen.bounds.get(name, (0.0, np.inf))
        if most < np.inf:
            high[:, index] = most
            low[:, index] = np.minimum(low[:, index], 1e-6 * most)
        if least > 0:
            low[:, index] = least
            high[:, index] = np.maximum(high[:, index], min(most, 1e6 * least))
    return low, high
