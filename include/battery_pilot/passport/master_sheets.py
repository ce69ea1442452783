"""The lines of the master tables as texts, from CSV files and from Excel workbooks."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from itertools import chain
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.source import Source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


WORKBOOK = "master.xlsx"
"""Workbook that may hold all tables, each in the sheet of its name."""

# Excel keeps 15 digits of a number; of a longer serial number the rest has become zeros.
_LARGEST_EXACT = 1e15

_WITH_COMMA = re.compile(r"[+-]?\d+,\d+")
# In a sheet a number is one already; a text such as 1,234 may as well be a thousand and some.
_WITH_COMMA_FOR_SURE = re.compile(r"(?![+-]?[1-9]\d{0,2},\d{3}$)[+-]?\d+,\d+")


@dataclass(frozen=True)
class Lines:
    """A table as texts.

    :param cells: place in the file ("models.csv, line 3") and cells of each line; the first are the headings.
    :param decimal_comma: texts that are numbers with a comma as their decimal sign; ``None`` for none.
    """

    cells: Iterator[tuple[str, list[str]]]
    decimal_comma: re.Pattern[str] | None


def csv_lines(name: str, lines: Iterator[str]) -> Lines:
    """Return the lines of a CSV file, separated by commas or by semicolons, the latter also with decimal commas.

    :param name: of the file, for places.
    :param lines: of the file; reading on raises ``csv.Error`` where it is damaged.
    """
    first = next(lines, "")
    separator = ";" if first.count(";") > first.count(",") else ","
    reader = csv.reader(chain([first] if first else [], lines), delimiter=separator)
    return Lines(_csv_cells(name, reader), _WITH_COMMA if separator == ";" else None)


def _csv_cells(name: str, lines: Any) -> Iterator[tuple[str, list[str]]]:
    while True:
        # A quoted cell may span lines: the record starts on the line after the one before it.
        place = f"{name}, line {lines.line_num + 1}"
        try:
            cells = next(lines, None)
        except csv.Error as error:
            raise csv.Error(f"{name}, line {lines.line_num}: {error}") from error
        if cells is None:
            return
        yield place, cells


def sheet_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the sheets of a folder's :data:`WORKBOOK`; none where there is no workbook that can be read."""
    path = folder / WORKBOOK
    try:
        workbook = Source(path.read_bytes(), str(path)).workbook if path.is_file() else None
    except (OSError, MeasurementError):  # reading its tables tells why
        return ()
    return tuple(workbook.sheet_names) if workbook else ()


def sheets_with(folder: Path, table: str, problems: list[str]) -> list[tuple[str, Lines]]:
    """Return the sheets of a folder's workbooks that hold a table, each with the words for it.

    :param folder: with ``<table>.xlsx``, whose only sheet or sheet of that name counts, or :data:`WORKBOOK`.
    :param table: name of the table.
    :param problems: receives a sentence for each workbook that cannot be read.
    """
    found = []
    for name in (f"{table}.xlsx", WORKBOOK):
        path = folder / name
        if not path.is_file():
            continue
        try:
            lines = _sheet_lines(path, table)
        except (OSError, MeasurementError) as error:
            detail = f"{error.place}: {error.problem}" if isinstance(error, MeasurementError) else str(error)
            problems.append(f"{name}, {detail}")
            continue
        if lines is not None:
            found.append((name, lines))
    return found


def _sheet_lines(path: Path, table: str) -> Lines | None:
    """Return the sheet of a table, or ``None`` where the common workbook has none of its name."""
    source = Source(path.read_bytes(), str(path))
    workbook = source.workbook
    if workbook is None:
        raise source.error("file", "not an Excel workbook; save the table as .xlsx or as 'CSV UTF-8'")
    named = [sheet for sheet in workbook.sheet_names if sheet.strip().casefold() == table]
    if not named and path.name == WORKBOOK:
        return None
    if not named and len(workbook.sheet_names) > 1:
        raise source.error("file", f"expected a sheet {table}, found {', '.join(workbook.sheet_names)}")
    sheet = (named or workbook.sheet_names)[0]
    place = f"{path.name}, sheet {sheet}" if path.name == WORKBOOK else path.name
    return Lines(_sheet_cells(source, workbook.rows(sheet), place), _WITH_COMMA_FOR_SURE)


def _sheet_cells(source: Source, rows: list[list[Any]], place: str) -> Iterator[tuple[str, list[str]]]:
    width = None
    title_rows = _title_rows(rows)
    for number, row in enumerate(rows[title_rows:], start=1 + title_rows):
        if any(isinstance(cell, float) and abs(cell) >= _LARGEST_EXACT for cell in row):
            problem = (
                "a number of more than 15 digits, which Excel rounds; format its column as text and type it again"
            )
            raise source.error(f"row {number}", problem)
        cells = [_text(cell) for cell in row]
        if width is None:
            # A sheet is as wide as its widest row, and formatting alone makes cells.
            width = max((index for index, cell in enumerate(cells, 1) if cell), default=0)
        kept = cells[:width] if not any(cells[width:]) else cells
        if number == 1 + title_rows or any(kept):
            yield f"{place}, row {number}", kept


def _title_rows(rows: list[list[Any]]) -> int:
    """Return how many rows stand above the headings: empty ones, and titles in one cell; every table has more columns."""
    filled = (sum(1 for cell in row if _text(cell)) for row in rows)
    return next((number for number, count in enumerate(filled) if count > 1), 0)


def _text(cell: Any) -> str:
    """Return a cell as somebody would type it into a CSV file: Excel holds whole numbers as 5.0, and dates with times."""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime):
        return cell.date().isoformat() if cell.time() == time.min else cell.isoformat(sep=" ")
    return cell.isoformat() if isinstance(cell, date) else str(cell).strip()
