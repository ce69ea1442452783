"""The append-only history of passports: what was known of a battery, as of when, and since when.

Every entry has three times: ``as_of``, when the battery was in the state; ``known_until``, before when the measurements
had arrived that it is derived from; and ``recorded_at``, when it was written down. Learning old data late adds an entry
and never makes the current passport older, and of two states of the same time the better informed one is current.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from battery_pilot.errors import PassportError, TransientError
from battery_pilot.passport.aas import passport_sha256
from battery_pilot.passport.chain import (
    Changes,
    DisclosedEntry,
    Head,
    HistoryEntry,
    Seal,
    VersionTaken,
    current_entry,
    next_entry,
    next_head,
    reconstruct,
    verify_chain,
)
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from battery_pilot.passport.building import Passport

__all__ = [
    "Changes",
    "DisclosedEntry",
    "Head",
    "HistoryEntry",
    "HistoryStore",
    "HistoryUnavailable",
    "Recorded",
    "Seal",
    "SqliteHistory",
    "VersionTaken",
    "current_entry",
    "next_entry",
    "next_head",
    "reconstruct",
    "record",
    "verify_chain",
]

log = logging.getLogger(__name__)

_ATTEMPTS = 10
_BUSY_SECONDS = 60.0


class HistoryUnavailable(TransientError):
    """The history cannot be reached or stays locked by another process."""


class HistoryStore(Protocol):
    """Where a history is kept. Implementations are safe for several processes."""

    def append(self, entry: HistoryEntry) -> None:
        """Add an entry after the last one of its battery.

        :raises VersionTaken: an entry of that battery and version exists.
        """

    def entries(self, battery_id: str, as_of: datetime | None = None) -> Sequence[HistoryEntry]:
        """Return a battery's entries by version, all or those of one point in time."""

    def head(self, battery_id: str) -> Head | None:
        """Return the end of a battery's chain, or ``None`` if there is none."""

    def current(self, battery_id: str) -> HistoryEntry | None:
        """Return the entry with the greatest (``as_of``, ``known_until``, ``version``), or ``None`` if there is none."""

    def count(self) -> int:
        """Return how many entries there are in all."""


@dataclass(frozen=True)
class Recorded:
    """The outcome of recording a passport.

    :param version: version of the entry that holds the passport.
    :param is_new: whether the entry was added by this call.
    :param is_current: whether no entry describes a later or better informed state of the battery.
    """

    version: int
    is_new: bool
    is_current: bool


def record(
    store: HistoryStore, passport: Passport, *, run: str, recorded_at: datetime, known_until: datetime
) -> Recorded:
    """Add a passport to the history, unless it is what was recorded last for the same two times.

    :param store: where the history is kept.
    :param passport: a whole passport, no view.
    :param run: what records it.
    :param recorded_at: now, with a time zone.
    :param known_until: end of the window that the passport was built for, with a time zone.
    :raises PassportError: the passport is only a view.
    :raises VersionTaken: other processes kept appending to the same battery.
    """
    if passport.tier is not Tier.AUTHORITY:
        raise PassportError(
            f"battery {passport.battery_id}: only a whole passport is recorded, not a {passport.tier} view"
        )
    digests = {tier: passport_sha256(passport.view(tier)) for tier in Tier}
    for attempt in range(_ATTEMPTS):
        head = store.head(
            passport.battery_id
        )  # before the look for duplicates: what comes in between takes the version
        known = [
            entry for entry in store.entries(passport.battery_id, passport.as_of) if entry.known_until == known_until
        ]
        if known and known[-1].view_sha256 == digests[Tier.AUTHORITY]:
            return Recorded(known[-1].version, is_new=False, is_current=_is_current(store, known[-1]))
        entry = next_entry(head, passport, digests, run=run, recorded_at=recorded_at, known_until=known_until)
        try:
            store.append(entry)
        except VersionTaken:
            log.debug("battery %s: version %d was taken, attempt %d", passport.battery_id, entry.version, attempt + 1)
            continue
        return Recorded(entry.version, is_new=True, is_current=_is_current(store, entry))
    raise VersionTaken(
        f"battery {passport.battery_id}: other processes appended {_ATTEMPTS} times in between; try again"
    )


