"""Errors, prediction intervals and predictions as Spark SQL over check-ups with a predicted rate.

The tables here come from :func:`battery_pilot.learning.features.next_checkup_sql` and carry the model's ``prediction``:
the expected change of the state of health in percentage points per 30 days.
"""

from __future__ import annotations

# The queries are made of this package's constants, numbers and the jobs' table names; no outer text gets into them.
# ruff: noqa: S608
import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

INTERVAL_PROBABILITY = 0.9
"""Share of the truths that a prediction interval is meant to cover."""

METRIC = "state_of_health_percent"
"""The metric that is predicted: remaining / rated capacity * 100."""


class Interval(BaseModel):
    """Offsets of the prediction interval from the predicted state of health, in percentage points.

    They hold for a look ahead up to ``reference_days``; beyond, they grow in proportion to the time, as the error of a
    rate does.

    :param lower_offset: 5 % end, not above 0.
    :param upper_offset: 95 % end, not below 0.
    :param reference_days: median time between check-ups in the training set.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lower_offset: Annotated[float, Field(le=0)]
    upper_offset: Annotated[float, Field(ge=0)]
    reference_days: Annotated[float, Field(gt=0)]


def quantile_levels(residuals: int) -> tuple[float, float]:
    """Return the two levels at which so many residuals bound 90 % of the errors to come.

    Ranks are those of split conformal prediction (Vovk et al. 2005): ``(n + 1) * 0.05`` rounded down and
    ``(n + 1) * 0.95`` rounded up, cut at the smallest and the largest residual. With less than 19 residuals the interval
    is therefore their whole range. Residuals of one battery depend on each other, so the coverage is approximate.

    :param residuals: how many there are; at least 1.
    :return: lower and upper level, fractions between 0 and 1 in the middle of the rank's step.
    """
    tail = (1 - INTERVAL_PROBABILITY) / 2
    # Rounding first: (n + 1) * 0.05 is a whole number for n = 19, which floating point misses by a hair.
    lower_rank = max(1, math.floor(round((residuals + 1) * tail, 9)))
    upper_rank = residuals + 1 - lower_rank
    return (lower_rank - 0.5) / residuals, (upper_rank - 0.5) / residuals


def cross_validation_sql(predicted: str, reference_days: float, pairs: int) -> str:
    """Return the query for the mean absolute error and the residuals' quantiles of every ridge.

    One row for each ``ridge``: ``mae`` (percentage points) and ``offsets`` (lower, upper; for ``reference_days``).

    :param predicted: table of held-out predictions with a column ``ridge``.
    :param reference_days: median time between check-ups.
    :param pairs: rows of each ridge.
    """
    lower, upper = quantile_levels(pairs)
    return f"""
SELECT ridge,
  avg(abs({_ERROR})) AS mae,
  percentile_approx(({_ERROR}) / ({_scale(reference_days, "days_to_next")}), array({lower}D, {upper}D)) AS offsets
FROM {predicted}
GROUP BY ridge"""


def evaluation_sql(predicted: str, interval: Interval) -> str:
    """Return the query for one row: how far predictions were from the next check-up.

    ``count``, ``mae`` and ``baseline_mae`` (percentage points; the baseline says that nothing changes) and
    ``interval_coverage`` (share of truths inside the interval). Rows without a next check-up do not count; without any
    row the errors are null.

    :param predicted: table with predictions.
    :param interval: the model's interval.
    """
    scale = _scale(interval.reference_days, "days_to_next")
    inside = f"{_ERROR} BETWEEN {interval.lower_offset}D * {scale} AND {interval.upper_offset}D * {scale}"
    return f"""
SELECT count({_ERROR}) AS count,
  avg(abs({_ERROR})) AS mae,
  avg(abs(next_state_of_health_percent - state_of_health_percent)) AS baseline_mae,
  avg(CAST({inside} AS DOUBLE)) AS interval_coverage
FROM {predicted}"""


def predictions_sql(predicted: str, interval: Interval, horizon_days: float, model_version: str) -> str:
    """Return the query for the predictions of the batteries' newest check-ups, ordered by battery.

    Columns: ``battery_id``, ``metric``, ``value``, ``lower``, ``upper`` (percent, not below 0), ``for_time``,
    ``model_version``, ``trained_on``.

    :param predicted: table with predictions and the column ``trained_on``.
    :param interval: the model's interval.
    :param horizon_days: how far after the newest check-up, days.
    :param model_version: goes into every row.
    """
    scale = max(1.0, horizon_days / interval.reference_days)
    value = f"state_of_health_percent + prediction * {horizon_days / 30}D"
    return f"""
SELECT battery_id,
  '{METRIC}' AS metric,
  greatest(0D, {value}) AS value,
  greatest(0D, {value} + {interval.lower_offset * scale}D) AS lower,
  greatest(0D, {value} + {interval.upper_offset * scale}D) AS upper,
  timestamp_micros(unix_micros(as_of) + {round(horizon_days * 86_400_000_000)}L) AS for_time,
  '{model_version}' AS model_version,
  trained_on
FROM {predicted}
WHERE days_to_next IS NULL
ORDER BY battery_id"""


_ERROR = "(next_state_of_health_percent - state_of_health_percent - prediction * days_to_next / 30)"


def _scale(reference_days: float, days: str) -> str:
    """Return the factor by which the interval's offsets grow for a look ahead of so many days."""
    return f"greatest(1D, {days} / {reference_days}D)"
