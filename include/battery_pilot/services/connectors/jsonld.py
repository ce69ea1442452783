"""Reading compacted JSON-LD without a JSON-LD processor.

The same document arrives in several spellings: a term with or without a prefix or as a full IRI, one thing as an
object and many as an array, a value as it is or wrapped as ``@value`` or ``@id``. These functions read all of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def listed(value: Any) -> list[Any]:
    """Return a list, whether it came as one, as a single item or not at all."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def local_name(term: str) -> str:
    """Return what follows the prefix or namespace: ``name`` of ``edc:name`` and of ``https://…/ns/name``."""
    return re.split(r"[:/#]", term)[-1]


def term(document: Mapping[str, Any], name: str) -> Any:
    """Return the value of a term, however its key is spelt; ``None`` when there is none.

    :param document: a JSON-LD node.
    :param name: the term without prefix.
    """
    if name in document:
        return document[name]
    return next((value for key, value in document.items() if local_name(key) == name), None)


def text(value: Any) -> str | None:
    """Return a scalar as text, unwrapping ``@value``, ``@id`` and lists of one; ``None`` for anything else."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        value = value.get("@value", value.get("@id"))
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, str | int | float) else None


def text_of(document: Mapping[str, Any], name: str) -> str | None:
    """Return the value of a term as text."""
    return text(term(document, name))
