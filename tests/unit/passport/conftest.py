"""A battery with its facts, condition and passport."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.passport.building import Passport, build_passport
from battery_pilot.passport.model import BatteryItem, BatteryModel, Prediction

BASE = "https://example.com/dbp"
AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def battery_model() -> BatteryModel:
    return BatteryModel(
        model_id="INR-21/50",
        manufacturer_name="Beispiel Zellen GmbH",
        manufacturer_id="EX 01",
        category="stationary",
        mass_kilogram=0.07,
        warranty_months=96,
        nominal_voltage_volt=3.6,
        minimum_voltage_volt=2.5,
        maximum_voltage_volt=4.2,
        rated_capacity_ah=5.0,
        certified_energy_kwh=0.018,
        initial_round_trip_efficiency_percent=95.6,
        initial_self_discharge_percent_per_month=0.4,
        initial_cell_resistance_ohm=0.02,
        original_power_watt_at_80_percent_soc=30.5,
        original_power_watt_at_20_percent_soc=20.5,
        cycle_life_test_c_rate=0.0000005,
    )


@pytest.fixture(scope="session")
def battery_item() -> BatteryItem:
    return BatteryItem(
        battery_id="Cell_7",
        model_id="INR-21/50",
        serial_number="SN 0007/ä",
        manufactured_on="2024-02-29",
        put_into_service_on="2024-05-01",
        facility_id="plant-1",
        street="Hauptstraße 1",
        zip_code="10115",
        city="Berlin",
        country_code="DE",
        marking_names=("CE", "WEEE"),
        declaration_of_conformity_ids=("DOC-1",),
        test_report_ids=("REPORT-SECRET-1", "REPORT-SECRET-2"),
    )


@pytest.fixture(scope="session")
def condition() -> Condition:
    """A value for every metric, each in its plausible range."""
    values = {
        metric: MeasuredValue(
            value=float(number + 1),
            as_of=AS_OF,
            method=f"method-of-{metric}",
            source_sha256=(f"{number:064x}",),
            uncertainty=0.25,
        )
        for number, metric in enumerate(METRICS)
    }
    values["remaining_capacity_ah"] = values["remaining_capacity_ah"].model_copy(update={"value": 4.2})
    return Condition(battery_id="Cell_7", as_of=AS_OF, values=values)


@pytest.fixture(scope="session")
def prediction() -> Prediction:
    return Prediction(
        metric="remaining_capacity_ah",
        value=3.9,
        lower=3.7,
        upper=4.1,
        for_time=datetime(2027, 3, 1, tzinfo=UTC),
        model_version="health 3",
    )


@pytest.fixture(scope="session")
def passport(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, prediction: Prediction
) -> Passport:
    return build_passport(battery_model, battery_item, condition, base=BASE, predictions=(prediction,))
