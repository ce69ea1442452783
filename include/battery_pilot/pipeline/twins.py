"""Consumer, stages 3 to 6: verify what was pulled, update the twins, sync the context broker, write predictions back."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import PassportError
from battery_pilot.lake import Lake, read_lines, write_lines
from battery_pilot.passport.model import Prediction, Tier
from battery_pilot.passport.predictions import prediction_submodel
from battery_pilot.passport.reading import ReadPassport, to_passport
from battery_pilot.pipeline.broker_sync import sync
from battery_pilot.pipeline.bundle import Bundle, read_bundle
from battery_pilot.pipeline.entities import battery_entity, model_entity, prediction_entity
from battery_pilot.pipeline.health_history import write_states
from battery_pilot.pipeline.owners import Owners
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.pipeline.receipts import ReceivedEvents
from battery_pilot.pipeline.sent_entities import SentEntities
from battery_pilot.pipeline.shown import pushed_states, twin_of_read
from battery_pilot.services.aas_push import SAMPLE, push_twins

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from battery_pilot.passport.signature import Keys
    from battery_pilot.pipeline.broker_sync import Broker
    from battery_pilot.pipeline.contracts import Contract, ContractJournal
    from battery_pilot.services.aas_server import AasServer
    from battery_pilot.services.aas_twin import Twin as PushedAs

log = logging.getLogger(__name__)

Document = dict[str, Any]

CLOCK_TOLERANCE = timedelta(days=1)
"""How far a counterparty's clock may be ahead of ours."""


def verify(lake: Lake, journal: ContractJournal, run: str, tier: Tier, keys: Keys | None = None) -> dict[str, Any]:
    """Check every bundle that a run pulled; what fails goes to the quarantine list and no further.

    Writes the recorded states of the good ones as the table that learning and scoring read, and into the history under
    which agreement they came.

    :param tier: the tier that was asked for.
    :param keys: the provider's verification keys; with them every bundle must be signed.
    :return: ``verified``, ``rejected``, ``states``, ``quarantine`` (path of the list).
    """
    good: dict[str, dict[str, str]] = {}
    bad: list[dict[str, str]] = []
    owners = Owners(journal)
    received = ReceivedEvents(lake, journal)

    def states() -> Iterator[Bundle]:
        for contract, path in _pulled(lake, journal, run):
            data = path.read_bytes()
            try:
                bundle = read_bundle(data, keys)
                _demand_offered(bundle, contract, tier, good)
                owners.claim(bundle.passport, contract.counterparty_id)
            except PassportError as error:
                log.warning("rejected %s: %s", contract.asset_id, error)
                bad.append({"file": contract.asset_id, "reason": str(error)})
                continue
            digest = hashlib.sha256(data).hexdigest()
            received.note(contract, digest, bundle)
            good[contract.battery_id] = {
                "counterparty_id": contract.counterparty_id,
                "asset_id": contract.asset_id,
                "sha256": digest,
            }
            yield bundle

    count = write_states(lake, states())
    owners.save()
    received.save()
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


def update_twins(
    lake: Lake, journal: ContractJournal, run: str, server: AasServer, read_back: float = SAMPLE
) -> dict[str, int]:
    """Bring the consumer's own shells to the state of the verified passports, never to an older one.

    A twin that shows that state already is left as it is, unless the server has lost it. Submodels that were added to a
    shell on the server, predictions above all, stay.

    :param read_back: share of the twins that are read back and compared, 0 to 1.
    :return: ``updated``, ``unchanged``, ``kept_newer``.
    :raises ServerRefused: the server refused something, or shows something else than it took.
    """
    twins = journal.twins()
    newer = 0

    def wanted() -> Iterator[PushedAs]:
        nonlocal newer
        for passport in verified(lake, journal, run):
            shown = twins[passport.shell["id"]].as_of
            if shown and datetime.fromisoformat(shown) > passport.as_of:
                newer += 1
            else:
                yield twin_of_read(passport, lake)

    def note(shown: Sequence[PushedAs]) -> None:
        known = [(twins[one.shell_id], one) for one in shown]
        noted = [replace(twin, as_of=one.as_of, sha256=one.digest) for twin, one in known]
        journal.put_twins([new for new, (old, _) in zip(noted, known, strict=True) if new != old])

    with pushed_states(lake, server) as states:
        counts = push_twins(server, states, wanted(), read_back=read_back, shown=note)
    found = {"updated": counts.pushed, "unchanged": counts.unchanged, "kept_newer": counts.kept_newer + newer}
    log.info("twins: %(updated)d updated, %(unchanged)d unchanged, %(kept_newer)d newer than what was pulled", found)
    return found


