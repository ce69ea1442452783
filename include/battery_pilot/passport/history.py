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

from pydantic import ValidationError

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
    demand_appended,
    next_entry,
    next_head,
    next_heads,
    reconstruct,
    verify_chain,
)
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
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
    "read_entry",
    "reconstruct",
    "record",
    "record_all",
    "verify_chain",
]

log = logging.getLogger(__name__)

_ATTEMPTS = 10
_BUSY_SECONDS = 60.0


class HistoryUnavailable(TransientError):
    """The history cannot be reached or stays locked by another process."""


class HistoryStore(Protocol):
    """Where a history is kept. Implementations are safe for several processes.

    The calls with many batteries cost about as much as one with a single battery; a thousand are a good number.
    """

    def append_all(self, entries: Sequence[HistoryEntry]) -> set[str]:
        """Add each entry after the last one of its battery.

        :param entries: of different batteries.
        :return: the batteries whose chain has moved on since the entry was made; nothing was added to them.
        :raises PassportError: an entry's changes do not fit the values before it; nothing at all was added.
        """

    def heads(self, battery_ids: Iterable[str]) -> dict[str, Head]:
        """Return the ends of the chains of all those batteries that have one."""

    def currents(self, battery_ids: Iterable[str]) -> dict[str, HistoryEntry]:
        """Return :meth:`current` of all those batteries that have an entry."""

    def known(self, battery_ids: Iterable[str], known_until: datetime) -> dict[str, list[HistoryEntry]]:
        """Return the entries of those batteries with that ``known_until``, by version; batteries without one are left out."""

    def append(self, entry: HistoryEntry) -> None:
        """Add an entry after the last one of its battery.

        :raises VersionTaken: another entry was appended since this one was made.
        :raises PassportError: the entry's changes do not fit the values before it.
        """

    def entries(self, battery_id: str, as_of: datetime | None = None) -> Sequence[HistoryEntry]:
        """Return a battery's entries by version, all or those of one point in time."""

    def head(self, battery_id: str) -> Head | None:
        """Return the end of a battery's chain, or ``None`` if there is none."""

    def current(self, battery_id: str) -> HistoryEntry | None:
        """Return the entry with the greatest (``as_of``, ``known_until``, ``version``), or ``None`` if there is none."""

    def battery_ids(self) -> Iterable[str]:
        """Return the batteries that have an entry, in order."""

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
    """Add one passport to the history; :func:`record_all` says how."""
    return record_all(store, [passport], run=run, recorded_at=recorded_at, known_until=known_until)[0]


def record_all(
    store: HistoryStore, passports: Sequence[Passport], *, run: str, recorded_at: datetime, known_until: datetime
) -> list[Recorded]:
    """Add passports to the history, except those that are what was recorded last for the same two times.

    Of two runs that append to the same battery at once, one wins; the other looks again and follows it.

    :param store: where the history is kept.
    :param passports: whole passports, no views, of different batteries.
    :param run: what records them.
    :param recorded_at: now, with a time zone.
    :param known_until: end of the window that the passports were built for, with a time zone.
    :return: what became of each, in the same order.
    :raises PassportError: a passport is only a view, or two are of the same battery.
    :raises VersionTaken: other processes kept appending to the same batteries.
    """
    digests = {passport.battery_id: _digests(passport) for passport in passports}
    if len(digests) < len(passports):
        raise PassportError("two of the passports to record are of the same battery; record them one after the other")
    recorded: dict[str, tuple[HistoryEntry, bool]] = {}
    pending = list(passports)
    for _ in range(_ATTEMPTS):
        ids = [passport.battery_id for passport in pending]
        heads = store.heads(ids)  # before the look for what is known: what comes in between takes the version
        known = store.known(ids, known_until)
        made: list[HistoryEntry] = []
        for passport in pending:
            name, own = passport.battery_id, digests[passport.battery_id]
            alike = [entry for entry in known.get(name, ()) if entry.as_of == passport.as_of]
            if alike and alike[-1].view_sha256 == own[Tier.AUTHORITY]:
                recorded[name] = alike[-1], False
            else:
                times = {"recorded_at": recorded_at, "known_until": known_until}
                made.append(next_entry(heads.get(name), passport, own, run=run, **times))
        taken = store.append_all(made)
        recorded |= {entry.battery_id: (entry, True) for entry in made if entry.battery_id not in taken}
        pending = [passport for passport in pending if passport.battery_id in taken]
        if not pending:
            return _outcome(store, [recorded[name] for name in digests])
        log.debug("%d batteries were appended to in the meantime; they are tried again", len(pending))
    names = ", ".join(passport.battery_id for passport in pending[:3])
    raise VersionTaken(f"battery {names}: other processes appended {_ATTEMPTS} times in between; try again")


def _outcome(store: HistoryStore, recorded: Sequence[tuple[HistoryEntry, bool]]) -> list[Recorded]:
    currents = store.currents(entry.battery_id for entry, _ in recorded)
    return [
        Recorded(entry.version, is_new, currents[entry.battery_id].version == entry.version)
        for entry, is_new in recorded
    ]


