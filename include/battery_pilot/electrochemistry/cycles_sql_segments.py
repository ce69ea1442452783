"""Segment level of :mod:`.cycles_sql`: discharges, steps and excursions from the runs of rows of one class.

Two windows over the segments of a file find what begins and ends where. Then the segments of a cycle are added up, but for
the few *single* ones: those with a resistance, the end of a discharge or the first empty row after a rest. They are
needed one by one for medians and for the state of charge of a pulse, which a later empty row decides.
"""

from __future__ import annotations

from battery_pilot.electrochemistry.cycles_sql_rows import BITS, FILE_KEYS, PASSIVE
from battery_pilot.electrochemistry.definitions import (
    COUNTERS,
    EXCURSION_SECOND,
    NEIGHBOUR_PERCENT,
    POWER_STATES_OF_CHARGE_PERCENT,
    STATE_OF_CHARGE_TOLERANCE_PERCENT,
    STORAGE_SECOND,
)
from battery_pilot.electrochemistry.sql_expressions import add, holds, real, select

_SEGMENTS = "PARTITION BY file ORDER BY segment"
_UP_TO = f"OVER ({_SEGMENTS} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
_BEFORE = f"OVER ({_SEGMENTS} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)"
# Looking ahead in the reverse order: a frame that ends with UNBOUNDED FOLLOWING takes quadratic time.
_FROM = "OVER (PARTITION BY file ORDER BY single DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"


def segment_expressions() -> dict[str, str]:
    """Return the common table expressions by name, from ``segments`` on; the last one is ``sums``, one row a cycle."""
    return {
        "named": add("segments", {name: f"class & {bit} != 0" for name, bit in BITS.items()}),
        "totals": add("named", _totals()),
        "marked": add("totals", _marks()),
        "discharges": add("marked", _runs()),
        "complete": add("discharges", _outcomes()),
        "reduced": _reduced(),
        "placed": _placed(),
        "sums": _sums(),
    }


def _last(value: str, frame: str = _UP_TO) -> str:
    """Return the newest value of a file that is not null, up to or before each segment."""
    return f"last_value({value}) IGNORE NULLS {frame}"


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
        "deep": holds(_last("CASE WHEN seen THEN is_deep END")),
        "deep_before": holds(_last("CASE WHEN seen THEN is_deep END", _BEFORE)),
        "over": holds(_last("CASE WHEN seen THEN is_over END")),
        "over_before": holds(_last("CASE WHEN seen THEN is_over END", _BEFORE)),
    }


def _marks() -> dict[str, str]:
    """Segments at which something begins, and those that are empty for the first time after a rest."""
    return {
        "starts": "discharging AND coalesce(charging_before, true)",
        "from_full": f"coalesce(full_before, is_full) OR {holds('charged_full')}",
        "topped": "is_full AND (charging OR NOT discharging AND charging_before IS NULL)",
        "net_first_ah": "net_end_ah - charge_ah + discharge_ah + first_net_ah",
        "gaps_first": "gaps_end - gaps + first_gaps",
        "bottoms": holds("is_empty AND coalesce(emptied_at, 0) < rest"),
    }


_START = """struct(segment, cycle_key AS cycle, from_full, discharged_before_ah AS ah, discharged_before_wh AS wh,
    gaps_end - gaps AS gaps, first_second - charged_second AS storage_second)"""
"""A discharge: the totals before its first interval."""


