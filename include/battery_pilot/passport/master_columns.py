"""The table that explains the columns of the master tables to those who fill them in, made from the record classes."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin

from battery_pilot.passport.model import BatteryItem, BatteryModel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic.fields import FieldInfo

COLUMNS_FILE = "columns.csv"

_HEADER = ("table", "column", "meaning", "unit", "required", "allowed", "default", "example")
_UNITS = {
    "kilogram": "kg",
    "volt": "V",
    "ah": "Ah",
    "kwh": "kWh",
    "ohm": "ohm",
    "watt": "W",
    "celsius": "°C",
    "percent": "%",
    "months": "months",
    "years": "years",
    "rate": "1/h",
}
_LIMITS = {"gt": "above", "ge": "from", "le": "up to"}


def write_columns(path: Path) -> None:
    """Write one line for each column: meaning, unit, whether it is required, allowed values, default and example.

    :param path: a CSV file; it is replaced.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        for table, kind in (("models", BatteryModel), ("batteries", BatteryItem)):
            for column, field in kind.model_fields.items():
                writer.writerow((table, column, *_explained(column, field)))


def _explained(column: str, field: FieldInfo) -> Iterator[str]:
    default = () if field.is_required() or field.default is None else field.default
    yield field.description or ""
    yield _unit(column)
    yield "yes" if field.is_required() else "no"
    yield _allowed(field)
    yield _written(default)
    yield _written((field.examples or [""])[0])


def _unit(column: str) -> str:
    """Return the unit in a column's name, which may be followed by its rate or by what the quantity refers to."""
    quantity, _, rate = column.partition("_per_")
    for name in (quantity, quantity.partition("_at_")[0]):
        unit = _UNITS.get(name.rpartition("_")[2])
        if unit is not None:
            return f"{unit}/{rate}" if rate else unit
    return ""


def _allowed(field: FieldInfo) -> str:
    """Return the values that a column takes, in words."""
    kinds = [kind for kind in (get_args(field.annotation) or (field.annotation,)) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return " or ".join(map(str, kinds))
    if get_origin(field.annotation) is tuple:
        return "texts, separated by |"
    limits = [
        f"{words} {getattr(rule, name):g}"
        for rule in field.metadata
        for name, words in _LIMITS.items()
        if getattr(rule, name, None) is not None
    ]
    if kinds[0] is str:
        return "date as 2026-01-31" if _is_date(field) else "text"
    return " ".join(["whole number" if kinds[0] is int else "number", *limits])


def _is_date(field: FieldInfo) -> bool:
    """Tell whether a column holds dates, which its pattern shows."""
    return any(r"\d{4}-\d{2}" in (getattr(rule, "pattern", None) or "") for rule in field.metadata)


def _written(value: Any) -> str:
    return "|".join(value) if isinstance(value, tuple) else str(value)
