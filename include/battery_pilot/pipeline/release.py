"""Provider, stages 4 to 6: push to the AASX Server, record in the history, publish in the data space."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from battery_pilot.lake import Lake, Window, read_json, write_bytes, write_json
from battery_pilot.outbox import asset_id, asset_id_of_bundle, bundle_path, bundles
from battery_pilot.passport.aas import (
    canonical_json,
    passport_sha256,
)
from battery_pilot.passport.history import HistoryEntry, HistoryStore, record_all
from battery_pilot.passport.life import CLOSED_ON_PATH
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline.bundle import make_bundle
from battery_pilot.pipeline.fleets import Granularity, Member, update_index
from battery_pilot.pipeline.shown import pushed_states, twin_of
from battery_pilot.pipeline.subjects import passports
from battery_pilot.services.aas_push import SAMPLE, push_twins
from battery_pilot.services.connectors.model import Constraint, Offer
from battery_pilot.services.connectors.policies import Demands, constraints_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.signature import Signer
    from battery_pilot.pipeline.parties import ConnectorParty
    from battery_pilot.services.aas_server import AasServer
    from battery_pilot.services.aas_twin import Twin

log = logging.getLogger(__name__)

NO_DEMANDS = Demands()
CHUNK = 100
"""Passports that are held in memory at once."""

KEY_SET = "jwks.json"
"""In the outbox: the keys that verify the signatures of the bundles. Consumers get it by another way than the bundles."""


def push(
    lake: Lake,
    window: Window,
    server: AasServer,
    history: HistoryStore,
    base_iri: str,
    read_back: float = SAMPLE,
) -> dict[str, int]:
    """Bring the AAS server to the window's passports, unless it or the history has a newer state already.

    :param read_back: share of the batteries that are read back and compared, 0 to 1.
    :return: ``pushed``, ``unchanged`` (batteries whose state the server has), ``kept_newer``.
    :raises ServerRefused: the server refused something, or shows something else than it took.
    """
    newer = 0

    def twins() -> Iterator[Twin]:
        nonlocal newer
        for chunk in _chunks(passports(lake, window, base_iri)):
            known = history.currents(passport.battery_id for passport in chunk)
            current = [one for one in chunk if not _is_older(one, window, known.get(one.battery_id))]
            newer += len(chunk) - len(current)
            yield from (twin_of(passport, window.end) for passport in current)

    with pushed_states(lake, server) as states:
        counts = push_twins(server, states, twins(), read_back=read_back)
    kept_newer = counts.kept_newer + newer
    log.info("window %s: %d passports pushed, %d newer ones kept", window.key, counts.pushed, kept_newer)
    return {"pushed": counts.pushed, "unchanged": counts.unchanged, "kept_newer": kept_newer}


def record_versions(lake: Lake, window: Window, history: HistoryStore, base_iri: str, run: str) -> dict[str, int]:
    """Add the window's passports to the history.

    :param run: what made them, for example the id of the DAG run.
    :return: ``new_versions``, ``unchanged``, ``history_versions`` (all that the history holds).
    """
    new = unchanged = 0
    for chunk in _chunks(passports(lake, window, base_iri)):
        recorded = record_all(history, chunk, run=run, recorded_at=datetime.now(UTC), known_until=window.end)
        new += sum(one.is_new for one in recorded)
        unchanged += sum(not one.is_new for one in recorded)
    total = history.count()
    log.info("history: %d new versions, %d unchanged, %d in all", new, unchanged, total)
    return {"new_versions": new, "unchanged": unchanged, "history_versions": total}


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
    :param granularity: what one offer is of; with another than before, the former offers are taken back.
    :return: ``offers``, ``kept_newer``, ``not_current`` (passports that differ from what the history calls current),
        ``closed`` (passports that are closed, and so no longer offered), ``withdrawn`` (offers taken back).
    """
    policies = {tier: constraints_of(tier, demands) for tier in tiers}
    counts = dict.fromkeys(("offers", "kept_newer", "not_current", "closed", "withdrawn"), 0)
    unwanted = [tier for tier in Tier if tier not in tiers]
    if signer is not None:
        _keep_key(lake, signer)
    counts["withdrawn"] += _change_granularity(lake, party, {tier: granularity for tier in tiers})
    with ThreadPoolExecutor(workers) as pool:
        for chunk in _chunks(passports(lake, window, base_iri)):
            known = history.currents(passport.battery_id for passport in chunk)
            obstacles = [_obstacle(passport, window, known.get(passport.battery_id)) for passport in chunk]
            taken_back = [
                (passport.battery_id, tier)
                for passport, obstacle in zip(chunk, obstacles, strict=True)
                for tier in (Tier if obstacle == "closed" else unwanted)
            ]
            counts["withdrawn"] += sum(pool.map(lambda one: _withdraw(lake, party, *one), taken_back))
            for obstacle in filter(None, obstacles):
                counts[obstacle] += 1
            free = [passport for passport, obstacle in zip(chunk, obstacles, strict=True) if not obstacle]
            members = _release_all(lake, history, free, tiers, signer)
            if granularity is Granularity.FLEET:
                _index(lake, members, taken_back)
                continue
            offers = [
                _offer_of_battery(party, member.battery_id, tier, policies[tier])
                for tier, found in members.items()
                for member in found
            ]
            counts["offers"] += len(list(pool.map(party.connector.publish, offers)))
    if granularity is Granularity.FLEET:
        for tier in tiers:
            party.connector.publish(_offer_of_fleet(party, tier, policies[tier]))
        counts["offers"] = len(tiers)
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


