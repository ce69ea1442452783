"""What the routes of the connector sandbox share: the errors of its two APIs, and the way bodies are read."""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse

from battery_pilot.sandbox.edc_connector import Refused
from battery_pilot.sandbox.jsonld import DSP_CONTEXT, EDC, UnknownContext, expand, many, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import Request, Response

    from battery_pilot.sandbox.edc_connector import Connector
    from battery_pilot.sandbox.store import Document

DEFAULT_LIMIT = 50


class ManagementError(Exception):
    """A refusal of the management API.

    :param status: HTTP status of the answer.
    :param kind: EDC's name of the error.
    :param message: EDC's sentence.
    :param path: the property concerned, for a validation failure.
    """

    def __init__(self, status: HTTPStatus, kind: str, message: str, path: str | None = None) -> None:
        self.status = status
        self.body = [{"message": message, "type": kind, "path": path, "invalidValue": None}]
        super().__init__(message)


class ProtocolError(Exception):
    """A refusal of the Dataspace Protocol.

    :param status: HTTP status of the answer.
    :param kind: ``Catalog``, ``ContractNegotiation`` or ``Transfer``.
    :param reason: why.
    :param pids: ``providerPid`` and ``consumerPid`` as known.
    """

    def __init__(self, status: HTTPStatus, kind: str, reason: str, **pids: str) -> None:
        self.status = status
        self.body: Document = {"@context": [DSP_CONTEXT], "@type": f"{kind}Error"}
        if kind != "Catalog":
            self.body.update({"providerPid": "", "consumerPid": "", **pids})
        self.body.update(code=str(status.value), reason=[reason])
        super().__init__(reason)


async def answer_error(_: Request, error: Exception) -> Response:
    """Answer a refusal of either API."""
    if not isinstance(error, (ManagementError, ProtocolError)):
        raise error
    return JSONResponse(error.body, error.status)


def invalid(message: str, path: str | None = None) -> ManagementError:
    """Return a 400 of the management API."""
    return ManagementError(HTTPStatus.BAD_REQUEST, "ValidationFailure", message, path)


def not_found(what: str, identifier: str) -> ManagementError:
    """Return a 404 of the management API."""
    message = f"Object of type {what} with ID={identifier} was not found"
    return ManagementError(HTTPStatus.NOT_FOUND, "ObjectNotFound", message)


def conflict(message: str) -> ManagementError:
    """Return a 409 of the management API."""
    return ManagementError(HTTPStatus.CONFLICT, "ObjectConflict", message)


def check_key(connector: Connector, request: Request) -> None:
    """Admit a management request.

    :raises ManagementError: 401 without the right ``x-api-key``.
    """
    if not hmac.compare_digest(request.headers.get("x-api-key", "").encode(), connector.api_key.encode()):
        raise ManagementError(HTTPStatus.UNAUTHORIZED, "AuthenticationFailed", "Request could not be authenticated")


async def management_body(request: Request, *, required: bool = True) -> Document:
    """Return a management request's body in expanded form.

    :param request: the request.
    :param required: an empty body is an error.
    :raises ManagementError: 400 when it is not a JSON-LD object.
    """
    content = await request.body()
    if not content and not required:
        return {}
    try:
        body = expand(json.loads(content))
    except UnknownContext as exception:
        raise invalid(f"Failed to expand JsonObject: {exception}") from exception
    except ValueError as exception:
        raise ManagementError(HTTPStatus.BAD_REQUEST, "BadRequest", f"no JSON: {exception}") from exception
    if not isinstance(body, dict):
        raise invalid("the body must be an object")
    return body


def mandatory(body: Document, name: str) -> str:
    """Return a mandatory string of an expanded body (EDC's own name, or a full IRI).

    :raises ManagementError: 400 when it is missing or blank.
    """
    iri = name if "://" in name or name.startswith("@") else EDC + name
    value = text(body.get(iri))
    if value is None or not value.strip():
        raise invalid(f"mandatory value '{iri}' is missing or it is blank", iri)
    return value


