"""What goes into a passport besides the condition: the battery's fixed facts, its access tiers and predictions."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints, model_validator

from battery_pilot.electrochemistry.condition import Frozen, Ratings


class Tier(StrEnum):
    """Access tiers of Annex XIII of Regulation (EU) 2023/1542, from open to closed."""

    PUBLIC = "public"
    LEGITIMATE_INTEREST = "legitimate_interest"
    AUTHORITY = "authority"


def _checked_day(text: str) -> str:
    date.fromisoformat(text)  # 2026-02-30 has the form of a date and is none
    return text


Day = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d{2}-\d{2}$"), AfterValidator(_checked_day)]
"""A date of the calendar, as 2026-01-31."""

Status = Literal["Original", "Repurposed", "Reused", "Remanufactured", "Waste"]
"""Status of a battery (Regulation (EU) 2023/1542, Annex XIII, point 4 (c))."""


class BatteryModel(Frozen):
    """Facts that all batteries of one model share; one row of the master-data table ``models``.

    Units are in the names; descriptions and examples are those of the template. A fact that is not known is ``None`` and stays out of the passport.
    """

    model_id: str = Field(description="your name of the model, unique", examples=["NMC-60Ah"])
    manufacturer_name: str = Field(description="name of the manufacturer", examples=["Cellworks GmbH"])
    manufacturer_id: str = Field(
        description="identifier of the manufacturer; a step in all identifiers of its batteries",
        examples=["DE-CW-001"],
    )
    category: Literal["ev", "lmt", "industrial", "stationary"] = Field(
        description="category of Regulation (EU) 2023/1542; decides what is mandatory", examples=["ev"]
    )
    mass_kilogram: float = Field(gt=0, description="mass", examples=[230.5])
    warranty_months: int | None = Field(default=None, gt=0, description="warranty period", examples=[96])
    nominal_voltage_volt: float = Field(gt=0, description="nominal voltage", examples=[360])
    minimum_voltage_volt: float = Field(
        gt=0, description="end of a full discharge; below it begins a deep discharge", examples=[270]
    )
    maximum_voltage_volt: float = Field(
        gt=0, description="end of a full charge; above it begins an overcharge", examples=[410]
    )
    rated_capacity_ah: float = Field(
        gt=0, description="rated capacity; capacity fade and full equivalent cycles refer to it", examples=[60]
    )
    certified_energy_kwh: float | None = Field(
        default=None, gt=0, description="certified usable energy", examples=[18.8]
    )
    initial_round_trip_efficiency_percent: float | None = Field(
        default=None, gt=0, le=100, description="round-trip efficiency at begin of life", examples=[96]
    )
    round_trip_efficiency_at_half_life_percent: float | None = Field(
        default=None, gt=0, le=100, description="round-trip efficiency at half of the cycle life", examples=[94]
    )
    initial_self_discharge_percent_per_month: float | None = Field(
        default=None, ge=0, description="self-discharge at begin of life", examples=[2]
    )
    initial_cell_resistance_ohm: float | None = Field(
        default=None,
        gt=0,
        description="internal resistance of a cell at begin of life; the resistance increase refers to it",
        examples=[0.0011],
    )
    initial_module_resistance_ohm: float | None = Field(
        default=None, gt=0, description="internal resistance of a module at begin of life", examples=[0.012]
    )
    initial_pack_resistance_ohm: float | None = Field(
        default=None, gt=0, description="internal resistance of the pack at begin of life", examples=[0.1]
    )
    maximum_power_watt: float | None = Field(
        default=None, gt=0, description="maximum permitted power", examples=[125000]
    )
    original_power_watt_at_80_percent_soc: float | None = Field(
        default=None,
        gt=0,
        description="power capability at begin of life, at 80 % state of charge",
        examples=[120000],
    )
    original_power_watt_at_20_percent_soc: float | None = Field(
        default=None, gt=0, description="power capability at begin of life, at 20 % state of charge", examples=[90000]
    )
    idle_temperature_minimum_celsius: float | None = Field(
        default=None,
        description="lower end of the idle temperature range; times below it are counted",
        examples=[-20],
    )
    idle_temperature_maximum_celsius: float | None = Field(
        default=None, description="upper end of the idle temperature range; times above it are counted", examples=[45]
    )
    expected_lifetime_years: int | None = Field(default=None, gt=0, description="expected lifetime", examples=[12])
    expected_cycles: int | None = Field(default=None, gt=0, description="expected number of cycles", examples=[1500])
    exhaustion_threshold_percent: float | None = Field(
        default=None, gt=0, le=100, description="capacity threshold for exhaustion", examples=[70]
    )
    cycle_life_test_c_rate: float | None = Field(
        default=None, gt=0, description="C-rate of the cycle-life test", examples=[0.5]
    )

    power_to_energy_watt_per_watthour: float | None = Field(
        default=None, gt=0, description="nominal power over energy", examples=[6.6]
    )
    chemistry_short_name: str | None = Field(
        default=None, description="short name of the chemistry", examples=["NMC"]
    )
    chemistry_name: str | None = Field(
        default=None, description="clear name of the chemistry", examples=["Lithium nickel manganese cobalt oxides"]
    )
    extinguishing_agents: tuple[str, ...] = Field(
        default=(), description="extinguishing agents that may be used", examples=[("Water", "CO2")]
    )
    renewable_content_percent: float | None = Field(
        default=None, ge=0, le=100, description="share of renewable content", examples=[3.5]
    )

    @model_validator(mode="after")
    def _checked_orders(self) -> Self:
        """Refuse what cannot be true of any battery."""
        _demand_order(
            "minimum_voltage_volt", self.minimum_voltage_volt, "nominal_voltage_volt", self.nominal_voltage_volt
        )
        _demand_order(
            "nominal_voltage_volt", self.nominal_voltage_volt, "maximum_voltage_volt", self.maximum_voltage_volt
        )
        _demand_order(
            "idle_temperature_minimum_celsius",
            self.idle_temperature_minimum_celsius,
            "idle_temperature_maximum_celsius",
            self.idle_temperature_maximum_celsius,
        )
        _demand_order(
            "round_trip_efficiency_at_half_life_percent",
            self.round_trip_efficiency_at_half_life_percent,
            "initial_round_trip_efficiency_percent",
            self.initial_round_trip_efficiency_percent,
        )
        return self

    def ratings(self) -> Ratings:
        """Return the rated values that the condition's metrics refer to."""
        return Ratings(**{name: getattr(self, name) for name in Ratings.model_fields})


