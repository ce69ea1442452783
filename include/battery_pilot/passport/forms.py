"""Other forms of a passport: value-only JSON, BatteryPass 1.2.1, Catena-X 6.1.

A form is a table of rows, one for each place in its tree, with the element of the passport that the place takes its value
from. :func:`write_form` fills it, and :func:`read_form` goes the way back.

In paths ``[]`` stands for each member of a list, ``[0]`` for one, ``[key=value]`` for the one with this value. The lists
of source and target are matched from left to right. A source that begins with ``=`` is a constant, which is only written
beside something else.
"""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import PassportError
from battery_pilot.passport.conversions import READ, WRITE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from battery_pilot.passport.form_facts import Facts
    from battery_pilot.passport.lexical import Value
    from battery_pilot.passport.parsing import Json

_STEP = re.compile(r"\[([^\]]*)\]|([^.\[\]]+)")

Step = str | int | tuple[str, str] | None
"""A step of a path: a key, an index, a choice by key and value, or ``None`` for each member of a list."""


@dataclass(frozen=True)
class FormRow:
    """One place in the tree of a form.

    :param target: path of the place.
    :param kind: JSON type: object, array, string, number, integer or boolean.
    :param is_required: whether the form's schema demands it where its container is there.
    :param source: path of the passport's element, or a constant; empty where nothing gives it.
    :param conversion: name of the conversion; see :mod:`battery_pilot.passport.conversions`.
    :param note: what deviates from the form's own text, or why there is no source.
    """

    target: str
    kind: str
    is_required: bool
    source: str
    conversion: str
    note: str

    @cached_property
    def steps(self) -> tuple[Step, ...]:
        """Steps of the target."""
        return _steps(self.target)


@dataclass(frozen=True)
class Missing:
    """A place that the form's schema demands and the passport does not fill.

    :param path: the place, with concrete indices.
    :param reason: why it stays empty.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class Form:
    """A passport in another form.

    :param content: the JSON.
    :param missing: what the form's schema demands and is not in it.
    """

    content: Json
    missing: tuple[Missing, ...]


class _List(dict[Any, Any]):
    """A list under construction: by index or by what a member is chosen by."""


@dataclass
class _Way:
    """The way to a place: what its list indices are taken from."""

    indices: list[int] = field(default_factory=list)

    def take(self) -> int:
        return self.indices.pop(0) if self.indices else 0


@cache
def form_rows(name: str) -> tuple[FormRow, ...]:
    """Return the rows of a form's table.

    :param name: name of the table without its ending, such as ``batterypass_1.2.1``.
    """
    text = (files("battery_pilot.passport") / "tables" / f"{name}.csv").read_text(encoding="utf-8")
    return tuple(
        FormRow(row["target"], row["type"], row["required"] == "yes", row["source"], row["conversion"], row["note"])
        for row in csv.DictReader(io.StringIO(text))
    )


def write_form(rows: Sequence[FormRow], facts: Facts) -> Form:
    """Fill a form with a view of a passport.

    :param rows: the form's table.
    :param facts: what the view says.
    :return: the content, and what its schema demands but the view does not hold.
    """
    tree: dict[Any, Any] = {}
    for row in rows:
        if row.source and not row.source.startswith("="):
            for indices, value in _found(row, facts):
                _put(tree, row.steps, _Way(list(indices)), value)
    for row in rows:
        if row.source.startswith("="):
            for container in _containers(tree, row.steps[:-1]):
                container.setdefault(row.steps[-1], row.source[1:])
    content = _plain(tree)
    return Form(content, tuple(_missing(rows, content, facts)))


def read_form(rows: Sequence[FormRow], content: Json) -> tuple[dict[str, Value], list[str]]:
    """Return the passport's values in a form.

    :param rows: the form's table.
    :param content: JSON of any quality.
    :return: path in the passport to value, and the places that were not understood.
    :raises PassportError: a value is not of the type that its place takes.
    """
    values: dict[str, Value] = {}
    unread = {path for path, _ in _leaves(content, "")}
    for row in rows:
        for place, indices, raw in _places(content, row.steps, "", ()):
            if isinstance(raw, dict | list) and row.conversion != "texts":
                continue
            unread -= {place, *_chosen_by(row, place), *(inside for inside, _ in _leaves(raw, place))}
            if row.source and not row.source.startswith("="):
                # The published examples of texts in several languages are objects, where their schemas have lists.
                stated = [raw] if isinstance(raw, dict) else raw
                _check_kind(row, place, stated)
                values.update(_read_values(row, indices, stated, place))
    return values, sorted(unread)


def _chosen_by(row: FormRow, place: str) -> Iterator[str]:
    """Yield the places by which the members of lists on the way were chosen."""
    for number, step in enumerate(row.steps):
        if isinstance(step, tuple):
            lists = sum(not isinstance(one, str) for one in row.steps[: number + 1])
            yield f"{']'.join(place.split(']')[:lists])}].{step[0]}"


def _read_values(row: FormRow, indices: tuple[int, ...], raw: Any, place: str) -> Iterator[tuple[str, Value]]:
    reader = READ.get(row.conversion)
    if reader is None:
        return
    try:
        for suffix, value in reader(raw):
            yield _concrete(_steps(row.source), indices) + suffix, value
    except (ValueError, TypeError, AttributeError) as error:
        raise PassportError(f"{place}: {str(raw)[:60]!r} cannot be read: {error}") from error


def _check_kind(row: FormRow, place: str, raw: Any) -> None:
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,),
        "number": (int, float),
        "integer": (int, float),
        "boolean": (bool,),
        "array": (list,),
    }
    expected = kinds.get(row.kind)
    is_wrong = expected is not None and not isinstance(raw, expected)
    if is_wrong or (isinstance(raw, bool) and row.kind != "boolean"):
        raise PassportError(f"{place}: a {row.kind} was expected, not {str(raw)[:60]!r}")
    if row.kind == "integer" and raw != int(raw):
        raise PassportError(f"{place}: a whole number was expected, not {raw}")


def _steps(path: str) -> tuple[Step, ...]:
    return tuple(_step(match[1], match[2]) for match in _STEP.finditer(path))


def _step(inside: str | None, key: str | None) -> Step:
    if key is not None:
        return key
    if not inside:
        return None
    name, equals, value = inside.partition("=")
    return (name, value) if equals else int(inside)


def _found(row: FormRow, facts: Facts) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Yield list indices and converted value for each element that a row's source names."""
    steps = _steps(row.source.partition("#")[0])
    convert = WRITE[row.conversion]
    content_type = row.source.endswith("#contentType")
    for path, indices in facts.paths(tuple(step if isinstance(step, str) else None for step in steps)):
        free = _free_indices(steps, indices, facts, path)
        if free is not None:
            value = facts.content_types.get(path) if content_type else convert(path, facts)
            if value is not None:
                yield free, value


