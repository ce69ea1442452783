"""The master data: which battery models exist and which batteries were made of them.

Two tables in one folder, ``models`` and ``batteries``, each as ``.csv``, ``.json`` or ``.xlsx``, or both as sheets of the
workbook ``master.xlsx``. The columns are the fields of
:class:`~battery_pilot.passport.model.BatteryModel` and :class:`~battery_pilot.passport.model.BatteryItem`.
"""

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
from battery_pilot.errors import InputError, MeasurementError
from battery_pilot.passport.master_columns import COLUMNS_FILE, write_columns
from battery_pilot.passport.master_sheets import WORKBOOK, Lines, csv_lines, sheets_with
from battery_pilot.passport.model import BatteryItem, BatteryModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

Record = TypeVar("Record", bound=Frozen)

PROBLEM_LIMIT = 10
LIST_SEPARATOR = "|"

_PATTERNS = {
    r"^\d{4}-\d{2}-\d{2}$": "a date like 2026-01-31",
    r"^[A-Z]{2}$": "a country as two capital letters like DE",
}
"""What the patterns of the record classes mean to somebody who fills in a table."""


@dataclass(frozen=True)
class MasterData:
    """The two tables, by their keys, in the order of the files.

    :param models: model id to model.
    :param batteries: battery id to battery.
    """

    models: Mapping[str, BatteryModel]
    batteries: Mapping[str, BatteryItem]


@dataclass(frozen=True, slots=True)
class _Row(Generic[Record]):
    """One record with the place it was read from ("models.csv, line 3")."""

    place: str
    record: Record


def read_master(folder: Path) -> MasterData:
    """Read both tables of a folder and check that they fit together.

    A table is a UTF-8 CSV file (with or without byte order mark, separated by commas or semicolons, the latter also
    with decimal commas), a JSON file with a list of objects, or a sheet of an Excel workbook. An empty cell or ``null``
    means that the fact is not known; several values in one cell are separated by ``|`` (in JSON they are a list).

    :param folder: holds ``models`` and ``batteries`` as ``.csv``, ``.json`` or ``.xlsx``, or ``master.xlsx`` with a sheet
        for each.
    :raises InputError: names every problem (the first ten of many) with file, line and column.
    """
    problems: list[str] = []
    models = _read_table(folder, "models", BatteryModel, problems)
    # A battery of a model whose row is broken must not be reported as having no model.
    models_are_complete = not problems
    batteries = _read_table(folder, "batteries", BatteryItem, problems)
    problems += _duplicates(models, "model_id", lambda model: (model.model_id,))
    # Files are named after batteries, and some file systems ignore the case of names.
    problems += _duplicates(batteries, "battery_id", lambda battery: (battery.battery_id.casefold(),))
    if models_are_complete:
        problems += _unknown_models(models, batteries)
        problems += _shared_serial_numbers(models, batteries)
    if problems:
        raise InputError(_summary(folder, problems))
    return MasterData(
        models={row.record.model_id: row.record for row in models},
        batteries={row.record.battery_id: row.record for row in batteries},
    )


def write_master(folder: Path, data: MasterData) -> None:
    """Write both tables as CSV, so that :func:`read_master` gives the same data back.

    :param folder: is made when it does not exist; tables in it are replaced.
    :param data: what to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write_table(folder / "models.csv", BatteryModel, data.models.values())
    _write_table(folder / "batteries.csv", BatteryItem, data.batteries.values())


def write_template(folder: Path) -> None:
    """Write both tables with nothing but their header line, and a table that explains the columns.

    :param folder: is made when it does not exist.
    :raises InputError: when a table exists there already: filled-in master data are never overwritten.
    """
    present = [name for name in (*_files("models"), *_files("batteries"), WORKBOOK) if (folder / name).exists()]
    if present:
        raise InputError(f"{folder}: already holds {' and '.join(present)}; choose an empty folder for the template")
    write_master(folder, MasterData(models={}, batteries={}))
    write_columns(folder / COLUMNS_FILE)


def _files(table: str) -> tuple[str, str, str]:
    return f"{table}.csv", f"{table}.json", f"{table}.xlsx"


def _read_table(folder: Path, table: str, kind: type[Record], problems: list[str]) -> list[_Row[Record]]:
    """Read the valid records of one table and add what is wrong with the others to ``problems``."""
    unreadable: list[str] = []
    sheets = sheets_with(folder, table, unreadable)
    texts = [folder / name for name in _files(table)[:2] if (folder / name).is_file()]
    problems += unreadable
    present = [*(path.name for path in texts), *(name for name, _ in sheets)]
    if len(present) != 1 and not unreadable:
        wanted = f"expected {', '.join(_files(table))} or a sheet {table} in {WORKBOOK}"
        found = (
            f"found {' and '.join(present)}; keep one"
            if present
            else "none is there; `master template` writes an empty one"
        )
        problems.append(f"{wanted}: {found}")
    if len(present) != 1:
        return []
    entries = _sheet_rows(*sheets[0], kind, problems) if sheets else _text_rows(texts[0], kind, problems)
    rows: list[_Row[Record]] = []
    for place, values in entries:
        try:
            rows.append(_Row(place, kind.model_validate(values)))
        except ValidationError as error:
            problems.extend(_explain(place, error))
    return rows


def _text_rows(path: Path, kind: type[Frozen], problems: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield place and values of each record of a CSV or JSON file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(f"{path.name}, byte {error.start}: not UTF-8; save the table as 'CSV UTF-8'")
        return
    if path.suffix == ".json":
        yield from _json_rows(path.name, text, kind, problems)
        return
    try:
        yield from _line_rows(path.name, csv_lines(path.name, text), kind, problems)
    except csv.Error as error:
        problems.append(f"{error}; is a quotation mark never closed?")


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
        yield place, _cell_values(dict(zip(header, cells, strict=True)), kind, decimal_comma=lines.decimal_comma)


def _cell_values(cells: Mapping[str, str], kind: type[Frozen], *, decimal_comma: bool) -> dict[str, Any]:
    """Turn the texts of a line into what the record's class takes; empty cells are left out."""
    values: dict[str, Any] = {}
    for column, cell in cells.items():
        # A fleet repeats plants, addresses and models in each row; each text is held once.
        text = sys.intern(cell.strip())
        if not text:
            continue
        if _is_list(kind, column):
            values[column] = tuple(part.strip() for part in text.split(LIST_SEPARATOR))
        elif decimal_comma and not _is_text(kind, column) and re.fullmatch(r"[+-]?\d+,\d+", text):
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
            close = get_close_matches(column, kind.model_fields, n=1)
            hint = f"; did you mean {close[0]}?" if close else f"; known are {', '.join(kind.model_fields)}"
            problems.append(f"{place}: unknown column {column or '(without a name)'}{hint}")
    return problems


