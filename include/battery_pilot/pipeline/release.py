"""Provider, stages 4 and 5: push to the AASX Server, record in the history."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from battery_pilot.passport.history import HistoryEntry, HistoryStore, record_all
from battery_pilot.pipeline.shelf import content_of
from battery_pilot.pipeline.shown import pushed_states, twin_of
from battery_pilot.pipeline.subjects import passports
from battery_pilot.services.aas_push import SAMPLE, push_twins

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.lake import Lake, Window
    from battery_pilot.passport.building import Passport
    from battery_pilot.services.aas_server import AasServer
    from battery_pilot.services.aas_twin import Twin

log = logging.getLogger(__name__)

CHUNK = 100
"""Passports that are held in memory at once."""


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
    :return: ``pushed``, ``unchanged`` (batteries whose state the server has), ``kept_newer``, and ``attachments`` (files)
        where some were sent.
    :raises ServerRefused: the server refused something, or shows something else than it took.
    """
    newer = 0

    def twins() -> Iterator[Twin]:
        nonlocal newer
        for chunk in chunks(passports(lake, window, base_iri)):
            known = history.currents(passport.battery_id for passport in chunk)
            current = [one for one in chunk if not is_older(one, window, known.get(one.battery_id))]
            newer += len(chunk) - len(current)
            yield from (twin_of(passport, window.end, partial(content_of, lake)) for passport in current)

    with pushed_states(lake, server) as states:
        counts = push_twins(server, states, twins(), read_back=read_back)
    kept_newer = counts.kept_newer + newer
    log.info("window %s: %d passports pushed, %d newer ones kept", window.key, counts.pushed, kept_newer)
    found = {"pushed": counts.pushed, "unchanged": counts.unchanged, "kept_newer": kept_newer}
    return found | ({"attachments": counts.attachments} if counts.attachments else {})


def record_versions(lake: Lake, window: Window, history: HistoryStore, base_iri: str, run: str) -> dict[str, int]:
    """Add the window's passports to the history.

    :param run: what made them, for example the id of the DAG run.
    :return: ``new_versions``, ``unchanged``, ``history_versions`` (all that the history holds).
    """
    new = unchanged = 0
    for chunk in chunks(passports(lake, window, base_iri)):
        recorded = record_all(history, chunk, run=run, recorded_at=datetime.now(UTC), known_until=window.end)
        new += sum(one.is_new for one in recorded)
        unchanged += sum(not one.is_new for one in recorded)
    total = history.count()
    log.info("history: %d new versions, %d unchanged, %d in all", new, unchanged, total)
    return {"new_versions": new, "unchanged": unchanged, "history_versions": total}


def is_older(passport: Passport, window: Window, current: HistoryEntry | None) -> bool:
    """Return whether the history holds a later state of the battery, or knows more of the same one."""
    return current is not None and (current.as_of, current.known_until) > (passport.as_of, window.end)


def chunks(items: Iterator[Passport]) -> Iterator[list[Passport]]:
    """Yield passports by :data:`CHUNK`."""
    while chunk := list(islice(items, CHUNK)):
        yield chunk
