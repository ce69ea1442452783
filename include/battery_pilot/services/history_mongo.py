"""The history of passports in MongoDB, for an installation with several workers."""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

# This module is loaded only where a MongoDB is configured.
from pymongo import ASCENDING, DESCENDING, MongoClient, ReplaceOne  # noqa: TID253
from pymongo.errors import BulkWriteError, ConnectionFailure, PyMongoError  # noqa: TID253

from battery_pilot.errors import InputError
from battery_pilot.passport.chain import Head, HistoryEntry, demand_appended, next_head, next_heads
from battery_pilot.passport.history import HistoryUnavailable, read_entry
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

TIMEOUT_MILLISECOND = 60_000
SELECTION_TIMEOUT_MILLISECOND = 10_000

Document = dict[str, Any]

_STANDING = ("as_of", "known_until", "version")
_UNKNOWN: Document = {"version": 0}
_DUPLICATE_KEY = 11000


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

    def append_all(self, entries: Sequence[HistoryEntry]) -> set[str]:
        """Add each entry after the last one of its battery and return the batteries left out.

        The unique index decides between processes: who inserts a version first has it.

        :raises PassportError: an entry's changes do not fit the values before it; nothing at all was added.
        """
        after, taken = next_heads(self.heads(entry.battery_id for entry in entries), entries)
        if not after:
            return taken
        with _translated():
            try:
                self._entries.insert_many([_document(head.entry) for head in after], ordered=False)
            except BulkWriteError as error:
                taken |= {after[number].entry.battery_id for number in _duplicates(error)}
            self._keep([head for head in after if head.entry.battery_id not in taken])
        return taken

    def heads(self, battery_ids: Iterable[str]) -> dict[str, Head]:
        """Return the ends of the chains of all those batteries that have one."""
        wanted = list(battery_ids)
        with _translated():
            kept = {one["_id"]: one for one in self._heads.find({"_id": {"$in": wanted}})}
            since = self._since({battery_id: kept.get(battery_id, _UNKNOWN)["version"] for battery_id in wanted})
        heads: dict[str, Head] = {}
        for battery_id, known in since.items():
            head = None
            if battery_id in kept:
                values = {Tier(tier): own for tier, own in json.loads(kept[battery_id]["values"]).items()}
                head = Head(known.pop(0), values)
            for entry in known:
                head = next_head(head, entry)
            if head is not None:
                heads[battery_id] = head
        return heads

    def currents(self, battery_ids: Iterable[str]) -> dict[str, HistoryEntry]:
        """Return :meth:`current` of all those batteries that have an entry."""
        pipeline: list[Document] = [
            {"$match": {"battery_id": {"$in": list(battery_ids)}}},
            {"$sort": dict.fromkeys(("battery_id", *_STANDING), DESCENDING)},
            {
                "$group": {"_id": "$battery_id", "entry": {"$first": "$entry"}}
            },  # the index gives the first of each group
        ]
        with _translated():
            return {document["_id"]: _entry(document) for document in self._entries.aggregate(pipeline)}

    def known(self, battery_ids: Iterable[str], known_until: datetime) -> dict[str, list[HistoryEntry]]:
        """Return the entries of those batteries with that ``known_until``, by version."""
        query = {"battery_id": {"$in": list(battery_ids)}, "known_until": _sortable(known_until)}
        with _translated():
            return self._by_battery(query)

    def append(self, entry: HistoryEntry) -> None:
        """Add an entry after the last one of its battery.

        :raises VersionTaken: another entry was appended since this one was made.
        :raises PassportError: the entry's changes do not fit the values before it.
        """
        demand_appended(self.append_all([entry]), entry)

    def entries(self, battery_id: str, as_of: datetime | None = None) -> list[HistoryEntry]:
        """Return a battery's entries by version, all or those of one point in time."""
        moment = {} if as_of is None else {"as_of": _sortable(as_of)}
        with _translated():
            found = self._entries.find({"battery_id": battery_id, **moment}).sort("version", ASCENDING)
            return [_entry(document) for document in found]

    def head(self, battery_id: str) -> Head | None:
        """Return the end of a battery's chain, or ``None`` if there is none."""
        return self.heads([battery_id]).get(battery_id)

    def current(self, battery_id: str) -> HistoryEntry | None:
        """Return the entry with the greatest (``as_of``, ``known_until``, ``version``), or ``None`` if there is none."""
        return self.currents([battery_id]).get(battery_id)

    def battery_ids(self) -> list[str]:
        """Return the batteries that have an entry, in order."""
        with _translated():
            # Not distinct(): its answer is one document, which ends at 16 MB.
            return [
                one["_id"]
                for one in self._entries.aggregate([{"$group": {"_id": "$battery_id"}}, {"$sort": {"_id": 1}}])
            ]

    def count(self) -> int:
        """Return how many entries there are in all."""
        with _translated():
            return self._entries.count_documents({})

    def _since(self, versions: Mapping[str, int]) -> dict[str, list[HistoryEntry]]:
        """Return the entries from a version of each battery on."""
        if not versions:
            return {}
        wanted = [{"battery_id": name, "version": {"$gte": version}} for name, version in versions.items()]
        return self._by_battery({"$or": wanted})

    def _by_battery(self, query: Mapping[str, Any]) -> dict[str, list[HistoryEntry]]:
        """Return what a query finds, apart by battery and in the order of versions."""
        entries: dict[str, list[HistoryEntry]] = {}
        for document in self._entries.find(query):
            entries.setdefault(document["battery_id"], []).append(_entry(document))
        for own in entries.values():
            own.sort(key=lambda entry: entry.version)
        return entries

    def _keep(self, heads: Sequence[Head]) -> None:
        """Remember heads, except where another process has remembered a later one."""
        if not heads:
            return
        operations = [
            ReplaceOne(
                {"_id": head.entry.battery_id, "version": {"$lt": head.entry.version}},
                {"version": head.entry.version, "values": json.dumps(head.values)},
                upsert=True,
            )
            for head in heads
        ]
        try:
            self._heads.bulk_write(operations, ordered=False)
        except BulkWriteError as error:
            log.debug("%d batteries have later heads", len(_duplicates(error)))


def _document(entry: HistoryEntry) -> Document:
    return {
        "battery_id": entry.battery_id,
        "version": entry.version,
        "as_of": _sortable(entry.as_of),
        "known_until": _sortable(entry.known_until),
        # As text: BSON would cut times to milliseconds, and paths have dots, which are operators there.
        "entry": entry.model_dump_json(),
    }


def _entry(document: Document) -> HistoryEntry:
    return read_entry(document["entry"])


def _duplicates(error: BulkWriteError) -> list[int]:
    """Return the numbers of the operations that met an existing key, or raise the error if that is not all of it."""
    details = error.details or {}
    problems = details.get("writeErrors", [])
    if details.get("writeConcernErrors") or any(problem["code"] != _DUPLICATE_KEY for problem in problems):
        raise error
    return [problem["index"] for problem in problems]


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
