"""What the readers of cycler logs share: columns, clock times, times that start anew, the direction of a current."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.row_times import clock_seconds
from battery_pilot.measurements.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NoReturn

    from battery_pilot.measurements.columns import Column
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import BoolArray, FloatArray


STEP_COUNTERS = ("step_capacity_ah", "step_energy_wh")
"""Counters of the step, without a direction, on their way to those of charge and discharge."""


class Table(Protocol):
    """What a table of text and a sheet have in common."""

    def text(self, index: int) -> pa.ChunkedArray:
        """Return a column as text without surrounding blanks."""
        ...

    def required(self, index: int, factor: float = 1.0) -> FloatArray:
        """Return a column of numbers without gaps."""
        ...

    def optional(self, index: int, name: str, factor: float = 1.0) -> FloatArray | None:
        """Return a column of numbers with NaN in its gaps, or ``None`` when it holds other text."""
        ...

    def refuse(self, row: int, problem: str) -> NoReturn:
        """Refuse the file for what is in a row."""
        ...


class Direction(NamedTuple):
    """Rows whose step is called a charge, and rows whose step is called a discharge."""

    charging: BoolArray
    discharging: BoolArray


def values_of(table: Table, columns: Mapping[str, Column]) -> dict[str, FloatArray]:
    """Return the numbers of a log by canonical name; the required columns without gaps.

    :param table: the table.
    :param columns: canonical name to column.
    :raises MeasurementError: for a gap in time, voltage or current.
    """
    values = {}
    for name, column in columns.items():
        if name in CYCLING_COLUMNS:
            values[name] = table.required(column.position, column.factor)
        else:
            found = table.optional(column.position, name, column.factor)
            if found is not None:
                values[name] = found
    return values


def seconds(table: Table, column: Column, heading: str, warnings: list[str]) -> FloatArray:
    """Return a column of times in second: numbers, or clock times such as ``26:03:10.5`` and ``1d 02:03:10.5``.

    :param table: the table.
    :param column: its column.
    :param heading: its heading, for messages.
    :param warnings: receives a sentence where numbers state no unit.
    :raises MeasurementError: naming the line of the first cell that is neither.
    """
    if column.has_unit:
        return table.required(column.position, column.factor)
    texts = table.text(column.position)
    if ":" not in (texts[0].as_py() or ""):
        warnings.append(f"{shown(heading)} states no unit and was taken as seconds.")
        return table.required(column.position)
    total = clock_seconds(texts.combine_chunks())
    broken = np.flatnonzero(np.isnan(total))
    if len(broken):
        found = shown(texts[int(broken[0])].as_py() or "")
        table.refuse(int(broken[0]), f"{heading}: expected a time such as 1:02:03.5, found {found}")
    return total


def step_begins(step_time_second: FloatArray, step: FloatArray | None = None) -> BoolArray:
    """Return at which rows a step begins: where its number changes or its time runs backwards.

    Times that never run backwards are those of the test already; then no row is marked.

    :param step_time_second: time within the step.
    :param step: number of the step; ``None`` where only the times tell.
    """
    begins: BoolArray = np.r_[False, step_time_second[1:] < step_time_second[:-1]]
    if step is not None and begins.any():
        begins[1:] |= step[1:] != step[:-1]
    return begins


def running_time(time_second: FloatArray, begins: BoolArray) -> FloatArray:
    """Return the time since the beginning of a test from times that start anew.

    Pauses between the parts are not in such times.

    :param time_second: time since the beginning of the part.
    :param begins: rows at which a part begins, for example those of :func:`step_begins`.
    """
    elapsed = np.zeros(len(time_second))
    elapsed[1:] = np.cumsum(np.where(begins[1:], time_second[:-1], 0.0))
    return elapsed + time_second


def direction(names: pa.ChunkedArray, charge: tuple[str, ...], discharge: tuple[str, ...]) -> Direction:
    """Return which rows charge and which discharge by the names of their steps.

    :param names: name of the step in each row; capitals do not count.
    :param charge: words in small letters, one of which is part of each name of a charge; a single letter is the name.
    :param discharge: the same for a discharge; a name with both is a discharge, as ``discharge`` holds ``charge``.
    """

    def has_one(name: str, words: tuple[str, ...]) -> bool:
        return any(name == word if len(word) == 1 else word in name for word in words)

    codes = (names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names).dictionary_encode()
    found = [(name or "").lower() for name in codes.dictionary.to_pylist()]
    discharges = np.array([has_one(name, discharge) for name in found] + [False])
    charges = np.array([has_one(name, charge) for name in found] + [False]) & ~discharges
    index = codes.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    return Direction(charges[index], discharges[index])


def directed(current: FloatArray, rows: Direction, warnings: list[str]) -> FloatArray:
    """Return a current that is positive while the cell is charged, with the help of the names of the steps.

    :param current: as in the file, with or without a sign.
    :param rows: which rows charge and which discharge.
    :param warnings: receives a sentence where the sign was changed.
    """
    charging, discharging = rows
    wrong = np.count_nonzero(current[discharging] > 0) + np.count_nonzero(current[charging] < 0)
    right = np.count_nonzero(current[discharging] < 0) + np.count_nonzero(current[charging] > 0)
    if not (current < 0).any():
        if not (current[discharging] > 0).any():
            return current
        warnings.append("The current has no sign in the file; the names of the steps gave it.")
        return np.where(discharging, -current, current)
    if wrong <= right:
        return current
    warnings.append(
        "The names of the steps show that the file counts discharge current as positive; "
        "the sign of the current was turned round."
    )
    return -current


def counters_by_direction(values: Mapping[str, FloatArray], rows: Direction) -> dict[str, FloatArray]:
    """Return the counters of charge and discharge from those of the step, which have no direction.

    :param values: columns of the log; of interest are :data:`STEP_COUNTERS`.
    :param rows: which rows charge and which discharge; the counter of the other direction is missing there.
    """
    return {
        name.replace("step", word): np.where(mask, np.abs(values[name]), np.nan)
        for name in STEP_COUNTERS
        if name in values
        for word, mask in (("charging", rows.charging), ("discharging", rows.discharging))
    }


def one_test(texts: pa.ChunkedArray, what: str, source: Source) -> str:
    """Return the one value of a column that names the cell, the channel or the test; empty where it is empty.

    :param texts: the column.
    :param what: what it names, for the message.
    :param source: the file, for the message.
    :raises MeasurementError: for a file with several, as a measurement is of one cell.
    """
    names = [name for name in pc.unique(texts).to_pylist() if name]
    if len(names) > 1:
        found = ", ".join(shown(name) for name in names[:5])
        problem = f"one {what} in a file expected, found {len(names)}: {found}; export each to a file of its own"
        raise source.error(f"column {what}", problem)
    return names[0] if names else ""
