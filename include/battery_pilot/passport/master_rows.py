"""The records of one master-data table, from CSV, JSON or a sheet, with a sentence for everything that is wrong with them."""

from __future__ import annotations

import csv
import json
import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Generic, TypeVar, get_origin

from pydantic import ValidationError

from battery_pilot.electrochemistry.condition import Frozen
from battery_pilot.errors import MeasurementError
from battery_pilot.passport.master_sheets import WORKBOOK, Lines, csv_lines, sheets_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

Record = TypeVar("Record", bound=Frozen)

LIST_SEPARATOR = "|"

_ALIKE = 0.4  # likeness from which on a column is named as the meant one: CAS is cas_number

_PATTERNS = {
    r"^\d{4}-\d{2}-\d{2}$": "a date like 2026-01-31",
    r"^[A-Z]{2}$": "a country as two capital letters like DE",
    r"^[^@\s]+@[^@\s]+\.[^@\s.]+$": "an e-mail address",
    r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$": "a language like en",
    r"^https?://[^\s]+$": "an address that begins with https://",
}
"""What the patterns of the record classes mean to somebody who fills in a table."""


@dataclass(frozen=True, slots=True)
class PlacedRow(Generic[Record]):
    """One record with the place it was read from ("models.csv, line 3")."""

    place: str
    record: Record


def files_of(table: str) -> tuple[str, str, str]:
    """Return the names of the files that may hold a table."""
    return f"{table}.csv", f"{table}.json", f"{table}.xlsx"


def read_table(
    folder: Path, table: str, kind: type[Record], problems: list[str], *, optional: bool = False
) -> list[PlacedRow[Record]]:
    """Read the valid records of one table and add what is wrong with the others to ``problems``.

    :param folder: the master data.
    :param table: name of the table.
    :param kind: the class of its records; its fields are the columns.
    :param problems: receives one sentence for each cell or row that is wrong.
    :param optional: whether the table may be missing.
    """
    return list(table_rows(folder, table, kind, problems, optional=optional))


def table_rows(
    folder: Path, table: str, kind: type[Record], problems: list[str], *, optional: bool = False
) -> Iterator[PlacedRow[Record]]:
    """Yield what :func:`read_table` returns; of a CSV file no more than a line is in memory."""
    unreadable: list[str] = []
    sheets = sheets_with(folder, table, unreadable)
    texts = [folder / name for name in files_of(table)[:2] if (folder / name).is_file()]
    problems += unreadable
    present = [*(path.name for path in texts), *(name for name, _ in sheets)]
    if len(present) != 1 and not unreadable and not (optional and not present):
        wanted = f"expected {', '.join(files_of(table))} or a sheet {table} in {WORKBOOK}"
        found = (
            f"found {' and '.join(present)}; keep one"
            if present
            else "none is there; `master template` writes an empty one"
        )
        problems.append(f"{wanted}: {found}")
    if len(present) != 1:
        return
    entries = _sheet_rows(*sheets[0], kind, problems) if sheets else _text_rows(texts[0], kind, problems)
    for place, values in entries:
        try:
            yield PlacedRow(place, kind.model_validate(values))
        except ValidationError as error:
            problems.extend(_explain(place, error))


