"""Features of a check-up as Spark SQL: what a battery's own past tells at that moment, and nothing later.

A check-up is one row of the history table (:data:`HISTORY_COLUMNS`). Every window of :func:`features_sql` ends at the
row itself; only :func:`next_checkup_sql`, which makes the target of the training, looks one row ahead.
"""

from __future__ import annotations

# The queries are made of this package's constants, numbers and the jobs' table names; no outer text gets into them.
# ruff: noqa: S608

REQUIRED_COLUMNS = ("battery_id", "as_of", "rated_capacity_ah", "remaining_capacity_ah")
"""Columns without which a row of the history is no check-up."""

OPTIONAL_COLUMNS = (
    "state_of_health_percent",
    "full_equivalent_cycles",
    "energy_throughput_kwh",
    "dc_resistance_ohm",
    "ohmic_resistance_ohm",
    "polarisation_resistance_ohm",
    "mean_temperature_celsius",
)
"""Columns that may be null; a null state of health is derived from the two capacities."""

HISTORY_COLUMNS = REQUIRED_COLUMNS + OPTIONAL_COLUMNS
"""Columns of the history table: a string, a timestamp in UTC, then doubles with the unit in the name."""

RESISTANCES = ("dc_resistance", "ohmic_resistance", "polarisation_resistance")
"""Resistances that enter relative to the battery's own first value, because their absolute size is the cell's design."""

FEATURES = (
    "state_of_health_percent",
    "state_of_health_change_since_first_percent_per_30_days",
    "state_of_health_change_since_last_percent_per_30_days",
    *(f"{resistance}_ratio" for resistance in RESISTANCES),
    *(f"{resistance}_ratio_change_per_30_days" for resistance in RESISTANCES),
    "energy_throughput_kwh_per_ah_per_30_days",
    "full_equivalent_cycles",
    "mean_temperature_celsius",
)
"""What the model sees of one check-up. Any of them but the first may be null."""

MINIMUM_RATE_DAYS = 1.0
"""Rates over a shorter time are null: they would be measurement noise divided by next to nothing."""

RATE_DECIMALS = 9
"""Rates are rounded to this."""

TARGET = "next_change_percent_per_30_days"
"""What the model learns: change of the state of health until the next check-up, percentage points per 30 days."""


def checkups_sql(history: str) -> str:
    """Return the query that brings the history table into one form and drops rows that are no check-up.

    A row counts when it has a battery, a time, a rated capacity above zero and a remaining capacity that is not
    negative. NaN and infinity become null.

    :param history: name of a table with :data:`HISTORY_COLUMNS`.
    """
    measured = ",\n  ".join(f"{_finite(column)} AS {column}" for column in OPTIONAL_COLUMNS[1:])
    health = f"coalesce({_finite('state_of_health_percent')}, 100 * remaining_capacity_ah / rated_capacity_ah)"
    return f"""
SELECT CAST(battery_id AS STRING) AS battery_id,
  CAST(as_of AS TIMESTAMP) AS as_of,
  unix_micros(CAST(as_of AS TIMESTAMP)) / 86400e6D AS as_of_day,
  CAST(rated_capacity_ah AS DOUBLE) AS rated_capacity_ah,
  {health} AS state_of_health_percent,
  {measured}
FROM {history}
WHERE {usable_condition()}"""


def usable_condition() -> str:
    """Return the SQL condition under which a row of the history is a check-up."""
    rated, remaining = _finite("rated_capacity_ah"), _finite("remaining_capacity_ah")
    return f"battery_id IS NOT NULL AND as_of IS NOT NULL AND ({rated}) > 0 AND ({remaining}) >= 0"


