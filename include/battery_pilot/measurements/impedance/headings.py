"""Find the row of headings of an impedance table among lines of text or rows of a sheet."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from battery_pilot.measurements.impedance.columns import holds_impedance, recognise_all, unusable
from battery_pilot.measurements.impedance.wide import WideColumns, recognise_wide
from battery_pilot.measurements.text import split_cells, to_float, trim_empty
from battery_pilot.measurements.units import split_unit, unit_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.impedance.columns import ImpedanceColumns

_LONGEST_CACHED = 4096
_UNIT_NAMES = ("hertz", "ohm", "degree")
FREQUENCY_SIGNS = ("频率", "頻率", "周波数", "주파수")
"""Chinese, Japanese and Korean for frequency."""
_WORDS = ("req", "quen", "mega", "Hz", "REQ", "rad/s", "f", "F", "ω", "ulsation", *FREQUENCY_SIGNS)
"""One of these is part of every heading of a frequency."""
# Several blanks separate cells; so does a single one, but not a quantity from its unit: "Freq (Hz) Z' / ohm".
_BETWEEN_CELLS = (re.compile(r"\s{2,}|\t"), re.compile(r"(?<![/\s])\s+(?![(\[/\s])"))


class Headings(NamedTuple):
    """The headings of an impedance table.

    :param cells: headings as in the file, with the units of a row of units below them.
    :param delimiter: delimiter of the cells; ``None`` for any blanks.
    :param spectra: the spectra side by side.
    :param wide: where the frequencies stand in the headings, and each row is a spectrum.
    :param refusal: why the table cannot be used.
    :param left_out: headings of columns that have no place in a table of impedance.
    :param guesses: a sentence for each unit that the headings leave open, but for that of a phase.
    """

    cells: tuple[str, ...]
    delimiter: str | None
    spectra: tuple[ImpedanceColumns, ...] = ()
    wide: WideColumns | None = None
    refusal: str | None = None
    left_out: tuple[str, ...] = ()
    guesses: tuple[str, ...] = ()

    @property
    def used(self) -> list[int]:
        """Positions of the columns of frequency and impedance that are used, in their order."""
        spectra = self.wide.pairs if self.wide else self.spectra
        return sorted({position for columns in spectra for position in columns.positions})

    @property
    def last_used(self) -> int:
        """Position of the last column that is used."""
        return self.used[-1]


def headings_in(line: str) -> Headings | None:
    """Return the headings in a line of text, or ``None`` when it is no line of headings of an impedance table.

    :param line: without its line end.
    """
    if not any(word in line for word in _WORDS):
        return None
    return _cached(line) if len(line) <= _LONGEST_CACHED else _headings_in(line)


def _headings_in(line: str) -> Headings | None:
    for delimiter in "\t;,":
        if delimiter in line:
            found = headings_of(trim_empty(split_cells(line, delimiter)), delimiter)
            if found is not None:
                return found
    for blanks in _BETWEEN_CELLS:
        found = headings_of(blanks.split(line.strip()))
        if found is not None:
            return found
    # The last one, as it is also part of |Z|.
    return headings_of(trim_empty(split_cells(line, "|")), "|") if "|" in line else None


_cached = lru_cache(maxsize=256)(_headings_in)


def headings_of(cells: Sequence[str], delimiter: str | None = None) -> Headings | None:
    """Return the headings in the cells of a row, or ``None`` when they make no impedance table.

    :param cells: text of each cell.
    :param delimiter: what separates them in the file.
    """
    spectra, wide = recognise_all(cells), None
    if not spectra:
        wide = recognise_wide(cells)
    if wide is not None or spectra:
        used = {position for columns in (wide.pairs if wide else spectra) for position in columns.positions}
        used |= {columns.spectrum.position for columns in spectra if columns.spectrum}
        left_out = tuple(
            cell for position, cell in enumerate(cells) if cell and position not in used and not holds_impedance(cell)
        )
        guesses = tuple(dict.fromkeys(guess for columns in spectra for guess in columns.guesses()))
        return Headings(tuple(cells), delimiter, spectra, wide, None, left_out, guesses)
    refusal = unusable(cells)
    return None if refusal is None else Headings(tuple(cells), delimiter, refusal=refusal)


def with_units(headings: Headings, row: Sequence[str]) -> Headings | None:
    """Add the units in the row below the headings, or return ``None`` when that is no row of units.

    :param headings: of the table.
    :param row: cells of the next row.
    """
    units = [cell.strip("()[]{} ") for cell in row]
    known = [unit_of(unit) is not None and to_float(unit) is None for unit in units]
    if not any(known) or any(to_float(unit) is not None for unit in units):
        return None
    cells = [
        f"{heading} ({unit})" if is_unit and split_unit(heading, _UNIT_NAMES)[1] is None else heading
        for heading, unit, is_unit in zip(headings.cells, units, known, strict=False)
    ]
    return headings_of([*cells, *headings.cells[len(cells) :]], headings.delimiter) or headings
