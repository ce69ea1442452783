"""What one sandbox connector is: its identity, its memory, its way of sending, and its background work."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from battery_pilot.sandbox.jsonld import DSP_CONTEXT
from battery_pilot.sandbox.network import is_loopback
from battery_pilot.sandbox.store import Document, Store

log = logging.getLogger(__name__)

PROTOCOL = "dataspace-protocol-http:2025-1"
PROTOCOL_PATH = "/protocol/2025-1"
STEP_SECONDS = 0.05
MAX_ATTEMPTS = 5


class Unreachable(Exception):
    """The counterparty did not answer, or answered with a server error; trying again may help."""


class Refused(Exception):
    """The counterparty refused a message; its reason is the text."""


@dataclass(frozen=True)
class Connector:
    """One connector.

    :param participant_id: its name in the data space.
    :param base_url: where it is reached, without a trailing slash.
    :param api_key: what ``x-api-key`` must be on the management API.
    :param store: what it remembers.
    :param client: sends messages to other connectors and fetches data.
    """

    participant_id: str
    base_url: str
    api_key: str
    store: Store
    client: httpx.AsyncClient
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _driven: set[str] = field(default_factory=set)

    @property
    def protocol_url(self) -> str:
        """The address that other connectors send their messages to."""
        return self.base_url + PROTOCOL_PATH

    async def send(self, address: str, path: str, message_type: str, **content: Any) -> Document:
        """Send a message of the Dataspace Protocol and return the answer's JSON (empty for an empty answer).

        The identity travels as EDC's ``iam-mock`` sends it: unsigned JSON in the Authorization header.

        :param address: the counterparty's protocol address.
        :param path: below it.
        :param message_type: the message's ``@type``.
        :param content: the message's other parts.
        :raises Unreachable: no answer, a 5xx, or an address that is not on this machine.
        :raises Refused: a 4xx, with the counterparty's reason.
        """
        message = {"@context": [DSP_CONTEXT], "@type": message_type, **content}
        return await self._exchange("POST", address, path, message)

    async def fetch(self, address: str, path: str) -> Document:
        """Get a resource of the Dataspace Protocol; refusals as in :meth:`send`."""
        return await self._exchange("GET", address, path, None)

    async def _exchange(self, method: str, address: str, path: str, message: Document | None) -> Document:
        url = address.rstrip("/") + path
        if not is_loopback(url):
            raise Unreachable(f"{url}: the sandbox talks to http addresses of this machine only")
        headers = {"Authorization": json.dumps({"audience": address, "clientId": self.participant_id})}
        try:
            answer = await self.client.request(method, url, json=message, headers=headers)
        except httpx.HTTPError as exception:
            raise Unreachable(f"{url}: {exception or type(exception).__name__}") from exception
        if answer.status_code >= 500:
            raise Unreachable(f"{url}: {answer.status_code}: {answer.text[:200]}")
        if answer.status_code >= 400:
            raise Refused(_reason(answer))
        return answer.json() if answer.content else {}

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Start background work that ends with the connector."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop the background work; what it was doing goes on at the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.client.aclose()
        self.store.close()

    def transition(self, kind: str, identifier: str, expected: tuple[str, ...], state: str, **changes: Any) -> bool:
        """Move a negotiation or transfer to another state, if it still is in an expected one.

        No ``await`` lies between reading and writing, so that a message that arrives meanwhile is never overwritten.

        :param kind: ``negotiation`` or ``transfer``.
        :param identifier: the process.
        :param expected: the states from which it may move.
        :param state: the new state.
        :param changes: other fields to set.
        """
        process = self.store.get(kind, identifier)
        if process is None or process["state"] not in expected:
            return False
        process.update(changes, state=state, stateTimestamp=milliseconds())
        return self.store.replace(kind, identifier, process)

    def drive(self, kind: str, identifier: str, step_of: StepFinder) -> None:
        """Advance a negotiation or transfer in the background until it has to wait for the counterparty."""
        if identifier not in self._driven:
            self._driven.add(identifier)
            self.spawn(self._drive(kind, identifier, step_of))

    async def _drive(self, kind: str, identifier: str, step_of: StepFinder) -> None:
        attempts = 0
        try:
            while True:
                await asyncio.sleep(STEP_SECONDS * 2**attempts)
                process = self.store.get(kind, identifier)
                step = step_of(process) if process else None
                if process is None or step is None:
                    return
                try:
                    await step(self, process)
                    attempts = 0
                except Refused as refusal:
                    self._give_up(kind, process, str(refusal))
                except Unreachable as problem:
                    attempts += 1
                    if attempts == MAX_ATTEMPTS:
                        self._give_up(kind, process, str(problem), silently=True)
        finally:
            self._driven.discard(identifier)

    def _give_up(self, kind: str, process: Document, reason: str, *, silently: bool = False) -> None:
        """Terminate a process; the counterparty is told unless it never knew of it or cannot be reached."""
        silently = silently or process["state"] in ("REQUESTING", "TERMINATING")
        log.info("%s %s of %s ends: %s", kind, process["id"], self.participant_id, reason)
        detail = process.get("errorDetail") or reason
        state = "TERMINATED" if silently else "TERMINATING"
        self.transition(kind, process["id"], (process["state"],), state, errorDetail=detail)


Step = Callable[[Connector, Document], Awaitable[None]]
StepFinder = Callable[[Document], Step | None]


def _reason(answer: httpx.Response) -> str:
    try:
        reasons = answer.json().get("reason", [])
    except (ValueError, AttributeError):
        reasons = []
    return "; ".join(map(str, reasons)) or f"{answer.status_code}: {answer.text[:200]}"


def milliseconds() -> int:
    """Return the time now as EDC writes it, in milliseconds since 1970."""
    return int(time.time() * 1000)


def instant() -> str:
    """Return the time now in ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
