from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from battery_pilot.electrochemistry.condition import Condition, MeasuredValue
from battery_pilot.errors import PassportError
from battery_pilot.passport.aas import flat_values, passport_sha256
from battery_pilot.passport.building import Passport, build_passport
from battery_pilot.passport.model import BatteryItem, BatteryModel, Prediction, Tier

BASE = "https://example.com/dbp"


def measured(value: float) -> MeasuredValue:
    return MeasuredValue(value=value, as_of=datetime(2026, 3, 1, tzinfo=UTC), method="m", source_sha256=("a" * 64,))


def reasons(passport: Passport) -> dict[str, str]:
    return {absent.path: absent.reason for absent in passport.absent}


def test_values_stand_where_the_templates_want_them(passport: Passport) -> None:
    values = flat_values(passport)
    assert values["BatteryNameplate.SerialNumber"] == "SN 0007/ä"
    assert values["BatteryNameplate.Markings[1].MarkingName"] == "WEEE"
    assert values["TechnicalData.GeneralInformation.WarrantyInformation.WarrantyPeriod"] == "P96M"
    assert values["ProductCondition.RemainingCapacity.RemainingCapacityValue"] == 4.2
    assert values["ProductCondition.RemainingCapacity.LastUpdate"] == "2026-03-01T12:00:00Z"
    assert values["ProductCondition.NumberOfFullCycles.NumberOfFullCyclesValue"] == 5
    power = "TechnicalData.TechnicalPropertyAreas.PowerCapability.OriginalPowerCapability"
    assert [(values[f"{power}[{i}].atSoc"], values[f"{power}[{i}].powerCapabilityAt"]) for i in (0, 1)] == [
        (80, 30.5),
        (20, 20.5),
    ]


def test_every_value_carries_method_time_uncertainty_and_source(passport: Passport) -> None:
    values = flat_values(passport)
    assert values["BatteryPilotCondition.RemainingCapacity.Method"] == "method-of-remaining_capacity_ah"
    assert values["BatteryPilotCondition.RemainingCapacity.AsOf"] == "2026-03-01T12:00:00Z"
    assert values["BatteryPilotCondition.RemainingCapacity.Uncertainty"] == 0.25
    assert values["BatteryPilotCondition.RemainingCapacity.SourceFiles[0]"] == "0" * 64
    assert "BatteryPilotCondition.RemainingCapacity.Value" not in values


def test_dpp_metadata_tell_the_time_of_the_state_and_never_of_the_writing(passport: Passport) -> None:
    assert flat_values(passport)["DppMetadata.lastUpdate"] == "2026-03-01T12:00:00Z"


def test_same_instant_in_another_zone_gives_the_same_passport(
    passport: Passport,
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    prediction: Prediction,
) -> None:
    elsewhere = condition.model_copy(update={"as_of": condition.as_of.astimezone(timezone(timedelta(hours=9)))})
    again = build_passport(battery_model, battery_item, elsewhere, base=BASE, predictions=(prediction,))
    assert passport_sha256(again) == passport_sha256(passport)


def test_order_of_predictions_does_not_matter(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, prediction: Prediction
) -> None:
    both = (prediction, prediction.model_copy(update={"metric": "dc_resistance_ohm"}))
    one, two = (
        build_passport(battery_model, battery_item, condition, base=BASE, predictions=order)
        for order in (both, both[::-1])
    )
    assert one == two


def test_battery_without_measurements_has_no_condition_and_says_why(
    battery_model: BatteryModel, battery_item: BatteryItem
) -> None:
    nothing = Condition(
        battery_id="Cell_7",
        as_of=datetime(2026, 3, 1, tzinfo=UTC),
        values={},
        absent={"remaining_capacity_ah": "no full cycle"},
    )
    passport = build_passport(battery_model, battery_item, nothing, base=BASE)
    submodels = {path.partition(".")[0] for path in flat_values(passport)}
    assert submodels == {"BatteryNameplate", "TechnicalData", "DppMetadata"}
    assert {"ProductCondition", "BatteryPilotCondition"} <= reasons(passport).keys()
    assert "BatteryPilotPredictions" not in reasons(passport)


def test_reason_of_the_measurement_is_the_reason_of_the_element(
    battery_model: BatteryModel, battery_item: BatteryItem
) -> None:
    partly = Condition(
        battery_id="Cell_7",
        as_of=datetime(2026, 3, 1, tzinfo=UTC),
        values={"state_of_charge_percent": measured(50)},
        absent={"remaining_capacity_ah": "no full cycle"},
    )
    absent = reasons(build_passport(battery_model, battery_item, partly, base=BASE))
    assert absent["ProductCondition.RemainingCapacity"] == "no full cycle"
    assert absent["ProductCondition.NumberOfFullCycles"] == "no measurement gives full_equivalent_cycles"
    assert absent["ProductCondition.InformationOnAccidents"] == "there is no document of purpose accident_report"
    assert "ProductCondition.RemainingEnergy" not in absent  # nobody demands it


