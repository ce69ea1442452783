"""Whether the optional master-data tables fit to the models, the batteries and each other."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from battery_pilot.passport.master_rows import PlacedRow
    from battery_pilot.passport.model import BatteryModel

    Tables = Mapping[str, Sequence[PlacedRow[Any]]]

_MASS_TOLERANCE = 1.01  # materials are weighed, and so is the battery


def model_table_problems(models: Mapping[str, BatteryModel], batteries: Collection[str], tables: Tables) -> list[str]:
    """Return a sentence for every row that does not fit.

    :param models: the table ``models``.
    :param batteries: ids of the table ``batteries``.
    :param tables: the optional tables with the places of their rows.
    """
    return [
        *_unknown_owners(models, batteries, tables),
        *_repeated(tables, "documents", "document_id"),
        *_repeated(tables, "operators", "operator_id"),
        *_same_rows(tables),
        *_foreign_pictures(tables),
        *_impossible_sums(models, tables),
    ]


def _unknown_owners(models: Mapping[str, BatteryModel], batteries: Collection[str], tables: Tables) -> Iterator[str]:
    for table, rows in tables.items():
        if table == "events":  # their batteries may be successors, which are known later
            continue
        for row in rows:
            yield from _unknown(row, "model_id", models, "models")
            yield from _unknown(row, "battery_id", batteries, "batteries")


def _unknown(row: PlacedRow[Any], column: str, known: Collection[str], table: str) -> Iterator[str]:
    name = getattr(row.record, column, None)
    if name is not None and name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        yield f"{row.place}, column {column}: no {column.removesuffix('_id')} {name} in the table {table}{hint}"


def _repeated(tables: Tables, table: str, column: str) -> Iterator[str]:
    first: dict[str, str] = {}
    for row in tables[table]:
        name = getattr(row.record, column)
        if name in first:
            yield f"{row.place}, column {column}: {name} stands already in {first[name]}"
        first.setdefault(name, row.place)


def _same_rows(tables: Tables) -> Iterator[str]:
    """Find rows that say again what another one says: materials would weigh twice as much."""
    for table in (
        "materials",
        "hazardous_substances",
        "spare_parts",
        "recycled_content",
        "carbon_footprint",
        "markings",
    ):
        first: dict[object, str] = {}
        for row in tables[table]:
            record = row.record
            key = (record.model_id, record.material) if table == "recycled_content" else record
            if key in first:
                yield f"{row.place}: it says again what {first[key]} says"
            first.setdefault(key, row.place)


def _foreign_pictures(tables: Tables) -> Iterator[str]:
    """Find markings whose picture is no document of that purpose and model."""
    pictures = {
        row.record.document_id: row.record.model_id for row in tables["documents"] if row.record.purpose == "marking"
    }
    for row in tables["markings"]:
        wanted = row.record.document_id
        if wanted is not None and pictures.get(wanted) != row.record.model_id:
            yield (
                f"{row.place}, column document_id: the table documents has no document {wanted} of purpose marking for "
                f"the model {row.record.model_id}"
            )


def _impossible_sums(models: Mapping[str, BatteryModel], tables: Tables) -> Iterator[str]:
    for model_id, model in models.items():
        mass = sum(row.record.mass_kilogram or 0 for row in _of(model_id, tables["materials"]))
        if mass > _MASS_TOLERANCE * model.mass_kilogram:
            yield (
                f"table materials: the materials of {model_id} weigh {mass:g} kg, the whole battery "
                f"{model.mass_kilogram:g} kg; give masses in kilogram for one battery"
            )
        share = sum(row.record.concentration_percent or 0 for row in _of(model_id, tables["hazardous_substances"]))
        if share > 100:
            yield f"table hazardous_substances: the concentrations of {model_id} sum up to {share:g} %"


def _of(model_id: str, rows: Sequence[PlacedRow[Any]]) -> Iterator[PlacedRow[Any]]:
    return (row for row in rows if row.record.model_id == model_id)