def _digests(passport: Passport) -> dict[Tier, str]:
    if passport.tier is not Tier.AUTHORITY:
        raise PassportError(
            f"battery {passport.battery_id}: only a whole passport is recorded, not a {passport.tier} view"
        )
    return {tier: passport_sha256(passport.view(tier)) for tier in Tier}


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

    def append_all(self, entries: Sequence[HistoryEntry]) -> set[str]:
        """Add each entry after the last one of its battery, all in one transaction, and return the batteries left out."""
        with self._connection() as connection:
            connection.execute(
                "BEGIN IMMEDIATE"
            )  # so that the heads read here are still the heads when the entries are in
            after, taken = next_heads(_read_heads(connection, [entry.battery_id for entry in entries]), entries)
            connection.executemany(
                "INSERT INTO entries VALUES (?, ?, ?, ?, ?)",
                (
                    (
                        head.entry.battery_id,
                        head.entry.version,
                        _sortable(head.entry.as_of),
                        _sortable(head.entry.known_until),
                        head.entry.model_dump_json(),
                    )
                    for head in after
                ),
            )
            connection.executemany(
                "INSERT OR REPLACE INTO heads VALUES (?, ?, ?)",
                ((head.entry.battery_id, head.entry.version, json.dumps(head.values)) for head in after),
            )
            connection.execute("COMMIT")
        return taken

    def heads(self, battery_ids: Iterable[str]) -> dict[str, Head]:
        """Return the ends of the chains of all those batteries that have one."""
        with self._connection() as connection:
            return _read_heads(connection, battery_ids)

    def currents(self, battery_ids: Iterable[str]) -> dict[str, HistoryEntry]:
        """Return :meth:`current` of all those batteries that have an entry."""
        with self._connection() as connection:
            found = connection.execute(_CURRENTS, (json.dumps(list(battery_ids)),)).fetchall()
        return {battery_id: read_entry(text) for battery_id, text in found}

    def known(self, battery_ids: Iterable[str], known_until: datetime) -> dict[str, list[HistoryEntry]]:
        """Return the entries of those batteries with that ``known_until``, by version."""
        with self._connection() as connection:
            found = connection.execute(_KNOWN, (json.dumps(list(battery_ids)), _sortable(known_until))).fetchall()
        entries: dict[str, list[HistoryEntry]] = {}
        for battery_id, text in found:
            entries.setdefault(battery_id, []).append(read_entry(text))
        return entries

    def append(self, entry: HistoryEntry) -> None:
        """Add an entry after the last one of its battery."""
        demand_appended(self.append_all([entry]), entry)

    def entries(self, battery_id: str, as_of: datetime | None = None) -> list[HistoryEntry]:
        """Return a battery's entries by version, all or those of one point in time."""
        with self._connection() as connection:
            if as_of is None:
                found = connection.execute(_ENTRIES, (battery_id,)).fetchall()
            else:
                found = connection.execute(_ENTRIES_OF_TIME, (battery_id, _sortable(as_of))).fetchall()
        return [read_entry(text) for (text,) in found]

    def head(self, battery_id: str) -> Head | None:
        """Return the end of a battery's chain, or ``None`` if there is none."""
        return self.heads([battery_id]).get(battery_id)

    def current(self, battery_id: str) -> HistoryEntry | None:
        """Return the entry with the greatest (``as_of``, ``known_until``, ``version``), or ``None`` if there is none."""
        return self.currents([battery_id]).get(battery_id)

    def battery_ids(self) -> list[str]:
        """Return the batteries that have an entry, in order."""
        with self._connection() as connection:
            return [name for (name,) in connection.execute("SELECT battery_id FROM heads ORDER BY battery_id")]

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
_HEADS = """
SELECT battery_id, entry, value_by_tier FROM heads JOIN entries USING (battery_id, version)
WHERE battery_id IN (SELECT value FROM json_each(?))
"""
_KNOWN = """
SELECT battery_id, entry FROM entries
WHERE battery_id IN (SELECT value FROM json_each(?)) AND known_until = ? ORDER BY battery_id, version
"""
_CURRENTS = """
SELECT battery_id, entry FROM json_each(?) AS wanted JOIN entries ON (battery_id, version) = (
    SELECT battery_id, version FROM entries WHERE battery_id = wanted.value
    ORDER BY as_of DESC, known_until DESC, version DESC LIMIT 1
)
"""


def _read_heads(connection: sqlite3.Connection, battery_ids: Iterable[str]) -> dict[str, Head]:
    heads = {}
    for battery_id, entry, values in connection.execute(_HEADS, (json.dumps(list(battery_ids)),)):
        by_tier = {Tier(tier): own for tier, own in json.loads(values).items()}
        heads[battery_id] = Head(read_entry(entry), by_tier)
    return heads


def read_entry(text: str) -> HistoryEntry:
    """Return an entry as a store keeps it.

    :param text: its JSON.
    :raises PassportError: it is no entry.
    """
    try:
        return HistoryEntry.model_validate_json(text)
    except ValidationError as error:  # without what it quotes: values of closed tiers
        raise PassportError(
            f"history: {error.error_count()} faults in a kept entry: it was altered; restore the store from a backup"
        ) from None


def _sortable(moment: datetime) -> str:
    """Write a point in time so that texts sort like times."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
