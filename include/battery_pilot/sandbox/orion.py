"""A local stand-in for the context broker FIWARE Orion (NGSI-v2), with its limits and refusals.

Written from the behaviour of Orion 4.7. Not covered: geo queries, registrations, ``mq``, ``orderBy``,
expressions in ``POST /v2/op/query``, and MQTT notifications.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from battery_pilot.sandbox import orion_subscriptions
from battery_pilot.sandbox.orion_query import entity_filter, page_bounds, represent
from battery_pilot.sandbox.orion_rules import (
    OrionError,
    Scope,
    bad_request,
    body_of,
    checked_entity,
    scalar_of,
    scope_of,
)
from battery_pilot.sandbox.orion_subscriptions import Notifier
from battery_pilot.sandbox.orion_updates import ACTIONS, DEFAULT_TYPE, Change, EntityStore
from battery_pilot.sandbox.store import Document, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

_NO_CONTENT = HTTPStatus.NO_CONTENT


def create_app(folder: Path, *, version: str = "4.7.0") -> FastAPI:
    """Create the context broker.

    :param folder: where it keeps its database; created when missing.
    :param version: which Orion to be; before 3.11 it does not say that a part of a refused batch is stored.
    """
    store = Store(folder / "orion.db")
    notifier = Notifier(store)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await notifier.close()
        store.close()

    app = FastAPI(title="Orion sandbox", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(OrionError, _answer_error)
    entities = EntityStore(store)
    _add_entities(app, entities, notifier)
    _add_attributes(app, entities, notifier)
    _add_batch(app, entities, notifier, says_partial=tuple(map(int, version.split(".")[:2])) >= (3, 11))
    _add_query(app, entities)
    _add_subscriptions(app, store)

    @app.get("/version")
    async def version_route() -> Response:
        return JSONResponse({"orion": {"version": version, "doc": "sandbox of Battery Pilot"}})

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})

    return app


async def _answer_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, OrionError):
        raise error
    return JSONResponse({"error": error.error, "description": error.description}, error.status)


def _options(request: Request) -> set[str]:
    return set(request.query_params.get("options", "").split(","))


def _reading(request: Request) -> Scope:
    if "content-type" in request.headers:
        bad_request("Orion accepts no payload for GET/DELETE requests. HTTP header Content-Type is thus forbidden")
    return scope_of(request, for_writing=False)


def _shown(request: Request, entity: Document) -> Any:
    asked = request.query_params
    return represent(entity, options=_options(request), attributes=asked.get("attrs"), metadata=asked.get("metadata"))


def _page(request: Request, found: list[Document], show: Callable[[Document], Any]) -> Response:
    offset, limit = page_bounds(request.query_params)
    headers = {"Fiware-Total-Count": str(len(found))} if "count" in _options(request) else None
    return JSONResponse([show(document) for document in found[offset : offset + limit]], headers=headers)


def _add_entities(app: FastAPI, entities: EntityStore, notifier: Notifier) -> None:
    @app.get("/v2/entities")
    async def list_entities(request: Request) -> Response:
        scope, parameters = _reading(request), request.query_params
        wanted = entity_filter(parameters)
        found = [entity for entity in entities.all(scope) if wanted(entity)]
        return _page(request, found, lambda entity: _shown(request, entity))

    @app.post("/v2/entities")
    async def create(request: Request) -> Response:
        scope, options = scope_of(request, for_writing=True), _options(request)
        entity = checked_entity(await body_of(request), key_values="keyValues" in options)
        change = entities.create(scope, entity, upsert="upsert" in options)
        notifier.notify(scope, [change])
        location = f"/v2/entities/{quote(entity['id'])}?type={quote(entity.get('type', DEFAULT_TYPE))}"
        status = _NO_CONTENT if "upsert" in options else HTTPStatus.CREATED
        return Response(status_code=status, headers={"Location": location})

    @app.get("/v2/entities/{entity_id}")
    async def read(entity_id: str, request: Request) -> Response:
        entity = entities.find(_reading(request), entity_id, request.query_params.get("type"))
        return JSONResponse(_shown(request, entity))

    @app.delete("/v2/entities/{entity_id}")
    async def delete(entity_id: str, request: Request) -> Response:
        _reading(request)
        entities.delete(scope_of(request, for_writing=True), entity_id, request.query_params.get("type"))
        return Response(status_code=_NO_CONTENT)


def _add_attributes(app: FastAPI, entities: EntityStore, notifier: Notifier) -> None:
    @app.get("/v2/entities/{entity_id}/attrs")
    async def read(entity_id: str, request: Request) -> Response:
        entity = entities.find(_reading(request), entity_id, request.query_params.get("type"))
        shown = _shown(request, entity)
        return JSONResponse({name: part for name, part in shown.items() if name not in ("id", "type")})

    def add_writer(method: str, action: str) -> None:
        @app.api_route("/v2/entities/{entity_id}/attrs", methods=[method])
        async def write(entity_id: str, request: Request) -> Response:
            scope, options = scope_of(request, for_writing=True), _options(request)
            sent = checked_entity(await body_of(request), key_values="keyValues" in options, need_id=False)
            found = entities.find(scope, entity_id, request.query_params.get("type"))
            strict = "appendStrict" if action == "append" and "append" in options else action
            entity = {"id": found["id"], "type": found["type"], **sent}
            _notify(notifier, scope, [_apply(entities, scope, strict, entity, options)])
            return Response(status_code=_NO_CONTENT)

    @app.put("/v2/entities/{entity_id}/attrs/{name}/value")
    async def write_value(entity_id: str, name: str, request: Request) -> Response:
        scope, options = scope_of(request, for_writing=True), _options(request)
        found = entities.find(scope, entity_id, request.query_params.get("type"))
        value = scalar_of((await request.body()).decode())
        kind = {"type": found[name]["type"]} if name in found else {}
        sent = checked_entity({name: {**kind, "value": value}}, key_values=False, need_id=False)
        entity = {"id": found["id"], "type": found["type"], **sent}
        _notify(notifier, scope, [_apply(entities, scope, "update", entity, options)])
        return Response(status_code=_NO_CONTENT)

    add_writer("POST", "append")
    add_writer("PATCH", "update")
    add_writer("PUT", "replace")


def _apply(entities: EntityStore, scope: Scope, action: str, entity: Document, options: set[str]) -> Change | None:
    override, forced = "overrideMetadata" in options, "forcedUpdate" in options
    return entities.apply(scope, action, entity, override_metadata=override, forced=forced)


def _notify(notifier: Notifier, scope: Scope, changes: list[Change | None]) -> None:
    notifier.notify(scope, [change for change in changes if change is not None])


def _add_batch(app: FastAPI, entities: EntityStore, notifier: Notifier, *, says_partial: bool) -> None:
    @app.post("/v2/op/update")
    async def update(request: Request) -> Response:
        scope, options = scope_of(request, for_writing=True), _options(request)
        body = await body_of(request)
        for field in ("actionType", "entities"):
            if field not in body:
                bad_request(f"Invalid JSON payload, mandatory field /{field}/ not found")
        action, sent = body["actionType"], body["entities"]
        if action not in ACTIONS:
            bad_request("invalid update action type: right ones are: append, appendStric, delete, replace, update")
        if not isinstance(sent, list) or not sent:
            bad_request("empty entities vector")
        # The whole request is checked before anything is stored; execution errors come after and stop nothing.
        checked = [checked_entity(entity, key_values="keyValues" in options) for entity in sent]
        changes: list[Change | None] = []
        errors: list[OrionError] = []
        for entity in checked:
            try:
                changes.append(_apply(entities, scope, action, entity, options))
            except OrionError as error:
                errors.append(error)
        _notify(notifier, scope, changes)
        if errors:
            raise _batch_error(errors, partial=bool(changes) and says_partial)
        return Response(status_code=_NO_CONTENT)


def _batch_error(errors: list[OrionError], *, partial: bool) -> OrionError:
    full = [error for error in errors if error.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE]
    if full or not partial:
        return (full or errors)[-1]
    described = ", ".join(error.description for error in errors)
    return OrionError(HTTPStatus.UNPROCESSABLE_ENTITY, "PartialUpdate", described)


def _add_query(app: FastAPI, entities: EntityStore) -> None:
    @app.post("/v2/op/query")
    async def query(request: Request) -> Response:
        scope, body = scope_of(request, for_writing=False), await body_of(request)
        wanted = [entity_filter(one) for one in body.get("entities", [])] or [lambda _: True]
        found = [entity for entity in entities.all(scope) if any(test(entity) for test in wanted)]
        options, attributes, metadata = _options(request), body.get("attrs", []), body.get("metadata", [])

        def show(entity: Document) -> Any:
            return represent(entity, options=options, attributes=",".join(attributes), metadata=",".join(metadata))

        return _page(request, found, show)


def _add_subscriptions(app: FastAPI, store: Store) -> None:
    @app.get("/v2/subscriptions")
    async def list_subscriptions(request: Request) -> Response:
        found = store.page(orion_subscriptions.kind(_reading(request)))
        return _page(request, found, orion_subscriptions.public)

    @app.post("/v2/subscriptions")
    async def create(request: Request) -> Response:
        scope = scope_of(request, for_writing=False)
        identifier = orion_subscriptions.create(store, scope, await body_of(request))
        return Response(status_code=HTTPStatus.CREATED, headers={"Location": f"/v2/subscriptions/{identifier}"})

    def existing(scope: Scope, identifier: str) -> Document:
        found = store.get(orion_subscriptions.kind(scope), identifier)
        if found is None:
            description = "The requested subscription has not been found. Check id"
            raise OrionError(HTTPStatus.NOT_FOUND, "NotFound", description)
        return found

    @app.get("/v2/subscriptions/{identifier}")
    async def read(identifier: str, request: Request) -> Response:
        return JSONResponse(orion_subscriptions.public(existing(_reading(request), identifier)))

    @app.patch("/v2/subscriptions/{identifier}")
    async def change(identifier: str, request: Request) -> Response:
        scope = scope_of(request, for_writing=False)
        body = await body_of(request)
        orion_subscriptions.change(store, scope, existing(scope, identifier), body)
        return Response(status_code=_NO_CONTENT)

    @app.delete("/v2/subscriptions/{identifier}")
    async def delete(identifier: str, request: Request) -> Response:
        scope = _reading(request)
        existing(scope, identifier)
        store.delete(orion_subscriptions.kind(scope), identifier)
        return Response(status_code=_NO_CONTENT)
