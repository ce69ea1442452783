"""NGSI-v2 as Orion takes it: names, values and metadata that are legal whatever a passport holds, and the way back.

Orion refuses ``< > " ' = ; ( )`` everywhere. In a value the type ``TextUnrestricted`` lifts that, in metadata nothing
does: texts are written there with the forbidden characters percent-encoded. Orion shows numbers with nine decimals and
writes those from 1e18 on wrongly (1e20 as ``1e+2``), so these are refused; a text ends at a NUL, so that is refused too.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import Any
from urllib.parse import unquote

from battery_pilot.errors import InputError

FORBIDDEN_IN_VALUES = frozenset("<>\"'=;()")
FORBIDDEN_IN_IDS = FORBIDDEN_IN_VALUES | frozenset("&?/#")
LONGEST_ID = 256
GREATEST_NUMBER = 1e18
SHOWN_DECIMALS = 9
OBSERVED = "dateObserved"
"""Metadata of a value, and attribute of an entity: when it was true."""

_ENCODED_IN_NOTES = re.compile(r"[<>\"'=;()%\x00-\x1f\x7f]")

Attribute = dict[str, Any]
Entity = dict[str, Any]
Value = str | bool | int | float | datetime


def entity_id(slug: str, entity_type: str = "Battery") -> str:
    """Return the id of an entity.

    :param slug: what names it, in characters that Orion takes.
    :param entity_type: its type.
    :raises InputError: Orion would refuse the id.
    """
    return checked_name(f"urn:ngsi-ld:{entity_type}:{slug}")


def attribute(value: Value, *, as_of: datetime | None = None, **metadata: Value) -> Attribute:
    """Write a value as an NGSI-v2 attribute.

    :param value: number, text, truth or time; a time has a zone and is sent in UTC.
    :param as_of: when the value was true, as metadata ``dateObserved``.
    :param metadata: further metadata by name; ``unitCode`` is the UN/CEFACT code of the unit.
    :raises InputError: a number that is not finite or not below 1e18, a time without a zone, a text with a NUL.
    """
    written = _typed(value)
    if written["type"] == "Text" and FORBIDDEN_IN_VALUES.intersection(written["value"]):
        written["type"] = "TextUnrestricted"
    notes: dict[str, Value] = dict(metadata)
    if as_of is not None:
        notes[OBSERVED] = as_of
    if notes:
        written["metadata"] = {checked_name(name): _note(note) for name, note in notes.items()}
    return written


def value_of(attribute: Attribute) -> Value | None:
    """Return the value of an attribute as Orion gives it back: a ``DateTime`` becomes a time, the rest stays."""
    value: Value | None = attribute.get("value")
    if attribute.get("type") == "DateTime" and isinstance(value, str):
        return datetime.fromisoformat(value)
    return value


def note_of(attribute: Attribute, name: str) -> Value | None:
    """Return one of an attribute's metadata as it was before it was encoded; ``None`` where there is none."""
    note = attribute.get("metadata", {}).get(name)
    if note is None:
        return None
    value = value_of(note)
    return decode_note(value) if isinstance(value, str) else value


def observed_at(attribute: Attribute) -> datetime | None:
    """Return when an attribute's value was true, by its metadata ``dateObserved`` or (of devices) ``TimeInstant``."""
    for name in (OBSERVED, "TimeInstant"):
        moment = note_of(attribute, name)
        if isinstance(moment, datetime):
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def modified_at(attribute: Attribute) -> datetime | None:
    """Return when Orion wrote an attribute last, where it was asked for that metadata."""
    moment = note_of(attribute, "dateModified")
    return moment if isinstance(moment, datetime) else None


def state_time(entity: Entity) -> datetime | None:
    """Return the time of the state that an entity shows: its attribute ``dateObserved``."""
    moment = value_of(entity[OBSERVED]) if OBSERVED in entity else None
    return moment if isinstance(moment, datetime) else None


def encode_note(text: str) -> str:
    """Return a text as Orion takes it in metadata; :func:`decode_note` is the way back."""
    return _ENCODED_IN_NOTES.sub(lambda found: f"%{ord(found[0]):02X}", text)


def decode_note(text: str) -> str:
    """Return the text that :func:`encode_note` was given."""
    return unquote(text, errors="strict")


