"""Row level of :mod:`.cycles_sql`: what each row adds, summed up over *segments*, the runs of rows of one class.

Everything here happens once for each row of a fleet's logs, so its cost counts. The rows are shuffled and sorted once, both
windows have that partition and order, and each window has a single frame, for Spark goes through the rows once a frame.
Columns that a window only carries along are packed into one.
"""

from __future__ import annotations

from battery_pilot.electrochemistry.definitions import (
    CONSTANT_VOLTAGE_FRACTION,
    COUNTER_RESET_FRACTION,
    COUNTERS,
    EMPTY_VOLTAGE_FRACTION,
    FULL_VOLTAGE_FRACTION,
    LONGEST_INTERVAL_SECOND,
    OPTIONAL_COLUMNS,
    PULSE_CURRENT_FRACTION,
    PULSE_DELAY_SECOND,
    REQUIRED_COLUMNS,
    REST_C_RATE,
    STEP_C_RATE,
    STEP_DELAY_SECOND,
    TAPER_C_RATE,
    VOLTAGE_TOLERANCE_FRACTION,
    VOLTAGE_TOLERANCE_VOLT,
)
from battery_pilot.electrochemistry.sql_expressions import add, clean, holds, real, select

FILE_KEYS = REQUIRED_COLUMNS[:2]
"""What a file is told apart by. Rows carry the number ``file`` instead: two texts would be copied, compared and hashed in
every step, and they are longer than all that was measured."""

_TIES = ", ".join(f"{name} ASC NULLS LAST" for name in ("step_count", "voltage_volt", "current_ampere"))
_ORDERED = f"PARTITION BY file ORDER BY test_time_second, cycle_key, {_TIES}"
_UP_TO = f"OVER ({_ORDERED} ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"

_TOLERANCE = f"greatest({real(VOLTAGE_TOLERANCE_VOLT)}, {real(VOLTAGE_TOLERANCE_FRACTION)} * {{0}})"
_LIMITS = {
    "rest_ampere": f"{real(REST_C_RATE)} * rated_capacity_ah",
    "step_ampere": f"{real(STEP_C_RATE)} * rated_capacity_ah",
    "taper_ampere": f"{real(TAPER_C_RATE)} * rated_capacity_ah",
    "empty_volt": "minimum_voltage_volt",
    "emptied_volt": f"{real(EMPTY_VOLTAGE_FRACTION)} * minimum_voltage_volt",
    "full_volt": f"{real(FULL_VOLTAGE_FRACTION)} * maximum_voltage_volt",
    "held_volt": f"{real(CONSTANT_VOLTAGE_FRACTION)} * maximum_voltage_volt",
    "deep_volt": f"minimum_voltage_volt - {_TOLERANCE.format('minimum_voltage_volt')}",
    "over_volt": f"maximum_voltage_volt + {_TOLERANCE.format('maximum_voltage_volt')}",
    "cold_celsius": clean("idle_temperature_minimum_celsius"),
    "hot_celsius": clean("idle_temperature_maximum_celsius"),
}

_CLASSES = {
    "charging": "current_ampere > rest_ampere",
    "discharging": "current_ampere < -rest_ampere",
    "resting": "abs(current_ampere) <= rest_ampere AND voltage_volt IS NOT NULL",
    "loaded": "abs(current_ampere) > step_ampere AND voltage_volt IS NOT NULL",
    "held": "current_ampere > rest_ampere AND voltage_volt >= held_volt",
    "is_full": "voltage_volt >= full_volt AND current_ampere <= taper_ampere",
    "is_empty": "voltage_volt <= emptied_volt",
    "is_deep": "voltage_volt < deep_volt",
    "is_over": "voltage_volt > over_volt",
    "seen": "voltage_volt IS NOT NULL",
}
"""What a row is by itself; the class of a row has a bit for each."""

BITS = {name: 1 << position for position, name in enumerate(_CLASSES)}

_CARRIED = ("measured_at", "state_of_charge_percent", "rest_ampere", "cold_celsius", "hot_celsius")
"""Columns that no window looks at."""


def row_expressions(rows: str, ratings: str) -> dict[str, str]:
    """Return the common table expressions of the row level by name; the last one is ``segments``.

    :param rows: name of the view of rows, checked.
    :param ratings: name of the view of ratings, checked.
    """
    return {
        "limits": select(ratings, {"rated_id": "battery_id"} | _LIMITS),
        "files": _files(rows),
        "canonical": _canonical(rows),
        "classified": _classified(),
        "neighbours": add("classified", _neighbours()),
        "running": add("neighbours", _running()),
        "intervals": add("running", {name: f"carried.{name}" for name in _CARRIED} | _intervals() | _steps()),
        "segments": _segments(),
    }


def _files(rows: str) -> str:
    """Return a number for each file, in an order that every run repeats, with the limits of their battery."""
    distinct = f"(SELECT DISTINCT {', '.join(FILE_KEYS)} FROM {rows})"  # noqa: S608 - the caller checked the name
    number = f"CAST(row_number() OVER (ORDER BY {', '.join(FILE_KEYS)}) AS INT)"
    joined = f"{distinct} LEFT JOIN limits ON battery_id = rated_id"
    return select(
        joined,
        {name: name for name in FILE_KEYS} | {"file": number} | {name: name for name in ("rated_id", *_LIMITS)},
    )


