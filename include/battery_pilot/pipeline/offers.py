"""Provider, stage 6: publish in the data space. Bundles go to the outbox, offers that lead to them into the connector."""

from __future__ import annotations

import hashlib
import json
import logging
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

from battery_pilot.errors import InputError
from battery_pilot.lake import Lake, Window, read_json, write_bytes, write_json
from battery_pilot.outbox import (
    asset_id,
    asset_id_of_bundle,
    bundle_path,
    bundles,
    collection_id,
    collection_path,
    model_name,
)
from battery_pilot.passport.aas import passport_sha256
from battery_pilot.passport.compiled import canonical_json
from battery_pilot.passport.life import CLOSED_ON_PATH
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline.attached import ReleasedFiles
from battery_pilot.pipeline.bundle import make_bundle
from battery_pilot.pipeline.fleets import Granularity, Member, remove_index, update_index
from battery_pilot.pipeline.model_folders import is_empty, models_of, place, take_out
from battery_pilot.pipeline.release import CHUNK, chunks, is_older
from battery_pilot.pipeline.subjects import passports
from battery_pilot.services.connectors.model import Constraint, Offer
from battery_pilot.services.connectors.policies import Demands, constraints_of, in_words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.history import HistoryEntry, HistoryStore
    from battery_pilot.passport.signature import Signer
    from battery_pilot.pipeline.parties import ConnectorParty

log = logging.getLogger(__name__)

NO_DEMANDS = Demands()

KEY_SET = "jwks.json"
"""In the outbox: the keys that verify the signatures of the bundles. Consumers get it by another way than the bundles."""

INDEXED_AT_ONCE = 20_000
"""Batteries that are written into the indexes together: each time nearly every one of the 256 is written anew."""

_SIGNATURE = re.compile(rb',"signature":"[^"]*"(?=,"tier":"[a-z_]+"\}\Z)')


@dataclass(frozen=True)
class _Released:
    """A bundle in the outbox.

    :param member: what an index says of it.
    :param model: name of the battery's model.
    """

    member: Member
    model: str


