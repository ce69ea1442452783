"""What the AAS sandbox knows about the metamodel: verification, idShort paths, value-only and metadata forms."""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from battery_pilot.sandbox.store import Document

_SEGMENT = re.compile(r"([A-Za-z][A-Za-z0-9_\-]*)((?:\[\d+\])*)\Z")
_INTEGERS = frozenset(
    {
        "xs:byte",
        "xs:short",
        "xs:int",
        "xs:long",
        "xs:integer",
        "xs:unsignedByte",
        "xs:unsignedShort",
        "xs:unsignedInt",
        "xs:unsignedLong",
        "xs:nonNegativeInteger",
        "xs:positiveInteger",
        "xs:nonPositiveInteger",
        "xs:negativeInteger",
    }
)
_REALS = frozenset({"xs:double", "xs:float", "xs:decimal"})
# Where each element keeps its children; an Operation's variables are not addressed by idShort paths.
_CHILDREN = {
    "Submodel": "submodelElements",
    "SubmodelElementCollection": "value",
    "SubmodelElementList": "value",
    "Entity": "statements",
    "AnnotatedRelationshipElement": "annotations",
}


class Refusal(Exception):
    """A request that the server answers with an error.

    :param status: HTTP status of the answer.
    :param text: what is wrong, for the answer's ``messages``.
    """

    def __init__(self, status: HTTPStatus, text: str) -> None:
        self.status = status
        super().__init__(text)


def verify(model_type: str, document: Any) -> Document:
    """Check a JSON object against the metamodel and return it.

    Besides the constraints that aas-core 3.1 knows, and what basyx-python-sdk cannot read, children of a SubmodelElementList
    with an idShort are refused: AASX Server still applies AASd-120, which metamodel 3.1 removed.

    :param model_type: ``AssetAdministrationShell``, ``Submodel``, ``ConceptDescription``, ``Reference`` or
        ``SubmodelElement``.
    :param document: the parsed JSON.
    :raises Refusal: 400 with up to three findings.
    """
    if document is None:
        raise Refusal(HTTPStatus.FORBIDDEN, f"Could not proceed, as {model_type} is null.")
    findings = list(_findings(model_type, document))
    if findings:
        rest = f" (and {len(findings) - 3} more)" if len(findings) > 3 else ""
        raise Refusal(HTTPStatus.BAD_REQUEST, "; ".join(findings[:3]) + rest)
    checked: Document = document
    return checked


def _findings(model_type: str, document: Any) -> Iterator[str]:
    from aas_core3_1 import jsonization, verification  # noqa: PLC0415 -- a server must start quickly

    readers: dict[str, Callable[[Any], Any]] = {
        "AssetAdministrationShell": jsonization.asset_administration_shell_from_jsonable,
        "Submodel": jsonization.submodel_from_jsonable,
        "ConceptDescription": jsonization.concept_description_from_jsonable,
        "Reference": jsonization.reference_from_jsonable,
        "SubmodelElement": jsonization.submodel_element_from_jsonable,
    }
    try:
        instance = readers[model_type](document)
    except jsonization.DeserializationException as exception:
        yield f"{exception.path}: {exception.cause}"
        return
    errors = [f"{error.path}: {error.cause}" for error in verification.verify(instance)]
    yield from errors or _unreadable(document)
    yield from _named_list_children(document, document.get("idShort") or model_type)


def _unreadable(document: Document) -> Iterator[str]:
    """Yield why basyx-python-sdk does not take a document, as for the same idShort twice among an entity's statements."""
    from basyx.aas import model  # noqa: PLC0415
    from basyx.aas.adapter.json import StrictAASFromJsonDecoder  # noqa: PLC0415

    try:
        json.loads(json.dumps(document), cls=StrictAASFromJsonDecoder)
    except NotImplementedError:  # a legal value that Python has no type for, such as the year 10000
        return
    except (ValueError, KeyError, TypeError, model.AASConstraintViolation) as exception:
        yield f"{type(exception).__name__}: {exception}"


def _named_list_children(element: Document, place: str) -> Iterator[str]:
    is_list = element.get("modelType") == "SubmodelElementList"
    for index, child in enumerate(children(element)):
        here = f"{place}[{index}]" if is_list else f"{place}.{child.get('idShort')}"
        if is_list and "idShort" in child:
            yield f"{here}: AASd-120: idShort of a child of a SubmodelElementList must not be specified"
        yield from _named_list_children(child, here)


def children(element: Document) -> list[Document]:
    """Return the child elements of a submodel or element; the list is the one inside it when it has any."""
    found: list[Document] = element.get(_CHILDREN.get(element.get("modelType", ""), ""), [])
    return found if isinstance(found, list) else []


def has_room(element: Document) -> bool:
    """Return whether a submodel or element can have child elements."""
    return element.get("modelType", "") in _CHILDREN


