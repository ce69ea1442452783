"""The files of File elements in the AAS sandbox: upload, download and removal."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import FileResponse

from battery_pilot.sandbox import aas_content
from battery_pilot.sandbox.aas_content import Refusal
from battery_pilot.sandbox.aas_http import decode_id, existing, uploaded

if TYPE_CHECKING:
    from battery_pilot.sandbox.store import Document, Store

_DEFAULT_FOLDER = "/aasx/files"


def add_attachments(app: FastAPI, store: Store, folder: Path) -> None:
    """Add ``/submodels/{id}/submodel-elements/{path}/attachment``.

    AASX Server keeps such a file in the package that the submodel came from and answers 500 where it came in none; the sandbox
    takes it always.

    :param app: the server.
    :param store: its documents.
    :param folder: where the files are kept, under names of the sandbox's own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    route = "/submodels/{encoded}/submodel-elements/{path}/attachment"

    @app.put(route)
    async def replace(encoded: str, path: str, request: Request) -> Response:
        submodel, element = _file_element(store, encoded, path)
        upload = await uploaded(request)
        if upload is None:
            raise Refusal(HTTPStatus.FORBIDDEN, "Cannot proceed as fileName is null")
        name, content = upload
        before = str(element.get("value") or "")
        place = PurePosixPath(before).parent if before.startswith("/") else PurePosixPath(_DEFAULT_FOLDER)
        _kept(folder, submodel, before).unlink(missing_ok=True)
        element["value"] = str(place / name)
        _kept(folder, submodel, element["value"]).write_bytes(content)
        store.replace("submodels", submodel["id"], submodel)
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @app.get(route)
    async def download(encoded: str, path: str) -> Response:
        submodel, element = _file_element(store, encoded, path)
        value = str(element.get("value") or "")
        kept = _kept(folder, submodel, value)
        if not kept.exists():
            raise Refusal(HTTPStatus.NOT_FOUND, f"The file {value} of {path} is not on this server.")
        return FileResponse(kept, media_type=element["contentType"], filename=PurePosixPath(value).name)

    @app.delete(route)
    async def delete(encoded: str, path: str) -> Response:
        submodel, element = _file_element(store, encoded, path)
        _kept(folder, submodel, str(element.pop("value", ""))).unlink(missing_ok=True)
        store.replace("submodels", submodel["id"], submodel)
        return Response(status_code=HTTPStatus.OK)


def _file_element(store: Store, encoded: str, path: str) -> tuple[Document, Document]:
    submodel = existing(store, "submodels", decode_id(encoded))
    element = aas_content.element_at(submodel, path)
    if element["modelType"] != "File":
        raise Refusal(HTTPStatus.NOT_FOUND, f"Submodel element {path} is not of type File.")
    return submodel, element


def _kept(folder: Path, submodel: Document, value: str) -> Path:
    return folder / hashlib.sha256(f"{submodel['id']} {value}".encode()).hexdigest()
