"""Provider, stage 3: what life events add to the batteries of a window."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from battery_pilot.electrochemistry.condition import Condition
from battery_pilot.lake import Lake, Window, read_lines
from battery_pilot.passport.life import Life, lives
from battery_pilot.pipeline.subjects import SUBJECTS, TABLE, Subject, folder_of
from battery_pilot.pipeline.wanted import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from battery_pilot.passport.master import MasterData
    from battery_pilot.passport.model import BatteryItem

log = logging.getLogger(__name__)


def with_lives(
    lake: Lake, window: Window, master: MasterData, base_iri: str, measured: Iterable[BatteryItem]
) -> Iterator[Wanted]:
    """Yield the batteries that a window brought news of: measurements, or events before its end that are new.

    An event is new where the last passport of an earlier window does not have it, however long ago it happened: what
    becomes known late enters with the next window. Such a battery keeps the condition of that passport; one that was
    never measured gets a passport without any.

    :param lake: the provider's lake.
    :param window: the window.
    :param master: the master data, with at least the batteries that events name.
    :param base_iri: prefix of all identifiers.
    :param measured: the batteries that were measured.
    """
    known = _corrected(lake, window, lives(master.models, master.batteries, master.events, window.end, base_iri))
    happened: dict[str, BatteryItem] = {}
    for item in measured:
        if item.battery_id in known:
            happened[item.battery_id] = item
        else:
            yield Wanted(item=item)
    count = 0
    for battery_id, before in _last_subjects(lake, window, set(known)):
        life = known[battery_id].following(before.life)
        if battery_id in happened:
            known[battery_id] = life
            continue
        del known[battery_id]
        if not life.tells(before.life):
            count += 1
            item = master.batteries[battery_id]
            yield Wanted(item=item, life=life, condition=before.condition, evidence=before.evidence)
    for battery_id, item in happened.items():
        yield Wanted(item=item, life=known.pop(battery_id))
    for battery_id, life in known.items():
        count += 1
        first = min(event.at for event in (*life.origin, *life.events))
        never_measured = Condition(battery_id=battery_id, as_of=first, values={})
        yield Wanted(item=master.batteries[battery_id], life=life, condition=never_measured)
    if count:
        log.info("window %s: %d batteries have new life events and no new measurements", window.key, count)


def has_events(master: Path, window: Window) -> bool:
    """Tell whether something happened to a battery within a window.

    :param master: folder with the master-data tables; without a table ``events`` nothing did.
    :raises InputError: the master data have faults.
    """
    from battery_pilot.passport.master import read_master
    from battery_pilot.passport.master_sheets import WORKBOOK

    # A fleet's master data are large; without such a file there is no need to read them.
    if not any((master / name).is_file() for name in ("events.csv", "events.json", "events.xlsx", WORKBOOK)):
        return False
    return any(window.start <= event.at < window.end for event in read_master(master, batteries=()).events)


def _corrected(lake: Lake, window: Window, known: dict[str, Life]) -> dict[str, Life]:
    """Return lives as the corrections of what the window's own passports told, where it is built again."""
    if known and lake.current(TABLE, window) is not None:
        for battery_id, before in _subjects_in(lake, window, set(known)):
            known[battery_id] = known[battery_id].following(before.life)
    return known


def _last_subjects(lake: Lake, window: Window, wanted: set[str]) -> Iterator[tuple[str, Subject]]:
    """Yield the last subject before a window of each wanted battery."""
    before = [other for other in lake.windows(TABLE) if other.end <= window.end and other != window]
    for other in sorted(before, key=lambda one: (one.end, one.start), reverse=True):
        if not wanted:
            return
        for battery_id, subject in _subjects_in(lake, other, wanted):
            wanted.discard(battery_id)
            yield battery_id, subject


def _subjects_in(lake: Lake, window: Window, wanted: set[str]) -> Iterator[tuple[str, Subject]]:
    for record in read_lines(folder_of(lake, window) / SUBJECTS):
        battery_id = record["item"]["battery_id"]
        if battery_id in wanted:
            yield battery_id, Subject.model_validate(record)
