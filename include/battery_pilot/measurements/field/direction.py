"""Tell whether a log counts charging or discharging current as positive, from the data themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_CLEAR = 0.6
_FEWEST_ROWS = 10
_SMALLEST_CHANGE_PERCENT = 0.5


def charge_sign(
    source: Source,
    time_second: FloatArray,
    current: FloatArray,
    voltage: FloatArray,
    charge_percent: FloatArray | None,
) -> tuple[float, str]:
    """Return the factor that makes charging current positive, and the sentence that tells why.

    Where the state of charge changes, it must follow the integral of the current. Else the voltage decides: a battery's
    resistance lets it rise with charging current from one row to the next.

    :param source: the log, for the error message.
    :param time_second: one a row.
    :param current: as the log counts it.
    :param voltage: of the whole battery.
    :param charge_percent: state of charge, missing as NaN; ``None`` where the log has none.
    :returns: 1 or -1.
    :raises MeasurementError: where neither is clear.
    """
    if charge_percent is not None:
        known = np.isfinite(charge_percent)
        level = charge_percent[known]
        charge = np.concatenate(([0.0], np.cumsum((current[1:] + current[:-1]) / 2 * np.diff(time_second))))[known]
        if len(level) and np.ptp(level) >= _SMALLEST_CHANGE_PERCENT:
            likeness = _correlation(charge, level)
            if abs(likeness) >= _CLEAR:
                return _told(likeness, "the state of charge follows it")
    likeness = _correlation(np.diff(current), np.diff(voltage))
    if abs(likeness) >= _CLEAR:
        return _told(likeness, "the voltage follows it")
    problem = (
        "whether positive current charges or discharges cannot be told from the data; say it in a mapping file "
        'battery-pilot-columns.toml, [current] positive = "charge" or "discharge"'
    )
    raise source.error("current", problem)


def _told(likeness: float, reason: str) -> tuple[float, str]:
    positive = "charge" if likeness > 0 else "discharge"
    return float(np.sign(likeness)), f"Positive current was taken as {positive}, because {reason}."


def _correlation(left: FloatArray, right: FloatArray) -> float:
    """Return Pearson's coefficient, or 0 where one side does not change or is too short."""
    if len(left) < _FEWEST_ROWS:
        return 0.0
    left, right = left - left.mean(), right - right.mean()
    size = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / size if 0 < size < np.inf else 0.0