def plain(value: Any) -> Any:
    """Return an expanded value with EDC's names bare again, for what is only stored and shown."""
    if isinstance(value, dict):
        return {name.removeprefix(EDC): plain(part) for name, part in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


def selected(documents: list[Document], body: Document, look_up: Callable[[Document, str], Any]) -> list[Document]:
    """Return the page of documents that a QuerySpec asks for.

    :param documents: all of them.
    :param body: the expanded QuerySpec: ``offset`` (0), ``limit`` (50) and ``filterExpression``.
    :param look_up: returns the value of a document that a criterion's left operand names.
    :raises ManagementError: 400 for a negative bound or an unknown operator.
    """
    offset, limit = body.get(EDC + "offset", 0), body.get(EDC + "limit", DEFAULT_LIMIT)
    for name, bound in (("offset", offset), ("limit", limit)):
        if not isinstance(bound, int) or bound < (1 if name == "limit" else 0):
            raise invalid(f"value of '{EDC}{name}' must be greater or equal", EDC + name)
    criteria = [criterion(one) for one in many(body.get(EDC + "filterExpression"))]
    found = [one for one in documents if all(matches(look_up(one, c["operandLeft"]), c) for c in criteria)]
    return found[offset : offset + limit]


def criterion(node: Any) -> Document:
    """Return an expanded Criterion with bare names.

    :raises ManagementError: 400 when it has no operands or an operator that EDC does not know.
    """
    node = node if isinstance(node, dict) else {}
    operator = mandatory(node, "operator")
    if operator not in ("=", "!=", "in", "like"):
        raise invalid(f"operator {operator} is not supported", EDC + "operator")
    left = mandatory(node, "operandLeft").removeprefix(EDC)
    return {"operandLeft": left, "operator": operator, "operandRight": plain(node.get(EDC + "operandRight"))}


def matches(value: Any, test: Document) -> bool:
    """Tell whether a value satisfies a criterion."""
    operator, right = test["operator"], test["operandRight"]
    if operator == "in":
        return value in many(right)
    if operator == "like":
        return isinstance(value, str) and _like(value, str(right))
    return bool((value == right) == (operator == "="))


def _like(value: str, pattern: str) -> bool:
    head, *rest = pattern.split("%")
    if not rest:
        return value == head
    position = len(head)
    for part in rest[:-1]:
        position = value.find(part, position) + len(part)
        if position < len(part):
            return False
    return value.startswith(head) and value.endswith(rest[-1]) and len(value) >= position + len(rest[-1])


def caller_of(request: Request, kind: str) -> str:
    """Return the participant that sent a protocol message.

    :raises ProtocolError: 401 without an identity in the form of EDC's ``iam-mock``.
    """
    try:
        return str(json.loads(request.headers.get("authorization", ""))["clientId"])
    except (ValueError, KeyError, TypeError) as exception:
        raise ProtocolError(HTTPStatus.UNAUTHORIZED, kind, "Unauthorized.") from exception


async def message_of(request: Request, kind: str, message_type: str) -> Document:
    """Return a protocol message.

    :param request: the request.
    :param kind: as in :class:`ProtocolError`.
    :param message_type: the ``@type`` that is expected.
    :raises ProtocolError: 400 for another one, or for a context that is not the protocol's.
    """
    try:
        body = await request.json()
    except ValueError as exception:
        raise ProtocolError(HTTPStatus.BAD_REQUEST, kind, f"no JSON: {exception}") from exception
    if not isinstance(body, dict) or DSP_CONTEXT not in many(body.get("@context")):
        raise ProtocolError(HTTPStatus.BAD_REQUEST, kind, f"the context {DSP_CONTEXT} is missing")
    if body.get("@type") != message_type:
        raise ProtocolError(HTTPStatus.BAD_REQUEST, kind, f"{message_type} expected, got {body.get('@type')}")
    return body


def part_of(message: Document, name: str) -> Any:
    """Return a mandatory part of a message from a counterparty's answer.

    :raises Refused: when it is missing.
    """
    if name not in message:
        raise Refused(f"the answer {message.get('@type')} lacks {name}")
    return message[name]
