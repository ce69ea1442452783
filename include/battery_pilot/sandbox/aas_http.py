"""What all routes of the AAS sandbox share: identifiers, bodies, pages and the shape of an error."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi.responses import JSONResponse
from starlette.datastructures import UploadFile

from battery_pilot.sandbox.aas_content import Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import Request, Response

    from battery_pilot.sandbox.store import Document, Store

DEFAULT_LIMIT = 500
COLLECTIONS = {
    "shells": "AssetAdministrationShell",
    "submodels": "Submodel",
    "concept-descriptions": "ConceptDescription",
}


async def answer_refusal(_: Request, refusal: Exception) -> Response:
    """Turn a :class:`Refusal` into the answer of AASX Server."""
    status = refusal.status if isinstance(refusal, Refusal) else HTTPStatus.INTERNAL_SERVER_ERROR
    message = {
        "code": status.phrase.replace(" ", ""),
        "messageType": "Error",
        "text": str(refusal),
        # AASX Server writes .NET's default date format here and not ISO 8601.
        "timestamp": datetime.now().astimezone().strftime("%m/%d/%Y %H:%M:%S"),
    }
    return JSONResponse({"messages": [message]}, status)


def decode_id(encoded: str) -> str:
    """Decode a base64url identifier, padded or not.

    :raises Refusal: 400 when it is neither.
    """
    try:
        return base64.b64decode(
            encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4), b"-_", validate=True
        ).decode()
    except (binascii.Error, ValueError) as exception:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"Base64Url decoding of {encoded} failed.") from exception


def encode_id(identifier: str) -> str:
    """Encode an identifier as unpadded base64url."""
    return base64.urlsafe_b64encode(identifier.encode()).rstrip(b"=").decode()


async def read_json(request: Request) -> Any:
    """Parse a request's body.

    :raises Refusal: 400 when it is not JSON.
    """
    try:
        return json.loads(await request.body())
    except ValueError as exception:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"The request body is not valid JSON: {exception}") from exception


def paged(request: Request, fetch: Callable[[int, int], list[Any]]) -> Document:
    """Answer one page of a list.

    :param request: carries ``limit`` (default 500) and ``cursor`` (an integer offset).
    :param fetch: returns the items from an offset on, at most as many as its second argument.
    :raises Refusal: 400 for a limit or cursor that is negative or not a number.
    """
    try:
        limit = int(request.query_params.get("limit", DEFAULT_LIMIT))
        cursor = int(request.query_params.get("cursor", 0))
    except ValueError as exception:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"limit and cursor must be integers: {exception}") from exception
    if limit < 0 or cursor < 0:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"limit and cursor must not be negative: {limit}, {cursor}")
    items = fetch(cursor, limit + 1)
    more = {"cursor": str(cursor + limit)} if limit and len(items) > limit else {}
    return {"paging_metadata": more, "result": items[:limit]}


def existing(store: Store, collection: str, identifier: str) -> Document:
    """Return a stored identifiable.

    :raises Refusal: 404 when the server does not have it.
    """
    document = store.get(collection, identifier)
    if document is None:
        raise Refusal(HTTPStatus.NOT_FOUND, f"{COLLECTIONS[collection]} with id {identifier} NOT found.")
    return document


async def uploaded(request: Request) -> tuple[str, bytes] | None:
    """Return the file of a multipart upload, or ``None`` when there is no part named ``file``.

    :raises Refusal: 400 when its name is more than a plain name.
    """
    async with request.form() as form:
        part = form.get("file")
        if not isinstance(part, UploadFile):
            return None
        name = part.filename or ""
        if not name or name in (".", "..") or "/" in name or "\\" in name:
            raise Refusal(HTTPStatus.BAD_REQUEST, f"Invalid file name {name!r}: a plain name is expected.")
        return name, await part.read()