def publish(
    lake: Lake,
    window: Window,
    history: HistoryStore,
    party: ConnectorParty,
    base_iri: str,
    tiers: Sequence[Tier],
    workers: int = 4,
    signer: Signer | None = None,
    demands: Demands = NO_DEMANDS,
    granularity: Granularity = Granularity.BATTERY,
) -> dict[str, int]:
    """Release the window's current passports: a bundle in the outbox and an offer in the connector, per tier.

    What was released of the same batteries for a tier that is no longer wanted is taken back, and of a passport that is
    closed everything.

    :param tiers: which views are offered.
    :param signer: signs the end of each history; its public key is kept in the outbox as ``jwks.json``.
    :param demands: what the offers' policies demand of those who use the passports.
    :param granularity: what one offer is of; with another than before, the former offers are taken back, and all that was
        released is offered the new way.
    :raises InputError: the connector cannot offer that, or a policy cannot be; then nothing has changed.
    :return: ``offers``, ``kept_newer``, ``not_current`` (passports that differ from what the history calls current),
        ``closed`` (passports that are closed, and so no longer offered), ``withdrawn`` (offers taken back).
    """
    if granularity is not Granularity.BATTERY and not party.connector.offers_folders:
        raise InputError(
            f"one offer for each {granularity}: this connector offers single files only; choose 'battery' as granularity"
        )
    enforced, now = party.connector.enforced_operands, datetime.now(UTC)
    policies = {tier: in_words_of(constraints_of(tier, demands), enforced, now) for tier in tiers}
    counts = dict.fromkeys(("offers", "kept_newer", "not_current", "closed", "withdrawn"), 0)
    unwanted = [tier for tier in Tier if tier not in tiers]
    if signer is not None:
        _keep_key(lake, signer)
    former = _former(lake)
    files = ReleasedFiles(lake, outbox(lake))
    counts["withdrawn"] += _take_back_former(lake, party, files, former, dict.fromkeys(tiers, granularity))
    changing = [tier for tier in tiers if former[tier] is not granularity]
    with ThreadPoolExecutor(workers) as pool:
        stall = _Stall(lake, party, granularity, policies, pool, files)
        for chunk in chunks(passports(lake, window, base_iri)):
            known = history.currents(passport.battery_id for passport in chunk)
            obstacles = [_obstacle(passport, window, known.get(passport.battery_id)) for passport in chunk]
            taken_back = [
                (passport.battery_id, tier)
                for passport, obstacle in zip(chunk, obstacles, strict=True)
                for tier in (Tier if obstacle == "closed" else unwanted)
            ]
            counts["withdrawn"] += sum(pool.map(lambda one: _withdraw(lake, party, *one), taken_back))
            for battery_id, tier in taken_back:
                files.drop(bundle_path(battery_id, tier))
            for obstacle in filter(None, obstacles):
                counts[obstacle] += 1
            free = [passport for passport, obstacle in zip(chunk, obstacles, strict=True) if not obstacle]
            released = _release_all(lake, history, free, tiers, signer, files, pool)
            for tier in tiers:
                gone = [_path_in_tier(battery_id, tier) for battery_id, of in taken_back if of is tier]
                stall.show(tier, [] if tier in changing else released[tier], gone)
        for tier in changing:
            everything = _released_before(outbox(lake), tier)
            while part := list(islice(everything, CHUNK)):
                stall.show(tier, part, [])
        stall.close()
    _keep_granularity(lake, dict.fromkeys(tiers, granularity))
    counts["offers"], counts["withdrawn"] = stall.offers, counts["withdrawn"] + stall.withdrawn
    log.info("published for window %s: %s", window.key, counts)
    if counts["not_current"]:
        log.warning(
            "%d passports of window %s are not what the history calls current and were not published: run record and "
            "publish again",
            counts["not_current"],
            window.key,
        )
    return counts


def outbox(lake: Lake) -> Path:
    """Return the folder with what was released; nothing else of the lake leaves the house."""
    return lake.root / "outbox"


