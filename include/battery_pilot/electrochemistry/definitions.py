"""Thresholds and columns that the engines of the cycle summaries share; :mod:`.cycles` explains what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.condition import Ratings

LONGEST_INTERVAL_SECOND = 3600.0
REST_C_RATE = 0.02
STEP_C_RATE = 0.1
TAPER_C_RATE = 0.2
STEP_DELAY_SECOND = (1.0, 12.0)
PULSE_DELAY_SECOND = (9.5, 12.0)
PULSE_CURRENT_FRACTION = 0.1
FULL_VOLTAGE_FRACTION = 0.97
EMPTY_VOLTAGE_FRACTION = 1.0001
CONSTANT_VOLTAGE_FRACTION = 0.9975
VOLTAGE_TOLERANCE_VOLT = 0.02
VOLTAGE_TOLERANCE_FRACTION = 0.005
EXCURSION_SECOND = 5.0
FULL_CYCLE_FRACTION = 0.02
STORAGE_SECOND = 86400.0
POWER_STATES_OF_CHARGE_PERCENT = (80, 20)
STATE_OF_CHARGE_TOLERANCE_PERCENT = 5.0
NEIGHBOUR_PERCENT = 12.0

COUNTER_RESET_FRACTION = 0.5
"""A counter that falls below this share of its value was reset; a smaller fall is noise."""

COUNTER_TOLERANCE_PERCENT = 1.0
"""A cycle whose integrated charge or energy differs by more from the cycler's own counters is reported."""

REQUIRED_COLUMNS = (
    "battery_id",
    "source_sha256",
    "measured_at",
    "test_time_second",
    "voltage_volt",
    "current_ampere",
)

COUNTERS = {
    "charge_ah": "charging_capacity_ah",
    "discharge_ah": "discharging_capacity_ah",
    "charge_wh": "charging_energy_wh",
    "discharge_wh": "discharging_energy_wh",
}
"""Quantity to the column with the cycler's own counter of it."""

OPTIONAL_COLUMNS = (
    "cycle_count",
    "step_count",
    "temperature_t1_celsius",
    "state_of_charge_percent",
    *COUNTERS.values(),
)
"""Columns of the canonical table that a summary uses where they exist."""

SUMMARY_COLUMNS = (
    "battery_id",
    "source_sha256",
    "cycle_count",
    "started_at",
    "ended_at",
    "duration_second",
    "charge_ah",
    "discharge_ah",
    "charge_wh",
    "discharge_wh",
    "counter_charge_ah",
    "counter_discharge_ah",
    "counter_charge_wh",
    "counter_discharge_wh",
    "counter_disagreement_percent",
    "counter_energy_disagreement_percent",
    "minimum_voltage_volt",
    "maximum_voltage_volt",
    "charge_end_voltage_volt",
    "discharge_end_voltage_volt",
    "constant_voltage_share_percent",
    "mean_temperature_celsius",
    "minimum_temperature_celsius",
    "maximum_temperature_celsius",
    "capacity_ah",
    "capacity_wh",
    "retained_ah",
    "storage_second",
    "is_full_cycle",
    "coulombic_efficiency_percent",
    "energy_efficiency_percent",
    "dc_resistance_ohm",
    "dc_resistance_delay_second",
    "discharge_pulse_resistance_ohm",
    "charge_pulse_resistance_ohm",
    "power_at_80_percent_watt",
    "power_at_20_percent_watt",
    "time_above_idle_minute",
    "time_below_idle_minute",
    "charging_time_above_idle_minute",
    "charging_time_below_idle_minute",
    "deep_discharge_events",
    "overcharge_events",
    "net_ah_since_empty",
    "state_of_charge_percent",
    "gap_second",
    "rows",
)
"""Columns of a summary, one row a cycle."""


class Limits(NamedTuple):
    """Thresholds of one kind of battery; not-a-number where there is no rating, so that no comparison holds."""

    rest_ampere: float
    step_ampere: float
    taper_ampere: float
    empty_volt: float
    full_volt: float
    held_volt: float
    deep_volt: float
    over_volt: float
    cold_celsius: float
    hot_celsius: float


def limits_of(ratings: Ratings | None) -> Limits:
    """Return the thresholds of a battery.

    :param ratings: its rated values, or ``None``.
    """
    if ratings is None:
        return Limits(*[np.nan] * len(Limits._fields))
    low, high = ratings.idle_temperature_minimum_celsius, ratings.idle_temperature_maximum_celsius
    empty, full = ratings.minimum_voltage_volt, ratings.maximum_voltage_volt
    return Limits(
        rest_ampere=REST_C_RATE * ratings.rated_capacity_ah,
        step_ampere=STEP_C_RATE * ratings.rated_capacity_ah,
        taper_ampere=TAPER_C_RATE * ratings.rated_capacity_ah,
        empty_volt=empty,
        full_volt=FULL_VOLTAGE_FRACTION * full,
        held_volt=CONSTANT_VOLTAGE_FRACTION * full,
        deep_volt=empty - max(VOLTAGE_TOLERANCE_VOLT, VOLTAGE_TOLERANCE_FRACTION * empty),
        over_volt=full + max(VOLTAGE_TOLERANCE_VOLT, VOLTAGE_TOLERANCE_FRACTION * full),
        cold_celsius=np.nan if low is None else low,
        hot_celsius=np.nan if high is None else high,
    )
