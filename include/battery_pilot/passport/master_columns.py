"""The table that explains the columns of the master tables to those who fill them in, made from the record classes."""

from __future__ import annotations

import csv
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo

    from battery_pilot.electrochemistry.condition import Frozen

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


def write_columns(path: Path, tables: Mapping[str, type[Frozen]]) -> None:
    """Write one line for each column: meaning, unit, whether it is required, allowed values, default and example.

    :param path: a CSV file; it is replaced.
    :param tables: name of each table to the class of its records.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_HEADER)
        for table, kind in tables.items():
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
    kind, rules = _unwrapped(field.annotation, list(field.metadata))
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    if get_origin(kind) is tuple:
        member = get_args(kind)[0]
        return (
            f"{' or '.join(get_args(member))}, separated by |"
            if get_origin(member) is Literal
            else "texts, separated by |"
        )
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " or ".join(one.value for one in kind)
    if kind is bool:
        return "true or false"
    if kind is str:
        return "date as 2026-01-31" if _is_date(rules) else "text"
    limits = [
        f"{words} {getattr(rule, name):g}"
        for rule in rules
        for name, words in _LIMITS.items()
        if getattr(rule, name, None) is not None
    ]
    return " ".join(["whole number" if kind is int else "number", *limits])


def _unwrapped(annotation: Any, rules: list[Any]) -> tuple[Any, list[Any]]:
    """Return the type of a column without ``None``, and the rules for its values."""
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    if len(kinds) == 1 and type(None) in get_args(annotation):
        return _unwrapped(kinds[0], rules)
    if get_origin(annotation) is Annotated:
        return _unwrapped(kinds[0], [*rules, *kinds[1:]])
    return annotation, rules


def _is_date(rules: list[Any]) -> bool:
    """Tell whether a column holds dates, which its pattern shows."""
    return any(r"\d{4}-\d{2}" in (getattr(rule, "pattern", None) or "") for rule in rules)


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "|".join(value) if isinstance(value, tuple) else str(value)
