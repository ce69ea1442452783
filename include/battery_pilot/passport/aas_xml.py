"""AAS XML as AAS JSON.

The two forms of the metamodel say the same with the same names (IDTA-01001, part 1, and its schemas), so one walk over
the tree translates any of it. Nothing is checked here beyond what the translation needs: the JSON is verified afterwards,
and so every fault of the XML is found, not only the first.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from lxml import etree  # type: ignore[import-untyped]

from battery_pilot.errors import PassportError

if TYPE_CHECKING:
    from battery_pilot.passport.parsing import Json

_NAMESPACE = re.compile(r"https?://(?:www\.)?admin-shell\.io/aas/(\d+)/(\d+)")
_READ = {("3", "0"), ("3", "1")}

# Names whose content is a list, with the tag of its members; None where the tag tells the class of the member.
_LISTS: dict[str, str | None] = {
    "assetAdministrationShells": "assetAdministrationShell",
    "conceptDescriptions": "conceptDescription",
    "submodelElements": None,
    "statements": None,
    "annotations": None,
    "inputVariables": "operationVariable",
    "outputVariables": "operationVariable",
    "inoutputVariables": "operationVariable",
    "keys": "key",
    "qualifiers": "qualifier",
    "extensions": "extension",
    "supplementalSemanticIds": "reference",
    "isCaseOf": "reference",
    "refersTo": "reference",
    "embeddedDataSpecifications": "embeddedDataSpecification",
    "specificAssetIds": "specificAssetId",
    "displayName": "langStringNameType",
    "description": "langStringTextType",
    "preferredName": "langStringPreferredNameTypeIec61360",
    "shortName": "langStringShortNameTypeIec61360",
    "definition": "langStringDefinitionTypeIec61360",
    "valueReferencePairs": "valueReferencePair",
}
_LIST_VALUES = {
    "submodelElementCollection": None,
    "submodelElementList": None,
    "multiLanguageProperty": "langStringTextType",
}
_TYPED = {"dataSpecificationIec61360"}  # whose JSON names its class, besides identifiables and submodel elements
_IDENTIFIABLES = {"assetAdministrationShell", "submodel", "conceptDescription"}
_BOOLEANS = {"orderRelevant", "min", "nom", "typ", "max"}


def environment_of_xml(content: bytes) -> tuple[Json, list[str]]:
    """Translate an AAS environment from XML to JSON.

    :param content: XML without a document type.
    :return: the environment, and what had to be put right to read it.
    :raises PassportError: it is no XML, nested too deep, or no environment of metamodel 3.0 or 3.1.
    """
    if b"\x00" in content or re.search(rb"<!DOCTYPE|<!ENTITY", content, re.IGNORECASE):
        # A document type could name files and hosts to load from, or unfold to gigabytes; an AAS needs none.
        raise PassportError("the XML declares a document type or is not in UTF-8")
    parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(content, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise PassportError(f"no XML that can be read: {error}") from error
    namespace, tag = _split(root)
    version = _NAMESPACE.fullmatch(namespace)
    if tag != "environment" or version is None or version.groups() not in _READ:
        raise PassportError(
            f"an environment of AAS metamodel 3.0 or 3.1 was expected, not {tag} of {namespace or 'none'}"
        )
    fixes = []
    if version.groups() != ("3", "1"):
        fixes.append(f"the XML is of metamodel 3.0 ({namespace}); it was read as 3.1")
    return _content(root, namespace, "environment"), fixes


def _split(node: Any) -> tuple[str, str]:
    name = etree.QName(node)
    return name.namespace or "", name.localname


def _content(node: Any, namespace: str, tag: str) -> Json:
    """Return an instance of a class: its attributes are the children."""
    content: Json = {"modelType": tag[0].upper() + tag[1:]} if _is_typed(node, tag) else {}
    for child in node:
        space, name = _split(child)
        if space != namespace:
            raise PassportError(f"line {child.sourceline}: {name} is of another namespace ({space or 'none'})")
        if name in content:
            raise PassportError(f"line {child.sourceline}: {name} stands twice in one {tag}")
        content[name] = _value(child, namespace, name, tag)
    return content


def _value(node: Any, namespace: str, name: str, owner: str) -> Any:
    if name == "submodels" or name in _LISTS or (name == "value" and owner in _LIST_VALUES):
        return [_member(child, namespace, name, owner) for child in node]
    if not len(node):
        text = node.text or ""
        return text == "true" if name in _BOOLEANS and text in {"true", "false"} and owner != "range" else text
    if name == "dataSpecificationContent" or (name == "value" and owner == "operationVariable"):
        (child,) = node if len(node) == 1 else (node,)
        return _content(child, namespace, _split(child)[1])
    return _content(node, namespace, name)


def _member(node: Any, namespace: str, name: str, owner: str) -> Json:
    tag = _split(node)[1]
    expected = _LISTS.get(name) or _LIST_VALUES.get(owner if name == "value" else "")
    if name == "submodels":
        expected = "submodel" if owner == "environment" else "reference"
    if expected is not None and tag != expected:
        raise PassportError(f"line {node.sourceline}: {tag} stands in {name}, {expected} was expected")
    return _content(node, namespace, tag)


def _is_typed(node: Any, tag: str) -> bool:
    if tag in _IDENTIFIABLES or tag in _TYPED:
        return True
    parent = node.getparent()
    if parent is None:
        return False
    name = _split(parent)[1]
    owner = parent.getparent()
    inside = _split(owner)[1] if owner is not None else ""
    if name == "value":
        return inside in {"submodelElementCollection", "submodelElementList", "operationVariable"}
    return name in _LISTS and _LISTS[name] is None
