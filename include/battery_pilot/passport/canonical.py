"""Canonical JSON (RFC 8785): the same content always gives the same bytes, so that it can be hashed and signed."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import rfc8785

_MAXIMUM_INTEGER = 2**53 - 1  # of the numbers of ECMAScript, in which RFC 8785 writes


def canonical(content: Any) -> bytes:
    """Return content as canonical JSON.

    What has no floating point numbers and only ASCII keys, as an AAS environment, is left to the encoder of the standard
    library, which then gives the same bytes in a third of the time.

    :param content: what JSON can hold.
    :raises ValueError: something that canonical JSON cannot hold, such as an integer beyond 2**53 or half a surrogate pair.
    """
    if _is_plain(content):
        try:
            text = json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
            return text.encode()
        except UnicodeEncodeError:
            pass  # half a surrogate pair, for which the other way has the message
    return rfc8785.dumps(content)


def canonical_sha256(content: Any) -> str:
    """Return the SHA-256 of content as canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical(content)).hexdigest()


def _is_plain(content: Any) -> bool:
    """Tell whether Python writes content as RFC 8785 does: numbers are in question, and the order of keys."""
    waiting = [content]
    while waiting:
        one = waiting.pop()
        kind = type(one)
        if kind is str or kind is bool or one is None:
            continue
        if kind is dict:
            if not _has_plain_keys(one):
                return False
            waiting.extend(one.values())
        elif kind is list:
            waiting.extend(one)
        elif kind is not int or abs(one) > _MAXIMUM_INTEGER:
            return False
    return True


def _has_plain_keys(content: dict[Any, Any]) -> bool:
    try:
        return "".join(content).isascii()
    except TypeError:  # a key that is no text
        return False
