"""Tables of batteries as feature matrices: what the columns of a table mean and which views of them a model may see.

Accepted columns:

- ``battery_id``: a text or a number; batteries, not rows, are split.
- The target: a number.
- Impedance, one pair of columns for each frequency: names that differ only in ``real``/``imag`` (also ``re``/``im``,
  ``zreal``/``zimag``), for example ``1000_real`` and ``1000_imag`` or ``ZReal_2e+04Hz`` and ``ZImag_2e+04Hz``; or one
  text column for each frequency with complex numbers such as ``0.021-0.003j``; or columns of lists of one length
  (a spectrum in each row), real and imaginary, paired by the same rule. A table with one row a frequency is widened
  first, see :func:`battery_pilot.learning.long_table.widened`.
- ``as_of``, ``time``, ``timestamp``, ``date``, ``cycle``, ``cycle_index``, ``cycle_number``, ``cycle_count``, ``day`` or
  ``days``: the order of a battery's rows. A number among them is a feature too; a date is none.
- Every other number is a feature, also one written with its unit (``50 %``, ``25 degC``) if that is the same in all rows.
- Any other text with at most twelve different values is a category: one feature of 0 and 1 for each, called
  ``chemistry=LFP``. Other texts are left out with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from battery_pilot.errors import InputError
from battery_pilot.learning.long_table import PART, widened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from battery_pilot.learning.regression import Array

BATTERY = "battery_id"

ORDER_COLUMNS = (
    "as_of",
    "time",
    "timestamp",
    "date",
    "cycle",
    "cycle_index",
    "cycle_number",
    "cycle_count",
    "day",
    "days",
)
"""Names of the column that orders a battery's rows; the first that is there counts."""

MOST_CATEGORIES = 12
"""A text with more different values is a name or a remark."""

_QUANTITY = re.compile(r"\s*([-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?)\s*([^\d\s.,][^\d]*?)?\s*")


@dataclass(frozen=True)
class FeatureTable:
    """Numbers of one table, row by row.

    :param battery: id of each row's battery.
    :param target: one finite value for each row.
    :param order: ascending within a battery's life; ``None`` where the table has no such column.
    :param plain: name to values of the features that are no impedance; NaN is a missing value.
    :param impedance: name (the columns' without the part) to complex values, ohm or any one unit.
    :param warnings: what was left out and why.
    """

    battery: NDArray[np.str_]
    target: Array
    order: Array | None
    plain: dict[str, Array]
    impedance: dict[str, NDArray[np.complex128]]
    warnings: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every feature, impedance first."""
        return (*self.impedance, *self.plain)


def read_table(path: Path, target: str, exclude: Collection[str] = ()) -> FeatureTable:
    """Read a table with features.

    :param path: ``.parquet`` or ``.csv``; columns as told in this module's description.
    :param target: column to predict.
    :param exclude: columns that are no features.
    :raises InputError: if the file cannot be read, or the battery, the target or every feature is missing.
    """
    table = _load(path)
    for column in (BATTERY, target, *exclude):
        if column not in table:
            raise InputError(f"{path}: no column {column!r}; found {_listed(table.columns)}")
    table, notes = widened(table, BATTERY, [name for name in ORDER_COLUMNS if name not in (target, *exclude)])
    if target not in table:
        raise InputError(f"{path}: {target} differs within a spectrum of a long table; expected one value a spectrum")
    value = pd.to_numeric(table[target], errors="coerce").to_numpy(float)
    usable = np.isfinite(value) & table[BATTERY].notna().to_numpy()
    warnings = [f"{path}: {note}" for note in notes]
    if dropped := int((~usable).sum()):
        warnings.append(f"{path}: {dropped} of {len(table)} rows left out: no {BATTERY} or no finite {target}")
    if not usable.any():
        raise InputError(f"{path}: no row has a {BATTERY} and a finite {target}; nothing to learn or to test")
    table = table[usable].reset_index(drop=True)
    order_column = next((name for name in ORDER_COLUMNS if name in table and name not in (target, *exclude)), None)
    inputs = table.drop(columns=[BATTERY, target, *exclude], errors="ignore")
    numbers, ignored = _numbers(inputs)
    if ignored:
        warnings.append(f"{path}: columns left out, neither numbers nor complex numbers: {_listed(ignored)}")
    impedance = _paired(numbers)
    if not numbers and not impedance:
        raise InputError(f"{path}: no feature columns; found {_listed(table.columns)}")
    return FeatureTable(
        table[BATTERY].astype(str).to_numpy(dtype=str),
        value[usable],
        None if order_column is None else _order(table[order_column]),
        {name: values.astype(float) for name, values in numbers.items()},
        impedance,
        tuple(warnings),
    )


def views(table: FeatureTable, names: Collection[str], positive: Collection[str] = ()) -> dict[str, Array]:
    """Return the feature matrices that candidates may see.

    ``cartesian`` holds real and imaginary parts, ``polar`` the logarithm of the modulus and the phase, ``since first``
    (with an order) the polar values and their change since the battery's first row: nothing later than the row itself.

    :param table: numbers.
    :param names: features to use: those that training and test have in common.
    :param positive: plain features that enter the views other than ``cartesian`` as logarithms: those above 0 in all
        training rows. A value that is not above 0 becomes a missing one.
    """
    impedance = [table.impedance[name] for name in names if name in table.impedance]
    plain = {name: table.plain[name] for name in names if name in table.plain}
    scaled = [_logarithm(values) if name in positive else values for name, values in plain.items()]
    polar = _columns([*(_logarithm(np.abs(one)) for one in impedance), *map(_phase, impedance), *scaled])
    found = {
        "cartesian": _columns([*(one.real for one in impedance), *(one.imag for one in impedance), *plain.values()]),
        "polar": polar,
    }
    if table.order is not None:
        found["since first"] = np.hstack([polar, polar - polar[first_rows(table.battery, table.order)]])
    return found


def first_rows(battery: NDArray[np.str_], order: Array) -> NDArray[np.intp]:
    """Return for each row the index of its battery's first row."""
    rows = pd.Series(np.arange(len(battery)))
    in_order = rows.iloc[np.argsort(order, kind="stable")]
    first = in_order.groupby(battery[in_order.to_numpy()]).first()
    return np.asarray(first.loc[battery.tolist()], dtype=np.intp)


