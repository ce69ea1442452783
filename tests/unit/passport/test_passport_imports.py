from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.cli import main
from battery_pilot.errors import PassportError
from battery_pilot.passport.aas import environment, flat_values, write_json
from battery_pilot.passport.exports import export_file, export_view
from battery_pilot.passport.imports import build_imported, import_file, missing_columns, write_records
from battery_pilot.passport.master import read_master
from battery_pilot.passport.reading import read_file

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.condition import Condition
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.facts import ModelFacts
    from battery_pilot.passport.model import BatteryModel

RATED = "TechnicalData.TechnicalPropertyAreas.CapacityEnergyVoltage.RatedCapacity"
CAPACITY = "ProductCondition.RemainingCapacity.RemainingCapacityValue"


@pytest.fixture(scope="session")
def batterypass(full_passport: Passport) -> dict[str, Any]:
    return json.loads(json.dumps(export_view(full_passport, "batterypass").content))


def written(path: Path, content: Any, encoding: str = "utf-8") -> Path:
    path.write_text(json.dumps(content), encoding=encoding)
    return path


@pytest.mark.parametrize("form", ["json", "xml", "aasx"])
def test_records_of_an_aas_are_those_that_it_was_built_from(
    full_passport: Passport,
    battery_model: BatteryModel,
    condition: Condition,
    model_facts: ModelFacts,
    form: str,
    tmp_path: Path,
) -> None:
    write_json(full_passport, tmp_path / "p.json")
    export_file(tmp_path / "p.json", form, tmp_path / "other")
    taken = import_file(tmp_path / "other")
    assert taken.values == flat_values(full_passport)
    assert missing_columns(taken.records) == []
    assert taken.records.model["model_id"] == battery_model.model_id
    assert taken.records.condition is not None
    assert taken.records.condition.values == {
        metric: value for metric, value in condition.values.items() if metric in taken.records.condition.values
    }
    assert len(taken.records.condition.values) > 20
    again = build_imported(taken.records, "https://example.com/dbp")
    assert flat_values(again) == flat_values(full_passport)


@pytest.mark.parametrize("former", ["3/0", "3/1"])
def test_xml_of_both_metamodels_says_the_same_and_what_was_put_right_is_noted(
    full_passport: Passport, former: str, tmp_path: Path
) -> None:
    write_json(full_passport, tmp_path / "p.json")
    export_file(tmp_path / "p.json", "xml", tmp_path / "p.xml")
    text = (tmp_path / "p.xml").read_text(encoding="utf-8")
    (tmp_path / "p.xml").write_text(
        text.replace("admin-shell.io/aas/3/1", f"admin-shell.io/aas/{former}"), encoding="utf-8"
    )
    taken = import_file(tmp_path / "p.xml")
    assert taken.values == flat_values(full_passport)
    assert [("metamodel 3.0" in note) for note in taken.notes] == ([True] if former == "3/0" else [])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_batterypass_is_read_in_every_encoding_that_it_is_published_in(
    batterypass: dict[str, Any], encoding: str, tmp_path: Path
) -> None:
    taken = import_file(written(tmp_path / "p.json", batterypass, encoding))
    assert (taken.form, taken.values[RATED], taken.values[CAPACITY]) == ("batterypass", 5.0, 4.2)
    assert len(taken.notes) == (encoding != "utf-8")


def test_spellings_that_somebody_put_right_are_understood(batterypass: dict[str, Any], tmp_path: Path) -> None:
    text = json.dumps(batterypass)
    for wrong, right in {
        "batteryTechicalProperties": "batteryTechnicalProperties",
        "warrentyPeriod": "warrantyPeriod",
        "roundTripEfficiencyat50PerCentCycleLife": "roundTripEfficiencyAt50PercentCycleLife",
        "PerformanceAndDurability": "Performance",
    }.items():
        text = text.replace(f'"{wrong}"', f'"{right}"')
    (tmp_path / "p.json").write_text(text)
    taken = import_file(tmp_path / "p.json")
    assert taken.values == import_file(written(tmp_path / "q.json", batterypass)).values
    assert taken.notes == ()


