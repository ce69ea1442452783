from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from aas_core3_1 import jsonization, verification
from basyx.aas import model as basyx_model
from basyx.aas.adapter.aasx import AASXReader, DictSupplementaryFileContainer

from battery_pilot.passport.aas import (
    canonical_json,
    concept_description_dicts,
    environment,
    flat_values,
    flat_values_by_tier,
    passport_sha256,
    submodel_dicts,
    to_store,
    write_json,
)
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.building import Passport, build_passport
from battery_pilot.passport.mapping import OWN_IDS
from battery_pilot.passport.model import BatteryItem, BatteryModel, Prediction, Tier
from battery_pilot.passport.shell import shell_dict

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.electrochemistry.condition import Condition

TIERS = pytest.mark.parametrize("tier", list(Tier))


@TIERS
def test_every_view_is_a_valid_aas_of_metamodel_3_1(passport: Passport, tier: Tier) -> None:
    parsed = jsonization.environment_from_jsonable(environment(passport.view(tier)))
    assert [f"{error.path}: {error.cause}" for error in verification.verify(parsed)] == []


def test_passport_satisfies_the_published_json_schema(
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    prediction: Prediction,
    shared_data: Path,
) -> None:
    schema = json.loads((shared_data / "aas-api" / "aas.json").read_text())
    few = {metric: condition.values[metric] for metric in ("remaining_capacity_ah", "dc_resistance_ohm")}
    brief = condition.model_copy(update={"values": few})  # one of each kind of element; the schema is slow to check
    passport = build_passport(battery_model, battery_item, brief, base="https://x.org", predictions=(prediction,))
    jsonschema.validate(environment(passport), schema, jsonschema.Draft201909Validator)


def test_basyx_reads_every_value_strictly(passport: Passport) -> None:
    store = to_store(passport)
    condition = store.get_item(passport.identifiers.submodels["ProductCondition"])
    assert isinstance(condition, basyx_model.Submodel)
    value = condition.get_referable(["RemainingCapacity", "RemainingCapacityValue"]).value
    assert value == 4.2
    assert len(store) == 1 + len(submodel_dicts(passport)) + len(concept_description_dicts(passport))


def test_shell_refers_to_the_submodels_of_the_view_only(passport: Passport) -> None:
    shell = shell_dict(passport.view(Tier.PUBLIC))
    referred = [reference["keys"][0]["value"] for reference in shell["submodels"]]
    assert referred == [submodel["id"] for submodel in submodel_dicts(passport.view(Tier.PUBLIC))]
    assert len(referred) == 3
    assert shell["assetInformation"]["globalAssetId"] == passport.identifiers.asset


def nodes(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, dict):
        return [content, *(node for child in content.values() for node in nodes(child))]
    return [node for child in content for node in nodes(child)] if isinstance(content, list) else []


def test_members_of_lists_carry_no_id_short(passport: Passport) -> None:
    lists = [node for node in nodes(environment(passport)) if node.get("modelType") == "SubmodelElementList"]
    members = [member for one in lists for member in one["value"]]
    assert members
    assert not any("idShort" in member for member in members)


def test_unit_stands_at_the_value_because_a_template_may_state_a_wrong_one(passport: Passport) -> None:
    named = {node.get("idShort"): node for node in nodes(environment(passport))}
    (qualifier,) = named["RemainingCapacityValue"]["qualifiers"]
    assert (qualifier["type"], qualifier["value"]) == ("Unit", "Ah")


def test_own_concepts_are_described_in_english_and_german_with_unit_and_type(passport: Passport) -> None:
    by_name = {one["idShort"]: one for one in concept_description_dicts(passport)}
    content = by_name["DcResistanceValue"]["embeddedDataSpecifications"][0]["dataSpecificationContent"]
    assert [text["language"] for text in content["definition"]] == ["en", "de"]
    assert (content["unit"], content["dataType"]) == ("ohm", "REAL_MEASURE")
    used = {element.row.semantic_id for element in passport.elements}
    assert by_name.keys() == {one.removeprefix(OWN_IDS) for one in used if one.startswith(OWN_IDS)} | {"Unit"}


