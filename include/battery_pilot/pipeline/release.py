"""Provider, stages 4 to 6: push to the AASX Server, record in the history, publish in the data space."""

from __future__ import annotations

import hashlib
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.lake import Lake, Window, write_bytes
from battery_pilot.passport.aas import canonical_json, concept_description_dicts, shell_dict, submodel_dicts
from battery_pilot.passport.history import HistoryStore, record
from battery_pilot.passport.identifiers import slug
from battery_pilot.pipeline.build import shard
from battery_pilot.pipeline.bundle import make_bundle
from battery_pilot.pipeline.subjects import passports
from battery_pilot.services.connectors.model import Offer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.model import Tier
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
        current = [passport for passport in chunk if not _is_older(history, passport)]
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
        if record(history, passport, run=run, recorded_at=datetime.now(UTC)).is_new:
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

    :param tiers: which views are offered.
    :return: ``offers``, ``kept_newer``.
    """
    offers = kept = 0
    with ThreadPoolExecutor(workers) as pool:
        for chunk in _chunks(passports(lake, window, base_iri)):
            current = [passport for passport in chunk if not _is_older(history, passport)]
            kept += len(chunk) - len(current)
            wanted = [_release(lake, history, party, passport, tier) for passport in current for tier in tiers]
            for _ in pool.map(party.connector.publish, wanted):
                offers += 1
    log.info("published %d offers for window %s", offers, window.key)
    return {"offers": offers, "kept_newer": kept}


def outbox(lake: Lake) -> Path:
    """Return the folder with what was released; nothing else of the lake leaves the house."""
    return lake.root / "outbox"


def _release(lake: Lake, history: HistoryStore, party: ConnectorParty, passport: Passport, tier: Tier) -> Offer:
    name = _offer_name(passport.battery_id)
    relative = f"{tier}/{shard(name)}/{name}.json"
    view = json.loads(canonical_json(passport.view(tier)))
    write_bytes(outbox(lake) / relative, make_bundle(view, history.entries(passport.battery_id), tier))
    return Offer(
        asset_id=f"passport:{tier}:{name}",
        title=f"Digital Battery Passport {passport.battery_id} ({tier.value.replace('_', ' ')})",
        data_url=f"{party.outbox_url}/{relative}",
        content_type="application/json",
        tier=tier,
        properties={"batteryId": passport.battery_id, "tier": tier.value},
    )


def _offer_name(battery_id: str) -> str:
    name = slug(battery_id)
    return name if len(name) <= LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest() + "_"


def _is_older(history: HistoryStore, passport: Passport) -> bool:
    current = history.current(passport.battery_id)
    return current is not None and current.as_of > passport.as_of


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
