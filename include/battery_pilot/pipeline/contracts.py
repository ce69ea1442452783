"""The consumer's journal of contracts: what was asked for, agreed and transferred, written before it is awaited."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_COLUMNS = (
    "asset_id",
    "battery_id",
    "counterparty_id",
    "negotiation_id",
    "agreement_id",
    "transfer_id",
    "error",
)


@dataclass(frozen=True)
class Contract:
    """What the consumer knows of one offered asset.

    :param asset_id: the offer's asset.
    :param battery_id: battery that the offer names.
    :param counterparty_id: who offers it.
    :param negotiation_id: set once a negotiation was started.
    :param agreement_id: set once it was agreed.
    :param transfer_id: the newest transfer.
    :param error: why the negotiation or transfer ended without a result, in the counterparty's words.
    """

    asset_id: str
    battery_id: str
    counterparty_id: str
    negotiation_id: str | None = None
    agreement_id: str | None = None
    transfer_id: str | None = None
    error: str | None = None


class ContractJournal:
    """The journal, a SQLite file; every call is a transaction of its own.

    :param path: the file, made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._connection() as connection:
            columns = ", ".join(f"{name} TEXT" for name in _COLUMNS[1:])
            connection.execute(f"CREATE TABLE IF NOT EXISTS contract (asset_id TEXT PRIMARY KEY, {columns})")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS wanted (run TEXT, asset_id TEXT, PRIMARY KEY (run, asset_id))"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS twin (battery_id TEXT PRIMARY KEY, as_of TEXT, sha256 TEXT)"
            )

    @property
    def path(self) -> Path:
        """Where the journal is."""
        return self._path

    def get(self, asset_id: str) -> Contract | None:
        """Return what is known of an asset."""
        with self._connection() as connection:
            query = f"SELECT {', '.join(_COLUMNS)} FROM contract WHERE asset_id = ?"  # noqa: S608 - constant columns
            row = connection.execute(query, (asset_id,)).fetchone()
        return Contract(*row) if row else None

    def put(self, contract: Contract) -> None:
        """Write down what is known of an asset."""
        values = tuple(getattr(contract, field.name) for field in fields(contract))
        marks = ", ".join("?" for _ in values)
        with self._connection() as connection:
            connection.execute(f"INSERT OR REPLACE INTO contract ({', '.join(_COLUMNS)}) VALUES ({marks})", values)  # noqa: S608

    def want(self, run: str, asset_id: str) -> None:
        """Note that a run wants an asset."""
        with self._connection() as connection:
            connection.execute("INSERT OR IGNORE INTO wanted VALUES (?, ?)", (run, asset_id))

    def wanted(self, run: str) -> list[Contract]:
        """Return the contracts of the assets that a run wants, in order of asset."""
        columns = ", ".join(f"contract.{name}" for name in _COLUMNS)
        query = f"SELECT {columns} FROM contract JOIN wanted USING (asset_id) WHERE run = ? ORDER BY asset_id"  # noqa: S608
        with self._connection() as connection:
            return [Contract(*row) for row in connection.execute(query, (run,))]

    def twin(self, battery_id: str) -> tuple[str, str] | None:
        """Return ``as_of`` (ISO 8601, UTC) and digest of the state that a battery's twin shows."""
        with self._connection() as connection:
            row = connection.execute("SELECT as_of, sha256 FROM twin WHERE battery_id = ?", (battery_id,)).fetchone()
        return (row[0], row[1]) if row else None

    def put_twin(self, battery_id: str, as_of: str, sha256: str) -> None:
        """Note which state a battery's twin shows."""
        with self._connection() as connection:
            connection.execute("INSERT OR REPLACE INTO twin VALUES (?, ?, ?)", (battery_id, as_of, sha256))

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._path, timeout=60)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            with connection:
                yield connection
        finally:
            connection.close()
