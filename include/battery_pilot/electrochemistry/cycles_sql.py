"""The cycle summaries of :mod:`battery_pilot.electrochemistry.cycles` as one Spark SQL statement.

The statement is a chain of common table expressions; each adds columns that the next one uses. All windows have the same
partition and order (a file by test time), so Spark shuffles and sorts the rows once. What needs a wide view is asked of
*segments*, the runs of rows of one class (:data:`_CLASSES`), which are far fewer than rows. The definitions are those of
the pandas engine, which explains them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from battery_pilot.electrochemistry.definitions import (
    CONSTANT_VOLTAGE_FRACTION,
    COUNTER_RESET_FRACTION,
    COUNTERS,
    EXCURSION_SECOND,
    FULL_CYCLE_FRACTION,
    FULL_VOLTAGE_FRACTION,
    LONGEST_INTERVAL_SECOND,
    OPTIONAL_COLUMNS,
    POWER_STATES_OF_CHARGE_PERCENT,
    PULSE_CURRENT_FRACTION,
    PULSE_DELAY_SECOND,
    REQUIRED_COLUMNS,
    REST_C_RATE,
    STATE_OF_CHARGE_TOLERANCE_PERCENT,
    STEP_C_RATE,
    STEP_DELAY_SECOND,
    STORAGE_SECOND,
    SUMMARY_COLUMNS,
    TAPER_C_RATE,
    VOLTAGE_TOLERANCE_FRACTION,
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

_TIES = ", ".join(f"{name} ASC NULLS LAST" for name in ("step_count", "voltage_volt", "current_ampere"))
_FILE = f"PARTITION BY battery_id, source_sha256 ORDER BY test_time_second, cycle_key, {_TIES}"
_SEGMENTS = "PARTITION BY battery_id, source_sha256 ORDER BY segment"
_UP_TO = f"OVER ({_SEGMENTS} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
_BEFORE = f"OVER ({_SEGMENTS} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
# Looking back in the reverse order: a frame that ends with UNBOUNDED FOLLOWING takes quadratic time.
_FROM = f"OVER ({_SEGMENTS} DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"

_CLASSES = {
    "charging": "current_ampere > rest_ampere",
    "discharging": "current_ampere < -rest_ampere",
    "resting": "abs(current_ampere) <= rest_ampere AND voltage_volt IS NOT NULL",
    "loaded": "abs(current_ampere) > step_ampere AND voltage_volt IS NOT NULL",
    "is_full": "voltage_volt >= full_volt AND current_ampere <= taper_ampere",
    "is_empty": "voltage_volt < empty_volt",
    "is_deep": "voltage_volt < deep_volt",
    "is_over": "voltage_volt > over_volt",
    "seen": "voltage_volt IS NOT NULL",
}
"""What a row is by itself; the class of a row has a bit for each."""


def cycle_summary_sql(rows_view: str, ratings_view: str) -> str:
    """Return the query that summarises canonical rows, one row a cycle.

    Run it in a session whose time zone is UTC, as the timestamps are.

    :param rows_view: name of a view with :data:`ROW_COLUMNS`.
    :param ratings_view: name of a view with :data:`RATING_COLUMNS`.
    :returns: a query with the columns :data:`~battery_pilot.electrochemistry.definitions.SUMMARY_COLUMNS`.
    :raises InputError: a name is not that of a view.
    """
    expressions = {
        "canonical": _canonical(view_name(rows_view), view_name(ratings_view)),
        "classified": _add(
            "canonical", {"cycle_key": "coalesce(cycle_count, double('Infinity'))", "class": _class()}
        ),
        "neighbours": _add("classified", _neighbours()),
        "running": _add("neighbours", _running()),
        "intervals": _add("running", _intervals() | _steps()),
        "segments": _segments(),
        "named": _add("segments", {name: f"class & {bit} != 0" for name, bit in _bits().items()}),
        "totals": _add("named", _totals()),
        "marked": _add("totals", _marks()),
        "discharges": _add("marked", _runs()),
        "complete": _add("discharges", _outcomes()),
        "charged": _add("complete", _pulse_states()),
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
    return f"{float(value)!r}D"


def _clean(column: str) -> str:
    """Cast to DOUBLE and make not-a-number null: Spark sorts it above every number, numpy compares it with none."""
    return f"nullif(CAST({column} AS DOUBLE), double('NaN'))"


def _last(value: str, frame: str = _UP_TO) -> str:
    """Return the newest value of a file that is not null, up to or before each segment."""
    return f"last_value({value}) IGNORE NULLS {frame}"


def _is(condition: str) -> str:
    """Take an unknown condition for false."""
    return f"coalesce({condition}, false)"


def _bits() -> dict[str, int]:
    return {name: 1 << position for position, name in enumerate(_CLASSES)}


def _class() -> str:
    """Sum up the bits of a row."""
    return " + ".join(
        f"CASE WHEN {condition} THEN {_bits()[name]} ELSE 0 END" for name, condition in _CLASSES.items()
    )


def _canonical(rows_view: str, ratings_view: str) -> str:
    """Join the rows with the limits of their battery."""
    numbers = ",\n  ".join(f"{_clean('r.' + name)} AS {name}" for name in ROW_COLUMNS[3:])
    tolerance = f"greatest({_real(VOLTAGE_TOLERANCE_VOLT)}, {_real(VOLTAGE_TOLERANCE_FRACTION)} * q.{{0}})"
    return f"""SELECT r.battery_id, r.source_sha256, r.measured_at,
  {numbers},
  q.battery_id IS NOT NULL AS rated,
  {_real(REST_C_RATE)} * q.rated_capacity_ah AS rest_ampere,
  {_real(STEP_C_RATE)} * q.rated_capacity_ah AS step_ampere,
  {_real(TAPER_C_RATE)} * q.rated_capacity_ah AS taper_ampere,
  q.minimum_voltage_volt AS empty_volt,
  {_real(FULL_VOLTAGE_FRACTION)} * q.maximum_voltage_volt AS full_volt,
  {_real(CONSTANT_VOLTAGE_FRACTION)} * q.maximum_voltage_volt AS held_volt,
  q.minimum_voltage_volt - {tolerance.format("minimum_voltage_volt")} AS deep_volt,
  q.maximum_voltage_volt + {tolerance.format("maximum_voltage_volt")} AS over_volt,
  {_clean("q.idle_temperature_minimum_celsius")} AS cold_celsius,
  {_clean("q.idle_temperature_maximum_celsius")} AS hot_celsius
