"""The web application: single passports, archives of many, and IDS messages."""

from __future__ import annotations

import base64
import hashlib
import os
import tempfile
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse

from battery_pilot.errors import InputError
from battery_pilot.outbox import bundle_path, bundle_path_of_asset, bundles
from battery_pilot.services.connectors.ids_messages import (
    Message,
    answer_to,
    parse_message,
    rejection,
    write_message,
)
from battery_pilot.services.data_app.access import AccessJournal, Keys, Reader, read_keys
from battery_pilot.services.data_app.archive import archive
from battery_pilot.services.data_app.forms import MEDIA_TYPES, Form, content, wanted_form
from battery_pilot.services.data_app.ids_provider import IdsProvider, description_at
from battery_pilot.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.types import Receive, Scope, Send

MESSAGE_BYTES = 256 * 1024
"""Longest IDS message: it only asks."""

ALL = "all"
"""As ``batch``: every passport of the tier."""


class _Passing(FileResponse):
    """Sends a file and removes it, also when the client hangs up. A file and not bytes: it can be sent in ranges."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            Path(self.path).unlink(missing_ok=True)  # noqa: ASYNC240 -- must happen in a cancelled task too


def from_environment() -> FastAPI:
    """Return the application as the environment describes it.

    ``BATTERY_PILOT_LAKE`` is the lake; ``BATTERY_PILOT_DATA_APP_KEYS`` is the file of keys;
    ``BATTERY_PILOT_DATA_APP_DESCRIPTION`` is where a TRUE Connector v1 shows its self-description, for its provider.

    :raises InputError: the keys are missing.
    """
    provider = load().lake / "provider"
    keys = os.environ.get("BATTERY_PILOT_DATA_APP_KEYS")
    if not keys:
        raise InputError("set BATTERY_PILOT_DATA_APP_KEYS to the file with the connectors' keys")
    url = os.environ.get("BATTERY_PILOT_DATA_APP_DESCRIPTION")
    contracts = IdsProvider(partial(description_at, url), provider / "ids_agreements") if url else None
    return create_app(provider / "outbox", read_keys(Path(keys)), AccessJournal(provider / "access"), contracts)


def create_app(outbox: Path, keys: Keys, journal: AccessJournal, contracts: IdsProvider | None = None) -> FastAPI:
    """Create the application.

    :param outbox: what was released.
    :param keys: who may ask, and for which tier.
    :param journal: where every answer is written down.
    :param contracts: answers IDS messages on offers and contracts; ``None`` where the connector does that itself.
    """
    app = FastAPI(title="Battery Pilot data app", docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    def health() -> Response:
        return JSONResponse({"status": "ok"})

    @app.api_route("/passports/{battery_id:path}", methods=["GET", "HEAD"])
    def passport(
        request: Request,
        battery_id: str,
        format: str | None = None,
        accept: Annotated[str | None, Header()] = None,
    ) -> Response:
        reader = keys.reader(request.headers)
        response = _passport(outbox, reader, battery_id, (accept, format), request)
        journal.write(reader, response.status_code, method=request.method, battery_id=battery_id[:200], form=format)
        return response

    @app.api_route("/files/{path:path}", methods=["GET", "HEAD"])
    def file(request: Request, path: str) -> Response:
        reader = keys.reader(request.headers)
        response = _file(outbox, reader, path, request)
        journal.write(reader, response.status_code, method=request.method, file=path[:400])
        return response

    @app.get("/passports")
    def batch(
        request: Request,
        batch: Annotated[list[str] | None, Query()] = None,
        format: str | None = None,
    ) -> Response:
        reader = keys.reader(request.headers)
        response = _batch(outbox, reader, _names(batch), format)
        journal.write(reader, response.status_code, method="GET", batch=_names(batch), form=format)
        return response

    @app.post("/data")
    @app.post("/data/{key}")  # a TRUE Connector v1 sends no header of its own: it has nothing but an address
    async def data(request: Request, key: str | None = None) -> Response:
        reader = keys.reader(request.headers if key is None else {"x-api-key": key})
        if reader is None:
            journal.write(None, HTTPStatus.UNAUTHORIZED, method="POST")
            return _unauthorised()
        return await run_in_threadpool(
            _message, partial(_answer, outbox, reader, contracts), reader, journal, await _body(request), request
        )

    return app


def _file(outbox: Path, reader: Reader | None, relative: str, request: Request) -> Response:
    """Answer with a file of the outbox by its path, as offers name it: that of the key's tier."""
    if reader is None:
        return _unauthorised()
    tier, *rest = relative.split("/")
    is_plain = rest and all(part and not part.startswith(".") and "\0" not in part for part in rest)
    path = _checked(outbox, relative) if tier == reader.tier and is_plain else None
    if path is None:
        return _not_found()
    headers = {"ETag": _etag(path, Form.BUNDLE), "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    if _is_known(headers["ETag"], request.headers.get("if-none-match")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    media_type = "application/json" if path.suffix in (".json", ".jsonl") else "application/octet-stream"
    return FileResponse(path, media_type=media_type, stat_result=path.stat(), headers=headers)


def _passport(
    outbox: Path, reader: Reader | None, battery_id: str, wishes: tuple[str | None, str | None], request: Request
) -> Response:
    if reader is None:
        return _unauthorised()
    try:
        form = wanted_form(*wishes)
    except InputError as error:
        return _problem(HTTPStatus.BAD_REQUEST, str(error))
    if form is None:
        return _problem(HTTPStatus.NOT_ACCEPTABLE, f"passports come as {', '.join(MEDIA_TYPES.values())}")
    path = _released(outbox, battery_id, reader)
    if path is None:
        return _not_found()
    headers = {"ETag": _etag(path, form), "Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
    if _is_known(headers["ETag"], request.headers.get("if-none-match")):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    if form is Form.BUNDLE:
        return FileResponse(path, media_type=MEDIA_TYPES[form], stat_result=path.stat(), headers=headers)
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(content(path, form))
    return _Passing(file.name, media_type=MEDIA_TYPES[form], headers=headers)


def _batch(outbox: Path, reader: Reader | None, names: list[str], format: str | None) -> Response:
    if reader is None:
        return _unauthorised()
    if not names:
        return _problem(HTTPStatus.BAD_REQUEST, f"name the batteries: ?batch=<id>,<id>… or ?batch={ALL}")
    try:
        form = wanted_form(None, format)
    except InputError as error:
        return _problem(HTTPStatus.BAD_REQUEST, str(error))
    found: Iterable[Path | None]
    if names == [ALL]:
        found = bundles(outbox, reader.tier)
    else:
        found = [_released(outbox, name, reader) for name in names]
        if None in found:
            return _not_found()
    stream: Iterator[bytes] = archive((path for path in found if path is not None), form or Form.BUNDLE)
    return StreamingResponse(
        stream,
        media_type="application/x-tar",
        headers={"Content-Disposition": 'attachment; filename="passports.tar"'},
    )


def _message(
    answering: Callable[[Message], Message],
    reader: Reader,
    journal: AccessJournal,
    body: bytes | None,
    request: Request,
) -> Response:
    if body is None:
        journal.write(reader, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, method="POST")
        return _problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a message has at most {MESSAGE_BYTES} bytes")
    try:
        message = parse_message(body, request.headers.get("content-type", ""))
    except InputError as error:
        journal.write(reader, HTTPStatus.BAD_REQUEST, method="POST")
        return _problem(HTTPStatus.BAD_REQUEST, str(error))
    answer = answering(message)
    journal.write(
        reader,
        HTTPStatus.OK,
        method="POST",
        message=message.kind[:80],
        artifact=(message.target("requestedArtifact") or "")[:400],
        agreement=(message.target("transferContract") or "")[:400],
        answer=answer.kind,
    )
    written, content_type = write_message(answer)
    return Response(written, media_type=content_type)


def _answer(outbox: Path, reader: Reader, contracts: IdsProvider | None, message: Message) -> Message:
    """Answer an IDS message. What goes out is base64: the connectors' proxies strip backslashes and damage non-ASCII."""
    settled = contracts.answer(message) if contracts is not None else None
    if settled is not None:
        return settled
    if message.kind != "ArtifactRequestMessage":
        return rejection(message, "MESSAGE_TYPE_NOT_SUPPORTED")
    artifact = message.target("requestedArtifact")
    if not artifact:
        return rejection(message, "BAD_PARAMETERS")
    if contracts is not None and not contracts.permits(message.target("transferContract") or "", artifact):
        return rejection(message, "NOT_AUTHORIZED")
    name = artifact.rstrip("/").rpartition("/")[2]
    offered = bundle_path_of_asset(name)
    if offered is not None and offered[1] is not reader.tier:
        return rejection(message, "NOT_AUTHORIZED")
    path = _checked(outbox, offered[0]) if offered is not None else _released(outbox, name, reader)
    if path is None:
        return rejection(message, "NOT_FOUND")
    header: dict[str, Any] = answer_to(message, "ArtifactResponseMessage")
    return Message(header, base64.b64encode(path.read_bytes()))


async def _body(request: Request) -> bytes | None:
    """Read a body of bounded length; ``None`` if it is longer."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MESSAGE_BYTES:
            return None
    return bytes(body)


def _names(batch: list[str] | None) -> list[str]:
    return [name for part in batch or () for name in part.split(",") if name]


def _released(outbox: Path, battery_id: str, reader: Reader) -> Path | None:
    return _checked(outbox, bundle_path(battery_id, reader.tier)) if battery_id else None


def _checked(outbox: Path, relative: str) -> Path | None:
    """Return a regular file of the outbox; nothing that a link leads to outside."""
    path = outbox / relative
    is_inside = path.resolve().is_relative_to(outbox.resolve())
    return path if is_inside and path.is_file() else None


def _etag(path: Path, form: Form) -> str:
    state = path.stat()
    return f'"{hashlib.sha256(f"{state.st_mtime_ns}-{state.st_size}-{form}".encode()).hexdigest()[:32]}"'


def _is_known(etag: str, header: str | None) -> bool:
    known = [one.strip().removeprefix("W/") for one in (header or "").split(",")]
    return etag in known or "*" in known


def _problem(status: HTTPStatus, detail: str) -> Response:
    return JSONResponse({"detail": detail}, status)


def _unauthorised() -> Response:
    return JSONResponse(
        {"detail": "a connector's key is needed"}, HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"}
    )


def _not_found() -> Response:
    # The same words whether a battery is unknown or only not released for this tier.
    return _problem(HTTPStatus.NOT_FOUND, "no such passport")