def find(submodel: Document, path: str) -> tuple[Document, int]:
    """Locate an element by its idShort path.

    :param submodel: the submodel.
    :param path: for example ``A.B[0].C``, decoded, case-sensitive.
    :returns: the element's parent and its index among the parent's children.
    :raises Refusal: 400 for a path that is none, 404 when nothing is there.
    """
    parent, index, element = submodel, -1, submodel
    for step in _steps(path):
        parent = element
        siblings = children(parent)
        if isinstance(step, int):
            index = step if step < len(siblings) and parent.get("modelType") == "SubmodelElementList" else -1
        else:
            index = next((i for i, sibling in enumerate(siblings) if sibling.get("idShort") == step), -1)
        if index < 0:
            raise Refusal(
                HTTPStatus.NOT_FOUND, f"Submodel element {path} not found in submodel with id {submodel['id']}."
            )
        element = siblings[index]
    return parent, index


def element_at(submodel: Document, path: str) -> Document:
    """Return the element at an idShort path; refusals as in :func:`find`."""
    parent, index = find(submodel, path)
    return children(parent)[index]


def add_child(parent: Document, child: Document) -> None:
    """Append an element to a submodel, collection, list or entity.

    :raises Refusal: 400 when the parent cannot have children, 409 when the idShort is taken.
    """
    field = _CHILDREN.get(parent.get("modelType", ""))
    if field is None:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"A {parent.get('modelType')} cannot have child elements.")
    id_short = child.get("idShort")
    if id_short is not None and any(sibling.get("idShort") == id_short for sibling in children(parent)):
        raise Refusal(HTTPStatus.CONFLICT, f"Submodel element with idShort {id_short} already exists.")
    parent.setdefault(field, []).append(child)


def remove_child(parent: Document, index: int) -> None:
    """Remove a child; an emptied list of children disappears, because the metamodel forbids empty lists."""
    siblings = children(parent)
    del siblings[index]
    if not siblings:
        del parent[_CHILDREN[parent["modelType"]]]


def _steps(path: str) -> list[str | int]:
    steps: list[str | int] = []
    for segment in path.split("."):
        match = _SEGMENT.match(segment)
        if match is None:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"Invalid idShort path {path}.")
        steps.append(match[1])
        steps.extend(int(index) for index in re.findall(r"\d+", match[2]))
    return steps


def reference_to(submodel: Document, path: str | None = None) -> Document:
    """Return the model reference to a submodel or to an element in it."""
    keys = [{"type": "Submodel", "value": submodel["id"]}]
    element = submodel
    for step in _steps(path) if path else []:
        siblings = children(element)
        element = (
            siblings[step] if isinstance(step, int) else next(one for one in siblings if one.get("idShort") == step)
        )
        keys.append({"type": element["modelType"], "value": str(step)})
    return {"type": "ModelReference", "keys": keys}


def metadata_of(element: Document) -> Document:
    """Return a submodel or element without its value and children."""
    dropped = {
        "value",
        "min",
        "max",
        "submodelElements",
        "statements",
        "annotations",
        "contentType",
        "first",
        "second",
    }
    return {name: part for name, part in element.items() if name not in dropped}


def value_of(element: Document) -> Any:
    """Return the value-only form (AAS Part 2) of a submodel or element.

    Numbers become JSON numbers, dates stay strings, collections objects, lists arrays; operations and capabilities
    have no value and are left out of their parent.
    """
    kind = element["modelType"]
    if kind in ("Submodel", "SubmodelElementCollection"):
        return _values_by_name(element)
    if kind == "SubmodelElementList":
        return [value_of(child) for child in children(element)]
    if kind == "Range":
        return {side: _typed(element[side], element["valueType"]) for side in ("min", "max") if side in element}
    if kind == "MultiLanguageProperty":
        return [{text["language"]: text["text"]} for text in element.get("value", [])]
    if kind in ("File", "Blob"):
        return {name: element[name] for name in ("contentType", "value") if name in element}
    if kind in ("RelationshipElement", "AnnotatedRelationshipElement", "Entity"):
        return _value_of_compound(element)
    if kind == "BasicEventElement":
        return {"observed": element["observed"]}
    return _typed(element.get("value"), element.get("valueType", ""))


def _values_by_name(element: Document) -> Document:
    return {
        child["idShort"]: value_of(child)
        for child in children(element)
        if child["modelType"] not in ("Operation", "Capability")
    }


def _value_of_compound(element: Document) -> Document:
    names = ("first", "second", "entityType", "globalAssetId", "specificAssetIds")
    value: Document = {name: element[name] for name in names if name in element}
    if children(element):
        value[_CHILDREN[element["modelType"]]] = _values_by_name(element)
    return value


def _typed(value: Any, value_type: str) -> Any:
    if not isinstance(value, str):
        return value
    if value_type == "xs:boolean":
        return value in ("true", "1")
    if value_type in _INTEGERS:
        return int(value)
    # INF and NaN have no JSON number; they stay strings.
    if value_type in _REALS and value not in ("INF", "-INF", "NaN"):
        return float(value)
    return value
