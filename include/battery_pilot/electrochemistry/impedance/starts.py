"""Where a circuit fit starts and how far it may go, read off the spectrum.

Every element is described by a resistance and a time constant at which it matters: the intercept with the real axis, the
heights and apexes of the arcs, and the low-frequency end. That makes one rule per kind of element serve any circuit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.electrochemistry.impedance.circuit import Circuit, Element, Group, Node, elements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats

ARC_ALPHA = 0.85
TAIL_ALPHA = 0.6
"""Typical exponents of a porous electrode's arc and of its diffusion tail."""


@dataclass(frozen=True)
class Features:
    """What the eye sees in a Nyquist plot.

    :param ohmic_ohm: real part where the spectrum meets the real axis at high frequency.
    :param width_ohm: from there to the valley before the low-frequency tail.
    :param fastest_second: time constant at the intercept.
    :param slowest_second: time constant at the valley.
    :param apexes: (height in ohm, time constant in s) of the arcs, fastest first.
    """

    ohmic_ohm: float
    width_ohm: float
    fastest_second: float
    slowest_second: float
    apexes: tuple[tuple[float, float], ...]


def zero_crossing_ohm(impedance: Complexes) -> float | None:
    """Return the real part at the highest-frequency change from inductive to capacitive, interpolated, or ``None``.

    :param impedance: by falling frequency, shape (n,), ohm.
    """
    crossings = np.flatnonzero((impedance.imag[:-1] >= 0) & (impedance.imag[1:] < 0))
    if crossings.size == 0:
        return None
    before, after = impedance[crossings[0]], impedance[crossings[0] + 1]
    share = before.imag / (before.imag - after.imag)
    return float(before.real + share * (after.real - before.real))


def features(frequency: Floats, impedance: Complexes) -> Features:
    """Read the features of a checked spectrum (by falling frequency)."""
    time_constants = 1 / (2 * np.pi * frequency)
    capacitive = np.flatnonzero(impedance.imag < 0)
    first = int(capacitive[0]) if capacitive.size else 0
    height = -impedance.imag
    inner = np.arange(first + 1, height.size - 1)
    peaks = inner[(height[inner] > height[inner - 1]) & (height[inner] >= height[inner + 1])]
    valleys = inner[(height[inner] < height[inner - 1]) & (height[inner] <= height[inner + 1])]
    valley = int(valleys[-1]) if valleys.size else height.size - 1
    ohmic = zero_crossing_ohm(impedance)
    if ohmic is None:
        ohmic = float(impedance[0].real)
    ohmic = max(ohmic, 1e-3 * float(np.abs(impedance).min()))
    width = max(float(impedance[valley].real) - ohmic, 0.05 * float(np.ptp(impedance.real)), 1e-3 * ohmic)
    return Features(
        ohmic_ohm=ohmic,
        width_ohm=width,
        fastest_second=float(time_constants[first]),
        slowest_second=float(time_constants[max(valley, first + 1)]),
        apexes=tuple((float(height[k]), float(time_constants[k])) for k in peaks),
    )


def starting_points(circuit: Circuit, frequency: Floats, impedance: Complexes) -> Iterator[Floats]:
    """Yield parameter vectors to start from, the most promising first; the same input gives the same vectors."""
    seen = features(frequency, impedance)
    arcs = max(1, _count_arcs(circuit.root))
    end = 1 / (2 * np.pi * frequency[-1])
    yield _fill(circuit, frequency, impedance, _arcs_at_apexes(seen, arcs))
    yield _fill(
        circuit, frequency, impedance, _spread(seen.width_ohm, seen.fastest_second, seen.slowest_second, arcs)
    )
    yield _fill(circuit, frequency, impedance, _spread(seen.width_ohm, seen.fastest_second, end, arcs))


