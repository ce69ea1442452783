"""Recognise the columns of an impedance table by their headings and turn its rows into points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from battery_pilot.measurements.tables import FloatArray, Points
from battery_pilot.measurements.text import numbers, shown
from battery_pilot.measurements.units import split_unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from battery_pilot.measurements.source import Source

_LONGEST_HEADING = 80
_MINUS_SIGNS = "-\N{MINUS SIGN}\N{EN DASH}"
_MINUS_WORDS = ("minus", "negative", "neg")
_IGNORED = str.maketrans("", "", "()[]_. ")
_NAMES = {
    "frequency": {"frequency", "freq", "f"},
    "real": {"z'", "z'a", "zreal", "zre", "re", "real", "rez", "realz", "realimpedance", "realpart", "impedancereal"},
    "imaginary": {
        *("z''", "z''b", 'z"', "zimag", "zim", "zimg", "im", "imag", "imaginary", "imz", "imagz"),
        *("imaginaryimpedance", "imaginarypart", "impedanceimaginary"),
    },
    "magnitude": {
        *("|z|", "zmod", "zmag", "mod", "modulus", "magnitude", "modz", "absz", "absoluteimpedance"),
        "impedancemagnitude",
    },
    "phase": {"phase", "phasez", "zphz", "zphase", "phi", "theta", "phaseangle", "argz", "arg"},
    "spectrum": {"spectrumindex", "cyclenumber", "zcycle"},
}
_UNITS = {"frequency": "hertz", "real": "ohm", "imaginary": "ohm", "magnitude": "ohm", "phase": "degree"}


class Column(NamedTuple):
    """A column of the file.

    :param position: counted from 0.
    :param heading: as the file has it.
    :param factor: to hertz, ohm or degree; negative for a column such as ``-Im(Z)``.
    :param has_unit: whether the heading states the unit.
    """

    position: int
    heading: str
    factor: float
    has_unit: bool


@dataclass(frozen=True)
class ImpedanceColumns:
    """Where an impedance table has its quantities.

    :param frequency: frequency column.
    :param first: real part, or magnitude when polar.
    :param second: imaginary part, or phase when polar.
    :param polar: magnitude and phase instead of real and imaginary part.
    :param spectrum: column that numbers the spectra, if there is one.
    """

    frequency: Column
    first: Column
    second: Column
    polar: bool = False
    spectrum: Column | None = None

    @property
    def last_position(self) -> int:
        """Position of the last column that is used."""
        return max(self.frequency.position, self.first.position, self.second.position)

    def guesses(self) -> list[str]:
        """Return a sentence for each unit that the headings leave open."""
        columns = (("Hz", self.frequency), ("ohm", self.first), ("degree" if self.polar else "ohm", self.second))
        return [
            f"Column {shown(column.heading)} states no unit and was taken as {unit}."
            for unit, column in columns
            if not column.has_unit
        ]


def recognise(headings: Sequence[str]) -> ImpedanceColumns | None:
    """Find frequency and impedance among the headings of a table.

    Real and imaginary part win over magnitude and phase; of equal headings the first wins.

    :param headings: as in the file, for example ``freq/Hz``, ``-Im(Z)/Ohm``, ``Z'' (mΩ)``, ``Z_Phase_Degree``.
    :returns: ``None`` when the headings do not make an impedance table.
    """
    found: dict[str, Column] = {}
    for index, heading in enumerate(headings):
        quantity = _quantity(heading)
        if quantity is not None:
            name, factor, has_unit = quantity
            found.setdefault(name, Column(index, heading, factor, has_unit))
    for polar, first, second in ((False, "real", "imaginary"), (True, "magnitude", "phase")):
        if {"frequency", first, second} <= found.keys():
            return ImpedanceColumns(found["frequency"], found[first], found[second], polar, found.get("spectrum"))
    return None


def _quantity(heading: str) -> tuple[str, float, bool] | None:
    if len(heading) > _LONGEST_HEADING:
        return None
    text, unit = split_unit(heading, _UNITS.values())
    text = text.lower().strip()
    sign = 1.0
    if text and text[0] in _MINUS_SIGNS:
        sign, text = -1.0, text[1:]
    for word in _MINUS_WORDS:
        if text.startswith(word):
            sign, text = -1.0, text.removeprefix(word)
            break
    text = text.translate(_IGNORED).replace("\N{PRIME}", "'").replace("\N{DOUBLE PRIME}", "''")
    name = next((name for name, spellings in _NAMES.items() if text in spellings), None)
    if name is None:
        return None
    if unit is not None and unit.name != _UNITS.get(name):
        return None
    return name, sign * (1.0 if unit is None else unit.factor), unit is not None


def points_of(
    rows: Sequence[tuple[int, Sequence[str]]],
    columns: ImpedanceColumns,
    width: int,
    source: Source,
    decimal_comma: bool,
) -> Points:
    """Turn the rows of a table into points.

    :param rows: line number and cells of each row.
    :param columns: where the quantities are.
    :param width: number of headings.
    :param source: the file, for error messages.
    :param decimal_comma: a comma is the decimal sign.
    :raises MeasurementError: for a row with fewer cells than headings and for cells that are not numbers.
    """
    lines = [line for line, _ in rows]
    for line, cells in rows:
        if len(cells) < width:
            problem = f"{len(cells)} columns found, {width} expected: the file is truncated or damaged; copy it again"
            raise source.error(f"line {line}", problem)

    def values(column: Column) -> FloatArray:
        tokens = [cells[column.position] for _, cells in rows]
        return column.factor * np.array(numbers(tokens, lines, source, column.heading, decimal_comma))

    first, second = values(columns.first), values(columns.second)
    if columns.polar:
        phase = np.radians(second)
        first, second = first * np.cos(phase), first * np.sin(phase)
    spectrum = values(columns.spectrum) if columns.spectrum else None
    return Points(values(columns.frequency), first, second, spectrum, lines)


def has_decimal_comma(rows: Iterable[Sequence[str]], delimiter: str) -> bool:
    """Tell whether numbers have a decimal comma, which shows in cells that hold a comma.

    :param rows: cells of the table.
    :param delimiter: delimiter of the table; with a comma there is no decimal comma.
    """
    return delimiter != "," and any("," in cell for cells in rows for cell in cells)
