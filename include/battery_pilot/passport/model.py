"""What goes into a passport besides the condition: the battery's fixed facts, its access tiers and predictions."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import AwareDatetime, Field

from battery_pilot.electrochemistry.condition import Frozen, Ratings


class Tier(StrEnum):
    """Access tiers of Annex XIII of Regulation (EU) 2023/1542, from open to closed."""

    PUBLIC = "public"
    LEGITIMATE_INTEREST = "legitimate_interest"
    AUTHORITY = "authority"


class BatteryModel(Frozen):
    """Facts that all batteries of one model share; one row of the master-data table ``models``.

    Units are in the names. A fact that is not known is ``None`` and stays out of the passport.
    """

    model_id: str
    manufacturer_name: str
    manufacturer_id: str
    category: Literal["ev", "lmt", "industrial", "stationary"]
    mass_kilogram: float = Field(gt=0)
    warranty_months: int | None = Field(default=None, gt=0)
    nominal_voltage_volt: float = Field(gt=0)
    minimum_voltage_volt: float = Field(gt=0)
    maximum_voltage_volt: float = Field(gt=0)
    rated_capacity_ah: float = Field(gt=0)
    certified_energy_kwh: float | None = Field(default=None, gt=0)
    initial_round_trip_efficiency_percent: float | None = Field(default=None, gt=0, le=100)
    round_trip_efficiency_at_half_life_percent: float | None = Field(default=None, gt=0, le=100)
    initial_self_discharge_percent_per_month: float | None = Field(default=None, ge=0)
    initial_cell_resistance_ohm: float | None = Field(default=None, gt=0)
    initial_pack_resistance_ohm: float | None = Field(default=None, gt=0)
    maximum_power_watt: float | None = Field(default=None, gt=0)
    original_power_watt_at_80_percent_soc: float | None = Field(default=None, gt=0)
    original_power_watt_at_20_percent_soc: float | None = Field(default=None, gt=0)
    idle_temperature_minimum_celsius: float | None = None
    idle_temperature_maximum_celsius: float | None = None
    expected_lifetime_years: int | None = Field(default=None, gt=0)
    expected_cycles: int | None = Field(default=None, gt=0)
    exhaustion_threshold_percent: float | None = Field(default=None, gt=0, le=100)
    cycle_life_test_c_rate: float | None = Field(default=None, gt=0)

    def ratings(self) -> Ratings:
        """Return the rated values that the condition's metrics refer to."""
        return Ratings(**{name: getattr(self, name) for name in Ratings.model_fields})


class BatteryItem(Frozen):
    """Facts of one battery; one row of the master-data table ``batteries``."""

    battery_id: str
    model_id: str
    serial_number: str
    manufactured_on: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$")
    put_into_service_on: str | None = Field(default=None, pattern=r"^\d{4}-\d{2}-\d{2}$")
    facility_id: str
    operator_id: str | None = None
    status: Literal["Original", "Repurposed", "Reused", "Remanufactured", "Waste"] = "Original"
    street: str
    zip_code: str
    city: str
    country_code: str = Field(pattern=r"^[A-Z]{2}$")
    marking_names: tuple[str, ...] = ("CE",)
    declaration_of_conformity_ids: tuple[str, ...] = ()
    test_report_ids: tuple[str, ...] = ()


class Prediction(Frozen):
    """A predicted value: never mixed with measured ones.

    :param metric: which metric is predicted.
    :param value: the expected value in the metric's unit.
    :param lower: lower end of the 90 % interval.
    :param upper: upper end of the 90 % interval.
    :param for_time: the point in time it is predicted for.
    :param model_version: name and version of the model.
    """

    metric: str
    value: float
    lower: float
    upper: float
    for_time: AwareDatetime
    model_version: str