def features_sql(history: str) -> str:
    """Return the query for all check-ups with their :data:`FEATURES`.

    Further columns are ``battery_id``, ``as_of`` and ``as_of_day`` (days since 1970, UTC).

    :param history: name of a table with :data:`HISTORY_COLUMNS`.
    """
    first_resistances = ",\n    ".join(
        f"{name}_ohm / nullif(first_value({name}_ohm) IGNORE NULLS OVER (so_far), 0) AS {name}_ratio"
        for name in RESISTANCES
    )
    resistance_rates = ",\n  ".join(
        f"{_per_30_days(f'{name}_ratio - lag({name}_ratio) OVER (in_order)', 'days_since_last')} "
        f"AS {name}_ratio_change_per_30_days"
        for name in RESISTANCES
    )
    throughput = "(energy_throughput_kwh - lag(energy_throughput_kwh) OVER (in_order)) / rated_capacity_ah"
    health = "state_of_health_percent"
    return f"""
WITH checkup AS ({checkups_sql(history)}
), relative AS (
  SELECT *,
    as_of_day - first_value(as_of_day) OVER (so_far) AS days_since_first,
    as_of_day - lag(as_of_day) OVER (in_order) AS days_since_last,
    first_value({health}) OVER (so_far) AS first_health,
    {first_resistances}
  FROM checkup
  WINDOW in_order AS (PARTITION BY battery_id ORDER BY as_of),
    so_far AS (PARTITION BY battery_id ORDER BY as_of ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)
)
SELECT battery_id, as_of, as_of_day,
  {health},
  {_per_30_days(f"{health} - first_health", "days_since_first")}
    AS state_of_health_change_since_first_percent_per_30_days,
  {_per_30_days(f"{health} - lag({health}) OVER (in_order)", "days_since_last")}
    AS state_of_health_change_since_last_percent_per_30_days,
  {", ".join(f"{name}_ratio" for name in RESISTANCES)},
  {resistance_rates},
  {_per_30_days(throughput, "days_since_last")} AS energy_throughput_kwh_per_ah_per_30_days,
  full_equivalent_cycles,
  mean_temperature_celsius
FROM relative
WINDOW in_order AS (PARTITION BY battery_id ORDER BY as_of)"""


def next_checkup_sql(features: str) -> str:
    """Return the query that adds what the next check-up found; null at a battery's newest check-up.

    Adds ``next_as_of``, ``next_state_of_health_percent``, ``days_to_next``, :data:`TARGET` and ``weight``. The weight is the squared
    number of days, which turns the squared error of the rate into the squared error of the next state of health: the
    quantity that is evaluated, and one that two check-ups within hours cannot dominate.

    :param features: name of a table made by :func:`features_sql`.
    """
    return f"""
WITH ahead AS (
  SELECT *,
    lead(as_of) OVER (in_order) AS next_as_of,
    lead(state_of_health_percent) OVER (in_order) AS next_state_of_health_percent,
    lead(as_of_day) OVER (in_order) - as_of_day AS days_to_next
  FROM {features}
  WINDOW in_order AS (PARTITION BY battery_id ORDER BY as_of)
)
SELECT *,
  30 * (next_state_of_health_percent - state_of_health_percent) / days_to_next AS {TARGET},
  days_to_next * days_to_next AS weight
FROM ahead"""


def history_summary_sql(history: str) -> str:
    """Return the query for one row that tells whether the history can be used.

    ``row_count``, ``ignored_rows`` (no check-up), ``batteries`` (with a check-up), ``batteries_with_next`` (with two or
    more) and ``repeated_battery`` (one with two rows for the same time, else null).

    :param history: name of a table with :data:`HISTORY_COLUMNS`.
    """
    return f"""
SELECT coalesce(sum(row_count), 0) AS row_count,
  coalesce(sum(row_count - checkups), 0) AS ignored_rows,
  count_if(checkups > 0) AS batteries,
  count_if(checkups > 1) AS batteries_with_next,
  min(CASE WHEN checkups > times THEN battery_id END) AS repeated_battery
FROM (
  SELECT CAST(battery_id AS STRING) AS battery_id,
    count(*) AS row_count,
    count_if({usable_condition()}) AS checkups,
    count(DISTINCT CASE WHEN {usable_condition()} THEN CAST(as_of AS TIMESTAMP) END) AS times
  FROM {history}
  GROUP BY 1
)"""


def missing_sql(features: tuple[str, ...], condition: str = "true") -> str:
    """Return an aggregate expression for a map from feature to the number of rows without a value.

    :param features: names out of :data:`FEATURES`.
    :param condition: SQL condition of the rows to look at.
    """
    entries = (f"'{name}', count_if(({condition}) AND {name} IS NULL)" for name in features)
    return f"map({', '.join(entries)})"


def _finite(column: str) -> str:
    """Return an expression for a double that is null where the column is NaN or infinite."""
    number = f"CAST({column} AS DOUBLE)"
    return f"CASE WHEN abs({number}) < double('Infinity') THEN {number} END"


def _per_30_days(change: str, days: str) -> str:
    # Rounded, because a rate that is the same everywhere would else differ in its last bits, and the standardisation
    # would blow that up into a feature.
    return f"CASE WHEN {days} >= {MINIMUM_RATE_DAYS} THEN round(30 * ({change}) / {days}, {RATE_DECIMALS}) END"