def _text_rows(path: Path, kind: type[Frozen], problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and values of each record of a CSV or JSON file."""
    try:
        if path.suffix == ".json":
            yield from _json_rows(path.name, path.read_text(encoding="utf-8-sig"), kind, problems)
            return
        with path.open(encoding="utf-8-sig") as lines:
            yield from _line_rows(path.name, csv_lines(path.name, lines), kind, problems)
    except UnicodeDecodeError:
        problems.append(f"{path.name}, byte {_first_foreign_byte(path)}: not UTF-8; save the table as 'CSV UTF-8'")
    except csv.Error as error:
        problems.append(f"{error}; is a quotation mark never closed?")


def _first_foreign_byte(path: Path) -> int:
    """Return where a file stops being UTF-8; an error while reading counts from the last block."""
    try:
        path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        return error.start
    return 0


def _sheet_rows(
    name: str, lines: Lines, kind: type[Frozen], problems: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and values of each record of a sheet."""
    try:
        yield from _line_rows(name, lines, kind, problems)
    except MeasurementError as error:
        problems.append(f"{name}, {error.place}: {error.problem}")


def _line_rows(
    name: str, lines: Lines, kind: type[Frozen], problems: list[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and values of each line that has as many cells as the header."""
    place, cells = next(lines.cells, (f"{name}, line 1", []))
    header = [cell.strip() for cell in cells]
    header_problems = _header_problems(place, header, kind)
    problems += header_problems
    if header_problems:
        return
    for place, cells in lines.cells:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"{place}: {len(cells)} cells, expected {len(header)} as in the header")
            continue
        yield place, _cell_values(dict(zip(header, cells, strict=True)), kind, lines.decimal_comma)


def _cell_values(
    cells: Mapping[str, str], kind: type[Frozen], decimal_comma: re.Pattern[str] | None
) -> dict[str, Any]:
    """Turn the texts of a line into what the record's class takes; empty cells are left out."""
    values: dict[str, Any] = {}
    for column, cell in cells.items():
        # A fleet repeats plants, addresses and models in each row; each text is held once.
        text = sys.intern(cell.strip())
        if not text:
            continue
        if _is_list(kind, column):
            values[column] = tuple(part.strip() for part in text.split(LIST_SEPARATOR))
        elif decimal_comma and not _is_text(kind, column) and decimal_comma.fullmatch(text):
            values[column] = text.replace(",", ".")
        else:
            values[column] = text
    return values


def _json_rows(name: str, text: str, kind: type[Frozen], problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and values of each object of the list; ``null`` and empty texts are left out."""
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        problems.append(f"{name}, line {error.lineno}, column {error.colno}: not JSON: {error.msg}")
        return
    if not isinstance(entries, list):
        problems.append(f"{name}: expected a list of objects, found {type(entries).__name__}")
        return
    for number, entry in enumerate(entries, start=1):
        place = f"{name}, entry {number}"
        if not isinstance(entry, dict):
            problems.append(f"{place}: expected an object, found {type(entry).__name__}")
            continue
        unknown = _unknown_columns(place, entry, kind)
        problems += unknown
        if not unknown:
            yield place, {column: value for column, value in entry.items() if value not in (None, "")}


def _header_problems(place: str, header: Sequence[str], kind: type[Frozen]) -> list[str]:
    problems = _unknown_columns(place, header, kind)
    for column, field in kind.model_fields.items():
        if header.count(column) > 1:
            problems.append(f"{place}: column {column} stands there {header.count(column)} times, expected once")
        elif field.is_required() and column not in header:
            problems.append(f"{place}: column {column} is missing")
    return problems


def _unknown_columns(place: str, columns: Iterable[str], kind: type[Frozen]) -> list[str]:
    problems = []
    for column in columns:
        if column not in kind.model_fields:
            close = get_close_matches(column.casefold(), kind.model_fields, n=1, cutoff=_ALIKE)
            hint = f"; did you mean {close[0]}?" if close else f"; known are {', '.join(kind.model_fields)}"
            problems.append(f"{place}: unknown column {column or '(without a name)'}{hint}")
    return problems


def _beginning(found: re.Match[str]) -> str:
    return "the value " if found[2] else ""


def _explain(place: str, error: ValidationError) -> Iterator[str]:
    """Return one sentence for each cell that the record's class refuses."""
    for detail in error.errors(include_url=False):
        column = ".".join(map(str, detail["loc"]))
        pattern = detail.get("ctx", {}).get("pattern")
        if not detail["loc"]:  # about several columns together
            yield f"{place}: {detail['msg'].removeprefix('Value error, ')}"
        elif detail["type"] == "missing":
            yield f"{place}, column {column}: empty, but a value is required"
        elif pattern in _PATTERNS:
            yield f"{place}, column {column}: found {detail['input']!r}, expected {_PATTERNS[pattern]}"
        else:
            # Pydantic speaks of an input and begins with a capital letter; a table has values within a sentence.
            expected = re.sub(r"^(Value error, |(Input|String|Value) )", _beginning, detail["msg"])
            yield f"{place}, column {column}: found {detail['input']!r}: {expected[:1].lower()}{expected[1:]}"


def _is_list(kind: type[Frozen], column: str) -> bool:
    return get_origin(kind.model_fields[column].annotation) is tuple


def _is_text(kind: type[Frozen], column: str) -> bool:
    return "str" in str(kind.model_fields[column].annotation)
