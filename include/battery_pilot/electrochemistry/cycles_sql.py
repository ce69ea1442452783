"""The cycle summaries of :mod:`battery_pilot.electrochemistry.cycles` as one Spark SQL statement.

The statement is a chain of common table expressions; each adds columns that the next one uses. All windows have the same
partition and order (a file by test time), so Spark shuffles and sorts the rows once. The definitions are those of the
pandas engine, which explains them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from battery_pilot.electrochemistry.cycles import (
    COUNTER_RESET_FRACTION,
    EXCURSION_SECOND,
    FULL_CYCLE_FRACTION,
    FULL_VOLTAGE_FRACTION,
    LONGEST_INTERVAL_SECOND,
    OPTIONAL_COLUMNS,
    REQUIRED_COLUMNS,
    REST_C_RATE,
    STEP_C_RATE,
    STEP_DELAY_SECOND,
    TAPER_C_RATE,
    VOLTAGE_TOLERANCE_VOLT,
)
from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

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

_FILE = (
    "PARTITION BY battery_id, source_sha256 ORDER BY test_time_second, cycle_key, step_key, voltage_key, current_key"
)
_UP_TO = f"OVER ({_FILE} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
_BEFORE = f"OVER ({_FILE} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"


def cycle_summary_sql(rows_view: str, ratings_view: str) -> str:
    """Return the query that summarises canonical rows, one row a cycle.

    Run it in a session whose time zone is UTC, as the timestamps are.

    :param rows_view: name of a view with :data:`ROW_COLUMNS`.
    :param ratings_view: name of a view with :data:`RATING_COLUMNS`.
    :returns: a query with the columns :data:`~battery_pilot.electrochemistry.cycles.SUMMARY_COLUMNS`.
    :raises InputError: a name is not that of a view.
    """
    expressions = {
        "canonical": _canonical(view_name(rows_view), view_name(ratings_view)),
        "keyed": _add("canonical", _keys()),
        "numbered": _add("keyed", {"position": f"row_number() OVER ({_FILE})"}),
        "classified": _add("numbered", _classes()),
        "neighbours": _add("classified", _neighbours()),
        "intervals": _add("neighbours", _intervals()),
        "marked": _add("intervals", _marks()),
        "running": _add("marked", _running()),
        "discharges": _add("running", {"start": _last(f"CASE WHEN starts THEN {_START} END")}),
        "complete": _add("discharges", _outcomes()),
        "sums": _sums(),
    }
    chain = ",\n".join(f"{name} AS (\n{query}\n)" for name, query in expressions.items())
    return f"WITH {chain}\n{_summary()}"


def view_name(name: str) -> str:
    """Return the name of a view, or refuse what could be more than a name.

    :raises InputError: the name is not a (qualified) SQL identifier.
    """
    if re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", name) is None:
        raise InputError(f"view {name!r}: expected letters, digits and underscores, as in catalog.schema.view")
    return name


def _add(source: str, columns: Mapping[str, str]) -> str:
    """Select everything from ``source`` and more columns; a later one may use an earlier one."""
    added = ",\n  ".join(f"{expression} AS {name}" for name, expression in columns.items())
    return f"SELECT *,\n  {added}\nFROM {source}"


def _real(value: float) -> str:
    """Write a DOUBLE literal; Spark reads a bare ``0.02`` as a decimal."""
    return f"{value!r}D"


def _clean(column: str) -> str:
    """Cast to DOUBLE and make not-a-number null: Spark sorts it above every number, numpy compares it with none."""
    return f"nullif(CAST({column} AS DOUBLE), double('NaN'))"


def _last(value: str, frame: str = _UP_TO) -> str:
    """Return the newest value of a file that is not null, up to or before each row."""
    return f"last_value({value}) IGNORE NULLS {frame}"


def _before(value: str) -> str:
    """Return the value of the row before."""
    return f"lag({value}) OVER ({_FILE})"


def _is(condition: str) -> str:
    """Take an unknown condition for false."""
    return f"coalesce({condition}, false)"


def _canonical(rows_view: str, ratings_view: str) -> str:
    """Join the rows with the limits of their battery."""
    numbers = ",\n  ".join(f"{_clean('r.' + name)} AS {name}" for name in ROW_COLUMNS[3:])
    return f"""SELECT r.battery_id, r.source_sha256, r.measured_at,
  {numbers},
  q.battery_id IS NOT NULL AS rated,
  {_real(REST_C_RATE)} * q.rated_capacity_ah AS rest_ampere,
  {_real(STEP_C_RATE)} * q.rated_capacity_ah AS step_ampere,
  {_real(TAPER_C_RATE)} * q.rated_capacity_ah AS taper_ampere,
  q.minimum_voltage_volt AS empty_volt,
  {_real(FULL_VOLTAGE_FRACTION)} * q.maximum_voltage_volt AS full_volt,
  q.minimum_voltage_volt - {_real(VOLTAGE_TOLERANCE_VOLT)} AS deep_volt,
  q.maximum_voltage_volt + {_real(VOLTAGE_TOLERANCE_VOLT)} AS over_volt,
  {_clean("q.idle_temperature_minimum_celsius")} AS cold_celsius,
  {_clean("q.idle_temperature_maximum_celsius")} AS hot_celsius