def sync_entities(
    lake: Lake,
    journal: ContractJournal,
    run: str,
    broker: Broker,
    *,
    tier: Tier = Tier.AUTHORITY,
    named_by_path: bool = False,
) -> dict[str, int]:
    """Bring the context broker's entities to the state of the twins; only what changed is sent.

    What the broker does not take costs only itself.

    :param tier: leave out what the broker's readers may not see.
    :param named_by_path: name attributes by their path in the passport.
    :return: ``entities`` (batteries), ``written``, and ``left_out`` where an attribute or entity had to be.
    """
    twins = journal.twins()
    left_out: list[str] = []
    batteries = 0

    def entities() -> Iterator[Document]:
        nonlocal batteries
        for passport in verified(lake, journal, run):
            shown = twins[passport.shell["id"]].as_of
            if shown and datetime.fromisoformat(shown) <= passport.as_of:
                batteries += 1
                yield battery_entity(passport, left_out, tier=tier, named_by_path=named_by_path)
                model = model_entity(passport, tier=tier, named_by_path=named_by_path)
                if model is not None:
                    yield model

    counts = sync(broker, entities(), SentEntities(sent_file(lake), broker.place, "passport"))
    if counts.refused and not counts.written:
        raise counts.refused[0]
    missing = len(left_out) + len(counts.refused)
    log.info(
        "synced %d batteries: wrote %d entities, kept %d later values, left out %d attributes or entities",
        batteries,
        counts.written,
        counts.kept_newer,
        missing,
    )
    return {"entities": batteries, "written": counts.written} | ({"left_out": missing} if missing else {})


def write_back(
    lake: Lake, journal: ContractJournal, run: str, predictions: Path, server: AasServer, broker: Broker
) -> dict[str, int]:
    """Add predictions to the twins and the entities, with their model version and interval.

    :param predictions: JSON-lines file that the scoring job wrote.
    :return: ``predictions``.
    """
    by_battery: dict[str, list[Prediction]] = {}
    fields = set(Prediction.model_fields)
    for line in read_lines(predictions):
        found = Prediction.model_validate({key: line[key] for key in line.keys() & fields})
        by_battery.setdefault(line["battery_id"], []).append(found)
    entities: list[Document] = []
    for passport in verified(lake, journal, run):
        predicted = by_battery.get(passport.battery_id)
        if predicted is None:
            continue
        submodel = prediction_submodel(passport.shell["id"], predicted)
        server.put_submodel(submodel)
        server.add_submodel_reference(passport.shell["id"], submodel["id"])
        # One entity for all of a battery's predictions: a broker may refuse an id that comes twice in one request.
        parts = (prediction_entity(passport.battery_id, one) for one in predicted)
        entities.append({key: value for part in parts for key, value in part.items()})
    counts = sync(broker, entities, SentEntities(sent_file(lake), broker.place, "predictions"))
    if counts.refused:
        raise counts.refused[0]
    log.info("wrote %d predictions back, %d of them changed the broker", len(entities), counts.written)
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


def sent_file(lake: Lake) -> Path:
    """Return where is kept what was sent to context brokers."""
    return lake.file("sent_entities.sqlite")


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
