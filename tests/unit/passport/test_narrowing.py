"""A view that is made from a file shows nothing that the view of the passport itself would not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.cli import main
from battery_pilot.passport.aas import environment, flat_values, write_json
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.canonical import canonical
from battery_pilot.passport.compiled import canonical_json
from battery_pilot.passport.exports import ENVIRONMENTS, FORMS, export_file, export_view
from battery_pilot.passport.model import Tier
from battery_pilot.passport.narrowing import passport_of_file
from battery_pilot.passport.reading import read_file
from battery_pilot.passport.validation import validate_file

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.passport.building import Passport

LOWER = [Tier.PUBLIC, Tier.LEGITIMATE_INTEREST]


def is_of_documents(path: str) -> bool:
    lists = (
        "EUDeclarationOfConformity",
        "TestReports",
        "WebLinkTo",
        "InformationOnAccidents",
        "Dismantling",
        "EndOfLife",
    )
    return path.startswith("HandoverDocumentation") or any(name in path for name in (*lists, "SafetyInstructions"))


@pytest.fixture
def package(whole_passport: Passport, content_of: Any, tmp_path: Path) -> Path:
    write_aasx(whole_passport, tmp_path / "whole.aasx", content_of)
    return tmp_path / "whole.aasx"


@pytest.mark.parametrize("tier", LOWER)
def test_a_view_of_a_file_is_the_view_of_its_passport_without_documents(
    whole_passport: Passport, package: Path, tier: Tier
) -> None:
    expected = flat_values(whole_passport.view(tier))
    found = flat_values(passport_of_file(read_file(package)).view(tier))
    assert found == {path: value for path, value in expected.items() if not is_of_documents(path)}


@pytest.mark.parametrize("tier", LOWER)
@pytest.mark.parametrize("form", [*FORMS, *ENVIRONMENTS])
def test_every_form_of_a_narrowed_file_is_free_of_what_is_closed(
    whole_passport: Passport, package: Path, tier: Tier, form: str, tmp_path: Path
) -> None:
    shown = {str(value) for value in flat_values(whole_passport.view(tier)).values()}
    closed = {str(value) for value in flat_values(whole_passport).values()} - shown
    closed = {text for text in closed if len(text) > 5 and not any(text in other for other in shown)}
    closed -= {"Original"}  # a word that names of elements have as well
    export_file(package, form, tmp_path / f"out.{form}", tier)
    if form in ENVIRONMENTS:
        assert [one for one in validate_file(tmp_path / f"out.{form}") if one.severity == "error"] == []
        read = read_file(tmp_path / f"out.{form}")
        text = json.dumps([read.shell, read.submodels, read.concept_descriptions], ensure_ascii=False)
    else:
        text = (tmp_path / f"out.{form}").read_text(encoding="utf-8")
    assert len(closed) > 5
    assert [one for one in closed if one in text] == []


def test_what_no_table_knows_and_who_stands_first_tells_nothing(whole_passport: Passport, tmp_path: Path) -> None:
    content = environment(whole_passport)
    materials = next(one for one in content["submodels"] if one["idShort"] == "MaterialComposition")
    (materials_list,) = [one for one in materials["submodelElements"] if one["idShort"] == "BatteryMaterials"]
    materials_list["value"].reverse()  # somebody else's file need not have the open ones first
    extra = {"modelType": "Property", "idShort": "Extra", "valueType": "xs:string", "value": "SECRET"}
    materials["submodelElements"].append(extra)
    content["submodels"].append(
        {"modelType": "Submodel", "id": "urn:more", "idShort": "More", "submodelElements": [extra]}
    )
    (tmp_path / "p.json").write_text(json.dumps(content))
    view = passport_of_file(read_file(tmp_path / "p.json")).view(Tier.PUBLIC)
    written = json.dumps(environment(view))
    assert "Lithium" in written
    assert not {"SECRET", "Iron phosphate"} & set(flat_values(view).values())
    assert "urn:more" not in written
    names = [
        one["BatteryMaterialName"]
        for one in export_view(view, "value-only").content["MaterialComposition"]["BatteryMaterials"]
    ]
    assert names == ["Lithium"]


def test_what_a_file_states_of_its_files_is_kept_as_it_is(whole_passport: Passport, tmp_path: Path) -> None:
    text = json.dumps(environment(whole_passport)).replace("c" * 64, "no digest").replace("d" * 64, "none either")
    (tmp_path / "p.json").write_text(text)
    view = passport_of_file(read_file(tmp_path / "p.json")).view(Tier.LEGITIMATE_INTEREST)
    assert "no digest" in json.dumps(environment(view))
    assert canonical_json(view) == canonical(environment(view))


def test_export_command_narrows_a_file(whole_passport: Passport, tmp_path: Path) -> None:
    write_json(whole_passport, tmp_path / "p.json")
    arguments = ["passport", "export", str(tmp_path / "p.json"), "--form", "json", "--tier", "public"]
    assert main([*arguments, "--out", str(tmp_path / "q.json")]) == 0
    assert "PART-SECRET-1" in (tmp_path / "p.json").read_text()
    assert "PART-SECRET-1" not in (tmp_path / "q.json").read_text()
