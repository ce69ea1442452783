"""The documents and drawings that a passport carries: what they are for, who may see them, and their files."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

from pydantic import Field, StringConstraints, model_validator

from battery_pilot.electrochemistry.condition import Frozen, Sha256
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAXIMUM_FILE_BYTES = 32 * 1024 * 1024
"""Largest document that a passport carries; larger ones are linked by their address."""

MAXIMUM_FILES = 100
"""Most documents of one passport: its package stays readable for everybody."""

Purpose = Literal[
    "declaration_of_conformity", "test_report", "carbon_footprint_study", "due_diligence_report",
    "third_party_assurance", "lifetime_test", "bill_of_material", "model_3d", "drawing", "dismantling_manual",
    "removal_manual", "other_manual", "safety_instructions", "waste_prevention", "separate_collection",
    "collection_information", "accident_report", "company_logo", "product_image", "marking", "other",
]  # fmt: skip


class Text(NamedTuple):
    """A text with its language (ISO 639-1, such as ``en``)."""

    language: str
    text: str


class DocumentClass(NamedTuple):
    """A class of VDI 2770 part 1:2020, table 1."""

    class_id: str
    english: str
    german: str


CLASSES = {
    one.class_id: one
    for one in (
        DocumentClass("01-01", "Identification", "Identifikation"),
        DocumentClass("02-01", "Technical specification", "Technische Spezifikation"),
        DocumentClass("02-02", "Drawings, plans", "Zeichnungen, Pläne"),
        DocumentClass("02-03", "Assemblies", "Bauteile"),
        DocumentClass("02-04", "Certificates, declarations", "Zeugnisse, Zertifikate, Bescheinigungen"),
        DocumentClass("03-01", "Commissioning, de-commissioning", "Montage, Inbetriebnahme, Demontage"),
        DocumentClass("03-02", "Operation", "Bedienung"),
        DocumentClass("03-03", "General safety", "Allgemeine Sicherheit"),
        DocumentClass("03-04", "Inspection, maintenance, testing", "Inspektion, Wartung, Prüfung"),
        DocumentClass("03-05", "Repair", "Instandsetzung"),
        DocumentClass("03-06", "Spare parts", "Ersatzteile"),
        DocumentClass("04-01", "Contract documents", "Vertragsunterlagen"),
    )
}
"""The classes by their ids."""

ClassId = Literal[
    "01-01", "02-01", "02-02", "02-03", "02-04", "03-01", "03-02", "03-03", "03-04", "03-05", "03-06", "04-01"
]


class _Use(NamedTuple):
    """Class of the documents of a purpose, and the most open tier that Annex XIII allows for them."""

    class_id: str
    tier: Tier


_OPEN, _CLOSED, _SECRET = Tier
_USES: Mapping[str, _Use] = {
    "declaration_of_conformity": _Use("02-04", _OPEN),
    "test_report": _Use("02-04", _SECRET),
    "carbon_footprint_study": _Use("02-01", _OPEN),
    "due_diligence_report": _Use("02-04", _OPEN),
    "third_party_assurance": _Use("02-04", _OPEN),
    "lifetime_test": _Use("02-01", _OPEN),
    "bill_of_material": _Use("02-03", _CLOSED),
    "model_3d": _Use("02-02", _CLOSED),
    "drawing": _Use("02-02", _CLOSED),
    "dismantling_manual": _Use("03-01", _CLOSED),
    "removal_manual": _Use("03-01", _CLOSED),
    "other_manual": _Use("03-02", _CLOSED),
    "safety_instructions": _Use("03-03", _CLOSED),
    "waste_prevention": _Use("03-01", _OPEN),
    "separate_collection": _Use("03-01", _OPEN),
    "collection_information": _Use("03-01", _OPEN),
    "accident_report": _Use("03-04", _CLOSED),
    "company_logo": _Use("01-01", _OPEN),
    "product_image": _Use("02-02", _OPEN),
    "marking": _Use("02-04", _OPEN),
    # What nobody has described is shown to nobody who does not have to see all.
    "other": _Use("02-01", _SECRET),
}

GROUPS: Mapping[str, tuple[str, ...]] = {
    **{purpose: (purpose,) for purpose in _USES},
    "dismantling": (
        "dismantling_manual", "removal_manual", "model_3d", "drawing", "bill_of_material", "other_manual",
    ),
}  # fmt: skip
"""Name of a list of document identifiers in the mapping tables to the purposes of its documents."""

_ENDINGS = {
    "application/pdf": "pdf",
    "model/step": "step",
    "image/vnd.dxf": "dxf",
    "model/gltf+json": "gltf",
    "model/gltf-binary": "glb",
    "image/png": "png",
    "image/jpeg": "jpg",
}


class Attachment(Frozen):
    """A file that belongs to a passport: inside its package, at an address, or known by its digest alone.

    :param name: name for people.
    :param content_type: media type.
    :param sha256: digest of the content, where the content was seen.
    :param byte_count: size of the content, where the content was seen.
    :param url: address of the content, where it does not travel with the passport.
    :param is_external: the content stays where it is: a raw measurement file.
    """

    name: str
    content_type: str
    sha256: Sha256 | None = None
    byte_count: int | None = Field(default=None, ge=0)
    url: str | None = None
    is_external: bool = False

    @property
    def is_packaged(self) -> bool:
        """Whether the content travels in the package."""
        return self.sha256 is not None and self.url is None and not self.is_external

    @property
    def ending(self) -> str:
        """Ending of the file's name in a package."""
        return _ENDINGS.get(self.content_type, "bin")

    @property
    def location(self) -> str:
        """Value of the AAS element File: a path in the package, an address, or a name after RFC 6920."""
        if self.url is not None:
            return self.url
        if self.is_external:
            digest = base64.urlsafe_b64encode(bytes.fromhex(str(self.sha256))).decode().rstrip("=")
            return f"ni:///sha-256;{digest}"
        return f"/aasx/files/{self.sha256}.{self.ending}"


Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
"""A language tag (BCP 47), such as ``en`` or ``de-AT``."""


