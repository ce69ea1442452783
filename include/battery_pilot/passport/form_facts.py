"""What a view of a passport says, in the shape from which other forms are written."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from battery_pilot.passport.reading import walk
from battery_pilot.passport.submodels import LANGUAGE

if TYPE_CHECKING:
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.lexical import Value
    from battery_pilot.passport.reading import ReadPassport

Text = tuple[str, str]
"""Language and text."""

_INDEX = re.compile(r"\[(\d+)\]")
_SPLIT = re.compile(r"\[\d+\]|[^.\[\]]+")


@dataclass(frozen=True)
class Facts:
    """What a view of a passport says.

    :param values: path to value.
    :param texts: path to the texts of an element in several languages.
    :param content_types: path to the content type of a file.
    """

    values: dict[str, Value]
    texts: dict[str, tuple[Text, ...]]
    content_types: dict[str, str]

    @cached_property
    def _by_steps(self) -> dict[tuple[str | None, ...], list[tuple[str, tuple[int, ...]]]]:
        found: dict[tuple[str | None, ...], list[tuple[str, tuple[int, ...]]]] = defaultdict(list)
        for path in self.values:
            if "@" not in path:
                steps = tuple(None if step.startswith("[") else step for step in _SPLIT.findall(path))
                found[steps].append((path, tuple(int(index) for index in _INDEX.findall(path))))
        return found

    def paths(self, steps: tuple[str | None, ...]) -> list[tuple[str, tuple[int, ...]]]:
        """Return path and list indices of all values at a path whose indices are ``None``."""
        return self._by_steps.get(steps, [])

    def document(self, identifier: str) -> str | None:
        """Return the path of the document with an identifier in the part of documents."""
        return self._documents.get(identifier)

    @cached_property
    def _documents(self) -> dict[str, str]:
        steps = ("HandoverDocumentation", "Documents", None, "DocumentIds", None, "DocumentIdentifier")
        return {str(self.values[path]): path.partition(".DocumentIds")[0] for path, _ in self.paths(steps)}


def facts_of_view(view: Passport) -> Facts:
    """Return what a view of a passport says.

    :param view: ``passport.view(tier)`` of the reader's tier.
    """
    facts = Facts({}, {}, {})
    for element in view.elements:
        if element.value is None:
            continue
        facts.values[element.path] = element.value
        if element.row.kind == "MLP":
            facts.texts[element.path] = element.texts or ((LANGUAGE, str(element.value)),)
        if element.file is not None:
            facts.content_types[element.path] = element.file.content_type
    return facts


def facts_of_file(passport: ReadPassport) -> Facts:
    """Return what a passport that was read says; a file is the view that it was written as."""
    facts = Facts(passport.values, {}, {})
    for path, node in (pair for submodel in passport.submodels for pair in walk(submodel)):
        if node["modelType"] == "MultiLanguageProperty":
            facts.texts[path] = tuple((text["language"], text["text"]) for text in node.get("value", []))
        elif node["modelType"] == "File" and node.get("contentType"):
            facts.content_types[path] = node["contentType"]
    return facts
