"""Filling the rows of a mapping table with the values that their sources stand for."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import PassportError
from battery_pilot.passport.lexical import FLOAT_TYPES, INTEGER_TYPES, Value, utc_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.passport.mapping import Part, Row
    from battery_pilot.passport.model import BatteryModel, Tier

_NOTHING = "no data"
_LANGUAGE_TEXT_MAXIMUM = 1023  # characters of a language string in the AAS metamodel
_UNWRITABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff\ufffe\uffff]")  # what XML, and so the AAS, cannot hold


@dataclass(frozen=True)
class Element:
    """A filled row.

    :param row: the row of the mapping table.
    :param path: the row's path with concrete list indices, counted from 0.
    :param value: the value; ``None`` for containers.
    """

    row: Row
    path: str
    value: Value | None = None


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
    :param reasons: why sources gave nothing; the first one explains a container that stays empty.
    """

    elements: list[Element] = field(default_factory=list)
    absent: list[Absent] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def fill(part: Part, sources: Sources) -> Filled:
    """Fill one part.

    :param part: the part with its rows.
    :param sources: what the rows' sources refer to.
    :raises PassportError: a text of the sources cannot be written; the message names the element.
    """
    filled = Filled()
    _fill(part, part.submodel, part.submodel.path, sources, None, filled)
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


def _fill(part: Part, row: Row, path: str, sources: Sources, each: Any, filled: Filled) -> None:
    if row.is_container:
        _fill_container(part, row, path, sources, each, filled)
        return
    raw = _resolve(row.source, sources, each)
    value, reason = (None, _reason(row, sources)) if raw is None else _convert(row, path, raw)
    if value is not None:
        filled.elements.append(Element(row, path, value))
        return
    if row.source:
        filled.reasons.append(reason)
    if row.is_mandatory(sources.category):
        filled.absent.append(Absent(path, reason, row.tier))


def _fill_container(part: Part, row: Row, path: str, sources: Sources, each: Any, filled: Filled) -> None:
    inside = Filled()
    if row.kind == "SML":
        _fill_members(part, row, path, sources, inside)
    else:
        for child in part.children[row.path]:
            _fill(part, child, f"{path}.{child.id_short}", sources, each, inside)
    filled.reasons += inside.reasons
    if inside.elements:
        filled.elements += [Element(row, path), *inside.elements]
        filled.absent += inside.absent
    elif row.is_mandatory(sources.category):
        reason = inside.reasons[0] if inside.reasons else row.note or _NOTHING
        filled.absent.append(Absent(path, reason, row.tier))


def _fill_members(part: Part, row: Row, path: str, sources: Sources, inside: Filled) -> None:
    (member,) = part.children[row.path]
    given = _resolve(member.source, sources, None)
    if not given and member.source:
        inside.reasons.append(_reason(member, sources))
    for index, each in enumerate(given or ()):
        place = f"{path}[{index}]"
        if member.is_container:
            _fill(part, member, place, sources, each, inside)
        else:
            value, _ = _convert(member, place, each)
            inside.elements.append(Element(member, place, value))


def _convert(row: Row, path: str, raw: Any) -> tuple[Value | None, str]:
    """Return the value for what a source gave, or ``None`` and what is wrong with it."""
    if row.conversion == "month_period":
        return f"P{raw}M", ""
    if row.value_type in FLOAT_TYPES | INTEGER_TYPES:
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
    if row.kind == "MLP" and len(text) > _LANGUAGE_TEXT_MAXIMUM:
        raise PassportError(f"{path}: {len(text)} characters, the AAS allows {_LANGUAGE_TEXT_MAXIMUM}; shorten it")
    return (text, "") if text.strip() else (None, "the text is blank")


def _number(row: Row, raw: float) -> float | int:
    if row.value_type in FLOAT_TYPES:
        return float(raw)
    return math.floor(raw) if row.conversion == "floor" else round(raw)


def _resolve(source: str, sources: Sources, each: Any) -> Any:
    """Return what a source stands for, or ``None``."""
    head, _, tail = source.partition(".")
    if not head:
        return None
    if head == "literal":
        return tail
    if head == "derived":
        return _DERIVED[tail](sources.roots)
    if head == "each":
        return getattr(each, tail) if tail else each
    if head == "condition":
        metric, _, attribute = tail.partition(".")
        measured = sources.roots["condition"].values.get(metric)
        return getattr(measured, attribute or "value") if measured else None
    root = sources.roots.get(head)
    return getattr(root, tail) if tail else root


def _reason(row: Row, sources: Sources) -> str:
    head, _, tail = row.source.partition(".")
    if head == "condition":
        metric = tail.partition(".")[0]
        return str(sources.roots["condition"].absent.get(metric, f"no measurement gives {metric}"))
    if head in {"model", "item"}:
        return f"the master data have no {tail} of this {'model' if head == 'model' else 'battery'}"
    return row.note or _NOTHING


@dataclass(frozen=True)
class _PowerAt:
    state_of_charge_percent: int
    power_watt: float


def _original_power_capability(roots: Mapping[str, Any]) -> list[_PowerAt]:
    model: BatteryModel = roots["model"]
    known = ((80, model.original_power_watt_at_80_percent_soc), (20, model.original_power_watt_at_20_percent_soc))
    return [_PowerAt(soc, power) for soc, power in known if power is not None]


def _temperature_as_of(roots: Mapping[str, Any]) -> datetime | None:
    return max(
        (
            measured.as_of
            for metric, measured in roots["condition"].values.items()
            if metric == "mean_temperature_celsius" or metric.endswith("_idle_range_minute")
        ),
        default=None,
    )


_DERIVED = {
    "as_of": lambda roots: roots["condition"].as_of,
    "economic_operator_id": lambda roots: roots["item"].operator_id or roots["model"].manufacturer_id,
    "original_power_capability": _original_power_capability,
    "temperature_as_of": _temperature_as_of,
}