class DocumentEntry(Frozen):
    """One row of the master-data table ``documents``: what a document is."""

    document_id: str = Field(
        min_length=1,
        description="identifier of the document, unique; other parts refer to it",
        examples=["DM-2026-1"],
    )
    model_id: str | None = Field(
        default=None, description="the model whose batteries it is about; or else battery_id", examples=["NMC-60Ah"]
    )
    battery_id: str | None = Field(
        default=None, description="the one battery that it is about; or else model_id", examples=["PACK-17"]
    )
    purpose: Purpose = Field(
        description="what it is for; decides where the passport names it and who sees it",
        examples=["dismantling_manual"],
    )
    title: str = Field(min_length=1, description="title", examples=["Dismantling the pack NMC-60Ah"])
    languages: tuple[Language, ...] = Field(
        default=("en",),
        description="languages of the document, such as en; the first is that of its title",
        examples=[("de", "en")],
    )
    subtitle: str | None = Field(default=None, description="subtitle", examples=["Edition for recyclers"])
    description: str | None = Field(default=None, description="what it is about", examples=["Steps, tools, dangers"])
    version: str | None = Field(default=None, description="version of the document", examples=["2.1"])
    class_id: ClassId | None = Field(
        default=None, description="class after VDI 2770; without it that of its purpose", examples=["03-01"]
    )
    domain_id: str | None = Field(
        default=None,
        description="domain in which the identifier is unique; without it the manufacturer's identifier",
        examples=["DE-CW-001"],
    )
    file: str | None = Field(
        default=None,
        description="name of its file in the landing folder, or path in the folder of the master data",
        examples=["documents/dismantling.pdf"],
    )
    url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s]+$",
        description="address of the document, where no file is handed in",
        examples=["https://example.com/dismantling.pdf"],
    )
    tier: Tier | None = Field(
        default=None, description="who may see it; never more open than its purpose allows", examples=["public"]
    )

    @model_validator(mode="after")
    def _checked(self) -> Self:
        """Refuse a document of nobody or of two, and one that would be more open than the law has it."""
        if (self.model_id is None) == (self.battery_id is None):
            raise ValueError("give either model_id or battery_id: whom is the document about?")
        if self.tier is not None and self.tier is not self.effective_tier:
            raise ValueError(
                f"tier {self.tier}: a document of purpose {self.purpose} is at least {self.lowest_tier} (Annex XIII)"
            )
        if not self.languages:
            raise ValueError("give at least one language")
        return self

    @property
    def lowest_tier(self) -> Tier:
        """The most open tier that its purpose allows."""
        return _USES[self.purpose].tier

    @property
    def effective_tier(self) -> Tier:
        """Who may see it: what its purpose allows, or more closed where its maker says so."""
        order = list(Tier)
        return max(self.lowest_tier, self.tier or self.lowest_tier, key=order.index)