def _explain(place: str, error: ValidationError) -> Iterator[str]:
    """Return one sentence for each cell that the record's class refuses."""
    for detail in error.errors(include_url=False):
        column = ".".join(str(part) for part in detail["loc"]) or "record"
        pattern = detail.get("ctx", {}).get("pattern")
        if detail["type"] == "missing":
            yield f"{place}, column {column}: empty, but a value is required"
        elif pattern in _PATTERNS:
            yield f"{place}, column {column}: found {detail['input']!r}, expected {_PATTERNS[pattern]}"
        else:
            # Pydantic speaks of an input and begins with a capital letter; a table has values within a sentence.
            expected = re.sub(r"^(Input|String|Value) ", "the value ", detail["msg"])
            yield f"{place}, column {column}: found {detail['input']!r}: {expected[:1].lower()}{expected[1:]}"


def _duplicates(rows: Iterable[_Row[Record]], column: str, key: Callable[[Record], tuple[str, ...]]) -> list[str]:
    """Find rows with the same key."""
    first: dict[tuple[str, ...], str] = {}
    problems = []
    for row in rows:
        values = key(row.record)
        if values in first:
            value = getattr(row.record, column)
            problems.append(f"{row.place}, column {column}: {value} stands already in {first[values]}")
        first.setdefault(values, row.place)
    return problems


def _unknown_models(models: Iterable[_Row[BatteryModel]], batteries: Iterable[_Row[BatteryItem]]) -> list[str]:
    known = [row.record.model_id for row in models]
    problems = []
    for row in batteries:
        if row.record.model_id not in known:
            close = get_close_matches(row.record.model_id, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            problems.append(f"{row.place}, column model_id: no model {row.record.model_id} in the table models{hint}")
    return problems


def _shared_serial_numbers(models: Iterable[_Row[BatteryModel]], batteries: Iterable[_Row[BatteryItem]]) -> list[str]:
    """Find batteries that would get the same asset identifier, which is made of manufacturer and serial number."""
    manufacturer = {row.record.model_id: row.record.manufacturer_id for row in models}
    known = [row for row in batteries if row.record.model_id in manufacturer]
    return _duplicates(known, "serial_number", lambda item: (manufacturer[item.model_id], item.serial_number))


def _summary(folder: Path, problems: Sequence[str]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    shown = "".join(f"\n  {problem}" for problem in problems[:PROBLEM_LIMIT])
    more = f"\n  … and {len(problems) - PROBLEM_LIMIT} more" if len(problems) > PROBLEM_LIMIT else ""
    return f"{folder}: {count} in the master data:{shown}{more}"


def _is_list(kind: type[Frozen], column: str) -> bool:
    return get_origin(kind.model_fields[column].annotation) is tuple


def _is_text(kind: type[Frozen], column: str) -> bool:
    return "str" in str(kind.model_fields[column].annotation)


def _write_table(path: Path, kind: type[Frozen], records: Iterable[Frozen]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(kind.model_fields)
        for record in records:
            writer.writerow(_cell(getattr(record, column)) for column in kind.model_fields)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return LIST_SEPARATOR.join(value) if isinstance(value, tuple) else str(value)
