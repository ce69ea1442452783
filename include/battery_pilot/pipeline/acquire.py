"""Consumer, stages 1 and 2: agree on contracts, pull what was agreed."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from battery_pilot.errors import NegotiationFailed, NotFound, ServerRefused
from battery_pilot.lake import Lake, write_bytes
from battery_pilot.pipeline.build import shard
from battery_pilot.pipeline.bundle import MAXIMUM_BYTES
from battery_pilot.pipeline.contracts import Contract, ContractJournal
from battery_pilot.services.connectors.model import CatalogueEntry, NegotiationState, TransferState

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from battery_pilot.passport.model import Tier
    from battery_pilot.pipeline.parties import ConnectorParty

log = logging.getLogger(__name__)


def journal_of(lake: Lake) -> ContractJournal:
    """Return the consumer's journal of contracts."""
    return ContractJournal(lake.root / "contracts.sqlite")


def request_contracts(journal: ContractJournal, party: ConnectorParty, run: str, tier: Tier) -> dict[str, int]:
    """Ask for a contract for every offered passport of a tier, unless there is one already.

    :param run: the run that wants them.
    :param tier: which view of the passports is wanted.
    :return: ``offers`` seen, ``agreed`` before, ``requested`` now.
    """
    offers = agreed = requested = 0
    for entry in party.connector.catalogue(party.counterparty):
        if entry.properties.get("tier") != tier.value or "batteryId" not in entry.properties:
            continue
        offers += 1
        journal.want(run, entry.asset_id)
        if _agreed_before(journal, party, entry):
            agreed += 1
        else:
            _request(journal, party, entry)
            requested += 1
    log.info("%d offers of tier %s: %d agreed before, %d requested", offers, tier, agreed, requested)
    return {"offers": offers, "agreed": agreed, "requested": requested}


def _agreed_before(journal: ContractJournal, party: ConnectorParty, entry: CatalogueEntry) -> bool:
    known = journal.get(entry.asset_id)
    if known is not None and known.agreement_id is not None:
        return True
    agreement = party.connector.find_agreement(entry.asset_id, party.counterparty)
    if agreement is None:
        return False
    journal.put(replace(known or _new(entry), agreement_id=agreement, error=None))
    return True


def _request(journal: ContractJournal, party: ConnectorParty, entry: CatalogueEntry) -> None:
    known = journal.get(entry.asset_id)
    if known is not None and known.negotiation_id is not None and known.error is None:
        return
    contract = _new(entry)
    journal.put(contract)
    journal.put(replace(contract, negotiation_id=party.connector.negotiate(entry)))


def _new(entry: CatalogueEntry) -> Contract:
    return Contract(entry.asset_id, entry.properties["batteryId"], entry.counterparty.participant_id)


def settle_negotiations(journal: ContractJournal, party: ConnectorParty, run: str) -> int:
    """Write down how a run's negotiations ended and return how many are still under way."""
    pending = 0
    for contract in journal.wanted(run):
        if contract.agreement_id or contract.error or not contract.negotiation_id:
            continue
        try:
            negotiation = party.connector.negotiation(contract.negotiation_id)
        except NotFound:
            journal.put(replace(contract, error=f"our connector has lost negotiation {contract.negotiation_id}"))
            continue
        if negotiation.state is NegotiationState.FINALIZED:
            journal.put(replace(contract, agreement_id=negotiation.agreement_id))
        elif negotiation.state is NegotiationState.TERMINATED:
            journal.put(replace(contract, error=negotiation.error or "the counterparty gave no reason"))
        else:
            pending += 1
    return pending


def start_transfers(journal: ContractJournal, party: ConnectorParty, run: str) -> int:
    """Start the transfer of everything a run has a contract for and return how many there are."""
    count = 0
    for contract in journal.wanted(run):
        if contract.agreement_id is None:
            continue
        count += 1
        if not _still_open(party, contract):
            journal.put(
                replace(contract, transfer_id=party.connector.transfer(contract.agreement_id, party.counterparty))
            )
    return count


def _still_open(party: ConnectorParty, contract: Contract) -> bool:
    if contract.transfer_id is None:
        return False
    try:
        state = party.connector.transfer_state(contract.transfer_id).state
    except NotFound:
        return False
    return state in (TransferState.REQUESTED, TransferState.STARTED)


def settle_transfers(journal: ContractJournal, party: ConnectorParty, run: str) -> int:
    """Write down which of a run's transfers failed and return how many have not started yet."""
    pending = 0
    for contract in journal.wanted(run):
        if contract.transfer_id is None:
            continue
        transfer = party.connector.transfer_state(contract.transfer_id)
        if transfer.state is TransferState.TERMINATED:
            journal.put(_fruitless(contract, transfer.error or "the counterparty gave no reason"))
        elif transfer.state not in (TransferState.STARTED, TransferState.COMPLETED):
            pending += 1
    return pending


SETTLE: dict[str, Callable[[ContractJournal, ConnectorParty, str], int]] = {
    "negotiations": settle_negotiations,
    "transfers": settle_transfers,
}
"""What a waiting task may wait for."""


def contract_counts(journal: ContractJournal, run: str) -> dict[str, int]:
    """Count a run's agreements and refusals.

    :raises NegotiationFailed: if there were offers and every one was refused; the message carries a reason.
    """
    contracts = journal.wanted(run)
    agreements = sum(contract.agreement_id is not None for contract in contracts)
    refused = [contract for contract in contracts if contract.error]
    reason = f"; {refused[0].asset_id}: {refused[0].error}" if refused else ": no negotiation has ended"
    for contract in refused:
        log.warning("no contract for %s: %s", contract.asset_id, contract.error)
    if contracts and not agreements:
        raise NegotiationFailed(f"none of {len(contracts)} offers led to a contract{reason}")
    return {"agreements": agreements, "refused": len(refused)}


def pull(lake: Lake, journal: ContractJournal, party: ConnectorParty, run: str) -> dict[str, int]:
    """Fetch the data of every started transfer into the lake; what is refused or too large costs only itself.

    :return: ``pulled``, ``failed``, ``bytes``.
    :raises NegotiationFailed: if every transfer was refused; the message carries a reason.
    """
    pulled = size = 0
    failed: list[Contract] = []
    for contract in journal.wanted(run):
        if contract.transfer_id is None:
            continue
        try:
            data = party.connector.fetch(contract.transfer_id, maximum_bytes=MAXIMUM_BYTES)
        except ServerRefused as refusal:
            log.warning("no data of %s: %s", contract.asset_id, refusal)
            failed.append(_fruitless(contract, str(refusal)))
            journal.put(failed[-1])
            continue
        write_bytes(pulled_file(lake, contract), data)
        pulled += 1
        size += len(data)
    if failed and not pulled:
        raise NegotiationFailed(f"none of {len(failed)} transfers gave data; {failed[0].asset_id}: {failed[0].error}")
    log.info("pulled %d bundles, %d bytes; %d failed", pulled, size, len(failed))
    return {"pulled": pulled, "failed": len(failed), "bytes": size}


def _fruitless(contract: Contract, reason: str) -> Contract:
    """Return a contract whose transfer came to nothing: the next run looks for an agreement that still holds."""
    return replace(contract, negotiation_id=None, agreement_id=None, transfer_id=None, error=reason)


def pulled_file(lake: Lake, contract: Contract) -> Path:
    """Return where the data of a contract lie; the counterparty's names stay out of the path."""
    import hashlib

    name = hashlib.sha256(contract.asset_id.encode()).hexdigest()
    return lake.root / "pulled" / shard(name) / f"{name}.json"
