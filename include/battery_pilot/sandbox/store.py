"""JSON documents in one SQLite file: what a sandbox server remembers across a restart."""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

Document: TypeAlias = dict[str, Any]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS document (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, key)
);
CREATE INDEX IF NOT EXISTS document_order ON document (kind, position);
"""


class Store:
    """Documents by kind and key, listed in the order in which they were first stored.

    One connection behind a lock: the servers of one process share an event loop and a few worker threads, and a
    statement takes well below a millisecond.

    :param path: the SQLite file; its folder is created.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        # A killed process loses nothing with WAL; only a power cut may lose the last commits, which a sandbox can bear.
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)

    def get(self, kind: str, key: str) -> Document | None:
        """Return a document, or ``None``."""
        rows = self._rows("SELECT body FROM document WHERE kind = ? AND key = ?", kind, key)
        return json.loads(rows[0][0]) if rows else None

    def insert(self, kind: str, key: str, body: Document) -> bool:
        """Store a new document; return ``False`` and change nothing when the key exists."""
        return (
            self._execute("INSERT OR IGNORE INTO document (kind, key, body) VALUES (?, ?, ?)", kind, key, _dump(body))
            == 1
        )

    def put(self, kind: str, key: str, body: Document) -> None:
        """Store a document, replacing an older one in its place of the order."""
        self._execute(
            "INSERT INTO document (kind, key, body) VALUES (?, ?, ?) "
            "ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body",
            kind,
            key,
            _dump(body),
        )

    def replace(self, kind: str, key: str, body: Document) -> bool:
        """Replace an existing document; return ``False`` and store nothing when there is none."""
        return self._execute("UPDATE document SET body = ? WHERE kind = ? AND key = ?", _dump(body), kind, key) == 1

    def delete(self, kind: str, key: str) -> bool:
        """Delete a document; return whether it existed."""
        return self._execute("DELETE FROM document WHERE kind = ? AND key = ?", kind, key) == 1

    def page(self, kind: str, *, offset: int = 0, limit: int = -1) -> list[Document]:
        """Return documents of a kind in their order; a negative limit means all."""
        rows = self._rows(
            "SELECT body FROM document WHERE kind = ? ORDER BY position LIMIT ? OFFSET ?", kind, limit, offset
        )
        return [json.loads(body) for (body,) in rows]

    def starting_with(self, kind: str, prefix: str) -> list[Document]:
        """Return the documents of a kind whose key begins with a prefix, in their order."""
        rows = self._rows(
            "SELECT body FROM document WHERE kind = ? AND key >= ? AND key < ? ORDER BY position",
            kind,
            prefix,
            prefix + "\U0010ffff",
        )
        return [json.loads(body) for (body,) in rows]

    def kinds(self, prefix: str) -> list[str]:
        """Return the kinds in use that begin with a prefix."""
        rows = self._rows(
            "SELECT DISTINCT kind FROM document WHERE kind >= ? AND kind < ? ORDER BY kind",
            prefix,
            prefix + "\U0010ffff",
        )
        return [kind for (kind,) in rows]

    def close(self) -> None:
        """Close the file; a later call fails."""
        with self._lock:
            self._connection.close()

    def _rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def _execute(self, statement: str, *values: object) -> int:
        with self._lock:
            return self._connection.execute(statement, values).rowcount


def _dump(body: Document) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"))
