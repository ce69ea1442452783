"""Remaining useful life as Spark SQL: what a check-up tells about it, and when the battery's life ended.

Life is counted in full equivalent cycles and ends where the state of health, drawn as a straight line between check-ups,
first falls below :data:`END_OF_LIFE_PERCENT`. A check-up before that is an example to learn from. A battery that has not
got there is censored: its life is longer than anybody knows yet. It is left out of the training and counted, so a model
knows the batteries that aged first.

The features come from :func:`battery_pilot.learning.features.features_sql` and from windows that end at the row itself;
only :func:`examples_sql`, which makes the target, looks ahead.
"""

from __future__ import annotations

# The queries are made of this package's constants, numbers and the jobs' table names; no outer text gets into them.
# ruff: noqa: S608
from typing import Any

from battery_pilot.learning.comparison import MOST_COMPARED
from battery_pilot.learning.evaluation import INTERVAL_PROBABILITY
from battery_pilot.learning.features import RESISTANCES, missing_sql
from battery_pilot.learning.training import DIGEST_SQL, folds_sql, iso_sql, with_row_digest_sql

METRIC = "remaining_useful_life_cycles"
"""The metric that is predicted: full equivalent cycles until the end of life."""

END_OF_LIFE_PERCENT = 80.0
"""State of health at which a life ends, % of the rated capacity."""

FEATURES = (
    "log_margin",
    "log_fade_per_cycle_since_first",
    "log_fade_per_cycle_since_last",
    "log_cycles",
    *(f"{resistance}_ratio" for resistance in RESISTANCES),
    "energy_throughput_kwh_per_ah_per_30_days",
    "mean_temperature_celsius",
)
"""What the model sees of one check-up; the fades are null at the first one."""

LABEL = "log_remaining_cycles"
"""What the regression learns: ln(1 + remaining cycles), because a battery's fade scales the rest of its life."""

RIDGES = (0.001, 0.01, 0.1)
"""Strengths of the L2 penalty that are compared, on standardised features."""

FOREST = {"numTrees": 60, "maxDepth": 5, "minInstancesPerNode": 3}
"""Parameters of the random forest that is compared with the linear models."""

RECIPE = 1
"""Counts up when the training changes in a way that neither the data nor the other parameters show."""

MINIMUM_CYCLES = 1.0
"""A fade over fewer cycles is null: it would be measurement noise divided by next to nothing."""

LEAST_FADE = 1e-3
"""Fades per cycle below this many percentage points, negative ones too, count as this: no fade can be seen."""

LONGEST_LOG = 12.0
"""Upper end of predictions of :data:`LABEL`: 160,000 cycles."""

BACK_TO_CYCLES = f"exp(least(greatest(prediction, 0D), {LONGEST_LOG}D)) - 1"
"""Expression that turns a prediction of :data:`LABEL` into cycles."""


def parameters(end_of_life_percent: float, seed: int) -> dict[str, Any]:
    """Return everything besides the data that the model depends on.

    :param end_of_life_percent: state of health at which a life ends.
    :param seed: of the split and of the forest.
    """
    return {
        "recipe": RECIPE,
        "metric": METRIC,
        "features": list(FEATURES),
        "target": LABEL,
        "ridges": list(RIDGES),
        "forest": FOREST,
        "minimum_cycles": MINIMUM_CYCLES,
        "least_fade": LEAST_FADE,
        "interval_probability": INTERVAL_PROBABILITY,
        "end_of_life_percent": end_of_life_percent,
        "seed": seed,
    }


def life_features_sql(features: str, end_of_life_percent: float) -> str:
    """Return the query for the check-ups above the end of life that know their cycles, with :data:`FEATURES`.

    Further columns: ``battery_id``, ``as_of``, ``cycles`` (full equivalent), ``state_of_health_percent``,
    ``margin_percent`` (above the end of life; not above 0 at check-ups after it, of which the target is made) and
    ``fade_per_cycle`` (since the first check-up, percentage points, or null).

    :param features: name of a table made by :func:`battery_pilot.learning.features.features_sql`.
    :param end_of_life_percent: state of health at which a life ends.
    """
    health = "state_of_health_percent"
    from_features = ", ".join(name for name in FEATURES if not name.startswith("log_"))
    return f"""
WITH counted AS (
  SELECT *, full_equivalent_cycles AS cycles, {health} - {end_of_life_percent}D AS margin_percent
  FROM {features}
  WHERE full_equivalent_cycles >= 0
), rates AS (
  SELECT *,
    {_fade(f"first_value({health}) OVER (so_far)", "first_value(cycles) OVER (so_far)")} AS fade_per_cycle,
    {_fade(f"lag({health}) OVER (in_order)", "lag(cycles) OVER (in_order)")} AS last_fade_per_cycle
  FROM counted
  WINDOW in_order AS (PARTITION BY battery_id ORDER BY as_of),
    so_far AS (PARTITION BY battery_id ORDER BY as_of ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT battery_id, as_of, cycles, {health}, margin_percent, fade_per_cycle,
  CASE WHEN margin_percent > 0 THEN ln(margin_percent) END AS log_margin,
  {_logarithm("fade_per_cycle")} AS log_fade_per_cycle_since_first,
  {_logarithm("last_fade_per_cycle")} AS log_fade_per_cycle_since_last,
  ln(1 + cycles) AS log_cycles,
  {from_features}
FROM rates"""