def test_one_aspect_without_its_name_is_understood(batterypass: dict[str, Any], tmp_path: Path) -> None:
    taken = import_file(written(tmp_path / "p.json", batterypass["PerformanceAndDurability"]))
    assert (taken.form, taken.values[RATED]) == ("batterypass", 5.0)


def test_key_that_nobody_knows_is_named(batterypass: dict[str, Any], tmp_path: Path) -> None:
    changed = {**batterypass, "MaterialComposition": {**batterypass["MaterialComposition"], "colour": "blue"}}
    taken = import_file(written(tmp_path / "p.json", changed))
    assert taken.notes == ("MaterialComposition.colour: not understood",)


def test_warranty_of_up_to_a_year_comes_back_as_months(batterypass: dict[str, Any], tmp_path: Path) -> None:
    batterypass = {
        **batterypass,
        "GeneralProductInformation": {**batterypass["GeneralProductInformation"], "warrentyPeriod": "--06"},
    }
    assert import_file(written(tmp_path / "p.json", batterypass)).records.model["warranty_months"] == 6


def test_tables_are_read_as_master_data_once_the_missing_columns_are_filled_in(
    batterypass: dict[str, Any], tmp_path: Path
) -> None:
    taken = import_file(written(tmp_path / "p.json", batterypass), model_id="M1", battery_id="B1")
    lacking = ["batteries.facility_id", "batteries.city", "carbon_footprint.calculation_methods"]
    assert missing_columns(taken.records) == lacking
    with pytest.raises(PassportError, match=r"does not carry batteries\.facility_id, batteries\.city"):
        build_imported(taken.records, "https://example.com/dbp")
    taken.records.item.update(facility_id="plant-1", city="Berlin")
    for row in taken.records.lists["carbon_footprint"]:
        row["calculation_methods"] = ["ISO 14067"]
    write_records(taken.records, tmp_path / "master")
    master = read_master(tmp_path / "master")
    assert master.models["M1"].rated_capacity_ah == 5.0
    assert master.batteries["B1"].manufactured_on == "2024-02-29"
    with (tmp_path / "master" / "materials.csv").open(encoding="utf-8") as file:
        assert [row["material_name"] for row in csv.DictReader(file)] == ["Lithium", "Iron"]


def test_passport_is_built_from_the_folder_of_an_import_once_it_is_filled_in(
    batterypass: dict[str, Any], tmp_path: Path
) -> None:
    taken = import_file(written(tmp_path / "p.json", batterypass), model_id="M1", battery_id="B1")
    taken.records.item.update(facility_id="plant-1", city="Berlin")
    for row in taken.records.lists["carbon_footprint"]:
        row["calculation_methods"] = ["ISO 14067"]
    write_records(taken.records, tmp_path / "master")
    arguments = ["passport", "import", str(tmp_path / "master"), "--passport", str(tmp_path / "q.json")]
    assert main(arguments) == 0
    found = read_file(tmp_path / "q.json").values
    expected = flat_values(build_imported(taken.records, "https://example.com/dbp"))
    assert found == expected
    assert any(path.startswith("ProductCondition.") for path in found)
    (tmp_path / "master" / "condition.json").unlink()
    assert main(arguments) != 0


def test_faults_of_a_description_keep_no_value_from_being_taken_in(full_passport: Passport, tmp_path: Path) -> None:
    content = environment(full_passport)
    whole = import_file(written(tmp_path / "p.json", content)).values
    for submodel in content["submodels"]:
        submodel["submodelElements"][0]["displayName"] = 2 * [{"language": "en", "text": "the same language twice"}]
    content["submodels"][0]["submodelElements"].append(
        {"modelType": "Property", "idShort": "Foreign", "valueType": "xs:string", "value": "x"}
    )
    taken = import_file(written(tmp_path / "p.json", content))
    assert whole.items() < taken.values.items()
    assert sum("no valid AAS" in note for note in taken.notes) == len(content["submodels"])
    assert any(note.endswith("Foreign: not understood") for note in taken.notes)


