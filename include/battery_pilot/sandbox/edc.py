"""A local stand-in for an Eclipse EDC connector: management API v3 and v4beta, Dataspace Protocol 2025-1, data plane.

Two of them trade with each other over real HTTP. Known faults of the real one are kept, because a client has to cope
with them: a policy without the ODRL context is stored empty, every catalogue answer has new offer ids, a pull stays
STARTED, single values are not arrays, and constraints without a function bound to them (here: all) allow.

Not covered: call-backs of negotiations, DCP identities, provider-initiated offers, secrets.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import httpx
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from battery_pilot.sandbox import (
    edc_catalog,
    edc_contracts,
    edc_data,
    edc_management,
    edc_negotiation,
    edc_transfer,
    edc_transfers,
)
from battery_pilot.sandbox.edc_connector import PROTOCOL_PATH, Connector
from battery_pilot.sandbox.edc_http import ManagementError, ProtocolError, answer_error, check_key
from battery_pilot.sandbox.edc_v4 import V4Route
from battery_pilot.sandbox.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MANAGEMENT_PATH = "/management/v3"
MANAGEMENT_V4_PATH = "/management/v4beta"


def create_app(
    folder: Path, *, participant_id: str, base_url: str, api_key: str, client: httpx.AsyncClient | None = None
) -> FastAPI:
    """Create a connector.

    :param folder: where it keeps its database; created when missing.
    :param participant_id: its name in the data space.
    :param base_url: where others reach it, for example ``http://127.0.0.1:19193``.
    :param api_key: what the management API expects in ``x-api-key``.
    :param client: how it reaches others; by default over the network of this machine, without proxies.
    """
    client = client or httpx.AsyncClient(timeout=10, trust_env=False, verify=False)  # noqa: S501 -- plain http only
    store = Store(folder / f"connector-{participant_id}.db")
    connector = Connector(participant_id, base_url.rstrip("/"), api_key, store, client)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        _continue(connector)
        yield
        await connector.close()

    app = FastAPI(title=f"connector sandbox {participant_id}", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(ManagementError, answer_error)
    app.add_exception_handler(ProtocolError, answer_error)
    app.include_router(_management(connector, MANAGEMENT_PATH, APIRoute))
    app.include_router(_management(connector, MANAGEMENT_V4_PATH, V4Route))
    app.include_router(_protocol(connector))
    edc_data.add_public(app, connector)
    _add_health(app)
    return app


def _continue(connector: Connector) -> None:
    """Take up the negotiations and transfers that the last stop interrupted."""
    for kind, step_of in ((edc_negotiation.KIND, edc_negotiation.step_of), (edc_transfer.KIND, edc_transfer.step_of)):
        for process in connector.store.page(kind):
            if step_of(process) is not None:
                connector.drive(kind, process["id"], step_of)


def _management(connector: Connector, path: str, route_class: type[APIRoute]) -> APIRouter:
    async def authorized(request: Request) -> None:
        check_key(connector, request)

    routes = APIRouter(prefix=path, dependencies=[Depends(authorized)], route_class=route_class)
    edc_management.add_resources(routes, connector)
    edc_catalog.add_management(routes, connector)
    edc_contracts.add_negotiations(routes, connector)
    edc_contracts.add_agreements(routes, connector)
    edc_transfers.add_transfers(routes, connector)
    edc_transfers.add_commands(routes, connector)
    if path == MANAGEMENT_PATH:
        edc_transfers.add_references(routes, connector)
    return routes


def _protocol(connector: Connector) -> APIRouter:
    routes = APIRouter(prefix=PROTOCOL_PATH)
    for part in (edc_catalog, edc_negotiation, edc_transfer):
        part.add_protocol(routes, connector)
    return routes


def _add_health(app: FastAPI) -> None:
    @app.get("/health")
    @app.get("/api/check/{what}")
    async def health(what: str = "health") -> Response:
        return JSONResponse({"isSystemHealthy": True, "component": what})

    @app.get("/protocol/.well-known/dspace-version")
    @app.get("/.well-known/dspace-version")
    async def version() -> Response:
        return JSONResponse({"protocolVersions": [{"version": "2025-1", "path": PROTOCOL_PATH, "binding": "HTTPS"}]})