def thinned(table: FeatureTable, most_rows: int) -> FeatureTable:
    """Return a table with at most about so many rows: every k-th of each battery's, in order, and every battery.

    :param table: rows of batteries.
    :param most_rows: a smaller table stays as it is.
    """
    step = -(-len(table.target) // most_rows)
    if step <= 1:
        return table
    order = np.zeros(len(table.target)) if table.order is None else table.order
    in_order = np.lexsort((order, table.battery))
    names = table.battery[in_order]
    starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]])
    place = np.arange(len(names)) - np.repeat(starts, np.diff(np.r_[starts, len(names)]))
    return rows_of(table, np.sort(in_order[place % step == 0]))


def rows_of(table: FeatureTable, rows: NDArray[np.intp]) -> FeatureTable:
    """Return the given rows of a table."""
    return FeatureTable(
        table.battery[rows],
        table.target[rows],
        None if table.order is None else table.order[rows],
        {name: values[rows] for name, values in table.plain.items()},
        {name: values[rows] for name, values in table.impedance.items()},
        table.warnings,
    )


def above_zero(table: FeatureTable) -> frozenset[str]:
    """Return the plain features of which every present value is above 0."""
    return frozenset(
        name
        for name, values in table.plain.items()
        if np.isfinite(values).any() and (values[np.isfinite(values)] > 0).all()
    )


def _load(path: Path) -> pd.DataFrame:
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(f"{path}: expected a .parquet or .csv file")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except (ValueError, pd.errors.ParserError) as error:  # pyarrow's errors are ValueErrors
        raise InputError(f"{path}: cannot be read as {path.suffix[1:]}: {error}") from error
    if repeated := sorted(table.columns[table.columns.duplicated()]):
        raise InputError(f"{path}: two columns are called {_listed(repeated)}")
    return table.rename(columns=str)