FROM {rows_view} r LEFT JOIN {ratings_view} q ON r.battery_id = q.battery_id
WHERE {_clean("r.test_time_second")} IS NOT NULL"""  # noqa: S608 - the names are checked


def _neighbours() -> dict[str, str]:
    """Look up the row before, and the last value of each counter."""
    before = ("test_time_second", "cycle_key", "voltage_volt", "current_ampere", "temperature_t1_celsius", "class")
    counter = "CASE WHEN {0} IS NOT NULL THEN struct({0} AS value, cycle_key AS cycle) END"
    frame = f"OVER ({_FILE} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
    return {
        "position": f"row_number() OVER ({_FILE})",
        **{f"{name}_before": f"lag({name}) OVER ({_FILE})" for name in before},
        **{f"{name}_counter": _last(counter.format(column), frame) for name, column in COUNTERS.items()},
    }


def _running() -> dict[str, str]:
    """Return the number of the segment, the newest resting row and the current with which the load began after it."""
    frame = f"OVER ({_FILE} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    resting = f"class & {_bits()['resting']} != 0"
    onset = f"CASE WHEN class_before & {_bits()['resting']} != 0 THEN coalesce(current_ampere, double('NaN')) END"
    begins = "class = class_before AND cycle_key = cycle_key_before"
    return {
        "segment": f"sum(CASE WHEN {begins} THEN 0 ELSE 1 END) {frame}",
        "rest_second": _last(f"CASE WHEN {resting} THEN test_time_second END", frame),
        "rest_volt": _last(f"CASE WHEN {resting} THEN voltage_volt END", frame),
        "rest_current": _last(f"CASE WHEN {resting} THEN current_ampere END", frame),
        "onset_ampere": _last(onset, frame),
        "begins": f"NOT {_is(begins)}",
    }


def _both_ways(before: str, after: str) -> tuple[str, str]:
    """Return the means of the positive and of the negative part of a line, null where an end is missing."""
    size = f"nullif(2 * (abs({before}) + abs({after})), 0)"
    up = f"(greatest({before}, 0D) + greatest({after}, 0D))"
    down = f"(greatest(-({before}), 0D) + greatest(-({after}), 0D))"
    return f"{up} * ({up} / {size})", f"{down} * ({down} / {size})"


def _growth(column: str, counter: str) -> str:
    """Return by how much a counter grew since its last value in the cycle; a reset counter starts from 0."""
    last = f"{counter}.value"
    reset = f"CASE WHEN {column} < {_real(COUNTER_RESET_FRACTION)} * {last} THEN {column} ELSE 0D END"
    growth = f"CASE WHEN {column} >= {last} THEN {column} - {last} ELSE {reset} END"
    return f"CASE WHEN {column} IS NOT NULL THEN CASE WHEN {counter}.cycle = cycle_key THEN {growth} ELSE 0D END END"


def _intervals() -> dict[str, str]:
    """Integrals over the interval that ends at each row."""
    charge, discharge = _both_ways("current_ampere_before", "current_ampere")
    charged, discharged = _both_ways("voltage_volt_before * current_ampere_before", "voltage_volt * current_ampere")
    charging = _bits()["charging"]
    return {
        "step_second": "test_time_second - test_time_second_before",
        "inside": _is("cycle_key = cycle_key_before"),
        "short": f"inside AND step_second <= {_real(LONGEST_INTERVAL_SECOND)}",
        "known": "voltage_volt + current_ampere + voltage_volt_before + current_ampere_before IS NOT NULL",
        "hours": "CASE WHEN short AND known THEN step_second / 3600 ELSE 0D END",
        "gap": "inside AND NOT (short AND known)",
        "charge_ah": f"coalesce({charge} * hours, 0D)",
        "discharge_ah": f"coalesce({discharge} * hours, 0D)",
        "charge_wh": f"coalesce({charged} * hours, 0D)",
        "discharge_wh": f"coalesce({discharged} * hours, 0D)",
        "held": f"class & class_before & {charging} != 0 AND least(voltage_volt, voltage_volt_before) >= held_volt",
        **{f"counter_{name}": _growth(column, f"{name}_counter") for name, column in COUNTERS.items()},
        "celsius": "(temperature_t1_celsius + temperature_t1_celsius_before) / 2",
        "minutes": "CASE WHEN short AND celsius IS NOT NULL THEN step_second / 60 ELSE 0D END",
        "charging_minutes": (
            "CASE WHEN known AND (current_ampere + current_ampere_before) / 2 > rest_ampere THEN minutes ELSE 0D END"
        ),
    }


def _steps() -> dict[str, str]:
    """Resistances seen by the loaded rows after a rest."""
    loaded = f"class & {_bits()['loaded']} != 0"
    onset = f"abs(current_ampere - onset_ampere) <= {_real(PULSE_CURRENT_FRACTION)} * abs(onset_ampere)"

    def between(limits: tuple[float, float]) -> str:
        return f"{loaded} AND delay BETWEEN {_real(limits[0])} AND {_real(limits[1])}"

    return {
        "delay": "test_time_second - rest_second",
        "stepped": between(STEP_DELAY_SECOND),
        "pulsed": f"{between(PULSE_DELAY_SECOND)} AND {onset}",
        "disturbed": (
            f"class & {_bits()['resting']} = 0 AND delay < {_real(PULSE_DELAY_SECOND[0])} "
            f"AND NOT {_is(f'{loaded} AND {onset}')}"
        ),
        "ohm": "(voltage_volt - rest_volt) / nullif(current_ampere - rest_current, 0)",
    }


def _segments() -> str:
    """Aggregate the rows of each segment."""
    counters = ",\n  ".join(f"sum(counter_{name}) AS counter_{name}" for name in COUNTERS)
    return f"""SELECT battery_id, source_sha256, cycle_key, segment,
  max(class) AS class,
  min(measured_at) AS started_at, max(measured_at) AS ended_at,
  min(test_time_second) AS first_second, max(test_time_second) AS last_second,
  sum(charge_ah) AS charge_ah, sum(discharge_ah) AS discharge_ah,
  sum(charge_wh) AS charge_wh, sum(discharge_wh) AS discharge_wh,
  sum(CASE WHEN begins THEN charge_ah - discharge_ah ELSE 0D END) AS first_net_ah,
  sum(CASE WHEN begins THEN discharge_ah ELSE 0D END) AS first_discharge_ah,
  sum(CASE WHEN begins THEN discharge_wh ELSE 0D END) AS first_discharge_wh,
  sum(CASE WHEN begins AND gap THEN 1 ELSE 0 END) AS first_gaps,
  sum(CASE WHEN gap THEN 1 ELSE 0 END) AS gaps,
  sum(CASE WHEN gap THEN step_second ELSE 0D END) AS gap_second,
  sum(CASE WHEN held THEN charge_ah ELSE 0D END) AS held_ah,
  {counters},
  min(voltage_volt) AS minimum_voltage_volt, max(voltage_volt) AS maximum_voltage_volt,
  max_by(voltage_volt, CASE WHEN voltage_volt IS NOT NULL THEN position END) AS end_volt,
  min(temperature_t1_celsius) AS minimum_temperature_celsius,
  max(temperature_t1_celsius) AS maximum_temperature_celsius,
  sum(minutes) AS temperature_minute,
  sum(celsius * minutes) AS celsius_minute,
  sum(CASE WHEN celsius > hot_celsius THEN minutes ELSE 0D END) AS hot_minute,
  sum(CASE WHEN celsius < cold_celsius THEN minutes ELSE 0D END) AS cold_minute,
  sum(CASE WHEN celsius > hot_celsius THEN charging_minutes ELSE 0D END) AS charging_hot_minute,
  sum(CASE WHEN celsius < cold_celsius THEN charging_minutes ELSE 0D END) AS charging_cold_minute,
  max_by(state_of_charge_percent, CASE WHEN state_of_charge_percent IS NOT NULL THEN position END) AS soc_percent,
  min_by(CASE WHEN stepped THEN ohm END, CASE WHEN stepped THEN position END) AS step_ohm,
  min(CASE WHEN stepped THEN delay END) AS step_delay,
  min_by(CASE WHEN pulsed THEN ohm END, CASE WHEN pulsed THEN position END) AS pulse_ohm,
  sum(CASE WHEN disturbed THEN 1 ELSE 0 END) AS disturbances,
  max(rest_volt) AS rest_volt,
  count(*) AS rows,
  max(rated) AS rated, max(empty_volt) AS empty_volt, max(held_volt) AS held_volt,
  max(hot_celsius) AS hot_celsius, max(cold_celsius) AS cold_celsius