def _is_current(store: HistoryStore, entry: HistoryEntry) -> bool:
    current = store.current(entry.battery_id)
    return current is not None and current.version == entry.version


class SqliteHistory:
    """A history in one SQLite file, for where no MongoDB runs; several processes of one machine may share it.

    :param path: the file; it is created if need be, its folder must exist.
    :raises HistoryUnavailable: the file cannot be opened or stays locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(_SCHEMA)

    def append(self, entry: HistoryEntry) -> None:
        """Add an entry after the last one of its battery, in one transaction."""
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")  # so that the head read here is still the head when the entry is in
            after = next_head(_read_head(connection, entry.battery_id), entry)
            key = (entry.battery_id, entry.version)
            connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?)",
                (*key, _sortable(entry.as_of), _sortable(entry.known_until), entry.model_dump_json()),
            )
            connection.execute("INSERT OR REPLACE INTO heads VALUES (?, ?, ?)", (*key, json.dumps(after.values)))
            connection.execute("COMMIT")

    def entries(self, battery_id: str, as_of: datetime | None = None) -> list[HistoryEntry]:
        """Return a battery's entries by version, all or those of one point in time."""
        with self._connection() as connection:
            if as_of is None:
                found = connection.execute(_ENTRIES, (battery_id,)).fetchall()
            else:
                found = connection.execute(_ENTRIES_OF_TIME, (battery_id, _sortable(as_of))).fetchall()
        return [HistoryEntry.model_validate_json(text) for (text,) in found]

    def head(self, battery_id: str) -> Head | None:
        """Return the end of a battery's chain, or ``None`` if there is none."""
        with self._connection() as connection:
            return _read_head(connection, battery_id)

    def current(self, battery_id: str) -> HistoryEntry | None:
        """Return the entry with the greatest (``as_of``, ``known_until``, ``version``), or ``None`` if there is none."""
        with self._connection() as connection:
            found = connection.execute(
                "SELECT entry FROM entries WHERE battery_id = ? "
                "ORDER BY as_of DESC, known_until DESC, version DESC LIMIT 1",
                (battery_id,),
            ).fetchone()
        return HistoryEntry.model_validate_json(found[0]) if found else None

    def count(self) -> int:
        """Return how many entries there are in all."""
        with self._connection() as connection:
            return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        """Open a connection for one operation: it cannot be shared with forked processes or other threads."""
        connection = None
        try:
            connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None)
            # With WAL this keeps the file sound; after a power cut the last entries are recorded again by the next run.
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection
        except sqlite3.OperationalError as error:
            raise HistoryUnavailable(
                f"history {self.path}: {error}; is its folder there, writable and not full?"
            ) from error
        except sqlite3.DatabaseError as error:
            raise PassportError(f"history {self.path}: {error}; restore the file from a backup") from error
        finally:
            if connection is not None:
                connection.close()  # rolls an open transaction back


_SCHEMA = """
CREATE TABLE IF NOT EXISTS entries (
    battery_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    as_of TEXT NOT NULL,
    known_until TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (battery_id, version)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS entries_by_time ON entries (battery_id, as_of, known_until, version);
CREATE TABLE IF NOT EXISTS heads (
    battery_id TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    value_by_tier TEXT NOT NULL
) WITHOUT ROWID;
"""


_ENTRIES = "SELECT entry FROM entries WHERE battery_id = ? ORDER BY version"
_ENTRIES_OF_TIME = "SELECT entry FROM entries WHERE battery_id = ? AND as_of = ? ORDER BY version"


def _read_head(connection: sqlite3.Connection, battery_id: str) -> Head | None:
    found = connection.execute(
        "SELECT entry, value_by_tier FROM heads JOIN entries USING (battery_id, version) WHERE battery_id = ?",
        (battery_id,),
    ).fetchone()
    if found is None:
        return None
    values = {Tier(tier): values for tier, values in json.loads(found[1]).items()}
    return Head(HistoryEntry.model_validate_json(found[0]), values)


def _sortable(moment: datetime) -> str:
    """Write a point in time so that texts sort like times."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
