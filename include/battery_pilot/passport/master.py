"""The master data: which battery models exist, what is known of them, and which batteries were made of them.

One table a file, ``.csv``, ``.json`` or ``.xlsx``, all in one folder, or all as sheets of the workbook ``master.xlsx``.
``models`` and ``batteries`` are required; the others (:data:`OPTIONAL_TABLES`) bring what takes several rows. The columns
are the fields of the record classes.
"""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.passport.documents import DocumentEntry
from battery_pilot.passport.facts import (
    CarbonFootprint,
    HazardousSubstance,
    Marking,
    Material,
    ModelFacts,
    Operator,
    RecycledContent,
    SparePart,
)
from battery_pilot.passport.key_table import KeyTable
from battery_pilot.passport.life import LifeEvent
from battery_pilot.passport.life_table import with_successors
from battery_pilot.passport.master_checks import model_table_problems
from battery_pilot.passport.master_columns import COLUMNS_FILE, write_columns
from battery_pilot.passport.master_rows import LIST_SEPARATOR, PlacedRow, files_of, read_table, table_rows
from battery_pilot.passport.master_sheets import WORKBOOK, sheet_names
from battery_pilot.passport.model import BatteryItem, BatteryModel

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from battery_pilot.electrochemistry.condition import Frozen

PROBLEM_LIMIT = 10

_TABLE_ENDINGS = frozenset({".csv", ".json", ".ods", ".tsv", ".txt", ".xls", ".xlsx"})
"""Endings of files that somebody may take for a table, in lower case."""

MODEL_TABLES: dict[str, type[Frozen]] = {
    "materials": Material,
    "hazardous_substances": HazardousSubstance,
    "spare_parts": SparePart,
    "recycled_content": RecycledContent,
    "carbon_footprint": CarbonFootprint,
    "markings": Marking,
}
"""Tables with any number of rows a model; each is a field of :class:`~battery_pilot.passport.facts.ModelFacts`."""

OPTIONAL_TABLES: dict[str, type[Frozen]] = {
    **MODEL_TABLES,
    "documents": DocumentEntry,
    "operators": Operator,
    "events": LifeEvent,
}
"""Tables that may be missing."""

TABLES: dict[str, type[Frozen]] = {"models": BatteryModel, "batteries": BatteryItem, **OPTIONAL_TABLES}
"""All tables with the classes of their records."""


@dataclass(frozen=True)
class MasterData:
    """All tables, in the order of the files.

    :param models: model id to model.
    :param batteries: battery id to battery, also those that only an event tells of.
    :param events: the table ``events``.
    :param facts: model id to the rows of the tables with several rows a model; without documents.
    :param documents: the table ``documents``.
    :param operators: operator id to operator.
    :param model_of: battery id to model id of all batteries that were read, also those that were not kept.
    """

    models: Mapping[str, BatteryModel]
    batteries: Mapping[str, BatteryItem]
    events: tuple[LifeEvent, ...] = ()
    facts: Mapping[str, ModelFacts] = field(default_factory=dict)
    documents: tuple[DocumentEntry, ...] = ()
    operators: Mapping[str, Operator] = field(default_factory=dict)
    model_of: Mapping[str, str] = field(default_factory=dict, compare=False)


