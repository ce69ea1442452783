"""Fetch under an agreement, with a new transfer where the old one is no longer good."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from battery_pilot.errors import ServerRefused

if TYPE_CHECKING:
    from battery_pilot.pipeline.contracts import Contract, ContractJournal
    from battery_pilot.pipeline.parties import ConnectorParty

log = logging.getLogger(__name__)

NO_LONGER_GOOD = frozenset({401, 403, 404})
"""A token that has expired or was revoked, or an address that our connector no longer has."""

RENEWAL_SECONDS = 60.0
RENEWAL_POLL_SECONDS = 0.2
NO_REASON = "the counterparty gave no reason"


class Source:
    """What a contract gives access to. Threads may share it; the transfer is renewed once.

    :param journal: gets the new transfer.
    :param party: whose connector fetches.
    :param contract: with an agreement and a transfer that has started.
    """

    def __init__(self, journal: ContractJournal, party: ConnectorParty, contract: Contract) -> None:
        self.contract = contract
        self._journal = journal
        self._party = party
        self._renewing = threading.Lock()
        self._is_renewed = False

    def fetch(self, maximum_bytes: int, path: str = "") -> bytes:
        """Get a file.

        :param maximum_bytes: longest to accept.
        :param path: below the offer's address, where that is a folder.
        """
        used = str(self.contract.transfer_id)
        try:
            return self._party.connector.fetch(used, maximum_bytes=maximum_bytes, path=path)
        except ServerRefused as refusal:
            # Below a folder, 404 is about the path.
            if (
                refusal.status not in NO_LONGER_GOOD - ({404} if path else set())
                or self.contract.agreement_id is None
            ):
                raise
            with self._renewing:
                if self.contract.transfer_id == used:
                    if self._is_renewed:
                        raise
                    log.info("transfer %s is no longer good (%s): transferring anew", used, refusal.status)
                    self._renew()
        return self._party.connector.fetch(str(self.contract.transfer_id), maximum_bytes=maximum_bytes, path=path)

    def _renew(self) -> None:
        connector = self._party.connector
        transfer_id = connector.transfer(str(self.contract.agreement_id), self._party.counterparty)
        self._is_renewed = True
        self._journal.put(replace(self.contract, transfer_id=transfer_id, started_id=None))
        end = time.monotonic() + RENEWAL_SECONDS
        while not (transfer := connector.transfer_state(transfer_id)).state.is_ready:
            if transfer.state.is_final or time.monotonic() > end:
                problem = f"new transfer {transfer_id} is {transfer.state}: {transfer.error or NO_REASON}"
                raise ServerRefused("GET", self.contract.asset_id, None, problem)
            time.sleep(RENEWAL_POLL_SECONDS)
        self.contract = replace(self.contract, transfer_id=transfer_id, started_id=transfer_id)
        self._journal.put(self.contract)
