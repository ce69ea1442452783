"""What a passport is built from, kept in the lake so that every later stage builds the very same passport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_pilot.electrochemistry.condition import Condition, Frozen
from battery_pilot.errors import InputError, PassportError
from battery_pilot.lake import Lake, Window, read_lines
from battery_pilot.passport.model import BatteryItem, BatteryModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from battery_pilot.passport.building import Passport

TABLE = "passports"


class Subject(Frozen):
    """One battery as it was at the end of a window."""

    model: BatteryModel
    item: BatteryItem
    condition: Condition


def subjects(lake: Lake, window: Window) -> Iterator[Subject]:
    """Yield the batteries that a window brought news of.

    :raises InputError: if the window has not been built.
    """
    for record in read_lines(folder_of(lake, window) / "subjects.jsonl"):
        yield Subject.model_validate(record)


def passports(lake: Lake, window: Window, base_iri: str) -> Iterator[Passport]:
    """Yield the passports of a window."""
    for subject in subjects(lake, window):
        yield passport_of(subject, base_iri)


def passport_of(subject: Subject, base_iri: str) -> Passport:
    """Build the passport of one battery.

    :raises PassportError: naming the battery.
    """
    from battery_pilot.passport.building import build_passport

    try:
        return build_passport(subject.model, subject.item, subject.condition, base=base_iri)
    except PassportError as error:
        name = f"battery {subject.item.battery_id}: "
        raise PassportError(name + str(error).removeprefix(name)) from error


def folder_of(lake: Lake, window: Window) -> Path:
    """Return the folder with a window's passports.

    :raises InputError: if the window has not been built.
    """
    folder = lake.current(TABLE, window)
    if folder is None:
        raise InputError(f"window {window.key} has no passports in {lake.root}: run the build stage first")
    return folder
