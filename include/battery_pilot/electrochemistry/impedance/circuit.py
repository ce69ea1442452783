"""Equivalent circuits: strings such as ``L0-R0-p(R1,CPE1)-p(R2,CPE2)-Wo1`` and their impedance.

``-`` puts elements in series, ``p(a,b,…)`` in parallel; both nest. The elements and their parameters are those of
:mod:`~battery_pilot.electrochemistry.impedance.elements`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NoReturn

import numpy as np

from battery_pilot.electrochemistry.impedance.elements import KINDS, Frequencies, frequencies
from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats
from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import ArrayLike


class CircuitError(InputError):
    """A circuit string that cannot be understood."""


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


@dataclass(frozen=True, eq=False)
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
        ordered = np.array([[values[name] for name in self.units]], dtype=np.float64)
        z: Complexes = self.respond(frequencies(np.asarray(frequency_hertz, dtype=np.float64)), ordered)[0][0]
        return z

    def respond(self, at: Frequencies, values: Floats, weights: Floats | float = 1.0) -> tuple[Complexes, Complexes]:
        """Return the impedance and its derivatives to the parameters' logarithms for n sets of parameters at once.

        :param at: the grid of f frequencies.
        :param values: the parameters in the order of ``units``, shape (n, parameters), greater than 0.
        :param weights: factor of the derivatives (not of the impedance), shape (n, f).
        :return: shapes (n, f) and (n, parameters, f).
        """
        known: dict[int, _Known] = {}
        z = np.empty((values.shape[0], at.omega.size), dtype=np.complex128)
        z[...] = _respond(self.root, at, values[:, :, None], known)
        derivatives = np.empty((*values.shape, at.omega.size), dtype=np.complex128)
        _derive(self.root, weights, known, derivatives)
        return z, derivatives


def member_impedances(circuit: Circuit, at: Frequencies, values: Floats) -> list[Complexes]:
    """Return the impedance of each member of the outer series, shape (n, f) each, as in :meth:`Circuit.respond`."""
    shape = (values.shape[0], at.omega.size)
    return [np.broadcast_to(_respond(one, at, values[:, :, None], {}), shape) for one in circuit.root.members]


_Known = tuple[Complexes, tuple[Complexes | float, ...]]
"""Of an element: z and d ln(z) / d ln(parameter); of a parallel group: its z and 1 / z of each member."""


def _respond(node: Node, at: Frequencies, values: Floats, known: dict[int, _Known]) -> Complexes:
    """Return the impedance of a node, shape (n, f) or (n, 1), and note what the derivatives need."""
    if isinstance(node, Element):
        z, slopes = KINDS[node.kind].respond(at, *(values[:, index] for index in range(node.start, node.stop)))
        known[id(node)] = z, slopes
        return z
    impedances = [_respond(member, at, values, known) for member in node.members]
    if not node.parallel:
        return sum(impedances[1:], start=impedances[0])
    inverses = [1 / z for z in impedances]
    total: Complexes = 1 / sum(inverses[1:], start=inverses[0])
    known[id(node)] = total, tuple(inverses)
    return total


def _derive(node: Node, factor: Complexes | float, known: dict[int, _Known], derivatives: Complexes) -> None:
    """Write the rows of a node's parameters; ``factor`` is the derivative of the whole to the node's impedance."""
    if isinstance(node, Element):
        z, slopes = known[id(node)]
        outer = factor * z
        for index, slope in enumerate(slopes, node.start):
            np.multiply(outer, slope, out=derivatives[:, index])
    elif node.parallel:
        total, inverses = known[id(node)]
        for member, inverse in zip(node.members, inverses, strict=True):
            share = total * inverse
            _derive(member, factor * (share * share), known, derivatives)
    else:
        for member in node.members:
            _derive(member, factor, known, derivatives)


def elements(node: Node) -> Iterator[Element]:
    """Yield the elements below a node in the order of the string."""
    if isinstance(node, Element):
        yield node
    else:
        for member in node.members:
            yield from elements(member)


@lru_cache(maxsize=256)
def parse_circuit(string: str) -> Circuit:
    """Parse a circuit string; the same string gives the same object.

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

    _element = re.compile(r"(Zarc|CPE|Wo|Ws|W|R|C|L|G)(\d+)")

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

    def _branch(self) -> Node:
        """Return a branch of a parallel group; a single member needs no group of its own."""
        branch = self.series()
        return branch if len(branch.members) > 1 else branch.members[0]

    def _part(self) -> Node:
        if not self._accept("p"):
            return self._leaf()
        start = len(self.units)
        self._expect("(")
        members = [self._branch()]
        self._expect(",")
        members.append(self._branch())
        while self._accept(","):
            members.append(self._branch())
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