FROM {rows_view} r LEFT JOIN {ratings_view} q ON r.battery_id = q.battery_id
WHERE {_clean("r.test_time_second")} IS NOT NULL"""  # noqa: S608 - the names are checked


def _keys() -> dict[str, str]:
    """Columns to sort by; a missing value sorts last, as not-a-number does in numpy."""
    names = {"cycle": "cycle_count", "step": "step_count", "voltage": "voltage_volt", "current": "current_ampere"}
    return {f"{short}_key": f"coalesce({column}, double('Infinity'))" for short, column in names.items()}


def _classes() -> dict[str, str]:
    """Say what a row is by itself."""
    return {
        "known": "voltage_volt IS NOT NULL AND current_ampere IS NOT NULL",
        "power_watt": "voltage_volt * current_ampere",
        "charging": _is("current_ampere > rest_ampere"),
        "discharging": _is("current_ampere < -rest_ampere"),
        "resting": _is("abs(current_ampere) <= rest_ampere AND voltage_volt IS NOT NULL"),
        "loaded": _is("abs(current_ampere) > step_ampere AND voltage_volt IS NOT NULL"),
        "is_full": _is("voltage_volt >= full_volt AND current_ampere <= taper_ampere"),
        "is_empty": _is("voltage_volt < empty_volt"),
    }


def _neighbours() -> dict[str, str]:
    """Look up what a row must know of the rows before it."""
    counter = "CASE WHEN {0} IS NOT NULL THEN struct({0} AS ah, cycle_key AS cycle) END"
    active = "CASE WHEN charging THEN 'charging' WHEN discharging THEN 'discharging' END"
    rest = "struct(position, test_time_second AS second, voltage_volt AS volt, current_ampere AS ampere)"
    return {
        "time_before": _before("test_time_second"),
        "cycle_before": _before("cycle_key"),
        "known_before": _before("known"),
        "current_before": _before("current_ampere"),
        "power_before": _before("power_watt"),
        "temperature_before": _before("temperature_t1_celsius"),
        "full_before": _before("is_full"),
        "voltage_carried": _last("voltage_volt"),
        "voltage_carried_before": _last("voltage_volt", _BEFORE),
        "active_before": _last(active, _BEFORE),
        "charged_full": _last("CASE WHEN charging THEN is_full END", _BEFORE),
        "charged_at": _last("CASE WHEN charging THEN position END"),
        "emptied_at": _last("CASE WHEN is_empty THEN position END", _BEFORE),
        "rest": _last(f"CASE WHEN resting THEN {rest} END", _BEFORE),
        "charge_counter": _last(counter.format("charging_capacity_ah"), _BEFORE),
        "discharge_counter": _last(counter.format("discharging_capacity_ah"), _BEFORE),
    }


def _positive_mean(before: str, after: str) -> str:
    """Return the mean of the positive part of a line from one value to another, 0 where one is missing."""
    size = f"nullif(2 * (abs({before}) + abs({after})), 0)"
    positive = f"(greatest({before}, 0D) + greatest({after}, 0D))"
    return f"coalesce({positive} * {positive} / {size}, 0D)"


def _growth(column: str, counter: str) -> str:
    """Return by how much a counter grew since its last value in the cycle; a reset counter starts from 0."""
    reset = f"CASE WHEN {column} < {_real(COUNTER_RESET_FRACTION)} * {counter}.ah THEN {column} ELSE 0D END"
    growth = f"CASE WHEN {column} >= {counter}.ah THEN {column} - {counter}.ah ELSE {reset} END"
    return f"CASE WHEN {column} IS NOT NULL THEN CASE WHEN {counter}.cycle = cycle_key THEN {growth} ELSE 0D END END"


def _intervals() -> dict[str, str]:
    """Integrals over the interval that ends at each row."""
    return {
        "step_second": "test_time_second - time_before",
        "inside": _is("cycle_key = cycle_before"),
        "short": f"inside AND step_second <= {_real(LONGEST_INTERVAL_SECOND)}",
        "counted": "short AND known AND known_before",
        "gap": "inside AND NOT counted",
        "hours": "CASE WHEN counted THEN step_second / 3600 ELSE 0D END",
        "charge_ah": _positive_mean("current_before", "current_ampere") + " * hours",
        "discharge_ah": _positive_mean("(-current_before)", "(-current_ampere)") + " * hours",
        "charge_wh": _positive_mean("power_before", "power_watt") + " * hours",
        "discharge_wh": _positive_mean("(-power_before)", "(-power_watt)") + " * hours",
        "charge_counter_ah": _growth("charging_capacity_ah", "charge_counter"),
        "discharge_counter_ah": _growth("discharging_capacity_ah", "discharge_counter"),
        "celsius": "(temperature_t1_celsius + temperature_before) / 2",
        "minutes": "CASE WHEN short AND celsius IS NOT NULL THEN step_second / 60 ELSE 0D END",
        "charging_minutes": (
            "CASE WHEN counted AND (current_ampere + current_before) / 2 > rest_ampere THEN minutes ELSE 0D END"
        ),
    }


def _marks() -> dict[str, str]:
    """Rows at which something begins."""
    shortest, longest = map(_real, STEP_DELAY_SECOND)
    return {
        "starts": "discharging AND coalesce(active_before = 'charging', true)",
        "from_full": f"coalesce(full_before, is_full) OR {_is('charged_full')}",
        "is_deep": _is("voltage_carried < deep_volt"),
        "is_over": _is("voltage_carried > over_volt"),
        "deep_begins": f"is_deep AND NOT {_is('voltage_carried_before < deep_volt')}",
        "over_begins": f"is_over AND NOT {_is('voltage_carried_before > over_volt')}",
        "stepped": "loaded AND " + _is(f"test_time_second - rest.second BETWEEN {shortest} AND {longest}"),
    }


_START = """struct(position, cycle_key AS cycle, from_full,
    discharged_ah - discharge_ah AS ah, discharged_wh - discharge_wh AS wh, gaps - CAST(gap AS INT) AS gaps)"""
"""A discharge: the totals before its first interval."""


def _running() -> dict[str, str]:
    """Totals and marks since the file's first row."""
    return {
        "discharged_ah": f"sum(discharge_ah) {_UP_TO}",
        "discharged_wh": f"sum(discharge_wh) {_UP_TO}",
        "net_ah": f"sum(charge_ah - discharge_ah) {_UP_TO}",
        "gaps": f"sum(CAST(gap AS INT)) {_UP_TO}",
        "deep_since": _last("CASE WHEN deep_begins THEN test_time_second END"),
        "over_since": _last("CASE WHEN over_begins THEN test_time_second END"),
        "stepped_from": _last("CASE WHEN stepped THEN rest.position END", _BEFORE),
    }