def _free_indices(
    steps: tuple[Step, ...], indices: tuple[int, ...], facts: Facts, path: str
) -> tuple[int, ...] | None:
    """Return the indices at ``[]``, or ``None`` if one elsewhere is not the one asked for."""
    free: list[int] = []
    waiting = list(indices)
    place = ""
    for step in steps:
        if isinstance(step, str):
            place += ("." if place else "") + step
            continue
        index = waiting.pop(0)
        place += f"[{index}]"
        if step is None:
            free.append(index)
        elif isinstance(step, int):
            if step != index:
                return None
        elif str(facts.values.get(f"{place}.{step[0]}")) != step[1]:
            return None
    return tuple(free)


def _put(tree: dict[Any, Any], steps: tuple[Step, ...], way: _Way, value: Any) -> None:
    node = tree
    for step, following in zip(steps, (*steps[1:], ""), strict=True):
        key = way.take() if step is None else step
        if following == "":
            node[key] = value
            return
        empty = {} if isinstance(following, str) else _List()
        node = node.setdefault(key, empty)
        if isinstance(key, tuple):
            node.setdefault(*key)


def _containers(node: Any, steps: tuple[Step, ...]) -> Iterator[dict[Any, Any]]:
    """Yield the objects at a path that exist."""
    if not steps:
        if isinstance(node, dict):
            yield node
        return
    step, *rest = steps
    if not isinstance(node, dict):
        return
    if step is None:
        for member in node.values():
            yield from _containers(member, tuple(rest))
    elif step in node:
        yield from _containers(node[step], tuple(rest))


def _plain(node: Any) -> Any:
    if isinstance(node, _List):
        return [_plain(node[key]) for key in sorted(node, key=lambda key: (not isinstance(key, int), key))]
    if isinstance(node, dict):
        return {key: _plain(value) for key, value in node.items()}
    return node


def _missing(rows: Sequence[FormRow], content: Json, facts: Facts) -> Iterator[Missing]:
    for row in (row for row in rows if row.is_required):
        for place, _, container in _places(content, row.steps[:-1], "", ()):
            if isinstance(container, dict) and row.steps[-1] not in container:
                yield Missing(f"{place}.{row.steps[-1]}".lstrip("."), _reason(row, facts))


def _reason(row: FormRow, facts: Facts) -> str:
    if not row.source or row.source.startswith("="):
        return row.note or "the passport has nothing to say here"
    steps = tuple(step if isinstance(step, str) else None for step in _steps(row.source.partition("#")[0]))
    if not facts.paths(steps):
        return f"the passport has no {row.source}"
    return row.note or f"what {row.source} says cannot be written in this form"


def _places(
    node: Any, steps: tuple[Step, ...], place: str, indices: tuple[int, ...]
) -> Iterator[tuple[str, tuple[int, ...], Any]]:
    """Yield concrete path, indices at ``[]`` and content of each place at a path."""
    if not steps:
        yield place, indices, node
        return
    step, rest = steps[0], steps[1:]
    if isinstance(step, str):
        if isinstance(node, dict) and step in node:
            yield from _places(node[step], rest, f"{place}.{step}".lstrip("."), indices)
        return
    for index, member in enumerate(node if isinstance(node, list) else ()):
        if step is None:
            yield from _places(member, rest, f"{place}[{index}]", (*indices, index))
        elif index == step or (
            isinstance(step, tuple) and isinstance(member, dict) and member.get(step[0]) == step[1]
        ):
            yield from _places(member, rest, f"{place}[{index}]", indices)


def _concrete(steps: tuple[Step, ...], indices: tuple[int, ...]) -> str:
    way, place = _Way(list(indices)), ""
    for step in steps:
        if isinstance(step, str):
            place += ("." if place else "") + step
        else:
            place += f"[{step if isinstance(step, int) else way.take()}]"
    return place


def _leaves(node: Any, place: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{place}.{key}".lstrip("."))
    elif isinstance(node, list):
        for index, member in enumerate(node):
            yield from _leaves(member, f"{place}[{index}]")
    else:
        yield place, node
