"""Faults of an AAS environment against the metamodel, all of them and each at its place."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Any

from aas_core3_1 import jsonization, verification
from basyx.aas import model as basyx_model
from basyx.aas.adapter.json import read_aas_json_file

from battery_pilot.passport.shapes import remember, unknown_shapes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.passport.parsing import Json

# What the BaSyx SDK raises on content that is wrong, or that Python cannot hold, such as a day before Christ.
UNREADABLE = (
    *(KeyError, ValueError, TypeError, AttributeError, OverflowError, NotImplementedError),
    basyx_model.AASConstraintViolation,
)

MAXIMUM_FAULTS = 1000
"""Most faults that are looked for: who sends more wants to fill the memory."""

_READERS: dict[str, Callable[[Any], Any]] = {
    "assetAdministrationShells": jsonization.asset_administration_shell_from_jsonable,
    "submodels": jsonization.submodel_from_jsonable,
    "conceptDescriptions": jsonization.concept_description_from_jsonable,
}
_CHILDREN = {
    "Submodel": "submodelElements",
    "SubmodelElementCollection": "value",
    "SubmodelElementList": "value",
    "Entity": "statements",
}


def environment_faults(environment: Json) -> list[tuple[str, str]]:
    """Return path and message of all that makes a JSON object no valid AAS 3.1 environment.

    What cannot be read is left out and the rest is verified (``aas_core3_1.verification``), so that one fault does not
    hide others. The BaSyx SDK reads only what passed that, strictly. Both are slow, and the passports of a fleet differ in
    little but values: a submodel or concept description whose structure passed before is not verified again, only its
    values are (:mod:`battery_pilot.passport.shapes`).

    :param environment: parsed JSON of any content.
    :return: faults in the order of the environment, with paths such as ``submodels[0].submodelElements[3].value``.
    """
    unknown = unknown_shapes(environment)
    if unknown is None:
        return _all_faults(environment)
    if not unknown.environment:
        return []
    faults = _all_faults(unknown.environment)
    if faults:
        return _all_faults(environment)  # with the places that they have in the whole
    remember(unknown)
    return []


def _all_faults(environment: Json) -> list[tuple[str, str]]:
    faults = list(islice(_faults(environment), MAXIMUM_FAULTS))
    if faults:
        return faults
    try:
        store = read_aas_json_file(io.StringIO(json.dumps(environment)), failsafe=False)
    except UNREADABLE as error:
        return [("", f"the BaSyx SDK refuses it: {error}")]
    return [] if len(store) else [("", "it is empty")]


def _faults(environment: Json) -> Iterator[tuple[str, str]]:
    for name, content in environment.items():
        reader = _READERS.get(name)
        if reader is None:
            yield name, f"an environment has no {name}; it has {', '.join(_READERS)}"
        elif not isinstance(content, list):
            yield name, f"a list was expected, not {type(content).__name__}"
        elif not content:
            yield name, "the list is empty; leave it out"
        else:
            for index, node in enumerate(content):
                yield from _inspect(node, reader, f"{name}[{index}]")


def _inspect(node: Any, reader: Callable[[Any], Any], path: str) -> Iterator[tuple[str, str]]:
    """Yield the faults of a node; of one that cannot be read, those of itself and of each child apart."""
    try:
        instance = reader(node)
    except jsonization.DeserializationException as error:
        name = _CHILDREN.get(str(node.get("modelType"))) if isinstance(node, dict) else None
        children = node.get(name) if name else None
        if name is None or not isinstance(children, list):
            yield _joined(path, str(error.path)), error.cause
            return
        yield from _inspect({key: value for key, value in node.items() if key != name}, reader, path)
        for index, child in enumerate(children):
            yield from _inspect(child, jsonization.submodel_element_from_jsonable, f"{path}.{name}[{index}]")
        return
    for fault in verification.verify(instance):
        yield _joined(path, _in_json(str(fault.path))), fault.cause


def _joined(path: str, rest: str) -> str:
    rest = rest.lstrip(".")
    return f"{path}{rest if rest.startswith('[') or not rest else '.' + rest}"


def _in_json(path: str) -> str:
    """Write an attribute's name as JSON does: the verifier writes submodel_elements."""
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), path)
