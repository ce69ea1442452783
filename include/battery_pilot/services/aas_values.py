"""Values of AAS documents: where they stand, what they mean by their type, and what of them has changed.

Value types are those of XML Schema (AAS part 1, ``DataTypeDefXsd``); the value-only form is that of AAS part 2.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Document = dict[str, Any]

CHILDREN = {
    "Submodel": "submodelElements",
    "SubmodelElementCollection": "value",
    "SubmodelElementList": "value",
    "Entity": "statements",
    "AnnotatedRelationshipElement": "annotations",
}
"""Where each kind of element keeps its children."""

SEMANTIC_IDS = frozenset({"semanticId", "supplementalSemanticIds", "semanticIdListElement"})
"""Where an element says what it means."""

REALS = frozenset({"xs:double", "xs:float", "xs:decimal"})
INTEGERS = frozenset(
    f"xs:{name}"
    for name in (
        *("byte", "short", "int", "long", "integer", "unsignedByte", "unsignedShort", "unsignedInt", "unsignedLong"),
        *("nonNegativeInteger", "positiveInteger", "nonPositiveInteger", "negativeInteger"),
    )
)
DIGEST_BYTES = 8
"""Of one value: a change is missed once in 2**64 times, and the whole document is hashed besides."""


@dataclass(frozen=True)
class Fingerprint:
    """What is remembered of a submodel to tell later what has changed.

    :param shape: digest of all but the values of its properties.
    :param values: one digest of :data:`DIGEST_BYTES` bytes for each property with a value, in document order.
    """

    shape: bytes
    values: bytes


def properties(document: Document, path: str = "") -> Iterator[tuple[str, Document]]:
    """Yield the properties with a value below a submodel or element, with their idShort paths, in document order."""
    for at, child in _children(document, path):
        if child.get("modelType") == "Property" and child.get("value") is not None:
            yield at, child
        else:
            yield from properties(child, at)


def file_elements(element: Document, path: str = "") -> Iterator[tuple[str, Document]]:
    """Yield the File elements below a submodel or element with a value that names no address elsewhere, with their paths."""
    for at, child in _children(element, path):
        value = str(child.get("value") or "")
        if child.get("modelType") == "File" and value and "://" not in value.removeprefix("file://"):
            yield at, child
        yield from file_elements(child, at)


def concept_ids(document: Any) -> Iterator[str]:
    """Yield what the semantic ids of a submodel and of all in it refer to: ids of concepts, described anywhere or nowhere."""
    if isinstance(document, list):
        for member in document:
            yield from concept_ids(member)
    elif isinstance(document, dict):
        for key, part in document.items():
            if key in SEMANTIC_IDS:
                references = part if isinstance(part, list) else [part]
                yield from (str(one["keys"][-1]["value"]) for one in references if one and one.get("keys"))
            elif isinstance(part, list | dict):
                yield from concept_ids(part)


def fingerprint(submodel: Document) -> Fingerprint:
    """Return a submodel's fingerprint."""
    values = b"".join(_digest(str(element["value"]).encode()) for _, element in properties(submodel))
    return Fingerprint(hashlib.sha256(_text(_without_values(submodel))).digest(), values)


def changed_properties(before: Fingerprint, submodel: Document) -> list[tuple[str, Document]] | None:
    """Return the properties, with their paths, whose values differ from those of an earlier state.

    :return: ``None`` where more than values has changed.
    """
    now = fingerprint(submodel)
    if now.shape != before.shape or len(now.values) != len(before.values):
        return None
    starts = range(0, len(now.values), DIGEST_BYTES)
    return [
        found
        for start, found in zip(starts, properties(submodel), strict=True)
        if now.values[start : start + DIGEST_BYTES] != before.values[start : start + DIGEST_BYTES]
    ]


def document_digest(document: Document) -> bytes:
    """Return the SHA-256 of a document, whatever the order of its keys."""
    return hashlib.sha256(_text(document)).digest()


def value_only(element: Document) -> str | int | float | bool | None:
    """Return a property's value in the value-only form: numbers and booleans as JSON has them, all else as text.

    :return: ``None`` where that form would not be the same value, as for INF or a decimal longer than a JSON number.
    """
    text, value_type = str(element.get("value")), element.get("valueType", "xs:string")
    typed = typed_value(text, value_type)
    if value_type not in REALS:
        return typed if isinstance(typed, bool | int) else text
    if not isinstance(typed, Decimal) or not typed.is_finite():
        return None
    number = float(typed)
    return number if value_type != "xs:decimal" or Decimal(repr(number)) == typed else None


def typed_value(text: str, value_type: str) -> object:
    """Return what a text means by its type, so that two ways of writing the same value are equal.

    Numbers become :class:`Decimal` (``xs:double`` and ``xs:float`` as precise as they are), integers ``int``, booleans
    ``bool``, times without fractions of seconds that differ in zone alone the same moment. What cannot be read stays text.
    """
    text = str(text)
    try:
        if value_type in REALS:
            return _real(text.strip(), value_type)
        if value_type in INTEGERS:
            return int(text.strip())
        if value_type == "xs:boolean":
            return {"true": True, "1": True, "false": False, "0": False}.get(text.strip(), text)
        if value_type == "xs:dateTime":
            moment = datetime.fromisoformat(text.strip())
            return moment.astimezone(UTC) if moment.tzinfo else moment
        if value_type == "xs:date":
            return date.fromisoformat(text.strip())
        if value_type == "xs:time":
            return time.fromisoformat(text.strip())
    except (ValueError, InvalidOperation, OverflowError):
        return text
    return text


def _children(element: Document, path: str) -> Iterator[tuple[str, Document]]:
    """Yield the children of a submodel or element with their idShort paths."""
    kind = element.get("modelType", "")
    for index, child in enumerate(element.get(CHILDREN.get(kind, "")) or []):
        if kind == "SubmodelElementList":
            yield f"{path}[{index}]", child
        else:
            yield (f"{path}.{child.get('idShort')}" if path else str(child.get("idShort"))), child


def _real(text: str, value_type: str) -> object:
    """Read a number; NaN equals itself here, because it is compared as what was written."""
    if text in {"INF", "-INF", "NaN"}:
        return text
    number = Decimal(text)
    return number if value_type == "xs:decimal" else Decimal(repr(float(number)))


def _without_values(element: Document) -> Document:
    if element.get("modelType") == "Property":
        return {key: value for key, value in element.items() if key != "value"} | {
            "valued": element.get("value") is not None
        }
    key = CHILDREN.get(element.get("modelType", ""))
    if key is None or not isinstance(element.get(key), list):
        return element
    return {**element, key: [_without_values(child) for child in element[key]]}


def _text(document: Document) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