def test_environment_without_any_value_of_a_passport_is_refused(full_passport: Passport, tmp_path: Path) -> None:
    content = environment(full_passport)
    for submodel in content["submodels"]:
        submodel["idShort"] = f"Other_{submodel['idShort']}"
    with pytest.raises(PassportError, match="none of its .* submodels has a value of a battery passport"):
        import_file(written(tmp_path / "p.json", content))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{}", "neither an AAS environment nor BatteryPass"),
        (b'{"colour": "blue"}', "neither an AAS environment nor BatteryPass"),
        (b'{"ratedCapacity": 1, "ratedCapacity": 2}', "stands twice"),
        (b'{"batteryCondition": {"stateOfCharge": {"stateOfChargeValue": NaN}}}', "NaN is no JSON number"),
        (b'{"batteryCondition": {"stateOfCharge": {"stateOfChargeValue": 1e999}}}', "too great"),
        (b'{"batteryCondition": {"stateOfCharge": {"stateOfChargeValue": "70"}}}', "a number was expected"),
        (b"\xff\xfe{\x00\xd8", "not in the encoding"),
        (b"<environment/>", "an environment of AAS metamodel 3.0 or 3.1 was expected"),
    ],
)
def test_what_cannot_be_taken_in_is_refused_in_one_sentence(data: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_bytes(data)
    with pytest.raises(PassportError, match=words) as caught:
        import_file(tmp_path / "p.json")
    assert "\n" not in str(caught.value)


def test_files_of_a_package_stay_in_it(full_passport: Passport, tmp_path: Path) -> None:
    write_json(full_passport, tmp_path / "p.json")
    export_file(tmp_path / "p.json", "aasx", tmp_path / "a.aasx")
    export_file(tmp_path / "a.aasx", "aasx", tmp_path / "b.aasx")
    with zipfile.ZipFile(tmp_path / "a.aasx") as first, zipfile.ZipFile(tmp_path / "b.aasx") as second:
        assert {name: first.read(name) for name in first.namelist()} == {
            name: second.read(name) for name in second.namelist()
        }


def test_value_only_and_batterypass_are_told_apart_by_their_spelling(tmp_path: Path) -> None:
    """The mass of a material is in kg in one, in g in the other."""
    for names, mass, kilogram in (
        (("BatteryMaterials", "BatteryMaterialMass"), 52.0, 52.0),
        (("batteryMaterials", "batteryMaterialMass"), 52.0, 0.052),
    ):
        (tmp_path / "m.json").write_text(json.dumps({names[0]: [{names[1]: mass}]}))
        values = import_file(tmp_path / "m.json").values
        assert values["MaterialComposition.BatteryMaterials[0].BatteryMaterialMass"] == kilogram


def test_published_examples_of_value_only_are_understood(shared_data: Path) -> None:
    examples = sorted((shared_data / "idta-02035" / "value-only").rglob("*Battery.json"))
    assert len(examples) == 7
    for path in examples:
        assert import_file(path).form == "value-only", path.name


def test_passport_without_part_of_metadata_is_taken_in(full_passport: Passport, tmp_path: Path) -> None:
    """The seven parts of IDTA 02035 do not say of which time they are."""
    content = environment(full_passport)
    content["submodels"] = [one for one in content["submodels"] if one["idShort"] != "DppMetadata"]
    (tmp_path / "p.json").write_text(json.dumps(content))
    taken = import_file(tmp_path / "p.json")
    assert taken.records.item["serial_number"] == "SN 0007/ä"
    assert taken.records.condition is not None
    assert any("DppMetadata.lastUpdate" in note for note in taken.notes)


def test_examples_of_a_template_are_not_taken_for_data(full_passport: Passport, tmp_path: Path) -> None:
    content = environment(full_passport)
    content["submodels"][0]["kind"] = "Template"
    (tmp_path / "p.json").write_text(json.dumps(content))
    with pytest.raises(PassportError, match="is a template, whose values are examples"):
        import_file(tmp_path / "p.json")
