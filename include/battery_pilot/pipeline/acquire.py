"""Consumer, stages 1 and 2: agree on contracts, pull what was agreed."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from battery_pilot.errors import InputError, NegotiationFailed, NotFound, PassportError, ServerRefused, TerminalError
from battery_pilot.lake import Lake, write_bytes
from battery_pilot.pipeline.bundle import MAXIMUM_BYTES
from battery_pilot.pipeline.contracts import Contract, ContractJournal
from battery_pilot.pipeline.fetching import NO_REASON, Source
from battery_pilot.pipeline.fleet_pull import FleetPull, pull_fleet
from battery_pilot.pipeline.fleets import Granularity
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.pipeline.receipts import Receipts
from battery_pilot.services.connectors.model import CatalogueEntry, NegotiationState, TransferState

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from battery_pilot.passport.model import Tier
    from battery_pilot.pipeline.parties import ConnectorParty

log = logging.getLogger(__name__)

REFUSALS = (ServerRefused, InputError)
"""What concerns one contract and leaves the others alone."""

PENDING_A_LOOK = 50
"""A look at the connector ends at so many contracts that have no outcome yet: the others can wait for the next look."""

CANCELLED = "cancelled on our side"


def journal_of(lake: Lake) -> ContractJournal:
    """Return the consumer's journal of contracts."""
    return ContractJournal(lake.root / "contracts.sqlite")


def request_contracts(journal: ContractJournal, party: ConnectorParty, run: str, tier: Tier) -> dict[str, int]:
    """Ask for a contract for every offered passport of a tier, unless there is one already.

    What is refused costs only itself.

    :param run: the run that wants them.
    :param tier: which view of the passports is wanted.
    :return: ``offers`` seen, ``agreed`` before, ``requested`` now.
    """
    entries = [
        entry
        for entry in party.connector.catalogue(party.counterparty)
        if entry.properties.get("tier") == tier.value and _is_of_passports(entry)
    ]
    before = journal.of(party.counterparty.participant_id)
    known = [before.get(entry.asset_id) or _new(entry) for entry in entries]
    # Before anything is asked: a run that is killed must find what it has begun.
    journal.put(*known)
    journal.want(run, *known)
    refused = journal.refused(party.counterparty.participant_id)
    if any(_may_be_lost(contract) for contract in before.values()):
        begun = party.connector.negotiations_under_way(party.counterparty)
        known = [_found_again(contract, begun) for contract in known]
        journal.put(*known)
    agreed = requested = 0
    for entry, contract in zip(entries, known, strict=True):
        try:
            found = _agreement(party, contract, refused)
            if found is not None:
                now = replace(contract, agreement_id=found, error=None)
                agreed += 1
            else:
                now = _asked(party, entry, contract)
                requested += 1
        except REFUSALS as refusal:
            _raise_own(refusal)
            now = replace(_new(entry), error=str(refusal))
        if now != contract:
            journal.put(now)
    log.info("%d offers of tier %s: %d agreed before, %d requested", len(entries), tier, agreed, requested)
    return {"offers": len(entries), "agreed": agreed, "requested": requested}


def _may_be_lost(contract: Contract) -> bool:
    """Tell whether a run may have been killed between asking for a contract and writing the answer down."""
    return not (contract.negotiation_id or contract.agreement_id or contract.error)


def _found_again(contract: Contract, begun: Mapping[str, str]) -> Contract:
    return replace(contract, negotiation_id=begun.get(contract.asset_id)) if _may_be_lost(contract) else contract


def _agreement(party: ConnectorParty, contract: Contract, refused: Collection[str]) -> str | None:
    """Return an agreement about an asset that the counterparty has not refused yet, and that is not used up."""
    known = contract.agreement_id
    useless = set(refused)
    if known is not None and party.connector.agreements_serve_once and contract.started_id is not None:
        useless.add(known)
    if known is not None and known not in useless:
        return known
    return party.connector.find_agreement(contract.asset_id, party.counterparty, without=useless)


def _asked(party: ConnectorParty, entry: CatalogueEntry, contract: Contract) -> Contract:
    under_way = contract.negotiation_id is not None and contract.agreement_id is None and contract.error is None
    return contract if under_way else replace(_new(entry), negotiation_id=party.connector.negotiate(entry))


def _is_of_passports(entry: CatalogueEntry) -> bool:
    return "batteryId" in entry.properties or entry.properties.get("granularity") in (
        Granularity.FLEET,
        Granularity.MODEL,
    )


def _new(entry: CatalogueEntry) -> Contract:
    return Contract(entry.asset_id, entry.properties.get("batteryId", ""), entry.counterparty.participant_id)


