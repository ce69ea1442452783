"""A local stand-in for TRUE Connector v1: self-description API, IDS endpoint ``/data``, and the data app's ``/proxy``.

What the reference tells of the real one is kept, faults included: ids travel in headers, the proxy strips every backslash and
damages what is not ASCII, five refused passwords lock an account, a contract request must repeat the permission's id and
target. One address has all three, where the real one is two programs with a port each.

The real one (met at 1.14.11) passes every message on to its data app. The sandbox passes on requests for artifacts only and
answers those on offers and contracts by itself.

Not covered: WebSocket, DAPS, usage control, contract offers and representations by themselves.
"""

from __future__ import annotations

import base64
import hmac
import json
import uuid
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import httpx
from fastapi import Body, FastAPI, Header, Request, Response
from fastapi.responses import JSONResponse

from battery_pilot.sandbox.store import Document, Store
from battery_pilot.services.connectors.ids_messages import (
    AUTOGEN,
    CODE,
    CONNECTOR,
    CONTEXT,
    Message,
    answer_to,
    parse_message,
    rejection,
    write_message,
)
from battery_pilot.services.connectors.jsonld import listed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

API_LOGIN = ("apiUser", "passwordApiUser")
PROXY_LOGIN = ("idsUser", "passwordIdsUser")
FAILURES = 5
CATALOGUE = f"{AUTOGEN}resourceCatalog/sandbox"
STATUSES = {
    "NOT_FOUND": 404,
    "NOT_AUTHORIZED": 401,
    "NOT_AUTHENTICATED": 511,
    "INTERNAL_RECIPIENT_ERROR": 500,
    "MALFORMED_MESSAGE": 400,
    "TEMPORARILY_NOT_AVAILABLE": 503,
    "TOO_MANY_RESULTS": 413,
}


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class _Site:
    participant_id: str
    data_app: tuple[str, str] | None
    store: Store
    client: httpx.Client
    failures: Counter[str] = field(default_factory=Counter)

    def check(self, request: Request, login: tuple[str, str]) -> None:
        """Demand a login; after five wrong ones it is locked."""
        user, password = login
        expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        is_right = hmac.compare_digest(request.headers.get("authorization", "").encode(), expected.encode())
        if self.failures[user] < FAILURES and is_right:
            self.failures[user] = 0
            return
        self.failures[user] += 1
        raise _Refused(401, "Unauthorized")

    def description(self) -> Document:
        return {
            "@context": CONTEXT,
            "@type": "ids:BaseConnector",
            "@id": f"{CONNECTOR}{self.participant_id}",
            "ids:resourceCatalog": [
                {
                    "@type": "ids:ResourceCatalog",
                    "@id": CATALOGUE,
                    "ids:offeredResource": self.store.page("resource"),
                }
            ],
        }


def create_app(
    folder: Path, *, participant_id: str, base_url: str = "", data_app: tuple[str, str] | None = None
) -> FastAPI:
    """Create a connector.

    :param folder: where it keeps its database; created when missing.
    :param participant_id: its name in the data space.
    :param base_url: where others reach it; it does not need to know.
    :param data_app: a provider's data app: address of its ``/data``, and key.
    """
    del base_url
    client = httpx.Client(timeout=10, trust_env=False)
    site = _Site(participant_id, data_app, Store(folder / "true-ids.db"), client)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        site.client.close()
        site.store.close()

    app = FastAPI(
        title=f"TRUE Connector v1 sandbox {participant_id}", lifespan=lifespan, docs_url=None, redoc_url=None
    )

    @app.exception_handler(_Refused)
    def refused(_: Request, error: _Refused) -> Response:
        return JSONResponse({"message": str(error)}, error.status)

    @app.get("/about/version")
    def version() -> Response:
        return Response("1.14.8", media_type="text/plain")

    _add_self_description(app, site)
    _add_data(app, site)
    _add_proxy(app, site)
    return app


def _add_self_description(app: FastAPI, site: _Site) -> None:
    @app.get("/api/selfDescription/")
    def description(request: Request) -> Document:
        site.check(request, API_LOGIN)
        return site.description()

    @app.api_route("/api/offeredResource/", methods=["POST", "PUT"])
    def store(
        request: Request, document: Annotated[dict[str, Any], Body()], catalog: Annotated[str | None, Header()] = None
    ) -> Document:
        site.check(request, API_LOGIN)
        if catalog is None:
            raise _Refused(500, "Required request header 'catalog' is not present")
        if catalog != CATALOGUE or "@context" not in document:
            raise _Refused(400, "Could not transform input to an appropriate implementing class")
        is_known = site.store.get("resource", document["@id"]) is not None
        if is_known is (request.method == "POST"):
            raise _Refused(400 if is_known else 404, "Resource already exists" if is_known else "Resource not found")
        site.store.put("resource", document["@id"], document)
        return site.description()

    @app.get("/api/offeredResource/")
    def one(request: Request, resource: Annotated[str, Header()]) -> Document:
        site.check(request, API_LOGIN)
        found = site.store.get("resource", resource)
        if found is None:
            raise _Refused(404, f"Did not find resource {resource}")
        return found

    @app.delete("/api/offeredResource/")
    def delete(request: Request, resource: Annotated[str, Header()]) -> Document:
        site.check(request, API_LOGIN)
        if not site.store.delete("resource", resource):
            raise _Refused(404, f"Did not find resource {resource}")
        return site.description()


