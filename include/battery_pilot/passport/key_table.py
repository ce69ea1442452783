"""Texts by key in a temporary file, for tables with a row for each battery of a fleet."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping

_CACHED_KIBIBYTES = 1024


class KeyTable(Mapping[str, str]):
    """A mapping that takes the same megabyte of memory however many keys it has; it is gone with the object.

    Keys come in their order, a look-up takes some microseconds.

    :param items: keys with their values.
    """

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        # Without a name SQLite keeps the database in a file that has no name either, and only when the cache is full.
        self._database = sqlite3.connect("", isolation_level=None)
        for statement in (
            f"PRAGMA cache_size = -{_CACHED_KIBIBYTES}",
            "PRAGMA journal_mode = OFF",
            "CREATE TABLE kept (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
            "BEGIN",
        ):
            self._database.execute(statement)
        self._database.executemany(_ADD, items)

    def setdefault(self, key: str, value: str) -> str:
        """Add a key that is not there yet, and return the value that it has now."""
        return value if self._database.execute(_ADD, (key, value)).rowcount else self[key]

    def __getitem__(self, key: str) -> str:
        """Return the value of a key."""
        found = self._database.execute("SELECT value FROM kept WHERE key = ?", (key,)).fetchone()
        if found is None:
            raise KeyError(key)
        return str(found[0])

    def __iter__(self) -> Iterator[str]:
        """Yield the keys in the order of their code points."""
        for (key,) in self._database.execute("SELECT key FROM kept ORDER BY key"):
            yield key

    def __len__(self) -> int:
        """Return the number of keys."""
        return int(self._database.execute("SELECT count(*) FROM kept").fetchone()[0])


_ADD = "INSERT INTO kept VALUES (?, ?) ON CONFLICT DO NOTHING"
