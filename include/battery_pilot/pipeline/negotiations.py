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
    from battery_pilot.pipeline.contracts import Contract


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
    contracts = _contracts(lake, identifier)
    known = {identifier}
    for contract in contracts:
        known |= {contract.asset_id, *filter(None, _processes(contract))}
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


def _contracts(lake: Lake, identifier: str) -> list[Contract]:
    path = lake.root / "contracts.sqlite"
    found = ContractJournal(path).all() if path.exists() else []
    return [one for one in found if identifier in {one.asset_id, one.battery_id, *_processes(one)}]


def _processes(contract: Contract) -> tuple[str | None, ...]:
    return contract.negotiation_id, contract.agreement_id, contract.transfer_id, contract.started_id
