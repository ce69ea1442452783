"""Where a circuit fit starts and how far it may go, found from the spectrum.

With its time constant given, every member of the outer series has a known shape and only its size, a resistance, is left
to find, which is a linear problem. So a start is the best of a table of time constants, each with the resistances that suit
the spectrum best. That serves any circuit, nested ones as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations, product
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.electrochemistry.impedance.circuit import Circuit, Element, Node, elements, member_impedances
from battery_pilot.electrochemistry.impedance.elements import frequencies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats

STARTS = 6

ARC_ALPHA = 0.9
TAIL_ALPHA = 0.6
"""Typical exponents of an arc and of a diffusion tail."""

ARC_TIME_CONSTANTS = 12
SLOWEST_ARC = 100.0
"""Time constants tried for arcs, from that of the highest frequency to so many times that of the lowest.

An arc that a spectrum ends in has its own time constant beyond it.
"""

DIFFUSION = ("W", "Wo", "Ws", "G")
"""Kinds of diffusion; the first has no time constant of its own."""

DIFFUSION_TIME_CONSTANTS = (0.01, 0.1, 1.0, 10.0)
"""Time constants tried for diffusion, as multiples of that of the lowest frequency."""

INNER_DIFFUSION = 1000.0
"""How much slower than an arc the diffusion within it starts."""

MOST_COMBINATIONS = 500
"""Bounds the memory of a batch; of longer tables only every second, third … one is tried."""

SMALLEST_SHARE = 0.01
"""A member that the linear problem wants to be smaller, or negative, starts with this share of the impedance."""

EXPONENT = (0.2, 1.0)
"""Limits of an exponent: below, an element is a resistance for all that a spectrum shows; above, it is not passive."""


def zero_crossing(frequency: Floats, impedance: Complexes) -> tuple[float, float] | None:
    """Return real part and frequency at the highest-frequency change from inductive to capacitive, or ``None``.

    Both are interpolated, the frequency in its logarithm.

    :param frequency: falling, shape (f,), Hz.
    :param impedance: shape (f,), ohm.
    """
    crossings = np.flatnonzero((impedance.imag[:-1] >= 0) & (impedance.imag[1:] < 0))
    if crossings.size == 0:
        return None
    first = int(crossings[0])
    before, after = impedance[first], impedance[first + 1]
    share = before.imag / (before.imag - after.imag)
    crossing_hertz = frequency[first] * (frequency[first + 1] / frequency[first]) ** share
    return float(before.real + share * (after.real - before.real)), float(crossing_hertz)


def bounds(circuit: Circuit, frequency: Floats, impedance: Complexes) -> tuple[Floats, Floats]:
    """Return the lower and upper limits of the parameters, shape (n, parameters) each.

    They are wide (six decades below what the spectrum could show, two above) and keep the fit from overflowing.

    :param frequency: falling, shape (f,), Hz.
    :param impedance: shape (n, f), ohm.
    """
    omega_high, omega_low = 2 * np.pi * frequency[0], 2 * np.pi * frequency[-1]
    modulus = np.abs(impedance)
    most, least = modulus.max(axis=1), modulus.min(axis=1)
    resistance = (1e-6 * least, 1e2 * most)
    time = (1e-2 / omega_high, 1e4 / omega_low)
    capacitance = (1e-2 / (omega_high * most), 1e6 / (omega_low * least))
    limits = {
        "R": [resistance],
        "C": [capacitance],
        "L": [(1e-6 * least / omega_high, 1e2 * most / omega_high)],
        "CPE": [capacitance, EXPONENT],
        "W": [(1e-6 * least * omega_low**0.5, 1e2 * most * omega_high**0.5)],
        "Wo": [resistance, time],
        "Ws": [resistance, time],
        "G": [resistance, time],
        "Zarc": [resistance, time, EXPONENT],
    }
    pairs = [pair for element in elements(circuit.root) for pair in limits[element.kind]]
    low, high = np.empty((most.size, len(pairs))), np.empty((most.size, len(pairs)))
    for index, (lowest, highest) in enumerate(pairs):
        low[:, index], high[:, index] = lowest, highest
    return low, high


def starting_points(circuit: Circuit, frequency: Floats, impedance: Complexes, weights: Floats) -> Floats:
    """Return parameters to start from, shape (n, starts, parameters), the most promising first.

    :param frequency: falling, shape (f,), Hz.
    :param impedance: shape (n, f), ohm.
    :param weights: factors of the residuals, shape (n, f).
    """
    table = _table(circuit, frequency.tobytes())
    sizes, costs = _sized(table, impedance, weights)
    everyone = np.arange(costs.shape[0])
    starts = []
    for _ in range(STARTS):
        best = costs.argmin(axis=1)
        size = sizes[everyone, best][:, table.member_of]
        starts.append(table.parameters[best] * size**table.power)
        # The next one must differ by more than a neighbouring time constant.
        costs = np.where(table.near[best], np.inf, costs)
    return np.stack(starts, axis=1)


@dataclass(frozen=True, eq=False)
class _Table:
    """The combinations of time constants to try for a circuit, and the shapes that its members have with them.

    :param shapes: impedance of a member of 1 ohm with some time constant, shape (shapes, 2 f), real parts first.
    :param chosen: shape of each member in each combination, shape (combinations, members).
    :param near: whether two combinations differ at most by neighbouring time constants, shape (combinations, combinations).
    :param parameters: of the circuit with members of 1 ohm, shape (combinations, parameters).
    :param power: with which power of its member's resistance a parameter grows, shape (parameters,).
    :param member_of: member that a parameter belongs to, shape (parameters,).
    """

    shapes: Floats
    chosen: NDArray[np.intp]
    near: NDArray[np.bool_]
    parameters: Floats
    power: NDArray[np.intp]
    member_of: NDArray[np.intp]


@lru_cache(maxsize=64)
def _table(circuit: Circuit, grid: bytes) -> _Table:
    frequency = np.frombuffer(grid)
    fastest, slowest = 1 / (2 * np.pi * float(frequency[0])), 1 / (2 * np.pi * float(frequency[-1]))
    members = circuit.root.members
    taus = _time_constants(members, fastest, slowest)
    offsets = np.cumsum([0, *(len(one) for one in taus)])
    # One row per shape: all members have the time constant of that place in their list, or the last one.
    rows = max(len(one) for one in taus)
    values = np.empty((rows, len(circuit.units)))
    for member, one in zip(members, taus, strict=True):
        for place in range(rows):
            _fill(member, one[min(place, len(one) - 1)], values[place])
    responses = member_impedances(circuit, frequencies(frequency), values)
    shapes = np.concatenate([z[: len(one)] for z, one in zip(responses, taus, strict=True)])
    places = _combinations(members, taus)
    parameters = np.empty((places.shape[0], values.shape[1]))
    for number, member in enumerate(members):
        parameters[:, member.start : member.stop] = values[places[:, number], member.start : member.stop]
    return _Table(
        shapes=np.concatenate([shapes.real, shapes.imag], axis=1),
        chosen=places + offsets[:-1],
        near=np.abs(places[:, None] - places[None, :]).max(axis=2) <= 1,
        parameters=parameters,
        power=np.array([power for leaf in elements(circuit.root) for power in _POWERS[leaf.kind]]),
        member_of=np.repeat(np.arange(len(members)), [member.stop - member.start for member in members]),
    )


def _time_constants(members: tuple[Node, ...], fastest: float, slowest: float) -> list[list[float]]:
    """Return the time constants to try for each member of the outer series."""
    arcs = sum(_is_arc(member) for member in members)
    slow = [member for member in members if isinstance(member, Element) and member.kind in DIFFUSION[1:]]
    of_arcs = [float(tau) for tau in np.geomspace(fastest, SLOWEST_ARC * slowest, max(ARC_TIME_CONSTANTS, arcs))]
    of_diffusion = [factor * slowest for factor in DIFFUSION_TIME_CONSTANTS]
    found = []
    for member in members:
        if _is_arc(member):
            found.append(of_arcs)
        elif member in slow:
            # Combinations multiply: more than two would fill the table.
            found.append(of_diffusion if len(slow) <= 2 else [slowest])
        else:
            found.append([fastest if isinstance(member, Element) and member.kind == "L" else slowest])
    return found


def _is_arc(member: Node) -> bool:
    return not isinstance(member, Element) or member.kind == "Zarc"


def _combinations(members: tuple[Node, ...], taus: list[list[float]]) -> NDArray[np.intp]:
    """Return the places of the members' time constants to try; arcs of one make stand by rising time constant."""
    arcs = [number for number, member in enumerate(members) if _is_arc(member)]
    makes = {tuple(leaf.kind for leaf in elements(members[number])) for number in arcs}
    pick = permutations if len(makes) == len(arcs) == 2 else combinations
    rest = [number for number in range(len(members)) if number not in arcs]
    found = []
    for of_arcs in pick(range(len(taus[arcs[0]]) if arcs else 0), len(arcs)):
        for of_rest in product(*(range(len(taus[number])) for number in rest)):
            place = np.empty(len(members), dtype=np.intp)
            place[arcs], place[rest] = of_arcs, of_rest
            found.append(place)
    return np.array(found[:: -(-len(found) // MOST_COMBINATIONS)])


def _fill(member: Node, tau: float, values: Floats) -> None:
    """Write the parameters of a member whose elements all have a modulus of about 1 ohm at 1 / ``tau``."""
    alone = isinstance(member, Element)
    for leaf in elements(member):
        alpha = TAIL_ALPHA if alone and leaf.kind == "CPE" else ARC_ALPHA
        slowness = INNER_DIFFUSION if not alone and leaf.kind in DIFFUSION else 1.0
        values[leaf.start : leaf.stop] = _unit(leaf.kind, slowness * tau, alpha)


def _unit(kind: str, tau: float, alpha: float) -> tuple[float, ...]:
    """Return the parameters with which an element's modulus is about 1 ohm at the angular frequency 1 / ``tau``."""
    values = {
        "R": (1.0,),
        "C": (tau,),
        "L": (tau,),
        "CPE": (tau**alpha, alpha),
        "W": ((2 * tau) ** -0.5,),
        "Wo": (1.0, tau),
        "Ws": (1.0, tau),
        "G": (1.0, tau),
        "Zarc": (1.0, tau, alpha),
    }
    return values[kind]


_POWERS = {
    "R": (1,),
    "C": (-1,),
    "L": (1,),
    "CPE": (-1, 0),
    "W": (1,),
    "Wo": (1, 0),
    "Ws": (1, 0),
    "G": (1, 0),
    "Zarc": (1, 0, 0),
}
"""The power of a factor of the impedance that each parameter has to be multiplied with."""


def _sized(table: _Table, impedance: Complexes, weights: Floats) -> tuple[Floats, Floats]:
    """Return the resistances of the members, shape (n, combinations, members), and the cost, shape (n, combinations)."""
    both = np.concatenate([weights, weights], axis=1)
    target = np.concatenate([impedance.real, impedance.imag], axis=1) * both
    shapes = table.shapes * both[:, None, :]
    length = np.sqrt(np.einsum("nsr,nsr->ns", shapes, shapes))
    shapes /= length[:, :, None]
    gram = shapes @ shapes.transpose(0, 2, 1)
    across = (shapes @ target[:, :, None])[:, :, 0]
    chosen = table.chosen
    matrix = gram[:, chosen[:, :, None], chosen[:, None, :]]
    right = across[:, chosen]
    # Members may have nearly the same shape.
    matrix += 1e-8 * np.eye(chosen.shape[1])
    share = np.linalg.solve(matrix, right[:, :, :, None])[:, :, :, 0]
    floor = SMALLEST_SHARE * np.sqrt(np.einsum("nr,nr->n", target, target))
    share = np.maximum(share, floor[:, None, None])
    costs = np.einsum("ncm,ncm->nc", share, (matrix @ share[:, :, :, None])[:, :, :, 0] - 2 * right)
    return share / length[:, chosen], costs