def _obstacle(passport: Passport, window: Window, current: HistoryEntry | None) -> str | None:
    """Say why a passport is not released: consumers reject all but what the history calls current, and use no closed one."""
    if _is_older(passport, window, current):
        return "kept_newer"
    if _is_closed(passport):
        return "closed"
    if current is None or current.view_sha256 != passport_sha256(passport):
        log.debug("battery %s: the passport is not what the history calls current", passport.battery_id)
        return "not_current"
    return None


def _release_all(
    lake: Lake, history: HistoryStore, free: Sequence[Passport], tiers: Sequence[Tier], signer: Signer | None
) -> dict[Tier, list[Member]]:
    """Leave passports' bundles in the outbox, and return what an index says of them."""
    members: dict[Tier, list[Member]] = {tier: [] for tier in tiers}
    for passport in free:
        entries = history.entries(passport.battery_id)
        signature = signer.sign(entries[-1], datetime.now(UTC)) if signer else None
        for tier in tiers:
            members[tier].append(_release(lake, entries, passport, tier, signature))
    return members


def _release(
    lake: Lake, entries: Sequence[HistoryEntry], passport: Passport, tier: Tier, signature: str | None
) -> Member:
    view = json.loads(canonical_json(passport.view(tier)))
    write_bytes(outbox(lake) / bundle_path(passport.battery_id, tier), make_bundle(view, entries, tier, signature))
    # A signature is new each time: what the bundle says is the same without it.
    version = hashlib.sha256(make_bundle(view, entries, tier, None)).hexdigest()
    return Member(passport.battery_id, _path_in_fleet(passport.battery_id, tier), version)


def _index(lake: Lake, members: dict[Tier, list[Member]], taken_back: Sequence[tuple[str, Tier]]) -> None:
    """Write into the fleets' indexes what was released and what was taken back."""
    for tier, found in members.items():
        gone = {_path_in_fleet(battery_id, tier): None for battery_id, of in taken_back if of is tier}
        update_index(outbox(lake) / tier, {**gone, **{member.path: member for member in found}})


def _path_in_fleet(battery_id: str, tier: Tier) -> str:
    return bundle_path(battery_id, tier).removeprefix(f"{tier}/")


def _offer_of_battery(party: ConnectorParty, battery_id: str, tier: Tier, policy: tuple[Constraint, ...]) -> Offer:
    return Offer(
        asset_id=asset_id(battery_id, tier),
        title=f"Digital Battery Passport {battery_id} ({_words(tier)})",
        data_url=f"{party.outbox_url}/{bundle_path(battery_id, tier)}",
        content_type="application/json",
        tier=tier,
        properties={"batteryId": battery_id, "tier": tier.value},
        constraints=policy,
    )


def _offer_of_fleet(party: ConnectorParty, tier: Tier, policy: tuple[Constraint, ...]) -> Offer:
    return Offer(
        asset_id=_fleet_id(tier),
        title=f"Digital Battery Passports of all batteries ({_words(tier)})",
        data_url=f"{party.outbox_url}/{tier}",
        content_type="application/json",
        tier=tier,
        properties={"tier": tier.value, "granularity": Granularity.FLEET.value},
        constraints=policy,
        is_folder=True,
    )


def _fleet_id(tier: Tier) -> str:
    return f"passports:{tier}"


def _words(tier: Tier) -> str:
    return tier.value.replace("_", " ")


def _change_granularity(lake: Lake, party: ConnectorParty, wanted: Mapping[Tier, Granularity]) -> int:
    """Take back what tiers were offered as until now, where they are to be offered otherwise or not at all.

    Offers of single batteries of a tier that is not wanted are taken back with their bundles, battery by battery.

    :return: how many offers were taken back.
    """
    path = lake.file("offered.json")
    offered: dict[str, str] = read_json(path) if path.exists() else {}
    withdrawn = 0
    for tier in Tier:
        before, after = offered.get(tier, Granularity.BATTERY), wanted.get(tier)
        if before == Granularity.FLEET != after:
            party.connector.withdraw(_fleet_id(tier))
            withdrawn += 1
        elif before == Granularity.BATTERY and after is Granularity.FLEET:
            for bundle in bundles(outbox(lake), tier):
                party.connector.withdraw(asset_id_of_bundle(bundle, tier))
                withdrawn += 1
    now = {
        tier.value: granularity.value
        for tier, granularity in wanted.items()
        if granularity is not Granularity.BATTERY
    }
    if now != offered:
        write_json(path, now)
    return withdrawn


def _keep_key(lake: Lake, signer: Signer) -> None:
    """Add the public key to those in the outbox: what former keys signed must stay verifiable."""
    path = outbox(lake) / KEY_SET
    known = {key["kid"]: key for key in read_json(path)["keys"]} if path.exists() else {}
    known |= {key["kid"]: key for key in signer.key_set()["keys"]}
    write_json(path, {"keys": list(known.values())})


def _withdraw(lake: Lake, party: ConnectorParty, battery_id: str, tier: Tier) -> bool:
    """Take an offer and its bundle back and return whether there was one."""
    released = outbox(lake) / bundle_path(battery_id, tier)
    if not released.exists():
        return False
    # The file goes last: while it is there, the next run tries again.
    party.connector.withdraw(asset_id(battery_id, tier))
    released.unlink()
    return True


def _is_closed(passport: Passport) -> bool:
    return any(element.path == CLOSED_ON_PATH for element in passport.elements)


def _is_older(passport: Passport, window: Window, current: HistoryEntry | None) -> bool:
    """Return whether the history holds a later state of the battery, or knows more of the same one."""
    return current is not None and (current.as_of, current.known_until) > (passport.as_of, window.end)


def _chunks(items: Iterator[Passport]) -> Iterator[list[Passport]]:
    chunk: list[Passport] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