FROM intervals
GROUP BY battery_id, source_sha256, cycle_key, segment"""  # noqa: S608 - nothing in it comes from outside


def _totals() -> dict[str, str]:
    """Totals since the file's first row, and what was before."""
    active = "CASE WHEN charging THEN true WHEN discharging THEN false END"
    return {
        "net_end_ah": f"sum(charge_ah - discharge_ah) {_UP_TO}",
        "gaps_end": f"sum(gaps) {_UP_TO}",
        "discharged_before_ah": f"sum(discharge_ah) {_UP_TO} - discharge_ah",
        "discharged_before_wh": f"sum(discharge_wh) {_UP_TO} - discharge_wh",
        "disturbances_end": f"sum(disturbances) {_UP_TO}",
        "charging_before": _last(active, _BEFORE),
        "charged_full": _last("CASE WHEN charging THEN is_full END", _BEFORE),
        "charged_second": _last("CASE WHEN charging THEN last_second END", _BEFORE),
        "charged_at": _last("CASE WHEN charging THEN segment END"),
        "emptied_at": _last("CASE WHEN is_empty THEN segment END", _BEFORE),
        "rest": _last("CASE WHEN resting THEN segment END"),
        "full_before": f"lag(is_full) OVER ({_SEGMENTS})",
        "second_before": f"lag(last_second) OVER ({_SEGMENTS})",
        "deep": _is(_last("CASE WHEN seen THEN is_deep END")),
        "deep_before": _is(_last("CASE WHEN seen THEN is_deep END", _BEFORE)),
        "over": _is(_last("CASE WHEN seen THEN is_over END")),
        "over_before": _is(_last("CASE WHEN seen THEN is_over END", _BEFORE)),
    }


