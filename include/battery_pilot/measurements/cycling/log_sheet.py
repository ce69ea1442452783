"""Logs as a sheet of a spreadsheet: the Battery Data Format, and tables of any origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from battery_pilot.measurements.columns import with_units_below
from battery_pilot.measurements.cycling.bdf import bdf_measurement, bdf_score, demand_columns
from battery_pilot.measurements.cycling.generic import is_log, log_measurement
from battery_pilot.measurements.sheets import SheetTable, as_text
from battery_pilot.measurements.text import shown, trim_empty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "a sheet with time, voltage and current"
_ROWS_OF_HEADER = 60
_BDF_SCORE = 80


class _Found(NamedTuple):
    """A sheet with a log: its name, the row of the headings from 0, the headings, and whether they are those of BDF."""

    sheet: str
    row: int
    headings: list[str]
    is_bdf: bool


class LogSheetReader:
    """Reads the one sheet of a workbook that holds a log."""

    name = "cycling-sheet"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 70 for the headings of BDF in a sheet, 45 for others that name time, voltage and current."""
        found = next(_logs(source), None)
        if found is None:
            return 0
        return 70 if found.is_bdf else 45

    def read(self, source: Source) -> Measurement:
        """Read the log; other sheets are named in a warning.

        :raises MeasurementError: for several sheets with a log, for a gap in a required column, and for a current of
            unknown direction.
        """
        logs = list(_logs(source))
        book = source.workbook
        if book is None or not logs:
            raise source.error("file", f"no such sheet, expected {_EXPECTED}")
        if len(logs) > 1:
            names = " and ".join(shown(log.sheet) for log in logs[:2])
            raise source.error("file", f"several sheets hold a log, for example {names}; keep one in a file")
        sheet, row, headings, is_bdf = logs[0]
        place = f"sheet {sheet!r}, row {row + 1}"
        warnings: list[str] = []
        others = [name for name in book.sheet_names if name != sheet and book.rows(name, 1)]
        if others:
            warnings.append(f"Sheets without a log were left out: {', '.join(map(shown, others))}.")
        table = SheetTable(source, sheet, book.rows(sheet), row, headings, warnings)
        facts: dict[str, Any] = {}
        if not is_bdf:
            return log_measurement(source, self.name, headings, table, place, facts, warnings)
        columns = demand_columns(headings, source, place)
        return bdf_measurement(source, self.name, headings, table, columns, facts, warnings)


def _logs(source: Source) -> Iterator[_Found]:
    """Yield the sheets with a log."""
    book = source.workbook
    for sheet in book.sheet_names if book is not None else ():
        found = _log_in(sheet, book.rows(sheet, _ROWS_OF_HEADER)) if book is not None else None
        if found is not None:
            yield found


def _log_in(sheet: str, rows: list[list[Any]]) -> _Found | None:
    for number, row in enumerate(rows):
        headings = trim_empty([as_text(cell) for cell in row])
        is_bdf = bdf_score(headings) == _BDF_SCORE
        below = [as_text(cell) for cell in rows[number + 1]] if number + 1 < len(rows) else []
        with_units = None if is_bdf else with_units_below(headings, below)
        if is_bdf or is_log(with_units or headings):
            return _Found(sheet, number + (with_units is not None), with_units or headings, is_bdf)
    return None