def examples_sql(life_features: str) -> str:
    """Return the query that adds what became of the battery; null where that is not known.

    Adds ``end_cycles`` (cycles at the end of life), ``remaining_cycles`` (null from the end on), :data:`LABEL`, ``weight``
    (every battery 1, shared among its examples) and ``is_newest``.

    :param life_features: name of a table made by :func:`life_features_sql`.
    """
    return f"""
WITH steps AS (
  SELECT *,
    lag(margin_percent) OVER (in_order) AS margin_before,
    lag(cycles) OVER (in_order) AS cycles_before,
    lead(as_of) OVER (in_order) IS NULL AS is_newest
  FROM {life_features}
  WINDOW in_order AS (PARTITION BY battery_id ORDER BY as_of)
), ended AS (
  SELECT *,
    min(CASE WHEN margin_percent < 0 THEN as_of END) OVER (whole) AS ended_by,
    min_by(
      cycles_before + margin_before / nullif(margin_before - margin_percent, 0) * (cycles - cycles_before),
      CASE WHEN margin_percent < 0 THEN as_of END
    ) OVER (whole) AS end_cycles
  FROM steps
  WINDOW whole AS (PARTITION BY battery_id)
), remaining AS (
  SELECT * EXCEPT (margin_before, cycles_before, ended_by),
    CASE WHEN as_of < ended_by AND end_cycles > cycles AND margin_percent > 0 THEN end_cycles - cycles END
      AS remaining_cycles
  FROM ended
)
SELECT *,
  ln(1 + remaining_cycles) AS {LABEL},
  1D / nullif(count(remaining_cycles) OVER (PARTITION BY battery_id), 0) AS weight
FROM remaining"""


def lives_summary_sql(examples: str) -> str:
    """Return the query for one row: ``ended`` (batteries with an example) and ``censored`` (all others with cycles).

    :param examples: name of a table made by :func:`examples_sql`.
    """
    return f"""
SELECT count_if(has_example) AS ended, count_if(NOT has_example) AS censored
FROM (SELECT count(remaining_cycles) > 0 AS has_example FROM {examples} GROUP BY battery_id)"""


def examples_summary_sql(examples: str) -> str:
    """Return the query for one row that describes the examples before the training.

    As :func:`battery_pilot.learning.training.pairs_summary_sql`, with ``mean_life`` and ``longest_life`` (cycles, over the
    training batteries).

    :param examples: name of a table made by :func:`battery_pilot.learning.split.split_sql`.
    """
    content = (*FEATURES, "remaining_cycles", "is_test", "fold")
    return f"""
SELECT count_if(NOT is_test) AS training_pairs,
  count_if(is_test) AS test_pairs,
  {iso_sql("min(as_of)")} AS first_as_of,
  {iso_sql("max(as_of)")} AS last_as_of,
  sum(CASE WHEN NOT is_test THEN weight * end_cycles END) / sum(CASE WHEN NOT is_test THEN weight END) AS mean_life,
  max(CASE WHEN NOT is_test THEN end_cycles END) AS longest_life,
  {missing_sql(FEATURES, "NOT is_test")} AS missing,
  {folds_sql(FEATURES)} AS folds,
  {DIGEST_SQL} AS digest
FROM ({with_row_digest_sql(examples, content)})"""


def residuals_sql(predicted: str) -> str:
    """Return the query for the residuals of held-out examples, for :func:`battery_pilot.learning.evaluation.interval_sql`.

    ``scaled`` is the residual of :data:`LABEL`; ``candidate`` is always 0.

    :param predicted: table with ``prediction``.
    """
    return f"""
  SELECT 0 AS candidate, battery_id,
    abs(remaining_cycles - ({BACK_TO_CYCLES})) AS absolute_error,
    {LABEL} - prediction AS scaled
  FROM {predicted}"""