def _marks() -> dict[str, str]:
    """Segments at which something begins."""
    return {
        "starts": "discharging AND coalesce(charging_before, true)",
        "from_full": f"coalesce(full_before, is_full) OR {_is('charged_full')}",
        "topped": "is_full AND (charging OR NOT discharging AND charging_before IS NULL)",
        "net_first_ah": "net_end_ah - charge_ah + discharge_ah + first_net_ah",
        "gaps_first": "gaps_end - gaps + first_gaps",
    }


_START = """struct(segment, cycle_key AS cycle, from_full, discharged_before_ah AS ah, discharged_before_wh AS wh,
    gaps_end - gaps AS gaps, first_second - charged_second AS storage_second)"""
"""A discharge: the totals before its first interval."""


def _runs() -> dict[str, str]:
    """Where discharges and excursions began, and the newest full segment."""
    return {
        "start": _last(f"CASE WHEN starts THEN {_START} END"),
        "deep_since": _last("CASE WHEN deep AND NOT deep_before THEN first_second END"),
        "over_since": _last("CASE WHEN over AND NOT over_before THEN first_second END"),
        "top": _last("CASE WHEN topped THEN struct(segment, net_end_ah AS ah, gaps_end AS gaps) END"),
        "stepped_from": _last("CASE WHEN step_ohm IS NOT NULL THEN rest END", _BEFORE),
        "undisturbed": "disturbances_end = " + _last("CASE WHEN resting THEN disturbances_end END"),
        "pulsed_from": _last("CASE WHEN pulse_ohm IS NOT NULL THEN rest END", _BEFORE),
    }


