from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.errors import InputError
from battery_pilot.passport.aas import canonical_json, environment, write_json
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.model import Tier
from battery_pilot.passport.validation import Finding, validate_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from battery_pilot.passport.building import Passport


def errors(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.path, finding.rule) for finding in findings if finding.severity == "error"]


def element(content: dict[str, Any], path: str) -> dict[str, Any]:
    """Return an element of an environment by its path."""
    name, *steps = path.split(".")
    node = next(submodel for submodel in content["submodels"] if submodel["idShort"] == name)
    for step in steps:
        node = next(child for child in node.get("submodelElements", node.get("value")) if child["idShort"] == step)
    return node


CAPACITY = "ProductCondition.RemainingCapacity.RemainingCapacityValue"
CHARGE = "ProductCondition.StateOfCharge.StateOfChargeValue"
UPDATE = "ProductCondition.StateOfCharge.LastUpdate"


@pytest.mark.parametrize("tier", list(Tier))
@pytest.mark.parametrize(("suffix", "write"), [(".json", write_json), (".aasx", write_aasx)])
def test_what_we_write_has_no_errors(
    passport: Passport, tier: Tier, suffix: str, write: Callable[[Passport, Path], None], tmp_path: Path
) -> None:
    write(passport.view(tier), tmp_path / f"p{suffix}")
    assert errors(validate_file(tmp_path / f"p{suffix}")) == []


def test_missing_mandatory_elements_are_warnings_that_name_them(passport: Passport, tmp_path: Path) -> None:
    write_json(passport, tmp_path / "p.json")
    incomplete = {finding.path for finding in validate_file(tmp_path / "p.json") if finding.rule == "incomplete"}
    mandatory = {absent.path for absent in passport.absent}
    assert "ProductCondition.InformationOnAccidents" in incomplete & mandatory


