"""What must hold for any condition."""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.passport.aas import canonical_json, concept_description_dicts, flat_values, write_json
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.completeness import completeness_of
from battery_pilot.passport.documents import Attachment, Document, DocumentEntry, Purpose
from battery_pilot.passport.exports import export_file
from battery_pilot.passport.facts import Material, ModelFacts
from battery_pilot.passport.imports import import_file
from battery_pilot.passport.lexical import to_xsd
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import BatteryItem, BatteryModel, Tier
from battery_pilot.passport.reading import read_file, read_passport
from battery_pilot.passport.validation import validate_file

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.passport.lexical import Value

FEW = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
TIMES = st.datetimes(datetime(1980, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
NUMBERS = st.one_of(
    st.floats(0, 100),
    st.integers(0, 10**6).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)
MEASURED = st.builds(
    MeasuredValue,
    value=NUMBERS,
    as_of=TIMES,
    method=st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn")), max_size=20).map(
        "measured by {}".format
    ),
    source_sha256=st.lists(st.text("0123456789abcdef", min_size=64, max_size=64), max_size=2).map(tuple),
    uncertainty=st.none() | st.floats(0, 1e300),
)
CONDITIONS = st.builds(
    Condition,
    battery_id=st.just("Cell_7"),
    as_of=TIMES,
    values=st.dictionaries(st.sampled_from(sorted(METRICS)), MEASURED, max_size=len(METRICS)),
)


@FEW
@given(condition=CONDITIONS)
def test_nothing_of_a_higher_tier_is_in_the_bytes_of_a_lower_view(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition
) -> None:
    passport = build_passport(battery_model, battery_item, condition, base="https://example.com/dbp")
    leaves = [element for element in passport.elements if element.value is not None]
    for tier in Tier:
        view = passport.view(tier)
        text = canonical_json(view).decode()
        shown = [element for element in leaves if is_visible(element.tier, tier)]
        hidden = [element for element in leaves if not is_visible(element.tier, tier)]
        assert flat_values(view) == {element.path: element.value for element in shown}
        meanings = {element.row.semantic_id for element in view.elements}
        for element in hidden:
            value = to_xsd(element.value, element.row.value_type)  # type: ignore[arg-type]
            if len(value) >= 8 and value not in {str(other.value) for other in shown}:  # short ones occur by chance
                assert json.dumps(value, ensure_ascii=False) not in text, element.path
            if element.row.semantic_id not in meanings:
                assert f'"{element.row.semantic_id}"' not in text, element.path
        described = {one["id"] for one in concept_description_dicts(view)}
        assert not {element.row.semantic_id for element in hidden} - meanings & described


@FEW
@given(condition=CONDITIONS)
def test_every_passport_that_we_build_validates_and_is_read_back(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, tmp_path: Path
) -> None:
    passport = build_passport(battery_model, battery_item, condition, base="https://example.com/dbp")
    write_json(passport, tmp_path / "p.json")
    assert [finding for finding in validate_file(tmp_path / "p.json") if finding.severity == "error"] == []
    read = read_passport((tmp_path / "p.json").read_bytes())
    assert (read.as_of, read.values) == (condition.as_of, flat_values(passport))


PURPOSES = st.sampled_from(
    [one for one in get_args(Purpose) if one not in {"company_logo", "product_image", "marking"}]
)
SECRETS = st.integers(0, 10**12).map(lambda number: f"mark{number:012d}x")


@st.composite
def described_models(draw: st.DrawFn) -> ModelFacts:
    """Return documents and materials of any tier; every text in them occurs nowhere else."""
    of = {"model_id": "INR-21/50"}
    names = draw(st.lists(SECRETS, min_size=1, max_size=6, unique=True))
    documents = []
    for name in names:
        row = DocumentEntry(**of, document_id=name, purpose=draw(PURPOSES), title=f"title {name}")
        tiers = [None, *(tier for tier in Tier if is_visible(row.lowest_tier, tier))]
        content = name.encode()
        file = Attachment(
            name=name,
            content_type="application/pdf",
            sha256=hashlib.sha256(content).hexdigest(),
            byte_count=len(content),
        )
        documents.append(Document(**{**row.model_dump(), "tier": draw(st.sampled_from(tiers)), "attachment": file}))
    materials = [
        Material(**of, material_name=name, cas_number="7439-93-2", component=f"in {name}", is_critical=critical)
        for name, critical in draw(st.lists(st.tuples(SECRETS, st.booleans()), max_size=5))
    ]
    return ModelFacts(documents=tuple(documents), materials=tuple(materials))


@FEW
@given(facts=described_models())
def test_no_element_file_concept_or_completeness_entry_of_a_higher_tier_is_in_a_lower_view(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, facts: ModelFacts, tmp_path: Path
) -> None:
    passport = build_passport(battery_model, battery_item, condition, base="https://example.com/dbp", facts=facts)
    places = {str(one.attachment.sha256): one.document_id for one in facts.documents if one.attachment}

    def content_of(one: Attachment) -> Path:
        path = tmp_path / "content"
        path.write_bytes(places[str(one.sha256)].encode())
        return path

    whole = flat_values(passport)
    for tier in Tier:
        view = passport.view(tier)
        write_aasx(view, tmp_path / "p.aasx", content_of)
        with zipfile.ZipFile(tmp_path / "p.aasx") as package:
            everything = b"\n".join(name.encode() + package.read(name) for name in package.namelist())
        told = " ".join(f"{one.path} {one.reason}" for one in completeness_of(view).missing)
        told += " ".join(f"{one.path} {one.reason}" for one in view.absent)
        assert flat_values(view).items() <= whole.items()
        for document in facts.documents:
            secrets = (document.document_id, str(document.attachment and document.attachment.sha256))
            for secret in secrets:
                assert (secret.encode() in everything) is is_visible(document.effective_tier, tier)
                assert secret not in told
        for material in facts.materials:
            assert (material.material_name.encode() in everything) is any(
                is_visible(one.tier, tier) for one in facts.materials if one.material_name == material.material_name
            )
            if tier is Tier.PUBLIC:
                assert f"in {material.material_name}".encode() not in everything
        assert_lists_have_no_gaps(flat_values(view))


def assert_lists_have_no_gaps(values: dict[str, Value]) -> None:
    """A list of a view begins at 0 and misses no number: its shape does not tell that there is more."""
    indices: dict[str, set[int]] = {}
    for path in values:
        for found in re.finditer(r"\[(\d+)\]", path):
            indices.setdefault(path[: found.start()], set()).add(int(found[1]))
    for path, numbers in indices.items():
        assert numbers == set(range(len(numbers))), path


TWELVE_DIGITS = st.floats(1e-12, 1e12).map(lambda number: float(f"{number:.12g}"))


@FEW
@given(mass=st.floats(1e-6, 1e6), numbers=st.lists(TWELVE_DIGITS, min_size=3, max_size=3))
def test_numbers_come_out_of_the_package_as_they_went_in(
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    mass: float,
    numbers: list[float],
    tmp_path: Path,
) -> None:
    low, middle, high = sorted(numbers)
    voltages = {"minimum_voltage_volt": low, "nominal_voltage_volt": middle, "maximum_voltage_volt": high}
    model = battery_model.model_copy(update={**voltages, "mass_kilogram": mass, "cycle_life_test_c_rate": low})
    passport = build_passport(model, battery_item, condition, base="https://example.com/dbp")
    write_aasx(passport, tmp_path / "p.aasx")
    read = read_file(tmp_path / "p.aasx").values
    area = "TechnicalData.TechnicalPropertyAreas"
    assert [
        read[f"{area}.CapacityEnergyVoltage.{name}"] for name in ("MinVoltage", "NominalVoltage", "MaxVoltage")
    ] == [
        low,
        middle,
        high,
    ]
    assert read["TechnicalData.GeneralInformation.BatteryMass"] == mass
    assert read[f"{area}.Lifetime.CRateOfRelevantCycleLifeTest"] == low


@pytest.mark.parametrize("form", ["json", "xml", "aasx", "batterypass", "value-only"])
@settings(FEW, max_examples=6)
@given(numbers=st.lists(st.floats(1e-9, 1e9).map(lambda number: float(f"{number:.12g}")), min_size=4, max_size=4))
def test_numbers_come_out_of_every_form_equal_to_twelve_digits(
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    model_facts: ModelFacts,
    numbers: list[float],
    form: str,
    tmp_path: Path,
) -> None:
    """Units differ: BatteryPass has power in kW and masses of materials in g."""
    names = ("rated_capacity_ah", "mass_kilogram", "maximum_power_watt")
    model = battery_model.model_copy(update=dict(zip(names, numbers, strict=False)))
    materials = (model_facts.materials[0].model_copy(update={"mass_kilogram": numbers[-1]}),)
    facts = model_facts.model_copy(update={"materials": materials})
    write_json(
        build_passport(model, battery_item, condition, base="https://example.com/dbp", facts=facts),
        tmp_path / "p.json",
    )
    export_file(tmp_path / "p.json", form, tmp_path / f"q.{form}")
    records = import_file(tmp_path / f"q.{form}").records
    found = [*(records.model[name] for name in names), records.lists["materials"][0]["mass_kilogram"]]
    assert found == pytest.approx(numbers, rel=1e-12, abs=0)


@pytest.mark.parametrize("serial", ["A/B C", "Übergröße №7", "x" * 200, "a?b#c%d", "日本"])
def test_serial_numbers_of_any_kind_are_kept(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, serial: str, tmp_path: Path
) -> None:
    item = battery_item.model_copy(update={"serial_number": serial, "battery_id": serial})
    own = condition.model_copy(update={"battery_id": serial})
    passport = build_passport(battery_model, item, own, base="https://example.com/dbp")
    write_aasx(passport, tmp_path / "p.aasx")
    read = read_file(tmp_path / "p.aasx")
    assert (read.battery_id, read.values["BatteryNameplate.SerialNumber"]) == (serial, serial)
    assert [one for one in validate_file(tmp_path / "p.aasx") if one.severity == "error"] == []
