"""Which measured values can be true: those that cannot stay out of the passport, with the reason."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from battery_pilot.passport.consistency import contradictions
from battery_pilot.passport.lexical import utc_text
from battery_pilot.passport.mapping import Row, parts

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.condition import Condition
    from battery_pilot.passport.lexical import Value
    from battery_pilot.passport.model import BatteryModel


def plausible(condition: Condition, model: BatteryModel) -> Condition:
    """Move the values that cannot be true from the values to the absent ones.

    That are values outside of their row's range, and values that contradict others, such as a remaining capacity above
    1.2 times the rated one, or a capacity fade that does not follow from the two.

    :param condition: the measured values.
    :param model: the rated values.
    """
    faults = _out_of_range(condition) or _contradicted(condition, model)
    while faults:
        values = {metric: value for metric, value in condition.values.items() if metric not in faults}
        condition = condition.model_copy(update={"values": values, "absent": {**condition.absent, **faults}})
        faults = _contradicted(condition, model)
    return condition


def _out_of_range(condition: Condition) -> dict[str, str]:
    faults: dict[str, str] = {}
    for row, metric, fact in _condition_rows():
        measured = condition.values.get(metric)
        fault = row.fault(measured.value) if measured and not fact else None
        if fault:
            faults.setdefault(metric, fault)
    return faults


def _contradicted(condition: Condition, model: BatteryModel) -> dict[str, str]:
    values: dict[str, Value] = {}
    metrics: dict[str, str] = {}
    for row, metric, fact in _condition_rows():
        measured = condition.values.get(metric)
        if measured and not fact:
            values[row.path] = measured.value
            metrics[row.path] = metric
        elif measured:
            values[row.path] = utc_text(measured.as_of)
    for row in _model_rows():
        rated = getattr(model, row.source.removeprefix("model."))
        if rated is not None:
            values[row.path] = rated
    return {
        metrics[finding.path]: finding.message
        for finding in contradictions(values)
        if finding.severity == "error" and finding.path in metrics
    }


@cache
def _condition_rows() -> tuple[tuple[Row, str, str], ...]:
    """Return the rows of measured values and of their times, each with the metric and with what of it, empty for the value."""
    split = ((row, *row.source.removeprefix("condition.").partition(".")) for row in _rows("condition."))
    return tuple((row, metric, fact) for row, metric, _, fact in split if fact in {"", "as_of"})


@cache
def _model_rows() -> tuple[Row, ...]:
    """Return the rows of rated numbers."""
    return tuple(row for row in _rows("model.") if row.value_type in {"xs:float", "xs:double", "xs:decimal"})


def _rows(source: str) -> tuple[Row, ...]:
    return tuple(row for part in parts() for row in part.rows if row.source.startswith(source))
