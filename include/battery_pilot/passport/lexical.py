"""The text forms that the AAS takes over from XML Schema, and the way back."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from decimal import Decimal
from functools import lru_cache

from battery_pilot.errors import PassportError

Value = str | float | int | bool
"""What a property of a passport can hold. A date or time is its text."""

FLOAT_TYPES = frozenset({"xs:float", "xs:double", "xs:decimal"})
INTEGER_TYPES = frozenset(
    {
        *("xs:integer", "xs:long", "xs:int", "xs:short", "xs:byte"),
        *("xs:unsignedLong", "xs:unsignedInt", "xs:unsignedShort", "xs:unsignedByte"),
        *("xs:nonNegativeInteger", "xs:positiveInteger", "xs:nonPositiveInteger", "xs:negativeInteger"),
    }
)


@lru_cache(maxsize=1024)
def utc_text(moment: datetime) -> str:
    """Write a point in time as UTC with a trailing Z; the same instant gives the same text.

    :param moment: a time with a zone.
    """
    if moment.tzinfo is None:
        raise PassportError(f"time {moment.isoformat()} has no zone; give it one, for example UTC")
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def to_xsd(value: Value, value_type: str) -> str:
    """Write a value in the lexical form of an XSD type.

    :param value: the value; floats are finite.
    :param value_type: type with prefix, such as ``xs:float``.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if value_type == "xs:decimal":
        return format(Decimal(repr(value)), "f")  # xs:decimal knows no exponent
    return value if isinstance(value, str) else repr(value)


def from_xsd(text: str, value_type: str, path: str) -> Value:
    """Read a value from its lexical form.

    :param text: the text.
    :param value_type: type with prefix, such as ``xs:float``; unknown types stay text.
    :param path: where the text stands, for the message.
    :raises PassportError: the text is no value of the type, or is not finite.
    """
    try:
        if value_type in FLOAT_TYPES:
            number = float(text)
            if not math.isfinite(number):
                raise PassportError(f"{path}: {text} is no finite number; leave an unknown value out")
            return number
        if value_type in INTEGER_TYPES:
            return int(text)
    except ValueError as error:
        raise PassportError(f"{path}: {text[:40]!r} is no {value_type}") from error
    if value_type == "xs:boolean":
        return text.strip() in {"true", "1"}
    return text