def test_view_describes_only_concepts_that_it_uses(passport: Passport) -> None:
    names = {one["idShort"] for one in concept_description_dicts(passport.view(Tier.PUBLIC))}
    assert names == {"Unit"}


def test_number_without_exponent_where_xsd_knows_none(passport: Passport) -> None:
    named = {node.get("idShort"): node for node in nodes(environment(passport))}
    assert named["CRateOfRelevantCycleLifeTest"]["value"] == "0.0000005"


def test_values_by_tier_are_the_values(passport: Passport) -> None:
    by_tier = flat_values_by_tier(passport)
    assert {path: value for tier in Tier for path, value in by_tier[tier].items()} == flat_values(passport)
    assert by_tier[Tier.AUTHORITY] == {
        "BatteryNameplate.ResultsOfTestReportsProvingCompliance[0]": "REPORT-SECRET-1",
        "BatteryNameplate.ResultsOfTestReportsProvingCompliance[1]": "REPORT-SECRET-2",
    }


def test_json_file_is_the_canonical_json(passport: Passport, tmp_path: Path) -> None:
    write_json(passport, tmp_path / "p.json")
    data = (tmp_path / "p.json").read_bytes()
    assert hashlib.sha256(data).hexdigest() == passport_sha256(passport)
    assert json.loads(data) == environment(passport)


def test_aasx_is_read_strictly_by_basyx(passport: Passport, tmp_path: Path) -> None:
    write_aasx(passport, tmp_path / "p.aasx")
    store: Any = basyx_model.DictIdentifiableStore()
    with AASXReader(tmp_path / "p.aasx", failsafe=False) as reader:
        reader.read_into(store, DictSupplementaryFileContainer())
    assert {one.id for one in store} == {one.id for one in to_store(passport)}


def test_same_passport_gives_the_same_aasx_and_its_part_has_the_passports_digest(
    passport: Passport, tmp_path: Path
) -> None:
    for name in ("one.aasx", "two.aasx"):
        write_aasx(passport, tmp_path / name)
    assert (tmp_path / "one.aasx").read_bytes() == (tmp_path / "two.aasx").read_bytes()
    with zipfile.ZipFile(tmp_path / "one.aasx") as package:
        assert package.testzip() is None
        assert hashlib.sha256(package.read("aasx/data.json")).hexdigest() == passport_sha256(passport)
        assert package.namelist() == sorted(package.namelist())
        assert {entry.date_time for entry in package.infolist()} == {(1980, 1, 1, 0, 0, 0)}


SCRIPT = """
import hashlib, pathlib, sys
from battery_pilot.electrochemistry.condition import Condition
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.model import BatteryItem, BatteryModel
folder = pathlib.Path(sys.argv[1])
model, item, condition = (
    kind.model_validate_json((folder / name).read_text())
    for kind, name in ((BatteryModel, "model"), (BatteryItem, "item"), (Condition, "condition"))
)
passport = build_passport(model, item, condition, base="https://example.com/dbp")
write_aasx(passport, folder / "p.aasx")
print(hashlib.sha256(canonical_json(passport)).hexdigest(), hashlib.sha256((folder / "p.aasx").read_bytes()).hexdigest())
"""


def test_bytes_do_not_depend_on_the_process(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, tmp_path: Path
) -> None:
    for record, name in ((battery_model, "model"), (battery_item, "item"), (condition, "condition")):
        (tmp_path / name).write_text(record.model_dump_json())
    passport = build_passport(battery_model, battery_item, condition, base="https://example.com/dbp")
    write_aasx(passport, tmp_path / "here.aasx")
    expected = [
        hashlib.sha256(data).hexdigest() for data in (canonical_json(passport), (tmp_path / "here.aasx").read_bytes())
    ]
    for seed in ("1", "4711"):
        environment_of_process = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
        found = subprocess.run(command, env=environment_of_process, capture_output=True, text=True, check=True)
        assert found.stdout.split() == expected