def _numbers(table: pd.DataFrame) -> tuple[dict[str, NDArray[np.generic]], list[str]]:
    """Return the real and complex columns and the names of the others; lists become one column for each place."""
    found: dict[str, NDArray[np.generic]] = {}
    ignored = []
    for name in table:
        column = table[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            column = column.astype(column.cat.categories.dtype)
        elif column.dtype == object and all(isinstance(one, Real | Decimal) for one in column[column.notna()]):
            column = pd.to_numeric(column)
        if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
            values = column.to_numpy(complex if pd.api.types.is_complex_dtype(column) else float, na_value=np.nan)
            found[str(name)] = _finite(values)
        elif (spread := _spread(column)) is not None:
            found |= {f"{name}[{place}]": _finite(values) for place, values in enumerate(spread.T)}
        elif (parsed := _complex(column)) is not None:
            found[str(name)] = _finite(parsed)
        elif (quantities := _quantities(column)) is not None:
            found[str(name)] = _finite(quantities)
        elif name not in ORDER_COLUMNS:
            categories = _categories(column)
            found |= {f"{name}={category}": values for category, values in categories.items()}
            ignored += [] if categories else [str(name)]
    return found, ignored


def _finite(values: NDArray[np.generic]) -> NDArray[np.generic]:
    return np.where(np.isfinite(values.astype(complex)), values, np.nan)


def _spread(column: pd.Series[Any]) -> Array | None:
    """Return a column of equally long lists of numbers as a matrix."""
    given = column[column.notna()]
    if given.empty or not all(isinstance(one, (list, tuple, np.ndarray)) for one in given):
        return None
    if len({len(one) for one in given}) != 1:
        return None
    matrix = np.full((len(column), len(given.iloc[0])), np.nan)
    try:
        matrix[column.notna().to_numpy()] = np.array(given.tolist(), dtype=float)
    except (TypeError, ValueError):
        return None
    return matrix


def _complex(column: pd.Series[Any]) -> NDArray[np.complex128] | None:
    """Return a column of texts such as ``(0.02-0.003j)`` as complex numbers, or ``None`` if a text is none."""
    values = np.full(len(column), np.nan, dtype=complex)
    for row, text in enumerate(column):
        if not isinstance(text, (str, complex)):
            if pd.isna(text):
                continue
            return None
        try:
            values[row] = complex(str(text).replace(" ", "").replace("i", "j").strip("()"))
        except ValueError:
            return None
    if np.isnan(values).all():
        return None
    return values if (values[~np.isnan(values)].imag != 0).any() else None


def _quantities(column: pd.Series[Any]) -> Array | None:
    """Return a column of texts such as ``50 %`` as numbers, or ``None`` if a text is none or the units differ."""
    values, units = np.full(len(column), np.nan), set()
    for row, text in enumerate(column):
        if pd.api.types.is_scalar(text) and pd.isna(text):
            continue
        match = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            return None
        values[row] = float(match[1])
        units.add(match[2])
    return values if len(units) == 1 else None


def _categories(column: pd.Series[Any]) -> dict[str, Array]:
    """Return 0 or 1 for every row and category; a missing value is in none. Nothing where the texts are no categories."""
    given = column[column.notna()]
    if not all(isinstance(one, str) for one in given):
        return {}
    names = sorted(set(given))
    if not 1 <= len(names) <= MOST_CATEGORIES:
        return {}
    return {name: (column == name).to_numpy(float) for name in names}


def _paired(numbers: dict[str, NDArray[np.generic]]) -> dict[str, NDArray[np.complex128]]:
    """Take complex columns and pairs of real and imaginary columns out of the numbers and return them."""
    impedance = {name: numbers.pop(name).astype(complex) for name in list(numbers) if np.iscomplexobj(numbers[name])}
    parts: dict[str, dict[str, str]] = {}
    for name in numbers:
        if match := PART.search(name):
            rest = (name[: match.start()] + name[match.end() :]).strip("_ .-")
            parts.setdefault(rest or "impedance", {})[match[1][:1].lower()] = name
    for rest, pair in parts.items():
        if len(pair) == 2:  # noqa: PLR2004 -- both parts
            real, imaginary = (numbers.pop(pair[part]).astype(float) for part in "ri")
            impedance[rest if rest not in numbers else f"Z({rest})"] = real + 1j * imaginary
    return impedance


def _order(column: pd.Series[Any]) -> Array:
    """Return numbers that ascend with the column; a missing one comes last."""
    if pd.api.types.is_numeric_dtype(column):
        return column.to_numpy(float, na_value=np.inf)
    times = pd.to_datetime(column, errors="coerce", utc=True)
    return np.where(times.isna(), np.inf, times.astype("int64").to_numpy(float))


def _logarithm(values: Array) -> Array:
    return np.log10(np.where(values > 0, values, np.nan))


def _phase(impedance: NDArray[np.complex128]) -> Array:
    return np.where(np.isnan(impedance), np.nan, np.angle(impedance))


def _columns(columns: list[Array]) -> Array:
    return np.column_stack(columns)


def _listed(names: Collection[object]) -> str:
    shown = [repr(str(name)) for name in list(names)[:12]]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")
