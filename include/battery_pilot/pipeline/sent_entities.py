"""What was sent to a context broker last: so that only changes are sent, and other people's values are told from ours."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from battery_pilot.services.ngsi import OBSERVED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from battery_pilot.services.ngsi import Attribute, Entity

WAIT_SECOND = 60
DIGEST_BYTES = 16
VALUE_DIGEST_BYTES = 8

IN_DOUBT = ""
"""Digest of an entity that was written or not, or lost: it is compared anew."""


@dataclass(frozen=True)
class Sent:
    """What was sent of one entity.

    :param digest: of the whole of it but its time; see :func:`entity_digest`, or :data:`IN_DOUBT`.
    :param values: attribute to what was sent of it; see :func:`footprint`.
    """

    digest: str
    values: Mapping[str, str]

    def wrote(self, name: str, shown: Attribute) -> bool:
        """Tell whether a value that the broker shows is the one that was sent."""
        return self.values.get(name, "").partition(" ")[0] == _value_digest(shown)

    def dated(self, name: str, shown: Attribute) -> bool:
        """Tell whether the time that the broker shows of a value is the one that was sent.

        Who sets a value alone leaves its metadata as they are, so that our time then stands beside their value.
        """
        return self.values.get(name, "").partition(" ")[2] == _time_text(shown)


class SentEntities:
    """The last state sent of every entity, in a SQLite file; every call is a transaction of its own.

    :param path: the file; its folder exists.
    :param place: which broker, tenant and path it is about, see :attr:`Orion.place`.
    :param part: which part of the entities: several senders may each own some attributes of the same entities.
    """

    def __init__(self, path: Path, place: str, part: str) -> None:
        self._path = path
        self._key = (place, part)
        with self._connection() as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS sent (place TEXT, part TEXT, id TEXT, type TEXT, digest TEXT, sent_values TEXT, "
                "PRIMARY KEY (place, part, id))"
            )

    def of(self, identifiers: Iterable[str]) -> dict[str, Sent]:
        """Return what was sent of these entities; those that were not are left out."""
        wanted = json.dumps(list(identifiers))
        with self._connection() as connection:
            rows = connection.execute(
                "SELECT id, digest, sent_values FROM sent WHERE place = ? AND part = ? "
                "AND id IN (SELECT value FROM json_each(?))",
                (*self._key, wanted),
            )
            return {identifier: Sent(digest, json.loads(values)) for identifier, digest, values in rows}

    def put(self, entities: Iterable[tuple[Entity, Sent]]) -> None:
        """Keep what was sent: the digest of each entity as it was wanted, the footprints of its values that are there."""
        rows = [(*self._key, one["id"], one["type"], sent.digest, json.dumps(sent.values)) for one, sent in entities]
        with self._connection() as connection:
            connection.executemany("INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?, ?, ?)", rows)

    def counts(self) -> dict[str, int]:
        """Return how many entities of each type were sent for certain."""
        with self._connection() as connection:
            query = "SELECT type, count(*) FROM sent WHERE place = ? AND part = ? AND digest <> ? GROUP BY type"
            return dict(connection.execute(query, (*self._key, IN_DOUBT)).fetchall())

    def forget(self, entity_type: str) -> None:
        """Take nothing of a type for granted; which attributes are ours stays known."""
        with self._connection() as connection:
            connection.execute(
                "UPDATE sent SET digest = ? WHERE place = ? AND part = ? AND type = ?",
                (IN_DOUBT, *self._key, entity_type),
            )

    def drop(self, identifiers: Iterable[str]) -> None:
        """Forget that these entities were sent: they were deleted."""
        with self._connection() as connection:
            connection.execute(
                "DELETE FROM sent WHERE place = ? AND part = ? AND id IN (SELECT value FROM json_each(?))",
                (*self._key, json.dumps(list(identifiers))),
            )

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=WAIT_SECOND)
        # A power cut may lose the last transactions; their entities are compared anew.
        connection.execute("PRAGMA synchronous = NORMAL")
        try:
            with connection:
                yield connection
        finally:
            connection.close()


def entity_digest(entity: Entity) -> str:
    """Return a digest of an entity without its ``dateObserved``: a later look at the same state is no change."""
    content = {name: part for name, part in entity.items() if name != OBSERVED}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def footprint(attribute: Attribute) -> str:
    """Return what is kept of an attribute, the same for what is sent and for what Orion then shows: value and time."""
    return f"{_value_digest(attribute)} {_time_text(attribute)}"


def _value_digest(attribute: Attribute) -> str:
    value = attribute["value"]
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = f"{value + 0.0:.9f}".removeprefix("-0.000000000") or "0.000000000"
    else:
        text = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    written = f"{attribute['type']} {text}".encode()
    return hashlib.blake2b(written, digest_size=VALUE_DIGEST_BYTES).hexdigest()


def _time_text(attribute: Attribute) -> str:
    """Return the time of a value as it is written, which Orion leaves as it is."""
    notes = attribute.get("metadata")
    return str(notes[OBSERVED]["value"]) if notes and OBSERVED in notes else ""