@pytest.mark.parametrize(
    ("path", "change", "rule"),
    [
        (CAPACITY, {"value": "6.1"}, "plausible"),
        (CHARGE, {"value": "100.5"}, "plausible"),
        ("BatteryPilotCondition.DcResistance.Value", {"value": "-0.01"}, "plausible"),
        ("TechnicalData.TechnicalPropertyAreas.CapacityEnergyVoltage.MinVoltage", {"value": "-1"}, "plausible"),
        (CAPACITY, {"valueType": "xs:string"}, "value-type"),
        (CAPACITY, {"semanticId": {"type": "ExternalReference", "keys": [{"type": "GlobalReference", "value": "urn:x"}]}}, "semantic-id"),
        (CAPACITY, {"qualifiers": [{"type": "Unit", "valueType": "xs:string", "value": "kWh"}]}, "unit"),
        (UPDATE, {"value": "2026-03-01T12:00:00"}, "time-zone"),
        ("TechnicalData.GeneralInformation.BatteryMass", {"value": "0"}, "plausible"),
        ("TechnicalData.GeneralInformation.WarrantyInformation.WarrantyPeriod", {"value": "96 months"}, "allowed-value"),
        ("TechnicalData.GeneralInformation.WarrantyInformation.WarrantyPeriod", {"value": "P0M"}, "allowed-value"),
        (UPDATE, {"modelType": "MultiLanguageProperty", "valueType": None, "value": None}, "kind"),
    ],
)  # fmt: skip
def test_deviation_is_an_error_at_its_place(
    passport: Passport, path: str, change: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    content = environment(passport)
    node = element(content, path)
    node.update(change)
    for name in [name for name, value in change.items() if value is None]:
        del node[name]
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert errors(validate_file(tmp_path / "p.json")) == [(path, rule)]


def test_part_with_the_semantic_id_of_something_else_is_an_error(passport: Passport, tmp_path: Path) -> None:
    data = canonical_json(passport).replace(
        b"product_condition:1.0.0#ProductCondition", b"product_condition:9.0.0#ProductCondition"
    )
    (tmp_path / "p.json").write_bytes(data)
    assert errors(validate_file(tmp_path / "p.json")) == [("ProductCondition", "semantic-id")]


def test_what_no_table_knows_is_a_warning(passport: Passport, tmp_path: Path) -> None:
    content = environment(passport)
    content["submodels"].append({"modelType": "Submodel", "id": "urn:more", "idShort": "More"})
    content["submodels"][0]["submodelElements"].append(
        {"modelType": "Property", "idShort": "Extra", "valueType": "xs:string", "value": "x"}
    )
    (tmp_path / "p.json").write_text(json.dumps(content))
    findings = validate_file(tmp_path / "p.json")
    assert errors(findings) == []
    assert {"unknown-part", "unknown-element"} <= {finding.rule for finding in findings}


def test_mandatory_property_without_a_value_is_incomplete(passport: Passport, tmp_path: Path) -> None:
    content = environment(passport)
    del element(content, CAPACITY)["value"]
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert (CAPACITY, "incomplete") in {(one.path, one.rule) for one in validate_file(tmp_path / "p.json")}


def test_number_without_its_unit_is_a_warning(passport: Passport, tmp_path: Path) -> None:
    content = environment(passport)
    del element(content, CAPACITY)["qualifiers"]
    (tmp_path / "p.json").write_text(json.dumps(content))
    (found,) = [one for one in validate_file(tmp_path / "p.json") if one.rule == "unit"]
    assert (found.path, found.severity) == (CAPACITY, "warning")
    assert "Ah" in found.message


def test_part_that_is_missing_or_has_another_name_is_a_warning(whole_passport: Passport, tmp_path: Path) -> None:
    content = environment(whole_passport)
    content["submodels"] = [one for one in content["submodels"] if one["idShort"] != "Circularity"]
    next(one for one in content["submodels"] if one["idShort"] == "ProductCondition")["idShort"] = "Condition"
    (tmp_path / "p.json").write_text(json.dumps(content))
    found = {(one.path, one.rule) for one in validate_file(tmp_path / "p.json")}
    assert {("Circularity", "incomplete"), ("Condition", "id-short")} <= found


def test_recycled_material_that_is_none_is_an_error(whole_passport: Passport, tmp_path: Path) -> None:
    content = environment(whole_passport)
    place = "Circularity.RecycledContentInformation[0].RecycledMaterial"
    part = next(one for one in content["submodels"] if one["idShort"] == "Circularity")
    shares = next(one for one in part["submodelElements"] if one["idShort"] == "RecycledContentInformation")
    next(one for one in shares["value"][0]["value"] if one["idShort"] == "RecycledMaterial")["value"] = "Gold"
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert errors(validate_file(tmp_path / "p.json")) == [(place, "allowed-value")]


def test_file_in_a_package_that_was_changed_is_an_error(
    whole_passport: Passport, content_of: Any, tmp_path: Path
) -> None:
    write_aasx(whole_passport, tmp_path / "p.aasx", content_of)
    with zipfile.ZipFile(tmp_path / "p.aasx") as package:
        parts = {name: package.read(name) for name in package.namelist()}
    changed = next(name for name in parts if name.startswith("aasx/files/"))
    with zipfile.ZipFile(tmp_path / "q.aasx", "w") as package:
        for name, content in parts.items():
            package.writestr(name, b"something else" if name == changed else content)
    assert errors(validate_file(tmp_path / "p.aasx")) == []
    findings = validate_file(tmp_path / "q.aasx")
    assert {rule for _, rule in errors(findings)} == {"file"}
    assert any(f"/{changed} was changed" in one.message for one in findings)


def test_every_fault_of_the_aas_itself_is_reported(passport: Passport, tmp_path: Path) -> None:
    content = environment(passport)
    element(content, CAPACITY)["value"] = "much"
    element(content, CHARGE)["value"] = "little"
    (tmp_path / "p.json").write_text(json.dumps(content))
    assert [rule for _, rule in errors(validate_file(tmp_path / "p.json"))] == ["aas", "aas"]


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", b"\x00\x01", b"7"])
def test_file_of_another_kind_is_named_so(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "p.aasx").write_bytes(content)
    (finding,) = validate_file(tmp_path / "p.aasx")
    assert finding.message == "passport: neither an AASX package nor JSON nor XML"


def test_unreadable_file_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{")
    assert errors(validate_file(tmp_path / "p.json")) == [("", "readable")]


@pytest.mark.parametrize("name", ["p.txt", "missing.json"])
def test_file_that_cannot_be_a_passport_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "p.txt").write_text("")
    with pytest.raises(InputError):
        validate_file(tmp_path / name)