def battery_errors_sql(predicted: str, mean_life: float, longest_life: float) -> str:
    """Return the query for every battery's mean absolute errors in cycles: ``model``, ``mean_life``, ``linear_fade``.

    ``mean_life`` says that the battery lives as long as the training batteries did on average, ``linear_fade`` that it goes
    on fading as it did since its first check-up, though not beyond the longest known life; before a fade can be seen it says
    the same as ``mean_life``.

    :param predicted: table with ``prediction``.
    :param mean_life: cycles, of the training batteries.
    :param longest_life: cycles, of the training batteries.
    """
    by_mean = f"greatest(0D, {mean_life}D - cycles)"
    by_fade = f"CASE WHEN fade_per_cycle > 0 THEN least(margin_percent / fade_per_cycle, {longest_life}D) ELSE {by_mean} END"
    return f"""
SELECT battery_id,
  avg(abs(remaining_cycles - ({BACK_TO_CYCLES}))) AS model,
  avg(abs(remaining_cycles - {by_mean})) AS mean_life,
  avg(abs(remaining_cycles - {by_fade})) AS linear_fade
FROM {predicted}
GROUP BY battery_id
ORDER BY xxhash64(battery_id), battery_id
LIMIT {MOST_COMPARED}"""


def tested_rows_sql(predicted: str, lower_offset: float, upper_offset: float, most_rows: int) -> str:
    """Return the query for the rows of a test: ``battery_id``, ``truth``, ``value``, ``lower`` and ``upper``, cycles.

    :param predicted: table with ``prediction``.
    :param lower_offset: see :class:`battery_pilot.learning.life_card.LifeInterval`.
    :param upper_offset: the same.
    :param most_rows: a larger test is thinned evenly, by the rank of a hash.
    """
    return f"""
SELECT battery_id, remaining_cycles AS truth, {_value_and_ends(lower_offset, upper_offset)}
FROM {predicted}
ORDER BY xxhash64(battery_id, as_of), battery_id, as_of
LIMIT {most_rows}"""


def coverage_sql(predicted: str, lower_offset: float, upper_offset: float) -> str:
    """Return the query for one row: ``count`` (examples) and ``interval_coverage`` (share inside, mean over batteries).

    :param predicted: table with ``prediction``.
    :param lower_offset: see :class:`battery_pilot.learning.life_card.LifeInterval`.
    :param upper_offset: the same.
    """
    inside = f"{LABEL} - prediction BETWEEN {lower_offset}D - 1e-9D AND {upper_offset}D + 1e-9D"
    return f"""
SELECT sum(count) AS count, avg(coverage) AS interval_coverage
FROM (SELECT count(*) AS count, avg(CAST({inside} AS DOUBLE)) AS coverage FROM {predicted} GROUP BY battery_id)"""


def predictions_sql(predicted: str, lower_offset: float, upper_offset: float, model_version: str) -> str:
    """Return the query for the predictions, with the columns of :func:`battery_pilot.learning.evaluation.predictions_sql`.

    ``for_time`` is the check-up that the remaining cycles count from.

    :param predicted: newest check-ups with ``prediction`` and ``trained_on``.
    :param lower_offset: see :class:`battery_pilot.learning.life_card.LifeInterval`.
    :param upper_offset: the same.
    :param model_version: goes into every row.
    """
    return f"""
SELECT battery_id, '{METRIC}' AS metric, {_value_and_ends(lower_offset, upper_offset)},
  as_of AS for_time, '{model_version}' AS model_version, trained_on
FROM {predicted}"""


def _value_and_ends(lower_offset: float, upper_offset: float) -> str:
    """Return the expressions for ``value``, ``lower`` and ``upper`` in cycles."""
    ends = {"value": 0.0, "lower": lower_offset, "upper": upper_offset}
    return ", ".join(
        BACK_TO_CYCLES.replace("prediction", f"prediction + {offset}D") + f" AS {name}"
        for name, offset in ends.items()
    )


def _fade(earlier_health: str, earlier_cycles: str) -> str:
    """Return an expression for the fade per cycle, percentage points, positive where health was lost."""
    cycles = f"(cycles - {earlier_cycles})"
    return f"CASE WHEN {cycles} >= {MINIMUM_CYCLES} THEN ({earlier_health} - state_of_health_percent) / {cycles} END"


def _logarithm(fade: str) -> str:
    # greatest() alone would put its other argument in the place of an unknown fade.
    return f"CASE WHEN {fade} IS NOT NULL THEN ln(greatest({fade}, {LEAST_FADE}D)) END"
