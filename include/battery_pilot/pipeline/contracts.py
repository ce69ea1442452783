"""The consumer's journal: what was asked for, agreed and transferred, and whose the twins are that came of it."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from datetime import UTC
from typing import TYPE_CHECKING, Any

from battery_pilot.sqlite_file import transaction

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from pathlib import Path


@dataclass(frozen=True)
class Contract:
    """What the consumer knows of one offered asset.

    :param asset_id: the offer's asset.
    :param battery_id: battery that the offer names; empty for a fleet.
    :param counterparty_id: who offers it.
    :param negotiation_id: set once a negotiation was started.
    :param agreement_id: set once it was agreed.
    :param transfer_id: the newest transfer.
    :param started_id: the newest transfer that was seen to have started.
    :param error: why the negotiation or transfer ended without a result, in the counterparty's words.
    """

    asset_id: str
    battery_id: str
    counterparty_id: str
    negotiation_id: str | None = None
    agreement_id: str | None = None
    transfer_id: str | None = None
    started_id: str | None = None
    error: str | None = None

    @property
    def is_fleet(self) -> bool:
        """Whether it is about the batteries that an index names."""
        return not self.battery_id

    @property
    def is_member(self) -> bool:
        """Whether it is about one battery of a fleet, and the fleet's contract is what is negotiated and transferred."""
        return "/" in self.asset_id


@dataclass(frozen=True)
class Twin:
    """Whose a shell is and which state of it the consumer's server shows.

    :param shell_id: id of the shell.
    :param battery_id: the battery it is of.
    :param counterparty_id: who brought it first, and whom alone we let change it.
    :param as_of: point in time of the state that is shown (ISO 8601, UTC), ``None`` before the first.
    :param sha256: digest of that state's passport.
    """

    shell_id: str
    battery_id: str
    counterparty_id: str
    as_of: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Shared:
    """Something that the passports of several batteries bring: a model's data, a concept description.

    :param identifier: its id.
    :param counterparty_id: who brought it first, and whom alone we let change it.
    :param sha256: digest of its content.
    """

    identifier: str
    counterparty_id: str
    sha256: str


@dataclass(frozen=True)
class Receipt:
    """Under which agreement we hold what.

    :param counterparty_id: whose data they are.
    :param asset_id: the offer that brought them.
    :param battery_id: the battery that they are of.
    :param agreement_id: under which they came.
    :param sha256: digest of the file.
    :param version: digest that the offer's index gives for it, or that of the file.
    :param policy: the agreement's policy (JSON).
    :param received_at: when they came (ISO 8601, UTC).
    :param expires_at: when the agreement's limit in time is reached, ``None`` without one.
    :param removed_at: when we removed them, ``None`` while we hold them.
    """

    counterparty_id: str
    asset_id: str
    battery_id: str
    agreement_id: str
    sha256: str
    version: str
    policy: str
    received_at: str
    expires_at: str | None = None
    removed_at: str | None = None


_KEYS: dict[type, str] = {
    Receipt: "counterparty_id, asset_id, battery_id, agreement_id, sha256",
    Contract: "counterparty_id, asset_id",
    Twin: "shell_id",
    Shared: "identifier",
}


