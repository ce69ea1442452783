"""What the parts of the TRUE Connector sandbox share: state, answers, and messages to others."""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from fastapi.responses import JSONResponse

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import Request, Response

    from battery_pilot.sandbox.store import Document, Store

USER = "admin@mail.com"
PEER = "connector@mail.com"
PASSWORD = "password"  # noqa: S105 -- the fixed accounts of the real one
CONTEXT = ["https://w3id.org/dspace/2025/1/context.jsonld"]


class Refused(Exception):
    """A request that is answered with an error.

    :param status: HTTP status.
    :param message: the connector's words.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Site:
    """One connector.

    :param participant_id: its id in the data space.
    :param base_url: where it listens.
    :param folder: where it keeps files.
    :param store: what it remembers.
    :param client: how it calls others.
    """

    participant_id: str
    base_url: str
    folder: Path
    store: Store
    client: httpx.Client

    def send(self, url: str, message: Document) -> Document:
        """Send a message of the protocol to another connector.

        :raises Refused: the other one is not there or refuses; with its words.
        """
        try:
            answer = self.client.post(url, json={"@context": CONTEXT, **message}, auth=(PEER, PASSWORD))
        except httpx.HTTPError as error:
            raise Refused(500, 'argument "content" is null') from error
        if answer.is_error:
            raise Refused(400, f"Error making request: {answer.text[:300]}")
        return dict(answer.json()) if answer.content else {}

    def one(self, kind: str, key: str, name: str) -> Document:
        """Return a negotiation or transfer by its id.

        :raises Refused: there is none; the real connector says so with 400.
        """
        found = self.store.get(kind, key)
        if found is None:
            raise Refused(400, f"{name} with id {key} not found")
        return found

    def by_pid(self, kind: str, pid: str) -> Document:
        """Return a negotiation or transfer by our process id of the protocol."""
        for document in self.store.page(kind):
            if document[f"{document['role']}Pid"] == pid:
                return document
        raise Refused(404, f"{kind} with pid {pid} not found")

    def move(self, kind: str, document: Document, state: str, **changes: Any) -> Document:
        """Store a negotiation or transfer in a new state.

        :raises Refused: the protocol has no such step.
        """
        if state not in STEPS.get(document["state"], ()):
            raise Refused(400, f"State transition aborted, {document['state']} state can not transition to {state}")
        moved = {**document, **changes, "state": state}
        self.store.put(kind, moved["@id"], moved)
        return moved


STEPS = {
    "REQUESTED": ("AGREED", "STARTED", "TERMINATED"),
    "AGREED": ("VERIFIED", "TERMINATED"),
    "VERIFIED": ("FINALIZED", "TERMINATED"),
    "INITIALIZED": ("REQUESTED", "TERMINATED"),
    "STARTED": ("COMPLETED", "SUSPENDED", "TERMINATED"),
    "SUSPENDED": ("STARTED", "TERMINATED"),
}
"""States of negotiations and transfers, and those that may follow."""


def done(message: str, data: Any = None, status: int = 200) -> Response:
    """Answer in the envelope of the management API."""
    body = {"success": True, "message": message, "timestamp": now()}
    return JSONResponse(body if data is None else {**body, "data": data}, status)


def page(site: Site, kind: str, query: dict[str, str]) -> Response:
    """Answer with a page of documents whose members have the values of the query, newest first."""
    number, size = int(query.pop("page", 0)), int(query.pop("size", 20))
    query.pop("sort", None)
    found = [
        one
        for one in reversed(site.store.page(kind))
        if all(str(one.get(key)) == value for key, value in query.items())
    ]
    pages = -(-len(found) // size)
    content = {
        "content": found[number * size : (number + 1) * size],
        "page": {"size": size, "totalElements": len(found), "totalPages": pages, "number": number},
    }
    return JSONResponse({"response": {"success": True, "message": kind, "data": content, "timestamp": now()}})


def refused(_: Request, error: Exception) -> Response:
    """Answer with an error in the envelope."""
    status = error.status if isinstance(error, Refused) else 500
    return JSONResponse({"success": False, "message": str(error), "timestamp": now()}, status)


def check_login(request: Request, user: str) -> None:
    """Refuse a request without the account's password.

    :raises Refused: with 401.
    """
    expected = "Basic " + base64.b64encode(f"{user}:{PASSWORD}".encode()).decode()
    if not hmac.compare_digest(request.headers.get("authorization", "").encode(), expected.encode()):
        raise Refused(401, f"Unauthorized: {request.url.path}")


def now() -> str:
    """Return the time as the connector writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