def _outcomes() -> dict[str, str]:
    """Segments at which something is complete: a full discharge, a current step, an excursion."""
    ends = (
        "is_empty AND coalesce(emptied_at, 0) < start.segment AND coalesce(charged_at, 0) < start.segment "
        "AND start.from_full AND start.cycle = cycle_key AND start.gaps = gaps_first"
    )
    stored = _is(f"start.storage_second >= {_real(STORAGE_SECOND)}")
    delivered = """struct(segment, discharged_before_ah + first_discharge_ah - start.ah AS ah,
    discharged_before_wh + first_discharge_wh - start.wh AS wh, start.storage_second AS storage_second)"""
    lasting = (
        f"{{0}} AND last_second - {{0}}_since >= {_real(EXCURSION_SECOND)} "
        f"AND NOT {_is(f'second_before - {{0}}_since >= {_real(EXCURSION_SECOND)}')}"
    )
    return {
        "discharge": f"CASE WHEN {ends} AND NOT {stored} THEN {delivered} END",
        "retained": f"CASE WHEN {ends} AND {stored} THEN {delivered} END",
        "first_step_ohm": "CASE WHEN step_ohm > 0 AND coalesce(stepped_from <> rest, true) THEN step_ohm END",
        "first_pulse_ohm": (
            "CASE WHEN undisturbed AND pulse_ohm > 0 AND coalesce(pulsed_from <> rest, true) THEN pulse_ohm END"
        ),
        "power_watt": "empty_volt * (rest_volt - empty_volt) / first_pulse_ohm",
        "deep_event": lasting.format("deep"),
        "over_event": lasting.format("over"),
        "bottom": (
            "last_value(CASE WHEN is_empty THEN struct(top.segment, net_first_ah AS ah, gaps_first AS gaps) END) "
            f"IGNORE NULLS {_FROM}"
        ),
    }


def _pulse_states() -> dict[str, str]:
    """State of charge at the rest before each segment."""
    bridged = "top.segment = bottom.segment AND top.gaps = bottom.gaps AND top.ah > bottom.ah"
    share = f"CASE WHEN {bridged} THEN 100 * (net_end_ah - bottom.ah) / (top.ah - bottom.ah) END"
    return {"rest_percent": _last(f"CASE WHEN resting THEN struct({share} AS value) END") + ".value"}


def _power(percent: int) -> str:
    away = f"abs(rest_percent - {_real(percent)})"
    near = f"discharging AND power_watt > 0 AND {away} <= {_real(STATE_OF_CHARGE_TOLERANCE_PERCENT)}"
    return f"min_by(power_watt, {away}) FILTER (WHERE {near}) AS power_at_{percent}_percent_watt"


