"""Errors, prediction intervals and predictions as Spark SQL over check-ups with a predicted rate.

The tables here come from :func:`battery_pilot.learning.features.next_checkup_sql` and carry the model's ``prediction``:
the expected change of the state of health in percentage points per 30 days.
"""

from __future__ import annotations

# The queries are made of this package's constants, numbers and the jobs' table names; no outer text gets into them.
# ruff: noqa: S608
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from battery_pilot.learning.comparison import MOST_COMPARED

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


def cross_validation_sql(predicted: str, reference_days: float) -> str:
    """Return the query for the mean absolute error of every ridge and the ends of its prediction interval.

    One row for each ``ridge``: see :func:`interval_sql`; errors are in percentage points, ends are for ``reference_days``.

    :param predicted: table of held-out predictions with a column ``ridge``.
    :param reference_days: median time between check-ups.
    """
    return interval_sql(
        f"""
  SELECT ridge, battery_id,
    abs({_ERROR}) AS absolute_error,
    {_ERROR} / {_scale(reference_days, "days_to_next")} AS scaled
  FROM {predicted}""",
        "ridge",
    )


def interval_sql(residuals: str, candidate: str) -> str:
    """Return the query for ``mae``, ``lower`` and ``upper`` of every candidate from its residuals.

    Residuals of one battery depend on each other, so batteries are what is counted: each of the ``k`` has weight 1,
    shared evenly among its residuals, and at most ``(k + 1) * 0.05`` lies at or beyond either end (Dunn, Wasserman and
    Ramdas 2023, J. Am. Stat. Assoc. 118, 2491, "pooling CDFs"; with one residual a battery these are the ranks of split
    conformal prediction). Where even one residual is more than that, the end is the outermost one: with less than 19
    batteries the interval is a range that was seen, without a promise.

    :param residuals: query with ``battery_id``, ``absolute_error``, ``scaled`` (the residual of which the interval's ends
        are quantiles) and the candidate.
    :param candidate: column that names the candidate.
    """
    # A share that is a whole number, such as (19 + 1) * 0.05, must not be missed by the last bit of a sum.
    allowed = f"(batteries + 1) * {(1 - INTERVAL_PROBABILITY) / 2}D + 1e-9D"
    return f"""
WITH residual AS (
  SELECT *, 1D / count(*) OVER (PARTITION BY {candidate}, battery_id) AS weight FROM ({residuals})
), ranked AS (
  SELECT *,
    sum(weight) OVER (PARTITION BY {candidate} ORDER BY scaled ROWS UNBOUNDED PRECEDING) AS at_or_below,
    sum(weight) OVER (PARTITION BY {candidate} ORDER BY scaled DESC ROWS UNBOUNDED PRECEDING) AS at_or_above,
    sum(weight) OVER (PARTITION BY {candidate}) AS batteries
  FROM residual
)
SELECT {candidate},
  avg(absolute_error) AS mae,
  coalesce(max(CASE WHEN at_or_below <= {allowed} THEN scaled END), min(scaled)) AS lower,
  coalesce(min(CASE WHEN at_or_above <= {allowed} THEN scaled END), max(scaled)) AS upper
FROM ranked
GROUP BY {candidate}"""


def battery_errors_sql(predicted: str) -> str:
    """Return the query for every battery's mean absolute errors: ``model``, ``last_value`` and ``linear_fade``.

    :param predicted: table with predictions; rows without a next check-up do not count.
    """
    return f"""
SELECT battery_id,
  avg(abs({_ERROR})) AS model,
  avg(abs({_CHANGE})) AS last_value,
  avg(abs({_LINEAR_FADE_ERROR})) AS linear_fade
FROM {predicted}
WHERE days_to_next IS NOT NULL
GROUP BY battery_id
ORDER BY xxhash64(battery_id), battery_id
LIMIT {MOST_COMPARED}"""


def evaluation_sql(predicted: str, interval: Interval) -> str:
    """Return the query for one row: how far predictions were from the next check-up.

    ``count``, ``mae``, ``baseline_mae`` and ``linear_fade_mae`` (percentage points; the baseline says that nothing
    changes, linear fade that the battery goes on as it did since its first check-up) and ``interval_coverage`` (share of
    truths inside the interval). Rows without a next check-up do not count; without any row the errors are null.

    :param predicted: table with predictions.
    :param interval: the model's interval.
    """
    scale = _scale(interval.reference_days, "days_to_next")
    inside = f"{_ERROR} BETWEEN {interval.lower_offset}D * {scale} AND {interval.upper_offset}D * {scale}"
    return f"""
SELECT count({_ERROR}) AS count,
  avg(abs({_ERROR})) AS mae,
  avg(abs({_CHANGE})) AS baseline_mae,
  avg(abs({_LINEAR_FADE_ERROR})) AS linear_fade_mae,
  avg(CAST({inside} AS DOUBLE)) AS interval_coverage
FROM {predicted}"""


def tested_rows_sql(predicted: str, interval: Interval, most_rows: int) -> str:
    """Return the query for the rows of a test: ``battery_id``, ``truth``, ``value``, ``lower`` and ``upper``, percent.

    :param predicted: table with predictions.
    :param interval: the model's interval.
    :param most_rows: a larger test is thinned evenly, by the rank of a hash.
    """
    scale = _scale(interval.reference_days, "days_to_next")
    value = "state_of_health_percent + prediction * days_to_next / 30"
    return f"""
SELECT battery_id,
  next_state_of_health_percent AS truth,
  {value} AS value,
  {value} + {interval.lower_offset}D * {scale} AS lower,
  {value} + {interval.upper_offset}D * {scale} AS upper
FROM {predicted}
WHERE days_to_next IS NOT NULL
ORDER BY xxhash64(battery_id, as_of), battery_id, as_of
LIMIT {most_rows}"""


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


_CHANGE = "(next_state_of_health_percent - state_of_health_percent)"
# At a battery's first check-up no fade is known yet: nothing changes.
_LINEAR_FADE_ERROR = (
    f"({_CHANGE} - coalesce(state_of_health_change_since_first_percent_per_30_days, 0) * days_to_next / 30)"
)
_ERROR = "(next_state_of_health_percent - state_of_health_percent - prediction * days_to_next / 30)"


def _scale(reference_days: float, days: str) -> str:
    """Return the factor by which the interval's offsets grow for a look ahead of so many days."""
    return f"greatest(1D, {days} / {reference_days}D)"
