"""Consumer, stages 3 to 6: verify what was pulled, update the twins, sync the context broker, write predictions back."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import NotFound, PassportError
from battery_pilot.lake import Lake, read_lines, write_lines
from battery_pilot.passport.model import Prediction
from battery_pilot.passport.predictions import prediction_submodel
from battery_pilot.passport.reading import ReadPassport, to_passport
from battery_pilot.pipeline.acquire import pulled_file
from battery_pilot.pipeline.bundle import Bundle, read_bundle
from battery_pilot.pipeline.entities import battery_entity, prediction_entity
from battery_pilot.pipeline.health_history import write_states
from battery_pilot.pipeline.owners import Owners, is_shared, shared_documents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from battery_pilot.errors import ServerRefused
    from battery_pilot.passport.model import Tier
    from battery_pilot.pipeline.contracts import Contract, ContractJournal, Twin
    from battery_pilot.services.aas_server import AasServer
    from battery_pilot.services.orion import Orion

log = logging.getLogger(__name__)

Document = dict[str, Any]

CLOCK_TOLERANCE = timedelta(days=1)
"""How far a counterparty's clock may be ahead of ours."""


def verify(lake: Lake, journal: ContractJournal, run: str, tier: Tier) -> dict[str, Any]:
    """Check every bundle that a run pulled; what fails goes to the quarantine list and no further.

    Writes the recorded states of the good ones as the table that learning and scoring read.

    :param tier: the tier that was asked for.
    :return: ``verified``, ``rejected``, ``states``, ``quarantine`` (path of the list).
    """
    good: dict[str, dict[str, str]] = {}
    bad: list[dict[str, str]] = []
    owners = Owners(journal)

    def states() -> Iterator[Bundle]:
        for contract, path in _pulled(lake, journal, run):
            data = path.read_bytes()
            try:
                bundle = read_bundle(data)
                _demand_offered(bundle, contract, tier, good)
                owners.claim(bundle.passport, contract.counterparty_id)
            except PassportError as error:
                log.warning("rejected %s: %s", contract.asset_id, error)
                bad.append({"file": contract.asset_id, "reason": str(error)})
                continue
            good[contract.battery_id] = {
                "counterparty_id": contract.counterparty_id,
                "asset_id": contract.asset_id,
                "sha256": hashlib.sha256(data).hexdigest(),
            }
            yield bundle

    count = write_states(lake, states())
    owners.save()
    write_lines(verified_file(lake, run), good.values())
    quarantine = lake.file("quarantine", f"{_name(run)}.jsonl")
    write_lines(quarantine, bad)
    log.info("verified %d bundles with %d states, rejected %d", len(good), count, len(bad))
    return {"verified": len(good), "rejected": len(bad), "states": count, "quarantine": str(quarantine)}


def _demand_offered(bundle: Bundle, contract: Contract, tier: Tier, good: Mapping[str, Mapping[str, str]]) -> None:
    """Check that a bundle is what was asked for, and of no battery that another asset brought already.

    :param good: battery to entry of the verified list, for the bundles before.
    """
    battery_id, as_of = bundle.passport.battery_id, bundle.passport.as_of
    if battery_id != contract.battery_id:
        raise PassportError(f"bundle of battery {battery_id}: it was offered as that of {contract.battery_id}")
    if bundle.tier is not tier:
        raise PassportError(f"bundle of battery {battery_id}: it is of tier {bundle.tier}, asked for was {tier}")
    if as_of > datetime.now(UTC) + CLOCK_TOLERANCE:
        raise PassportError(f"bundle of battery {battery_id}: its state is of {as_of.isoformat()}, which is to come")
    if battery_id in good:
        raise PassportError(f"bundle of battery {battery_id}: {good[battery_id]['asset_id']} is of the same battery")


