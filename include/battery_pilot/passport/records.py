"""From the values of a passport back to the records that it was built from.

The mapping tables say which element comes from which record, so they are read backwards. What a passport does not carry
(the name of the model, for one) stays open and is named.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from battery_pilot.electrochemistry.condition import Condition, MeasuredValue
from battery_pilot.errors import PassportError
from battery_pilot.passport.mapping import Row, parts, row_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.passport.lexical import Value

STATED = "stated in an imported passport"
"""Method of a value whose passport does not name one."""

_MONTHS = re.compile(r"P(?:(\d+)Y)?(?:(\d+)M)?")
_POWER = re.compile(
    r"(TechnicalData\.TechnicalPropertyAreas\.PowerCapability\.OriginalPowerCapability\[\d+\])\.atSoc"
)
_TABLES = {
    "facts.tiered_materials": "materials",
    "facts.hazardous_substances": "hazardous_substances",
    "facts.suppliers": "spare_parts",
    "facts.recycled_content": "recycled_content",
    "facts.carbon_footprint": "carbon_footprint",
    "markings": "markings",
}
"""Source of a list in the mapping tables to the master-data table with its rows."""

_NAMED_DOCUMENTS = {
    "documents.declaration_of_conformity": "declaration_of_conformity_ids",
    "documents.test_report": "test_report_ids",
}
"""Source of a list of document identifiers to the column of ``batteries`` that may name them."""

_SCALARS = frozenset({"model", "item", "operator"})


@dataclass
class Records:
    """What can be known of the records behind a passport.

    :param model: column of the table ``models`` to value.
    :param item: column of the table ``batteries`` to value.
    :param operator: column of the table ``operators`` to value.
    :param lists: table of further facts of the model, such as ``materials``, to rows of columns to values.
    :param condition: the measured values; ``None`` if there are none.
    """

    model: dict[str, Any] = field(default_factory=dict)
    item: dict[str, Any] = field(default_factory=dict)
    operator: dict[str, Any] = field(default_factory=dict)
    lists: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    condition: Condition | None = None


def records_of(values: Mapping[str, Value], *, battery_id: str | None = None, model_id: str | None = None) -> Records:
    """Return the records behind a passport.

    :param values: path to value of the passport.
    :param battery_id: name of the battery; without it, its serial number.
    :param model_id: name of the model; without it, it stays open.
    :raises PassportError: a value does not fit its record; the message names the path.
    """
    rows = {row.path: row for part in parts() for row in part.rows}
    records, metrics = Records(), dict[str, dict[str, Any]]()
    lists: dict[str, dict[tuple[int, ...], dict[str, Any]]] = {}
    for path, value in values.items():
        row = rows.get(row_path(path))
        if row is None or "@" in path:
            continue
        head, _, tail = row.source.partition(".")
        if head == "each":
            _into_list(lists, rows, path, tail.rpartition(".")[2], value)
        elif row.source in _NAMED_DOCUMENTS:
            records.item.setdefault(_NAMED_DOCUMENTS[row.source], []).append(value)
        elif head in _SCALARS and tail.isidentifier():
            record: dict[str, Any] = getattr(records, head)
            if path.endswith("]"):
                record.setdefault(tail, []).append(value)
            else:
                record[tail] = _unconverted(row, value)
        elif head == "condition" and tail:
            metric, _, attribute = tail.partition(".")
            _into_metric(metrics.setdefault(metric, {}), attribute or "value", path, value, values)
    records.lists = {name: _joined(found) for name, found in lists.items()}
    _add_powers(records.model, values)
    _add_names(records, values, battery_id, model_id)
    records.condition = _condition(str(records.item.get("battery_id") or "imported"), metrics, values)
    return records


def _into_list(
    lists: dict[str, dict[tuple[int, ...], dict[str, Any]]],
    rows: Mapping[str, Row],
    path: str,
    column: str,
    value: Value,
) -> None:
    """Put a value into its row of a table of further facts, and a list's member into its cell."""
    member = re.match(r"[^\[]*\[\d+\]", path)
    table = _TABLES.get(rows[row_path(member[0])].source) if member else None
    if table is None:
        return
    is_cell = path.endswith("]")
    indices = tuple(int(index) for index in re.findall(r"\[(\d+)\]", path))
    row = lists.setdefault(table, {}).setdefault(indices[:-1] if is_cell else indices, {})
    if is_cell:
        row.setdefault(column, []).append(value)
    else:
        row[column] = value


def _joined(found: Mapping[tuple[int, ...], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the innermost rows with what stands around them: a part with its supplier."""
    inner = [
        indices
        for indices in sorted(found)
        if not any(other[: len(indices)] == indices for other in found if other != indices)
    ]
    return [
        {name: value for end in range(1, len(indices) + 1) for name, value in found.get(indices[:end], {}).items()}
        for indices in inner
    ]


def _into_metric(
    metric: dict[str, Any], attribute: str, path: str, value: Value, values: Mapping[str, Value]
) -> None:
    if path.endswith("]"):
        metric.setdefault(attribute, []).append(value)
        return
    metric.setdefault(attribute, value)
    beside = values.get(f"{path.rpartition('.')[0]}.LastUpdate")
    if attribute == "value" and isinstance(beside, str):
        metric.setdefault("last_update", beside)


def _unconverted(row: Row, value: Value) -> Value:
    if row.conversion != "month_period":
        return value
    period = _MONTHS.fullmatch(str(value))
    if period is None or not any(period.groups()):
        raise PassportError(f"{row.path}: {value!r} is no period of whole months such as P96M")
    return 12 * int(period[1] or 0) + int(period[2] or 0)


def _add_powers(model: dict[str, Any], values: Mapping[str, Value]) -> None:
    for path, soc in values.items():
        place = _POWER.fullmatch(path)
        power = values.get(f"{place[1]}.powerCapabilityAt") if place else None
        if power is not None and soc in {20, 80}:
            model[f"original_power_watt_at_{soc:.0f}_percent_soc"] = power


def _add_names(records: Records, values: Mapping[str, Value], battery_id: str | None, model_id: str | None) -> None:
    """Fill in the names that join the tables."""
    uri = values.get("BatteryNameplate.URIOfTheProduct")
    if "serial_number" not in records.item and isinstance(uri, str):
        records.item["serial_number"] = unquote(uri.rstrip("/").rpartition("/")[2])
    records.item["battery_id"] = battery_id or records.item.get("serial_number")
    if model_id:
        for record in (records.model, records.item, *(row for rows in records.lists.values() for row in rows)):
            record["model_id"] = model_id


def _condition(
    battery_id: str, metrics: Mapping[str, Mapping[str, Any]], values: Mapping[str, Value]
) -> Condition | None:
    measured = {}
    for name, metric in metrics.items():
        as_of = _moment(metric.get("as_of") or metric.get("last_update"))
        if "value" in metric and as_of is not None:
            measured[name] = MeasuredValue(
                value=float(metric["value"]),
                as_of=as_of,
                method=str(metric.get("method") or STATED),
                source_sha256=tuple(metric.get("source_sha256", ())),
                uncertainty=metric.get("uncertainty"),
            )
    if not measured:
        return None
    stated = _moment(values.get("DppMetadata.lastUpdate"))
    as_of = stated or max(value.as_of for value in measured.values())
    return Condition(battery_id=battery_id, as_of=as_of, values=measured)


def _moment(text: Any) -> datetime | None:
    """Return a point in time, or ``None`` where there is none; a time without zone does not say which one it is."""
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else None
