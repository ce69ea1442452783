"""Find the canonical columns of EC-Lab and BT-Lab logs by the headings of their text exports.

The columns of binary files carry the same headings, so that both formats take the same way from here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from battery_pilot.measurements.units import split_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_UNITS = {"second", "volt", "ampere", "ah", "wh"}
_AH_PER_COULOMB = 1 / 3600
_REST = 3
"""Value of the column ``mode`` while no voltage and no current is controlled."""

# Quantities by canonical name; of several that a file has, the first one counts.
_DIRECT = {
    "test_time_second": ("time",),
    "voltage_volt": ("Ewe", "<Ewe>", "Ecell", "<Ecell>"),
    "current_ampere": ("I", "<I>"),
    "cycle_count": ("cycle number",),
    "step_index": ("Ns",),
    "temperature_t1_celsius": ("Temperature", "T"),
    "charging_capacity_ah": ("Q charge",),
    "discharging_capacity_ah": ("Q discharge",),
    "charging_energy_wh": ("Energy charge", "Energy we charge"),
    "discharging_energy_wh": ("Energy discharge", "Energy we discharge"),
}
_COUNTER = ("Ece", "<Ece>")
_FREQUENCY = "freq/Hz"
_LONGEST_HEADING = 80
# Quantities from which a canonical column can be derived when the file does not have it.
_STAND_INS = {
    "cycle_count": ("half cycle",),
    "current_ampere": ("dq", "(Q-Qo)", "control", "mode"),
    "charging_capacity_ah": ("Q charge/discharge",),
    "discharging_capacity_ah": ("Q charge/discharge",),
}


class Quantity(NamedTuple):
    """A column of the file.

    :param position: counted from 0.
    :param factor: to the unit of the canonical column, for charge to ampere-hour.
    """

    position: int
    factor: float


class Table(Protocol):
    """The numbers of a log, column by column; see :class:`battery_pilot.measurements.delimited.DelimitedTable`."""

    def required(self, index: int, factor: float = 1.0) -> FloatArray:
        """Return a column without gaps."""
        ...

    def optional(self, index: int, name: str, factor: float = 1.0) -> FloatArray | None:
        """Return a column with NaN in its gaps, or ``None`` when it holds no numbers."""
        ...


def is_log(headings: Sequence[str]) -> bool:
    """Tell whether headings are those of an EC-Lab or BT-Lab log: time and a voltage with their units.

    :param headings: of any table.
    """
    return "time/s" in headings and not {"Ewe/V", "<Ewe>/V", "<Ewe/V>", "Ecell/V", "<Ecell>/V"}.isdisjoint(headings)


def find_quantities(headings: Sequence[str], source: Source, place: str, warnings: list[str]) -> dict[str, Quantity]:
    """Return the columns that the canonical table is made of, by canonical name or, for stand-ins, by quantity.

    :param headings: as in the file, for example ``<I>/mA``.
    :param source: the file, for the error message.
    :param place: place of the headings, for the error message.
    :param warnings: receives a sentence where the cell has a third electrode.
    :raises MeasurementError: for a log without time or voltage.
    """
    found: dict[str, Quantity] = {}
    for position, heading in enumerate(headings):
        if len(heading) <= _LONGEST_HEADING:
            name, factor = _split(heading.strip())
            found.setdefault(name, Quantity(position, factor))
    columns: dict[str, Quantity] = {}
    for name, spellings in _DIRECT.items():
        spelling = next((spelling for spelling in spellings if spelling in found), None)
        if spelling is not None:
            columns[name] = found[spelling]
            continue
        columns.update({other: found[other] for other in _STAND_INS.get(name, ()) if other in found})
    if _FREQUENCY in found:
        columns.update({name: found[name] for name in (_FREQUENCY, "dq") if name in found})
    missing = [name for name in ("test_time_second", "voltage_volt") if name not in columns]
    if missing:
        problem = f"columns are missing for {', '.join(missing)}; found {', '.join(headings)[:200]}; export them too"
        raise source.error(place, problem)
    if columns["voltage_volt"] in (found.get("Ewe"), found.get("<Ewe>")) and not found.keys().isdisjoint(_COUNTER):
        warnings.append(
            "The voltage is that of the working electrode, Ewe; that of the counter electrode was left out."
        )
    return columns


def left_out(headings: Sequence[str], columns: Mapping[str, Quantity]) -> tuple[str, ...]:
    """Return the headings of the columns that are not used.

    :param headings: as in the file.
    :param columns: the columns that are.
    """
    used = {column.position for column in columns.values()}
    return tuple(heading for position, heading in enumerate(headings) if heading and position not in used)


@lru_cache(maxsize=1024)
def _split(heading: str) -> tuple[str, float]:
    """Split a heading into quantity and the factor of its unit."""
    if heading == "(Q-Qo)/C":
        return "(Q-Qo)", _AH_PER_COULOMB
    if heading.startswith(("Temperature/", "T/")):
        return heading.partition("/")[0], 1.0  # The degree sign comes in many encodings.
    if heading.startswith("<") and heading.endswith(">"):
        heading = heading[:-1].replace("/", ">/")  # EC-Lab 11.50 writes <Ewe/V>.
    name, unit = split_unit(heading, _UNITS)
    if name == "control" and unit is not None and unit.name != "ampere":
        return heading, 1.0  # A controlled voltage.
    return name, 1.0 if unit is None else unit.factor


def cycling_columns(
    table: Table, columns: Mapping[str, Quantity], source: Source, warnings: list[str], time: FloatArray | None = None
) -> dict[str, FloatArray]:
    """Return the canonical columns of a log.

    :param table: its numbers.
    :param columns: result of :func:`find_quantities`.
    :param source: the file, for the error message.
    :param warnings: receives a sentence about each column that was derived.
    :param time: test time in second, where the table's own time column is no number.
    :raises MeasurementError: when a cell is no number, or nothing tells the current.
    """
    seconds = table.required(*columns["test_time_second"]) if time is None else time
    values = {"test_time_second": seconds, "voltage_volt": table.required(*columns["voltage_volt"])}
    if "current_ampere" in columns:
        values["current_ampere"] = table.required(*columns["current_ampere"])
    else:
        values["current_ampere"] = _derived_current(table, columns, seconds, source, warnings)
    if _FREQUENCY in columns:
        values["current_ampere"] = _without_alternation(table, columns, seconds, values["current_ampere"], warnings)
    for name, column in columns.items():
        if name in _DIRECT and name not in values:
            found = table.optional(column.position, name, column.factor)
            if found is not None:
                values[name] = found
    values.update(_from_half_cycles(table, columns, warnings))
    return values


def _from_half_cycles(table: Table, columns: Mapping[str, Quantity], warnings: list[str]) -> dict[str, FloatArray]:
    """Return cycle numbers and both capacities from what EC-Lab counts by half cycle."""
    values: dict[str, FloatArray] = {}
    if "half cycle" in columns:
        half_cycle = table.optional(columns["half cycle"].position, "cycle_count")
        if half_cycle is not None:
            values["cycle_count"] = np.floor(half_cycle / 2)
            warnings.append("cycle_count was counted from the half cycles, two to a cycle, as EC-Lab does it.")
    if "Q charge/discharge" in columns:
        position, factor = columns["Q charge/discharge"]
        charge = table.optional(position, "charging_capacity_ah", factor)
        for name, sign in (("charging_capacity_ah", 1.0), ("discharging_capacity_ah", -1.0)):
            if charge is not None and name not in columns:
                values[name] = np.maximum(sign * charge, 0.0)
    return values


def _derived_current(
    table: Table, columns: Mapping[str, Quantity], seconds: FloatArray, source: Source, warnings: list[str]
) -> FloatArray:
    """Return the current in ampere of a log without a column for it."""
    for name, heading in (("dq", "dq"), ("(Q-Qo)", "Q-Qo")):
        if name in columns:
            charge = table.required(*columns[name])
            steps = charge if name == "dq" else np.diff(charge, prepend=charge[:1])
            warnings.append(
                f"The file has no current; its mean from row to row was derived from the charge {heading}."
            )
            return _current_of(steps, seconds, warnings)
    if "mode" in columns and (table.required(columns["mode"].position) == _REST).all():
        warnings.append("The file has no current; all its rows are at rest (open circuit), so it was taken as 0 A.")
        return np.zeros(len(seconds))
    if "control" in columns:
        warnings.append("The file has no measured current; the controlled current was taken.")
        return table.required(*columns["control"])
    problem = "no column tells the current (expected I/mA, <I>/mA, dq/mA.h or (Q-Qo)/mA.h); export one of them too"
    raise source.error("headings", problem)


def _without_alternation(
    table: Table,
    columns: Mapping[str, Quantity],
    seconds: FloatArray,
    current: FloatArray,
    warnings: list[str],
) -> FloatArray:
    """Return the current with its mean in place of an alternating one, where the file has the charge to tell it.

    Modulo Bat can measure impedance between the rows of a log; the current of such a row is one of its alternation.
    """
    frequency = table.optional(columns[_FREQUENCY].position, "frequency_hertz")
    alternates = np.zeros(len(current), dtype=bool) if frequency is None else frequency > 0
    if not alternates.any():
        return current
    sentence = f"{np.count_nonzero(alternates)} rows of impedance in the log were read as rows of the log"
    if "dq" not in columns:
        warnings.append(f"{sentence}; their current alternates.")
        return current
    warnings.append(f"{sentence}, with the mean current that their charge dq tells.")
    return np.where(alternates, _current_of(table.required(*columns["dq"]), seconds, []), current)


def _current_of(charge_ah: FloatArray, seconds: FloatArray, warnings: list[str]) -> FloatArray:
    """Return the mean current since the row before, which is how EC-Lab computes its column ``<I>``."""
    elapsed = np.diff(seconds, prepend=seconds[:1])
    flowing = elapsed > 0
    lost = np.count_nonzero(charge_ah[~flowing][1:])
    if lost:
        warnings.append(f"{lost} rows with charge but without time since the row before were given no current.")
    current = np.zeros(len(seconds))
    np.divide(charge_ah * 3600.0, elapsed, out=current, where=flowing)
    return current