def update_twins(lake: Lake, journal: ContractJournal, run: str, server: AasServer) -> dict[str, int]:
    """Bring the consumer's own shells to the state of the verified passports, never to an older one.

    A twin that shows that state already is left as it is, unless the server has lost it.

    :return: ``updated``, ``unchanged``, ``kept_newer``.
    """
    counts = {"updated": 0, "unchanged": 0, "kept_newer": 0}
    twins = journal.twins()
    shown: list[Twin] = []
    sent: dict[str, Document] = {}
    try:
        for passport in verified(lake, journal, run):
            twin = twins[passport.shell["id"]]
            as_of = passport.as_of.astimezone(UTC).isoformat()
            if twin.as_of and datetime.fromisoformat(twin.as_of) > passport.as_of:
                counts["kept_newer"] += 1
                continue
            unchanged = (twin.as_of, twin.sha256) == (as_of, passport.sha256)
            counts["unchanged" if unchanged else "updated"] += 1
            present = _shell_on(server, twin.shell_id)
            if not unchanged or present is None:
                _put(server, passport, present or {}, sent)
                shown.append(replace(twin, as_of=as_of, sha256=passport.sha256))
    finally:
        journal.put_twins(shown)
    log.info("twins: %(updated)d updated, %(unchanged)d unchanged, %(kept_newer)d newer than what was pulled", counts)
    return counts


def _shell_on(server: AasServer, shell_id: str) -> Document | None:
    try:
        return server.get_shell(shell_id)
    except NotFound:
        return None


def _put(server: AasServer, passport: ReadPassport, present: Document, sent: dict[str, Document]) -> None:
    """Write a passport to the server, what several batteries share only once.

    :param present: the shell as it is on the server; submodels that were added there, predictions above all, stay.
    :param sent: what was written before and is shared, by id.
    """
    references = passport.shell.get("submodels", [])
    known = {reference["keys"][-1]["value"] for reference in references}
    added = [one for one in present.get("submodels", []) if one["keys"][-1]["value"] not in known]
    fresh = {one["id"]: one for one in shared_documents(passport) if sent.get(one["id"]) != one}
    server.upsert_all(
        shells=[{**passport.shell, "submodels": [*references, *added]}],
        submodels=[one for one in passport.submodels if not is_shared(one) or one["id"] in fresh],
        concept_descriptions=[one for one in passport.concept_descriptions if one["id"] in fresh],
    )
    sent |= fresh


def sync_entities(lake: Lake, journal: ContractJournal, run: str, broker: Orion) -> dict[str, int]:
    """Bring the context broker's entities to the state of the twins.

    What the broker does not take costs only itself.

    :return: ``entities``, and ``left_out`` where an attribute or entity had to be.
    """
    twins = journal.twins()
    left_out: list[str] = []

    def entities() -> Iterator[Document]:
        for passport in verified(lake, journal, run):
            shown = twins[passport.shell["id"]].as_of
            if shown and datetime.fromisoformat(shown) <= passport.as_of:
                yield battery_entity(passport, left_out)

    refused: list[ServerRefused] = []
    count = broker.upsert(entities(), refused=refused)
    if refused and not count:
        raise refused[0]
    missing = len(left_out) + len(refused)
    log.info("synced %d entities, left out %d attributes or entities", count, missing)
    return {"entities": count} | ({"left_out": missing} if missing else {})


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
    entities: list[Document] = []
    for passport in verified(lake, journal, run):
        prediction = by_battery.get(passport.battery_id)
        if prediction is None:
            continue
        submodel = prediction_submodel(passport.shell["id"], (prediction,))
        server.put_submodel(submodel)
        server.add_submodel_reference(passport.shell["id"], submodel["id"])
        entities.append(prediction_entity(passport.battery_id, prediction))
    broker.upsert(entities)
    log.info("wrote %d predictions back", len(entities))
    return {"predictions": len(entities)}


def verified(lake: Lake, journal: ContractJournal, run: str) -> Iterator[ReadPassport]:
    """Yield the passports of the bundles that a run found good.

    A bundle that is another one than was verified is left out; one that is the same needs no second check.
    """
    good = {
        (line["counterparty_id"], line["asset_id"]): line["sha256"] for line in read_lines(verified_file(lake, run))
    }
    for contract, path in _pulled(lake, journal, run):
        digest = good.get((contract.counterparty_id, contract.asset_id))
        if digest is None:
            continue
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == digest:
            yield to_passport(json.loads(data)["passport"])
        else:
            log.warning("left %s out: it has changed since it was verified; run `verify` again", contract.asset_id)


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
