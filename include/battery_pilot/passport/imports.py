"""Taking in passports that others wrote: AAS of metamodel 3.0 and 3.1, BatteryPass 1.2.1 JSON, value-only JSON."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from pydantic import ValidationError

from battery_pilot.electrochemistry.condition import Condition
from battery_pilot.errors import InputError, PassportError
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.conformance import name_of
from battery_pilot.passport.exports import FORMS
from battery_pilot.passport.facts import ModelFacts, Operator
from battery_pilot.passport.forms import form_rows, read_form
from battery_pilot.passport.mapping import parts, row_path
from battery_pilot.passport.master import read_master
from battery_pilot.passport.metamodel import environment_faults
from battery_pilot.passport.model import BatteryItem, BatteryModel
from battery_pilot.passport.parsing import MAXIMUM_BYTES, in_utf8, objects_of, parse_json
from battery_pilot.passport.reading import battery_id_of, read_environment
from battery_pilot.passport.records import Records, records_of
from battery_pilot.passport.validation import every_node, readable_values

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from battery_pilot.electrochemistry.condition import Frozen
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.forms import FormRow
    from battery_pilot.passport.lexical import Value
    from battery_pilot.passport.parsing import Json

_CONDITION = "condition.json"
_NOTES = 20  # of one kind
_UPDATE = "DppMetadata.lastUpdate"
_ENVIRONMENT = frozenset({"assetAdministrationShells", "submodels", "conceptDescriptions"})

# How keys are spelt where somebody put them right, and in former versions, to the published spelling of 1.2.1.
_SPELLINGS = {
    "batterytechnicalproperties": "batteryTechicalProperties",
    "warrantyperiod": "warrentyPeriod",
    "thirdpartyassurances": "thirdPartyAussurances",
    "supplychainindices": "supplyChainIndicies",
    "roundtripefficiencyat50percentcyclelife": "roundTripEfficiencyat50PerCentCycleLife",
    "remainingenergyalue": "remainingEnergyValue",
    "rpclastupdate": "rPCLastUpdated",
    "carbonfootprint": "CarbonFootprintForBatteries",
    "performance": "PerformanceAndDurability",
    "labels": "Labeling",
}


@dataclass(frozen=True)
class Imported:
    """A passport that was taken in.

    :param form: what it was: aas, batterypass or value-only.
    :param values: path in the passport to value.
    :param records: the records behind it, as far as it carries them.
    :param notes: what had to be put right, and what was not understood.
    """

    form: str
    values: dict[str, Value]
    records: Records
    notes: tuple[str, ...]


def import_file(path: Path, *, battery_id: str | None = None, model_id: str | None = None) -> Imported:
    """Read a passport in any form that is known, whatever the file's name is.

    :param path: AASX, AAS JSON or AAS XML of metamodel 3.0 or 3.1; BatteryPass JSON, one aspect or several by their names,
        with the published spellings or the right ones, in UTF-8 or UTF-16; or value-only JSON.
    :param battery_id: name of the battery; without it, the one that the file gives.
    :param model_id: name of the model; without it, the one that the file gives.
    :raises PassportError: it is hostile, broken, or nothing that is known; the message names the place.
    """
    with path.open("rb") as file:
        head = file.read(MAXIMUM_BYTES + 1)
    text, fix = in_utf8(head) if not head.startswith(b"PK") else (head, None)
    if not text.lstrip().startswith(b"{"):
        return _import_environment(path, battery_id, model_id)
    if len(head) > MAXIMUM_BYTES:
        raise PassportError(f"{path}: more than {MAXIMUM_BYTES} bytes, which is the most that is read")
    content = parse_json(text, maximum_bytes=2 * MAXIMUM_BYTES)
    if _ENVIRONMENT & content.keys():
        return _import_environment(path, battery_id, model_id)
    form, rows, ordered = _recognised(path, content)
    values, unread = read_form(rows, ordered)
    if not values:
        raise PassportError(f"{path}: no value of it is known to the form {form}")
    notes = [*([fix] if fix else []), *(f"{place}: not understood" for place in unread)]
    records = records_of(values, battery_id=battery_id, model_id=model_id)
    return Imported(form, values, records, tuple(notes))


def missing_columns(records: Records) -> list[str]:
    """Return the columns that must be filled in before a passport can be built, each as ``table.column``, once."""
    tables: list[tuple[str, type[Frozen], list[dict[str, Any]]]] = [
        ("models", BatteryModel, [records.model]),
        ("batteries", BatteryItem, [records.item]),
        *((name, _row_class(name), rows) for name, rows in records.lists.items()),
    ]
    missing = [
        f"{table}.{name}"
        for table, kind, rows in tables
        for row in rows
        for name, column in kind.model_fields.items()
        if column.is_required() and row.get(name) in (None, "")
    ]
    return list(dict.fromkeys(missing))


def write_records(records: Records, folder: Path) -> list[Path]:
    """Write the master tables and the condition, as the provider's pipeline reads them.

    :param records: what a passport carried.
    :param folder: created if need be; tables in it are replaced.
    :return: the files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [
        _write_table(folder / "models.csv", BatteryModel, [records.model]),
        _write_table(folder / "batteries.csv", BatteryItem, [records.item]),
    ]
    if records.operator:
        written.append(_write_table(folder / "operators.csv", Operator, [records.operator]))
    for name, rows in records.lists.items():
        written.append(_write_table(folder / f"{name}.csv", _row_class(name), rows))
    if records.condition is not None:
        path = folder / _CONDITION
        path.write_text(records.condition.model_dump_json(indent=2) + "\n", encoding="utf-8")
        written.append(path)
    return written


