"""Find the canonical columns of a log among the headings of a table."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from battery_pilot.measurements.text import shown, to_float
from battery_pilot.measurements.units import split_unit, unit_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from battery_pilot.measurements.source import Source

_UNITS = {"second", "volt", "ampere", "ah", "wh", "watt", "ohm", "celsius", "percent"}
_LOG_QUANTITIES = {"volt", "ampere"}
_IGNORED = str.maketrans("", "", " _.#-")


class Column(NamedTuple):
    """A column of the file.

    :param position: counted from 0.
    :param factor: to the unit in the canonical name.
    :param has_unit: whether the heading states its unit.
    """

    position: int
    factor: float
    has_unit: bool


@lru_cache(maxsize=4096)
def plain(heading: str) -> str:
    """Return a heading's quantity in small letters without unit, blanks, underscores, dots, hyphens and number signs.

    :param heading: for example ``Charge_Capacity(Ah)``, which gives ``chargecapacity``.
    """
    return split_unit(heading, _UNITS)[0].lower().translate(_IGNORED)


def find_columns(headings: Sequence[str], names: Mapping[str, str], source: Source, place: str) -> dict[str, Column]:
    """Return the columns of a table by their canonical names.

    :param headings: as in the file.
    :param names: result of :func:`plain` to canonical name; of several spellings of one name the first in this order wins.
    :param source: the file, for the error message.
    :param place: place of the headings, for the error message.
    :raises MeasurementError: for a heading whose unit is not one of its quantity.
    """
    by_plain: dict[str, int] = {}
    for position, heading in enumerate(headings):
        by_plain.setdefault(plain(heading), position)
    found: dict[str, Column] = {}
    for spelling, name in names.items():
        if spelling not in by_plain or name in found:
            continue
        position = by_plain[spelling]
        unit = split_unit(headings[position], _UNITS)[1]
        if unit is not None and not name.endswith(f"_{unit.name}"):
            problem = f"the unit of {shown(headings[position])} is not one of {name}; correct the heading"
            raise source.error(place, problem)
        found[name] = Column(position, 1.0 if unit is None else unit.factor, unit is not None)
    return found


def with_units_below(headings: Sequence[str], row: Sequence[str]) -> list[str] | None:
    """Return headings with the units of the row below them, or ``None`` where that is no row of units.

    :param headings: as in the file.
    :param row: cells of the next row, for example ``[h:m:s]``, ``[V]`` and ``[mA]``.
    """
    units = [cell.strip("()[]{}/ ") for cell in row]
    if len(units) < len(_LOG_QUANTITIES) or any(to_float(unit, decimal_comma=True) is not None for unit in units):
        return None
    known = [unit_of(unit) if unit else None for unit in units]
    if not {unit.name for unit in known if unit is not None} >= _LOG_QUANTITIES:
        return None
    return [
        f"{heading} ({unit})" if stated is not None and split_unit(heading, _UNITS)[1] is None else heading
        for heading, unit, stated in itertools.zip_longest(headings, units, known, fillvalue=None)
        if heading is not None
    ]


def demand(
    found: Collection[str], required: Iterable[str], headings: Sequence[str], source: Source, place: str
) -> None:
    """Refuse a table without the columns that every log needs.

    :param found: canonical names of the columns that are there.
    :param required: canonical names of the columns that must be.
    :param headings: as in the file, for the message.
    :raises MeasurementError: naming what is missing.
    """
    missing = [name for name in required if name not in found]
    if missing:
        problem = f"columns are missing for {', '.join(missing)}; found {shown(', '.join(headings))}"
        raise source.error(place, problem)


def left_out(headings: Sequence[str], wanted: Collection[int]) -> tuple[str, ...]:
    """Return the headings of the columns that are not read.

    :param headings: all of the table.
    :param wanted: positions of the columns that are read.
    """
    return tuple(heading for position, heading in enumerate(headings) if heading and position not in wanted)
