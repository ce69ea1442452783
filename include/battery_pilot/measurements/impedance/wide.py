"""Tables with one spectrum a row and the frequencies in the headings, such as ``ZReal_2e+04Hz``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from battery_pilot.measurements.impedance.columns import ImpedanceColumns, recognise_all
from battery_pilot.measurements.impedance.rows import Rows, values_of
from battery_pilot.measurements.impedance.spectra import check_sign
from battery_pilot.measurements.tables import Points
from battery_pilot.measurements.units import unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from battery_pilot.measurements.source import Source

_HEADING = re.compile(r"(.{1,60}?)[\s_@,(]*(\d{1,12}(?:\.\d{1,12})?(?:[eE][+-]?\d{1,3})?)\s?([kKmM]?Hz)\)?")
_FEWEST_FREQUENCIES = 3


class WideColumns(NamedTuple):
    """The columns of a table with one spectrum a row.

    :param frequencies_hertz: as the headings state them, in their order.
    :param pairs: columns of each frequency; in place of a frequency column they repeat the first.
    """

    frequencies_hertz: tuple[float, ...]
    pairs: tuple[ImpedanceColumns, ...]


def recognise_wide(headings: Sequence[str]) -> WideColumns | None:
    """Find the impedance at each frequency among the headings.

    :param headings: as in the file.
    :returns: ``None`` when fewer than three frequencies have both parts.
    """
    by_frequency: dict[float, list[tuple[int, str]]] = {}
    for position, heading in enumerate(headings):
        match = _HEADING.fullmatch(heading) if "Hz" in heading else None
        unit = unit_of(match[3]) if match else None
        if match and unit:
            by_frequency.setdefault(float(match[2]) * unit.factor, []).append((position, match[1].rstrip("_ ")))
    found = {}
    for frequency, parts in by_frequency.items():
        # A frequency column of this name completes the headings for the search.
        spectra = recognise_all(["frequency", *(name for _, name in parts)]) if len(parts) > 1 else ()
        if len(spectra) == 1 and not spectra[0].is_complex:
            first, second = (
                column._replace(
                    position=parts[column.position - 1][0], heading=headings[parts[column.position - 1][0]]
                )
                for column in (spectra[0].first, spectra[0].second)
            )
            found[frequency] = ImpedanceColumns(first, first, second, spectra[0].polar)
    if len(found) < _FEWEST_FREQUENCIES:
        return None
    return WideColumns(tuple(found), tuple(found.values()))


def points_of_wide(pieces: Iterable[Rows], columns: WideColumns, source: Source, warnings: list[str]) -> Points:
    """Turn each row into a spectrum.

    :param pieces: the rows of the table, piece by piece.
    :param columns: where the quantities are.
    :param source: the file, for error messages.
    :param warnings: receives a sentence about the frequencies.
    :raises MeasurementError: for cells that are not numbers.
    """
    first_parts, second_parts, lines = [], [], []
    for rows in pieces:
        parts: tuple[list[object], list[object]] = ([], [])
        for pair in columns.pairs:
            for part, column in zip(parts, (pair.first, pair.second), strict=True):
                values = np.array(values_of(rows, column.position, column.heading, source))
                part.append(values * column.factor)
        first_parts.append(np.array(parts[0]).T)
        second_parts.append(np.array(parts[1]).T)
        lines.append(np.array(rows.lines))
    first, second = np.concatenate(first_parts), np.concatenate(second_parts)
    if columns.pairs[0].polar:
        first, second = first * np.cos(np.radians(second)), first * np.sin(np.radians(second))
    spectra, width = first.shape
    warnings.append(
        "The frequencies were taken from the headings, with the digits that these have; each row is a spectrum."
    )
    check_sign(second.ravel(), warnings)
    return Points(
        np.tile(columns.frequencies_hertz, spectra),
        first.ravel(),
        second.ravel(),
        np.repeat(np.arange(spectra), width),
        np.repeat(np.concatenate(lines), width).tolist(),
    )
