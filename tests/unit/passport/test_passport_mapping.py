from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.electrochemistry.condition import METRICS
from battery_pilot.errors import PassportError
from battery_pilot.passport import mapping
from battery_pilot.passport.mapping import OWN_IDS, SUPPLIERS, Row, concepts, is_visible, parent_path, parts
from battery_pilot.passport.model import BatteryItem, BatteryModel, Tier
from battery_pilot.passport.submodels import BYTE_COUNT, MODEL_TYPES, SHA256, UNIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ROWS = [row for part in parts() for row in part.rows]

TEMPLATES = {
    "nameplate": "02035-1-Digital_Nameplate.json",
    "handover-documentation": "02035-2-HandoverDocumentation.json",
    "carbon-footprint": "02035-3-ProductCarbonFootprint.json",
    "material-composition": "02035-6-MaterialComposition.json",
    "circularity": "02035-7-Circularity.json",
    "technical-data": "02035-4-TechnicalData.json",
    "product-condition": "02035-5-ProductCondition.json",
    "dpp-metadata": "02099-1-DppMetadata.json",
}


def template_elements(node: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    if node["modelType"] in {"Submodel", "SubmodelElementCollection", "SubmodelElementList"}:
        for child in node.get("submodelElements", node.get("value", [])):
            is_list = node["modelType"] == "SubmodelElementList"
            yield from template_elements(child, f"{path}[]" if is_list else f"{path}.{child['idShort']}")


@pytest.mark.parametrize("segment", TEMPLATES)
def test_table_is_the_published_template_except_where_a_note_says_so(segment: str, shared_data: Path) -> None:
    submodel = json.loads((shared_data / "idta-02035" / TEMPLATES[segment]).read_text())["submodels"][0]
    published = dict(template_elements(submodel, submodel["idShort"]))
    part = next(part for part in parts() if part.segment == segment)

    assert published.keys() <= part.by_path.keys()
    for row in part.rows:
        if row.path not in published:
            assert row.note, f"{row.path} is not in the template and no note says why"
            continue
        node = published[row.path]
        qualifiers = {one["type"].removeprefix("SMT/"): one.get("value") for one in node.get("qualifiers", [])}
        theirs = (
            node["modelType"],
            node["semanticId"]["keys"][-1]["value"],
            node.get("valueType", ""),
            qualifiers.get("Cardinality", "One"),
        )
        assert (MODEL_TYPES[row.kind], row.semantic_id, row.value_type, row.cardinality) == theirs or row.note, (
            row.path
        )
        supplemental = {one["keys"][-1]["value"] for one in node.get("supplementalSemanticIds", [])}
        assert supplemental <= set(row.supplemental_semantic_ids) or row.note, row.path


def test_every_supplemental_id_of_the_batterypass_model_exists_in_it(shared_data: Path) -> None:
    properties = json.loads((shared_data / "batterypass-1.2" / "properties.json").read_text())
    known = {one["semanticId"] for one in properties} | {one["aspect"] for one in properties}
    used = {urn for row in ROWS for urn in row.supplemental_semantic_ids if urn.startswith("urn:samm:io.BatteryPass")}
    assert used
    assert used <= known


@pytest.mark.parametrize(
    ("path", "unit"),
    [
        ("ProductCondition.RemainingCapacity.RemainingCapacityValue", "Ah"),
        ("ProductCondition.RemainingPowerCapability.RemainingPowerCapabilityDynamicAt.PowerCapabilityAt", "W"),
        ("ProductCondition.CurrentSelfDischargingRate.CurrentSelfDischargingRateValue", "%/month"),
    ],
)
def test_wrong_units_of_the_template_are_corrected_with_a_note(path: str, unit: str) -> None:
    row = next(row for row in ROWS if row.path == path)
    assert row.unit == unit
    assert "corrected" in row.note


def test_module_resistance_increase_does_not_carry_the_id_of_the_initial_resistance() -> None:
    ids = [row.semantic_id for row in ROWS if row.path.endswith("OfBatteryModuleLevel") and "Increase" in row.path]
    assert ids == [
        "urn:samm:io.admin-shell.idta.batterypass.technical_data:1.0.0#internalResistanceIncreaseOfBatteryModule"
    ]


def test_sources_name_fields_that_exist() -> None:
    for row in ROWS:
        head, _, tail = row.source.partition(".")
        if head == "model" and tail:
            assert tail in BatteryModel.model_fields, row.path
        elif head == "item" and tail:
            assert tail in BatteryItem.model_fields, row.path
        elif head == "condition":
            assert tail.partition(".")[0] in METRICS, row.path


def test_every_metric_has_a_value_and_its_provenance_in_some_part() -> None:
    sources = {row.source for row in ROWS}
    for metric in METRICS:
        assert f"condition.{metric}" in sources
        for fact in ("as_of", "method", "uncertainty", "source_sha256"):
            assert f"condition.{metric}.{fact}" in sources


STANDARD_IDS = ("https://admin-shell.io/", "urn:samm:io.admin-shell.idta.", "0173-1#", "0112/2///")


def test_every_id_that_no_standard_defines_is_described_and_used() -> None:
    own = {row.semantic_id for row in ROWS if not row.semantic_id.startswith(STANDARD_IDS)}
    assert all(identifier.startswith(OWN_IDS) for identifier in own)
    qualifiers = {OWN_IDS + kind for kind in (UNIT, SHA256, BYTE_COUNT)}
    assert own | qualifiers == concepts().keys()
    assert not any(row.semantic_id.startswith(OWN_IDS) for row in ROWS if not row.path.startswith("BatteryPilot"))


def test_every_own_concept_has_names_and_definitions_in_two_languages() -> None:
    for concept in concepts().values():
        texts = (
            concept.english_name,
            concept.german_name,
            concept.english_definition,
            concept.german_definition,
        )
        assert all(text.strip() for text in texts), concept.semantic_id
        assert concept.english_definition != concept.german_definition, concept.semantic_id


def test_unit_of_an_own_concept_is_that_of_its_rows() -> None:
    for row in ROWS:
        concept = concepts().get(row.semantic_id)
        if concept and concept.unit:
            assert row.unit == concept.unit, row.path


@pytest.mark.parametrize(
    ("path", "tier"),
    [
        ("BatteryNameplate.ResultsOfTestReportsProvingCompliance[]", Tier.AUTHORITY),
        ("BatteryNameplate.LifeCycleStage", Tier.LEGITIMATE_INTEREST),
        ("BatteryNameplate.SerialNumber", Tier.PUBLIC),
        ("CarbonFootprint.ProductCarbonFootprints[].PcfCO2eq", Tier.PUBLIC),
        ("MaterialComposition.BatteryChemistry.ShortName", Tier.PUBLIC),
        ("MaterialComposition.HazardousSubstances[].HazardousSubstanceName", Tier.PUBLIC),
        ("MaterialComposition.BatteryMaterials[].BatteryMaterialMass", Tier.LEGITIMATE_INTEREST),
        ("MaterialComposition.BatteryMaterials[].BatteryMaterialLocation.ComponentName", Tier.LEGITIMATE_INTEREST),
        ("Circularity.DismantlingAndRemovalInformation[]", Tier.LEGITIMATE_INTEREST),
        ("Circularity.SparePartSources[].Components[].PartNumber", Tier.LEGITIMATE_INTEREST),
        ("Circularity.SafetyMeasures.ExtinguishingAgents[]", Tier.LEGITIMATE_INTEREST),
        ("Circularity.RecycledContentInformation[].PostConsumerShare", Tier.PUBLIC),
        ("Circularity.RenewableContent", Tier.PUBLIC),
        ("ProductCondition.RemainingCapacity.RemainingCapacityValue", Tier.LEGITIMATE_INTEREST),
        ("BatteryPilotImpedance.Segments[].File", Tier.LEGITIMATE_INTEREST),
    ],
)
def test_tiers_are_those_of_annex_xiii(path: str, tier: Tier) -> None:
    assert next(row for row in ROWS if row.path == path).tier is tier


def test_somebody_has_to_supply_every_element() -> None:
    for part in parts():
        assert all(part.supplier_of(row.path) in SUPPLIERS for row in part.rows)


def test_tiers_are_ordered_from_open_to_closed() -> None:
    assert [is_visible(Tier.LEGITIMATE_INTEREST, to) for to in Tier] == [False, True, True]


def test_parent_of_a_list_member_is_the_list() -> None:
    assert parent_path("A.B[3].C") == "A.B[3]"
    assert parent_path("A.B[3]") == "A.B"
    assert parent_path("A") == ""


HEADER = (
    "path,kind,semantic_id,supplemental_semantic_ids,value_type,unit,cardinality,required_for,tier,supplier,source,"
    "conversion,minimum,maximum,note\n"
)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            ["A,Submodel,i,,,,One,,authority,maker,item,,,,", "A.B,Property,i,,xs:string,,One,,public,,,,,,"],
            "more open",
        ),
        (
            ["A,Submodel,i,,,,One,,public,maker,item,,,,", "A.B.C,Property,i,,xs:string,,One,,public,,,,,,"],
            "below no container",
        ),
        (["A,Submodel,i,,,,One,,public,maker,item,,,,", "A,Submodel,i,,,,One,,public,maker,item,,,,"], "twice"),
        (["A,Submodel,i,,,,One,,secret,maker,item,,,,"], "'secret' is not a valid Tier"),
        (["A,Set,i,,,,One,,public,maker,item,,,,"], "kind 'Set'"),
        (
            [
                "A,Submodel,i,,,,One,,public,maker,item,,,,",
                "A.B,SML,i,,,,One,,public,,,,,,",
                "A.B[],Property,i,,xs:string,,OneToMany,,authority,,item.x,,,,",
            ],
            "another tier",
        ),
    ],
)
def test_table_that_would_break_a_view_is_refused_with_its_line(rows: list[str], message: str) -> None:
    with pytest.raises(PassportError, match=message) as caught:
        mapping._read_rows("x_part_1.0.csv", HEADER + "\n".join(rows))
    assert f"x_part_1.0.csv, line {len(rows) + 1}" in str(caught.value)