class BatteryItem(Frozen):
    """Facts of one battery; one row of the master-data table ``batteries``."""

    battery_id: str = Field(
        description="your name of the battery, unique; files are found by it", examples=["PACK-17"]
    )
    model_id: str = Field(description="a model of the table models", examples=["NMC-60Ah"])
    serial_number: str = Field(description="serial number, unique within a manufacturer", examples=["CW-2026-000017"])
    manufactured_on: Day = Field(description="date of manufacture", examples=["2026-01-31"])
    put_into_service_on: Day | None = Field(
        default=None, description="date of putting into service", examples=["2026-03-02"]
    )
    facility_id: str = Field(description="identifier of the plant", examples=["DE-CW-PLANT-1"])
    operator_id: str | None = Field(
        default=None,
        description="identifier of the economic operator; without it the manufacturer counts",
        examples=["DE-EO-7"],
    )
    status: Status = Field(
        default="Original", description="status of Regulation (EU) 2023/1542", examples=["Original"]
    )
    street: str = Field(description="street and number of the manufacturer's address", examples=["Werkstrasse 1"])
    zip_code: str = Field(description="postal code of the manufacturer's address", examples=["01067"])
    city: str = Field(description="city of the manufacturer's address", examples=["Dresden"])
    country_code: str = Field(
        pattern=r"^[A-Z]{2}$",
        description="country of the manufacturer's address, two capital letters",
        examples=["DE"],
    )
    marking_names: tuple[str, ...] = Field(default=("CE",), description="markings", examples=[("CE", "WEEE")])
    declaration_of_conformity_ids: tuple[str, ...] = Field(
        default=(), description="document identifiers of the declarations of conformity", examples=[("DOC-2026-7",)]
    )
    test_report_ids: tuple[str, ...] = Field(
        default=(), description="document identifiers of test reports", examples=[("UN38.3-7", "IEC-62660-2-11")]
    )

    @model_validator(mode="after")
    def _checked_dates(self) -> Self:
        """Refuse a battery that was used before it was made."""
        _demand_order("manufactured_on", self.manufactured_on, "put_into_service_on", self.put_into_service_on)
        return self


def _demand_order(smaller: str, low: float | str | None, greater: str, high: float | str | None) -> None:
    if low is not None and high is not None and low > high:  # type: ignore[operator]
        raise ValueError(f"{smaller} {low} is above {greater} {high}")


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
