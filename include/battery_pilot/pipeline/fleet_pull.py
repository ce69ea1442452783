"""Consumer: pull of an offered fleet what changed, all of it over one agreement."""

from __future__ import annotations

import hashlib
import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from battery_pilot.errors import InputError, PassportError, ServerRefused
from battery_pilot.lake import write_bytes
from battery_pilot.pipeline.attached import PulledFiles
from battery_pilot.pipeline.bundle import MAXIMUM_BYTES
from battery_pilot.pipeline.fleets import INDEX, Member, read_members, read_shards
from battery_pilot.pipeline.pulled import pulled_file

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.lake import Lake
    from battery_pilot.pipeline.contracts import Contract, ContractJournal, Receipt
    from battery_pilot.pipeline.fetching import Source
    from battery_pilot.pipeline.receipts import Receipts

log = logging.getLogger(__name__)

WORKERS = 8
AT_ONCE = 200
"""Bundles after which the journal is written: what a killed run has, the next one need not fetch again."""

MAXIMUM_INDEX_BYTES = 64 * 2**20
"""A sub-folder holds a 256th of a fleet: about 4,000 lines of 250 bytes for a million batteries."""


@dataclass
class FleetPull:
    """What a pull of a fleet brought.

    :param pulled: bundles that were fetched.
    :param unchanged: bundles that we have already.
    :param size: bytes fetched.
    :param failed: what was refused, with the reason.
    """

    pulled: int
    unchanged: int
    size: int
    failed: list[Contract]


def pull_fleet(lake: Lake, journal: ContractJournal, source: Source, run: str, receipts: Receipts) -> FleetPull:
    """Fetch what changed of a fleet; a bundle that is refused or too large costs only itself.

    :param source: of the fleet's contract.
    :param run: wants all members afterwards, fetched now or before.
    :raises PassportError: the index cannot be used.
    """
    fleet = source.contract
    held = {
        receipt.asset_id: receipt.version
        for receipt in journal.receipts(held=True)
        if receipt.counterparty_id == fleet.counterparty_id
    }
    files = PulledFiles(lake)
    with ThreadPoolExecutor(WORKERS) as pool:
        members = {_asset_id(fleet, member): member for member in _members(lake, source, pool)}
        changed = [
            (asset_id, member)
            for asset_id, member in members.items()
            if held.get(asset_id) != member.version or not pulled_file(lake, _row(fleet, asset_id, member)).exists()
        ]
        found = FleetPull(0, len(members) - len(changed), 0, [])
        for start in range(0, len(changed), AT_ONCE):
            group = changed[start : start + AT_ONCE]
            answers = list(pool.map(lambda one: _try(lake, source, files, *one), group))
            _note_files(lake, source, files, group, answers)
            _note(journal, source, receipts, found, list(zip(group, answers, strict=True)))
    rows = [_row(source.contract, asset_id, member) for asset_id, member in members.items()]
    lost = {contract.asset_id for contract in found.failed}
    good = [row for row in rows if row.asset_id not in lost]
    journal.put(*good, *found.failed)
    journal.want(run, *good)
    return found


def _note(
    journal: ContractJournal,
    source: Source,
    receipts: Receipts,
    found: FleetPull,
    answers: list[tuple[tuple[str, Member], bytes | Exception]],
) -> None:
    """Write receipts for what was fetched, and count."""
    written: list[Receipt] = []
    unexpected: Exception | None = None
    for (asset_id, member), answer in answers:
        row = _row(source.contract, asset_id, member)
        if isinstance(answer, bytes):
            written.append(receipts.receipt(row, answer, member.version))
            found.pulled += 1
            found.size += len(answer)
        elif isinstance(answer, (ServerRefused, InputError)):
            found.failed.append(replace(row, transfer_id=None, started_id=None, error=str(answer)))
        else:
            unexpected = answer
    journal.put_receipts(written)
    if unexpected is not None:
        raise unexpected


def _note_files(
    lake: Lake,
    source: Source,
    files: PulledFiles,
    group: list[tuple[str, Member]],
    answers: list[bytes | Exception],
) -> None:
    for (asset_id, member), answer in zip(group, answers, strict=True):
        if isinstance(answer, bytes):
            files.note(pulled_file(lake, _row(source.contract, asset_id, member)), answer)


def _try(lake: Lake, source: Source, files: PulledFiles, asset_id: str, member: Member) -> bytes | Exception:
    """Fetch a bundle with its files and write it: waiting for the disk is part of what happens side by side."""
    try:
        data = source.fetch(MAXIMUM_BYTES, member.path)
        files.fetch(source, data)
        write_bytes(pulled_file(lake, _row(source.contract, asset_id, member)), data)
    except Exception as error:  # noqa: BLE001 - it is raised, or counted, once the others are noted
        return error
    return data


def _members(lake: Lake, source: Source, pool: ThreadPoolExecutor) -> list[Member]:
    """Read the index, of the sub-folders only what changed since we read them last."""
    name = hashlib.sha256(f"{source.contract.counterparty_id}\0{source.contract.asset_id}".encode()).hexdigest()
    folder = lake.root / "pulled_indexes" / name
    shards = read_shards(source.fetch(MAXIMUM_INDEX_BYTES, INDEX))
    found = pool.map(lambda one: _shard(folder, source, *one), shards.items())
    return [member for data in found for member in read_members(data)]


def _shard(folder: Path, source: Source, shard: str, digest: str) -> bytes:
    file = folder / f"{shard}.jsonl"
    data = file.read_bytes() if file.exists() else b""
    if hashlib.sha256(data).hexdigest() != digest:
        data = source.fetch(MAXIMUM_INDEX_BYTES, f"{shard}/{INDEX}")
        if hashlib.sha256(data).hexdigest() != digest:
            raise PassportError(
                f"index of {source.contract.asset_id}: sub-folder {shard} changed meanwhile: pull again"
            )
        write_bytes(file, data)
    return data


def _asset_id(fleet: Contract, member: Member) -> str:
    return f"{fleet.asset_id}/{member.battery_id}"


def _row(fleet: Contract, asset_id: str, member: Member) -> Contract:
    return replace(fleet, asset_id=asset_id, battery_id=member.battery_id, error=None)
