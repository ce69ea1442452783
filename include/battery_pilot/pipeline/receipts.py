"""Under which contract the consumer holds what, and the removal of what it may hold no longer."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from battery_pilot.pipeline.contracts import Contract, Receipt
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.services.connectors.policies import expires_at

if TYPE_CHECKING:
    from battery_pilot.lake import Lake
    from battery_pilot.pipeline.contracts import ContractJournal
    from battery_pilot.pipeline.parties import ConnectorParty
    from battery_pilot.services.connectors.model import Agreement

log = logging.getLogger(__name__)


@dataclass
class Receipts:
    """Writes receipts; each agreement is read once.

    :param journal: where they are kept.
    :param party: whose connector knows the agreements.
    """

    journal: ContractJournal
    party: ConnectorParty
    _agreements: dict[str, Agreement] = field(default_factory=dict)

    def receipt(self, contract: Contract, data: bytes, version: str = "") -> Receipt:
        """Return the receipt for data that came under a contract.

        :param version: what the offer's index calls the data; without one, the digest of the data.
        """
        agreement_id = str(contract.agreement_id)
        agreement = self._agreements.get(agreement_id)
        if agreement is None:
            agreement = self._agreements[agreement_id] = self.party.connector.agreement(agreement_id)
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


def remove_expired(lake: Lake, journal: ContractJournal, now: datetime) -> dict[str, int]:
    """Remove pulled data whose agreement's time is over, and write into their receipts that it was done.

    Data that came again under an agreement that still holds stay. An agreement whose time is over is not used again.

    :param now: with time zone.
    :return: ``removed`` (files), ``held`` (receipts of data that stay).
    """
    held = journal.receipts(held=True)
    over = [one for one in held if one.expires_at and datetime.fromisoformat(one.expires_at) <= now]
    gone = set(over)
    kept = {(one.counterparty_id, one.asset_id) for one in held if one not in gone}
    removed: list[Receipt] = []
    files = 0
    try:
        for receipt in over:
            path = pulled_file(lake, Contract(receipt.asset_id, receipt.battery_id, receipt.counterparty_id))
            if (receipt.counterparty_id, receipt.asset_id) not in kept and path.exists():
                path.unlink()
                files += 1
            journal.refuse(receipt.counterparty_id, receipt.agreement_id)
            removed.append(replace(receipt, removed_at=now.astimezone(UTC).isoformat(timespec="seconds")))
    finally:
        journal.put_receipts(removed)
    log.info("removed %d files whose agreements are over; %d receipts of what is held", files, len(held) - len(over))
    return {"removed": files, "held": len(held) - len(over)}
