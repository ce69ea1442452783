"""Turn the rows of any impedance table into points, and tell its spectra apart."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from battery_pilot.measurements.tables import FloatArray, Points
from battery_pilot.measurements.text import numbers, shown, to_float

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from battery_pilot.measurements.impedance.columns import Column, ImpedanceColumns
    from battery_pilot.measurements.impedance.rows import Rows
    from battery_pilot.measurements.source import Source

_LARGEST_PHASE_RADIAN = 1.6
"""The phase of a passive impedance is within a quarter of a turn, 1.571 rad, give or take the noise."""
_SAME_DECADE = 1e-4
_ODD_CHARACTERS = str.maketrans("\N{MINUS SIGN}\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}", "-''")
_NUMBER_PARTS = re.compile(r"[-+ij*()\s]+")
_LIKE_THOUSANDS = re.compile(r"\d{1,3},\d{3}")
_GROUPED = {
    (thousands, decimal): re.compile(rf"\d{{1,3}}(?:\{thousands}\d{{3}})+(?:\{decimal}\d*)?(?:[eE]\d*)?").fullmatch
    for thousands, decimal in ((".", ","), (",", "."), ("'", ","), ("'", "."))
}
_UNIT_FIRST = re.compile(r"([+-])[ij]\*?([\d.]+(?:[eE][+-]?\d+)?)$")


class _Part(NamedTuple):
    """Values of one spectrum column group in one piece of the rows."""

    frequency: FloatArray
    first: FloatArray
    second: FloatArray
    marks: list[str] | None
    lines: Any
    agreement: float = 0.0


def points_of_spectra(
    pieces: Iterable[Rows], spectra: Sequence[ImpedanceColumns], source: Source, warnings: list[str]
) -> Points:
    """Turn the rows of a table into points, spectrum after spectrum.

    Below each other, spectra are told apart by a column that numbers them, or by the frequency that runs back to its
    start. Rows in which all cells of a spectrum are empty are no points of it.

    :param pieces: the rows of the table, piece by piece.
    :param spectra: the columns of each spectrum side by side.
    :param source: the file, for error messages.
    :param warnings: receives a sentence about each guess.
    :raises MeasurementError: for cells that are not numbers.
    """
    clean = _Cleaner(warnings)
    parts: list[list[_Part]] = [[] for _ in spectra]
    for rows in pieces:
        for columns, found in zip(spectra, parts, strict=True):
            found.append(_part(rows, columns, len(spectra) > 1, source, clean))
    points = [_joined(found, columns, warnings) for columns, found in zip(spectra, parts, strict=True)]
    if len(points) > 1:
        warnings.append(f"The table holds {len(points)} spectra side by side.")
    return one_after_another(points)


def one_after_another(tables: Sequence[Points]) -> Points:
    """Join the points of several tables; no spectrum reaches from one table into the next."""
    if len(tables) == 1:
        return tables[0]
    marks, last = [], 0
    for points in tables:
        size = len(points.frequency_hertz)
        own = np.zeros(size, dtype=np.int64) if points.spectrum is None else np.asarray(points.spectrum)
        marks.append(own + last)
        last = int(marks[-1].max(initial=last)) + 1
    return Points(
        np.concatenate([points.frequency_hertz for points in tables]),
        np.concatenate([points.real_ohm for points in tables]),
        np.concatenate([points.imaginary_ohm for points in tables]),
        np.concatenate(marks),
        _all_places(tables),
    )


def _all_places(tables: Sequence[Points]) -> Any:
    places = [np.asarray(points.places) for points in tables if points.places is not None]
    return np.concatenate(places) if places else []


def check_sign(imaginary_ohm: FloatArray, warnings: list[str]) -> None:
    """Warn where the imaginary part may be that of the opposite sign: a battery is inductive at high frequencies only.

    :param imaginary_ohm: of all points.
    :param warnings: receives the sentence.
    """
    positive = np.count_nonzero(imaginary_ohm > 0)
    if 2 * positive > len(imaginary_ohm):
        where = "all" if positive == len(imaginary_ohm) else "most"
        warnings.append(f"The imaginary part is positive at {where} frequencies: check the sign of its column.")


def _part(rows: Rows, columns: ImpedanceColumns, is_one_of_several: bool, source: Source, clean: _Cleaner) -> _Part:
    def tokens(column: Column) -> list[str]:
        return list(rows.column(column.position))

    wanted = (
        [columns.frequency, columns.first]
        if columns.is_complex
        else [columns.frequency, columns.first, columns.second]
    )
    texts = clean([tokens(column) for column in wanted])
    marks = tokens(columns.spectrum) if columns.spectrum else None
    lines: Any = rows.lines
    if any("" in column for column in texts):
        # A spectrum that shares the frequencies of a longer one has empty cells beside some of them.
        telling = texts[1:] if is_one_of_several else texts
        kept = [
            index for index, cells in enumerate(zip(*telling, strict=True)) if any(cell.strip() for cell in cells)
        ]
        texts = [[column[index] for index in kept] for column in texts]
        lines = [lines[index] for index in kept]
        marks = None if marks is None else [marks[index] for index in kept]
    frequency = np.array(numbers(texts[0], lines, source, columns.frequency.heading))
    if columns.is_complex:
        values = _complex_numbers(texts[1], lines, source, columns.first.heading)
        first, second = values.real, values.imag
    else:
        first = np.array(numbers(texts[1], lines, source, columns.first.heading))
        second = np.array(numbers(texts[2], lines, source, columns.second.heading))
    return _Part(frequency, first, second, marks, lines, _agreement(second, rows, columns, clean))


def _agreement(imaginary: FloatArray, rows: Rows, columns: ImpedanceColumns, clean: _Cleaner) -> float:
    """Return how far an imaginary part has the sign of a phase that is turned round, from -1 to 1 for each point."""
    if columns.witness is None:
        return 0.0
    phases = clean([list(rows.column(columns.witness.position))])[0]
    values = [to_float(phase, rows.decimal_comma) for phase in phases]
    if len(values) != len(imaginary) or None in values:
        return 0.0
    return float(np.sum(np.sign(imaginary) * np.sign(np.array(values, dtype=np.float64))))


class _Cleaner:
    """Brings the numbers of a table to the form that Python reads.

    :param warnings: receives a sentence when a comma may be either sign.
    """

    def __init__(self, warnings: list[str]) -> None:
        self._warnings = warnings

    def __call__(self, columns: list[list[str]]) -> list[list[str]]:
        joined = " ".join([" ".join(column) for column in columns])
        if not joined.isascii():
            columns = [[token.strip().translate(_ODD_CHARACTERS) for token in column] for column in columns]
            joined = " ".join([" ".join(column) for column in columns])
        if "," not in joined and "'" not in joined:
            return columns
        # Both parts of a complex number count on their own.
        thousands, decimal = self._signs(_NUMBER_PARTS.split(joined))
        if thousands:
            columns = [[token.replace(thousands, "") for token in column] for column in columns]
        return [[token.replace(decimal, ".") for token in column] for column in columns]

    def _signs(self, parts: list[str]) -> tuple[str, str]:
        """Return the sign between thousands, empty where there is none, and the one before decimals.

        A sign between thousands must stand so in every number: else one damaged number would change all others.
        """
        with_comma = [part for part in parts if "," in part]
        both = next((part for part in with_comma if "." in part), None)
        if any("'" in part for part in parts):
            thousands, decimal = "'", "," if with_comma else "."
        elif both is not None:
            thousands, decimal = (".", ",") if both.rfind(",") > both.rfind(".") else (",", ".")
        elif any(part.count(",") > 1 for part in with_comma):
            thousands, decimal = ",", "."
        else:
            if all(map(_LIKE_THOUSANDS.fullmatch, with_comma)):
                self._warnings.append(f"Numbers such as {shown(with_comma[0])} were read with a decimal comma.")
            return "", ","
        grouped = [part for part in parts if thousands in part]
        if not all(map(_GROUPED[thousands, decimal], grouped)):
            return "", ","
        self._warnings.append(
            f"Numbers such as {shown(grouped[0])} were read with {shown(thousands)} between thousands."
        )
        return thousands, decimal


def _complex_numbers(tokens: list[str], lines: Sequence[int], source: Source, heading: str) -> Any:
    values = np.empty(len(tokens), dtype=np.complex128)
    for index, token in enumerate(tokens):
        text = token.replace(" ", "").strip("()").replace("i", "j")
        try:
            values[index] = complex(_UNIT_FIRST.sub(r"\1\2j", text))
        except (ValueError, OverflowError) as error:
            problem = f"{heading}: expected a complex number such as 0.07-0.0005j, found {shown(token)}"
            raise source.error(f"line {lines[index]}", problem) from error
    return values


def _joined(parts: list[_Part], columns: ImpedanceColumns, warnings: list[str]) -> Points:
    """Join the pieces of one spectrum group, convert its units and tell the spectra below each other apart."""
    if len(parts) == 1:
        frequency, first, second, marks, lines, _ = parts[0]
    else:
        frequency, first, second = (np.concatenate([part[index] for part in parts]) for index in range(3))
        lines = np.concatenate([part.lines for part in parts])
        marks = [mark for part in parts for mark in part.marks or ()] if columns.spectrum else None
    frequency, first = _scaled(frequency, columns.frequency), _scaled(first, columns.first)
    if columns.is_complex:
        second = _scaled(second, columns.first)
    elif columns.polar:
        angle = second * _radians(second, columns.second, warnings)
        first, second = first * np.cos(angle), first * np.sin(angle)
    else:
        second = _scaled(second, columns.second)
        if columns.witness is not None and sum(part.agreement for part in parts) > 0:
            second = -second
            warnings.append(
                f"Column {shown(columns.second.heading)} has the sign of {shown(columns.witness.heading)}, so that it "
                "holds the imaginary part with its sign turned round; this was undone."
            )
    check_sign(second, warnings)
    return Points(frequency, first, second, _spectrum_numbers(frequency, marks, columns, warnings), lines)


def _scaled(values: FloatArray, column: Column) -> FloatArray:
    return values if column.factor == 1.0 else values * column.factor


def _radians(phase: FloatArray, column: Column, warnings: list[str]) -> float:
    """Return the factor that makes radians of a phase, decided by its range where the heading states no unit."""
    if column.has_unit:
        return math.radians(column.factor)
    is_radian = bool(np.abs(phase).max(initial=0.0) <= _LARGEST_PHASE_RADIAN)
    unit = "radian, as its values are" if is_radian else "degree, as its values are"
    warnings.append(f"Column {shown(column.heading)} states no unit and was taken as {unit}.")
    return column.factor if is_radian else math.radians(column.factor)


def _spectrum_numbers(
    frequency: FloatArray, marks: list[str] | None, columns: ImpedanceColumns, warnings: list[str]
) -> Any:
    """Return the number of the spectrum of each point, or ``None`` for a single one."""
    if marks:
        array = np.array(marks)
        numbered = np.concatenate(([0], np.cumsum(array[1:] != array[:-1])))
        if 0 < numbered[-1] < len(marks) - 1:
            return numbered
        if columns.spectrum and numbered[-1] > 0 and len(marks) > 2:
            warnings.append(
                f"Column {shown(columns.spectrum.heading)} changes in every row and was not taken as number of the spectrum."
            )
    starts = _sweep_starts(frequency)
    if len(starts) == 1:
        return None
    warnings.append(f"The frequency runs back to its start, so the table was taken as {len(starts)} spectra.")
    return np.repeat(np.arange(len(starts)), np.diff([*starts, len(frequency)]))


def _sweep_starts(frequency: FloatArray) -> list[int]:
    """Return the positions at which the frequency is back at the start of its sweep.

    A step against the direction of the sweep is the return when it ends at the start, or after some points at least
    three times nearer to it than to where it began; a frequency repeated, or a little out of order, is not.
    """
    decades = np.log10(np.maximum(frequency, np.finfo(float).tiny))
    steps = np.diff(decades)
    direction = np.sign(np.count_nonzero(steps > 0) - np.count_nonzero(steps < 0))
    starts = [0]
    for index in np.flatnonzero(steps * direction < 0) + 1:
        points = index - starts[-1]
        distance = abs(decades[index] - decades[starts[-1]])
        if (points > 1 and distance < _SAME_DECADE) or (points > 3 and 3 * distance < abs(steps[index - 1])):
            starts.append(int(index))
    return starts
