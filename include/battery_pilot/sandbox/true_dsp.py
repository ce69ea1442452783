"""A local stand-in for TRUE Connector DSP 0.6.6: management API v1, Dataspace Protocol 2025-1, storage.

It answers as the real one was seen to, faults included, because a client has to cope with them: a GET without content type
is refused, unknown ids are a 400, an agreement serves one transfer, a permission without constraints can be agreed on and
not be used, the catalogue takes COUNT and DATE_TIME only, and other terms than those on offer are not refused by itself.

Not covered: counter-offers, push, suspension, automatic negotiation, accounts, SFTP.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from battery_pilot.sandbox import true_dsp_catalog, true_dsp_negotiation, true_dsp_transfer
from battery_pilot.sandbox.store import Store
from battery_pilot.sandbox.true_dsp_site import PASSWORD, PEER, USER, Refused, Site, check_login, refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

__all__ = ["PASSWORD", "USER", "create_app"]


def create_app(folder: Path, *, participant_id: str, base_url: str) -> FastAPI:
    """Create a connector.

    :param folder: where it keeps its database and files; created when missing.
    :param participant_id: its name in the data space.
    :param base_url: where others reach it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    store = Store(folder / "true-dsp.db")
    site = Site(participant_id, base_url.rstrip("/"), folder, store, httpx.Client(timeout=10, trust_env=False))

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.client.close()
        store.close()

    app = FastAPI(title=f"TRUE Connector sandbox {participant_id}", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(Refused, refused)
    management = APIRouter(prefix="/api/v1", dependencies=[Depends(_administrator)])
    protocol = APIRouter(dependencies=[Depends(_peer)])
    for part in (true_dsp_catalog, true_dsp_negotiation, true_dsp_transfer):
        part.add_management(management, site)
        part.add_protocol(protocol, site)
    true_dsp_transfer.add_storage(app, site)
    app.include_router(management)
    _add_version(app)
    app.include_router(protocol)
    return app


def _administrator(request: Request) -> None:
    check_login(request, USER)
    if "content-type" not in request.headers:
        raise Refused(415, "Content-Type 'null' is not supported.")


def _peer(request: Request) -> None:
    check_login(request, PEER)


def _add_version(app: FastAPI) -> None:
    @app.get("/.well-known/dspace-version")
    def version() -> Response:
        return JSONResponse({"protocolVersions": [{"binding": "HTTPS", "path": "/", "version": "2025-1"}]})