def _runs() -> dict[str, str]:
    """Where discharges and excursions began, the newest full segment and the first empty one after the newest rest."""
    return {
        "start": _last(f"CASE WHEN starts THEN {_START} END"),
        "deep_since": _last("CASE WHEN deep AND NOT deep_before THEN first_second END"),
        "over_since": _last("CASE WHEN over AND NOT over_before THEN first_second END"),
        "top": _last("CASE WHEN topped THEN struct(segment, net_end_ah AS ah, gaps_end AS gaps) END"),
        "bottom": _last("CASE WHEN bottoms THEN struct(segment, net_first_ah AS ah, gaps_first AS gaps) END"),
        "rest_net_ah": _last("CASE WHEN resting THEN net_end_ah END"),
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
    lasting = (
        f"{{0}} AND last_second - {{0}}_since >= {real(EXCURSION_SECOND)} "
        f"AND NOT {holds(f'second_before - {{0}}_since >= {real(EXCURSION_SECOND)}')}"
    )
    return {
        "ends": holds(ends),
        "delivered_ah": "CASE WHEN ends THEN discharged_before_ah + first_discharge_ah - start.ah END",
        "delivered_wh": "CASE WHEN ends THEN discharged_before_wh + first_discharge_wh - start.wh END",
        "storage_second": "CASE WHEN ends THEN start.storage_second END",
        "first_step_ohm": "CASE WHEN step_ohm > 0 AND coalesce(stepped_from <> rest, true) THEN step_ohm END",
        "first_pulse_ohm": (
            "CASE WHEN undisturbed AND pulse_ohm > 0 AND coalesce(pulsed_from <> rest, true) THEN pulse_ohm END"
        ),
        "deep_event": lasting.format("deep"),
        "over_event": lasting.format("over"),
        "single": (
            "CASE WHEN bottoms OR ends OR first_step_ohm IS NOT NULL OR first_pulse_ohm IS NOT NULL THEN segment END"
        ),
    }


_NEWEST = {
    "charge_end_volt": ("end_volt", "charging AND seen"),
    "discharge_end_volt": ("end_volt", "discharging AND seen"),
    "soc_percent": ("soc_percent", "soc_percent IS NOT NULL"),
    "net_end_ah": ("net_end_ah", "true"),
    "net_empty_ah": ("net_end_ah", "is_empty"),
}
"""Name to what is taken from the newest segment of a cycle under a condition."""

_ADDED = (
    *("charge_ah", "discharge_ah", "charge_wh", "discharge_wh", "held_ah", "gap_second", "rows"),
    *(f"counter_{name}" for name in COUNTERS),
    *("celsius_minute", "hot_minute", "cold_minute", "charging_hot_minute", "charging_cold_minute"),
    "temperature_minute",
)
_LEAST = ("started_at", "first_second", "minimum_voltage_volt", "minimum_temperature_celsius")
_GREATEST = ("ended_at", "last_second", "maximum_voltage_volt", "maximum_temperature_celsius")
_FLAGS = {"charges_held": "held", "charges_full": "charging AND is_full"}
_EVENTS = {"deep_discharge_events": "deep_event", "overcharge_events": "over_event"}
_OF_SINGLE = (
    *("delivered_ah", "delivered_wh", "storage_second", "step_delay", "first_step_ohm", "first_pulse_ohm"),
    *("discharging", "rest", "rest_volt", "rest_net_ah"),
)


def _reduced() -> str:
    """Add up the segments of each cycle, except for the single ones."""
    newest: dict[str, str] = {}
    for name, (value, condition) in _NEWEST.items():
        at = f"CASE WHEN {condition} THEN segment END"
        newest |= {name: f"max_by({value}, {at})", f"{name}_at": f"max({at})"}
    marks = {"top": ("top.segment", "top.ah", "top.gaps"), "bottom": ("bottom.segment", "bottom.ah", "bottom.gaps")}
    columns = {
        **{name: name for name in ("file", "cycle_key", "single")},
        **{name: f"sum({name})" for name in _ADDED},
        **{name: f"min({name})" for name in _LEAST},
        **{name: f"max({name})" for name in _GREATEST},
        **{name: f"bool_or({condition})" for name, condition in _FLAGS.items()},
        **{name: f"count_if({condition})" for name, condition in _EVENTS.items()},
        **newest,
        **{name: f"max(CASE WHEN single IS NOT NULL THEN {name} END)" for name in _OF_SINGLE},
        **{
            f"{mark}_{value.partition('.')[2]}": f"max(CASE WHEN single IS NOT NULL THEN {value} END)"
            for mark, values in marks.items()
            for value in values
        },
        "empties": "bool_or(bottoms)",
        "begins_ah": "max(CASE WHEN bottoms THEN net_first_ah END)",
        "begins_gaps": "max(CASE WHEN bottoms THEN gaps_first END)",
    }
    passive = ", ".join(f"passive.{name} AS {name}" for name in PASSIVE)
    unpacked = f"(SELECT *, {passive} FROM complete)"  # noqa: S608 - nothing in it comes from outside
    return f"{select(unpacked, columns)}\nGROUP BY file, cycle_key, single"


def _placed() -> str:
    """Give what is left of a file its limits again, and find the states of charge."""
    joined = "reduced JOIN files USING (file)"
    return select(joined, {"*": "*"} | _states_of_charge()).replace("SELECT", "SELECT /*+ BROADCAST(files) */", 1)


def _states_of_charge() -> dict[str, str]:
    """State of charge at the rest before a pulse, between the newest full segment and the first empty one after the rest.

    That lies before the pulse itself or after it. No charge ends full in the seconds between the rest and the pulse.
    """
    later = "struct(top_segment, begins_ah AS ah, begins_gaps AS gaps)"
    nearer = "struct(top_segment, bottom_ah AS ah, bottom_gaps AS gaps)"
    bridged = (
        "top_segment = empty.top_segment AND top_segment <= rest AND top_gaps = empty.gaps AND top_ah > empty.ah"
    )
    return {
        "later": f"last_value(CASE WHEN empties THEN {later} END) IGNORE NULLS {_FROM}",
        "empty": f"CASE WHEN bottom_segment >= rest THEN {nearer} ELSE later END",
        "rest_percent": f"CASE WHEN {bridged} THEN 100 * (rest_net_ah - empty.ah) / (top_ah - empty.ah) END",
        "rated": "rated_id IS NOT NULL",
        "power_watt": "empty_volt * (rest_volt - empty_volt) / first_pulse_ohm",
        "stored": holds(f"storage_second >= {real(STORAGE_SECOND)}"),
    }


def _power(percent: int) -> str:
    away = f"abs(rest_percent - {real(percent)})"
    able = "discharging AND power_watt > 0"
    near = f"FILTER (WHERE {able} AND {away} <= {real(STATE_OF_CHARGE_TOLERANCE_PERCENT)})"
    beside = f"FILTER (WHERE {able} AND {away} <= {real(NEIGHBOUR_PERCENT)} AND rest_percent {{}} {real(percent)})"
    lower, upper = beside.format("<"), beside.format(">=")
    low, high = f"max(rest_percent) {lower}", f"min(rest_percent) {upper}"
    low_watt, high_watt = f"max_by(power_watt, rest_percent) {lower}", f"min_by(power_watt, rest_percent) {upper}"
    line = f"{low_watt} + ({high_watt} - {low_watt}) * ({real(percent)} - {low}) / ({high} - {low})"
    return f"coalesce({line}, min_by(power_watt, {away}) {near})"


def _sums() -> str:
    """Aggregate what is left of each cycle."""

    def delivered(value: str, condition: str) -> str:
        return f"min_by({value}, single) FILTER (WHERE delivered_ah IS NOT NULL AND {condition})"

    columns = {
        **{name: name for name in FILE_KEYS},
        "cycle_count": "CAST(nullif(cycle_key, double('Infinity')) AS BIGINT)",
        **{name: f"sum({name})" for name in _ADDED[:-1]},
        "temperature_minute": "nullif(sum(temperature_minute), 0)",
        **{name: f"min({name})" for name in _LEAST},
        **{name: f"max({name})" for name in _GREATEST},
        **{name: f"bool_or({name})" for name in _FLAGS},
        **{name: f"sum({name})" for name in _EVENTS},
        **{name: f"max({name})" for name in ("rated", "hot_celsius", "cold_celsius")},
        "charge_end_voltage_volt": "max_by(charge_end_volt, charge_end_volt_at)",
        "discharge_end_voltage_volt": "max_by(discharge_end_volt, discharge_end_volt_at)",
        "state_of_charge_percent": "max_by(soc_percent, soc_percent_at)",
        "net_ah_since_empty": "max_by(net_end_ah, net_end_ah_at) - max_by(net_empty_ah, net_empty_ah_at)",
        "capacity_ah": delivered("delivered_ah", "NOT stored"),
        "capacity_wh": delivered("delivered_wh", "NOT stored"),
        "retained_ah": delivered("delivered_ah", "stored"),
        "storage_second": delivered("storage_second", "stored"),
        "dc_resistance_ohm": "median(first_step_ohm)",
        "dc_resistance_delay_second": "median(step_delay) FILTER (WHERE first_step_ohm IS NOT NULL)",
        "discharge_pulse_resistance_ohm": "median(first_pulse_ohm) FILTER (WHERE discharging)",
        "charge_pulse_resistance_ohm": "median(first_pulse_ohm) FILTER (WHERE NOT discharging)",
        **{f"power_at_{percent}_percent_watt": _power(percent) for percent in POWER_STATES_OF_CHARGE_PERCENT},
    }
    return f"{select('placed', columns)}\nGROUP BY file, {', '.join(FILE_KEYS)}, cycle_key"
