"""Pieces of Spark SQL that the statements of this package share."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping


def view_name(name: str) -> str:
    """Return the name of a view, or refuse what could be more than a name.

    :raises InputError: the name is not a (qualified) SQL identifier.
    """
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name) is None:
        raise InputError(f"view {name!r}: expected letters, digits and underscores, as in catalog.schema.view")
    return name


def add(source: str, columns: Mapping[str, str]) -> str:
    """Select everything from ``source`` and more columns; a later one may use an earlier one."""
    return select(source, {"*": "*", **columns})


def select(source: str, columns: Mapping[str, str]) -> str:
    """Select columns, name to expression; a later one may use an earlier one."""
    listed = ",\n  ".join(
        name if expression == name else f"{expression} AS {name}" for name, expression in columns.items()
    )
    return f"SELECT {listed}\nFROM {source}"  # noqa: S608 - callers check the names that come from outside


def real(value: float) -> str:
    """Write a DOUBLE literal; Spark reads a bare ``0.02`` as a decimal."""
    return f"{float(value)!r}D"


def clean(column: str) -> str:
    """Cast to DOUBLE and make not-a-number null: Spark sorts it above every number, numpy compares it with none."""
    return f"nullif(CAST({column} AS DOUBLE), double('NaN'))"


def holds(condition: str) -> str:
    """Take an unknown condition for false."""
    return f"coalesce({condition}, false)"
