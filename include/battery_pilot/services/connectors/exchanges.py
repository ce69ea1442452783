"""What was said in a negotiation or transfer: every request and answer, without its secrets."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.services.connectors.inbox import SECRET, Way
from battery_pilot.services.connectors.jsonld import local_name
from battery_pilot.sqlite_file import transaction

if TYPE_CHECKING:
    from pathlib import Path

SECRET_WORDS = ("authorization", "authcode", "authkey", "secret", "token", "password", "apikey", "api-key")
"""A member of a document whose name has one of these words is not kept."""

REMOVED = "***"
INBOX_ADDRESS = re.compile(rf"(/(?:{'|'.join(Way)})/){SECRET.pattern}")
"""One-time addresses of :mod:`battery_pilot.services.connectors.inbox`."""


@dataclass(frozen=True)
class Exchange:
    """A request and what came back.

    :param process_id: the negotiation or transfer that it was about; of a negotiation that did not begin, the asset.
    :param method: HTTP method.
    :param url: address without credentials and query.
    :param sent: body of the request.
    :param status: HTTP status, ``None`` when no answer came.
    :param received: body of the answer, or the error in words.
    :param first_at: when it was said first (ISO 8601, UTC).
    :param last_at: when the same was said last without anything else between: a poll that finds nothing new.
    :param times: how often.
    """

    process_id: str
    method: str
    url: str
    sent: Any
    status: int | None
    received: Any
    first_at: str = ""
    last_at: str = ""
    times: int = 1


class ExchangeJournal:
    """The journal, a SQLite file; every call is a transaction of its own. Threads and processes may share the file.

    :param path: the file, made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with transaction(self._path) as connection:
            connection.execute(
                "CREATE TABLE IF NOT EXISTS exchange (number INTEGER PRIMARY KEY, process_id TEXT, method TEXT, url TEXT, "
                "sent TEXT, status INTEGER, received TEXT, first_at TEXT, last_at TEXT, times INTEGER)"
            )
            connection.execute("CREATE INDEX IF NOT EXISTS exchange_of ON exchange (process_id, number)")

    def put(self, exchange: Exchange) -> None:
        """Write an exchange down without its secrets; one that repeats the last of its process is only counted."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        content = (
            exchange.method,
            exchange.url,
            json.dumps(without_secrets(exchange.sent)),
            exchange.status,
            json.dumps(without_secrets(exchange.received)),
        )
        with transaction(self._path) as connection:
            # The lock comes before the look, so that two threads do not both miss the other's exchange.
            connection.execute("BEGIN IMMEDIATE")
            last = connection.execute(
                "SELECT number, method, url, sent, status, received FROM exchange WHERE process_id = ? "
                "ORDER BY number DESC LIMIT 1",
                (exchange.process_id,),
            ).fetchone()
            if last is not None and last[1:] == content:
                connection.execute(
                    "UPDATE exchange SET last_at = ?, times = times + 1 WHERE number = ?", (now, last[0])
                )
                return
            connection.execute(
                "INSERT INTO exchange (process_id, method, url, sent, status, received, first_at, last_at, times) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1)",
                (exchange.process_id, *content, now, now),
            )

    def of(self, *process_ids: str) -> list[Exchange]:
        """Return what was said in negotiations and transfers, in order of time."""
        marks = ", ".join("?" * len(process_ids))
        query = (
            "SELECT process_id, method, url, sent, status, received, first_at, last_at, times FROM exchange "  # noqa: S608
            f"WHERE process_id IN ({marks}) ORDER BY number"
        )
        with transaction(self._path) as connection:
            rows = connection.execute(query, process_ids).fetchall()
        return [
            Exchange(process, method, url, json.loads(sent), status, json.loads(received), *times)
            for process, method, url, sent, status, received, *times in rows
        ]


def without_secrets(value: Any) -> Any:
    """Return a JSON value whose secret members are replaced by ``***``.

    A property of a list that is given as ``name`` and ``value``, as connectors write the token of an address, counts too.
    """
    if isinstance(value, list):
        return [without_secrets(one) for one in value]
    if isinstance(value, str):
        return INBOX_ADDRESS.sub(rf"\1{REMOVED}", value)
    if not isinstance(value, dict):
        return value
    named = isinstance(value.get("name"), str) and _is_secret(value["name"])
    return {
        key: REMOVED if _is_secret(key) or (named and local_name(key) == "value") else without_secrets(part)
        for key, part in value.items()
    }


def _is_secret(name: str) -> bool:
    plain = local_name(name).lower().replace("_", "")
    return any(word in plain for word in SECRET_WORDS)