def test_regulation_demands_more_of_some_categories(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition
) -> None:
    values = {"state_of_charge_percent": condition.values["state_of_charge_percent"]}
    little = condition.model_copy(update={"values": values})
    vehicle = battery_model.model_copy(update={"category": "ev"})
    stationary_gaps = reasons(build_passport(battery_model, battery_item, little, base=BASE)).keys()
    vehicle_gaps = reasons(build_passport(vehicle, battery_item, little, base=BASE)).keys()
    assert "ProductCondition.CapacityThroughput" in stationary_gaps - vehicle_gaps
    assert "ProductCondition.StateOfCertifiedEnergy" in vehicle_gaps - stationary_gaps


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("state_of_charge_percent", 300.0, "300 % is implausible: above 100 %"),
        ("dc_resistance_ohm", -0.1, "below 0 ohm"),
        ("remaining_capacity_ah", 6.1, "above 1.2 times what it was at begin of life"),
        ("deep_discharge_events", 2.5, "no whole number"),
        ("energy_throughput_kwh", 1e300, "does not fit into xs:float"),
    ],
)
def test_measured_value_that_cannot_be_true_stays_out_with_its_provenance(
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    metric: str,
    value: float,
    words: str,
) -> None:
    wrong = condition.model_copy(update={"values": {**condition.values, metric: measured(value)}})
    passport = build_passport(battery_model, battery_item, wrong, base=BASE)
    sources = {element.row.source for element in passport.elements}
    assert not any(source.startswith(f"condition.{metric}") for source in sources)
    if metric != "dc_resistance_ohm":  # which nobody demands
        assert any(words in absent.reason for absent in passport.absent)


def test_value_that_the_template_would_round_comes_out_as_it_went_in(passport: Passport) -> None:
    values = flat_values(passport)
    efficiency = "TechnicalData.TechnicalPropertyAreas.RoundTripEnergyEfficiency"
    assert values[f"{efficiency}.InitialSelfDischargingRate"] == 0.4
    assert values[f"{efficiency}.InitialRoundTripEnergyEfficiency"] == 95.6


def test_current_fade_does_not_go_into_the_part_that_all_batteries_share(passport: Passport) -> None:
    values = flat_values(passport)
    assert values["BatteryPilotCondition.CapacityFade.Value"] == 16.0
    assert not any("Fade" in path for path in values if path.startswith("TechnicalData"))


def test_view_has_no_empty_containers(passport: Passport) -> None:
    view = passport.view(Tier.PUBLIC)
    containers = {element.path for element in view.elements if element.row.is_container}
    assert all(any(path.startswith(container) for path in flat_values(view)) for container in containers)
    assert not any(path.startswith("ProductCondition") for path in containers)


def test_view_can_be_narrowed_but_not_widened(passport: Passport) -> None:
    public = passport.view(Tier.PUBLIC)
    assert passport.view(Tier.LEGITIMATE_INTEREST).view(Tier.PUBLIC) == public
    assert public.view(Tier.AUTHORITY) == public


def test_view_does_not_tell_why_something_is_absent(passport: Passport) -> None:
    """That there is a reason for one and none for another would tell that the other is there, for other readers."""
    assert passport.view(Tier.PUBLIC).absent == ()
    assert passport.view(Tier.AUTHORITY).absent == passport.absent != ()


def test_facts_of_different_batteries_are_not_mixed(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition
) -> None:
    with pytest.raises(PassportError, match="condition handed in is of battery other"):
        build_passport(battery_model, battery_item, condition.model_copy(update={"battery_id": "other"}), base=BASE)
    with pytest.raises(PassportError, match="not of other"):
        build_passport(battery_model.model_copy(update={"model_id": "other"}), battery_item, condition, base=BASE)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("street", "a\x00b", "BatteryNameplate.AddressInformation.Street: .* control character"),
        ("city", "x" * 2000, "2000 characters"),
        ("manufactured_on", "2024-13-45", "BatteryNameplate.DateOfManufacture: .* no date"),
        ("battery_id", "a\nb", "battery id: .* control character"),
    ],
)
def test_master_data_that_an_aas_cannot_hold_are_refused_by_name(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, field: str, value: str, words: str
) -> None:
    item = battery_item.model_copy(update={field: value})
    own = condition.model_copy(update={"battery_id": item.battery_id})
    with pytest.raises(PassportError, match=words):
        build_passport(battery_model, item, own, base=BASE)


def test_blank_text_is_absent(battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition) -> None:
    passport = build_passport(battery_model, battery_item.model_copy(update={"city": "  "}), condition, base=BASE)
    assert reasons(passport)["BatteryNameplate.AddressInformation.CityTown"] == "the text is blank"
