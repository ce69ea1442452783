"""A battery with its facts, condition and passport."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.passport.building import Passport, build_passport
from battery_pilot.passport.documents import Attachment, Document
from battery_pilot.passport.evidence import CircuitParameter, Evidence, RelaxationPeak, Spectrum, TimeSeries
from battery_pilot.passport.facts import (
    CarbonFootprint,
    HazardousSubstance,
    Marking,
    Material,
    ModelFacts,
    Operator,
    RecycledContent,
    SparePart,
)
from battery_pilot.passport.model import BatteryItem, BatteryModel, Prediction, Tier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE = "https://example.com/dbp"
AS_OF = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="session")
def battery_model() -> BatteryModel:
    return BatteryModel(
        model_id="INR-21/50",
        manufacturer_name="Beispiel Zellen GmbH",
        manufacturer_id="EX 01",
        category="stationary",
        mass_kilogram=0.07,
        warranty_months=96,
        nominal_voltage_volt=3.6,
        minimum_voltage_volt=2.5,
        maximum_voltage_volt=4.2,
        rated_capacity_ah=5.0,
        certified_energy_kwh=0.018,
        initial_round_trip_efficiency_percent=95.6,
        initial_self_discharge_percent_per_month=0.4,
        initial_cell_resistance_ohm=0.02,
        original_power_watt_at_80_percent_soc=30.5,
        original_power_watt_at_20_percent_soc=20.5,
        cycle_life_test_c_rate=0.0000005,
    )


@pytest.fixture(scope="session")
def battery_item() -> BatteryItem:
    return BatteryItem(
        battery_id="Cell_7",
        model_id="INR-21/50",
        serial_number="SN 0007/ä",
        manufactured_on="2024-02-29",
        put_into_service_on="2024-05-01",
        facility_id="plant-1",
        street="Hauptstraße 1",
        zip_code="10115",
        city="Berlin",
        country_code="DE",
        marking_names=("CE", "WEEE"),
        declaration_of_conformity_ids=("DOC-1",),
        test_report_ids=("REPORT-SECRET-1", "REPORT-SECRET-2"),
    )


@pytest.fixture(scope="session")
def condition() -> Condition:
    """A value for every metric, each in its plausible range."""
    values = {
        metric: MeasuredValue(
            value=float(number + 1),
            as_of=AS_OF,
            method=f"method-of-{metric}",
            source_sha256=(f"{number:064x}",),
            uncertainty=0.25,
        )
        for number, metric in enumerate(METRICS)
    }
    consistent = {
        "remaining_capacity_ah": 4.2,
        "capacity_fade_percent": 16.0,
        "remaining_energy_kwh": 0.0144,
        "state_of_certified_energy_percent": 80.0,
    }
    for metric, value in consistent.items():
        values[metric] = values[metric].model_copy(update={"value": value})
    return Condition(battery_id="Cell_7", as_of=AS_OF, values=values)


@pytest.fixture(scope="session")
def prediction() -> Prediction:
    return Prediction(
        metric="remaining_capacity_ah",
        value=3.9,
        lower=3.7,
        upper=4.1,
        for_time=datetime(2027, 3, 1, tzinfo=UTC),
        model_version="health 3",
    )


def attachment(content: bytes, content_type: str = "application/pdf", name: str = "file.pdf") -> Attachment:
    digest = hashlib.sha256(content).hexdigest()
    return Attachment(name=name, content_type=content_type, sha256=digest, byte_count=len(content))


@pytest.fixture(scope="session")
def contents() -> dict[str, bytes]:
    """Document id to the bytes of its file; each tells its secret."""
    names = ("DOC-1", "REPORT-SECRET-1", "DISMANTLE-1", "CAD-1", "STUDY-1", "SAFETY-1", "HIDDEN-1", "OWN-1")
    return {name: f"content of {name} ".encode() * 400 for name in names}


@pytest.fixture(scope="session")
def facts(contents: dict[str, bytes]) -> ModelFacts:
    """A row in every table of the model, and documents of every tier."""
    of = {"model_id": "INR-21/50"}
    purposes = {
        "DOC-1": "declaration_of_conformity", "REPORT-SECRET-1": "test_report", "DISMANTLE-1": "dismantling_manual",
        "CAD-1": "model_3d", "STUDY-1": "carbon_footprint_study", "SAFETY-1": "safety_instructions",
    }  # fmt: skip
    documents = [
        Document(
            **of, document_id=name, purpose=purpose, title=f"Title of {name}", attachment=attachment(contents[name])
        )
        for name, purpose in purposes.items()
    ]
    hidden = Document(
        **of, document_id="HIDDEN-1", purpose="waste_prevention", title="Not yet for everybody", tier=Tier.AUTHORITY,
        attachment=attachment(contents["HIDDEN-1"]), languages=("de",), description="Nur für Behörden",
    )  # fmt: skip
    return ModelFacts(
        materials=(
            Material(**of, material_name="Iron phosphate", cas_number="10045-86-0", component="Cathode",
                     mass_kilogram=0.02, is_critical=False),
            Material(**of, material_name="Lithium", cas_number="7439-93-2", component="Cathode foil",
                     mass_kilogram=0.0021, is_critical=True),
        ),
        hazardous_substances=(
            HazardousSubstance(**of, substance_name="LiPF6", cas_number="21324-40-3", hazard_class="AcuteToxicity",
                               concentration_percent=1.5, impacts=("H301", "H372"), component="Electrolyte"),
        ),
        spare_parts=tuple(
            SparePart(**of, supplier_name="Teile AG", street="Ring 4", zip_code="80331", country_code="DE",
                      email="parts@example.com", web_address="https://example.com", part_name=name, part_number=number)
            for name, number in (("Cell", "PART-SECRET-1"), ("Lid", "PART-SECRET-2"))
        ),
        recycled_content=(
            RecycledContent(**of, material="Cobalt", pre_consumer_percent=6.0, post_consumer_percent=10.1),
        ),
        carbon_footprint=(
            CarbonFootprint(**of, life_cycle_stages=("MainProduction",), footprint_kg_co2eq_per_kwh=0.061,
                            calculation_methods=("ISO 14067",), performance_class="B"),
        ),
        markings=(Marking(**of, name="CE", certificate="CERT-1", issued_on="2026-01-01"),),
        documents=(*documents, hidden),
    )  # fmt: skip


@pytest.fixture(scope="session")
def evidence(contents: dict[str, bytes]) -> Evidence:
    """A spectrum, a log and a document of this battery alone."""
    own = Document(
        document_id="OWN-1", battery_id="Cell_7", purpose="accident_report", title="It fell down",
        attachment=attachment(contents["OWN-1"]),
    )  # fmt: skip
    spectrum = Spectrum(
        source_sha256="c" * 64, name="spectrum.mpt", format="biologic-mpt", spectrum_index=0, measured_at=AS_OF,
        point_count=60, temperature_celsius=25.0, state_of_charge_percent=50.0, kramers_kronig_valid=True,
        kramers_kronig_residual_percent=0.31, kramers_kronig_elements=11, kramers_kronig_mu=0.81,
        trusted_minimum_hertz=0.012, trusted_maximum_hertz=9876.5, ohmic_resistance_ohm=0.0141, circuit="R0-p(R1,C1)",
        circuit_parameters=(CircuitParameter(name="R0", value=0.0141, unit="ohm", standard_error=1e-5),),
        circuit_relative_rmse=0.0042, circuit_aic=-312.25,
        drt_peaks=(RelaxationPeak(time_constant_second=0.013, resistance_ohm=0.004),),
    )  # fmt: skip
    series = TimeSeries(
        source_sha256="d" * 64, name="log.csv", format="csv", record_count=86400, started_at=AS_OF, ended_at=AS_OF,
        columns=("test_time_second", "voltage_volt"),
    )  # fmt: skip
    return Evidence(
        documents=(own,), spectra=(spectrum,), spectrum_count=4000, valid_spectrum_count=3999, time_series=(series,),
        time_series_count=77,
    )  # fmt: skip


@pytest.fixture(scope="session")
def operator() -> Operator:
    return Operator(
        operator_id="EO-7", name="Flotte GmbH", street="Kai 3", zip_code="20457", city="Hamburg", country_code="DE"
    )


@pytest.fixture(scope="session")
def whole_passport(
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    facts: ModelFacts,
    evidence: Evidence,
    operator: Operator,
) -> Passport:
    """A passport with all parts."""
    return build_passport(
        battery_model, battery_item, condition, base=BASE, facts=facts, evidence=evidence, operator=operator
    )


@pytest.fixture
def content_of(contents: dict[str, bytes], tmp_path: Path) -> Callable[[Attachment], Path]:
    """Where the content of a file lies."""
    places = {hashlib.sha256(content).hexdigest(): content for content in contents.values()}

    def place(one: Attachment) -> Path:
        path = tmp_path / str(one.sha256)
        path.write_bytes(places[str(one.sha256)])
        return path

    return place


@pytest.fixture(scope="session")
def passport(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, prediction: Prediction
) -> Passport:
    return build_passport(battery_model, battery_item, condition, base=BASE, predictions=(prediction,))


@pytest.fixture(scope="session")
def model_facts() -> ModelFacts:
    """A row in every table of further facts but the documents."""
    of = {"model_id": "INR-21/50"}
    stages = {"RawMaterialExtraction": 0.061, "MainProduction": 0.02, "Distribution": 0.003, "Recycling": 0.001}
    return ModelFacts(
        materials=(
            Material(**of, material_name="Lithium", cas_number="7439-93-2", component="Cathode", mass_kilogram=0.0064, is_critical=True),
            Material(**of, material_name="Iron", cas_number="7439-89-6", component="Can", mass_kilogram=0.01, is_critical=False),
        ),
        hazardous_substances=(
            HazardousSubstance(
                **of, substance_name="LiPF6", cas_number="21324-40-3", hazard_class="AcuteToxicity",
                concentration_percent=1.4, impacts=("H301",), component="Electrolyte",
            ),
        ),
        spare_parts=(
            SparePart(
                **of, supplier_name="Ersatz AG", street="Ring 4", zip_code="80331", country_code="DE",
                email="parts@example.com", web_address="https://example.com/parts", part_name="Module", part_number="M-12",
            ),
        ),
        recycled_content=(RecycledContent(**of, material="Cobalt", pre_consumer_percent=6, post_consumer_percent=10),),
        carbon_footprint=tuple(
            CarbonFootprint(
                **of, life_cycle_stages=(stage,), footprint_kg_co2eq_per_kwh=value, calculation_methods=("ISO 14067",),
                performance_class="B",
            )
            for stage, value in stages.items()
        ),
        markings=(Marking(**of, name="CE", issued_on="2026-01-31"),),
    )  # fmt: skip


@pytest.fixture(scope="session")
def full_passport(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, model_facts: ModelFacts
) -> Passport:
    """A passport with something in every part but the documents."""
    return build_passport(battery_model, battery_item, condition, base=BASE, facts=model_facts)
