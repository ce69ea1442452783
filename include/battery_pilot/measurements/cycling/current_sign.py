"""Give the current of a log its sign, positive while the cell is charged, by what else the log tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.measurements.cycling.log import Direction, directed

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_COUNTERS = ("charging_capacity_ah", "discharging_capacity_ah")
_CLEAR = 0.6


def signed_current(
    values: dict[str, FloatArray], steps: Direction | None, source: Source, warnings: list[str]
) -> FloatArray:
    """Return the current of a log whose convention of signs is not known.

    The names of the steps decide, else the counters of charge and discharge, else the voltage: a cell's resistance
    lets it rise with charging current.

    :param values: the log by canonical name.
    :param steps: which rows are called charge and discharge, where the log has such names.
    :param source: the file, for the error message.
    :param warnings: receives a sentence about what decided, where that is a guess or changed the sign.
    :raises MeasurementError: where nothing tells.
    """
    current, voltage = values["current_ampere"], values["voltage_volt"]
    if not current.any():
        return current
    if steps is not None and (current[steps.charging | steps.discharging] != 0).any():
        return directed(current, steps, warnings)
    counted = _counted_direction(values)
    if counted is not None and (current[counted.charging | counted.discharging] != 0).any():
        return _signed_by_counters(current, counted, warnings)
    if (current < 0).any():
        return _turned_by_voltage(current, voltage, source, warnings)
    return signed_by_voltage_steps(current, voltage, source, warnings)


def _counted_direction(values: dict[str, FloatArray]) -> Direction | None:
    """Return the rows in which the counter of charge grows, and those in which the counter of discharge does."""
    if not all(name in values for name in _COUNTERS):
        return None
    grows = [np.diff(values[name], prepend=values[name][:1]) > 0 for name in _COUNTERS]
    return Direction(grows[0] & ~grows[1], grows[1] & ~grows[0])


def _signed_by_counters(current: FloatArray, counted: Direction, warnings: list[str]) -> FloatArray:
    charging, discharging = counted
    if not (current < 0).any() and (current[discharging] > 0).any():
        warnings.append("The current has no sign in the file; the counters of charge and discharge gave it.")
        return np.where(discharging, -current, current)
    agreement = np.sign(current[charging]).sum() - np.sign(current[discharging]).sum()
    if agreement >= 0:
        return current
    warnings.append(
        "The counters of charge and discharge show that the file counts discharge current as positive; "
        "the sign of the current was turned round."
    )
    return -current


def _turned_by_voltage(current: FloatArray, voltage: FloatArray, source: Source, warnings: list[str]) -> FloatArray:
    """Return a current with signs, turned round where the voltage falls when it rises."""
    # The voltage jumps with the current; a current that is as good as constant shows its direction by where it goes.
    signs = [_likeness(series, np.diff(voltage)) for series in (np.diff(current), current[1:])]
    clear = [sign for sign in signs if abs(sign) >= _CLEAR]
    likeness = sum(np.sign(clear))
    if not likeness:
        problem = (
            "whether positive current charges or discharges cannot be told: there are no step names and no counters of "
            "charge, and the voltage does not follow the current; export the log with one of them"
        )
        raise source.error("current", problem)
    convention = "charge" if likeness > 0 else "discharge"
    warnings.append(f"Positive current was taken as {convention}, because the voltage follows it so.")
    return current if likeness > 0 else -current


def _likeness(left: FloatArray, right: FloatArray) -> float:
    """Return by how much two changes have the same sign, from -1 to 1, weighted by their sizes; 0 for none at all."""
    products = left * right
    total = float(np.abs(products).sum())
    return float(products.sum()) / total if 0 < total < np.inf else 0.0


def signed_by_voltage_steps(
    current: FloatArray, voltage: FloatArray, source: Source, warnings: list[str]
) -> FloatArray:
    """Return a current without signs with that of the voltage step at the moment when it is switched on.

    A cell's voltage rises when charging begins and falls when discharging begins. A current with a sign is returned as
    it is.

    :param current: as in the file.
    :param voltage: of the cell.
    :param source: the file, for the error message.
    :param warnings: receives a sentence where the sign was given.
    :raises MeasurementError: where the voltage does not change at that moment.
    """
    flowing = current != 0
    if not flowing.any() or (current < 0).any():
        return current
    begins = flowing.copy()
    begins[1:] &= ~flowing[:-1]
    starts = np.flatnonzero(begins)
    jumps = voltage[starts] - voltage[np.maximum(starts - 1, 0)]
    if (jumps == 0).any():
        problem = (
            "the current has no sign and the file names no steps, so charge and discharge cannot be told apart; "
            "export with the column of the state or step type"
        )
        raise source.error(f"data row {starts[jumps == 0][0] + 1}", problem)
    warnings.append(
        "The file names no steps; the sign of the current was taken from the step of the voltage when it starts."
    )
    run = np.cumsum(begins) - 1
    return np.asarray(np.where(flowing, current * np.sign(jumps)[run], current))
