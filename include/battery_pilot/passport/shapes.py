"""Recognising submodels and concept descriptions whose structure was verified before.

The shape of an identifiable is its JSON without its id and without the values of its properties. Where a shape is known to
be valid, the metamodel has nothing left to say but of the values, and its rules for them are applied here: the lexical
forms of XML Schema, as ``aas_core3_1`` checks them, and the characters that XML can hold. Only what is simple is judged so;
everything else takes the long way.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aas_core3_1 import types, verification

if TYPE_CHECKING:
    from battery_pilot.passport.parsing import Json

_MAXIMUM_SHAPES = 4096
_known: OrderedDict[bytes, None] = OrderedDict()

_NAMES = frozenset({"assetAdministrationShells", "submodels", "conceptDescriptions"})
_KNOWABLE = ("submodels", "conceptDescriptions")
_TYPES = {kind.value: kind for kind in types.DataTypeDefXSD}
_SIMPLE = frozenset(
    f"xs:{name}"
    for name in (
        *("string", "anyURI", "boolean", "float", "double", "decimal", "integer", "long", "int", "short", "byte"),
        *("unsignedLong", "unsignedInt", "unsignedShort", "unsignedByte", "nonNegativeInteger", "positiveInteger"),
        *("date", "dateTime"),
    )
)
# What both verifiers agree on; other ways to write a time, such as 24:00:00, take the long way.
_TIME = re.compile(
    r"(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?(Z|[+-](0\d|1[0-3]):[0-5]\d)?"
)
_DATE = re.compile(r"(?!0000)\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_NUMBER = re.compile(r"[+-]?\d{1,18}")
_DECIMAL = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,2})?")
_PLAIN = re.compile("[\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")
_MAXIMUM_ID = 2048


@dataclass
class Unknown:
    """What of an environment must be verified.

    :param environment: its identifiables whose shape is not known, and all shells; empty if there are none.
    :param digests: digests of the shapes that are valid if the environment is.
    """

    environment: Json
    digests: list[bytes] = field(default_factory=list)


def unknown_shapes(environment: Json) -> Unknown | None:
    """Return what of an environment must be verified, or ``None`` if it must be verified as a whole.

    :param environment: parsed JSON of any content.
    """
    if not environment or not environment.keys() <= _NAMES or not _ids_are_simple(environment):
        return None
    unknown = Unknown({})
    for name, identifiables in environment.items():
        for identifiable in identifiables:
            digest = _digest(identifiable) if name in _KNOWABLE else None
            if digest is not None and digest in _known:
                _known.move_to_end(digest)
                continue
            if digest is not None:
                unknown.digests.append(digest)
            unknown.environment.setdefault(name, []).append(identifiable)
    return unknown


def remember(unknown: Unknown) -> None:
    """Remember that what was unknown has been found valid."""
    for digest in unknown.digests:
        _known[digest] = None
    while len(_known) > _MAXIMUM_SHAPES:
        _known.popitem(last=False)


def _ids_are_simple(environment: Json) -> bool:
    """Tell whether all lists are filled and all ids are plain and different."""
    ids = []
    for identifiables in environment.values():
        if not isinstance(identifiables, list) or not identifiables:
            return False
        for one in identifiables:
            if not isinstance(one, dict) or not isinstance(one.get("id"), str):
                return False
            ids.append(one["id"])
    return len(set(ids)) == len(ids) and all(0 < len(one) <= _MAXIMUM_ID and _PLAIN.fullmatch(one) for one in ids)


def _digest(identifiable: Json) -> bytes | None:
    """Return the digest of a shape, or ``None`` if a value is not simple."""
    taken: list[tuple[Json, str]] = []
    try:
        if not _take_values(identifiable, taken):
            return None
        shape = json.dumps({**identifiable, "id": ""}, ensure_ascii=False, separators=(",", ":"))
    finally:
        for node, value in taken:
            node["value"] = value
    return hashlib.sha256(shape.encode("utf-8", "surrogatepass")).digest()


def _take_values(identifiable: Json, taken: list[tuple[Json, str]]) -> bool:
    """Take the values out of the properties; tell whether all of them are simple."""
    waiting: list[Any] = [identifiable.get("submodelElements")]
    while waiting:
        children = waiting.pop()
        if not isinstance(children, list):
            continue
        for node in children:
            if not isinstance(node, dict):
                return False
            value = node.get("value")
            if node.get("modelType") != "Property":
                waiting.append(value)
            elif isinstance(value, str):
                if not _is_simple(value, node.get("valueType")):
                    return False
                taken.append((node, value))
                node["value"] = ""
    return True


def _is_simple(value: str, value_type: Any) -> bool:
    if not isinstance(value_type, str) or value_type not in _SIMPLE or not _PLAIN.fullmatch(value):
        return False
    if value_type in {"xs:string", "xs:anyURI"}:
        return value_type == "xs:string" or verification.value_consistent_with_xsd_type(value, _TYPES[value_type])
    if value_type == "xs:boolean":
        return value in {"true", "false"}
    form = _FORMS.get(value_type, _NUMBER)
    return bool(form.fullmatch(value)) and verification.value_consistent_with_xsd_type(value, _TYPES[value_type])


_FORMS = {
    "xs:date": _DATE,
    "xs:dateTime": _TIME,
    "xs:float": _DECIMAL,
    "xs:double": _DECIMAL,
    "xs:decimal": _DECIMAL,
}
