"""Filling the rows of a mapping table with the values that their sources stand for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace
from datetime import date
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from battery_pilot.errors import PassportError
from battery_pilot.passport.derived import DERIVED
from battery_pilot.passport.documents import Attachment, Text, Tiered
from battery_pilot.passport.lexical import FLOAT_TYPES, INTEGER_TYPES, Value, utc_text
from battery_pilot.passport.mapping import RANKS, is_visible
from battery_pilot.passport.model import Tier
from battery_pilot.passport.submodels import LANGUAGE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.passport.mapping import Part, Row

_NOTHING = "no data"
_MOST_OPEN = Tier.PUBLIC
_NUMBERS = FLOAT_TYPES | INTEGER_TYPES
_LANGUAGE_TEXT_MAXIMUM = 1023  # characters of a language string in the AAS metamodel
_LOCATION_MAXIMUM = 2000  # characters of a path in the AAS metamodel
_TABLES = {"tiered_materials": "materials", "suppliers": "spare_parts"}
_UNWRITABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # what XML, and so the AAS, cannot hold


class Element(NamedTuple):
    """A filled row.

    :param row: the row of the mapping table.
    :param path: the row's path with concrete list indices, counted from 0; the same in the view of every tier.
    :param value: the value; of a text in several languages the main one, of a file its location; ``None`` for containers.
    :param tier: who may see it: the row's tier or a more closed one.
    :param texts: language and text of a multi-language property, the main one first.
    :param file: what is known of a file.
    """

    row: Row
    path: str
    value: Value | None
    tier: Tier
    texts: tuple[Text, ...] = ()
    file: Attachment | None = None


@dataclass(frozen=True)
class Absent:
    """A mandatory element that the data do not support.

    :param path: where it is missing.
    :param reason: why.
    :param tier: tier of the element, so that a view does not tell of what it must not show.
    """

    path: str
    reason: str
    tier: Tier


@dataclass(frozen=True)
class Sources:
    """What the rows' sources refer to.

    :param category: category of the battery, which decides what is mandatory.
    :param roots: first step of a source (``model``, ``item``, ``condition``, …) to what it stands for.
    """

    category: str
    roots: Mapping[str, Any]


@dataclass
class Filled:
    """The outcome of filling.

    :param elements: the elements that have a value or hold one, every container before its content.
    :param absent: mandatory elements without value inside containers that exist.
    :param reasons: why sources gave nothing, or the rows for which they did not; the first one explains a container that
        stays empty.
    """

    elements: list[Element] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    reasons: list[str | Row] = field(default_factory=list)


@dataclass(frozen=True)
class _Scope:
    """Where a row is filled.

    :param each: the list member that the row is inside of.
    :param tier: the tier below which nothing here is open.
    """

    each: Any
    tier: Tier


def fill(part: Part, sources: Sources) -> Filled:
    """Fill one part.

    :param part: the part with its rows.
    :param sources: what the rows' sources refer to.
    :raises PassportError: a text of the sources cannot be written; the message names the element.
    """
    filled = Filled()
    _fill(part, part.submodel, part.submodel.path, sources, _Scope(None, Tier.PUBLIC), filled)
    return filled


def checked_text(text: str, place: str) -> str:
    """Return the text if an AAS can hold it.

    :param text: any text.
    :param place: what it is, for the message.
    :raises PassportError: it has control characters or broken Unicode.
    """
    if _UNWRITABLE.search(text):
        raise PassportError(f"{place}: {text!r} has a control character; correct it in the master data")
    return text


def _fill(part: Part, row: Row, path: str, sources: Sources, scope: _Scope, filled: Filled) -> None:
    if row.is_container:
        _fill_container(part, row, path, sources, scope, filled)
        return
    raw, scope = _opened(_resolve(row, sources, scope.each), scope)
    reason: str | Row = row
    if raw is not None:
        element, reason = _element(row, path, raw, scope.tier)
        if element is not None:
            filled.elements.append(element)
            return
    if row.source:
        filled.reasons.append(reason)
    if row.is_mandatory(sources.category):
        filled.absent.append(Absent(path, _told(reason, sources), more_closed(row.tier, scope.tier)))


def _fill_container(part: Part, row: Row, path: str, sources: Sources, scope: _Scope, filled: Filled) -> None:
    tier = more_closed(row.tier, scope.tier)
    elements, absent, reasons = len(filled.elements), len(filled.absent), len(filled.reasons)
    filled.elements.append(Element(row, path, None, tier))
    if row.kind == "SML":
        _fill_members(part, row, path, sources, scope, filled)
    else:
        for child in part.children[row.path]:
            _fill(part, child, f"{path}.{child.id_short}", sources, scope, filled)
    # What every battery has the same says nothing of one: a submodel with nothing else is empty.
    if (
        any(_says_something(one.row) for one in filled.elements)
        if row.kind == "Submodel"
        else len(filled.elements) > elements + 1
    ):
        return
    del filled.elements[elements:], filled.absent[absent:]
    if row.is_mandatory(sources.category):
        first = filled.reasons[reasons] if len(filled.reasons) > reasons else row.note or _NOTHING
        filled.absent.append(Absent(path, _told(first, sources), tier))


def _says_something(row: Row) -> bool:
    return not row.is_container and row.source_steps[0] != "literal"


def _fill_members(part: Part, row: Row, path: str, sources: Sources, scope: _Scope, inside: Filled) -> None:
    (member,) = part.children[row.path]
    given = _resolve(member, sources, scope.each)
    if not given:
        inside.reasons += [member] if member.source else []
        return
    members: list[Filled] = []
    for each in given:
        raw, closer = _opened(each, scope)
        one = Filled()
        if member.is_container:
            _fill(part, member, f"{path}[{len(members)}]", sources, replace(closer, each=raw), one)
        else:
            element, _ = _element(member, f"{path}[{len(members)}]", raw, closer.tier)
            one.elements += [element] if element else []
        if one.elements:
            members.append(one)
    for index, number in enumerate(sorted(range(len(members)), key=lambda number: _openness(members[number]))):
        _add_member(members[number], f"{path}[{number}]", f"{path}[{index}]", inside)


def _openness(member: Filled) -> int:
    """Return the number of the most open tier that sees anything of a list member.

    Open members come first, so that the view of a tier is the beginning of every list: paths do not shift, and nothing
    tells that there is more.
    """
    return min(RANKS[one.tier] for one in member.elements if not one.row.is_container)


def _add_member(member: Filled, former: str, path: str, inside: Filled) -> None:
    inside.reasons += member.reasons
    if former == path:
        inside.elements += member.elements
        inside.absent += member.absent
        return
    cut = len(former)
    inside.elements += [one._replace(path=path + one.path[cut:]) for one in member.elements]
    inside.absent += [replace(one, path=path + one.path[cut:]) for one in member.absent]


def _opened(raw: Any, scope: _Scope) -> tuple[Any, _Scope]:
    """Take a member of a list out of its tier."""
    if isinstance(raw, Tiered):
        return raw.value, _Scope(scope.each, more_closed(raw.tier, scope.tier))
    return raw, scope


def more_closed(one: Tier, other: Tier) -> Tier:
    """Return the tier of two that fewer readers have."""
    return one if other is _MOST_OPEN or one is other or is_visible(other, one) else other


def _element(row: Row, path: str, raw: Any, floor: Tier) -> tuple[Element | None, str]:
    """Return the element for what a source gave, or ``None`` and what is wrong with it."""
    tier = more_closed(row.tier, floor)
    if row.kind == "MLP":
        texts = _texts(raw, path)
        return (Element(row, path, texts[0].text, tier, texts), "") if texts else (None, "the text is blank")
    if row.kind == "File":
        location = checked_text(raw.location, path)
        if len(location) > _LOCATION_MAXIMUM:
            raise PassportError(
                f"{path}: an address of {len(location)} characters, the AAS allows {_LOCATION_MAXIMUM}"
            )
        return Element(row, path, location, tier, file=raw), ""
    value, reason = _convert(row, path, raw)
    return (None, reason) if value is None else (Element(row, path, value, tier), "")


def _texts(raw: str | tuple[Text, ...], path: str) -> tuple[Text, ...]:
    """Return the texts that are not blank, the main one first: English, or else the first."""
    given = (Text(LANGUAGE, raw),) if isinstance(raw, str) else raw
    texts = [Text(language, checked_text(text, path)) for language, text in given if text.strip()]
    for _, text in texts:
        if len(text) > _LANGUAGE_TEXT_MAXIMUM:
            raise PassportError(
                f"{path}: {len(text)} characters, the AAS allows {_LANGUAGE_TEXT_MAXIMUM}; shorten it"
            )
    return tuple(sorted(texts, key=lambda one: one.language != LANGUAGE))


def _convert(row: Row, path: str, raw: Any) -> tuple[Value | None, str]:
    """Return the value for what a source gave, or ``None`` and what is wrong with it."""
    if row.conversion == "month_period":
        return f"P{raw}M", ""
    if row.value_type == "xs:boolean":
        return bool(raw), ""
    if row.value_type in _NUMBERS:
        fault = row.fault(raw)
        return (None, fault) if fault else (_number(row, raw), "")
    if row.value_type == "xs:dateTime":
        return utc_text(raw), ""
    text = checked_text(raw, path)
    if row.value_type == "xs:date":
        try:
            date.fromisoformat(text)
        except ValueError as error:
            raise PassportError(f"{path}: {text!r} is no date; correct it in the master data") from error
    return (text, "") if text.strip() else (None, "the text is blank")


def _number(row: Row, raw: float) -> float | int:
    if row.value_type in FLOAT_TYPES:
        return float(raw)
    return math.floor(raw) if row.conversion == "floor" else round(raw)


def _resolve(row: Row, sources: Sources, each: Any) -> Any:
    """Return what a row's source stands for, or ``None``."""
    head, tail = row.source_steps
    if not head:
        return None
    if head == "literal":
        return tail
    if head == "derived":
        return DERIVED[tail](sources.roots)
    if head == "condition":
        metric, _, attribute = tail.partition(".")
        measured = sources.roots["condition"].values.get(metric)
        return getattr(measured, attribute or "value") if measured else None
    root = each if head == "each" else sources.roots.get(head)
    if root is None or not tail:
        return root
    if head in {"documents", "model_documents"}:
        return root.get(tail)
    if head == "files":
        return root.files(tail)
    return attrgetter(tail)(root) if "." in tail else getattr(root, tail)


def _told(reason: str | Row, sources: Sources) -> str:
    """Return a reason as a sentence; of a row without a value it is looked for only here, because most are not told."""
    if isinstance(reason, str):
        return reason
    row = reason
    head, tail = row.source_steps
    if head == "condition":
        metric = tail.partition(".")[0]
        return str(sources.roots["condition"].absent.get(metric, f"no measurement gives {metric}"))
    if head in {"model", "item"}:
        return f"the master data have no {tail} of this {'model' if head == 'model' else 'battery'}"
    if head == "facts":
        return f"the table {_TABLES.get(tail, tail)} has no row of this model"
    if head in {"documents", "model_documents"}:
        return f"there is no document of purpose {tail}"
    return row.note or _NOTHING
