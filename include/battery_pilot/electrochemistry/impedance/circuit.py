"""Equivalent circuits: strings such as ``L0-R0-p(R1,CPE1)-p(R2,CPE2)-Wo1`` and their impedance.

``-`` puts elements in series, ``p(a,b,…)`` in parallel; both nest. With the angular frequency w:

======= ============================== ======================== ==========================================
element parameters                     units                    impedance
======= ============================== ======================== ==========================================
R1      R1                             ohm                      R
C1      C1                             F                        1 / (jwC)
L1      L1                             H                        jwL
CPE1    CPE1_Q, CPE1_alpha             ohm^-1 s^alpha, 1        1 / (Q (jw)^alpha)
W1      W1                             ohm s^-1/2               sigma (1 - j) / sqrt(w): semi-infinite
Wo1     Wo1_R, Wo1_tau                 ohm, s                   R coth(sqrt(jw tau)) / sqrt(jw tau): open
Ws1     Ws1_R, Ws1_tau                 ohm, s                   R tanh(sqrt(jw tau)) / sqrt(jw tau): short
======= ============================== ======================== ==========================================

E. Barsoukov, J. R. Macdonald (eds.), "Impedance Spectroscopy", 3rd edition, Wiley 2018, chapter 2.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats
from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import ArrayLike

Response = tuple[Complexes, tuple[Complexes, ...]]
"""Impedance of an element and its derivatives to the logarithm of each parameter."""


class CircuitError(InputError):
    """A circuit string that cannot be understood."""


@dataclass(frozen=True)
class Kind:
    """A kind of element.

    :param suffixes: what distinguishes its parameters' names; empty for a single parameter.
    :param units: unit of each parameter.
    :param respond: impedance and derivatives, from jw (shape (n,)) and the parameters.
    """

    suffixes: tuple[str, ...]
    units: tuple[str, ...]
    respond: Callable[..., Response]


def _resistor(jw: Complexes, resistance: float) -> Response:
    z = np.full_like(jw, resistance)
    return z, (z,)


def _capacitor(jw: Complexes, capacitance: float) -> Response:
    z = 1 / (jw * capacitance)
    return z, (-z,)


def _inductor(jw: Complexes, inductance: float) -> Response:
    z = jw * inductance
    return z, (z,)


def _constant_phase(jw: Complexes, q: float, alpha: float) -> Response:
    logarithm = np.log(jw)
    z = np.exp(-alpha * logarithm) / q
    return z, (-z, -alpha * logarithm * z)


def _warburg(jw: Complexes, sigma: float) -> Response:
    # (1 - j) / sqrt(w) = sqrt(2 / (jw))
    z = sigma * np.sqrt(2 / jw)
    return z, (z,)


def _warburg_open(jw: Complexes, resistance: float, tau: float) -> Response:
    root = np.sqrt(jw * tau)
    coth = 1 / np.tanh(root)
    z = resistance * coth / root
    return z, (z, resistance / 2 * (1 - coth**2 - coth / root))


def _warburg_short(jw: Complexes, resistance: float, tau: float) -> Response:
    root = np.sqrt(jw * tau)
    tanh = np.tanh(root)
    z = resistance * tanh / root
    return z, (z, resistance / 2 * (1 - tanh**2 - tanh / root))


KINDS: dict[str, Kind] = {
    "R": Kind(("",), ("ohm",), _resistor),
    "C": Kind(("",), ("F",), _capacitor),
    "L": Kind(("",), ("H",), _inductor),
    "CPE": Kind(("_Q", "_alpha"), ("ohm^-1 s^alpha", "1"), _constant_phase),
    "W": Kind(("",), ("ohm s^-1/2",), _warburg),
    "Wo": Kind(("_R", "_tau"), ("ohm", "s"), _warburg_open),
    "Ws": Kind(("_R", "_tau"), ("ohm", "s"), _warburg_short),
}
"""Element letters and their behaviour."""


@dataclass(frozen=True)
class Element:
    """A leaf of the circuit; its parameters are ``start`` up to ``stop`` of the circuit's."""

    name: str
    kind: str
    start: int
    stop: int


@dataclass(frozen=True)
class Group:
    """Members in series or in parallel; their parameters are ``start`` up to ``stop`` of the circuit's."""

    parallel: bool
    members: tuple[Node, ...]
    start: int
    stop: int


Node = Element | Group