def test_newest_version_of_a_part_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    table = HEADER + "A,Submodel,i,,,,One,,public,maker,item,,,,\n"
    tables = [("1-1_part_1.9.csv", table), ("1-1_part_1.10.csv", table), ("concepts.csv", "")]
    monkeypatch.setattr(mapping, "_tables", lambda: iter(tables))
    assert [part.version for part in parts.__wrapped__()] == ["1.10"]


def row_of(**values: Any) -> Row:
    defaults: dict[str, Any] = {
        "path": "A.B", "kind": "Property", "semantic_id": "i", "supplemental_semantic_ids": (), "value_type": "xs:float",
        "unit": "%", "cardinality": "One", "required_for": frozenset(), "tier": Tier.PUBLIC, "supplier": "maker", "source": "",
        "conversion": "", "minimum": 0.0, "maximum": 100.0, "note": "",
    }  # fmt: skip
    return Row(**{**defaults, **values})


@pytest.mark.parametrize(
    ("row", "number", "fault"),
    [
        (row_of(), 100.0, None),
        (row_of(), 100.5, "above 100 %"),
        (row_of(), -1.0, "below 0 %"),
        (row_of(maximum=None), 1e39, "does not fit into xs:float"),
        (row_of(maximum=None, value_type="xs:double"), 1e39, None),
        (row_of(conversion="whole_number"), 2.5, "no whole number"),
    ],
)
def test_fault_says_why_a_number_cannot_be_true(row: Row, number: float, fault: str | None) -> None:
    found = row.fault(number)
    assert found is None if fault is None else fault in str(found)
