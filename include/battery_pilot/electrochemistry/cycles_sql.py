"""The cycle summaries of :mod:`battery_pilot.electrochemistry.cycles` as one Spark SQL statement.

The statement is a chain of common table expressions; each adds columns that the next one uses. The rows are shuffled and
sorted once by file and test time (:mod:`.cycles_sql_rows`). What needs a wide view is asked of *segments*, the runs of rows
of one class, which are fewer (:mod:`.cycles_sql_segments`). The definitions are those of the pandas engine, which explains
them.
"""

from __future__ import annotations

from battery_pilot.electrochemistry.cycles_sql_rows import row_expressions
from battery_pilot.electrochemistry.cycles_sql_segments import segment_expressions
from battery_pilot.electrochemistry.definitions import (
    FULL_CYCLE_FRACTION,
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
    SUMMARY_COLUMNS,
)
from battery_pilot.electrochemistry.sql_expressions import real, select, view_name

ROW_COLUMNS = (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS)
"""Columns that the view of rows must have; the optional ones are null where a file has none."""

RATING_COLUMNS = (
    "battery_id",
    "rated_capacity_ah",
    "minimum_voltage_volt",
    "maximum_voltage_volt",
    "idle_temperature_minimum_celsius",
    "idle_temperature_maximum_celsius",
)
"""Columns that the view of ratings must have, at most one row a battery; a battery without a row has no ratings."""


def cycle_summary_sql(rows_view: str, ratings_view: str) -> str:
    """Return the query that summarises canonical rows, one row a cycle.

    Run it in a session whose time zone is UTC, as the timestamps are.

    :param rows_view: name of a view with :data:`ROW_COLUMNS`.
    :param ratings_view: name of a view with :data:`RATING_COLUMNS`.
    :returns: a query with the columns :data:`~battery_pilot.electrochemistry.definitions.SUMMARY_COLUMNS`.
    :raises InputError: a name is not that of a view.
    """
    rows, ratings = view_name(rows_view), view_name(ratings_view)
    expressions = row_expressions(rows, ratings) | segment_expressions()
    chain = ",\n".join(f"{name} AS (\n{query}\n)" for name, query in expressions.items())
    return f"WITH {chain}\n{_summary()}"


def _disagreement(unit: str) -> str:
    """Return the larger difference between integral and counter, percent of the cycle's larger throughput."""
    values = ", ".join(f"{counter}{way}_{unit}" for counter in ("", "counter_") for way in ("charge", "discharge"))
    differences = ", ".join(f"abs({way}_{unit} - counter_{way}_{unit})" for way in ("charge", "discharge"))
    return f"100 * greatest({differences}) / nullif(greatest({values}), 0)"


def _summary() -> str:
    """Select the columns of a summary in their order, null where there is nothing to say."""
    known_hot = "temperature_minute IS NOT NULL AND hot_celsius IS NOT NULL"
    known_cold = "temperature_minute IS NOT NULL AND cold_celsius IS NOT NULL"
    returned = "capacity_ah IS NOT NULL AND charges_full AND charge_ah > 0"
    derived = {
        "counter_disagreement_percent": _disagreement("ah"),
        "counter_energy_disagreement_percent": _disagreement("wh"),
        "constant_voltage_share_percent": "CASE WHEN charges_held AND charge_ah > 0 THEN 100 * held_ah / charge_ah END",
        "mean_temperature_celsius": "celsius_minute / temperature_minute",
        "duration_second": "last_second - first_second",
        "is_full_cycle": (
            f"capacity_ah IS NOT NULL AND abs(charge_ah - discharge_ah) <= {real(FULL_CYCLE_FRACTION)} * discharge_ah"
        ),
        "coulombic_efficiency_percent": f"CASE WHEN {returned} THEN 100 * discharge_ah / charge_ah END",
        "energy_efficiency_percent": f"CASE WHEN {returned} THEN 100 * discharge_wh / charge_wh END",
        "time_above_idle_minute": f"CASE WHEN {known_hot} THEN hot_minute END",
        "time_below_idle_minute": f"CASE WHEN {known_cold} THEN cold_minute END",
        "charging_time_above_idle_minute": f"CASE WHEN {known_hot} THEN charging_hot_minute END",
        "charging_time_below_idle_minute": f"CASE WHEN {known_cold} THEN charging_cold_minute END",
        "deep_discharge_events": "CASE WHEN rated THEN deep_discharge_events END",
        "overcharge_events": "CASE WHEN rated THEN overcharge_events END",
    }
    return select("sums", {name: derived.get(name, name) for name in SUMMARY_COLUMNS})
