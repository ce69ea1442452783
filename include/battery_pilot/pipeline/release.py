"""Provider, stages 4 to 6: push to the AASX Server, record in the history, publish in the data space."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.lake import Lake, Window, write_bytes
from battery_pilot.passport.aas import (
    canonical_json,
    concept_description_dicts,
    passport_sha256,
    shell_dict,
    submodel_dicts,
)
from battery_pilot.passport.history import HistoryEntry, HistoryStore, current_entry, record
from battery_pilot.passport.identifiers import slug
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline.build import shard
from battery_pilot.pipeline.bundle import make_bundle
from battery_pilot.pipeline.subjects import passports
from battery_pilot.services.connectors.model import Offer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from battery_pilot.passport.building import Passport
    from battery_pilot.pipeline.parties import ConnectorParty
    from battery_pilot.services.aas_server import AasServer

log = logging.getLogger(__name__)

CHUNK = 100
"""Passports that are held in memory at once."""

LONGEST_NAME = 160
"""With the prefix it is still an asset id that every connector takes."""


def push(lake: Lake, window: Window, server: AasServer, history: HistoryStore, base_iri: str) -> dict[str, int]:
    """Put the window's passports on the AASX Server, unless it holds a newer state already.

    :return: ``pushed``, ``kept_newer``.
    """
    pushed = kept = 0
    for chunk in _chunks(passports(lake, window, base_iri)):
        current = [
            passport for passport in chunk if not _is_older(passport, window, history.current(passport.battery_id))
        ]
        kept += len(chunk) - len(current)
        server.upsert_all(
            shells=[shell_dict(passport) for passport in current],
            submodels=_unique(submodel for passport in current for submodel in submodel_dicts(passport)),
            concept_descriptions=_unique(one for passport in current for one in concept_description_dicts(passport)),
        )
        pushed += len(current)
    log.info("pushed %d passports of window %s, kept %d newer ones", pushed, window.key, kept)
    return {"pushed": pushed, "kept_newer": kept}


def record_versions(lake: Lake, window: Window, history: HistoryStore, base_iri: str, run: str) -> dict[str, int]:
    """Add the window's passports to the history.

    :param run: what made them, for example the id of the DAG run.
    :return: ``new_versions``, ``unchanged``, ``history_versions`` (all that the history holds).
    """
    new = unchanged = 0
    for passport in passports(lake, window, base_iri):
        if record(history, passport, run=run, recorded_at=datetime.now(UTC), known_until=window.end).is_new:
            new += 1
        else:
            unchanged += 1
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
) -> dict[str, int]:
    """Release the window's current passports: a bundle in the outbox and an offer in the connector, per tier.

    What was released of the same batteries for a tier that is no longer wanted is taken back.

    :param tiers: which views are offered.
    :return: ``offers``, ``kept_newer``, ``not_current`` (passports that differ from what the history calls current),
        ``withdrawn`` (offers taken back).
    """
    counts = dict.fromkeys(("offers", "kept_newer", "not_current", "withdrawn"), 0)
    closed = [tier for tier in Tier if tier not in tiers]
    with ThreadPoolExecutor(workers) as pool:
        for chunk in _chunks(passports(lake, window, base_iri)):
            closed_offers = [(passport.battery_id, tier) for passport in chunk for tier in closed]
            counts["withdrawn"] += sum(pool.map(lambda one: _withdraw(lake, party, *one), closed_offers))
            offers: list[Offer] = []
            for passport in chunk:
                entries = history.entries(passport.battery_id)
                obstacle = _obstacle(passport, window, current_entry(entries))
                if obstacle:
                    counts[obstacle] += 1
                else:
                    offers.extend(_release(lake, entries, party, passport, tier) for tier in tiers)
            counts["offers"] += len(list(pool.map(party.connector.publish, offers)))
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
    """Say why a passport is not released: consumers reject all but what the history calls current."""
    if _is_older(passport, window, current):
        return "kept_newer"
    if current is None or current.view_sha256 != passport_sha256(passport):
        log.debug("battery %s: the passport is not what the history calls current", passport.battery_id)
        return "not_current"
    return None


def _release(
    lake: Lake, entries: Sequence[HistoryEntry], party: ConnectorParty, passport: Passport, tier: Tier
) -> Offer:
    relative = _bundle_path(passport.battery_id, tier)
    view = json.loads(canonical_json(passport.view(tier)))
    write_bytes(outbox(lake) / relative, make_bundle(view, entries, tier))
    return Offer(
        asset_id=_asset_id(passport.battery_id, tier),
        title=f"Digital Battery Passport {passport.battery_id} ({tier.value.replace('_', ' ')})",
        data_url=f"{party.outbox_url}/{relative}",
        content_type="application/json",
        tier=tier,
        properties={"batteryId": passport.battery_id, "tier": tier.value},
    )


def _withdraw(lake: Lake, party: ConnectorParty, battery_id: str, tier: Tier) -> bool:
    """Take an offer and its bundle back and return whether there was one."""
    released = outbox(lake) / _bundle_path(battery_id, tier)
    if not released.exists():
        return False
    # The file goes last: while it is there, the next run tries again.
    party.connector.withdraw(_asset_id(battery_id, tier))
    released.unlink()
    return True


def _asset_id(battery_id: str, tier: Tier) -> str:
    return f"passport:{tier}:{_offer_name(battery_id)}"


def _bundle_path(battery_id: str, tier: Tier) -> str:
    name = _offer_name(battery_id)
    return f"{tier}/{shard(name)}/{name}.json"


def _offer_name(battery_id: str) -> str:
    name = slug(battery_id)
    return name if len(name) <= LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest() + "_"


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


def _unique(items: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Drop repetitions by id: model-level submodels and concept descriptions come with every item."""
    return list({item["id"]: item for item in items}.values())
