"""How a consumer of EDC gets at the data of a transfer: address and token, renewal, and what was pushed."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from battery_pilot.errors import InputError, NotFound, ServerRefused, ServerUnavailable
from battery_pilot.services.answers import TooLarge
from battery_pilot.services.connectors.jsonld import text_of
from battery_pilot.services.http import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from battery_pilot.services.connectors.edc_management import EdcManagement
    from battery_pilot.services.connectors.inbox import Inbox
    from battery_pilot.services.connectors.model import Transfer
    from battery_pilot.services.http import HttpClient

log = logging.getLogger(__name__)

REFUSED = frozenset({401, 403})
CHUNK_BYTES = 64 * 2**10


class EdcData:
    """The data of transfers. Threads may share it.

    :param management: where addresses come from when they are not delivered.
    :param inbox: where addresses and pushed files arrive, ``None`` when the connector keeps the addresses itself.
    :param is_delivered: whether addresses arrive in the inbox.
    :param client: makes a client of an address with headers.
    :param look: reads the state of a transfer.
    :param data_hosts: hosts from which data may be fetched, in small letters; ``None`` for any.
    :param attempts: how often an address that is late, or an answer that breaks off, is tried.
    :param wait_second: between two attempts.
    """

    def __init__(
        self,
        management: EdcManagement,
        *,
        inbox: Inbox | None,
        is_delivered: bool,
        client: Callable[[str, dict[str, str]], HttpClient],
        look: Callable[[str], Transfer],
        data_hosts: Collection[str] | None,
        attempts: int,
        wait_second: float,
    ) -> None:
        self._management = management
        self.inbox = inbox
        self._is_delivered = is_delivered
        self._client = client
        self._look = look
        self._data_hosts = data_hosts
        self._attempts = attempts
        self._wait_second = wait_second
        self._sources: dict[str, HttpClient] = {}

    def fetch(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> bytes:
        """Get data as a whole; see :meth:`EdcConnector.fetch`."""
        pushed = self._pushed(transfer_id, path)
        if pushed is not None:
            return b"".join(_read(pushed, maximum_bytes))
        below = _below(path)
        source = self._sources.get(transfer_id) or self._source(transfer_id)
        try:
            return source.request("GET", below, maximum_bytes=maximum_bytes).body
        except ServerRefused as refusal:
            if refusal.status not in REFUSED:
                raise
            log.info("transfer %s: %s; asking for a new token", transfer_id, refusal.status)
            return self._source(transfer_id).request("GET", below, maximum_bytes=maximum_bytes).body

    def stream(self, transfer_id: str, *, maximum_bytes: int, path: str = "") -> Iterator[bytes]:
        """Get data piece by piece; see :meth:`EdcConnector.stream`."""
        pushed = self._pushed(transfer_id, path)
        if pushed is not None:
            yield from _read(pushed, maximum_bytes)
            return
        progress = Progress()
        source = self._sources.get(transfer_id) or self._source(transfer_id)
        is_renewed = False
        for attempt in range(1, self._attempts + 1):
            try:
                yield from source.stream(_below(path), maximum_bytes=maximum_bytes, progress=progress)
            except ServerRefused as refusal:
                if refusal.status not in REFUSED or is_renewed:
                    raise
                log.info("transfer %s: %s; asking for a new token", transfer_id, refusal.status)
                source, is_renewed = self._source(transfer_id), True
            except ServerUnavailable as problem:
                if attempt == self._attempts or (progress.received and progress.etag is None):
                    raise
                log.warning("transfer %s: %s; going on after %d bytes", transfer_id, problem, progress.received)
                time.sleep(self._wait_second)
            else:
                return
        raise ServerUnavailable("GET", transfer_id, None, f"not complete after {self._attempts} attempts")

    def forget(self, transfer_id: str) -> None:
        """Keep nothing of a transfer: no token, no address, no pushed file."""
        self._sources.pop(transfer_id, None)
        if self.inbox is not None:
            self.inbox.forget(transfer_id)

    def _pushed(self, transfer_id: str, path: str) -> Path | None:
        """Return the file of a transfer that is pushed; ``None`` for one that is pulled."""
        if self.inbox is None or not self.inbox.is_pushed(transfer_id):
            return None
        if path:
            raise InputError(f"path {path[:80]!r}: a pushed transfer brings one file and has nothing below it")
        found = self.inbox.content(transfer_id)
        if found is None:
            raise NotFound("GET", transfer_id, 404, "nothing was pushed for this transfer yet")
        return found

    def _source(self, transfer_id: str) -> HttpClient:
        """Get the address and token of a transfer (its endpoint data reference, EDR) and keep them for further fetches."""
        address = self._address(transfer_id)
        endpoint = text_of(address, "endpoint") or ""
        self._demand_allowed(transfer_id, endpoint)
        token = text_of(address, "authorization")
        # EDC expects the token as it is, without the word "Bearer".
        headers = {} if token is None else {"Authorization": token}
        source = self._sources[transfer_id] = self._client(endpoint, headers)
        return source

    def _address(self, transfer_id: str) -> dict[str, Any]:
        """Read where and with which token to fetch; a transfer may have started a little before that arrives."""
        for attempt in range(self._attempts):
            try:
                return self._known_address(transfer_id)
            except NotFound as missing:
                if not self._look(transfer_id).state.is_ready:
                    raise
                late = ServerUnavailable(missing.method, missing.url, 404, "the data address is not here yet")
            if attempt + 1 < self._attempts:
                time.sleep(self._wait_second)
        raise late

    def _known_address(self, transfer_id: str) -> dict[str, Any]:
        if not self._is_delivered or self.inbox is None:
            return self._management.look(f"/edrs/{quote(transfer_id)}/dataaddress", transfer_id)
        found = self.inbox.address(transfer_id)
        if found is None:
            raise NotFound("GET", transfer_id, 404, "our connector has delivered no data address to the inbox")
        return found

    def _demand_allowed(self, transfer_id: str, endpoint: str) -> None:
        try:
            parts = urlsplit(endpoint)
            host = parts.hostname if parts.scheme in {"http", "https"} else None
        except ValueError:  # the brackets of an IPv6 address are wrong
            host = None
        if not host:
            raise InputError(f"transfer {transfer_id}: the counterparty's data address is none of http or https")
        if self._data_hosts is not None and host not in self._data_hosts:
            raise InputError(
                f"transfer {transfer_id}: the counterparty's data lie on host {host!r}, which may not be asked: if it is "
                "the counterparty's, add it to data_hosts in the extra of the connector's connection"
            )


def _below(path: str) -> str:
    return f"/{quote(path)}" if path else ""


def _read(path: Path, maximum_bytes: int) -> Iterator[bytes]:
    if path.stat().st_size > maximum_bytes:
        raise TooLarge("GET", path.name, None, f"more than the {maximum_bytes} bytes that are accepted were pushed")
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