def read_master(folder: Path, batteries: Container[str] | None = None) -> MasterData:
    """Read all tables of a folder and check that they fit together.

    A table is a UTF-8 CSV file (with or without byte order mark, separated by commas or semicolons, the latter also
    with decimal commas), a JSON file with a list of objects, or a sheet of an Excel workbook. An empty cell or ``null``
    means that the fact is not known; several values in one cell are separated by ``|`` (in JSON they are a list).

    :param folder: holds the tables as ``.csv``, ``.json`` or ``.xlsx``, or ``master.xlsx`` with a sheet for each.
    :param batteries: ids of the batteries to keep, besides those that an event names; ``None`` for all. All are checked.
    :raises InputError: names every problem (the first ten of many) with file, line and column.
    """
    problems = _misspelt_tables(folder)
    models = read_table(folder, "models", BatteryModel, problems)
    by_model = {row.record.model_id: row.record for row in models}
    # A battery of a model whose row is broken must not be reported as having no model.
    known_models = None if problems else by_model
    later: list[str] = []
    further = {
        table: read_table(folder, table, kind, later, optional=True) for table, kind in OPTIONAL_TABLES.items()
    }
    later += _repeated_models(models)
    events: list[tuple[str, Any]] = [(row.place, row.record) for row in further["events"]]
    is_kept = _kept(batteries, [event for _, event in events])
    by_battery, model_of, misfits = _read_batteries(folder, known_models, is_kept, problems)
    problems += later + misfits
    problems = problems or model_table_problems(by_model, model_of, further)
    if not problems:
        by_battery, problems = with_successors(by_model, by_battery, events)
    if problems:
        # A workbook that cannot be read is a problem of every table.
        raise InputError(_summary(folder, list(dict.fromkeys(problems))))
    for name, item in by_battery.items():
        model_of.setdefault(name, item.model_id)
    records: dict[str, list[Any]] = {table: [row.record for row in rows] for table, rows in further.items()}
    return MasterData(
        models=by_model,
        batteries=by_battery,
        events=tuple(records["events"]),
        facts=_facts(records),
        documents=tuple(records["documents"]),
        operators={one.operator_id: one for one in records["operators"]},
        model_of=model_of,
    )


def each_battery(folder: Path, master: MasterData) -> Iterator[BatteryItem]:
    """Yield all batteries one after the other, also those that only an event tells of, and hold none.

    :param folder: the master data.
    :param master: what :func:`read_master` returned of it, whichever batteries it kept.
    """
    rest = dict(master.batteries)
    for row in table_rows(folder, "batteries", BatteryItem, []):
        rest.pop(row.record.battery_id, None)
        yield row.record
    yield from rest.values()


def _kept(batteries: Container[str] | None, events: Sequence[LifeEvent]) -> Callable[[BatteryItem], bool]:
    """Return what tells whether a battery is kept: one that is wanted, or that an event names or could collide with."""
    names = {name.casefold() for event in events for name in (event.battery_id, event.successor_battery_id) if name}
    serial_numbers = {event.successor_serial_number for event in events}

    def is_kept(item: BatteryItem) -> bool:
        return (
            batteries is None
            or item.battery_id in batteries
            or item.battery_id.casefold() in names
            or item.serial_number in serial_numbers
        )

    return is_kept


