"""``.i2b`` files of Elchemea (DTU Energy), and the ``.P00`` text that the same programs read.

Both are lines of free text, a line with nothing but the number of points, and a table. An ``.i2b`` table is frequency,
real part and imaginary part with its sign, without headings; a ``.P00`` table has headings above the number of points
and begins with the words ``Procedure :`` and, in the second line, the time of its start.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.impedance.columns import Column, ImpedanceColumns, recognise
from battery_pilot.measurements.impedance.rows import demand_width, points_in, rows_from
from battery_pilot.measurements.tables import impedance_measurement
from battery_pilot.measurements.text import check_last_line, split_cells, to_float, trim_empty
from battery_pilot.measurements.times import start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "Elchemea text"
_PROCEDURE = "Procedure :"
_SUFFIX = ".i2b"
_BARE_COLUMNS = ImpedanceColumns(
    Column(0, "frequency", 1.0, True), Column(1, "real part", 1.0, True), Column(2, "imaginary part", 1.0, True)
)
_START = re.compile(r"\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d")
_BIAS = "Edc/V"


class ElchemeaReader:
    """Reads the table of an ``.i2b`` or ``.P00`` file."""

    name = "elchemea"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (_SUFFIX, ".p00")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for the beginning of a ``.P00`` file, 60 for a table with the name of an ``.i2b`` file."""
        if source.head_text.startswith(_PROCEDURE):
            return 90 if "Hz" in source.head_text else 0
        return 60 if source.suffix == _SUFFIX and _count_line(source.head_text.split("\n")) is not None else 0

    def read(self, source: Source) -> Measurement:
        """Read the rows that the number above the table announces.

        :raises MeasurementError: when there is no such number, when rows are missing or hold no numbers.
        """
        text = source.text(_EXPECTED)
        lines = text.split("\n")
        position = _count_line(lines)
        if position is None:
            problem = "expected a line with the number of points above the table, found none; the file is truncated"
            raise source.error("header", problem)
        headings = trim_empty(split_cells(lines[position - 1], "\t")) if position else []
        columns = recognise(headings)
        if columns is None and lines[0].startswith(_PROCEDURE):
            raise source.error(
                f"line {position}", "expected headings such as f/Hz, Z'/Ohm, -Z''/Ohm above the points"
            )
        rows = _rows(lines, position, None if columns is None else "\t", source)
        warnings: list[str] = []
        width = 3 if columns is None else len(headings)
        if not text.endswith("\n"):
            used = columns is None or columns.last_position == width - 1
            check_last_line([(line, "\t".join(cells)) for line, cells in rows], "\t", source, warnings, used=used)
        rows = [(line, cells[:width]) for line, cells in rows]
        demand_width(rows, width, source)
        decimal_comma = any("," in cell for _, cells in rows for cell in cells)
        table = rows_from([cells for _, cells in rows], [line for line, _ in rows], decimal_comma)
        points = points_in(table, columns or _BARE_COLUMNS, source)
        biases = _column(rows, headings, _BIAS, decimal_comma)
        return impedance_measurement(
            source, self.name, points, facts=_metadata(lines, biases, warnings), warnings=warnings
        )


def _count_line(lines: list[str]) -> int | None:
    """Return the position of the line with the number of points: a whole number above a line of three numbers."""
    for position, line in enumerate(lines[:-1]):
        if line.strip().isdecimal():
            cells = lines[position + 1].split()
            if len(cells) >= 3 and all(to_float(cell, decimal_comma=True) is not None for cell in cells[:3]):
                return position
    return None


def _rows(lines: list[str], position: int, delimiter: str | None, source: Source) -> list[tuple[int, list[str]]]:
    """Return line number and cells of each row below the line with the number of points."""
    rows = [
        (line, [cell.strip() for cell in content.split(delimiter)])
        for line, content in enumerate(lines[position + 1 :], position + 2)
        if content.strip()
    ]
    announced = int(lines[position].strip()[:9])
    if len(rows) != announced:
        problem = f"{len(rows)} rows found, {announced} announced; copy the file again"
        raise source.error(f"line {position + 1}", problem)
    return rows


def _column(
    rows: list[tuple[int, list[str]]], headings: list[str], heading: str, decimal_comma: bool
) -> list[float | None]:
    """Return the values of a column that is not needed; without it, nothing."""
    if heading not in headings:
        return []
    position = headings.index(heading)
    return [to_float(cells[position], decimal_comma) for _, cells in rows]


def _metadata(lines: list[str], biases: list[float | None], warnings: list[str]) -> dict[str, Any]:
    start = _START.match(lines[1]) if lines[0].startswith(_PROCEDURE) and len(lines) > 1 else None
    facts = start_facts(start[0], ("%d.%m.%Y %H:%M:%S",), warnings) if start else {}
    known = [value for value in biases if value is not None]
    if known and len(known) == len(biases):
        facts["dc_bias_volt"] = sum(known) / len(known)
    return facts