def _add_data(app: FastAPI, site: _Site) -> None:
    answers: dict[str, Callable[[_Site, Message], Message]] = {
        "DescriptionRequestMessage": _described,
        "ContractRequestMessage": _agreed,
        "ContractAgreementMessage": _processed,
        "ArtifactRequestMessage": _artifact,
    }

    @app.post("/data")
    async def data(request: Request) -> Response:
        message = parse_message(await request.body(), request.headers["content-type"])
        answer = answers.get(message.kind)
        reply = answer(site, message) if answer else rejection(message, "MESSAGE_TYPE_NOT_SUPPORTED")
        body, content_type = write_message(reply)
        return Response(body, media_type=content_type)


def _described(site: _Site, message: Message) -> Message:
    element = message.target("requestedElement")
    found = site.store.get("resource", element) if element else site.description()
    if found is None:
        return rejection(message, "NOT_FOUND")
    return Message(answer_to(message, "DescriptionResponseMessage"), json.dumps(found).encode())


def _agreed(site: _Site, message: Message) -> Message:
    """Agree to a request that repeats an offered permission's id and target. Its constraints are not looked at."""
    wanted = json.loads(message.payload)
    offered = {
        (permission["@id"], permission["ids:target"]["@id"])
        for resource in site.store.page("resource")
        for contract in listed(resource.get("ids:contractOffer"))
        for permission in listed(contract.get("ids:permission"))
    }
    permissions = listed(wanted.get("ids:permission"))
    asked = {(one["@id"], one["ids:target"]["@id"]) for one in permissions}
    if not asked or not asked <= offered:
        return rejection(message, "NOT_FOUND")
    agreement = {
        "@context": CONTEXT,
        "@type": "ids:ContractAgreement",
        "@id": f"{AUTOGEN}contractAgreement/{uuid.uuid4()}",
        **{name: wanted[name] for name in ("ids:permission", "ids:provider", "ids:consumer")},
    }
    site.store.put("agreement", agreement["@id"], agreement)
    return Message(answer_to(message, "ContractAgreementMessage"), json.dumps(agreement).encode())


def _processed(site: _Site, message: Message) -> Message:
    agreement = json.loads(message.payload)
    if site.store.get("agreement", agreement["@id"]) is None:
        return rejection(message, "NOT_FOUND")
    return Message(answer_to(message, "MessageProcessedNotificationMessage"))


def _artifact(site: _Site, message: Message) -> Message:
    agreement = site.store.get("agreement", message.target("transferContract") or "")
    if site.data_app is None or agreement is None:
        return rejection(message, "NOT_AUTHORIZED")
    body, content_type = write_message(message)
    url, key = site.data_app
    answer = site.client.post(url, content=body, headers={"Content-Type": content_type, "X-Api-Key": key})
    if answer.is_error:
        return rejection(message, "INTERNAL_RECIPIENT_ERROR")
    return parse_message(answer.content, answer.headers["content-type"])


def _add_proxy(app: FastAPI, site: _Site) -> None:
    @app.post("/proxy")
    def proxy(request: Request, wish: Annotated[dict[str, Any], Body()]) -> Response:
        site.check(request, PROXY_LOGIN)
        if "multipart" not in wish:
            return Response("Multipart field not found in request, mandatory for the flow")
        header = answer_to(Message({}), wish["messageType"])
        for name in ("requestedElement", "requestedArtifact", "transferContract"):
            if wish.get(name):
                header[f"ids:{name}"] = {"@id": wish[name]}
        payload = wish.get("payload") or ""
        # As the real one does it: all backslashes go, and characters that ISO-8859-1 does not know become question marks.
        written = payload.replace("\\", "") if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
        body, content_type = write_message(Message(header, written.encode("iso-8859-1", "replace")))
        try:
            sent = site.client.post(wish["Forward-To"], content=body, headers={"Content-Type": content_type})
        except httpx.HTTPError:
            return Response("Message could not be processed", 500)
        answer = parse_message(sent.content, sent.headers["content-type"])
        if answer.kind == "RejectionMessage":
            reason = (answer.target("rejectionReason") or "").removeprefix(CODE)
            return Response(reason, STATUSES.get(reason, 500))
        return Response(answer.payload, media_type="text/plain")
