"""Under which contract the consumer holds what: receipts in the journal, and in the history once the data were verified."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from battery_pilot.passport.canonical import canonical_sha256
from battery_pilot.passport.custody import Custody, Event
from battery_pilot.passport.history import current_entry
from battery_pilot.pipeline.contracts import Receipt
from battery_pilot.services.connectors.policies import expires_at, maximum_uses

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.lake import Lake
    from battery_pilot.pipeline.bundle import Bundle
    from battery_pilot.pipeline.contracts import Contract, ContractJournal
    from battery_pilot.pipeline.parties import ConnectorParty
    from battery_pilot.services.connectors.model import Agreement

EVENTS_AT_ONCE = 500


@dataclass
class Receipts:
    """Writes receipts; each agreement is read once.

    :param journal: where they are kept.
    :param party: whose connector knows the agreements.
    :param run: the run that pulls; all that it fetches under an agreement is one use.
    """

    journal: ContractJournal
    party: ConnectorParty
    run: str
    _agreements: dict[str, Agreement] = field(default_factory=dict)

    def receipt(self, contract: Contract, data: bytes, version: str = "") -> Receipt:
        """Return the receipt for data that came under a contract.

        :param version: what the offer's index calls the data; without one, the digest of the data.
        """
        agreement_id = str(contract.agreement_id)
        agreement = self._agreements.get(agreement_id)
        if agreement is None:
            agreement = self._agreements[agreement_id] = self.party.connector.agreement(agreement_id)
            self._count(contract, maximum_uses(agreement.policy))
        end = expires_at(agreement.policy, agreement.signed_at)
        digest = hashlib.sha256(data).hexdigest()
        return Receipt(
            contract.counterparty_id,
            contract.asset_id,
            contract.battery_id,
            agreement_id,
            digest,
            version or digest,
            json.dumps(agreement.policy, sort_keys=True),
            datetime.now(UTC).isoformat(timespec="seconds"),
            end.astimezone(UTC).isoformat(timespec="seconds") if end else None,
        )

    def _count(self, contract: Contract, most: int | None) -> None:
        """Count a use, and use an agreement no more whose number is reached."""
        if most is not None and self.journal.use(self.run, contract) >= most:
            self.journal.refuse(contract.counterparty_id, str(contract.agreement_id))


def custody_file(lake: Lake) -> Path:
    """Return where the consumer's own part of the passports' history is kept."""
    return lake.root / "history.sqlite"


def custody_of(lake: Lake) -> Custody:
    """Return the consumer's own part of the passports' history."""
    return Custody(custody_file(lake))


def event_of(
    receipt: Receipt, kind: Literal["received", "removed"], at: datetime, bundle: Bundle | None = None
) -> Event:
    """Return what the history says of a receipt.

    :param at: when it was received or removed.
    :param bundle: what was received, once it was checked.
    """
    newest = current_entry(bundle.entries) if bundle else None
    return Event(
        battery_id=receipt.battery_id,
        kind=kind,
        at=at,
        counterparty_id=receipt.counterparty_id,
        asset_id=receipt.asset_id,
        agreement_id=receipt.agreement_id,
        policy_sha256=canonical_sha256(json.loads(receipt.policy)),
        sha256=receipt.sha256,
        expires_at=datetime.fromisoformat(receipt.expires_at) if receipt.expires_at else None,
        tier=bundle.tier if bundle else None,
        version=newest.version if newest else None,
        version_hash=newest.entry_hash if newest else None,
    )


class ReceivedEvents:
    """Writes into the history what was received, once it was checked; some events at a time.

    :param lake: the consumer's.
    :param journal: has the receipts.
    """

    def __init__(self, lake: Lake, journal: ContractJournal) -> None:
        self._custody = custody_of(lake)
        self._receipts = {(one.counterparty_id, one.asset_id, one.sha256): one for one in journal.receipts(held=True)}
        self._events: list[Event] = []

    def note(self, contract: Contract, sha256: str, bundle: Bundle) -> None:
        """Take what a contract brought.

        :param sha256: digest of the file.
        :param bundle: its content, which was found good.
        """
        receipt = self._receipts.get((contract.counterparty_id, contract.asset_id, sha256))
        if receipt is None:  # of data that came without an agreement
            return
        self._events.append(event_of(receipt, "received", datetime.fromisoformat(receipt.received_at), bundle))
        if len(self._events) == EVENTS_AT_ONCE:
            self.save()

    def save(self) -> None:
        """Write down what was taken."""
        self._custody.append(self._events)
        self._events.clear()