@dataclass(frozen=True)
class Circuit:
    """A parsed circuit.

    :param string: what was parsed.
    :param root: the outermost node, always a series group.
    :param units: parameter name to unit, in the order of the string.
    """

    string: str
    root: Group
    units: Mapping[str, str]

    def impedance(self, frequency_hertz: ArrayLike, values: Mapping[str, float]) -> Complexes:
        """Return the complex impedance, shape (n,), ohm.

        :param frequency_hertz: frequencies, shape (n,), Hz, greater than 0.
        :param values: every parameter by name, in its unit, greater than 0.
        :raises InputError: a parameter is missing or unknown.
        """
        if set(values) != set(self.units):
            raise InputError(
                f"circuit {self.string}: parameters given: {', '.join(sorted(values)) or 'none'}; "
                f"expected: {', '.join(self.units)}"
            )
        ordered = np.array([values[name] for name in self.units])
        return self.respond(np.asarray(frequency_hertz, dtype=np.float64), ordered)[0]

    def respond(self, frequency_hertz: Floats, values: Floats) -> tuple[Complexes, Complexes]:
        """Return the impedance, shape (n,), and its derivatives to the parameters' logarithms, shape (parameters, n)."""
        derivatives = np.empty((values.size, frequency_hertz.size), dtype=np.complex128)
        return _respond(self.root, 2j * np.pi * frequency_hertz, values, derivatives), derivatives


def _respond(node: Node, jw: Complexes, values: Floats, derivatives: Complexes) -> Complexes:
    """Return the impedance of a node and write its rows of the derivatives."""
    if isinstance(node, Element):
        z, rows = KINDS[node.kind].respond(jw, *values[node.start : node.stop])
        derivatives[node.start : node.stop] = rows
        return z
    impedances = [_respond(member, jw, values, derivatives) for member in node.members]
    if not node.parallel:
        series: Complexes = np.sum(impedances, axis=0)
        return series
    total: Complexes = 1 / np.sum([1 / z for z in impedances], axis=0)
    for member, z in zip(node.members, impedances, strict=True):
        derivatives[member.start : member.stop] *= (total / z) ** 2
    return total


def elements(node: Node) -> Iterator[Element]:
    """Yield the elements below a node in the order of the string."""
    if isinstance(node, Element):
        yield node
    else:
        for member in node.members:
            yield from elements(member)


def parse_circuit(string: str) -> Circuit:
    """Parse a circuit string.

    :param string: for example ``R0-p(R1,C1-W1)``; blanks are ignored.
    :raises CircuitError: the string breaks the grammar; the message names the position, counted from 1.
    """
    parser = _Parser(string)
    root = parser.series()
    if parser.position < len(string):
        parser.fail("'-' or the end of the string")
    return Circuit(string, root, dict(parser.units))


class _Parser:
    """Recursive descent over the grammar ``series = part ('-' part)*; part = element | 'p(' series (',' series)+ ')'``."""

    _element = re.compile(r"(CPE|Wo|Ws|W|R|C|L)(\d+)")

    def __init__(self, string: str) -> None:
        self.string = string
        self.position = 0
        self.units: dict[str, str] = {}
        self._skip_blanks()

    def series(self) -> Group:
        start = len(self.units)
        members = [self._part()]
        while self._accept("-"):
            members.append(self._part())
        return Group(False, tuple(members), start, len(self.units))

    def _part(self) -> Node:
        if not self._accept("p"):
            return self._leaf()
        start = len(self.units)
        self._expect("(")
        members = [self.series()]
        self._expect(",")
        members.append(self.series())
        while self._accept(","):
            members.append(self.series())
        self._expect(")")
        return Group(True, tuple(members), start, len(self.units))

    def _leaf(self) -> Element:
        match = self._element.match(self.string, self.position)
        if match is None:
            self.fail(f"an element ({', '.join(KINDS)} followed by a number) or 'p('")
        name, letters = match.group(), match.group(1)
        kind, start = KINDS[letters], len(self.units)
        names = [name + suffix for suffix in kind.suffixes]
        if names[0] in self.units:
            self.fail(f"another number, because {name} exists already")
        self.units.update(zip(names, kind.units, strict=True))
        self.position = match.end()
        self._skip_blanks()
        return Element(name, letters, start, len(self.units))

    def _accept(self, token: str) -> bool:
        if not self.string.startswith(token, self.position):
            return False
        self.position += len(token)
        self._skip_blanks()
        return True

    def _expect(self, token: str) -> None:
        if not self._accept(token):
            self.fail(f"'{token}'")

    def _skip_blanks(self) -> None:
        while self.position < len(self.string) and self.string[self.position].isspace():
            self.position += 1

    def fail(self, expected: str) -> NoReturn:
        """Raise with the position and what was expected there."""
        found = repr(self.string[self.position]) if self.position < len(self.string) else "the end"
        raise CircuitError(
            f"circuit {self.string!r}: position {self.position + 1}: found {found}, expected {expected}"
        )