def build_imported(records: Records, base: str) -> Passport:
    """Build a passport in our own form from what an imported one carried.

    :param records: with every column that a passport needs; see :func:`missing_columns`.
    :param base: absolute IRI below which the ids live.
    :raises PassportError: a column is missing, there is no measured value, or a value does not fit its column.
    """
    missing = missing_columns(records)
    if missing or records.condition is None:
        wanted = ", ".join(missing) or "at least one measured value with its time and zone"
        raise PassportError(f"the file does not carry {wanted}; import it into a folder and fill in the tables")
    try:
        return build_passport(
            BatteryModel(**_present(BatteryModel, records.model)),
            BatteryItem(**_present(BatteryItem, records.item)),
            records.condition,
            base=base,
            operator=_operator(records),
            facts=ModelFacts(
                **{name: tuple(_row_class(name)(**row) for row in rows) for name, rows in records.lists.items()}
            ),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(step) for step in first["loc"])
        raise PassportError(f"imported {error.title}.{place}: {first['input']!r}: {first['msg']}") from error


def build_filled_in(folder: Path, base: str) -> Passport:
    """Build a passport in our own form from an import whose missing columns were filled in.

    :param folder: what :func:`write_records` wrote: master tables and the condition.
    :param base: absolute IRI below which the ids live.
    :raises InputError: the tables have faults, or there is no condition of one of their batteries.
    :raises PassportError: no passport can be made of it.
    """
    path, master = folder / _CONDITION, read_master(folder)
    try:
        condition = Condition.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise InputError(f"{path}: not the condition of an import: {error}".splitlines()[0]) from error
    item = master.batteries.get(condition.battery_id)
    if item is None:
        raise InputError(f"{path}: of battery {condition.battery_id}, which the table batteries does not have")
    return build_passport(
        master.models[item.model_id],
        item,
        condition,
        base=base,
        operator=master.operators.get(item.operator_id or ""),
        facts=master.facts.get(item.model_id, ModelFacts()),
    )


def _operator(records: Records) -> Operator | None:
    needed = [name for name, column in Operator.model_fields.items() if column.is_required()]
    if any(name not in records.operator for name in needed):
        return None
    return Operator(**_present(Operator, records.operator))


def _present(kind: type[Frozen], record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name in kind.model_fields and value is not None}


