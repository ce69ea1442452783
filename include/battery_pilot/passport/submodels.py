"""AAS JSON of submodels and concept descriptions, built straight from the filled rows.

The JSON is made here rather than by an SDK's object model because a passport is hashed: the order of everything must
be the same in every process, and a fleet of a million needs it in milliseconds. :mod:`battery_pilot.passport.aas` reads
the result back strictly.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.errors import PassportError
from battery_pilot.passport.lexical import to_xsd
from battery_pilot.passport.mapping import OWN_IDS, Concept, Part, Row, concepts, parent_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from battery_pilot.passport.filling import Element

Json = dict[str, Any]

MODEL_TYPES = {
    "Submodel": "Submodel",
    "SMC": "SubmodelElementCollection",
    "SML": "SubmodelElementList",
    "Property": "Property",
    "MLP": "MultiLanguageProperty",
    "File": "File",
}
"""Kind in the mapping tables to AAS model type."""

LANGUAGE = "en"
"""Language of texts that are names or numbers and so the same in every language."""

UNIT = "Unit"
"""Type of the qualifier that carries a property's unit."""

SHA256 = "Sha256"
"""Type of the qualifier that carries the digest of a file."""

BYTE_COUNT = "ByteCount"
"""Type of the qualifier that carries the size of a file."""

_IEC_61360 = "https://admin-shell.io/DataSpecificationTemplates/DataSpecificationIec61360/3"


def submodel_dict(part: Part, identifier: str, elements: Iterable[Element]) -> Json:
    """Return a submodel as AAS JSON.

    :param part: the part that the elements belong to.
    :param identifier: id of the submodel.
    :param elements: its filled rows, the submodel itself first.
    :raises PassportError: there is nothing to put into the submodel.
    """
    contents: dict[str, list[Json]] = {}
    for element in elements:
        content: list[Json] = []
        node = _node(part, element.row, content) if element.row.is_container else _leaf(element)
        if element.row.kind != "Submodel":
            contents[parent_path(element.path)].append(node)
        if element.row.is_container:
            contents[element.path] = content
    if part.submodel.path not in contents:
        raise PassportError(f"submodel {identifier}: nothing to put into it; leave it out")
    version, revision = part.version.split(".")[:2]
    return {
        "modelType": "Submodel",
        "id": identifier,
        "idShort": part.submodel.id_short,
        "administration": {"version": version, "revision": revision},
        **_meaning(part.submodel),
        "submodelElements": contents[part.submodel.path],
    }


def reference(identifier: str) -> Json:
    """Return an external reference to something with a global identifier."""
    return {"type": "ExternalReference", "keys": [{"type": "GlobalReference", "value": identifier}]}


def concept_dicts(elements: Iterable[Element]) -> list[Json]:
    """Return concept descriptions of our own semantic ids that the elements use, sorted by id."""
    used: set[str] = set()
    for element in elements:
        used.add(element.row.semantic_id)
        used.update(OWN_IDS + kind for kind, _, _ in _qualities(element))
    return [_concept_dict(concept) for identifier, concept in sorted(concepts().items()) if identifier in used]


def _leaf(element: Element) -> Json:
    row, value = element.row, element.value
    if value is None:
        raise PassportError(f"{element.path}: a {row.kind} without a value")
    node: Json = {"modelType": MODEL_TYPES[row.kind], **_name(row), **_meaning(row)}
    if row.kind == "MLP":
        return {**node, "value": [{"language": language, "text": text} for language, text in element.texts]}
    qualifiers = [_qualifier(*quality) for quality in _qualities(element)]
    if qualifiers:
        node["qualifiers"] = qualifiers
    if element.file is not None:
        return {**node, "contentType": element.file.content_type, "value": value}
    return {**node, "valueType": row.value_type, "value": to_xsd(value, row.value_type)}


def _qualities(element: Element) -> Iterator[tuple[str, str, str]]:
    """Yield type, value type and value of an element's qualifiers."""
    if element.value is None:
        return
    if element.row.unit:  # some templates' concept descriptions state a wrong one
        yield UNIT, "xs:string", element.row.unit
    if element.file is not None and element.file.sha256 is not None:
        yield SHA256, "xs:string", element.file.sha256
    if element.file is not None and element.file.byte_count is not None:
        yield BYTE_COUNT, "xs:long", str(element.file.byte_count)


def _node(part: Part, row: Row, content: list[Json]) -> Json:
    node: Json = {"modelType": MODEL_TYPES[row.kind], **_name(row), **_meaning(row), "value": content}
    if row.kind == "SML":
        (member,) = part.children[row.path]
        node["orderRelevant"] = True
        node["typeValueListElement"] = MODEL_TYPES[member.kind]
        node["semanticIdListElement"] = reference(member.semantic_id)
        if member.value_type:
            node["valueTypeListElement"] = member.value_type
    return node


def _name(row: Row) -> Json:
    return {} if row.id_short is None else {"idShort": row.id_short}


def _meaning(row: Row) -> Json:
    meaning: Json = {"semanticId": reference(row.semantic_id)}
    if row.supplemental_semantic_ids:
        meaning["supplementalSemanticIds"] = [reference(identifier) for identifier in row.supplemental_semantic_ids]
    return meaning


def _qualifier(kind: str, value_type: str, value: str) -> Json:
    return {
        "kind": "ConceptQualifier",
        "type": kind,
        "semanticId": reference(OWN_IDS + kind),
        "valueType": value_type,
        "value": value,
    }


def _concept_dict(concept: Concept) -> Json:
    content: Json = {
        "modelType": "DataSpecificationIec61360",
        "preferredName": _two_languages(concept.english_name, concept.german_name),
        "definition": _two_languages(concept.english_definition, concept.german_definition),
    }
    if concept.unit:
        content["unit"] = concept.unit
    if concept.data_type:
        content["dataType"] = concept.data_type
    return {
        "modelType": "ConceptDescription",
        "id": concept.semantic_id,
        "idShort": concept.semantic_id.removeprefix(OWN_IDS),
        "embeddedDataSpecifications": [
            {"dataSpecification": reference(_IEC_61360), "dataSpecificationContent": content}
        ],
    }


def _two_languages(english: str, german: str) -> list[Json]:
    return [{"language": "en", "text": english}, {"language": "de", "text": german}]