def bounds(circuit: Circuit, frequency: Floats, impedance: Complexes) -> tuple[Floats, Floats]:
    """Return the lower and upper limits of the parameters, shape (parameters,) each.

    They are wide (six decades below what the spectrum could show, two above) and keep the fit from overflowing.
    """
    omega_high, omega_low = 2 * np.pi * frequency[0], 2 * np.pi * frequency[-1]
    most, least = float(np.abs(impedance).max()), float(np.abs(impedance).min())
    resistance = (1e-6 * least, 1e2 * most)
    time = (1e-2 / omega_high, 1e4 / omega_low)
    capacitance = (1e-2 / (omega_high * most), 1e6 / (omega_low * least))
    limits = {
        "R": [resistance],
        "C": [capacitance],
        "L": [(1e-6 * least / omega_high, 1e2 * most / omega_high)],
        "CPE": [capacitance, (0.2, 1.0)],
        "W": [(1e-6 * least * omega_low**0.5, 1e2 * most * omega_high**0.5)],
        "Wo": [resistance, time],
        "Ws": [resistance, time],
    }
    pairs = np.array([pair for element in elements(circuit.root) for pair in limits[element.kind]])
    return pairs[:, 0], pairs[:, 1]


def _count_arcs(node: Node) -> int:
    if isinstance(node, Element):
        return 0
    return int(node.parallel) + sum(_count_arcs(member) for member in node.members)


def _arcs_at_apexes(seen: Features, count: int) -> list[tuple[float, float]]:
    """Resistance and time constant of each arc: the highest apexes, filled up with arcs spread over the range."""
    highest = sorted(seen.apexes, reverse=True)[:count]
    missing = count - len(highest)
    arcs = [(max(2 * height, 0.05 * seen.width_ohm), tau) for height, tau in highest]
    arcs += _spread(seen.width_ohm, seen.fastest_second, seen.slowest_second, missing)
    return sorted(arcs, key=lambda arc: arc[1])


def _spread(width: float, fastest: float, slowest: float, count: int) -> list[tuple[float, float]]:
    """Equal arcs, evenly spaced in the logarithm of the time constant."""
    shares = (np.arange(count) + 0.5) / max(count, 1)
    return [(width / count, float(fastest * (slowest / fastest) ** share)) for share in shares]


def _fill(circuit: Circuit, frequency: Floats, impedance: Complexes, arcs: list[tuple[float, float]]) -> Floats:
    """Give every parameter its starting value."""
    values = np.empty(len(circuit.units))
    remaining = iter(arcs)
    end = 1 / (2 * np.pi * frequency[-1])
    lead = max(float(impedance[0].imag), 0.01 * abs(impedance[0])) / (2 * np.pi * frequency[0])
    ohmic = features(frequency, impedance).ohmic_ohm
    tail = max(float(-impedance[-1].imag), 0.05 * abs(impedance[-1]))

    def place(node: Node, arc: tuple[float, float] | None) -> None:
        if isinstance(node, Group):
            inner = next(remaining) if node.parallel else arc
            for member in node.members:
                place(member, inner)
        elif arc is not None:
            values[node.start : node.stop] = _element_values(node.kind, *arc, ARC_ALPHA)
        elif node.kind == "R":
            values[node.start] = ohmic
        elif node.kind == "L":
            values[node.start] = lead
        else:
            values[node.start : node.stop] = _element_values(node.kind, tail, end, TAIL_ALPHA)

    place(circuit.root, None)
    return values


def _element_values(kind: str, resistance: float, tau: float, alpha: float) -> tuple[float, ...]:
    """Parameters with which an element's modulus is about ``resistance`` at the angular frequency 1 / ``tau``."""
    values = {
        "R": (resistance,),
        "C": (tau / resistance,),
        "L": (resistance * tau,),
        "CPE": (tau**alpha / resistance, alpha),
        "W": (resistance / (2 * tau) ** 0.5,),
        "Wo": (resistance, tau),
        "Ws": (resistance, tau),
    }
    return values[kind]
