"""Queries of the Orion sandbox: filters, the simple query language, pages and representations."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from battery_pilot.sandbox.orion_rules import OrionError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from battery_pilot.sandbox.store import Document

DEFAULT_LIMIT = 20
MAX_LIMIT = 1000
SHOWN_DECIMALS = 9
_STATEMENT = re.compile(r"(?P<name>[^<>=!~:]+?)\s*(?P<operator>==|!=|>=|<=|~=|>|<|:)\s*(?P<value>.+)\Z")
_MISSING = object()


def page_bounds(parameters: Mapping[str, str]) -> tuple[int, int]:
    """Return offset and limit of a list request (defaults 0 and 20).

    :raises OrionError: 400 for a limit of 0 or above 1000, or what is not a number.
    """
    bounds = []
    for name, default in (("offset", "0"), ("limit", str(DEFAULT_LIMIT))):
        text = parameters.get(name, default)
        if not text.isdecimal():
            bad_request(f"Bad pagination {name}: /{text}/ [must be a decimal number]")
        bounds.append(int(text))
    offset, limit = bounds
    if limit == 0:
        bad_request("Bad pagination limit: /0/ [a value of ZERO is unacceptable]")
    if limit > MAX_LIMIT:
        bad_request(f"Bad pagination limit: /{limit}/ [max: {MAX_LIMIT}]")
    return offset, limit


def entity_filter(parameters: Mapping[str, str]) -> Callable[[Document], bool]:
    """Return the test that ``id``, ``idPattern``, ``type`` and ``q`` of a list request describe.

    :raises OrionError: 400 for contradicting or malformed parameters.
    """
    if "id" in parameters and "idPattern" in parameters:
        bad_request("id and idPattern used at same time, incompatible in query")
    tests: list[Callable[[Document], bool]] = []
    if "id" in parameters:
        ids = set(parameters["id"].split(","))
        tests.append(lambda entity: entity["id"] in ids)
    if "type" in parameters:
        types = set(parameters["type"].split(","))
        tests.append(lambda entity: entity["type"] in types)
    if "idPattern" in parameters:
        pattern = compiled(parameters["idPattern"])
        tests.append(lambda entity: pattern.search(entity["id"]) is not None)
    tests.extend(_statement_test(statement) for statement in parameters.get("q", "").split(";") if statement)
    return lambda entity: all(test(entity) for test in tests)


def compiled(pattern: str) -> re.Pattern[str]:
    """Compile a client's regular expression.

    :raises OrionError: 400 when it is none.
    """
    try:
        return re.compile(pattern)
    except re.error as exception:
        raise OrionError(HTTPStatus.BAD_REQUEST, "BadRequest", f"invalid regex: {pattern}") from exception


def _statement_test(statement: str) -> Callable[[Document], bool]:
    match = _STATEMENT.match(statement)
    if match is None:
        name = statement.removeprefix("!")
        return lambda entity: (_lookup(entity, name) is _MISSING) == statement.startswith("!")
    name, operator, text = match["name"], match["operator"], match["value"]
    compare = _comparison(operator, text)

    def test(entity: Document) -> bool:
        value = _lookup(entity, name)
        return value is not _MISSING and compare(value)

    return test


def _comparison(operator: str, text: str) -> Callable[[Any], bool]:
    if operator == "~=":
        pattern = compiled(text)
        return lambda value: isinstance(value, str) and pattern.search(value) is not None
    if operator in ("==", ":", "!="):
        wanted = operator != "!="
        return lambda value: _equals(value, text) == wanted
    limit = _literal(text)
    orders: dict[str, Callable[[Any], bool]] = {
        ">": lambda value: value > limit,
        "<": lambda value: value < limit,
        ">=": lambda value: value >= limit,
        "<=": lambda value: value <= limit,
    }
    return lambda value: _comparable(value, limit) and orders[operator](value)


def _equals(value: Any, text: str) -> bool:
    if ".." in text:
        low, high = (_literal(part) for part in text.split("..", 1))
        return bool(_comparable(value, low) and _comparable(value, high) and low <= value <= high)
    return any(type_matches(value, one) and value == one for one in map(_literal, text.split(",")))


def type_matches(value: Any, other: Any) -> bool:
    """Tell whether two JSON scalars are of one kind; ``True`` is not the number 1."""
    return isinstance(value, bool) == isinstance(other, bool)


def _comparable(value: Any, other: Any) -> bool:
    numbers = (int, float)
    both_numbers = isinstance(value, numbers) and isinstance(other, numbers) and type_matches(value, other)
    return both_numbers or (isinstance(value, str) and isinstance(other, str))


def _literal(text: str) -> Any:
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1]
    constants = {"true": True, "false": False, "null": None}
    if text in constants:
        return constants[text]
    try:
        return float(text)
    except ValueError:
        return text


def _lookup(entity: Document, name: str) -> Any:
    """Return an attribute's value, or a part of a structured one (``attribute.part``)."""
    attribute, *parts = name.split(".")
    if attribute not in entity or attribute in ("id", "type"):
        return _MISSING
    value = entity[attribute]["value"]
    for part in parts:
        if not isinstance(value, dict) or part not in value:
            return _MISSING
        value = value[part]
    return value


def represent(
    entity: Document, *, options: set[str], attributes: str | None = None, metadata: str | None = None
) -> Any:
    """Return an entity as a client asked for it.

    :param entity: in normalized form.
    :param options: ``keyValues`` or ``values``; else normalized.
    :param attributes: comma-separated names to keep; ``None`` or empty keeps all.
    :param metadata: comma-separated names of metadata, of which ``dateModified`` is known besides those that were
        sent; ``*`` stands for all of them.
    """
    names = [name for name in entity if name not in ("id", "type")]
    if attributes:
        names = [name for name in attributes.split(",") if name in names]
    if "values" in options:
        return [_shown(entity[name]["value"]) for name in names]
    identity = {"id": entity["id"], "type": entity["type"]}
    if "keyValues" in options:
        return {**identity, **{name: _shown(entity[name]["value"]) for name in names}}
    wanted = set(metadata.split(",")) if metadata else {"*"}
    return {**identity, **{name: _normalized(entity[name], wanted) for name in names}}


def _normalized(attribute: Document, wanted: set[str]) -> Document:
    kept = {
        name: {**one, "value": _shown(one["value"])}
        for name, one in attribute["metadata"].items()
        if "*" in wanted or name in wanted
    }
    if "dateModified" in wanted:
        kept["dateModified"] = {"type": "DateTime", "value": attribute["dateModified"]}
    return {"type": attribute["type"], "value": _shown(attribute["value"]), "metadata": kept}


def _shown(value: Any) -> Any:
    """Return a value as Orion writes it: a number has nine decimals."""
    if isinstance(value, float):
        rounded = round(value, SHOWN_DECIMALS)
        return int(rounded) if rounded.is_integer() else rounded
    if isinstance(value, list):
        return [_shown(one) for one in value]
    return {name: _shown(one) for name, one in value.items()} if isinstance(value, dict) else value
