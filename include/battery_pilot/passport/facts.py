"""Facts of a model that take more than one row: materials, suppliers, footprints; and who operates a battery.

Each class is one row of a master-data table of its own, joined to the table ``models`` by ``model_id``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from battery_pilot.electrochemistry.condition import Frozen
from battery_pilot.passport.consistency import is_cas_number
from battery_pilot.passport.documents import Document, Tiered
from battery_pilot.passport.model import Day, Tier

_EMAIL = r"^[^@\s]+@[^@\s]+\.[^@\s.]+$"
_COUNTRY = r"^[A-Z]{2}$"

Stage = Literal["RawMaterialExtraction", "MainProduction", "Distribution", "Recycling"]
"""Life-cycle stages of Annex II of Regulation (EU) 2023/1542, as the BatteryPass data model names them."""


def _checked_cas_number(text: str) -> str:
    if not is_cas_number(text):
        raise ValueError("no CAS number: its form or its check digit is wrong")
    return text


CasNumber = Annotated[str, AfterValidator(_checked_cas_number)]


class _OfModel(Frozen):
    model_id: str = Field(description="a model of the table models", examples=["NMC-60Ah"])


class Material(_OfModel):
    """A material of a model; one row of the table ``materials``."""

    material_name: str = Field(description="name of the material", examples=["Lithium"])
    cas_number: CasNumber = Field(description="CAS registry number", examples=["7439-93-2"])
    component: str | None = Field(
        default=None, description="name of the component that it is in; this or component_id", examples=["Cathode"]
    )
    component_id: str | None = Field(default=None, description="identifier of the component", examples=["CAT-01"])
    mass_kilogram: float | None = Field(default=None, ge=0, description="mass in one battery", examples=[6.4])
    is_critical: bool = Field(
        description="whether it is a critical raw material; if so, everybody may see its name", examples=[True]
    )

    @property
    def tier(self) -> Tier:
        """Critical raw materials are public; others are detailed composition (Annex XIII, points 1 and 2)."""
        return Tier.PUBLIC if self.is_critical else Tier.LEGITIMATE_INTEREST


class HazardousSubstance(_OfModel):
    """A hazardous substance in a model, other than mercury, cadmium and lead; one row of ``hazardous_substances``."""

    substance_name: str = Field(description="name of the substance", examples=["Lithium hexafluorophosphate"])
    cas_number: CasNumber = Field(description="CAS registry number", examples=["21324-40-3"])
    hazard_class: Literal["AcuteToxicity", "SkinCorrosionOrIrritation", "EyeDamageOrIrritation"] | None = Field(
        default=None, description="hazard class", examples=["AcuteToxicity"]
    )
    concentration_percent: float | None = Field(
        default=None, ge=0, le=100, description="concentration by mass", examples=[1.4]
    )
    impacts: tuple[str, ...] = Field(
        default=(), description="impacts on environment, health and safety", examples=[("H301 Toxic if swallowed",)]
    )
    component: str | None = Field(default=None, description="component that it is in", examples=["Electrolyte"])
    component_id: str | None = Field(default=None, description="identifier of the component", examples=["ELY-01"])


class SparePart(_OfModel):
    """A spare part and who supplies it; one row of the table ``spare_parts``."""

    supplier_name: str = Field(description="name of the supplier", examples=["Ersatzteile AG"])
    street: str = Field(description="street and number of the supplier", examples=["Ring 4"])
    zip_code: str = Field(description="postal code of the supplier", examples=["80331"])
    country_code: str = Field(
        pattern=_COUNTRY, description="country of the supplier, two capital letters", examples=["DE"]
    )
    email: str = Field(pattern=_EMAIL, description="e-mail address of the supplier", examples=["parts@example.com"])
    web_address: str = Field(description="web address of the supplier", examples=["https://example.com/parts"])
    part_name: str = Field(description="name of the part", examples=["Cell module"])
    part_number: str = Field(description="number of the part", examples=["CW-M-12"])


class RecycledContent(_OfModel):
    """Share of recovered material; one row of the table ``recycled_content``."""

    material: Literal["Cobalt", "Nickel", "Lithium", "Lead"] = Field(
        description="the recovered material", examples=["Cobalt"]
    )
    pre_consumer_percent: float | None = Field(
        default=None, ge=0, le=100, description="share recovered from manufacturing waste", examples=[6]
    )
    post_consumer_percent: float | None = Field(
        default=None, ge=0, le=100, description="share recovered from waste of consumers", examples=[10]
    )

    @model_validator(mode="after")
    def _checked_shares(self) -> Self:
        """Refuse shares of more than all there is."""
        total = (self.pre_consumer_percent or 0) + (self.post_consumer_percent or 0)
        if total > 100:
            raise ValueError(f"both shares sum up to {total:g} %")
        return self


class CarbonFootprint(_OfModel):
    """A carbon footprint, of one life-cycle stage or of all; one row of the table ``carbon_footprint``."""

    life_cycle_stages: tuple[Stage, ...] = Field(
        min_length=1,
        description="stages that it covers: RawMaterialExtraction, MainProduction, Distribution, Recycling",
        examples=[("RawMaterialExtraction",)],
    )
    footprint_kg_co2eq_per_kwh: float = Field(
        ge=0,
        description="kg of CO2 equivalent per kWh of the energy that the battery provides over its expected life",
        examples=[0.061],
    )
    calculation_methods: tuple[str, ...] = Field(
        min_length=1, description="standards of the calculation", examples=[("ISO 14067",)]
    )
    performance_class: str | None = Field(
        default=None, description="carbon footprint performance class", examples=["B"]
    )


class Marking(_OfModel):
    """A marking on the batteries of a model; one row of the table ``markings``."""

    name: str = Field(description="what is marked", examples=["CE"])
    certificate: str | None = Field(
        default=None, description="designation of the certificate or approval", examples=["KEMA99IECEX1105/128"]
    )
    issued_on: Day | None = Field(default=None, description="date of issue", examples=["2026-01-31"])
    expires_on: Day | None = Field(default=None, description="date of expiry", examples=["2031-01-31"])
    additional_text: str | None = Field(
        default=None, description="text beside the marking, such as the notified body", examples=["0044"]
    )
    document_id: str | None = Field(
        default=None, description="a document of purpose marking with its picture", examples=["MARK-CE"]
    )

    @model_validator(mode="after")
    def _checked_dates(self) -> Self:
        """Refuse a certificate that expires before it is issued."""
        if self.issued_on and self.expires_on and self.issued_on > self.expires_on:
            raise ValueError(f"issued_on {self.issued_on} is after expires_on {self.expires_on}")
        return self


class Operator(Frozen):
    """An economic operator who answers for batteries; one row of the table ``operators``."""

    operator_id: str = Field(description="identifier, as in the table batteries", examples=["DE-EO-7"])
    name: str = Field(description="name of the operator", examples=["Flotte Nord GmbH"])
    street: str = Field(description="street and number of the operator", examples=["Kai 3"])
    zip_code: str = Field(description="postal code of the operator", examples=["20457"])
    city: str = Field(description="city of the operator", examples=["Hamburg"])
    country_code: str = Field(
        pattern=_COUNTRY, description="country of the operator, two capital letters", examples=["DE"]
    )
    email: str | None = Field(
        default=None, pattern=_EMAIL, description="e-mail address of the operator", examples=["dbp@example.com"]
    )
    web_address: str | None = Field(
        default=None, description="web address of the operator", examples=["https://example.com"]
    )


@dataclass(frozen=True)
class Supplier:
    """A supplier with all parts that come from there.

    :param details: one of its rows, for name and address.
    :param components: all of them.
    """

    details: SparePart
    components: tuple[SparePart, ...]


class ModelFacts(Frozen):
    """All rows of one model, in the order of the tables; empty where the tables have none."""

    materials: tuple[Material, ...] = ()
    hazardous_substances: tuple[HazardousSubstance, ...] = ()
    spare_parts: tuple[SparePart, ...] = ()
    recycled_content: tuple[RecycledContent, ...] = ()
    carbon_footprint: tuple[CarbonFootprint, ...] = ()
    markings: tuple[Marking, ...] = ()
    documents: tuple[Document, ...] = ()

    @property
    def tiered_materials(self) -> tuple[Tiered, ...]:
        """The materials, each with its tier."""
        return tuple(Tiered(one, one.tier) for one in self.materials)

    @property
    def suppliers(self) -> tuple[Supplier, ...]:
        """The spare parts by supplier, sorted by name and address."""

        def who(part: SparePart) -> tuple[str, ...]:
            return (part.supplier_name, part.country_code, part.zip_code, part.street, part.email, part.web_address)

        rows = [tuple(parts) for _, parts in groupby(sorted(self.spare_parts, key=who), key=who)]
        return tuple(Supplier(parts[0], parts) for parts in rows)
