"""What an AAS server was sent last: the memory that lets a push send only what has changed.

Before something is written it is marked as in doubt, and only after the server took it as known. A run that dies in
between therefore leaves documents that the next one sends whole, never ones that it wrongly takes for up to date.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from battery_pilot.services.aas_values import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_SCHEMA = """
CREATE TABLE IF NOT EXISTS twin (
    shell_id TEXT PRIMARY KEY, as_of TEXT NOT NULL, known_until TEXT NOT NULL, digest TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS document (
    id TEXT PRIMARY KEY, owner TEXT, known_until TEXT NOT NULL, digest BLOB, shape BLOB, property_values BLOB
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS document_owner ON document (owner) WHERE owner IS NOT NULL;
"""
_VARIABLES = 500
"""Ids in one statement; SQLite allows at least 999."""


@dataclass(frozen=True)
class PushedTwin:
    """Which state of a battery the server shows.

    :param shell_id: id of the shell.
    :param as_of: point in time of that state (ISO 8601, UTC).
    :param known_until: end of the window from which it was built (ISO 8601, UTC); empty where there is none.
    :param digest: digest of the whole; ``None`` while it is in doubt whether the server has it.
    """

    shell_id: str
    as_of: str
    known_until: str
    digest: str | None


@dataclass(frozen=True)
class PushedDocument:
    """Which content of a document the server has.

    :param identifier: its id.
    :param owner: the shell that it belongs to alone; ``None`` for what several batteries share.
    :param known_until: as of the twin that brought it.
    :param digest: SHA-256 of the document; ``None`` while it is in doubt.
    :param fingerprint: of a submodel, to tell which of its values change.
    """

    identifier: str
    owner: str | None
    known_until: str
    digest: bytes | None
    fingerprint: Fingerprint | None = None


class PushedStates:
    """The memory of one server, in a SQLite file.

    :param path: the file; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=60)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def twins(self, shell_ids: Sequence[str]) -> dict[str, PushedTwin]:
        """Return what is remembered of these shells, by id."""
        rows = self._rows("SELECT shell_id, as_of, known_until, digest FROM twin WHERE shell_id IN", shell_ids)
        return {row[0]: PushedTwin(*row) for row in rows}

    def documents(self, identifiers: Sequence[str]) -> dict[str, PushedDocument]:
        """Return what is remembered of these documents, by id."""
        columns = "id, owner, known_until, digest, shape, property_values"
        rows = self._rows(f"SELECT {columns} FROM document WHERE id IN", identifiers)  # noqa: S608 -- names of ours
        return {row[0]: _document(row) for row in rows}

    def owned(self, shell_ids: Sequence[str]) -> dict[str, set[str]]:
        """Return the ids of the documents that belong to these shells alone, by shell."""
        found: dict[str, set[str]] = {shell_id: set() for shell_id in shell_ids}
        for owner, identifier in self._rows("SELECT owner, id FROM document WHERE owner IN", shell_ids):
            found[owner].add(identifier)
        return found

    def doubt(self, twins: Iterable[PushedTwin], documents: Iterable[PushedDocument]) -> None:
        """Note that these are about to be written; from now on no older state may follow."""
        with self._connection as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO twin VALUES (?, ?, ?, NULL)",
                [(one.shell_id, one.as_of, one.known_until) for one in twins],
            )
            connection.executemany(
                "INSERT INTO document VALUES (?, ?, ?, NULL, NULL, NULL) ON CONFLICT (id) DO UPDATE SET digest = NULL",
                [(one.identifier, one.owner, one.known_until) for one in documents],
            )

    def doubt_shared(self) -> None:
        """Note that the server may have lost what several batteries share."""
        with self._connection as connection:
            connection.execute("UPDATE document SET digest = NULL WHERE owner IS NULL")

    def remember(self, twins: Iterable[PushedTwin], documents: Iterable[PushedDocument], gone: Iterable[str]) -> None:
        """Note what the server has now.

        :param gone: ids of documents that were deleted.
        """
        with self._connection as connection:
            connection.executemany(
                "INSERT OR REPLACE INTO twin VALUES (?, ?, ?, ?)",
                [(one.shell_id, one.as_of, one.known_until, one.digest) for one in twins],
            )
            connection.executemany(
                "INSERT OR REPLACE INTO document VALUES (?, ?, ?, ?, ?, ?)", [_row(one) for one in documents]
            )
            connection.executemany("DELETE FROM document WHERE id = ?", [(identifier,) for identifier in gone])

    def forget(self, shell_id: str) -> None:
        """Drop what is remembered of a shell and the documents that belong to it alone."""
        with self._connection as connection:
            connection.execute("DELETE FROM twin WHERE shell_id = ?", (shell_id,))
            connection.execute("DELETE FROM document WHERE owner = ?", (shell_id,))

    def _rows(self, statement: str, values: Sequence[str]) -> list[tuple[str, ...]]:
        found = []
        for start in range(0, len(values), _VARIABLES):
            part = values[start : start + _VARIABLES]
            marks = ",".join("?" * len(part))
            found += self._connection.execute(f"{statement} ({marks})", part).fetchall()
        return found


def file_name(address: str) -> str:
    """Return the name of the file for a server: its host, for people, and a digest of its whole address."""
    host = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(address).netloc)
    return f"{host[:60]}-{hashlib.sha256(address.encode()).hexdigest()[:12]}.sqlite"


def _document(row: Sequence[object]) -> PushedDocument:
    identifier, owner, known_until, digest, shape, values = row
    print_ = Fingerprint(shape, values) if isinstance(shape, bytes) and isinstance(values, bytes) else None
    return PushedDocument(
        str(identifier),
        None if owner is None else str(owner),
        str(known_until),
        digest if isinstance(digest, bytes) else None,
        print_,
    )


def _row(document: PushedDocument) -> tuple[object, ...]:
    print_ = document.fingerprint
    own = (document.identifier, document.owner, document.known_until, document.digest)
    return (*own, print_.shape, print_.values) if print_ else (*own, None, None)
