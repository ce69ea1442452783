"""The aggregates of :mod:`battery_pilot.electrochemistry.aggregates` as one Spark SQL statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_pilot.electrochemistry.aggregates import (
    AGGREGATE_COLUMNS,
    CHARGE_DECIMALS,
    IDENTITY,
    NEWEST,
    NEWEST_MEASUREMENTS,
    SPECTRUM_NUMBERS,
    TOTALS,
    in_utc,
)
from battery_pilot.electrochemistry.sql_expressions import view_name

if TYPE_CHECKING:
    from datetime import datetime

_NUMBERS = (
    *TOTALS,
    "duration_second",
    "capacity_ah",
    "capacity_wh",
    "dc_resistance_ohm",
    "dc_resistance_delay_second",
    "mean_temperature_celsius",
    "net_ah_since_empty",
    "minimum_voltage_volt",
    "maximum_voltage_volt",
    *(column for columns in NEWEST.values() for column in columns),
)

_NEWEST_FIRST = "ORDER BY ended_at DESC, cycle_count DESC NULLS LAST, source_sha256 DESC"

_MEASURED = ",\n  ".join(
    f"CASE WHEN {columns[0]} IS NOT NULL THEN struct({', '.join(columns)}, ended_at, source_sha256) END AS {kind}"
    for kind, columns in NEWEST.items()
)

_IDENTITY = ", ".join(
    f"round({name}, {CHARGE_DECIMALS})" if name in ("charge_ah", "discharge_ah") else name for name in IDENTITY
)

_ONCE = f"""SELECT *, row_number() OVER (PARTITION BY {_IDENTITY} ORDER BY source_sha256 DESC) AS twin
FROM placed WHERE copy = 1"""  # noqa: S608 - nothing in it comes from outside

_RANKED = f"""SELECT *,
  row_number() OVER (PARTITION BY battery_id {_NEWEST_FIRST}) AS age,
  row_number() OVER (PARTITION BY battery_id, capacity_ah IS NOT NULL {_NEWEST_FIRST}) AS capacity_age,
  row_number() OVER (PARTITION BY battery_id, is_full_cycle {_NEWEST_FIRST}) AS efficiency_age,
  CASE WHEN dc_resistance_ohm IS NOT NULL THEN struct(
    dc_resistance_ohm AS ohm, dc_resistance_delay_second AS delay_second, ended_at, source_sha256) END AS step,
  {_MEASURED}
FROM once WHERE twin = 1"""  # noqa: S608 - nothing in it comes from outside

_CHOSEN = f"""SELECT *,
  capacity_ah IS NOT NULL AND (capacity_age = 1 OR recent AND capacity_age <= {NEWEST_MEASUREMENTS}) AS has_capacity,
  is_full_cycle AND (efficiency_age = 1 OR recent AND efficiency_age <= {NEWEST_MEASUREMENTS}) AS has_efficiency,
  min(CASE WHEN net_ah_since_empty IS NOT NULL THEN age END) OVER (PARTITION BY battery_id) AS emptied_age,
  min(CASE WHEN retained_ah IS NOT NULL THEN age END) OVER (PARTITION BY battery_id) AS stored_age
FROM ranked"""  # noqa: S608 - nothing in it comes from outside

_SUMMED = f"""SELECT battery_id,
  {", ".join(f"sum({name}) AS {name}" for name in TOTALS)},
  max(ended_at) AS cycles_as_of,
  collect_set(source_sha256) FILTER (WHERE recent OR age = 1) AS sources,
  avg(capacity_ah) FILTER (WHERE has_capacity) AS capacity_ah,
  avg(capacity_wh) FILTER (WHERE has_capacity) AS capacity_wh,
  stddev_samp(capacity_ah) FILTER (WHERE has_capacity) AS capacity_deviation_ah,
  stddev_samp(capacity_wh) FILTER (WHERE has_capacity) AS capacity_deviation_wh,
  nullif(count_if(has_capacity), 0) AS capacity_measurements,
  max(ended_at) FILTER (WHERE has_capacity) AS capacity_as_of,
  collect_set(source_sha256) FILTER (WHERE has_capacity) AS capacity_sources,
  sum(charge_wh) FILTER (WHERE has_efficiency) AS efficiency_charge_wh,
  sum(discharge_wh) FILTER (WHERE has_efficiency) AS efficiency_discharge_wh,
  max(ended_at) FILTER (WHERE has_efficiency) AS efficiency_as_of,
  collect_set(source_sha256) FILTER (WHERE has_efficiency) AS efficiency_sources,
  min_by(step, age) FILTER (WHERE step IS NOT NULL) AS newest_step,
  max_by(step, age) FILTER (WHERE step IS NOT NULL) AS first_step,
  {", ".join(f"min_by({kind}, age) FILTER (WHERE {kind} IS NOT NULL) AS {kind}" for kind in NEWEST)},
  min_by(capacity_ah, age) FILTER (WHERE capacity_ah IS NOT NULL AND age > stored_age) AS capacity_before_storage_ah,
  sum(mean_temperature_celsius * duration_second) FILTER (WHERE recent) AS celsius_second,
  sum(duration_second) FILTER (WHERE recent AND mean_temperature_celsius IS NOT NULL) AS temperature_second,
  sum(CASE WHEN age = emptied_age THEN net_ah_since_empty WHEN age < emptied_age THEN charge_ah - discharge_ah END)
    AS net_ah_since_empty
