"""The condition of a battery: measured values with their origin, and what the data do not support."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Frozen(BaseModel):
    """Base of records that cross a border: immutable, no unknown keys, no NaN or infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MeasuredValue(Frozen):
    """One dynamic value with its origin.

    :param value: the number, in the unit that the metric's name carries.
    :param as_of: when the battery was in that state.
    :param method: short name of the method that gave the value.
    :param source_sha256: digests of the raw files it came from, sorted; for values that run since begin of life, the
        files of the newest interval.
    :param uncertainty: standard uncertainty in the unit of the value, where the method gives one.
    """

    value: float
    as_of: AwareDatetime
    method: str
    source_sha256: tuple[Sha256, ...]
    uncertainty: float | None = Field(default=None, ge=0)


class Condition(Frozen):
    """The state of one battery at one point in time.

    :param battery_id: which battery.
    :param as_of: when it was in that state, UTC.
    :param values: metric name (see :data:`METRICS`) to measured value.
    :param absent: metric name to the reason why the data do not support it.
    """

    battery_id: str
    as_of: AwareDatetime
    values: dict[str, MeasuredValue]
    absent: dict[str, str] = {}


class Ratings(Frozen):
    """The rated values that metrics refer to; ``None`` where the maker does not state one."""

    rated_capacity_ah: float = Field(gt=0)
    minimum_voltage_volt: float = Field(gt=0)
    maximum_voltage_volt: float = Field(gt=0)
    certified_energy_kwh: float | None = Field(default=None, gt=0)
    initial_cell_resistance_ohm: float | None = Field(default=None, gt=0)
    initial_round_trip_efficiency_percent: float | None = Field(default=None, gt=0)
    initial_self_discharge_percent_per_month: float | None = Field(default=None, ge=0)
    original_power_watt_at_80_percent_soc: float | None = Field(default=None, gt=0)
    original_power_watt_at_20_percent_soc: float | None = Field(default=None, gt=0)
    idle_temperature_minimum_celsius: float | None = None
    idle_temperature_maximum_celsius: float | None = None


METRICS: dict[str, str] = {
    "remaining_capacity_ah": "Charge that a full discharge to the minimum voltage delivers.",
    "capacity_fade_percent": "(1 - remaining / rated capacity) * 100.",
    "remaining_energy_kwh": "Energy that the same discharge delivers.",
    "state_of_certified_energy_percent": "Remaining energy / certified usable energy * 100.",
    "full_equivalent_cycles": "Capacity throughput / (2 * rated capacity).",
    "energy_throughput_kwh": "Energy charged plus energy discharged.",
    "capacity_throughput_ah": "Charge charged plus charge discharged.",
    "round_trip_efficiency_percent": "Discharged / charged energy of full cycles * 100.",
    "dc_resistance_ohm": "Voltage step over current step at the start of a current pulse.",
    "ac_resistance_ohm": "Real impedance at 1 kHz.",
    "ohmic_resistance_ohm": "Real impedance where the spectrum crosses the real axis at high frequency.",
    "polarisation_resistance_ohm": "Sum of the resistances of the fitted circuit's time constants.",
    "ohmic_frequency_hertz": "Frequency at which the spectrum crosses the real axis.",
    "trusted_minimum_hertz": "Lowest frequency at which the newest valid spectrum passes the Kramers-Kronig check.",
    "trusted_maximum_hertz": "Highest frequency at which it does.",
    "circuit_aic": "Akaike's information criterion of the fitted circuit, one spectrum, one weighting.",
    "resistance_increase_percent": "(R - R at begin of life) / R at begin of life * 100, R being the DC resistance.",
    "mean_temperature_celsius": "Time-weighted mean of the surface temperature.",
    "time_above_idle_range_minute": "Time above the upper idle temperature.",
    "time_below_idle_range_minute": "Time below the lower idle temperature.",
    "charging_time_above_idle_range_minute": "Charging time above the upper idle temperature.",
    "charging_time_below_idle_range_minute": "Charging time below the lower idle temperature.",
    "deep_discharge_events": "Excursions below the minimum voltage.",
    "overcharge_events": "Excursions above the maximum voltage.",
    "state_of_charge_percent": "Charge that is left, relative to the remaining capacity, at as_of.",
    "round_trip_efficiency_fade_percent": "(1 - round-trip efficiency / initial one) * 100.",
    "self_discharge_percent_per_month": "Charge lost in storage / capacity * 100, per month of 30.4375 days.",
    "self_discharge_increase_percent": "(self-discharge - initial self-discharge) / initial self-discharge * 100.",
    "power_at_80_percent_charge_watt": "Discharge power for 10 s down to the minimum voltage at 80 % state of charge.",
    "power_at_20_percent_charge_watt": "Discharge power for 10 s down to the minimum voltage at 20 % state of charge.",
    "power_fade_percent": "(1 - power / original power) * 100, at 80 % state of charge, else at 20 %.",
}
"""Dynamic metrics and what they mean; the unit is the name's ending. Throughput, times and counts run since begin of life."""
