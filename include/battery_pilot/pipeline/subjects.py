"""What a passport is built from, kept in the lake so that every later stage builds the very same passport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from battery_pilot.electrochemistry.condition import Condition, Frozen
from battery_pilot.errors import InputError, PassportError
from battery_pilot.lake import Lake, Window, read_lines, write_lines
from battery_pilot.passport.evidence import Evidence
from battery_pilot.passport.facts import ModelFacts, Operator
from battery_pilot.passport.life import NO_LIFE, Life
from battery_pilot.passport.model import BatteryItem, BatteryModel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from battery_pilot.passport.building import Passport

TABLE = "passports"

SUBJECTS = "subjects.jsonl"
"""File of a window's partition with what each passport is built from, once a battery."""

MODELS = "models.jsonl"
"""File of a window's partition with the facts of the models, once a model."""


class Subject(Frozen):
    """One battery as it was at the end of a window.

    :param facts: what its model has in several tables; kept once a model and not with every battery.
    """

    model: BatteryModel
    item: BatteryItem
    condition: Condition
    life: Life = NO_LIFE
    evidence: Evidence = Evidence()
    operator: Operator | None = None
    facts: ModelFacts = Field(default=ModelFacts(), exclude=True)


def subjects(lake: Lake, window: Window) -> Iterator[Subject]:
    """Yield the batteries that a window brought news of.

    :raises InputError: if the window has not been built.
    """
    folder = folder_of(lake, window)
    facts = read_facts(folder)
    for record in read_lines(folder / SUBJECTS):
        yield with_facts(Subject.model_validate(record), facts)


def write_facts(folder: Path, facts: Mapping[str, ModelFacts]) -> None:
    """Write the facts of a window's models.

    :param folder: of the partition.
    :param facts: model id to facts.
    """
    write_lines(
        folder / MODELS,
        ({"model_id": name, "facts": facts[name].model_dump(mode="json")} for name in sorted(facts)),
    )


def read_facts(folder: Path) -> dict[str, ModelFacts]:
    """Return the facts of a window's models by their ids."""
    path = folder / MODELS
    records = read_lines(path) if path.exists() else ()
    return {record["model_id"]: ModelFacts.model_validate(record["facts"]) for record in records}


def with_facts(subject: Subject, facts: Mapping[str, ModelFacts]) -> Subject:
    """Return a battery with the facts of its model."""
    known = facts.get(subject.model.model_id)
    return subject if known is None else subject.model_copy(update={"facts": known})


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
        return build_passport(
            subject.model,
            subject.item,
            subject.condition,
            base=base_iri,
            facts=subject.facts,
            operator=subject.operator,
            evidence=subject.evidence,
            life=subject.life,
        )
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