def _read_batteries(
    folder: Path,
    models: Mapping[str, BatteryModel] | None,
    is_kept: Callable[[BatteryItem], bool],
    problems: list[str],
) -> tuple[dict[str, BatteryItem], KeyTable, list[str]]:
    """Return the batteries that are kept, the models of all, and what does not fit; of a fleet, most are not kept.

    :param models: all models, or ``None`` where they are not known well enough to check the batteries against them.
    :param problems: receives what is wrong with single rows.
    """
    kept: dict[str, BatteryItem] = {}
    model_of = KeyTable()
    unknown: list[str] = []
    names, serial_numbers = _Unique("battery_id"), _Unique("serial_number")
    for row in table_rows(folder, "batteries", BatteryItem, problems):
        item = row.record
        model_of.setdefault(item.battery_id, item.model_id)
        # Files are named after batteries, and some file systems ignore the case of names.
        names.see(row, item.battery_id.casefold())
        if is_kept(item):
            kept[item.battery_id] = item
        if models is None:
            continue
        if item.model_id in models:
            # Asset identifiers are made of these two.
            serial_numbers.see(row, json.dumps([models[item.model_id].manufacturer_id, item.serial_number]))
        else:
            close = get_close_matches(item.model_id, models, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            unknown.append(f"{row.place}, column model_id: no model {item.model_id} in the table models{hint}")
    return kept, model_of, names.problems + unknown + serial_numbers.problems


def _repeated_models(models: Iterable[PlacedRow[BatteryModel]]) -> list[str]:
    names = _Unique("model_id")
    for row in models:
        names.see(row, row.record.model_id)
    return names.problems


@dataclass
class _Unique:
    """Finds rows with the same key while they are read.

    :param column: column that the key is of.
    :param first: key to the place where it stood first.
    :param problems: a sentence for every further row.
    """

    column: str
    first: KeyTable = field(default_factory=KeyTable)
    problems: list[str] = field(default_factory=list)

    def see(self, row: PlacedRow[Any], key: str) -> None:
        """Take the next row and its key."""
        place = self.first.setdefault(key, row.place)
        if place != row.place:
            value = getattr(row.record, self.column)
            self.problems.append(f"{row.place}, column {self.column}: {value} stands already in {place}")


def _facts(records: Mapping[str, Sequence[Any]]) -> dict[str, ModelFacts]:
    """Bring the rows of the tables together by model."""
    by_model: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for table in MODEL_TABLES:
        for record in records[table]:
            by_model[record.model_id][table].append(record)
    return {
        model_id: ModelFacts(**{table: tuple(rows) for table, rows in tables.items()})
        for model_id, tables in by_model.items()
    }


def write_master(folder: Path, data: MasterData) -> None:
    """Write the tables as CSV, so that :func:`read_master` gives the same data back.

    :param folder: is made when it does not exist; tables in it are replaced. Optional tables without rows are not written.
    :param data: what to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records: dict[str, Iterable[Frozen]] = {
        "models": data.models.values(),
        "batteries": data.batteries.values(),
        **{table: [row for one in data.facts.values() for row in getattr(one, table)] for table in MODEL_TABLES},
        "documents": data.documents,
        "operators": data.operators.values(),
        "events": data.events,
    }
    for table, kind in TABLES.items():
        if records[table] or table not in OPTIONAL_TABLES:
            _write_table(folder / f"{table}.csv", kind, records[table])


def write_template(folder: Path) -> None:
    """Write all tables with nothing but their header line, and a table that explains the columns.

    :param folder: is made when it does not exist.
    :raises InputError: when a table exists there already: filled-in master data are never overwritten.
    """
    present = [name for table in TABLES for name in files_of(table) if (folder / name).exists()]
    present += [WORKBOOK] if (folder / WORKBOOK).exists() else []
    if present:
        raise InputError(f"{folder}: already holds {' and '.join(present)}; choose an empty folder for the template")
    folder.mkdir(parents=True, exist_ok=True)
    for table, kind in TABLES.items():
        _write_table(folder / f"{table}.csv", kind, ())
    write_columns(folder / COLUMNS_FILE, TABLES)


def _misspelt_tables(folder: Path) -> list[str]:
    """Name the files and sheets that look like a table and are none: their rows would be missing and nobody would know."""
    known = {name for table in TABLES for name in files_of(table)} | {COLUMNS_FILE, WORKBOOK}
    names = [
        (path.name, path.stem, ".csv")
        for path in sorted(folder.glob("*"))
        if path.name not in known and path.suffix.lower() in _TABLE_ENDINGS
    ]
    names += [
        (f"{WORKBOOK}, sheet {sheet}", sheet, "")
        for sheet in sheet_names(folder)
        if sheet.strip().casefold() not in TABLES
    ]
    problems = []
    for place, name, ending in names:
        close = get_close_matches(name.strip().casefold(), TABLES, n=1, cutoff=0.75)
        problems += [f"{place}: no table has this name; did you mean {close[0]}{ending}?"] if close else []
    return problems


def _summary(folder: Path, problems: Sequence[str]) -> str:
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    shown = "".join(f"\n  {problem}" for problem in problems[:PROBLEM_LIMIT])
    more = f"\n  … and {len(problems) - PROBLEM_LIMIT} more" if len(problems) > PROBLEM_LIMIT else ""
    return f"{folder}: {count} in the master data:{shown}{more}"


def _write_table(path: Path, kind: type[Frozen], records: Iterable[Frozen]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(kind.model_fields)
        for record in records:
            writer.writerow(_cell(getattr(record, column)) for column in kind.model_fields)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return LIST_SEPARATOR.join(value) if isinstance(value, tuple) else str(value)