def encode_name(text: str) -> str:
    """Return any text as an id, type or name for Orion: what it forbids becomes ``%`` and two hexadecimal digits.

    :raises InputError: the text is empty, no valid Unicode, or becomes longer than 256 characters.
    """
    try:
        octets = text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{text!r} is no valid Unicode text and cannot be a name for Orion") from error
    return checked_name("".join(_in_name(octet) for octet in octets))


def decode_name(name: str) -> str:
    """Return the text that :func:`encode_name` was given."""
    return unquote(name, errors="strict")


def _in_name(octet: int) -> str:
    character = chr(octet)
    return character if "!" <= character <= "~" and character not in FORBIDDEN_IN_IDS | {"%"} else f"%{octet:02X}"


def same_value(sent: Any, shown: Any) -> bool:
    """Tell whether Orion shows the value that was sent, a number with the nine decimals that it shows."""
    numbers = (int, float)
    if isinstance(sent, bool) or isinstance(shown, bool):
        return sent is shown
    if isinstance(sent, numbers) and isinstance(shown, numbers):
        return math.isclose(sent, shown, rel_tol=1e-12, abs_tol=0.51 * 10**-SHOWN_DECIMALS)
    return bool(sent == shown)


def same_attribute(sent: Attribute, shown: Attribute) -> bool:
    """Tell whether Orion shows the attribute that was sent: type, value and all of its metadata."""
    notes, shown_notes = sent.get("metadata", {}), shown.get("metadata", {})
    return (
        sent["type"] == shown["type"]
        and same_value(sent["value"], shown["value"])
        and all(
            name in shown_notes and same_value(note["value"], shown_notes[name]["value"])
            for name, note in notes.items()
        )
    )


def attributes_of(entity: Entity) -> dict[str, Attribute]:
    """Return the attributes of an entity by name."""
    return {name: part for name, part in entity.items() if name not in ("id", "type")}


def write_entity(entity: Entity) -> bytes:
    """Write an entity as JSON, refusing what Orion would refuse with a less helpful message.

    :raises InputError: the id or type is not legal, or a value is none of JSON's.
    """
    checked_name(str(entity.get("id", "")))
    checked_name(str(entity.get("type", "")))
    try:
        return json.dumps(entity, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise InputError(f"entity {entity['id']}: {error}: write its attributes with attribute()") from error


def checked_name(identifier: str) -> str:
    """Return an id, type or name, if it is 1 to 256 visible ASCII characters without those that Orion forbids.

    :raises InputError: it is not.
    """
    wrong = {char for char in identifier if not "!" <= char <= "~" or char in FORBIDDEN_IN_IDS}
    if wrong or not 1 <= len(identifier) <= LONGEST_ID:
        found = f", found {' '.join(map(repr, sorted(wrong)))}" if wrong else f", found {len(identifier)}"
        raise InputError(
            f"Orion takes no {identifier[:80]!r} as an id or name: "
            f"1 to {LONGEST_ID} visible ASCII characters except < > \" ' = ; ( ) & ? / #{found}"
        )
    return identifier


def _typed(value: Value) -> Attribute:
    """Give a value its NGSI-v2 type. A bool is a number to Python and a datetime is not to JSON, hence the order."""
    if isinstance(value, bool):
        return {"type": "Boolean", "value": value}
    if isinstance(value, str):
        return {"type": "Text", "value": _checked_text(value)}
    if isinstance(value, Real):
        return {"type": "Number", "value": _checked_number(value)}
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise InputError(f"the time {value} has no zone")
        moment = value.astimezone(UTC).isoformat(timespec="milliseconds")
        return {"type": "DateTime", "value": moment.replace("+00:00", "Z")}
    raise InputError(f"a value of type {type(value).__name__} cannot be sent to Orion")


def _checked_number(value: Real) -> int | float:
    number = int(value) if isinstance(value, Integral) else float(value)
    if not math.isfinite(number):
        raise InputError(f"{value} cannot be sent to Orion: leave a value that is not known out")
    if abs(number) >= GREATEST_NUMBER:
        raise InputError(f"{value} cannot be sent to Orion: it keeps numbers below {GREATEST_NUMBER:g} only")
    return number


def _checked_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{value[:80]!r} cannot be sent to Orion: it is no valid Unicode text") from error
    if "\0" in value:
        raise InputError(f"{value[:80]!r} cannot be sent to Orion: a text ends there at a NUL character")
    return value


def _note(value: Value) -> Attribute:
    return _typed(encode_note(value) if isinstance(value, str) else value)