class ContractJournal:
    """The journal, a SQLite file; every call is a transaction of its own.

    :param path: the file, made if it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        with transaction(self._path) as connection:
            for kind, key in _KEYS.items():
                columns = ", ".join(f"{name} TEXT" for name in _columns(kind))
                connection.execute(f"CREATE TABLE IF NOT EXISTS {_table(kind)} ({columns}, PRIMARY KEY ({key}))")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS wanted (run TEXT, counterparty_id TEXT, asset_id TEXT, "
                "PRIMARY KEY (run, counterparty_id, asset_id))"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS refused (counterparty_id TEXT, agreement_id TEXT, "
                "PRIMARY KEY (counterparty_id, agreement_id))"
            )
            connection.execute(
                "CREATE TABLE IF NOT EXISTS used (counterparty_id TEXT, agreement_id TEXT, run TEXT, "
                "PRIMARY KEY (counterparty_id, agreement_id, run))"
            )

    @property
    def path(self) -> Path:
        """Where the journal is."""
        return self._path

    def get(self, counterparty_id: str, asset_id: str) -> Contract | None:
        """Return what is known of a counterparty's asset."""
        found = self._read(Contract, "WHERE counterparty_id = ? AND asset_id = ?", counterparty_id, asset_id)
        return found[0] if found else None

    def of(self, counterparty_id: str) -> dict[str, Contract]:
        """Return what is known of all of a counterparty's assets, by asset."""
        return {one.asset_id: one for one in self._read(Contract, "WHERE counterparty_id = ?", counterparty_id)}

    def all(self) -> list[Contract]:
        """Return what is known of all assets, in order of counterparty and asset."""
        return self._read(Contract, "ORDER BY counterparty_id, asset_id")

    def named(self, identifier: str) -> list[Contract]:
        """Return what is known by an asset, battery, negotiation, agreement or transfer."""
        names = "asset_id, battery_id, negotiation_id, agreement_id, transfer_id, started_id"
        return self._read(Contract, f"WHERE ? IN ({names}) ORDER BY counterparty_id, asset_id", identifier)

    def put(self, *contracts: Contract) -> None:
        """Write down what is known of assets, all or none of it."""
        self._write(contracts)

    def want(self, run: str, *contracts: Contract) -> None:
        """Note that a run wants assets."""
        rows = [(run, contract.counterparty_id, contract.asset_id) for contract in contracts]
        with transaction(self._path) as connection:
            connection.executemany("INSERT OR IGNORE INTO wanted VALUES (?, ?, ?)", rows)

    def wanted(self, run: str) -> list[Contract]:
        """Return the contracts of the assets that a run wants, in order of asset."""
        join = "JOIN wanted USING (counterparty_id, asset_id) WHERE run = ? ORDER BY asset_id, counterparty_id"
        return self._read(Contract, join, run)

    def wanted_first(self, run: str, most: int) -> list[Contract]:
        """Return some contracts of a run: those with an error first, batteries of a fleet last.

        :param most: how many.
        """
        join = "JOIN wanted USING (counterparty_id, asset_id) WHERE run = ?"
        order = "ORDER BY error IS NULL, instr(asset_id, '/') > 0, asset_id LIMIT CAST(? AS INTEGER)"
        return self._read(Contract, f"{join} {order}", run, str(most))

    def outcomes(self, run: str) -> dict[str, int]:
        """Count what a run wants: ``wanted``, ``agreed`` of it, ``failed``."""
        query = (
            "SELECT count(*), count(agreement_id), count(error) FROM contract "
            "JOIN wanted USING (counterparty_id, asset_id) WHERE run = ?"
        )
        with transaction(self._path) as connection:
            return dict(
                zip(("wanted", "agreed", "failed"), connection.execute(query, (run,)).fetchone(), strict=True)
            )

    def use(self, run: str, contract: Contract) -> int:
        """Note that a run fetched data under a contract's agreement, and return how many runs have."""
        key = (contract.counterparty_id, contract.agreement_id)
        with transaction(self._path) as connection:
            connection.execute("INSERT OR IGNORE INTO used VALUES (?, ?, ?)", (*key, run))
            query = "SELECT count(*) FROM used WHERE counterparty_id = ? AND agreement_id = ?"
            return int(connection.execute(query, key).fetchone()[0])

    def refuse(self, counterparty_id: str, agreement_id: str) -> None:
        """Note that an agreement is not to be used again: its time or number is over, or the counterparty does not keep to it."""
        with transaction(self._path) as connection:
            connection.execute("INSERT OR IGNORE INTO refused VALUES (?, ?)", (counterparty_id, agreement_id))

    def refused(self, counterparty_id: str) -> set[str]:
        """Return the agreements with a counterparty that are not to be used again."""
        query = "SELECT agreement_id FROM refused WHERE counterparty_id = ?"
        with transaction(self._path) as connection:
            return {agreement_id for (agreement_id,) in connection.execute(query, (counterparty_id,))}

    def receipts(self, *, held: bool = False) -> list[Receipt]:
        """Return the receipts in the order in which they were written.

        :param held: only those of data that were not removed.
        """
        return self._read(Receipt, "WHERE removed_at IS NULL ORDER BY rowid" if held else "ORDER BY rowid")

    def expired(self, now: datetime) -> list[Receipt]:
        """Return the receipts of data that we hold though their time is over.

        :param now: with time zone.
        """
        moment = now.astimezone(UTC).isoformat(
            timespec="seconds"
        )  # as `expires_at` is written, so that texts compare
        return self._read(Receipt, "WHERE removed_at IS NULL AND expires_at <= ? ORDER BY rowid", moment)

    def held_count(self) -> int:
        """Return how many receipts there are of data that were not removed."""
        with transaction(self._path) as connection:
            return int(connection.execute("SELECT count(*) FROM receipt WHERE removed_at IS NULL").fetchone()[0])

    def put_receipts(self, receipts: Iterable[Receipt]) -> None:
        """Write receipts down; one with the same agreement and content replaces the former."""
        self._write(receipts)

    def twins(self) -> dict[str, Twin]:
        """Return all twins by their shells' ids."""
        return {twin.shell_id: twin for twin in self._read(Twin)}

    def put_twins(self, twins: Iterable[Twin]) -> None:
        """Write down whose twins are and what they show."""
        self._write(twins)

    def shared(self) -> dict[str, Shared]:
        """Return all that several passports bring, by id."""
        return {one.identifier: one for one in self._read(Shared)}

    def put_shared(self, shared: Iterable[Shared]) -> None:
        """Write down whose shared content is."""
        self._write(shared)

    def _read(self, kind: type[Any], condition: str = "", *values: str) -> list[Any]:
        query = f"SELECT {', '.join(_columns(kind))} FROM {_table(kind)} {condition}"  # noqa: S608 - constant names
        with transaction(self._path) as connection:
            return [kind(*row) for row in connection.execute(query, values)]

    def _write(self, records: Iterable[Any]) -> None:
        rows = list(records)
        if not rows:
            return
        kind = type(rows[0])
        columns = _columns(kind)
        insert = (
            f"INSERT OR REPLACE INTO {_table(kind)} ({', '.join(columns)}) VALUES ({', '.join('?' for _ in columns)})"  # noqa: S608
        )
        with transaction(self._path) as connection:
            connection.executemany(insert, [astuple(row) for row in rows])


def _table(kind: type[Any]) -> str:
    return kind.__name__.lower()


def _columns(kind: type[Any]) -> list[str]:
    return [field.name for field in fields(kind)]