def _import_environment(path: Path, battery_id: str | None, model_id: str | None) -> Imported:
    read = read_environment(path)
    shells, submodels = (objects_of(read.content.get(name)) for name in ("assetAdministrationShells", "submodels"))
    if len(shells) != 1:
        raise PassportError(f"{path}: exactly one shell was expected, not {len(shells)}")
    for submodel in submodels:
        if submodel.get("kind") == "Template":
            raise PassportError(f"{path}: {name_of(submodel)} is a template, whose values are examples")
    values = _values(path, submodels)
    known = {row.path for part in parts() for row in part.rows}
    foreign = [place for place in values if row_path(place.partition("@")[0]) not in known]
    if len(foreign) == len(values):
        raise PassportError(f"{path}: none of its {len(submodels)} submodels has a value of a battery passport")
    try:
        asset_type = shells[0]["assetInformation"].get("assetType") or ""
        battery_id = battery_id or battery_id_of(shells[0], values)
    except (KeyError, TypeError, AttributeError) as error:
        raise PassportError(f"{path}: the shell does not say of which asset it is: {error!r}") from error
    _, found, name = str(asset_type).rpartition("/models/")
    records = records_of(values, battery_id=battery_id, model_id=model_id or (unquote(name) if found else None))
    faults = (f"{place or 'environment'}: no valid AAS: {cause}" for place, cause in environment_faults(read.content))
    # Of the seven parts none says of which time the passport is; what was measured has times of its own.
    timeless = () if _UPDATE in values else (f"{_UPDATE} is not there: the time is that of the newest measurement",)
    notes = (*read.fixes, *timeless, *_some(faults), *_some(f"{place}: not understood" for place in foreign))
    return Imported("aas", values, records, notes)


def _values(path: Path, submodels: list[Json]) -> dict[str, Value]:
    """Return what can be read of submodels: a fault of somebody else's description keeps no value from being taken in."""
    values, twice = readable_values(node for one in submodels for node in every_node(name_of(one), one))
    if twice:
        raise PassportError(f"{path}: {twice[0].path}: {twice[0].message}")
    return values


def _some(notes: Iterable[str]) -> list[str]:
    """Return the first notes of a kind, and how many more there are."""
    every = list(notes)
    more = len(every) - _NOTES
    return [*every[:_NOTES], f"… and {more} more of this kind"] if more > 0 else every


def _recognised(path: Path, content: Json) -> tuple[str, tuple[FormRow, ...], Json]:
    """Tell which form a JSON object has, with its keys in the form's spelling below the names of aspects or parts."""
    best: tuple[tuple[int, int], str, tuple[FormRow, ...], Json] = ((0, 0), "", (), {})
    for form in ("batterypass", "value-only"):
        rows = form_rows(FORMS[form])
        spellings = _spellings(rows)
        spelt = _spelt(content, spellings)
        roots = {str(row.steps[0]) for row in rows}
        below = {str(row.steps[1]): str(row.steps[0]) for row in rows if len(row.steps) > 1}
        ordered: Json = {}
        for key, value in spelt.items():
            if key in roots and isinstance(value, dict):
                ordered.setdefault(key, {}).update(value)
            elif key in below:
                ordered.setdefault(below[key], {})[key] = value
        # The forms share names in another spelling, and masses of materials are in kg in one and in g in the other.
        known = sum(len(part) for part in ordered.values()), _as_published(content, {*roots, *spellings.values()})
        if known > best[0]:
            best = (known, form, rows, ordered)
    if not best[0][0]:
        raise PassportError(f"{path}: neither an AAS environment nor BatteryPass nor value-only JSON")
    return best[1:]


def _as_published(node: Any, names: Collection[str]) -> int:
    """Return how many keys of a JSON are names in their very spelling."""
    if isinstance(node, dict):
        return sum((key in names) + _as_published(value, names) for key, value in node.items())
    return sum(_as_published(one, names) for one in node) if isinstance(node, list) else 0


def _spellings(rows: Iterable[FormRow]) -> dict[str, str]:
    exact = {step: step for row in rows for step in row.steps if isinstance(step, str)}
    lower = {step.lower(): step for step in exact}
    return {**_SPELLINGS, **lower, **exact}


def _spelt(node: Any, spellings: dict[str, str]) -> Any:
    if isinstance(node, dict):
        return {
            spellings.get(key, spellings.get(key.lower(), key)): _spelt(value, spellings)
            for key, value in node.items()
        }
    return [_spelt(one, spellings) for one in node] if isinstance(node, list) else node


def _row_class(table: str) -> type[Frozen]:
    (kind,) = (one for one in ModelFacts.model_fields[table].annotation.__args__ if one is not Ellipsis)  # type: ignore[union-attr]
    found: type[Frozen] = kind
    return found


def _write_table(path: Path, kind: type[Frozen], rows: list[dict[str, Any]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(kind.model_fields)
        for row in rows:
            writer.writerow(_cell(row.get(column)) for column in kind.model_fields)
    return path


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "|".join(str(one) for one in value)
    if isinstance(value, bool):
        return json.dumps(value)
    return "" if value is None else str(value)
