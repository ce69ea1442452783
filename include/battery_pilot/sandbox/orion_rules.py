"""What Orion refuses before it does anything: headers, sizes, characters and shapes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import Request

    from battery_pilot.sandbox.store import Document

MAX_BODY_BYTES = 1_048_576
MAX_NESTING = 50
_FORBIDDEN = re.compile(r"[<>\"'=;()]")
_FORBIDDEN_IN_NAME = re.compile(r"[<>\"'=;()&?/#\s]|[^\x21-\x7e]")
_UNRESTRICTED = "TextUnrestricted"
_DATE_TYPES = ("DateTime", "ISO8601")


class OrionError(Exception):
    """A refusal in Orion's form.

    :param status: HTTP status of the answer.
    :param error: Orion's name of the error.
    :param description: Orion's sentence.
    """

    def __init__(self, status: HTTPStatus, error: str, description: str) -> None:
        self.status = status
        self.error = error
        self.description = description
        super().__init__(description)


@dataclass(frozen=True)
class Scope:
    """The tenant and service path that a request works in.

    :param tenant: value of ``Fiware-Service`` in lower case; empty is the default tenant.
    :param path: value of ``Fiware-ServicePath``; a query may end it with ``/#`` to include what lies below.
    """

    tenant: str
    path: str

    def covers(self, path: str) -> bool:
        """Tell whether a service path lies in this scope."""
        if self.path.endswith("/#"):
            root = self.path[:-2]
            return path == (root or "/") or path.startswith(root + "/")
        return path == self.path


def bad_request(description: str) -> NoReturn:
    """Refuse with 400 BadRequest.

    :raises OrionError: always.
    """
    raise OrionError(HTTPStatus.BAD_REQUEST, "BadRequest", description)


def scope_of(request: Request, *, for_writing: bool) -> Scope:
    """Return the scope that a request's headers name.

    :param request: its ``Fiware-Service`` and ``Fiware-ServicePath`` headers are read.
    :param for_writing: a write goes to one path (default ``/``); a read may cover a subtree (default ``/#``).
    :raises OrionError: 400 for a bad tenant or path.
    """
    tenant = request.headers.get("fiware-service", "").lower()
    if len(tenant) > 50:
        bad_request("bad length - a tenant name can be max 50 characters long")
    if re.search(r"[^a-z0-9_]", tenant):
        bad_request("bad character in tenant name - only underscore and alphanumeric characters are allowed")
    path = request.headers.get("fiware-servicepath") or ("/" if for_writing else "/#")
    if not path.startswith("/"):
        bad_request("Only /absolute/ Service Paths allowed [a service path must begin with /]")
    components = path[1:].split("/") if path != "/" else []
    if components and components[-1] == "#" and not for_writing:
        components.pop()
    if len(components) > 10:
        bad_request("too many components in ServicePath")
    if any(len(component) > 50 for component in components):
        bad_request("component-name too long in ServicePath")
    if not all(re.fullmatch(r"[A-Za-z0-9_]+", component) for component in components):
        bad_request("a component of ServicePath contains an illegal character")
    return Scope(tenant, path)


async def body_of(request: Request) -> Document:
    """Return a request's JSON object.

    :raises OrionError: 411 without a length (chunked), 413 above 1 MB, 415 for another content type, 400 for what is
        not JSON, for NaN and for too deep nesting.
    """
    length = request.headers.get("content-length")
    if "transfer-encoding" in request.headers or not length or length == "0":
        raise OrionError(
            HTTPStatus.LENGTH_REQUIRED, "ContentLengthRequired", "Zero/No Content-Length in PUT/POST/PATCH request"
        )
    if int(length) > MAX_BODY_BYTES:
        raise OrionError(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            "RequestEntityTooLarge",
            f"payload size: {length}, max size supported: {MAX_BODY_BYTES}",
        )
    media_type = request.headers.get("content-type", "").partition(";")[0].strip()
    if media_type != "application/json":
        raise OrionError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", f"not supported content type: {media_type}"
        )
    parse_error = OrionError(HTTPStatus.BAD_REQUEST, "ParseError", "Errors found in incoming JSON buffer")
    try:
        body = json.loads(await request.body(), parse_constant=_no_constant)
    except (ValueError, RecursionError) as exception:
        raise parse_error from exception
    if not isinstance(body, dict) or _depth(body) > MAX_NESTING:
        raise parse_error
    return body


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _depth(value: Any) -> int:
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if parts is None else 1 + max((_depth(part) for part in parts), default=0)


def scalar_of(text: str) -> Any:
    """Return the value of a text/plain body: a text in double quotes, a number, true, false or null.

    :raises OrionError: 400 for anything else.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except ValueError:
        value = {}
    if isinstance(value, (dict, list)):
        bad_request("attribute value type not recognized")
    return value


def checked_name(value: Any, what: str) -> str:
    """Return an id, type or attribute name that Orion accepts.

    :param value: 1 to 256 printable ASCII characters without space, ``& ? / #`` and ``< > " ' = ; ( )``.
    :param what: what it is, for the message.
    :raises OrionError: 400.
    """
    if not isinstance(value, str):
        bad_request(f"invalid JSON type for {what}")
    if not value:
        bad_request(f"{what} length: 0, min length supported: 1")
    if len(value) > 256:
        bad_request(f"{what} length: {len(value)}, max length supported: 256")
    if _FORBIDDEN_IN_NAME.search(value):
        bad_request(f"Invalid characters in {what}")
    return value


def checked_entity(entity: Any, *, key_values: bool, need_id: bool = True) -> Document:
    """Return an entity in normalized form: ``{"id", "type", attribute: {"type", "value", "metadata"}}``.

    :param entity: what the client sent.
    :param key_values: attributes are bare values.
    :param need_id: the id and type are part of the entity, and not of the address.
    :raises OrionError: 400 for a bad id, name, type or value.
    """
    if not isinstance(entity, dict):
        bad_request("not a JSON object")
    checked: Document = {}
    if need_id:
        if "id" not in entity:
            bad_request("nor /id/ nor /idPattern/ present")
        if entity["id"] == "":
            bad_request("id and idPattern cannot be both empty at the same time")
        checked["id"] = checked_name(entity["id"], "entity id")
        if "type" in entity:
            checked["type"] = checked_name(entity["type"], "entity type")
    elif "id" in entity or "type" in entity:
        bad_request("entity id or type specified in payload")
    for name, attribute in entity.items():
        if name not in ("id", "type"):
            checked[checked_name(name, "attribute name")] = _checked_attribute(attribute, key_values=key_values)
    return checked


def _checked_attribute(attribute: Any, *, key_values: bool) -> Document:
    if key_values:
        attribute = {"value": attribute}
    elif not isinstance(attribute, dict):
        bad_request("attribute must be a JSON object, unless keyValues option is used")
    value = attribute.get("value")
    kind = checked_name(attribute["type"], "attribute type") if "type" in attribute else _default_type(value)
    metadata = attribute.get("metadata", {})
    if set(attribute) - {"type", "value", "metadata"}:
        bad_request("unrecognized property for context attribute")
    if not isinstance(metadata, dict):
        bad_request("metadata must be a JSON object")
    if kind != _UNRESTRICTED and has_forbidden(value):
        bad_request("Invalid characters in attribute value")
    return {
        "type": kind,
        "value": _as_kept(value, kind),
        "metadata": {checked_name(name, "metadata name"): _checked_metadata(one) for name, one in metadata.items()},
    }


def _checked_metadata(metadata: Any) -> Document:
    if not isinstance(metadata, dict):
        bad_request("metadata must be a JSON object")
    value = metadata.get("value")
    kind = checked_name(metadata["type"], "metadata type") if "type" in metadata else _default_type(value)
    if has_forbidden(value):  # TextUnrestricted lifts this for attributes only
        bad_request("Invalid characters in metadata value")
    return {"type": kind, "value": _as_kept(value, kind)}


def _default_type(value: Any) -> str:
    if isinstance(value, bool):
        return "Boolean"
    if isinstance(value, (int, float)):
        return "Number"
    if isinstance(value, str):
        return "Text"
    return "None" if value is None else "StructuredValue"


def has_forbidden(value: Any) -> bool:
    """Tell whether a text anywhere in a JSON value has characters that Orion refuses."""
    return any(_FORBIDDEN.search(text) for text in _strings(value))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for part in value:
            yield from _strings(part)
    elif isinstance(value, dict):
        yield from value
        yield from _strings(list(value.values()))


def _as_kept(value: Any, kind: str) -> Any:
    """Return a value the way Orion gives it back; a text ends at its first NUL."""
    if kind in _DATE_TYPES:
        return _as_instant(value)
    return value.partition("\0")[0] if isinstance(value, str) else value


def _as_instant(value: Any) -> Any:
    """Return a date the way Orion gives it back: in UTC with milliseconds."""
    if value is None:
        return None
    try:
        instant = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        bad_request("date has invalid format in attribute value")
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