def _raise_own(refusal: ServerRefused | InputError) -> None:
    """Raise what is no matter of one contract: our own connector does not let us in."""
    if isinstance(refusal, ServerRefused) and refusal.status == 401:
        raise refusal


def settle_negotiations(journal: ContractJournal, party: ConnectorParty, run: str) -> int:
    """Write down how a run's negotiations ended and return how many are still under way."""
    waiting = [
        contract
        for contract in journal.wanted(run)
        if contract.negotiation_id and not contract.agreement_id and not contract.error
    ]
    return _settle(journal, waiting, lambda contract: _negotiated(party, contract))


def _negotiated(party: ConnectorParty, contract: Contract) -> Contract | None:
    try:
        negotiation = party.connector.negotiation(str(contract.negotiation_id))
    except NotFound:
        return replace(contract, error=f"our connector has lost negotiation {contract.negotiation_id}")
    except REFUSALS as refusal:
        _raise_own(refusal)
        return replace(contract, error=str(refusal))
    if negotiation.state is NegotiationState.FINALIZED:
        return replace(contract, agreement_id=negotiation.agreement_id)
    if negotiation.state is NegotiationState.TERMINATED:
        return replace(contract, error=negotiation.error or NO_REASON)
    return None


def _settle(
    journal: ContractJournal, waiting: Sequence[Contract], outcome: Callable[[Contract], Contract | None]
) -> int:
    """Write down the outcomes that there are and return how many contracts have none yet.

    :param outcome: looks at a contract and returns it as it is now, or ``None`` while there is no outcome.
    """
    settled: list[Contract] = []
    pending = 0
    try:
        for contract in waiting:
            found = outcome(contract)
            if found is not None:
                settled.append(found)
                continue
            pending += 1
            if pending == PENDING_A_LOOK:
                break
    finally:
        journal.put(*settled)
    return len(waiting) - len(settled)


def start_transfers(journal: ContractJournal, party: ConnectorParty, run: str) -> int:
    """Start the transfer of everything a run has a contract for; what is refused costs only itself.

    :return: how many transfers are under way.
    :raises NegotiationFailed: if every transfer was refused; the message carries a reason.
    """
    refused = journal.refused(party.counterparty.participant_id)
    count = 0
    failed: list[Contract] = []
    for contract in _own(journal, run):
        if contract.agreement_id is None or (contract.error and contract.agreement_id in refused):
            continue
        if _still_open(party, contract):
            count += 1
            continue
        try:
            transfer_id = party.connector.transfer(contract.agreement_id, party.counterparty)
        except REFUSALS as refusal:
            _raise_own(refusal)
            failed.append(_fruitless(contract, str(refusal)))
            journal.put(failed[-1])
            journal.refuse(contract.counterparty_id, contract.agreement_id)
            continue
        journal.put(replace(contract, transfer_id=transfer_id, started_id=None, error=None))
        count += 1
    if failed and not count:
        raise NegotiationFailed(
            f"none of {len(failed)} transfers could be started; {failed[0].asset_id}: {failed[0].error}"
        )
    return count


def _still_open(party: ConnectorParty, contract: Contract) -> bool:
    if contract.transfer_id is None:
        return False
    try:
        state = party.connector.transfer_state(contract.transfer_id).state
    except REFUSALS as refusal:
        _raise_own(refusal)
        return False
    return state in (TransferState.REQUESTED, TransferState.STARTED)


def settle_transfers(journal: ContractJournal, party: ConnectorParty, run: str) -> int:
    """Write down which of a run's transfers have started or failed and return how many have not yet."""
    waiting = [
        contract
        for contract in journal.wanted(run)
        if contract.transfer_id is not None and contract.transfer_id != contract.started_id
    ]
    return _settle(journal, waiting, lambda contract: _transferred(journal, party, contract))


def _transferred(journal: ContractJournal, party: ConnectorParty, contract: Contract) -> Contract | None:
    try:
        transfer = party.connector.transfer_state(str(contract.transfer_id))
    except NotFound:
        return _fruitless(contract, f"our connector has lost transfer {contract.transfer_id}")
    except REFUSALS as refusal:
        _raise_own(refusal)
        return _fruitless(contract, str(refusal))
    if transfer.state is TransferState.TERMINATED:
        if contract.agreement_id is not None:
            journal.refuse(contract.counterparty_id, contract.agreement_id)
        return _fruitless(contract, transfer.error or NO_REASON)
    if transfer.state in (TransferState.STARTED, TransferState.COMPLETED):
        return replace(contract, started_id=contract.transfer_id)
    return None


