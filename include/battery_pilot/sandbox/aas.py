"""A local stand-in for Eclipse AASX Server: the AAS HTTP API at the root, with its status codes and refusals.

What differs from the specification does so on purpose, because AASX Server differs: PUT of an unknown id answers 404
instead of creating, PATCH of a value answers 501, DELETE of a submodel reference fails with 500 and deletes nothing
(the server calls its own *create* there), and POST of a package without a file answers 200.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from battery_pilot.sandbox import aas_content, aas_files, aas_packages, aas_views
from battery_pilot.sandbox.aas_content import Refusal
from battery_pilot.sandbox.aas_http import (
    COLLECTIONS,
    answer_refusal,
    decode_id,
    encode_id,
    existing,
    paged,
    read_json,
)
from battery_pilot.sandbox.store import Document, Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

_PROFILES = [
    f"https://admin-shell.io/aas/API/3/{profile}"
    for profile in (
        "1/AssetAdministrationShellRepositoryServiceSpecification/SSP-001",
        "1/SubmodelRepositoryServiceSpecification/SSP-001",
        "1/ConceptDescriptionRepositoryServiceSpecification/SSP-001",
        "1/AasxFileServerServiceSpecification/SSP-001",
        "0/AssetAdministrationShellRepositoryServiceSpecification/SSP-002",
        "0/SubmodelRepositoryServiceSpecification/SSP-002",
    )
]


def create_app(folder: Path) -> FastAPI:
    """Create the AAS server.

    :param folder: where it keeps its database and the uploaded packages; created when missing.
    """
    store = Store(folder / "aas.db")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        store.close()

    app = FastAPI(title="AAS sandbox", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_exception_handler(Refusal, answer_refusal)
    aas_views.add_views(app, store, _filter)
    for collection, model_type in COLLECTIONS.items():
        _add_repository(app, store, collection, model_type)
    _add_submodel_references(app, store)
    _add_elements(app, store)
    _add_lookup(app, store)
    aas_files.add_attachments(app, store, folder / "files")
    aas_packages.add_packages(app, store, folder / "packages")
    aas_packages.add_serialization(app, store)
    return app


def _add_repository(app: FastAPI, store: Store, collection: str, model_type: str) -> None:
    @app.get(f"/{collection}")
    async def list_all(request: Request) -> Response:
        wanted = _filter(request)
        if wanted is None:
            return JSONResponse(
                paged(request, lambda offset, limit: store.page(collection, offset=offset, limit=limit))
            )
        matching = [document for document in store.page(collection) if wanted(document)]
        return JSONResponse(paged(request, lambda offset, limit: matching[offset : offset + limit]))

    @app.post(f"/{collection}")
    async def create(request: Request) -> Response:
        document = await run_in_threadpool(aas_content.verify, model_type, await read_json(request))
        if not store.insert(collection, document["id"], document):
            raise Refusal(HTTPStatus.CONFLICT, f"{model_type} with id {document['id']} already exists.")
        location = f"/{collection}/{encode_id(document['id'])}"
        return JSONResponse(document, HTTPStatus.CREATED, {"Location": location})

    @app.get(f"/{collection}/{{encoded}}")
    async def read(encoded: str) -> Response:
        return JSONResponse(existing(store, collection, decode_id(encoded)))

    @app.put(f"/{collection}/{{encoded}}")
    async def replace(encoded: str, request: Request) -> Response:
        identifier = decode_id(encoded)
        document = await run_in_threadpool(aas_content.verify, model_type, await read_json(request))
        existing(store, collection, identifier)
        if document["id"] != identifier:
            raise Refusal(
                HTTPStatus.BAD_REQUEST, f"The id {document['id']} in the body is not the id {identifier} in the path."
            )
        store.replace(collection, identifier, document)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @app.delete(f"/{collection}/{{encoded}}")
    async def delete(encoded: str) -> Response:
        existing(store, collection, decode_id(encoded))
        store.delete(collection, decode_id(encoded))
        return Response(status_code=HTTPStatus.NO_CONTENT)


def _filter(request: Request) -> Callable[[Document], bool] | None:
    id_short = request.query_params.get("idShort")
    try:
        asset_ids = [json.loads(decode_id(encoded)) for encoded in request.query_params.getlist("assetIds")]
    except ValueError as exception:
        raise Refusal(HTTPStatus.BAD_REQUEST, f"assetIds is not base64url-encoded JSON: {exception}") from exception
    if id_short is None and not asset_ids:
        return None

    def wanted(document: Document) -> bool:
        return (id_short is None or document.get("idShort") == id_short) and _has_asset_ids(document, asset_ids)

    return wanted


def _has_asset_ids(shell: Document, wanted: list[Document]) -> bool:
    information = shell.get("assetInformation", {})
    pairs = {(one["name"], one["value"]) for one in information.get("specificAssetIds", [])}
    pairs.add(("globalAssetId", information.get("globalAssetId", "")))
    return all((one.get("name"), one.get("value")) in pairs for one in wanted)


def _add_submodel_references(app: FastAPI, store: Store) -> None:
    @app.get("/shells/{encoded}/submodel-refs")
    async def list_references(encoded: str, request: Request) -> Response:
        references = existing(store, "shells", decode_id(encoded)).get("submodels", [])
        return JSONResponse(paged(request, lambda offset, limit: references[offset : offset + limit]))

    @app.post("/shells/{encoded}/submodel-refs")
    async def add_reference(encoded: str, request: Request) -> Response:
        reference = aas_content.verify("Reference", await read_json(request))
        shell = existing(store, "shells", decode_id(encoded))
        references = shell.setdefault("submodels", [])
        if any(one["keys"] == reference["keys"] for one in references):
            raise Refusal(HTTPStatus.CONFLICT, f"Requested submodel reference already exists in {shell['id']}.")
        references.append(reference)
        aas_content.verify("AssetAdministrationShell", shell)
        store.replace("shells", shell["id"], shell)
        return JSONResponse(reference, HTTPStatus.CREATED)

    @app.delete("/shells/{encoded}/submodel-refs/{submodel}")
    async def delete_reference(encoded: str, submodel: str) -> Response:
        existing(store, "shells", decode_id(encoded))
        # AASX Server calls its own "create" with a null reference here; a client has to PUT the shell instead.
        raise Refusal(
            HTTPStatus.INTERNAL_SERVER_ERROR,
            f"Object reference not set to an instance of an object (submodel reference {decode_id(submodel)}).",
        )


def _add_elements(app: FastAPI, store: Store) -> None:
    base = "/submodels/{encoded}"
    elements = base + "/submodel-elements"

    @app.post(elements)
    @app.post(elements + "/{path}")
    async def create_element(encoded: str, request: Request, path: str = "") -> Response:
        element = aas_content.verify("SubmodelElement", await read_json(request))
        submodel = existing(store, "submodels", decode_id(encoded))
        parent = aas_content.element_at(submodel, path) if path else submodel
        aas_content.add_child(parent, element)
        _save(store, submodel)
        return JSONResponse(element, HTTPStatus.CREATED)

    @app.put(elements + "/{path}")
    async def replace_element(encoded: str, path: str, request: Request) -> Response:
        element = aas_content.verify("SubmodelElement", await read_json(request))
        submodel = existing(store, "submodels", decode_id(encoded))
        parent, index = aas_content.find(submodel, path)
        aas_content.children(parent)[index] = element
        _save(store, submodel)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @app.delete(elements + "/{path}")
    async def delete_element(encoded: str, path: str) -> Response:
        submodel = existing(store, "submodels", decode_id(encoded))
        aas_content.remove_child(*aas_content.find(submodel, path))
        _save(store, submodel)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    for patched in (base, base + "/$value", base + "/$metadata", elements + "/{path}", elements + "/{path}/$value"):
        app.patch(patched)(_not_implemented)


async def _not_implemented(encoded: str) -> Response:
    raise Refusal(HTTPStatus.NOT_IMPLEMENTED, f"The method or operation is not implemented ({decode_id(encoded)}).")


def _save(store: Store, submodel: Document) -> None:
    # Not in a worker thread: nothing may come between reading the submodel and storing it changed.
    aas_content.verify("Submodel", submodel)
    store.replace("submodels", submodel["id"], submodel)


def _add_lookup(app: FastAPI, store: Store) -> None:
    @app.get("/lookup/shells")
    async def look_up(request: Request) -> Response:
        wanted = _filter(request) or (lambda _: True)
        found = [shell["id"] for shell in store.page("shells") if wanted(shell)]
        return JSONResponse(paged(request, lambda offset, limit: found[offset : offset + limit]))

    @app.get("/description")
    async def describe() -> Response:
        return JSONResponse({"profiles": _PROFILES})

    @app.get("/health")
    async def health() -> Response:
        return JSONResponse({"status": "ok"})
