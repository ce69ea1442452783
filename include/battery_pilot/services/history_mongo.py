"""The history of passports in MongoDB, for an installation with several workers."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

# This module is loaded only where a MongoDB is configured.
from pymongo import ASCENDING, DESCENDING, MongoClient  # noqa: TID253
from pymongo.errors import ConnectionFailure, DuplicateKeyError, PyMongoError  # noqa: TID253

from battery_pilot.errors import InputError
from battery_pilot.passport.history import Head, HistoryEntry, HistoryUnavailable, VersionTaken, next_head
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

log = logging.getLogger(__name__)

TIMEOUT_MILLISECOND = 60_000
SELECTION_TIMEOUT_MILLISECOND = 10_000

Document = dict[str, Any]

_STANDING = ("as_of", "known_until", "version")


class MongoHistory:
    """A history in two collections of a database; any number of processes may share it.

    ``history_entries`` is the history itself. ``history_heads`` keeps the values after a battery's last entry and is no
    more than a shortcut: it is written after the entry and not in one transaction with it, because a single server has
    none, so a reader plays back the entries that it does not know yet.

    :param uri: connection string with the credentials.
    :param database: name of the database.
    :raises HistoryUnavailable: the server cannot be reached.
    :raises InputError: the server refuses, for example the credentials.
    """

    def __init__(self, uri: str, database: str) -> None:
        with _translated():
            self._client: MongoClient[Document] = MongoClient(
                uri, timeoutMS=TIMEOUT_MILLISECOND, serverSelectionTimeoutMS=SELECTION_TIMEOUT_MILLISECOND
            )
            self._entries = self._client[database]["history_entries"]
            self._heads = self._client[database]["history_heads"]
            self._entries.create_index([("battery_id", ASCENDING), ("version", ASCENDING)], unique=True)
            self._entries.create_index([("battery_id", ASCENDING), *((name, ASCENDING) for name in _STANDING)])

    def append(self, entry: HistoryEntry) -> None:
        """Add an entry after the last one of its battery.

        :raises VersionTaken: another entry was appended since this one was made.
        :raises PassportError: the entry's changes do not fit the values before it.
        """
        with _translated():
            after = next_head(self.head(entry.battery_id), entry)
            try:
                self._entries.insert_one(
                    {
                        "battery_id": entry.battery_id,
                        "version": entry.version,
                        "as_of": _sortable(entry.as_of),
                        "known_until": _sortable(entry.known_until),
                        # As text: BSON would cut times to milliseconds, and paths have dots, which are operators there.
                        "entry": entry.model_dump_json(),
                    }
                )
            except DuplicateKeyError as error:
                raise VersionTaken(
                    f"battery {entry.battery_id}: version {entry.version} exists; try again"
                ) from error
            self._keep(after)

    def entries(self, battery_id: str, as_of: datetime | None = None) -> list[HistoryEntry]:
        """Return a battery's entries by version, all or those of one point in time."""
        moment = {} if as_of is None else {"as_of": _sortable(as_of)}
        with _translated():
            return self._find({"battery_id": battery_id, **moment})

    def head(self, battery_id: str) -> Head | None:
        """Return the end of a battery's chain, or ``None`` if there is none."""
        with _translated():
            kept = self._heads.find_one({"_id": battery_id})
            version = kept["version"] if kept else 0
            known = self._find({"battery_id": battery_id, "version": {"$gte": version}})
        head = None
        if kept:
            values = {Tier(tier): values for tier, values in json.loads(kept["values"]).items()}
            head = Head(known.pop(0), values)
        for entry in known:
            head = next_head(head, entry)
        return head

    def current(self, battery_id: str) -> HistoryEntry | None:
        """Return the entry with the greatest (``as_of``, ``known_until``, ``version``), or ``None`` if there is none."""
        with _translated():
            found = self._entries.find_one(
                {"battery_id": battery_id}, sort=[(name, DESCENDING) for name in _STANDING]
            )
        return HistoryEntry.model_validate_json(found["entry"]) if found else None

    def count(self) -> int:
        """Return how many entries there are in all."""
        with _translated():
            return self._entries.count_documents({})

    def _find(self, query: Mapping[str, Any]) -> list[HistoryEntry]:
        found = self._entries.find(query).sort("version", ASCENDING)
        return [HistoryEntry.model_validate_json(document["entry"]) for document in found]

    def _keep(self, head: Head) -> None:
        """Remember a head, unless another process has remembered a later one."""
        battery_id, version = head.entry.battery_id, head.entry.version
        try:
            self._heads.replace_one(
                {"_id": battery_id, "version": {"$lt": version}},
                {"version": version, "values": json.dumps(head.values)},
                upsert=True,
            )
        except DuplicateKeyError:
            log.debug("battery %s: there is a later head than version %d", battery_id, version)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into ours; their texts name hosts but no credentials."""
    try:
        yield
    except ConnectionFailure as error:
        raise HistoryUnavailable(f"history in MongoDB: {str(error)[:300]}; is the server up?") from error
    except PyMongoError as error:
        if error.timeout:
            raise HistoryUnavailable(f"history in MongoDB: {str(error)[:300]}; is the server overloaded?") from error
        raise InputError(f"history in MongoDB: {str(error)[:300]}; check address, credentials and rights") from error


def _sortable(moment: datetime) -> str:
    """Write a point in time so that texts sort like times."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