FROM chosen GROUP BY battery_id"""  # noqa: S608 - nothing in it comes from outside

_DERIVED = {
    "battery_id": "coalesce(c.battery_id, s.battery_id)",
    "as_of": "greatest(c.cycles_as_of, s.spectrum_at)",
    "source_sha256": "sort_array(c.sources)",
    "capacity_error_ah": "c.capacity_deviation_ah / sqrt(c.capacity_measurements)",
    "capacity_error_wh": "c.capacity_deviation_wh / sqrt(c.capacity_measurements)",
    "capacity_source_sha256": "CASE WHEN c.capacity_as_of IS NOT NULL THEN sort_array(c.capacity_sources) END",
    "efficiency_percent": "100 * c.efficiency_discharge_wh / nullif(c.efficiency_charge_wh, 0)",
    "efficiency_source_sha256": "CASE WHEN c.efficiency_as_of IS NOT NULL THEN sort_array(c.efficiency_sources) END",
    "dc_resistance_ohm": "c.newest_step.ohm",
    "dc_resistance_delay_second": "c.newest_step.delay_second",
    "dc_resistance_as_of": "c.newest_step.ended_at",
    "dc_resistance_source_sha256": "CASE WHEN c.newest_step IS NOT NULL THEN array(c.newest_step.source_sha256) END",
    "first_dc_resistance_ohm": "c.first_step.ohm",
    "first_dc_resistance_delay_second": "c.first_step.delay_second",
    "first_dc_resistance_as_of": "c.first_step.ended_at",
    **{column: f"c.{kind}.{column}" for kind, columns in NEWEST.items() for column in columns},
    **{f"{kind}_as_of": f"c.{kind}.ended_at" for kind in NEWEST},
    **{
        f"{kind}_source_sha256": f"CASE WHEN c.{kind} IS NOT NULL THEN array(c.{kind}.source_sha256) END"
        for kind in NEWEST
    },
    "mean_temperature_celsius": "c.celsius_second / nullif(c.temperature_second, 0)",
    "spectra": "s.spectra",
    "impedance_as_of": "s.newest.measured_at",
    "impedance_source_sha256": "CASE WHEN s.newest IS NOT NULL THEN array(s.newest.source_sha256) END",
    **{name: f"s.newest.{column}" for column, name in SPECTRUM_NUMBERS.items()},
    "circuit": "s.newest.circuit",
}


def aggregate_cycles_sql(
    cycles_view: str, spectra_view: str, interval_start: datetime, interval_end: datetime
) -> str:
    """Return the query that brings all cycles and spectra of each battery into one row.

    :param cycles_view: name of a view with the columns of cycle summaries, of the whole life.
    :param spectra_view: name of a view with :data:`~battery_pilot.electrochemistry.aggregates.SPECTRUM_COLUMNS`, of
        the whole life; it may be empty.
    :param interval_start: first moment of the newest interval, with time zone.
    :param interval_end: end of it, itself excluded; rows from then on are ignored.
    :returns: a query with the columns :data:`~battery_pilot.electrochemistry.aggregates.AGGREGATE_COLUMNS`.
    :raises AnalysisError: a time has no time zone.
    :raises InputError: a name is not that of a view.
    """
    start, end = _literal(interval_start), _literal(interval_end)
    numbers = ", ".join(_clean(name) for name in _NUMBERS)
    found = ", ".join(_clean(name) for name in SPECTRUM_NUMBERS)
    columns = ", ".join(f"{_DERIVED.get(name, f'c.{name}')} AS {name}" for name in AGGREGATE_COLUMNS)
    return f"""WITH placed AS (
SELECT battery_id, source_sha256, cycle_count, started_at, ended_at, rows, is_full_cycle, {numbers},
  ended_at >= {start} AS recent,
  row_number() OVER (PARTITION BY battery_id, source_sha256, cycle_count ORDER BY ended_at DESC) AS copy
FROM {view_name(cycles_view)} WHERE battery_id IS NOT NULL AND ended_at < {end}
),
once AS ({_ONCE}),
ranked AS ({_RANKED}),
chosen AS ({_CHOSEN}),
summed AS ({_SUMMED}),
spectra AS (
SELECT battery_id, count(*) AS spectra, max(measured_at) AS spectrum_at,
  max(struct(measured_at, source_sha256, {found}, circuit)) FILTER (WHERE kramers_kronig_valid) AS newest
FROM {view_name(spectra_view)} WHERE battery_id IS NOT NULL AND measured_at < {end}
GROUP BY battery_id
)
SELECT {columns}
FROM summed c FULL OUTER JOIN spectra s ON c.battery_id = s.battery_id"""  # noqa: S608 - the names are checked


def _literal(moment: datetime) -> str:
    """Write a moment as a TIMESTAMP literal."""
    return f"TIMESTAMP '{in_utc(moment):%Y-%m-%d %H:%M:%S.%f}+00:00'"


def _clean(column: str) -> str:
    """Make not-a-number null, which Spark's sums do not skip."""
    return f"nullif(CAST({column} AS DOUBLE), double('NaN')) AS {column}"
