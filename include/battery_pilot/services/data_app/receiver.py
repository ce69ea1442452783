"""Where connectors of ours deliver: addresses of transfers (EDC callbacks) and pushed files."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool

from battery_pilot.errors import InputError
from battery_pilot.services.connectors.inbox import Inbox, Way, inbox_of
from battery_pilot.services.connectors.jsonld import local_name
from battery_pilot.settings import load

EVENT_BYTES = 256 * 1024
"""Longest event: it carries an address and a token."""


def receiver_from_environment() -> FastAPI:
    """Return an application that only receives, for the consumer whose lake ``BATTERY_PILOT_LAKE`` names."""
    app = FastAPI(title="Battery Pilot receiver", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(routes(Inbox(inbox_of(load().lake / "consumer"))))
    return app


def routes(inbox: Inbox) -> APIRouter:
    """Return the routes that fill an inbox; what nobody expects is 404, whatever it is."""
    router = APIRouter()

    @router.post(f"/{Way.ADDRESS}/{{secret}}")
    async def started(secret: str, request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > EVENT_BYTES:
                return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        address = address_of_event(bytes(body))
        if address is None:
            return Response(status_code=HTTPStatus.BAD_REQUEST)
        is_kept = await run_in_threadpool(inbox.put_address, secret, address)
        return Response(status_code=HTTPStatus.NO_CONTENT if is_kept else HTTPStatus.NOT_FOUND)

    @router.api_route(f"/{Way.CONTENT}/{{secret}}", methods=["POST", "PUT"])
    async def pushed(secret: str, request: Request) -> Response:
        try:
            is_kept = await inbox.put_content(secret, request.stream())
        except InputError:
            return Response(status_code=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return Response(status_code=HTTPStatus.NO_CONTENT if is_kept else HTTPStatus.NOT_FOUND)

    @router.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    return router


def address_of_event(body: bytes) -> dict[str, Any] | None:
    """Read the data address of EDC's event of a transfer that has started; ``None`` when it carries none."""
    try:
        properties = json.loads(body)["payload"]["dataAddress"]["properties"]
    except (ValueError, KeyError, TypeError):
        return None
    if not isinstance(properties, dict):
        return None
    return {local_name(name): value for name, value in properties.items() if isinstance(value, str)}
