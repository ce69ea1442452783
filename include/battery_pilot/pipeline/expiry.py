"""Consumer: the removal of what the agreements allow us to hold no longer, everywhere where we keep or show it."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import replace
from datetime import UTC
from typing import TYPE_CHECKING

from battery_pilot.lake import read_lines, write_lines
from battery_pilot.passport.identifiers import submodel_id
from battery_pilot.passport.mapping import part_of
from battery_pilot.passport.predictions import PART as PREDICTIONS
from battery_pilot.passport.reading import to_passport
from battery_pilot.pipeline.attached import PulledFiles
from battery_pilot.pipeline.contracts import Contract
from battery_pilot.pipeline.entities import battery_entity_id, model_entity_id
from battery_pilot.pipeline.entity_table import BATTERY, BATTERY_MODEL
from battery_pilot.pipeline.health_history import drop_states
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.pipeline.receipts import custody_of, event_of
from battery_pilot.pipeline.sent_entities import SentEntities
from battery_pilot.pipeline.shown import pushed_states
from battery_pilot.pipeline.twins import sent_file
from battery_pilot.services.aas_push import remove_twin

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from battery_pilot.lake import Lake
    from battery_pilot.pipeline.contracts import ContractJournal, Receipt, Twin
    from battery_pilot.services.aas_server import AasServer
    from battery_pilot.services.orion import Orion

log = logging.getLogger(__name__)

_SUBMODEL = "/sm/"


def remove_expired(
    lake: Lake, journal: ContractJournal, now: datetime, server: AasServer, orion: Orion
) -> dict[str, int]:
    """Remove data whose agreement's time is over, and write into receipts and history that it was done.

    Removed are the files, the twins and entities that show them, and in the lake their rows of the table that models learn
    from and their predictions. Data that came again under an agreement that still holds stay. An agreement whose time is
    over is not used again. Killed in the middle, the next run does all of it again: the receipts come last.

    :param now: with time zone.
    :param server: where the twins are.
    :param orion: where the entities are.
    :return: ``removed`` (files), ``twins`` (removed from the server and the context broker), ``held`` (receipts of data that
        stay).
    """
    over = journal.expired(now)
    counts = {"removed": 0, "twins": 0, "held": journal.held_count() - len(over)}
    if not over:
        return counts
    gone = set(over)
    kept = [one for one in journal.receipts(held=True) if one not in gone]
    twins = _no_longer_ours_to_show(lake, journal, over, kept)
    if twins:
        _remove_entities(lake, twins, _remove_twins(lake, journal, twins, server), orion)
        _remove_derived(lake, {twin.battery_id for twin in twins})
        journal.put_twins(replace(twin, as_of=None, sha256=None) for twin in twins)
    counts["twins"] = len(twins)
    counts["removed"] = _remove_files(lake, over, kept)
    for agreement in {(one.counterparty_id, one.agreement_id) for one in over}:
        journal.refuse(*agreement)
    custody_of(lake).append(event_of(one, "removed", now) for one in over)
    journal.put_receipts(replace(one, removed_at=now.astimezone(UTC).isoformat(timespec="seconds")) for one in over)
    log.info("agreements that are over: %s", counts)
    return counts


def _no_longer_ours_to_show(
    lake: Lake, journal: ContractJournal, over: Iterable[Receipt], kept: Iterable[Receipt]
) -> list[Twin]:
    """Return the twins that show a state which no agreement lets us hold any more."""
    expired = {(one.counterparty_id, one.battery_id) for one in over}
    allowed = {_passport_sha256(lake, one) for one in kept if (one.counterparty_id, one.battery_id) in expired}
    return [
        twin
        for twin in journal.twins().values()
        if (twin.counterparty_id, twin.battery_id) in expired and twin.sha256 not in allowed - {None}
    ]


def _passport_sha256(lake: Lake, receipt: Receipt) -> str | None:
    """Return the digest of the passport that a receipt is of, ``None`` where its file is another one by now."""
    path = _file_of(lake, receipt)
    data = path.read_bytes() if path.exists() else b""
    if hashlib.sha256(data).hexdigest() != receipt.sha256:
        return None
    try:
        return to_passport(json.loads(data)["passport"]).sha256
    except (ValueError, KeyError, TypeError):  # it was pulled, and did not stand the check
        return None


def _remove_twins(lake: Lake, journal: ContractJournal, twins: Sequence[Twin], server: AasServer) -> set[str]:
    """Delete shells with what belongs to them, then what no shell that is left refers to.

    :return: ids of the models of which no battery is left.
    """
    with pushed_states(lake, server) as states:
        for twin in twins:
            remove_twin(server, states, twin.shell_id)
            server.delete_submodel(_predictions_id(twin.shell_id))
        shared = _shared_submodels(journal, twins)
        models = {one.rpartition(_SUBMODEL)[0] for one in shared}
        for shell in server.shells():
            shared -= {key["value"] for one in shell.get("submodels") or () for key in one["keys"]}
            models.discard(shell["assetInformation"].get("assetType"))
        for identifier in sorted(shared):
            server.delete_submodel(identifier)
        states.remember([], [], shared)
    return models


def _remove_entities(lake: Lake, twins: Sequence[Twin], models: Iterable[str], orion: Orion) -> None:
    batteries = [battery_entity_id(twin.battery_id) for twin in twins]
    model_ids = [model_entity_id(model) for model in sorted(models)]
    orion.delete(batteries, BATTERY)
    orion.delete(model_ids, BATTERY_MODEL)
    for part in ("passport", "predictions"):
        SentEntities(sent_file(lake), orion.place, part).drop([*batteries, *model_ids])


def _shared_submodels(journal: ContractJournal, twins: Iterable[Twin]) -> set[str]:
    """Return the ids of the submodels of models that the twins' counterparties brought."""
    counterparties = {twin.counterparty_id for twin in twins}
    return {
        one.identifier
        for one in journal.shared().values()
        if one.counterparty_id in counterparties and _SUBMODEL in one.identifier
    }


def _predictions_id(shell_id: str) -> str:
    return submodel_id(shell_id.removesuffix("/aas"), part_of(PREDICTIONS).segment)


def _remove_derived(lake: Lake, battery_ids: Collection[str]) -> None:
    """Remove batteries from the table that models learn from, and their predictions."""
    drop_states(lake, battery_ids)
    predictions = lake.root / "predictions"
    shutil.rmtree(predictions / "table", ignore_errors=True)
    lines = predictions / "predictions.jsonl"
    if lines.exists():
        write_lines(lines, (line for line in read_lines(lines) if line["battery_id"] not in battery_ids))


def _remove_files(lake: Lake, over: Iterable[Receipt], kept: Iterable[Receipt]) -> int:
    still_held = {(one.counterparty_id, one.asset_id) for one in kept}
    files = PulledFiles(lake)
    count = 0
    for path in {_file_of(lake, one) for one in over if (one.counterparty_id, one.asset_id) not in still_held}:
        files.drop(path)
        if path.exists():
            path.unlink()
            count += 1
    return count


def _file_of(lake: Lake, receipt: Receipt) -> Path:
    return pulled_file(lake, Contract(receipt.asset_id, receipt.battery_id, receipt.counterparty_id))
