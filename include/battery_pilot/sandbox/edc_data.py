"""The data plane of the connector sandbox: it fetches an asset's data and hands them on.

**Guard:** data addresses come from whoever may use the management API, so a data plane could be turned into a way to
read what only this machine can see. It fetches from and pushes to plain ``http`` addresses of this machine only
(:func:`battery_pilot.sandbox.network.is_loopback`) and follows no redirects. A real data plane has no such guard and
needs a firewall around it.
"""

from __future__ import annotations

import re
import time
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote

import httpx
from fastapi import FastAPI, Request, Response  # noqa: TC002 -- FastAPI reads the annotations of its routes
from fastapi.responses import JSONResponse, StreamingResponse

from battery_pilot.sandbox.edc_connector import Connector, Refused, Unreachable
from battery_pilot.sandbox.network import is_loopback

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from battery_pilot.sandbox.store import Document

_CLIMBING = re.compile(r"(^|[/\\])\.{1,2}([/\\;]|$)|//|\\")
MAX_BYTES = 256 * 1024 * 1024


class _TooLarge(Exception):
    """The source sends more than the data plane hands on."""


def add_public(app: FastAPI, connector: Connector) -> None:
    """Add the public endpoint: GET with the token of an endpoint data reference.

    401 without a token, 403 with a wrong, expired or revoked one, 500 when the source cannot deliver.
    """

    @app.get("/public")
    @app.get("/public/{path:path}")
    async def read(request: Request, path: str = "") -> Response:
        token = request.headers.get("authorization")
        if not token:
            return _errors(HTTPStatus.UNAUTHORIZED, "Missing Authorization Header")
        asset = _authorized_asset(connector, token)
        if asset is None:
            return _errors(HTTPStatus.FORBIDDEN, "Token is not valid, has expired or was revoked")
        try:
            address = asset["dataAddress"]
            return await _proxied(connector, address, source_url(address, path, request.url.query))
        except Refused as refusal:
            return _errors(HTTPStatus.INTERNAL_SERVER_ERROR, str(refusal))


def _errors(status: HTTPStatus, message: str) -> Response:
    return JSONResponse({"errors": [message]}, status)


def _authorized_asset(connector: Connector, token: str) -> Document | None:
    """Return the asset that a token opens; a suspended, completed or terminated transfer opens nothing."""
    kept = connector.store.get("token", token)
    if kept is None or kept["expiresAt"] < time.time():
        return None
    transfer = connector.store.get("transfer", kept["transferId"])
    # The consumer may use the token before the answer to the start message has come back.
    if transfer is None or transfer["state"] not in ("STARTING", "STARTED"):
        return None
    return connector.store.get("asset", transfer["assetId"])


def source_url(address: Document, path: str = "", query: str = "") -> str:
    """Return where an asset's data are, with the caller's path and query where the address proxies them.

    :raises Refused: when that is not a plain http address of this machine.
    """
    base = str(address.get("baseUrl", ""))
    url = base
    if path and str(address.get("proxyPath")).lower() == "true":
        # EDC's web server answers 400 to a path that climbs, however it is written.
        if _CLIMBING.search(unquote(unquote(path))):
            raise Refused(f"{path}: ambiguous path")
        url = f"{url.rstrip('/')}/{path}"
    if query and str(address.get("proxyQueryParams")).lower() == "true":
        url = f"{url}?{query}"
    if not is_loopback(url):
        raise Refused(f"{url}: the sandbox's data plane fetches from http addresses of this machine only")
    return url


@asynccontextmanager
async def _opened(connector: Connector, address: Document, url: str) -> AsyncIterator[httpx.Response]:
    headers = {"accept-encoding": "identity"}
    if address.get("authKey"):
        headers[str(address["authKey"])] = str(address.get("authCode", ""))
    request = connector.client.build_request("GET", url, headers=headers)
    try:
        response = await connector.client.send(request, stream=True)
    except httpx.HTTPError as exception:
        raise Refused(f"{url}: {exception or type(exception).__name__}") from exception
    try:
        if response.status_code != HTTPStatus.OK:
            raise Refused(f"Received code transferring HTTP data: {response.status_code} - {response.reason_phrase}.")
        if int(response.headers.get("content-length", 0)) > MAX_BYTES:
            raise Refused(f"{url}: more than {MAX_BYTES} bytes")
        yield response
    finally:
        await response.aclose()


async def _proxied(connector: Connector, address: Document, url: str) -> Response:
    source = AsyncExitStack()
    response = await source.enter_async_context(_opened(connector, address, url))

    async def handed_on() -> AsyncIterator[bytes]:
        async with source:
            async for part in _limited(response):
                yield part

    headers = {name: response.headers[name] for name in ("content-length", "etag") if name in response.headers}
    media_type = response.headers.get("content-type", "application/octet-stream")
    return StreamingResponse(handed_on(), headers=headers, media_type=media_type)


async def _limited(response: httpx.Response) -> AsyncIterator[bytes]:
    total = 0
    async for part in response.aiter_raw():
        total += len(part)
        if total > MAX_BYTES:
            # Breaking off is the only way left to say it: the status has been sent.
            raise _TooLarge(f"{response.url}: more than {MAX_BYTES} bytes")
        yield part


async def push(connector: Connector, transfer: Document) -> None:
    """Send an asset's data to the consumer's address.

    :param connector: the provider.
    :param transfer: with ``assetId`` and ``dataDestination``.
    :raises Refused: when the source or destination refuses or is not on this machine.
    :raises Unreachable: when the destination does not answer.
    """
    asset = connector.store.get("asset", transfer["assetId"])
    if asset is None:
        raise Refused(f"asset {transfer['assetId']} is gone")
    destination = transfer["dataDestination"]
    target = str(destination.get("baseUrl") or destination.get("endpoint", ""))
    if not is_loopback(target):
        raise Refused(f"{target}: the sandbox's data plane pushes to http addresses of this machine only")
    address = asset["dataAddress"]
    async with _opened(connector, address, source_url(address)) as response:
        content = b"".join([part async for part in _limited(response)])
        media_type = response.headers.get("content-type", "application/octet-stream")
    try:
        answer = await connector.client.post(target, content=content, headers={"Content-Type": media_type})
    except httpx.HTTPError as exception:
        raise Unreachable(f"{target}: {exception or type(exception).__name__}") from exception
    if answer.status_code >= 400:
        raise Refused(f"{target}: {answer.status_code}")