class Document(DocumentEntry):
    """A document with the file that was found for it.

    :param attachment: the file; ``None`` while it has not arrived.
    """

    attachment: Attachment | None = None


@dataclass(frozen=True)
class Tiered:
    """A member of a list that is more closed than the list.

    :param value: the member.
    :param tier: its tier.
    """

    value: object
    tier: Tier


@dataclass(frozen=True)
class Described:
    """A document in the words of IDTA 02035-2; each list of the template has one member.

    :param document: the document.
    :param domain_id: where its identifier is unique.
    """

    document: Document
    domain_id: str

    @property
    def classifications(self) -> tuple[Described, ...]:
        """Its one classification."""
        return (self,)

    @property
    def ids(self) -> tuple[Described, ...]:
        """Its one identifier."""
        return (self,)

    @property
    def versions(self) -> tuple[Described, ...]:
        """Its one version."""
        return (self,)

    @property
    def class_id(self) -> str:
        """Class after VDI 2770."""
        return self.document.class_id or _USES[self.document.purpose].class_id

    @property
    def class_name(self) -> tuple[Text, ...]:
        """Name of the class in English and German."""
        known = CLASSES[self.class_id]
        return (Text("en", known.english), Text("de", known.german))

    @property
    def identifier(self) -> str:
        """What other parts refer to."""
        return self.document.document_id

    @property
    def is_primary(self) -> bool:
        """The one identifier is the preferred one."""
        return True

    @property
    def languages(self) -> tuple[str, ...]:
        """Languages of the document."""
        return self.document.languages

    @property
    def version(self) -> str | None:
        """Version of the document."""
        return self.document.version

    @property
    def title(self) -> tuple[Text, ...]:
        """Title in the document's first language."""
        return (Text(self.document.languages[0], self.document.title),)

    @property
    def subtitle(self) -> tuple[Text, ...] | None:
        """Subtitle in the document's first language."""
        return self._in_its_language(self.document.subtitle)

    @property
    def description(self) -> tuple[Text, ...] | None:
        """Description in the document's first language."""
        return self._in_its_language(self.document.description)

    @property
    def files(self) -> tuple[Attachment, ...]:
        """Its file, if it has arrived."""
        return () if self.document.attachment is None else (self.document.attachment,)

    def _in_its_language(self, text: str | None) -> tuple[Text, ...] | None:
        return None if text is None else (Text(self.document.languages[0], text),)


@dataclass(frozen=True)
class DocumentLists:
    """The documents of a battery or a model as the mapping tables name them: ``all`` or a key of :data:`GROUPS`.

    :param documents: the documents.
    :param domain_id: domain of identifiers that state none.
    :param further: name of a list to identifiers of documents that the master data name without describing them.
    """

    documents: tuple[Document, ...]
    domain_id: str
    further: Mapping[str, Iterable[str]]

    def get(self, name: str) -> tuple[Tiered, ...]:
        """Return a list of identifiers, or all documents, each with its tier; the order does not depend on the input."""
        ordered = sorted(self.documents, key=lambda one: one.document_id)
        if name == "all":
            return tuple(
                Tiered(Described(one, one.domain_id or self.domain_id), one.effective_tier) for one in ordered
            )
        tiers = {one.document_id: one.effective_tier for one in ordered}
        named = [one.document_id for one in ordered if one.purpose in GROUPS[name]]
        found = dict.fromkeys([*self.further.get(name, ()), *named])
        return tuple(Tiered(identifier, tiers.get(identifier, Tier.PUBLIC)) for identifier in found)

    def files(self, purpose: str) -> tuple[Tiered, ...]:
        """Return the files of the documents of a purpose, each with its tier."""
        ordered = sorted(self.documents, key=lambda one: one.document_id)
        return tuple(
            Tiered(one.attachment, one.effective_tier) for one in ordered if one.purpose == purpose and one.attachment
        )
