"""The elements of equivalent circuits: their parameters, impedance and derivatives.

With the angular frequency w (and s = jw):

======= ==================================== ======================== =============================================
element parameters                           units                    impedance
======= ==================================== ======================== =============================================
R1      R1                                   ohm                      R
C1      C1                                   F                        1 / (sC)
L1      L1                                   H                        sL
CPE1    CPE1_Q, CPE1_alpha                   ohm^-1 s^alpha, 1        1 / (Q s^alpha)
W1      W1                                   ohm s^-1/2               sigma (1 - j) / sqrt(w): semi-infinite
Wo1     Wo1_R, Wo1_tau                       ohm, s                   R coth(sqrt(s tau)) / sqrt(s tau): open
Ws1     Ws1_R, Ws1_tau                       ohm, s                   R tanh(sqrt(s tau)) / sqrt(s tau): short
G1      G1_R, G1_tau                         ohm, s                   R / sqrt(1 + s tau): Gerischer
Zarc1   Zarc1_R, Zarc1_tau, Zarc1_gamma      ohm, s, 1                R / (1 + (s tau)^gamma): Cole-Cole
======= ==================================== ======================== =============================================

E. Barsoukov, J. R. Macdonald (eds.), "Impedance Spectroscopy", 3rd edition, Wiley 2018, chapter 2; for G also
B. A. Boukamp, H. J. M. Bouwmeester, Solid State Ionics 157 (2003) 29-33.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats

if TYPE_CHECKING:
    from collections.abc import Callable

Response = tuple[Complexes, tuple[Complexes | float, ...]]
"""Impedance z of an element and d ln(z) / d ln(parameter) for each of its parameters; all broadcast to (n, f)."""


@dataclass(frozen=True, eq=False)
class Frequencies:
    """A grid of frequencies and what the elements need of it, shape (f,) each.

    :param omega: angular frequency, rad/s.
    :param jw: j times ``omega``.
    :param log_omega: natural logarithm of ``omega``.
    :param log_jw: natural logarithm of ``jw``.
    :param root: (1 - j) / sqrt(omega).
    """

    omega: Floats
    jw: Complexes
    log_omega: Floats
    log_jw: Complexes
    root: Complexes


def frequencies(frequency_hertz: Floats) -> Frequencies:
    """Prepare a grid of frequencies, shape (f,), Hz, greater than 0."""
    omega = 2 * np.pi * frequency_hertz
    log_omega = np.log(omega)
    return Frequencies(omega, 1j * omega, log_omega, log_omega + 0.5j * np.pi, (1 - 1j) / np.sqrt(omega))


@dataclass(frozen=True)
class Kind:
    """A kind of element.

    :param suffixes: what distinguishes its parameters' names; empty for a single parameter.
    :param units: unit of each parameter.
    :param respond: impedance and logarithmic derivatives, from the grid and the parameters, shape (n, 1) each.
    """

    suffixes: tuple[str, ...]
    units: tuple[str, ...]
    respond: Callable[..., Response]


def _resistor(_: Frequencies, resistance: Floats) -> Response:
    return resistance, (1.0,)


def _capacitor(at: Frequencies, capacitance: Floats) -> Response:
    return 1 / (at.jw * capacitance), (-1.0,)


def _inductor(at: Frequencies, inductance: Floats) -> Response:
    return at.jw * inductance, (1.0,)


def _constant_phase(at: Frequencies, q: Floats, alpha: Floats) -> Response:
    # A real power and one phase per spectrum: a complex power would cost five times as much.
    z = np.exp(-alpha * at.log_omega) * (np.exp(-0.5j * np.pi * alpha) / q)
    return z, (-1.0, -alpha * at.log_jw)


def _warburg(at: Frequencies, sigma: Floats) -> Response:
    return sigma * at.root, (1.0,)


def _warburg_open(at: Frequencies, resistance: Floats, tau: Floats) -> Response:
    root, tanh = _diffusion(at, tau)
    coth = 1 / tanh
    return resistance * coth / root, (1.0, root / 2 * (tanh - coth) - 0.5)


def _warburg_short(at: Frequencies, resistance: Floats, tau: Floats) -> Response:
    root, tanh = _diffusion(at, tau)
    return resistance * tanh / root, (1.0, root / 2 * (1 / tanh - tanh) - 0.5)


def _diffusion(at: Frequencies, tau: Floats) -> tuple[Complexes, Complexes]:
    """Return sqrt(jw tau) and its hyperbolic tangent."""
    # sqrt(jw tau) = (1 + j) x: with e = exp(-2 x) nothing overflows and only real functions are needed.
    x = np.sqrt(at.omega * tau / 2)
    e = np.exp(-2 * x)
    tanh = (-np.expm1(-4 * x) + 2j * e * np.sin(2 * x)) / (1 + e * (e + 2 * np.cos(2 * x)))
    return (1 + 1j) * x, tanh


def _gerischer(at: Frequencies, resistance: Floats, tau: Floats) -> Response:
    u = at.jw * tau
    return resistance / np.sqrt(1 + u), (1.0, -0.5 * u / (1 + u))


def _cole_cole(at: Frequencies, resistance: Floats, tau: Floats, gamma: Floats) -> Response:
    log_tau = np.log(tau)
    u = np.exp(gamma * (at.log_omega + log_tau)) * np.exp(0.5j * np.pi * gamma)
    slope = -gamma * u / (1 + u)
    return resistance / (1 + u), (1.0, slope, slope * (at.log_jw + log_tau))


KINDS: dict[str, Kind] = {
    "R": Kind(("",), ("ohm",), _resistor),
    "C": Kind(("",), ("F",), _capacitor),
    "L": Kind(("",), ("H",), _inductor),
    "CPE": Kind(("_Q", "_alpha"), ("ohm^-1 s^alpha", "1"), _constant_phase),
    "W": Kind(("",), ("ohm s^-1/2",), _warburg),
    "Wo": Kind(("_R", "_tau"), ("ohm", "s"), _warburg_open),
    "Ws": Kind(("_R", "_tau"), ("ohm", "s"), _warburg_short),
    "G": Kind(("_R", "_tau"), ("ohm", "s"), _gerischer),
    "Zarc": Kind(("_R", "_tau", "_gamma"), ("ohm", "s", "1"), _cole_cole),
}
"""Element letters and their behaviour."""