def _canonical(rows: str) -> str:
    """Join the rows with the number and the limits of their file, which each processor gets whole."""
    numbers = {name: clean(f"r.{name}") for name in (*REQUIRED_COLUMNS[3:], *OPTIONAL_COLUMNS)}
    columns = {"file": "file", "measured_at": "r.measured_at"} | numbers | {name: name for name in _LIMITS}
    same = " AND ".join(f"r.{name} <=> files.{name}" for name in FILE_KEYS)
    joined = f"{rows} r JOIN files ON {same}\nWHERE {clean('r.test_time_second')} IS NOT NULL"
    return select(joined, columns).replace("SELECT", "SELECT /*+ BROADCAST(files) */", 1)


def _classified() -> str:
    """Keep what the windows need, and pack the rest."""
    kept = (
        "file",
        *REQUIRED_COLUMNS[3:],
        "step_count",
        "temperature_t1_celsius",
        *COUNTERS.values(),
    )
    bits = " + ".join(f"CASE WHEN {condition} THEN {BITS[name]} ELSE 0 END" for name, condition in _CLASSES.items())
    return select(
        "canonical",
        {name: name for name in kept}
        | {
            "cycle_key": "coalesce(cycle_count, double('Infinity'))",
            "class": bits,
            "carried": f"struct({', '.join(_CARRIED)})",
        },
    )


def _neighbours() -> dict[str, str]:
    """Look up the row before."""
    before = ("test_time_second", "cycle_key", "voltage_volt", "current_ampere", "temperature_t1_celsius", "class")
    return {f"{name}_before": f"lag({name}) OVER ({_ORDERED})" for name in (*before, *COUNTERS.values())}


def _running() -> dict[str, str]:
    """Return positions, the newest resting row, the current with which the load began after it, and older counters."""

    def last(value: str) -> str:
        return f"last_value({value}) IGNORE NULLS {_UP_TO}"

    resting = f"class & {BITS['resting']} != 0"
    onset = f"CASE WHEN class_before & {BITS['resting']} != 0 THEN coalesce(current_ampere, double('NaN')) END"
    begins = "class = class_before AND cycle_key = cycle_key_before"
    counted = {
        f"{name}_counted": f"CASE WHEN {column}_before IS NOT NULL THEN cycle_key_before END"
        for name, column in COUNTERS.items()
    }
    return {
        "position": f"count(1) {_UP_TO}",
        "segment": f"sum(CASE WHEN {begins} THEN 0 ELSE 1 END) {_UP_TO}",
        "rest_second": last(f"CASE WHEN {resting} THEN test_time_second END"),
        "rest_volt": last(f"CASE WHEN {resting} THEN voltage_volt END"),
        "rest_current": last(f"CASE WHEN {resting} THEN current_ampere END"),
        "onset_ampere": last(onset),
        **{f"{name}_counter": last(f"{column}_before") for name, column in COUNTERS.items()},
        **{name: last(value) for name, value in counted.items()},
        "begins": f"NOT {holds(begins)}",
    }


def _both_ways(before: str, after: str) -> tuple[str, str]:
    """Return the means of the positive and of the negative part of a line, null where an end is missing."""
    size = f"nullif(2 * (abs({before}) + abs({after})), 0)"
    up = f"(greatest({before}, 0D) + greatest({after}, 0D))"
    down = f"(greatest(-({before}), 0D) + greatest(-({after}), 0D))"
    return f"{up} * ({up} / {size})", f"{down} * ({down} / {size})"


def _growth(name: str, column: str) -> str:
    """Return by how much a counter grew since its last value in the cycle; a reset counter starts from 0."""
    last = f"{name}_counter"
    reset = f"CASE WHEN {column} < {real(COUNTER_RESET_FRACTION)} * {last} THEN {column} ELSE 0D END"
    growth = f"CASE WHEN {column} >= {last} THEN {column} - {last} ELSE {reset} END"
    return f"CASE WHEN {column} IS NOT NULL THEN CASE WHEN {name}_counted = cycle_key THEN {growth} ELSE 0D END END"


def _intervals() -> dict[str, str]:
    """Integrals over the interval that ends at each row."""
    charge, discharge = _both_ways("current_ampere_before", "current_ampere")
    charged, discharged = _both_ways("voltage_volt_before * current_ampere_before", "voltage_volt * current_ampere")
    return {
        "step_second": "test_time_second - test_time_second_before",
        "inside": holds("cycle_key = cycle_key_before"),
        "short": f"inside AND step_second <= {real(LONGEST_INTERVAL_SECOND)}",
        "known": "voltage_volt + current_ampere + voltage_volt_before + current_ampere_before IS NOT NULL",
        "hours": "CASE WHEN short AND known THEN step_second / 3600 ELSE 0D END",
        "gap": "inside AND NOT (short AND known)",
        "charge_ah": f"coalesce({charge} * hours, 0D)",
        "discharge_ah": f"coalesce({discharge} * hours, 0D)",
        "charge_wh": f"coalesce({charged} * hours, 0D)",
        "discharge_wh": f"coalesce({discharged} * hours, 0D)",
        **{f"counter_{name}": _growth(name, column) for name, column in COUNTERS.items()},
        "celsius": "(temperature_t1_celsius + temperature_t1_celsius_before) / 2",
        "minutes": "CASE WHEN short AND celsius IS NOT NULL THEN step_second / 60 ELSE 0D END",
        "charging_minutes": (
            "CASE WHEN known AND (current_ampere + current_ampere_before) / 2 > rest_ampere THEN minutes ELSE 0D END"
        ),
    }