@dataclass
class _Stall:
    """Shows bundles of the outbox to the data space, by battery, by model or all together.

    :param policies: the constraints of each tier that is offered.
    :param pool: for offers of single batteries.
    :param files: the files of the bundles.
    :param offers: how many offers were made.
    :param withdrawn: how many offers were taken back because nothing is left in them.
    """

    lake: Lake
    party: ConnectorParty
    granularity: Granularity
    policies: Mapping[Tier, tuple[Constraint, ...]]
    pool: ThreadPoolExecutor
    files: ReleasedFiles
    offers: int = 0
    withdrawn: int = 0
    _models: set[tuple[Tier, str]] = field(default_factory=set)
    _waiting: dict[Tier, dict[str, _Released | None]] = field(default_factory=dict)

    def show(self, tier: Tier, released: Sequence[_Released], gone: Sequence[str]) -> None:
        """Show bundles of a tier.

        :param gone: paths of those that were taken back.
        """
        if self.granularity is Granularity.BATTERY:
            offers = [self._of_battery(tier, one.member.battery_id) for one in released]
            self.offers += len(list(self.pool.map(self.party.connector.publish, offers)))
            return
        waiting = self._waiting.setdefault(tier, {})
        waiting |= {**dict.fromkeys(gone), **{one.member.path: one for one in released}}
        if gone or len(waiting) >= INDEXED_AT_ONCE:
            self._index(tier)

    def _index(self, tier: Tier) -> None:
        """Write what waits into the indexes of a tier."""
        waiting = self._waiting.pop(tier)
        gone = [path for path, one in waiting.items() if one is None]
        released = [one for one in waiting.values() if one is not None]
        folder = outbox(self.lake)
        if self.granularity is Granularity.FLEET:
            update_index(folder / tier, {**dict.fromkeys(gone), **{one.member.path: one.member for one in released}})
            return
        # Files come first: who reads a bundle reads what it names at once.
        model_of = {one.member.path: one.model for one in released}
        for path, model in model_of.items():
            self.files.share(f"{tier}/{path}", f"{collection_path(tier, model)}/{path}")
        changed = take_out(folder, tier, gone) | place(folder, tier, [(one.model, one.member) for one in released])
        for model in changed:
            for path in (*gone, *model_of):
                if model_of.get(path) != model:
                    self.files.drop(f"{collection_path(tier, model)}/{path}")
        self._models |= {(tier, model) for model in changed}

    def close(self) -> None:
        """Offer what several batteries are in, once the folders and their indexes are there."""
        for tier in list(self._waiting):
            self._index(tier)
        wanted = {(tier, "") for tier in self.policies} if self.granularity is Granularity.FLEET else self._models
        for tier, model in sorted(wanted):
            if model and is_empty(outbox(self.lake), tier, model):
                _drop_model(self.lake, self.party, self.files, tier, model)
                self.withdrawn += 1
            else:
                self.party.connector.publish(self._of_many(tier, model))
                self.offers += 1

    def _of_battery(self, tier: Tier, battery_id: str) -> Offer:
        return Offer(
            asset_id=asset_id(battery_id, tier),
            title=f"Digital Battery Passport {battery_id} ({_words(tier)})",
            data_url=f"{self.party.outbox_url}/{bundle_path(battery_id, tier)}",
            content_type="application/json",
            tier=tier,
            properties={"batteryId": battery_id, "tier": tier.value},
            constraints=self.policies[tier],
        )

    def _of_many(self, tier: Tier, model: str) -> Offer:
        of_model = {"model": model} if model else {}
        return Offer(
            asset_id=collection_id(tier, model),
            title=f"Digital Battery Passports of all batteries{f' of model {model}' if model else ''} ({_words(tier)})",
            data_url=f"{self.party.outbox_url}/{collection_path(tier, model)}",
            content_type="application/json",
            tier=tier,
            properties={"tier": tier.value, "granularity": self.granularity.value, **of_model},
            constraints=self.policies[tier],
            is_folder=True,
        )


def _words(tier: Tier) -> str:
    return tier.value.replace("_", " ")


def _obstacle(passport: Passport, window: Window, current: HistoryEntry | None) -> str | None:
    """Say why a passport is not released: consumers reject all but what the history calls current, and use no closed one."""
    if is_older(passport, window, current):
        return "kept_newer"
    if _is_closed(passport):
        return "closed"
    if current is None or current.view_sha256 != passport_sha256(passport):
        log.debug("battery %s: the passport is not what the history calls current", passport.battery_id)
        return "not_current"
    return None


def _is_closed(passport: Passport) -> bool:
    return any(element.path == CLOSED_ON_PATH for element in passport.elements)


def _release_all(
    lake: Lake,
    history: HistoryStore,
    free: Sequence[Passport],
    tiers: Sequence[Tier],
    signer: Signer | None,
    files: ReleasedFiles,
    pool: ThreadPoolExecutor,
) -> dict[Tier, list[_Released]]:
    """Leave passports' bundles with their files in the outbox; the waiting for the disk is side by side."""
    writing: dict[Tier, list[Future[_Released]]] = {tier: [] for tier in tiers}
    for passport in free:
        entries = history.entries(passport.battery_id)
        signature = signer.sign(entries[-1], datetime.now(UTC)) if signer else None
        for tier in tiers:
            view = passport.view(tier)
            files.show(bundle_path(passport.battery_id, tier), view.attachments)
            writing[tier].append(pool.submit(_release, lake, entries, view, tier, signature))
    return {tier: [one.result() for one in found] for tier, found in writing.items()}


def _release(
    lake: Lake, entries: Sequence[HistoryEntry], view: Passport, tier: Tier, signature: str | None
) -> _Released:
    data = make_bundle(canonical_json(view), entries, tier, signature)
    write_bytes(outbox(lake) / bundle_path(view.battery_id, tier), data)
    return _released(data, view.battery_id, tier, view.identifiers.asset_type)


