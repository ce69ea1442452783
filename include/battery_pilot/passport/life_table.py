"""The master-data table ``events``: its rows checked against the other tables, and the batteries that they bring about."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pydantic import ValidationError

from battery_pilot.errors import InputError
from battery_pilot.passport.life import RENEWING, LifeEvent, closures

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from battery_pilot.passport.model import BatteryItem, BatteryModel

Placed = tuple[str, LifeEvent]
"""A row with the place it was read from ("events.csv, line 3")."""


def with_successors(
    models: Mapping[str, BatteryModel], batteries: Mapping[str, BatteryItem], rows: Sequence[Placed]
) -> tuple[dict[str, BatteryItem], list[str]]:
    """Return all batteries, also those that only an event tells of, and what is wrong with the events.

    A successor without a row of its own takes plant, address and date of manufacture from the battery that it was; its
    markings and documents are its own, and so it begins without any.

    :param models: all models.
    :param batteries: the table ``batteries``; every battery is of one of the models.
    :param rows: the table ``events``.
    """
    if not rows:
        return dict(batteries), []
    fleet = _Fleet(
        models=models,
        table=batteries,
        everything=dict(batteries),
        names={name.casefold(): name for name in batteries},
        serial_numbers={_serial_number(item, models): item.battery_id for item in batteries.values()},
    )
    problems: list[str] = []
    waiting = sorted(rows, key=lambda row: row[1].occurred_on)
    while waiting:
        # A successor's successor needs its predecessor first, in whatever order the rows stand.
        unknown = [row for row in waiting if row[1].battery_id not in fleet.everything]
        ready = [row for row in waiting if row[1].battery_id in fleet.everything]
        for place, event in ready or waiting:
            problem = _problem(event, fleet) or (_add_successor(event, fleet) if event.event in RENEWING else None)
            if problem:
                problems.append(f"{place}, {problem}")
        waiting = unknown if ready else []
    return fleet.everything, [
        *problems,
        *_repeated(rows),
        *_before_the_beginning(rows, fleet.everything),
        *_after_the_end(rows),
        *_circles(rows),
    ]


@dataclass(frozen=True)
class _Fleet:
    """The batteries while successors are added.

    :param models: all models.
    :param table: those with a row of their own.
    :param everything: all so far.
    :param names: names as file systems that ignore case see them, to the name.
    :param serial_numbers: manufacturer and serial number to the name.
    """

    models: Mapping[str, BatteryModel]
    table: Mapping[str, BatteryItem]
    everything: dict[str, BatteryItem]
    names: dict[str, str]
    serial_numbers: dict[tuple[str, str], str]


def _serial_number(item: BatteryItem, models: Mapping[str, BatteryModel]) -> tuple[str, str]:
    return models[item.model_id].manufacturer_id, item.serial_number


def _problem(event: LifeEvent, fleet: _Fleet) -> str | None:
    """Say what is wrong with a row by itself."""
    name, successor = event.battery_id, event.successor_battery_id
    if name not in fleet.everything:
        close = get_close_matches(name, fleet.everything, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"column battery_id: no battery {name} in the table batteries{hint}"
    if event.event not in RENEWING:
        if successor or event.successor_serial_number or event.successor_model_id:
            return f"column successor_battery_id: only a {' or '.join(sorted(RENEWING))} battery has a successor"
        return None
    if not successor:
        return f"column successor_battery_id: empty, but a {event.event} battery becomes another one: name it"
    if successor == name:
        return f"column successor_battery_id: {name} cannot become itself; it needs a new name and serial number"
    return None


def _add_successor(event: LifeEvent, fleet: _Fleet) -> str | None:
    """Add the battery that an event brings about, unless it has a row; say what is wrong, or ``None``."""
    name = str(event.successor_battery_id)
    known = fleet.everything.get(name)
    if known is not None:
        for column, value in (
            ("serial_number", event.successor_serial_number),
            ("model_id", event.successor_model_id),
        ):
            if value and value != getattr(known, column):
                where = "the table batteries" if name in fleet.table else "another event"
                return f"column successor_{column}: found {value}, but {where} says {getattr(known, column)}"
        return None
    if not event.successor_serial_number:
        return (
            f"column successor_serial_number: empty, but {name} is not in the table batteries: give its serial number "
            "here or a row there"
        )
    return _add(event, name, event.successor_serial_number, fleet)


def _add(event: LifeEvent, name: str, serial_number: str, fleet: _Fleet) -> str | None:
    before = fleet.everything[event.battery_id]
    model_id = event.successor_model_id or before.model_id
    if model_id not in fleet.models:
        close = get_close_matches(model_id, fleet.models, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return f"column successor_model_id: no model {model_id} in the table models{hint}"
    made = before.model_copy(
        update={
            "battery_id": name,
            "serial_number": serial_number,
            "model_id": model_id,
            "operator_id": event.operator_id or before.operator_id,
            "put_into_service_on": None,
            "status": "Original",
            "marking_names": (),
            "declaration_of_conformity_ids": (),
            "test_report_ids": (),
        }
    )
    other = fleet.serial_numbers.setdefault(_serial_number(made, fleet.models), name)
    if other != name:
        return f"column successor_serial_number: {serial_number} is that of battery {other}"
    other = fleet.names.setdefault(name.casefold(), name)
    if other != name:
        return f"column successor_battery_id: {name} differs from {other} in nothing but case"
    fleet.everything[name] = made
    return None


def _repeated(rows: Sequence[Placed]) -> Iterator[str]:
    """Find events that are told twice: two accidents would be counted."""
    first: dict[LifeEvent, str] = {}
    for place, event in rows:
        if event in first:
            yield f"{place}: the same event of {event.battery_id} stands already in {first[event]}"
        first.setdefault(event, place)


def _before_the_beginning(rows: Sequence[Placed], batteries: Mapping[str, BatteryItem]) -> Iterator[str]:
    """Find events of batteries that were not made yet, or had not become what they are."""
    begun: dict[str, str] = {}
    for _, event in rows:
        if event.successor_battery_id:
            day = begun.get(event.successor_battery_id, event.occurred_on)
            begun[event.successor_battery_id] = min(day, event.occurred_on)
    for place, event in rows:
        item = batteries.get(event.battery_id)
        day = begun.get(event.battery_id) or (item.manufactured_on if item else "")
        if event.occurred_on < day:
            yield f"{place}, column occurred_on: {event.occurred_on}, but {event.battery_id} exists since {day}"


def _after_the_end(rows: Sequence[Placed]) -> Iterator[str]:
    """Find events of batteries whose passport was closed before; only waste can still be given a second life."""
    closed = closures(event for _, event in rows)
    renewed = closures(event for _, event in rows if event.event in RENEWING)
    for place, event in rows:
        ends = renewed if event.event in RENEWING else closed
        end = ends.get(event.battery_id)
        if end is not None and event.at >= end.after:
            yield (
                f"{place}, column occurred_on: the passport of {event.battery_id} was closed before; what happens later "
                "happens to its successor"
            )


def _circles(rows: Sequence[Placed]) -> Iterator[str]:
    """Find batteries that would become, in the end, what they were."""
    following: dict[str, list[str]] = {}
    for _, event in rows:
        if event.successor_battery_id and event.successor_battery_id != event.battery_id:
            following.setdefault(event.battery_id, []).append(event.successor_battery_id)
    for place, event in rows:
        ahead, seen = [event.successor_battery_id or ""], set()
        while ahead:
            name = ahead.pop()
            if name not in seen:
                seen.add(name)
                ahead += following.get(name, [])
        if event.battery_id in seen and event.battery_id != event.successor_battery_id:
            yield f"{place}, column successor_battery_id: {event.successor_battery_id} leads back to {event.battery_id}"


def add_event(
    path: Path,
    models: Mapping[str, BatteryModel],
    batteries: Mapping[str, BatteryItem],
    events: Sequence[LifeEvent],
    facts: Mapping[str, str | None],
) -> bool:
    """Append one event to the table ``events.csv`` and return whether it was new; the table is made if there is none.

    :param path: the table; it is replaced as a whole, so that a stopped command leaves the old one or the new one.
    :param models: all models.
    :param batteries: all batteries, those of earlier events too.
    :param events: the events that the table has.
    :param facts: the columns of the new row.
    :raises InputError: the row does not fit to the master data, or the table is kept in another form.
    """
    try:
        event = LifeEvent.model_validate(facts)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"event, column {first['loc'][0]}: found {first['input']!r}: {first['msg']}") from error
    if event in events:
        return False
    rows = [(path.name, one) for one in events] + [("the new event", event)]
    problems = with_successors(models, batteries, rows)[1]
    if problems:
        raise InputError("; ".join(problems))
    if events and not path.is_file():
        raise InputError(f"{path}: the events are kept in another file of that folder; add the row there")
    columns = list(LifeEvent.model_fields)
    text = path.read_text(encoding="utf-8-sig") if path.is_file() else ",".join(columns) + "\n"
    first_line = text.partition("\n")[0]
    separator = ";" if first_line.count(";") > first_line.count(",") else ","
    header = next(csv.reader([first_line.strip()], delimiter=separator), [])
    if not set(event.model_dump(exclude_none=True)) <= set(header):
        raise InputError(
            f"{path}: its first line lacks a column that the event needs; it must be {','.join(columns)}"
        )
    line = io.StringIO()
    csv.writer(line, delimiter=separator, lineterminator="\n").writerow(
        getattr(event, column, None) or "" for column in header
    )
    staged = path.with_name(f".{path.name}.new")
    staged.write_text(text + ("" if text.endswith("\n") else "\n") + line.getvalue(), encoding="utf-8")
    staged.replace(path)
    return True