def _outcomes() -> dict[str, str]:
    """Rows at which something is complete: a full discharge, a current step, an excursion."""
    ends = (
        "is_empty AND coalesce(emptied_at, 0) < start.position AND coalesce(charged_at, 0) < start.position "
        "AND start.from_full AND start.cycle = cycle_key AND start.gaps = gaps"
    )
    lasting = (
        f"{{0}} AND test_time_second - {{1}} >= {_real(EXCURSION_SECOND)} "
        f"AND NOT {_is(f'time_before - {{1}} >= {_real(EXCURSION_SECOND)}')}"
    )
    return {
        "discharge": (
            f"CASE WHEN {ends} THEN struct(position, discharged_ah - start.ah AS ah, discharged_wh - start.wh AS wh) END"
        ),
        "step_ohm": (
            "CASE WHEN stepped AND coalesce(stepped_from <> rest.position, true) "
            "THEN (voltage_volt - rest.volt) / (current_ampere - rest.ampere) END"
        ),
        "deep_event": lasting.format("is_deep", "deep_since"),
        "over_event": lasting.format("is_over", "over_since"),
    }


def _sums() -> str:
    """Aggregate the rows of each cycle."""
    return """SELECT battery_id, source_sha256,
  CAST(first(cycle_count) AS BIGINT) AS cycle_count,
  min(measured_at) AS started_at,
  max(measured_at) AS ended_at,
  max(test_time_second) - min(test_time_second) AS duration_second,
  sum(charge_ah) AS charge_ah,
  sum(discharge_ah) AS discharge_ah,
  sum(charge_wh) AS charge_wh,
  sum(discharge_wh) AS discharge_wh,
  sum(charge_counter_ah) AS counter_charge_ah,
  sum(discharge_counter_ah) AS counter_discharge_ah,
  min(voltage_volt) AS minimum_voltage_volt,
  max(voltage_volt) AS maximum_voltage_volt,
  nullif(sum(minutes), 0) AS temperature_minute,
  sum(celsius * minutes) AS celsius_minute,
  max(temperature_t1_celsius) AS maximum_temperature_celsius,
  min(discharge) AS discharge,
  median(step_ohm) FILTER (WHERE step_ohm > 0) AS dc_resistance_ohm,
  median(test_time_second - rest.second) FILTER (WHERE step_ohm > 0) AS dc_resistance_delay_second,
  sum(CASE WHEN celsius > hot_celsius THEN minutes ELSE 0D END) AS hot_minute,
  sum(CASE WHEN celsius < cold_celsius THEN minutes ELSE 0D END) AS cold_minute,
  sum(CASE WHEN celsius > hot_celsius THEN charging_minutes ELSE 0D END) AS charging_hot_minute,
  sum(CASE WHEN celsius < cold_celsius THEN charging_minutes ELSE 0D END) AS charging_cold_minute,
  count_if(deep_event) AS deep_discharge_events,
  count_if(over_event) AS overcharge_events,
  max_by(net_ah, position) - max_by(CASE WHEN is_empty THEN net_ah END, CASE WHEN is_empty THEN position END)
    AS net_ah_since_empty,
  sum(CASE WHEN gap THEN step_second ELSE 0D END) AS gap_second,
  count(*) AS rows,
  first(rated) AS rated, first(hot_celsius) AS hot_celsius, first(cold_celsius) AS cold_celsius
FROM complete
GROUP BY battery_id, source_sha256, cycle_key"""