def _sums() -> str:
    """Aggregate the segments of each cycle."""
    added = (
        *("charge_ah", "discharge_ah", "charge_wh", "discharge_wh", "held_ah", "gap_second", "rows"),
        *(f"counter_{name}" for name in COUNTERS),
        *("celsius_minute", "hot_minute", "cold_minute", "charging_hot_minute", "charging_cold_minute"),
    )
    return f"""SELECT battery_id, source_sha256,
  CAST(nullif(cycle_key, double('Infinity')) AS BIGINT) AS cycle_count,
  min(started_at) AS started_at,
  max(ended_at) AS ended_at,
  max(last_second) - min(first_second) AS duration_second,
  {", ".join(f"sum({name}) AS {name}" for name in added)},
  min(minimum_voltage_volt) AS minimum_voltage_volt,
  max(maximum_voltage_volt) AS maximum_voltage_volt,
  max_by(end_volt, segment) FILTER (WHERE charging AND seen) AS charge_end_voltage_volt,
  max_by(end_volt, segment) FILTER (WHERE discharging AND seen) AS discharge_end_voltage_volt,
  bool_or(charging AND maximum_voltage_volt >= held_volt) AS charges_held,
  bool_or(charging AND is_full) AS charges_full,
  min(minimum_temperature_celsius) AS minimum_temperature_celsius,
  max(maximum_temperature_celsius) AS maximum_temperature_celsius,
  nullif(sum(temperature_minute), 0) AS temperature_minute,
  min(discharge) AS discharge,
  min(retained) AS retained,
  median(first_step_ohm) AS dc_resistance_ohm,
  median(step_delay) FILTER (WHERE first_step_ohm IS NOT NULL) AS dc_resistance_delay_second,
  median(first_pulse_ohm) FILTER (WHERE discharging) AS discharge_pulse_resistance_ohm,
  median(first_pulse_ohm) FILTER (WHERE charging) AS charge_pulse_resistance_ohm,
  {", ".join(_power(percent) for percent in POWER_STATES_OF_CHARGE_PERCENT)},
  count_if(deep_event) AS deep_discharge_events,
  count_if(over_event) AS overcharge_events,
  max_by(net_end_ah, segment) - max_by(net_end_ah, segment) FILTER (WHERE is_empty) AS net_ah_since_empty,
  max_by(soc_percent, segment) FILTER (WHERE soc_percent IS NOT NULL) AS state_of_charge_percent,
  max(rated) AS rated, max(hot_celsius) AS hot_celsius, max(cold_celsius) AS cold_celsius
FROM charged
GROUP BY battery_id, source_sha256, cycle_key"""  # noqa: S608 - nothing in it comes from outside


def _disagreement(unit: str) -> str:
    """Return the larger difference between integral and counter, percent of the cycle's larger throughput."""
    values = ", ".join(f"{counter}{way}_{unit}" for counter in ("", "counter_") for way in ("charge", "discharge"))
    differences = ", ".join(f"abs({way}_{unit} - counter_{way}_{unit})" for way in ("charge", "discharge"))
    return f"100 * greatest({differences}) / nullif(greatest({values}), 0)"


def _summary() -> str:
    """Select the columns of a summary in their order, null where there is nothing to say."""
    known_hot = "temperature_minute IS NOT NULL AND hot_celsius IS NOT NULL"
    known_cold = "temperature_minute IS NOT NULL AND cold_celsius IS NOT NULL"
    returned = "discharge IS NOT NULL AND charges_full AND charge_ah > 0"
    derived = {
        "counter_disagreement_percent": _disagreement("ah"),
        "counter_energy_disagreement_percent": _disagreement("wh"),
        "constant_voltage_share_percent": "CASE WHEN charges_held AND charge_ah > 0 THEN 100 * held_ah / charge_ah END",
        "mean_temperature_celsius": "celsius_minute / temperature_minute",
        "capacity_ah": "discharge.ah",
        "capacity_wh": "discharge.wh",
        "retained_ah": "retained.ah",
        "storage_second": "retained.storage_second",
        "is_full_cycle": (
            f"discharge IS NOT NULL AND abs(charge_ah - discharge_ah) <= {_real(FULL_CYCLE_FRACTION)} * discharge_ah"
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
    columns = ",\n  ".join(f"{derived.get(name, name)} AS {name}" for name in SUMMARY_COLUMNS)
    return f"SELECT {columns}\nFROM sums"  # noqa: S608 - nothing in it comes from outside
