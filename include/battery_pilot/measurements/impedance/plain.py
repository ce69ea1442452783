"""Impedance as a plain table: frequency with real and imaginary part, or with magnitude and phase.

Lines that begin with ``#`` above the table are comments; ``# battery_id=ABC``, ``# temperature_celsius=25.0`` and
``# state_of_charge_percent=50`` among them become metadata.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.measurements.facts import leading_facts
from battery_pilot.measurements.impedance.columns import (
    Column,
    ImpedanceColumns,
    has_decimal_comma,
    points_of,
    recognise,
)
from battery_pilot.measurements.tables import Points, impedance_measurement
from battery_pilot.measurements.text import (
    check_last_line,
    delimiter_of,
    split_cells,
    to_float,
    trim_empty,
)

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "a table of frequency and impedance"
_BARE = ImpedanceColumns(
    Column(0, "column 1 (frequency)", 1.0, True),
    Column(1, "column 2 (real part)", 1.0, True),
    Column(2, "column 3 (imaginary part)", 1.0, True),
)
_BARE_WIDTH = 3
_BARE_WARNING = (
    "The table has no headings; its three columns were taken as frequency in Hz, real part in ohm and imaginary part "
    "in ohm with its sign."
)


class PlainImpedanceReader:
    """Reads CSV and TSV tables of impedance with any common headings, or three bare columns."""

    name = "impedance-csv"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".csv", ".tsv", ".txt")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 60 for headings of an impedance table and 10 for three bare columns of numbers."""
        _, line = source.first_data_line
        cells = trim_empty(split_cells(line, delimiter_of(line)))
        if recognise(cells) is not None:
            return 60
        return 10 if _is_bare(cells, delimiter_of(line)) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table; a column ``spectrum_index`` or ``cycle number`` separates spectra.

        :raises MeasurementError: when a row breaks off or holds no numbers, or when bare columns cannot be a sweep.
        """
        text = source.text(_EXPECTED)
        lines = text.split("\n")
        warnings: list[str] = []
        facts = leading_facts(lines, warnings)
        table = [
            (line, content)
            for line, content in enumerate(lines, 1)
            if content.strip() and not content.lstrip().startswith("#")
        ]
        if not table:
            raise source.error("file", f"no table, expected {_EXPECTED}")
        delimiter = delimiter_of(table[0][1])
        headings = trim_empty(split_cells(table[0][1], delimiter))
        columns = recognise(headings)
        if columns is None:
            columns, rows_of_text = _BARE, table
            warnings.append(_BARE_WARNING)
        else:
            rows_of_text = table[1:]
            warnings += columns.guesses()
        rows = [(line, split_cells(content, delimiter)) for line, content in rows_of_text]
        if lines[-1] and rows_of_text:
            used = columns.last_position == len(headings) - 1
            check_last_line(rows_of_text[-30:], delimiter, source, warnings, used=used)
        decimal_comma = has_decimal_comma((cells for _, cells in rows), delimiter)
        points = points_of(rows, columns, len(headings), source, decimal_comma)
        if columns is _BARE:
            _check_sweep(points, source)
        elif rows and min(points.imaginary_ohm) > 0:
            warnings.append("The imaginary part is positive at all frequencies: check the sign of its column.")
        return impedance_measurement(source, self.name, points, facts=facts, warnings=warnings)


def _is_bare(cells: list[str], delimiter: str) -> bool:
    return len(cells) == _BARE_WIDTH and all(to_float(cell, delimiter != ",") is not None for cell in cells)


def _check_sweep(points: Points, source: Source) -> None:
    """Refuse three bare columns whose first one does not run steadily from one frequency to another."""
    steps = np.diff(points.frequency_hertz)
    broken = np.flatnonzero(steps * steps[:1].sum() <= 0)
    if len(broken):
        problem = (
            "three columns without headings, but the first is no frequency sweep; add headings such as "
            "'frequency / Hz', 'real / ohm', 'imaginary / ohm'"
        )
        raise source.error(points.place(int(broken[0]) + 1), problem)
