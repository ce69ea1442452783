"""Strict parsing of JSON that a stranger wrote."""

from __future__ import annotations

import codecs
import json
import re
from typing import Any

from battery_pilot.errors import PassportError

Json = dict[str, Any]

MAXIMUM_BYTES = 16 * 1024 * 1024
"""Largest JSON that is read; a passport with everything in it has about 150 kB."""

MAXIMUM_DEPTH = 64  # levels of JSON; the deepest published template has about 20

MAXIMUM_NODES = 500_000
"""Most values, lists and objects in one JSON; a passport with everything in it has about 10,000."""

_BACKSLASH_QUOTE = '\\"'
_KEY = re.compile(r'"\s*:')
_MAXIMUM_DIGITS = 400  # more than any double has before and behind its point together with zeros
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def parse_json(data: bytes, *, maximum_bytes: int = MAXIMUM_BYTES) -> Json:
    """Parse JSON from a stranger.

    :param data: one JSON object in UTF-8.
    :param maximum_bytes: refuse more than this.
    :raises PassportError: it is too large, too deep or has too many parts, is no JSON object, or has a key twice or a
        number that JSON does not know.
    """
    if len(data) > maximum_bytes:
        raise PassportError(f"passport: {len(data)} bytes, at most {maximum_bytes} are read")
    try:
        text = data.decode("utf-8")
        content = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if not isinstance(content, dict):
            raise PassportError(f"passport: a JSON object was expected, not {type(content).__name__}")
        if _count_keys(content) != len(_KEY.findall(text)) or _BACKSLASH_QUOTE in text:
            json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise PassportError(f"passport: no JSON that can be read: {error}") from error
    return content


def in_utf8(data: bytes) -> tuple[bytes, str | None]:
    """Return text as UTF-8 without byte order mark, and what was not so; JSON is exchanged as plain UTF-8 (RFC 8259).

    :param data: text in UTF-8, or in UTF-16 with a byte order mark.
    :raises PassportError: the bytes are not in the encoding that their mark names.
    """
    mark = next((mark for mark in _MARKS if data.startswith(mark)), None)
    if mark is None:
        return data, None
    try:
        text = data.decode(_MARKS[mark])
    except UnicodeDecodeError as error:
        raise PassportError(
            f"passport: byte {error.start} is not in the encoding that the file begins with"
        ) from error
    name = "UTF-16" if _MARKS[mark] == "utf-16" else "UTF-8 with a byte order mark"
    return text.encode("utf-8", "surrogatepass"), f"the file is in {name}; JSON is plain UTF-8 (RFC 8259)"


def objects_of(content: Any) -> list[Json]:
    """Return the objects in a list; none where something else stands in the list's place."""
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Json:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return content


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _finite(text: str) -> float:
    number = float(text) if len(text) <= _MAXIMUM_DIGITS else float("inf")
    if number in {float("inf"), float("-inf")}:
        raise ValueError(f"the number {text[:20]}… is too great")
    return number


def _count_keys(content: Json) -> int:
    """Return the number of keys in all objects of a JSON, and refuse what is too deep or has too many parts.

    As many as quotation marks before a colon in its text means that no key stood twice, because a second one is lost.
    (One inside a text follows a backslash; a text that begins with a colon only makes the text seem to have more.) To ask
    this is four times quicker than to look at every object, which is left for what is in doubt.
    """
    level: list[Any] = [content]
    count = keys = 0
    for _ in range(MAXIMUM_DEPTH):
        count += sum(map(len, level))
        keys += sum(len(node) for node in level if isinstance(node, dict))
        if count > MAXIMUM_NODES:
            raise PassportError(f"passport: more than {MAXIMUM_NODES} values, lists and objects")
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
        if not level:
            return keys
    raise PassportError(f"passport: nested deeper than {MAXIMUM_DEPTH} levels")
