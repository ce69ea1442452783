"""What the checker says of the published templates is true of them: each expected finding was looked up in the file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from battery_pilot.passport.validation import Finding, validate_file

# Rule and severity to count. Every file is a template, and every list in it names its members (AASd-120).
EXPECTED = {
    "02035-1-Digital_Nameplate": {("contradiction", "warning"): 1, ("list", "error"): 3, ("concept", "warning"): 1},
    "02035-2-HandoverDocumentation": {("aas", "error"): 12, ("list", "error"): 4},
    "02035-3-ProductCarbonFootprint": {("list", "error"): 4, ("unit", "warning"): 1, ("concept", "warning"): 3},
    "02035-4-TechnicalData": {
        ("list", "error"): 2,
        ("unit", "warning"): 2,
        ("semantic-id", "warning"): 1,
        ("concept", "warning"): 3,
    },
    "02035-5-ProductCondition": {
        ("list", "error"): 2,
        ("unit", "warning"): 3,
        ("time-zone", "error"): 14,
        ("concept", "warning"): 3,
    },
    "02035-6-MaterialComposition": {("list", "error"): 3, ("concept", "warning"): 2},
    "02035-7-Circularity": {("list", "error"): 9, ("concept", "warning"): 1},
}


def findings_of(shared_data: Path, name: str) -> list[Finding]:
    return validate_file(shared_data / "idta-02035" / f"{name}.json")


@pytest.mark.parametrize("name", EXPECTED)
def test_template_has_exactly_the_findings_that_are_true_of_it(shared_data: Path, name: str) -> None:
    found = Counter((one.rule, one.severity) for one in findings_of(shared_data, name))
    assert found.pop(("template", "error")) == 1
    assert found.pop(("data-specification", "warning")) == 1
    assert found == EXPECTED[name]


def test_units_that_the_template_gets_wrong_are_found_and_said_to_be_published(shared_data: Path) -> None:
    findings = [
        one
        for name in ("02035-3-ProductCarbonFootprint", "02035-4-TechnicalData", "02035-5-ProductCondition")
        for one in findings_of(shared_data, name)
        if one.rule == "unit"
    ]
    assert all("so the published template has it" in one.message for one in findings)
    assert {one.path.rpartition(".")[2]: one.message.split(" states ")[1].split(";")[0] for one in findings} == {
        "PcfCO2eq": "CO2eq, expected kg",
        "RatioNorminalBatteryPowerAndBatteryEnergy": "percent, expected W/Wh",
        "WarrantyPeriod": "month, expected none",
        "RemainingCapacityValue": "kilowattHour, expected Ah",
        "PowerCapabilityAt": "%, expected W",
        "CurrentSelfDischargingRateValue": "%, expected %/month",
    }


def test_repeated_meaning_of_the_module_resistance_is_found(shared_data: Path) -> None:
    (finding,) = [one for one in findings_of(shared_data, "02035-4-TechnicalData") if one.rule == "semantic-id"]
    assert finding.path.endswith("InternalResistanceIncreaseOfBatteryModuleLevel")
    assert "#initialInternalResistanceOfBatteryModule, expected" in finding.message


def test_concept_descriptions_of_another_version_are_found(shared_data: Path) -> None:
    messages = [one.message for one in findings_of(shared_data, "02035-5-ProductCondition") if one.rule == "concept"]
    assert any(one.startswith("47 of 49 semantic ids are described here in another version only") for one in messages)
    assert any(one.startswith("nothing refers to 36 concept descriptions") for one in messages)


def test_template_without_a_table_is_not_judged(shared_data: Path) -> None:
    rules = {one.rule for one in findings_of(shared_data, "02008-TimeSeriesData")}
    assert rules == {"unknown-part", "concept", "data-specification"}
