"""Whether a server holds what it was sent, although servers write the same thing differently."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from battery_pilot.services.aas_values import CHILDREN, typed_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Document = dict[str, Any]

DEFAULTS: Document = {"kind": "Instance", "orderRelevant": True}
"""What a server may leave out or add: the metamodel's own values of absent attributes."""

CONTENT = frozenset({*CHILDREN.values(), "submodels", "valueId", "min", "max", "first", "second"})
"""What must not be there when it was not sent; servers add attributes of their own beside."""

MISSING = "nothing"
LONGEST_SHOWN = 60


def differences(sent: Document, found: Document) -> list[str]:
    """Return where a server's document is not the one that it was sent, each as ``path: expected …, found …``.

    Values are compared by their types (1.0 is 1, 12:00+01:00 is 11:00Z). Attributes that a server adds are no difference,
    nor are further submodels of a shell and defaults of the metamodel; elements and values that were not sent are. A server
    may keep a file at another place than its element said, under a name that ends with the one it had there.

    :param sent: what the server was sent.
    :param found: what it answers.
    """
    return list(_of_object(sent, found, ""))


def _of_object(sent: Document, found: Document, path: str) -> Iterator[str]:
    value_type = sent.get("valueType")
    for key in sent.keys() | (found.keys() & CONTENT):
        here, there = sent.get(key, DEFAULTS.get(key)), found.get(key, DEFAULTS.get(key))
        at = f"{path}/{key}" if path else key
        if key == "value" and sent.get("modelType") == "File" and _is_same_file(here, there):
            continue
        if key in {"value", "min", "max"} and isinstance(value_type, str):
            yield from _of_value(here, there, value_type, path or at)
        else:
            yield from _of_any(here, there, at if key not in CHILDREN.values() else path)


def _of_any(sent: Any, found: Any, path: str) -> Iterator[str]:
    if not _is_given(sent) and not _is_given(found):
        return
    if isinstance(sent, dict) and isinstance(found, dict):
        yield from _of_object(sent, found, path)
    elif isinstance(sent, list) and isinstance(found, list):
        yield from _of_list(sent, found, path)
    elif sent != found:
        yield _difference(path, sent, found)


def _of_value(sent: Any, found: Any, value_type: str, path: str) -> Iterator[str]:
    if _is_given(sent) != _is_given(found) or (
        _is_given(sent) and typed_value(sent, value_type) != typed_value(found, value_type)
    ):
        yield _difference(path, sent, found)


def _of_list(sent: list[Any], found: list[Any], path: str) -> Iterator[str]:
    """Compare two lists: by name where the members have one, because servers may sort them, else by place."""
    name = _naming(sent) or _naming(found)
    if name is None or _naming(found or sent) is None:
        for index in range(max(len(sent), len(found))):
            here, there = (one[index] if index < len(one) else None for one in (sent, found))
            yield from _of_any(here, there, f"{path}[{index}]")
        return
    ours, theirs = ({name(one): one for one in members} for members in (sent, found))
    is_of_references = name is _reference
    for key in ours.keys() | (set() if is_of_references else theirs.keys()):
        at = f"{path}.{key}" if path and name is _id_short else key if name is _id_short else f"{path}[{key}]"
        yield from _of_any(ours.get(key), theirs.get(key), at)


def _naming(members: list[Any]) -> Callable[[Document], str] | None:
    """Return what tells the members of a list apart, if something does."""
    if not members or not all(isinstance(one, dict) for one in members):
        return None
    for name in (_id_short, _language, _reference, _asset_id):
        keys = [name(one) for one in members]
        if all(keys) and len(set(keys)) == len(keys):
            return name
    return None


def _id_short(member: Document) -> str:
    return str(member.get("idShort") or "")


def _language(member: Document) -> str:
    return str(member.get("language") or "")


def _reference(member: Document) -> str:
    """Name a reference to a submodel, of which a shell has many in no order."""
    keys = member.get("keys")
    return (
        str(keys[-1].get("value")) if isinstance(keys, list) and keys and keys[-1].get("type") == "Submodel" else ""
    )


def _asset_id(member: Document) -> str:
    """Name a specific asset id, of which a shell has many in no order; BaSyx Python sorts them anew."""
    return str(member.get("name") or "")


def _is_same_file(sent: Any, found: Any) -> bool:
    """Tell whether a server that was given a file keeps it under its name."""
    if not isinstance(sent, str) or not isinstance(found, str) or "://" in sent:
        return False
    return found.endswith(PurePosixPath(sent).name)


def _is_given(value: Any) -> bool:
    return value not in (None, [], {})


def _difference(path: str, sent: Any, found: Any) -> str:
    return f"{path}: expected {_shown(sent)}, found {_shown(found)}"


def _shown(value: Any) -> str:
    text = repr(value) if _is_given(value) else MISSING
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"
