"""Under which contracts a consumer holds the passport of a battery: its own part of the history, append-only.

The provider's history comes with the passport and stays as it is. Beside it the consumer writes down what it received under
which agreement and when it was removed, each entry with the hash of the one before, so that a change shows. An entry holds
no value of the passport: whoever may see that the battery is known may see all of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from pydantic import AwareDatetime, Field, ValidationError

from battery_pilot.electrochemistry.condition import Frozen, Sha256
from battery_pilot.errors import PassportError
from battery_pilot.passport.canonical import canonical_sha256
from battery_pilot.passport.model import Tier
from battery_pilot.sqlite_file import transaction

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS custody (
    battery_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    holding TEXT NOT NULL,
    entry TEXT NOT NULL,
    PRIMARY KEY (battery_id, number)
) WITHOUT ROWID;
"""
_LAST = "SELECT entry FROM custody WHERE battery_id = ? ORDER BY number DESC LIMIT 1"
_LAST_OF_HOLDING = "SELECT entry FROM custody WHERE battery_id = ? AND holding = ? ORDER BY number DESC LIMIT 1"


class Event(Frozen):
    """Something that was received or removed.

    :param battery_id: of which battery.
    :param kind: what happened.
    :param at: when.
    :param counterparty_id: who gave it.
    :param asset_id: the offer that brought it.
    :param agreement_id: under which it came.
    :param policy_sha256: digest of the agreement's policy as canonical JSON; the policy itself stands in the receipt.
    :param sha256: digest of the file.
    :param expires_at: until when the agreement lets us hold it; ``None`` without an end.
    :param tier: whose view it is; ``None`` if it was removed before it was verified.
    :param version: the version of the provider's history that it is; ``None`` likewise.
    :param version_hash: hash of that version; ``None`` likewise.
    """

    battery_id: str
    kind: Literal["received", "removed"]
    at: AwareDatetime
    counterparty_id: str
    asset_id: str
    agreement_id: str
    policy_sha256: Sha256
    sha256: Sha256
    expires_at: AwareDatetime | None = None
    tier: Tier | None = None
    version: int | None = None
    version_hash: Sha256 | None = None

    @property
    def holding(self) -> str:
        """What tells one thing that is held from another."""
        return json.dumps([self.counterparty_id, self.asset_id, self.agreement_id, self.sha256])


class CustodyEntry(Event):
    """An event in its place.

    :param number: 1, 2, 3, … of the battery.
    :param previous_hash: hash of the entry before; ``None`` for the first.
    :param entry_hash: hash of this entry.
    """

    number: int = Field(ge=1)
    previous_hash: Sha256 | None
    entry_hash: Sha256

    def computed_hash(self) -> str:
        """Return the hash that the entry should have."""
        return canonical_sha256(self.model_dump(mode="json", exclude={"entry_hash"}))


class Custody:
    """The entries of all batteries, in a SQLite file; every call is a transaction of its own.

    :param path: the file, made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with transaction(self._path) as connection:
            connection.executescript(_SCHEMA)

    def append(self, events: Iterable[Event]) -> int:
        """Add events, each once: what is held already is not received again, and what is not held is not removed.

        :return: how many were added.
        """
        added = 0
        with transaction(self._path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for event in events:
                known = _read(connection, _LAST_OF_HOLDING, event.battery_id, event.holding)
                if (known.kind if known else "removed") == event.kind:
                    continue
                entry = _next(_read(connection, _LAST, event.battery_id), event)
                connection.execute(
                    "INSERT INTO custody VALUES (?, ?, ?, ?)",
                    (entry.battery_id, entry.number, entry.holding, entry.model_dump_json()),
                )
                added += 1
        return added

    def entries(self, battery_id: str) -> list[CustodyEntry]:
        """Return the entries of a battery in their order."""
        query = "SELECT entry FROM custody WHERE battery_id = ? ORDER BY number"
        with transaction(self._path) as connection:
            return [_entry(text) for (text,) in connection.execute(query, (battery_id,))]


def verify_custody(entries: Sequence[CustodyEntry]) -> None:
    """Verify that a battery's entries are whole and that nothing in them was altered.

    :param entries: from the first one on.
    :raises PassportError: naming the first entry that is broken.
    """
    previous: CustodyEntry | None = None
    for entry in entries:
        follows = entry.number == (previous.number + 1 if previous else 1) and entry.previous_hash == (
            previous.entry_hash if previous else None
        )
        if not follows or entry.computed_hash() != entry.entry_hash:
            raise PassportError(
                f"receipts of battery {entry.battery_id}, entry {entry.number}: it was altered, or one before it is "
                "missing; restore the consumer's history from a backup"
            )
        previous = entry


def _next(last: CustodyEntry | None, event: Event) -> CustodyEntry:
    draft = CustodyEntry(
        **event.model_dump(),
        number=last.number + 1 if last else 1,
        previous_hash=last.entry_hash if last else None,
        entry_hash="0" * 64,
    )
    return draft.model_copy(update={"entry_hash": draft.computed_hash()})


def _read(connection: sqlite3.Connection, query: str, *values: str) -> CustodyEntry | None:
    row = connection.execute(query, values).fetchone()
    return _entry(row[0]) if row else None


def _entry(text: str) -> CustodyEntry:
    try:
        return CustodyEntry.model_validate_json(text)
    except ValidationError as error:
        raise PassportError(
            f"receipts: {error.error_count()} faults in a kept entry: it was altered; restore the consumer's history "
            "from a backup"
        ) from None