SETTLE: dict[str, Callable[[ContractJournal, ConnectorParty, str], int]] = {
    "negotiations": settle_negotiations,
    "transfers": settle_transfers,
}
"""What a waiting task may wait for."""


def cancel(journal: ContractJournal, party: ConnectorParty, run: str) -> int:
    """End a run's negotiations and transfers that have no outcome yet, and return how many there were."""
    cancelled: list[Contract] = []
    for contract in journal.wanted(run):
        if contract.negotiation_id and not contract.agreement_id and not contract.error:
            party.connector.terminate_negotiation(contract.negotiation_id, CANCELLED)
        elif contract.transfer_id and contract.transfer_id != contract.started_id:
            party.connector.terminate(contract.transfer_id, CANCELLED)
        else:
            continue
        cancelled.append(_fruitless(contract, CANCELLED))
        journal.put(cancelled[-1])
    log.info("%d negotiations and transfers of run %s were cancelled", len(cancelled), run)
    return len(cancelled)


def contract_counts(journal: ContractJournal, run: str) -> dict[str, int]:
    """Count a run's agreements and refusals.

    :raises NegotiationFailed: if there were offers and every one was refused; the message carries a reason.
    """
    contracts = _own(journal, run)
    refused = [contract for contract in contracts if contract.error]
    agreements = sum(contract.agreement_id is not None and not contract.error for contract in contracts)
    reason = f"; {refused[0].asset_id}: {refused[0].error}" if refused else ": no negotiation has ended"
    for contract in refused:
        log.warning("no contract for %s: %s", contract.asset_id, contract.error)
    if contracts and not agreements:
        raise NegotiationFailed(f"none of {len(contracts)} offers led to a contract{reason}")
    return {"agreements": agreements, "refused": len(refused)}


def pull(lake: Lake, journal: ContractJournal, party: ConnectorParty, run: str) -> dict[str, int]:
    """Fetch the data of every started transfer into the lake; what is refused or too large costs only itself.

    :return: ``pulled``, ``unchanged`` (of fleets: what we have already), ``failed``, ``bytes``.
    :raises NegotiationFailed: if every transfer was refused; the message carries a reason.
    """
    counts = {"pulled": 0, "unchanged": 0, "failed": 0, "bytes": 0}
    failed: list[Contract] = []
    receipts = Receipts(journal, party, run)
    for contract in _own(journal, run):
        if contract.transfer_id is None:
            # It was agreed, and then the transfer failed before there was anything to fetch.
            failed += [contract] if contract.agreement_id and contract.error else []
            continue
        try:
            if contract.is_fleet:
                found = pull_fleet(lake, journal, Source(journal, party, contract), run, receipts)
                failed += found.failed
                counts["unchanged"] += found.unchanged
            else:
                found = _pull_battery(lake, journal, Source(journal, party, contract), receipts)
        except (*REFUSALS, PassportError) as refusal:
            failed.append(_not_fetched(journal, contract, refusal))
            continue
        counts["pulled"] += found.pulled
        counts["bytes"] += found.size
    for contract in failed:
        log.warning("no data of %s: %s", contract.asset_id, contract.error)
    counts["failed"] = len(failed)
    if failed and not counts["pulled"] + counts["unchanged"]:
        raise NegotiationFailed(f"none of {len(failed)} transfers gave data; {failed[0].asset_id}: {failed[0].error}")
    log.info("pulled: %s", counts)
    return counts


def _own(journal: ContractJournal, run: str) -> list[Contract]:
    """Return the contracts of a run that stand for themselves and not for a battery of a fleet."""
    return [contract for contract in journal.wanted(run) if not contract.is_member]


def _pull_battery(lake: Lake, journal: ContractJournal, source: Source, receipts: Receipts) -> FleetPull:
    data = source.fetch(MAXIMUM_BYTES)
    write_bytes(pulled_file(lake, source.contract), data)
    if source.contract.agreement_id is not None:
        journal.put_receipts([receipts.receipt(source.contract, data)])
    return FleetPull(1, 0, len(data), [])


def _not_fetched(journal: ContractJournal, contract: Contract, refusal: TerminalError) -> Contract:
    if isinstance(refusal, ServerRefused) and refusal.status in {401, 403} and contract.agreement_id is not None:
        journal.refuse(contract.counterparty_id, contract.agreement_id)
    fruitless = _fruitless(contract, str(refusal))
    journal.put(fruitless)
    return fruitless


def _fruitless(contract: Contract, reason: str) -> Contract:
    """Return a contract whose transfer came to nothing: the next run transfers anew, under an agreement that holds."""
    return replace(contract, transfer_id=None, started_id=None, error=reason)
