from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator

from battery_pilot.errors import InputError, PassportError
from battery_pilot.passport.aas import flat_values, write_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.exports import FORMS, export_file, export_view
from battery_pilot.passport.forms import form_rows, read_form
from battery_pilot.passport.mapping import parts, row_path
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.condition import Condition
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.facts import ModelFacts
    from battery_pilot.passport.model import BatteryItem, BatteryModel

PARTS = {
    "BatteryNameplate": "NameplateBattery",
    "CarbonFootprint": "CarbonFootprintBattery",
    "TechnicalData": "TechnicalDataBattery",
    "ProductCondition": "ProductConditionBattery",
    "MaterialComposition": "MaterialCompositionBattery",
    "Circularity": "CircularityBattery",
}


def schema(shared_data: Path, *steps: str) -> Draft4Validator:
    return Draft4Validator(json.loads(shared_data.joinpath(*steps).read_text(encoding="utf-8")))


def place(error: Any) -> str:
    """Return the place of a missing key as the export writes it."""
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path)
    key = error.message.split("'")[1]
    return f"{path}.{key}".lstrip(".")


@pytest.mark.parametrize("tier", list(Tier))
def test_value_only_is_valid_but_for_what_is_listed_as_missing(
    full_passport: Passport, tier: Tier, shared_data: Path
) -> None:
    form = export_view(full_passport.view(tier), "value-only")
    errors = [
        (part, error)
        for part, name in PARTS.items()
        if part in form.content
        for error in schema(shared_data, "idta-02035", "value-only", f"{name}-schema.json").iter_errors(
            form.content[part]
        )
    ]
    assert {error.validator for _, error in errors} <= {"required"}
    assert {f"{part}.{place(error)}" for part, error in errors} == {one.path for one in form.missing}


@pytest.mark.parametrize("tier", list(Tier))
def test_catena_x_is_valid_but_for_what_is_listed_as_missing(
    full_passport: Passport, tier: Tier, shared_data: Path
) -> None:
    form = export_view(full_passport.view(tier), "catena-x")
    errors = list(schema(shared_data, "catena-x-6.1", "BatteryPass-schema.json").iter_errors(form.content))
    assert {error.validator for error in errors} == {"required"}
    assert {place(error) for error in errors} == {one.path for one in form.missing}


def test_business_partner_numbers_stay_absent_and_are_listed(full_passport: Passport) -> None:
    form = export_view(full_passport, "catena-x")
    assert "BPN" not in json.dumps(form.content)
    reasons = {one.path: one.reason for one in form.missing}
    assert "Business Partner Number" in reasons["operation.manufacturer.manufacturer"]


def leaves(node: Any, path: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, dict):
        return [pair for key, value in node.items() for pair in leaves(value, f"{path}.{key}".lstrip("."))]
    if isinstance(node, list):
        return [pair for member in node for pair in leaves(member, path)]
    return [(path, node)]


def test_batterypass_has_only_published_keys_and_values_that_its_model_allows(
    full_passport: Passport, shared_data: Path
) -> None:
    properties = json.loads((shared_data / "batterypass-1.2" / "properties.json").read_text(encoding="utf-8"))
    known = {f"{one['aspect'].partition('#')[2]}.{one['path']}": one for one in properties}
    found = leaves(export_view(full_passport, "batterypass").content)
    assert len(found) > 80
    for path, value in found:
        published = known[path]
        is_number = published["datatype"] in {"float", "double", "long", "integer", "short"}
        assert is_number == (isinstance(value, int | float) and not isinstance(value, bool)), path
        if published["enum"]:
            assert value in published["enum"], path
        for constraint in published["constraints"]:
            if constraint["type"] == "RegularExpressionConstraint":
                assert re.fullmatch(constraint["value"], value), path
    assert "PerformanceAndDurability.batteryTechicalProperties.ratedCapacity" in dict(found)