def _released_before(folder: Path, tier: Tier) -> Iterator[_Released]:
    """Yield all bundles of a tier that lie in the outbox."""
    for path in bundles(folder, tier):
        data = path.read_bytes()
        content = json.loads(data)
        (shell,) = content["passport"]["assetAdministrationShells"]
        battery_id = content["history"][-1]["battery_id"]
        yield _released(data, battery_id, tier, shell["assetInformation"]["assetType"])


def _released(data: bytes, battery_id: str, tier: Tier, model_iri: str) -> _Released:
    # A signature is new each time: what the bundle says is the same without it.
    version = hashlib.sha256(_SIGNATURE.sub(b"", data)).hexdigest()
    return _Released(Member(battery_id, _path_in_tier(battery_id, tier), version), model_name(model_iri))


def _path_in_tier(battery_id: str, tier: Tier) -> str:
    return bundle_path(battery_id, tier).removeprefix(f"{tier}/")


def _withdraw(lake: Lake, party: ConnectorParty, battery_id: str, tier: Tier) -> bool:
    """Take an offer and its bundle back and return whether there was one."""
    released = outbox(lake) / bundle_path(battery_id, tier)
    if not released.exists():
        return False
    # The file goes last: while it is there, the next run tries again.
    party.connector.withdraw(asset_id(battery_id, tier))
    released.unlink()
    return True


def _former(lake: Lake) -> dict[Tier, Granularity]:
    """Return what the offers of each tier were of until now."""
    path = lake.file("offered.json")
    offered = read_json(path) if path.exists() else {}
    return {tier: Granularity(offered.get(tier, Granularity.BATTERY)) for tier in Tier}


def _keep_granularity(lake: Lake, wanted: Mapping[Tier, Granularity]) -> None:
    """Remember what the offers of each tier are of. It comes last: a publication that breaks off is done again."""
    now = {tier: wanted.get(tier, Granularity.BATTERY) for tier in Tier}
    if now != _former(lake):
        write_json(lake.file("offered.json"), now)


def _take_back_former(
    lake: Lake,
    party: ConnectorParty,
    files: ReleasedFiles,
    former: Mapping[Tier, Granularity],
    wanted: Mapping[Tier, Granularity],
) -> int:
    """Take back what tiers were offered as until now, where they are to be offered otherwise or not at all.

    Offers of single batteries of a tier that is not wanted are taken back with their bundles, battery by battery.

    :return: how many offers were taken back.
    """
    withdrawn = 0
    for tier, before in former.items():
        after = wanted.get(tier)
        if after is before:
            continue
        if before is Granularity.FLEET:
            party.connector.withdraw(collection_id(tier))
            remove_index(outbox(lake) / tier)
            withdrawn += 1
        elif before is Granularity.MODEL:
            for model in models_of(outbox(lake), tier):
                _drop_model(lake, party, files, tier, model)
                withdrawn += 1
        elif after is not None:
            for bundle in bundles(outbox(lake), tier):
                party.connector.withdraw(asset_id_of_bundle(bundle, tier))
                withdrawn += 1
    return withdrawn


def _drop_model(lake: Lake, party: ConnectorParty, files: ReleasedFiles, tier: Tier, model: str) -> None:
    party.connector.withdraw(collection_id(tier, model))
    shutil.rmtree(outbox(lake) / collection_path(tier, model))
    files.forget(collection_path(tier, model))


def _keep_key(lake: Lake, signer: Signer) -> None:
    """Add the public key to those in the outbox: what former keys signed must stay verifiable."""
    path = outbox(lake) / KEY_SET
    known = {key["kid"]: key for key in read_json(path)["keys"]} if path.exists() else {}
    known |= {key["kid"]: key for key in signer.key_set()["keys"]}
    write_json(path, {"keys": list(known.values())})
