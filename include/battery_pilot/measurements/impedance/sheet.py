"""Impedance as tables in the sheets of a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.impedance.headings import Headings, headings_of, with_units
from battery_pilot.measurements.impedance.rows import rows_from
from battery_pilot.measurements.impedance.spectra import one_after_another, points_of_spectra
from battery_pilot.measurements.impedance.wide import points_of_wide
from battery_pilot.measurements.sheets import as_number, as_text
from battery_pilot.measurements.tables import Points, impedance_measurement
from battery_pilot.measurements.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from battery_pilot.measurements.impedance.rows import Rows
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "a sheet with a table of frequency and impedance"
_ROWS_BEFORE_TABLE = 100
_SHEETS_TO_SNIFF = 4
_ROWS_AT_ONCE = 10_000


class ImpedanceSheetReader:
    """Reads xlsx, xlsm, xlsb, xls and ods files; each sheet with a table of impedance holds one spectrum or more."""

    name = "impedance-sheet"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 60 for headings of an impedance table in one of the first sheets."""
        workbook = source.workbook
        if workbook is None:
            return 0
        for sheet in workbook.sheet_names[:_SHEETS_TO_SNIFF]:
            if _find(workbook.rows(sheet, _ROWS_BEFORE_TABLE)) is not None:
                return 60
        return 0

    def read(self, source: Source) -> Measurement:
        """Read all sheets; those without such a table are named in a warning.

        :raises MeasurementError: when no sheet has a table, and for cells that are not numbers.
        """
        workbook = source.workbook
        tables: list[Points] = []
        names: list[str] = []
        others: list[str] = []
        warnings: list[str] = []
        left_out: tuple[str, ...] = ()
        for sheet in workbook.sheet_names if workbook else ():
            rows = workbook.rows(sheet) if workbook else []
            found = _find(rows[:_ROWS_BEFORE_TABLE])
            if found is None:
                others += [sheet] if rows else []
                continue
            try:
                tables.append(_points(rows, *found, source, warnings))
            except MeasurementError as error:
                place = f"sheet {shown(sheet)}, {error.place.replace('line', 'row')}"
                raise source.error(place, error.problem) from error
            names += [sheet] * len(tables[-1].frequency_hertz)
            left_out += tuple(heading for heading in found[1].left_out if heading not in left_out)
        if not tables:
            raise source.error("file", f"no table, expected {_EXPECTED}")
        if others:
            warnings.append(f"Sheets without a table of impedance were left out: {', '.join(map(shown, others))}.")
        points = one_after_another(tables)._replace(sheets=names)
        return impedance_measurement(
            source, self.name, points, facts={"columns_left_out": left_out}, warnings=warnings
        )


def _find(rows: Sequence[Sequence[Any]]) -> tuple[int, Headings] | None:
    """Return the row of headings, from 0, and the headings."""
    for index, row in enumerate(rows):
        headings = headings_of([cell.strip() if isinstance(cell, str) else "" for cell in row])
        if headings is not None:
            return index, headings
    return None


def _points(
    rows: Sequence[Sequence[Any]], index: int, headings: Headings, source: Source, warnings: list[str]
) -> Points:
    """Return the points of a sheet; places are its rows, counted from 1.

    :param index: row of the first headings, from 0.
    :raises MeasurementError: for cells that are not numbers, and numbers below a text that is no headings.
    """
    tables: list[Points] = []
    notes = 0
    while True:
        if headings.refusal is not None:
            raise source.error(f"row {index + 1}", headings.refusal)
        headings, first = _with_units(rows, index, headings)
        end = _end(rows, first, headings)
        pieces = _pieces(rows, first, end)
        if headings.wide is not None:
            tables.append(points_of_wide(pieces, headings.wide, source, warnings))
        else:
            warnings += headings.guesses
            tables.append(points_of_spectra(pieces, headings.spectra, source, warnings))
        following = _find(rows[end:])
        last = len(rows) if following is None else end + following[0]
        notes += _check_notes(rows, end, last, headings, source)
        if following is None:
            break
        index, headings = last, following[1]
    if notes:
        warnings.append(f"Rows of text between or below the tables were left out: {notes}.")
    return one_after_another(tables)


def _pieces(rows: Sequence[Sequence[Any]], first: int, end: int) -> Iterator[Rows]:
    """Yield the rows of a table as text in pieces, so that that of a large sheet is not in memory at once."""
    for start in range(first, max(end, first + 1), _ROWS_AT_ONCE):
        stop = min(end, start + _ROWS_AT_ONCE)
        yield rows_from([[as_text(cell) for cell in row] for row in rows[start:stop]], range(start + 1, stop + 1))


def _with_units(rows: Sequence[Sequence[Any]], index: int, headings: Headings) -> tuple[Headings, int]:
    """Return the headings with the units in the row below them, if they stand there, and the first row of data."""
    first = index + 1
    if first < len(rows) and not any(as_number(cell) is not None for cell in rows[first]):
        units = with_units(headings, [as_text(cell) for cell in rows[first]])
        if units is not None:
            return units, first + 1
    return headings, first


def _end(rows: Sequence[Sequence[Any]], first: int, headings: Headings) -> int:
    """Return the row behind a table: the first with text, but no number, in the columns that are used."""
    for index in range(first, len(rows)):
        cells = [rows[index][position] for position in headings.used]
        if any(cell != "" for cell in cells) and not any(as_number(cell) is not None for cell in cells):
            return index
    return len(rows)


def _check_notes(rows: Sequence[Sequence[Any]], first: int, last: int, headings: Headings, source: Source) -> int:
    """Return how many rows of text there are below a table, and refuse numbers among them."""
    for index in range(first, last):
        if any(as_number(rows[index][position]) is not None for position in headings.used):
            problem = "expected headings after a row of text, found a row of numbers"
            raise source.error(f"row {index + 1}", problem)
    return sum(any(cell != "" for cell in row) for row in rows[first:last])