def test_what_batterypass_demands_and_lacks_is_listed_with_a_reason(
    full_passport: Passport, shared_data: Path
) -> None:
    properties = json.loads((shared_data / "batterypass-1.2" / "properties.json").read_text(encoding="utf-8"))
    required = {
        (row.target.replace("[]", ""), row.is_required)
        for row in form_rows(FORMS["batterypass"])
        if "=" not in row.target and not row.target.endswith("[]") and "." in row.target
    }
    published = {(f"{one['aspect'].partition('#')[2]}.{one['path']}", not one["optional"]) for one in properties}
    members = {pair for pair in published if "initialInternalResistance." in pair[0]}  # chosen by their component
    assert required == published - members
    missing = {one.path: one.reason for one in export_view(full_passport, "batterypass").missing}
    assert "12 months" in missing["GeneralProductInformation.warrentyPeriod"]


@pytest.mark.parametrize("form", FORMS)
def test_every_source_of_a_form_is_an_element_of_a_part(form: str) -> None:
    elements = {row.path for part in parts() for row in part.rows if not row.is_container}
    for row in form_rows(FORMS[form]):
        if row.source and not row.source.startswith("="):
            assert re.sub(r"\[[^\]]*\]", "[]", row.source.partition("#")[0]) in elements, row.target


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tier", list(Tier))
def test_export_of_a_view_holds_nothing_that_a_higher_tier_has_alone(
    full_passport: Passport, form: str, tier: Tier
) -> None:
    view = full_passport.view(tier)
    hidden = {str(value) for value in flat_values(full_passport).values()} - {
        str(value) for value in flat_values(view).values()
    }
    secrets = {value for value in hidden if len(value) > 6 and not value[:4].isdigit()}
    written = {str(value) for _, value in leaves(export_view(view, form).content)}
    assert not [secret for secret in secrets if any(secret in value for value in written)]
    if tier is Tier.PUBLIC:
        assert secrets


FINITE = st.floats(min_value=1e-6, max_value=1e6)


@given(
    capacity=FINITE,
    power=FINITE,
    mass=st.floats(1e-6, 1e3),
    efficiency=st.floats(0.001, 100),
    cycles=st.integers(1, 10**9),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("form", ["batterypass", "value-only"])
def test_value_that_went_in_comes_out_of_the_form_equal_to_12_digits(
    form: str,
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    model_facts: ModelFacts,
    capacity: float,
    power: float,
    mass: float,
    efficiency: float,
    cycles: int,
) -> None:
    changed = battery_model.model_copy(
        update={
            "rated_capacity_ah": capacity,
            "maximum_power_watt": power,
            "initial_round_trip_efficiency_percent": efficiency,
            "expected_cycles": cycles,
        }
    )
    material = model_facts.materials[0].model_copy(update={"mass_kilogram": mass})
    facts = model_facts.model_copy(update={"materials": (material,)})
    passport = build_passport(changed, battery_item, condition, base="https://example.com/dbp", facts=facts)
    content = json.loads(json.dumps(export_view(passport, form).content))
    read, unread = read_form(form_rows(FORMS[form]), content)
    wanted = flat_values(passport)
    assert unread == []
    assert len(read) > 80
    for path, value in read.items():
        if isinstance(value, float):
            assert math.isclose(value, float(wanted[path]), rel_tol=1e-12), path
        else:
            assert value == wanted[path], path


def test_value_of_a_wrong_type_is_refused_with_its_place() -> None:
    content = {"ProductCondition": {"StateOfCharge": {"StateOfChargeValue": "70"}}}
    with pytest.raises(
        PassportError, match=r"ProductCondition\.StateOfCharge\.StateOfChargeValue: a number was expected"
    ):
        read_form(form_rows(FORMS["value-only"]), content)


@pytest.mark.parametrize("form", ["json", "xml", "aasx", *FORMS])
def test_every_form_of_a_file_can_be_written(full_passport: Passport, form: str, tmp_path: Path) -> None:
    write_json(full_passport, tmp_path / "p.json")
    export_file(tmp_path / "p.json", form, tmp_path / "out")
    assert (tmp_path / "out").stat().st_size > 1000


def test_form_that_nobody_knows_is_refused(full_passport: Passport) -> None:
    with pytest.raises(InputError, match="known are value-only, batterypass, catena-x"):
        export_view(full_passport, "pdf")


def test_paths_of_tables_are_paths_of_rows() -> None:
    assert row_path("A.B[12].C") == "A.B[].C"
