"""Packages and serialization of the AAS sandbox: AASX files in and out."""

from __future__ import annotations

import io
import json
import logging
import zipfile
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse

from battery_pilot.sandbox.aas_content import Refusal
from battery_pilot.sandbox.aas_http import COLLECTIONS, decode_id, existing, paged, uploaded

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.sandbox.store import Document, Store

log = logging.getLogger(__name__)

AASX_TYPE = "asset-administration-shell-package"
_ENVIRONMENT_KEYS = {
    "assetAdministrationShells": "shells",
    "submodels": "submodels",
    "conceptDescriptions": "concept-descriptions",
}


def add_packages(app: FastAPI, store: Store, folder: Path) -> None:
    """Add ``/packages``.

    :param app: the server.
    :param store: its documents.
    :param folder: where uploaded files are kept, named by their package id and never by what a client calls them.
    """
    folder.mkdir(parents=True, exist_ok=True)

    @app.get("/packages")
    async def list_packages(request: Request) -> Response:
        aas_id = request.query_params.get("aasId")
        found = [
            {"packageId": package["packageId"], "aasIds": package["aasIds"]}
            for package in store.page("package")
            if aas_id is None or decode_id(aas_id) in package["aasIds"]
        ]
        return JSONResponse(paged(request, lambda offset, limit: found[offset : offset + limit]))

    @app.post("/packages")
    async def upload(request: Request) -> Response:
        upload = await uploaded(request)
        if upload is None:
            return PlainTextResponse("No file was provided.")
        name, content = upload
        if any(package["fileName"] == name for package in store.page("package")):
            raise Refusal(HTTPStatus.CONFLICT, f"File {name} already exists.")
        counter = (store.get("counter", "package") or {"last": 0})["last"] + 1
        package = await run_in_threadpool(_keep, store, folder, str(counter), name, content)
        store.put("counter", "package", {"last": counter})
        return JSONResponse({"packageId": package["packageId"], "aasIds": package["aasIds"]}, HTTPStatus.CREATED)

    @app.put("/packages/{encoded}")
    async def replace(encoded: str, request: Request) -> Response:
        package = _existing_package(store, encoded)
        upload = await uploaded(request)
        if upload is None:
            return PlainTextResponse("No file was provided.")
        await run_in_threadpool(_keep, store, folder, package["packageId"], *upload)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @app.get("/packages/{encoded}")
    async def download(encoded: str) -> Response:
        package = _existing_package(store, encoded)
        return FileResponse(
            folder / f"{package['packageId']}.aasx",
            media_type=f"application/{AASX_TYPE}",
            filename=package["fileName"],
            headers={"X-FileName": package["fileName"]},
        )

    @app.delete("/packages/{encoded}")
    async def delete(encoded: str) -> Response:
        package = _existing_package(store, encoded)
        store.delete("package", package["packageId"])
        (folder / f"{package['packageId']}.aasx").unlink(missing_ok=True)
        return Response(status_code=HTTPStatus.NO_CONTENT)


def add_serialization(app: FastAPI, store: Store) -> None:
    """Add ``/serialization``: an environment as JSON, XML or AASX, as the Accept header asks.

    :param app: the server.
    :param store: its documents.
    """

    @app.get("/serialization")
    async def serialize(request: Request) -> Response:
        environment = _environment(request, store)
        accept = request.headers.get("accept", "")
        if AASX_TYPE in accept or "aasx" in accept:
            content = await run_in_threadpool(_to_aasx, environment)
            return Response(content, media_type=f"application/{AASX_TYPE}")
        if "application/xml" in accept:
            return Response(await run_in_threadpool(_to_xml, environment), media_type="application/xml")
        return JSONResponse(environment)


def _existing_package(store: Store, encoded: str) -> Document:
    identifier = decode_id(encoded)
    package = store.get("package", identifier)
    if package is None:
        raise Refusal(HTTPStatus.NOT_FOUND, f"Package with packageId {identifier} not found.")
    return package


def _keep(store: Store, folder: Path, package_id: str, name: str, content: bytes) -> Document:
    """Read a package's content into the repositories and keep the file itself."""
    identifiables = _read_aasx(name, content)
    for collection, document in identifiables:
        store.put(collection, document["id"], document)
    (folder / f"{package_id}.aasx").write_bytes(content)
    aas_ids = [document["id"] for collection, document in identifiables if collection == "shells"]
    package = {"packageId": package_id, "fileName": name, "aasIds": sorted(aas_ids)}
    store.put("package", package_id, package)
    return package


def _read_aasx(name: str, content: bytes) -> list[tuple[str, Document]]:
    from basyx.aas import model  # noqa: PLC0415 -- a server must start quickly
    from basyx.aas.adapter import aasx  # noqa: PLC0415
    from basyx.aas.adapter.json import AASToJsonEncoder  # noqa: PLC0415

    objects: model.DictIdentifiableStore[Any] = model.DictIdentifiableStore()
    try:
        with aasx.AASXReader(io.BytesIO(content), failsafe=False) as reader:
            reader.read_into(objects, aasx.DictSupplementaryFileContainer())  # type: ignore[no-untyped-call]
    # What basyx raises on a damaged package depends on where the damage is.
    except (
        ValueError,
        KeyError,
        TypeError,
        SyntaxError,
        zipfile.BadZipFile,
        model.AASConstraintViolation,
    ) as exception:
        log.info("package %s refused: %s", name, exception)
        raise Refusal(
            HTTPStatus.BAD_REQUEST, f"File {name} is not a readable AASX package: {exception}"
        ) from exception
    by_type = {model_type: collection for collection, model_type in COLLECTIONS.items()}
    documents = [json.loads(json.dumps(one, cls=AASToJsonEncoder)) for one in objects]
    return [(by_type[document["modelType"]], document) for document in documents]


def _environment(request: Request, store: Store) -> Document:
    """Return what a request asks to serialize; without any id the whole repository."""
    parameters = request.query_params
    wanted = {
        "shells": [decode_id(one) for one in parameters.getlist("aasIds") if one],
        "submodels": [decode_id(one) for one in parameters.getlist("submodelIds") if one],
    }
    if any(wanted.values()):
        parts = {name: [existing(store, name, one) for one in ids] for name, ids in wanted.items()}
    else:
        parts = {name: store.page(name) for name in wanted}
    with_concepts = parameters.get("includeConceptDescriptions", "true").lower()
    if with_concepts not in {"true", "false"}:
        raise Refusal(
            HTTPStatus.BAD_REQUEST, f"includeConceptDescriptions must be true or false, not {with_concepts!r}."
        )
    if with_concepts == "true":
        parts["concept-descriptions"] = store.page("concept-descriptions")
    return {key: parts[name] for key, name in _ENVIRONMENT_KEYS.items() if parts.get(name)}


def _objects(environment: Document) -> Any:
    from basyx.aas.adapter.json import read_aas_json_file  # noqa: PLC0415

    return read_aas_json_file(io.StringIO(json.dumps(environment)), failsafe=False)


def _to_aasx(environment: Document) -> bytes:
    from basyx.aas.adapter import aasx  # noqa: PLC0415

    buffer = io.BytesIO()
    with aasx.AASXWriter(buffer) as writer:
        writer.write_all_aas_objects("/aasx/data.xml", _objects(environment), aasx.DictSupplementaryFileContainer())  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _to_xml(environment: Document) -> bytes:
    from basyx.aas.adapter.xml import write_aas_xml_file  # noqa: PLC0415

    buffer = io.BytesIO()
    write_aas_xml_file(buffer, _objects(environment))
    return buffer.getvalue()