def _summary() -> str:
    """Select the columns of a summary in their order, null where there is nothing to say."""
    known_hot = "temperature_minute IS NOT NULL AND hot_celsius IS NOT NULL"
    known_cold = "temperature_minute IS NOT NULL AND cold_celsius IS NOT NULL"
    throughput = "nullif(greatest(charge_ah, discharge_ah, counter_charge_ah, counter_discharge_ah), 0)"
    difference = "greatest(abs(charge_ah - counter_charge_ah), abs(discharge_ah - counter_discharge_ah))"
    restored = f"abs(charge_ah - discharge_ah) <= {_real(FULL_CYCLE_FRACTION)} * discharge_ah"
    return f"""SELECT battery_id, source_sha256, cycle_count, started_at, ended_at, duration_second,
  charge_ah, discharge_ah, charge_wh, discharge_wh, counter_charge_ah, counter_discharge_ah,
  100 * {difference} / {throughput} AS counter_disagreement_percent,
  minimum_voltage_volt, maximum_voltage_volt,
  celsius_minute / temperature_minute AS mean_temperature_celsius, maximum_temperature_celsius,
  discharge.ah AS capacity_ah, discharge.wh AS capacity_wh,
  discharge IS NOT NULL AND {restored} AS is_full_cycle,
  dc_resistance_ohm, dc_resistance_delay_second,
  CASE WHEN {known_hot} THEN hot_minute END AS time_above_idle_minute,
  CASE WHEN {known_cold} THEN cold_minute END AS time_below_idle_minute,
  CASE WHEN {known_hot} THEN charging_hot_minute END AS charging_time_above_idle_minute,
  CASE WHEN {known_cold} THEN charging_cold_minute END AS charging_time_below_idle_minute,
  CASE WHEN rated THEN deep_discharge_events END AS deep_discharge_events,
  CASE WHEN rated THEN overcharge_events END AS overcharge_events,
  net_ah_since_empty, gap_second, rows
FROM sums"""  # noqa: S608 - nothing in it comes from outside
