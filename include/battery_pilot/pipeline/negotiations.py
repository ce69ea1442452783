"""The story of a negotiation: what was asked for, agreed and transferred, and every word that was said on the way."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.pipeline.contracts import ContractJournal
from battery_pilot.services.connectors.exchanges import ExchangeJournal

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.lake import Lake


def exchanges_of(lake: Lake) -> Path:
    """Return where a party's journal of requests and answers is."""
    return lake.root / "exchanges.sqlite"


def story(lake: Lake, identifier: str) -> dict[str, Any]:
    """Tell all that is known of a negotiation.

    :param lake: the consumer's.
    :param identifier: id of a negotiation, agreement or transfer, or an asset or battery.
    :return: ``contracts`` (what the journal of contracts says) and ``exchanges`` (in order of time).
    :raises InputError: nothing is known by that name.
    """
    contracts = _journal(lake).named(identifier) if _has_journal(lake) else []
    known = {identifier}
    for contract in contracts:
        processes = (contract.negotiation_id, contract.agreement_id, contract.transfer_id, contract.started_id)
        known |= {one for one in processes if one}
        # The batteries of a fleet share its contract, and nothing was said about one of them alone.
        known |= set() if contract.is_member else {contract.asset_id}
    path = exchanges_of(lake)
    exchanges = ExchangeJournal(path).of(*sorted(known)) if path.exists() else []
    if not contracts and not exchanges:
        raise InputError(
            f"nothing is known of {identifier!r} in {lake.root}: name a negotiation, agreement, transfer, asset or battery"
        )
    return {
        "contracts": [asdict(contract) for contract in contracts],
        "exchanges": [asdict(exchange) for exchange in exchanges],
    }


def story_of_run(lake: Lake, run: str, most: int) -> dict[str, Any]:
    """Tell what became of what a run of the consumer asked for.

    :param lake: the consumer's.
    :param run: id of the run.
    :param most: how many contracts to tell of, those with an error first.
    :return: ``wanted``, ``agreed`` and ``failed`` (numbers), ``contracts``.
    :raises InputError: the run asked for nothing.
    """
    counts = _journal(lake).outcomes(run) if _has_journal(lake) else {"wanted": 0}
    if not counts["wanted"]:
        raise InputError(f"nothing is known of a run {run!r} that asked for contracts in {lake.root}")
    return {**counts, "contracts": [asdict(one) for one in _journal(lake).wanted_first(run, most)]}


def _has_journal(lake: Lake) -> bool:
    return (lake.root / "contracts.sqlite").exists()


def _journal(lake: Lake) -> ContractJournal:
    return ContractJournal(lake.root / "contracts.sqlite")
