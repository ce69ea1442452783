"""What the makers of a simulated fleet know of their models: materials, footprint, spare parts and documents.

The numbers are invented and of the size that cells of the kind have; no maker stands behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from battery_pilot.passport.documents import DocumentEntry
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
from battery_pilot.simulate import drawings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from battery_pilot.passport.documents import Purpose
    from battery_pilot.passport.model import BatteryModel

_METHODS = ("ISO 14067",)
_STAGES = ("RawMaterialExtraction", "MainProduction", "Distribution", "Recycling")


@dataclass(frozen=True)
class DocumentFile:
    """A file beside the master tables.

    :param path: relative to their folder, with forward slashes.
    :param content: its bytes.
    """

    path: str
    content: bytes


@dataclass(frozen=True)
class _Design:
    """What the models of one kind have in common.

    :param composition: name, CAS number, component, share of the mass and whether it is critical, of each material.
    :param footprints: kg of CO2 equivalent per kWh for each stage.
    :param recycled: material to the shares from manufacturing waste and from consumers.
    :param size_millimetre: width, depth and height.
    """

    composition: tuple[tuple[str, str, str, float, bool], ...]
    footprints: tuple[float, float, float, float]
    recycled: dict[str, tuple[float, float]]
    size_millimetre: tuple[float, float, float]


_COMMON = (
    ("Graphite", "7782-42-5", "Anode", 0.19, True),
    ("Copper", "7440-50-8", "Anode", 0.11, True),
    ("Ethylene carbonate", "96-49-1", "Electrolyte", 0.05, False),
    ("Dimethyl carbonate", "616-38-6", "Electrolyte", 0.06, False),
    ("Lithium hexafluorophosphate", "21324-40-3", "Electrolyte", 0.015, False),
)
_KINDS = {
    "NMC": _Design(
        (
            ("Lithium", "7439-93-2", "Cathode", 0.03, True),
            ("Nickel", "7440-02-0", "Cathode", 0.17, True),
            ("Cobalt", "7440-48-4", "Cathode", 0.03, True),
            ("Manganese", "7439-96-5", "Cathode", 0.03, True),
            ("Aluminium", "7429-90-5", "Housing", 0.12, True),
            *_COMMON,
        ),
        (0.031, 0.022, 0.001, 0.004),
        {"Cobalt": (9.0, 16.0), "Lithium": (2.0, 6.0), "Nickel": (5.0, 6.0)},
        (21.0, 21.0, 70.0),
    ),
    "LFP": _Design(
        (
            ("Lithium", "7439-93-2", "Cathode", 0.02, True),
            ("Lithium iron phosphate", "15365-14-7", "Cathode", 0.34, False),
            ("Aluminium", "7429-90-5", "Housing", 0.14, True),
            *_COMMON,
        ),
        (0.018, 0.016, 0.001, 0.003),
        {"Lithium": (1.5, 6.5)},
        (148.0, 27.0, 95.0),
    ),
}

_DOCUMENTS: tuple[tuple[Purpose, str, str, tuple[str, ...]], ...] = (
    ("declaration_of_conformity", "EU-DoC-{}", "EU declaration of conformity", ("en", "de")),
    ("test_report", "UN38.3-{}", "UN 38.3 test report", ("en",)),
    ("carbon_footprint_study", "PCF-{}", "Public carbon footprint study", ("en",)),
    ("dismantling_manual", "DIS-{}", "Dismantling manual", ("en", "de")),
    ("removal_manual", "REM-{}", "Removal manual", ("en", "de")),
    ("model_3d", "CAD-{}", "Three-dimensional model", ("en",)),
    ("bill_of_material", "BOM-{}", "Parts as STEP", ("en",)),
    ("drawing", "DRW-{}", "Dimensions", ("en",)),
    ("safety_instructions", "SAF-{}", "Safety instructions", ("en", "de")),
    ("waste_prevention", "WPR-{}", "How to prevent waste", ("en",)),
    ("separate_collection", "SEP-{}", "Separate collection", ("en",)),
    ("collection_information", "COL-{}", "Where batteries are taken back", ("en",)),
    ("product_image", "IMG-{}", "Picture of the product", ("en",)),
)


def model_facts(model: BatteryModel) -> ModelFacts:
    """Return the rows of a model in the tables with several rows a model."""
    kind = _kind(model)
    of = {"model_id": model.model_id}
    return ModelFacts(
        materials=tuple(
            Material(
                **of,
                material_name=name,
                cas_number=cas_number,
                component=component,
                mass_kilogram=round(share * model.mass_kilogram, 6),
                is_critical=critical,
            )
            for name, cas_number, component, share, critical in kind.composition
        ),
        hazardous_substances=(
            HazardousSubstance(
                **of,
                substance_name="Lithium hexafluorophosphate",
                cas_number="21324-40-3",
                hazard_class="AcuteToxicity",
                concentration_percent=1.5,
                impacts=("H301 Toxic if swallowed", "H372 Causes damage to organs"),
                component="Electrolyte",
            ),
        ),
        spare_parts=tuple(
            SparePart(
                **of,
                supplier_name="Beispiel Ersatzteile GmbH",
                street="Lagerstraße 5",
                zip_code="04109",
                country_code="DE",
                email="parts@example.com",
                web_address="https://example.com/parts",
                part_name=part,
                part_number=f"{model.model_id}-{number:02d}",
            )
            for number, part in enumerate(("Cell", "Terminal cover"), start=1)
        ),
        recycled_content=tuple(
            RecycledContent(**of, material=material, pre_consumer_percent=before, post_consumer_percent=after)
            for material, (before, after) in kind.recycled.items()
        ),
        carbon_footprint=(
            _footprint(model, _STAGES, sum(kind.footprints)),
            *(_footprint(model, (stage,), value) for stage, value in zip(_STAGES, kind.footprints, strict=True)),
        ),
        markings=(
            Marking(**of, name="CE", certificate=f"EU-DoC-{model.model_id}"),
            Marking(**of, name="Separate collection"),
        ),
    )


def model_documents(model: BatteryModel) -> list[tuple[DocumentEntry, DocumentFile]]:
    """Return the documents of a model with their files."""
    found = []
    for purpose, form, title, languages in _DOCUMENTS:
        identifier = form.format(model.model_id)
        ending, content = _content(purpose, f"{title} {model.model_id}", model)
        file = DocumentFile(f"documents/{identifier}.{ending}", content)
        entry = DocumentEntry(
            document_id=identifier,
            model_id=model.model_id,
            purpose=purpose,
            title=f"{title} {model.model_id}",
            languages=languages,
            version="1.0",
            file=file.path,
        )
        found.append((entry, file))
    return found


def operators(identifiers: Iterable[str]) -> dict[str, Operator]:
    """Return the operators with these identifiers."""
    return {
        identifier: Operator(
            operator_id=identifier,
            name=f"Beispiel Flotte {identifier[-2:]} GmbH",
            street=f"Hafenstraße {int(identifier[-2:])}",
            zip_code="20457",
            city="Hamburg",
            country_code="DE",
            email=f"dbp-{identifier[-2:].lower()}@example.com",
            web_address="https://example.com",
        )
        for identifier in sorted(set(identifiers))
    }


def _kind(model: BatteryModel) -> _Design:
    return _KINDS["LFP" if "LFP" in model.model_id else "NMC"]


def _footprint(model: BatteryModel, stages: tuple[str, ...], value: float) -> CarbonFootprint:
    return CarbonFootprint(
        model_id=model.model_id,
        life_cycle_stages=stages,
        footprint_kg_co2eq_per_kwh=round(value, 6),
        calculation_methods=_METHODS,
        performance_class="B",
    )


def _content(purpose: Purpose, title: str, model: BatteryModel) -> tuple[str, bytes]:
    size = _kind(model).size_millimetre
    if purpose == "model_3d":
        return "gltf", drawings.gltf(model.model_id, size)
    if purpose == "bill_of_material":
        return "step", drawings.step(model.model_id, size)
    if purpose == "drawing":
        return "dxf", drawings.dxf(size[0], size[2])
    if purpose == "product_image":
        return "png", drawings.png(64, 32, 160)
    return "pdf", drawings.pdf(title, ["A simulated document: no maker stands behind it."])
