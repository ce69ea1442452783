"""Consumer, stages 3 to 6: verify what was pulled, update the twins, sync the context broker, write predictions back."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import PassportError
from battery_pilot.lake import Lake, read_lines, write_lines
from battery_pilot.passport.model import Prediction
from battery_pilot.passport.predictions import prediction_submodel
from battery_pilot.pipeline.acquire import pulled_file
from battery_pilot.pipeline.bundle import Bundle, read_bundle
from battery_pilot.pipeline.entities import battery_entity, prediction_entity
from battery_pilot.pipeline.health_history import write_states

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from battery_pilot.pipeline.contracts import Contract, ContractJournal
    from battery_pilot.services.aas_server import AasServer
    from battery_pilot.services.orion import Orion

log = logging.getLogger(__name__)


def verify(lake: Lake, journal: ContractJournal, run: str) -> dict[str, Any]:
    """Check every bundle that a run pulled; what fails goes to the quarantine list and no further.

    Writes the recorded states of the good ones as the table that learning and scoring read.

    :return: ``verified``, ``rejected``, ``states``, ``quarantine`` (path of the list).
    """
    good: dict[str, str] = {}
    bad: list[dict[str, str]] = []

    def states() -> Iterator[Bundle]:
        for contract, path in _pulled(lake, journal, run):
            try:
                bundle = read_bundle(path.read_bytes())
                _demand_offered(bundle, contract, good)
            except PassportError as error:
                log.warning("rejected %s: %s", contract.asset_id, error)
                bad.append({"file": contract.asset_id, "reason": str(error)})
                continue
            good[contract.battery_id] = contract.asset_id
            yield bundle

    count = write_states(lake, states())
    write_lines(verified_file(lake, run), good.values())
    quarantine = lake.file("quarantine", f"{_name(run)}.jsonl")
    write_lines(quarantine, bad)
    log.info("verified %d bundles with %d states, rejected %d", len(good), count, len(bad))
    return {"verified": len(good), "rejected": len(bad), "states": count, "quarantine": str(quarantine)}


def _demand_offered(bundle: Bundle, contract: Contract, good: Mapping[str, str]) -> None:
    """Check that a bundle is of the battery that was offered, and of no battery that another asset brought already.

    :param good: battery to asset of the bundles before.
    """
    battery_id = bundle.passport.battery_id
    if battery_id != contract.battery_id:
        raise PassportError(f"bundle of battery {battery_id}: it was offered as that of {contract.battery_id}")
    if battery_id in good:
        raise PassportError(f"bundle of battery {battery_id}: {good[battery_id]} is of the same battery")


def update_twins(lake: Lake, journal: ContractJournal, run: str, server: AasServer) -> dict[str, int]:
    """Bring the consumer's own shells to the state of the verified passports, never to an older one.

    :return: ``updated``, ``unchanged``, ``kept_newer``.
    """
    updated = unchanged = kept = 0
    for bundle in verified(lake, journal, run):
        passport = bundle.passport
        as_of = passport.as_of.astimezone(UTC).isoformat()
        shown = journal.twin(passport.battery_id)
        if shown and datetime.fromisoformat(shown[0]) > passport.as_of:
            kept += 1
            continue
        if shown == (as_of, passport.sha256):
            unchanged += 1
        else:
            updated += 1
        server.upsert_all(
            shells=[passport.shell], submodels=passport.submodels, concept_descriptions=passport.concept_descriptions
        )
        journal.put_twin(passport.battery_id, as_of, passport.sha256)
    log.info("twins: %d updated, %d unchanged, %d newer than what was pulled", updated, unchanged, kept)
    return {"updated": updated, "unchanged": unchanged, "kept_newer": kept}


def sync_entities(lake: Lake, journal: ContractJournal, run: str, broker: Orion) -> dict[str, int]:
    """Bring the context broker's entities to the state of the twins.

    :return: ``entities``.
    """

    def entities() -> Iterator[dict[str, Any]]:
        for bundle in verified(lake, journal, run):
            shown = journal.twin(bundle.passport.battery_id)
            if shown and datetime.fromisoformat(shown[0]) <= bundle.passport.as_of:
                yield battery_entity(bundle.passport)

    count = broker.upsert(entities())
    log.info("synced %d entities", count)
    return {"entities": count}


def write_back(
    lake: Lake, journal: ContractJournal, run: str, predictions: Path, server: AasServer, broker: Orion
) -> dict[str, int]:
    """Add predictions to the twins and the entities, with their model version and interval.

    :param predictions: JSON-lines file that the scoring job wrote.
    :return: ``predictions``.
    """
    by_battery: dict[str, Prediction] = {}
    fields = set(Prediction.model_fields)
    for line in read_lines(predictions):
        by_battery[line["battery_id"]] = Prediction.model_validate({key: line[key] for key in line.keys() & fields})
    found = [
        (bundle, by_battery[bundle.passport.battery_id])
        for bundle in verified(lake, journal, run)
        if bundle.passport.battery_id in by_battery
    ]
    for bundle, prediction in found:
        submodel = prediction_submodel(bundle.passport.shell["id"], (prediction,))
        server.put_submodel(submodel)
        server.add_submodel_reference(bundle.passport.shell["id"], submodel["id"])
    broker.upsert(prediction_entity(bundle.passport.battery_id, prediction) for bundle, prediction in found)
    log.info("wrote %d predictions back", len(found))
    return {"predictions": len(found)}


def verified(lake: Lake, journal: ContractJournal, run: str) -> Iterator[Bundle]:
    """Yield the bundles of a run that were found good, checked again: the lake is no safer than the wire."""
    good = set(read_lines(verified_file(lake, run)))
    for contract, path in _pulled(lake, journal, run):
        if contract.asset_id in good:
            yield read_bundle(path.read_bytes())


def verified_file(lake: Lake, run: str) -> Path:
    """Return the list of assets that a run found good."""
    return lake.root / "manifests" / "verified" / f"{_name(run)}.jsonl"


def _pulled(lake: Lake, journal: ContractJournal, run: str) -> Iterator[tuple[Contract, Path]]:
    for contract in journal.wanted(run):
        path = pulled_file(lake, contract)
        if contract.transfer_id is not None and path.exists():
            yield contract, path


def _name(run: str) -> str:
    """Return a run's id as a file name."""
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in run)
