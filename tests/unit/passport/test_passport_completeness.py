from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from battery_pilot.passport.aas import flat_values
from battery_pilot.passport.completeness import Tally, completeness, completeness_of, mandatory_values
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from battery_pilot.passport.building import Passport

TABLE_3_2 = {
    "ProductCondition.RemainingCapacity.RemainingCapacityValue": {"lmt", "stationary"},
    "ProductCondition.StateOfCertifiedEnergy.StateOfCertifiedEnergyValue": {"ev"},
    "ProductCondition.StateOfCharge.StateOfChargeValue": {"ev", "lmt", "industrial", "stationary"},
    "ProductCondition.NumberOfFullCycles.NumberOfFullCyclesValue": {"ev", "lmt", "industrial", "stationary"},
    "ProductCondition.EnergyThroughput.EnergyThroughputValue": {"lmt", "stationary"},
    "ProductCondition.CapacityThroughput.CapacityThroughputValue": {"lmt", "stationary"},
    "ProductCondition.TemperatureInformation.TimeExtremeHighTemp": {"lmt", "stationary"},
    "ProductCondition.CurrentSelfDischargingRate.CurrentSelfDischargingRateValue": set(),
    "BatteryPilotCondition.DeepDischargeEvents.Value": {"lmt", "stationary"},
    "BatteryPilotCondition.PowerFade.Value": {"ev", "lmt", "industrial", "stationary"},
    "TechnicalData.TechnicalPropertyAreas.Lifetime.CapacityThresholdExhaustion": {"ev"},
}


@pytest.mark.parametrize(("path", "categories"), TABLE_3_2.items())
def test_what_is_mandatory_depends_on_the_category(path: str, categories: set[str]) -> None:
    found = {
        category
        for category in ("ev", "lmt", "industrial", "stationary")
        if path in {row.path for row in mandatory_values(category)}
    }
    assert found == categories


def test_missing_elements_name_place_supplier_and_reason(passport: Passport) -> None:
    found = completeness_of(passport)
    missing = {one.path: (one.supplier, one.reason) for one in found.missing}
    assert missing["CarbonFootprint.ProductCarbonFootprints[0].PcfCO2eq"] == (
        "maker",
        "the table carbon_footprint has no row of this model",
    )
    assert missing["Circularity.RecycledContentInformation[0].RecycledMaterial"][0] == "recycler"
    assert found.present + len(found.missing) == found.mandatory
    assert 0 < found.percent < 100
    assert sum(found.by_supplier.values()) == len(found.missing)


def test_passport_with_all_tables_is_nearly_complete(passport: Passport, whole_passport: Passport) -> None:
    assert completeness_of(whole_passport).percent > completeness_of(passport).percent
    paths = {one.path for one in completeness_of(whole_passport).missing}
    assert not any(path.startswith(("CarbonFootprint", "HandoverDocumentation")) for path in paths)


def test_completeness_of_a_view_tells_of_nothing_above_it(whole_passport: Passport) -> None:
    for tier in Tier:
        found = completeness_of(whole_passport.view(tier))
        assert all(is_visible(one.tier, tier) for one in found.missing)
        assert all(is_visible(row.tier, tier) for row in mandatory_values(found.category, tier))


def test_values_of_a_file_are_enough_to_tell(whole_passport: Passport) -> None:
    known = completeness_of(whole_passport)
    told = completeness(list(flat_values(whole_passport)), "stationary")
    assert (told.mandatory, told.present) == (known.mandatory, known.present)
    assert {one.path for one in told.missing} == {one.path for one in known.missing}


def test_element_missing_in_one_member_of_a_list_is_missing(whole_passport: Passport) -> None:
    paths = set(flat_values(whole_passport)) - {"MaterialComposition.BatteryMaterials[1].BatteryMaterialName"}
    assert "MaterialComposition.BatteryMaterials[1].BatteryMaterialName" in {
        one.path for one in completeness(paths, "stationary").missing
    }


def test_tallies_add_up(passport: Passport) -> None:
    one = Tally.of(completeness_of(passport))
    both = one + one
    assert (both.mandatory, both.incomplete) == (2 * one.mandatory, 2)
    assert both.percent == one.percent
    assert Tally().percent == 100.0
