"""The parts that come from several tables and from files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from battery_pilot.passport.aas import environment, flat_values
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.documents import Attachment, Document, DocumentEntry
from battery_pilot.passport.evidence import NEWEST_SPECTRA, Evidence
from battery_pilot.passport.facts import Material, ModelFacts
from battery_pilot.passport.mapping import parts
from battery_pilot.passport.model import Tier
from battery_pilot.passport.reading import read_passport

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.condition import Condition
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.model import BatteryItem, BatteryModel


def test_every_part_of_the_battery_passport_is_there(whole_passport: Passport) -> None:
    found = {element.path for element in whole_passport.elements if element.row.kind == "Submodel"}
    wanted = {str(part.submodel.id_short) for part in parts()}
    assert wanted - found == {"BatteryPilotPredictions", "BatteryPilotLifeCycle"}


def test_documents_carry_class_title_language_and_file(whole_passport: Passport) -> None:
    values = flat_values(whole_passport)
    first = "HandoverDocumentation.Documents[0]"
    assert values[f"{first}.DocumentIds[0].DocumentIdentifier"] == "DOC-1"
    assert values[f"{first}.DocumentIds[0].DocumentDomainId"] == "EX 01"
    assert values[f"{first}.DocumentClassifications[0].ClassId"] == "02-04"
    assert values[f"{first}.DocumentClassifications[0].ClassName"] == "Certificates, declarations"
    assert values[f"{first}.DocumentClassifications[0].ClassName@de"] == "Zeugnisse, Zertifikate, Bescheinigungen"
    assert values[f"{first}.DocumentVersions[0].Title"] == "Title of DOC-1"
    assert str(values[f"{first}.DocumentVersions[0].DigitalFiles[0]"]).startswith("/aasx/files/")


def test_other_parts_refer_to_the_documents_by_their_identifiers(whole_passport: Passport) -> None:
    values = flat_values(whole_passport)
    assert values["Circularity.DismantlingAndRemovalInformation[0]"] == "CAD-1"
    assert values["Circularity.DismantlingAndRemovalInformation[1]"] == "DISMANTLE-1"
    assert values["Circularity.SafetyMeasures.SafetyInstructions[0]"] == "SAFETY-1"
    study = "CarbonFootprint.ProductCarbonFootprints[0].WebLinkToPublicCarbonFootprintStudy[0]"
    assert values[study] == "STUDY-1"
    assert values["BatteryNameplate.ResultsOfTestReportsProvingCompliance[0]"] == "REPORT-SECRET-1"
    assert values["ProductCondition.InformationOnAccidents[0]"] == "OWN-1"


def test_suppliers_stand_once_with_all_their_parts(whole_passport: Passport) -> None:
    values = flat_values(whole_passport)
    source = "Circularity.SparePartSources[0]"
    assert values[f"{source}.NameOfSupplier"] == "Teile AG"
    assert [values[f"{source}.Components[{i}].PartNumber"] for i in (0, 1)] == ["PART-SECRET-1", "PART-SECRET-2"]
    assert "Circularity.SparePartSources[1].NameOfSupplier" not in values


def test_open_members_of_a_list_come_first_and_keep_their_paths_in_every_view(whole_passport: Passport) -> None:
    whole = flat_values(whole_passport)
    assert whole["MaterialComposition.BatteryMaterials[0].BatteryMaterialName"] == "Lithium"
    for tier in Tier:
        view = flat_values(whole_passport.view(tier))
        assert view.items() <= whole.items()
    public = flat_values(whole_passport.view(Tier.PUBLIC))
    assert "MaterialComposition.BatteryMaterials[0].BatteryMaterialMass" not in public
    assert not any("BatteryMaterials[1]" in path for path in public)


def test_spectra_say_conditions_validity_circuit_and_where_the_file_is_known(whole_passport: Passport) -> None:
    values = flat_values(whole_passport)
    part, one = "BatteryPilotImpedance", "BatteryPilotImpedance.Segments[0]"
    assert (values[f"{part}.SpectrumCount"], values[f"{part}.ValidSpectrumCount"]) == (4000, 3999)
    assert values[f"{one}.File"] == "ni:///sha-256;zMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMzMw"
    assert values[f"{one}.StartTime"] == "2026-03-01T12:00:00Z"
    assert values[f"{one}.Validity.KramersKronigValid"] is True
    assert values[f"{one}.Validity.TrustedMaximumFrequency"] == 9876.5
    assert values[f"{one}.Circuit.Parameters[0].ParameterStandardError"] == 1e-5
    assert values[f"{one}.RelaxationTimes[0].TimeConstant"] == 0.013
    assert values["BatteryPilotImpedance.Metadata.Record[0].ColumnUnit"] == "Hz"
    assert values["BatteryPilotUsage.Segments[0].RecordCount"] == 86400
    assert values["BatteryPilotUsage.Segments[0].Record[1].ColumnName"] == "voltage_volt"
    assert values["BatteryPilotUsage.FileCount"] == 77


def test_number_of_spectra_in_a_passport_is_bounded(evidence: Evidence) -> None:
    with pytest.raises(ValidationError):
        Evidence(spectra=evidence.spectra * (NEWEST_SPECTRA + 1))


def test_without_files_nothing_is_said_of_spectra_and_usage(passport: Passport) -> None:
    assert not any(path.startswith(("BatteryPilotImpedance", "BatteryPilotUsage")) for path in flat_values(passport))


def test_values_come_back_as_they_went_in(whole_passport: Passport) -> None:
    import rfc8785

    read = read_passport(rfc8785.dumps(environment(whole_passport)))
    assert read.values == flat_values(whole_passport)


def test_model_parts_are_the_same_for_all_batteries_and_never_name_a_document_of_one(
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    facts: ModelFacts,
    evidence: Evidence,
    whole_passport: Passport,
) -> None:
    other = battery_item.model_copy(update={"battery_id": "Cell_8", "serial_number": "SN 8"})
    elsewhere = condition.model_copy(update={"battery_id": "Cell_8"})
    second = build_passport(battery_model, other, elsewhere, base="https://example.com/dbp", facts=facts)
    shared = {"CarbonFootprint", "Circularity", "MaterialComposition", "TechnicalData"}
    for part in shared:
        assert whole_passport.identifiers.submodels[part] == second.identifiers.submodels[part]
        one, two = (
            [element for element in each.elements if element.path.partition(".")[0] == part]
            for each in (whole_passport, second)
        )
        assert one == two
    documents = "HandoverDocumentation"
    assert whole_passport.identifiers.submodels[documents].startswith(whole_passport.identifiers.asset)
    assert second.identifiers.submodels[documents].startswith(second.identifiers.asset_type)
    assert evidence.documents


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tier": "public", "purpose": "test_report"}, "at least authority"),
        ({"model_id": None}, "either model_id or battery_id"),
        ({"battery_id": "B"}, "either model_id or battery_id"),
        ({"languages": ("english language",)}, "pattern"),
        ({"class_id": "99-99"}, "class_id"),
    ],
)
def test_document_that_cannot_be_so_is_refused(change: dict[str, object], words: str) -> None:
    row = {"document_id": "D", "model_id": "M", "purpose": "dismantling_manual", "title": "T"}
    with pytest.raises(ValidationError, match=words):
        DocumentEntry(**{**row, **change})


def test_document_may_be_closed_further_than_its_purpose_demands() -> None:
    entry = DocumentEntry(
        document_id="D", model_id="M", purpose="waste_prevention", title="T", tier=Tier.LEGITIMATE_INTEREST
    )
    assert entry.effective_tier is Tier.LEGITIMATE_INTEREST


def test_what_nobody_has_described_is_shown_to_authorities_only() -> None:
    assert Document(document_id="D", model_id="M", purpose="other", title="T").effective_tier is Tier.AUTHORITY


def test_document_at_an_address_is_linked_and_not_packed() -> None:
    linked = Attachment(name="x.pdf", content_type="application/pdf", url="https://example.com/x.pdf")
    assert (linked.location, linked.is_packaged) == ("https://example.com/x.pdf", False)


@pytest.mark.parametrize("cas_number", ["7439-93-3", "7439-9-2", "lithium", ""])
def test_cas_number_with_a_slip_is_refused(cas_number: str) -> None:
    with pytest.raises(ValidationError, match="CAS number"):
        Material(model_id="M", material_name="Lithium", cas_number=cas_number, is_critical=True)
