from __future__ import annotations

import pytest

from battery_pilot.passport.consistency import contradictions

ELECTRIC = "TechnicalData.TechnicalPropertyAreas.CapacityEnergyVoltage."
IDLE = "TechnicalData.TechnicalPropertyAreas.Temperature.TemperatureRangeIdleState_"
PLATE = "BatteryNameplate."
CONDITION = "ProductCondition."
CERTIFIED = CONDITION + "StateOfCertifiedEnergy."
ENERGY = CONDITION + "RemainingEnergy."
SUBSTANCE = "MaterialComposition.HazardousSubstances[0].HazardousSubstanceClass"
CLASSES = "HandoverDocumentation.Documents[0].DocumentClassifications[1]."
RECYCLED = "Circularity.RecycledContentInformation[0]."


@pytest.mark.parametrize(
    ("values", "path", "severity"),
    [
        ({ELECTRIC + "MinVoltage": 4.3, ELECTRIC + "MaxVoltage": 4.2}, ELECTRIC + "MinVoltage", "error"),
        ({ELECTRIC + "MinVoltage": 4.0, ELECTRIC + "NominalVoltage": 3.6}, ELECTRIC + "MinVoltage", "error"),
        ({ELECTRIC + "NominalVoltage": 5.0, ELECTRIC + "MaxVoltage": 4.2}, ELECTRIC + "NominalVoltage", "error"),
        ({IDLE + "LowerBoundary": 45.0, IDLE + "UpperBoundary": -20.0}, IDLE + "LowerBoundary", "error"),
        ({PLATE + "DateOfManufacture": "2026-03-02", PLATE + "DateOfPuttingIntoService": "2026-03-01"}, PLATE + "DateOfManufacture", "error"),
        ({PLATE + "DateOfManufacture": "2026-03-02", "DppMetadata.lastUpdate": "2026-03-01T00:00:00Z"}, PLATE + "DateOfManufacture", "warning"),
        ({PLATE + "Markings[1].IssueDate": "2026-03-02", PLATE + "Markings[1].ExpiryDate": "2026-03-01"}, PLATE + "Markings[1].IssueDate", "error"),
        ({CONDITION + "RemainingCapacity.RemainingCapacityValue": 6.1, ELECTRIC + "RatedCapacity": 5.0}, CONDITION + "RemainingCapacity.RemainingCapacityValue", "error"),
        ({CONDITION + "RemainingCapacity.RemainingCapacityValue": 5.1, ELECTRIC + "RatedCapacity": 5.0}, CONDITION + "RemainingCapacity.RemainingCapacityValue", "warning"),
        ({ENERGY + "RemainingEnergyValue": 25.0, ELECTRIC + "CertifiedUsableBatteryEnergy": 20.0}, ENERGY + "RemainingEnergyValue", "error"),
        ({CERTIFIED + "StateOfCertifiedEnergyValue": 90.0, ENERGY + "RemainingEnergyValue": 16.0, ELECTRIC + "CertifiedUsableBatteryEnergy": 20.0}, CERTIFIED + "StateOfCertifiedEnergyValue", "error"),
        ({CERTIFIED + "StateOfCertifiedEnergyValue": 90.0, CERTIFIED + "LastUpdate": "2026-01-01T00:00:00Z", ENERGY + "RemainingEnergyValue": 16.0, ENERGY + "LastUpdate": "2026-02-01T00:00:00Z", ELECTRIC + "CertifiedUsableBatteryEnergy": 20.0}, CERTIFIED + "StateOfCertifiedEnergyValue", "warning"),
        ({RECYCLED + "PreConsumerShare": 60.0, RECYCLED + "PostConsumerShare": 50.0}, RECYCLED + "PreConsumerShare", "error"),
        ({f"MaterialComposition.HazardousSubstances[{n}].HazardousSubstanceConcentration": 60.0 for n in (0, 1)}, "MaterialComposition.HazardousSubstances", "error"),
        ({"MaterialComposition.BatteryMaterials[0].BatteryMaterialMass": 300.0, "TechnicalData.GeneralInformation.BatteryMass": 200.0}, "MaterialComposition.BatteryMaterials", "error"),
        ({"MaterialComposition.BatteryMaterials[0].BatteryMaterialIdentifier": "7439-93-3"}, "MaterialComposition.BatteryMaterials[0].BatteryMaterialIdentifier", "error"),
        ({"TechnicalData.GeneralInformation.BatteryCategory": "car"}, "TechnicalData.GeneralInformation.BatteryCategory", "error"),
        ({PLATE + "LifeCycleStage": "new"}, PLATE + "LifeCycleStage", "error"),
        ({"DppMetadata.dppStatus": "Active", "BatteryPilotLifeCycle.ClosedOn": "2026-03-02"}, "DppMetadata.dppStatus", "error"),
        ({"DppMetadata.granularity": "Fleet"}, "DppMetadata.granularity", "error"),
        ({SUBSTANCE: "Smelly"}, SUBSTANCE, "error"),
        ({CLASSES + "ClassId": "05-01", CLASSES + "ClassificationSystem": "VDI 2770:2018"}, CLASSES + "ClassId", "error"),
        ({PLATE + "ManufacturerIdentifier": "A", "TechnicalData.GeneralInformation.ManufacturerIdentifier": "B"}, PLATE + "ManufacturerIdentifier", "error"),
        ({ENERGY + "LastUpdate": "2026-03-02T00:00:00Z", "DppMetadata.lastUpdate": "2026-03-01T00:00:00Z"}, ENERGY + "LastUpdate", "warning"),
        ({PLATE + "EUDeclarationOfConformity[0]": "DOC-2", "HandoverDocumentation.Documents[0].DocumentIds[0].DocumentIdentifier": "DOC-1"}, PLATE + "EUDeclarationOfConformity[0]", "warning"),
    ],
)  # fmt: skip
def test_contradiction_is_found_at_its_place(values: dict[str, str | float], path: str, severity: str) -> None:
    assert [(one.path, one.severity) for one in contradictions(values)] == [(path, severity)]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {ELECTRIC + "MinVoltage": 2.5, ELECTRIC + "NominalVoltage": 3.6, ELECTRIC + "MaxVoltage": 4.2},
        {CERTIFIED + "StateOfCertifiedEnergyValue": 80.4, ENERGY + "RemainingEnergyValue": 16.0, ELECTRIC + "CertifiedUsableBatteryEnergy": 20.0},
        {PLATE + "DateOfManufacture": "2026-03-01", PLATE + "DateOfPuttingIntoService": "2026-03-01"},
        {PLATE + "LifeCycleStage": "re-used"},
        {PLATE + "LifeCycleStage": "0173-1#07-ACC022#001"},
        {CLASSES + "ClassId": "A1", CLASSES + "ClassificationSystem": "IEC 61355-1:2008"},
        {"MaterialComposition.BatteryMaterials[0].BatteryMaterialIdentifier": "7439-93-2"},
        {ELECTRIC + "MinVoltage": "not a number", ELECTRIC + "MaxVoltage": 4.2},
    ],
)  # fmt: skip
def test_what_fits_together_is_no_finding(values: dict[str, str | float]) -> None:
    assert list(contradictions(values)) == []