def _steps() -> dict[str, str]:
    """Resistances seen by the loaded rows after a rest."""
    loaded = f"class & {BITS['loaded']} != 0"
    onset = f"abs(current_ampere - onset_ampere) <= {real(PULSE_CURRENT_FRACTION)} * abs(onset_ampere)"

    def between(limits: tuple[float, float]) -> str:
        return f"{loaded} AND delay BETWEEN {real(limits[0])} AND {real(limits[1])}"

    return {
        "delay": "test_time_second - rest_second",
        "stepped": between(STEP_DELAY_SECOND),
        "pulsed": f"{between(PULSE_DELAY_SECOND)} AND {onset}",
        "disturbed": (
            f"class & {BITS['resting']} = 0 AND delay < {real(PULSE_DELAY_SECOND[0])} "
            f"AND NOT {holds(f'{loaded} AND {onset}')}"
        ),
        "ohm": "(voltage_volt - rest_volt) / nullif(current_ampere - rest_current, 0)",
    }


PASSIVE = {
    "started_at": "min(measured_at)",
    "ended_at": "max(measured_at)",
    "charge_wh": "sum(charge_wh)",
    "gap_second": "sum(CASE WHEN gap THEN step_second ELSE 0D END)",
    "held_ah": f"sum(CASE WHEN class & class_before & {BITS['held']} != 0 THEN charge_ah ELSE 0D END)",
    **{f"counter_{name}": f"sum(counter_{name})" for name in COUNTERS},
    "minimum_voltage_volt": "min(voltage_volt)",
    "maximum_voltage_volt": "max(voltage_volt)",
    "end_volt": "max_by(voltage_volt, position)",
    "minimum_temperature_celsius": "min(temperature_t1_celsius)",
    "maximum_temperature_celsius": "max(temperature_t1_celsius)",
    "temperature_minute": "sum(minutes)",
    "celsius_minute": "sum(celsius * minutes)",
    "hot_minute": "sum(CASE WHEN celsius > hot_celsius THEN minutes ELSE 0D END)",
    "cold_minute": "sum(CASE WHEN celsius < cold_celsius THEN minutes ELSE 0D END)",
    "charging_hot_minute": "sum(CASE WHEN celsius > hot_celsius THEN charging_minutes ELSE 0D END)",
    "charging_cold_minute": "sum(CASE WHEN celsius < cold_celsius THEN charging_minutes ELSE 0D END)",
    "soc_percent": "max_by(state_of_charge_percent, CASE WHEN state_of_charge_percent IS NOT NULL THEN position END)",
    "rows": "count(1)",
}
"""Aggregates of a segment that wait for the sum over the cycle."""

_ACTIVE = {
    "cycle_key": "max(cycle_key)",
    "class": "max(class)",
    "first_second": "min(test_time_second)",
    "last_second": "max(test_time_second)",
    "charge_ah": "sum(charge_ah)",
    "discharge_ah": "sum(discharge_ah)",
    "discharge_wh": "sum(discharge_wh)",
    "first_net_ah": "sum(CASE WHEN begins THEN charge_ah - discharge_ah ELSE 0D END)",
    "first_discharge_ah": "sum(CASE WHEN begins THEN discharge_ah ELSE 0D END)",
    "first_discharge_wh": "sum(CASE WHEN begins THEN discharge_wh ELSE 0D END)",
    "first_gaps": "sum(CASE WHEN begins AND gap THEN 1 ELSE 0 END)",
    "gaps": "sum(CASE WHEN gap THEN 1 ELSE 0 END)",
    "step_ohm": "min_by(CASE WHEN stepped THEN ohm END, CASE WHEN stepped THEN position END)",
    "step_delay": "min(CASE WHEN stepped THEN delay END)",
    "pulse_ohm": "min_by(CASE WHEN pulsed THEN ohm END, CASE WHEN pulsed THEN position END)",
    "disturbances": "sum(CASE WHEN disturbed THEN 1 ELSE 0 END)",
    "rest_volt": "max(rest_volt)",
}
"""Aggregates of a segment on which the segments around it depend."""


def _segments() -> str:
    """Aggregate the rows of each segment."""
    passive = ", ".join(f"'{name}', {expression}" for name, expression in PASSIVE.items())
    columns = {name: name for name in ("file", "segment")} | _ACTIVE
    chosen = select("intervals", columns | {"passive": f"named_struct({passive})"})
    return f"{chosen}\nGROUP BY file, segment"
