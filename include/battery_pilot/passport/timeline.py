"""Questions to a history: the versions with what changed, the course of the health, and what was said when about when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from battery_pilot.passport.chain import Changes, DisclosedEntry, current_entry, reconstruct

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from battery_pilot.passport.lexical import Value


@dataclass(frozen=True)
class Version:
    """One version of a passport.

    :param version: 1, 2, 3, … in the order of recording.
    :param as_of: when the battery was in the state.
    :param known_until: the measurements that had arrived before are in the state.
    :param recorded_at: when it was recorded.
    :param run: what recorded it.
    :param is_current: whether it describes the latest known state.
    :param changes: path to old and new value, against the version before.
    """

    version: int
    as_of: datetime
    known_until: datetime
    recorded_at: datetime
    run: str
    is_current: bool
    changes: Changes


@dataclass(frozen=True)
class Health:
    """The health of a battery at one point in time, as it is known best.

    :param as_of: when.
    :param version: the version that says so.
    :param state_of_health_percent: remaining capacity in percent of the rated one; ``None`` where one is not known.
    :param values: the passport's health values, by the names that the caller chose.
    """

    as_of: datetime
    version: int
    state_of_health_percent: float | None
    values: dict[str, float]


def versions(entries: Sequence[DisclosedEntry]) -> list[Version]:
    """Return all versions in the order of recording.

    :param entries: a battery's entries from the first one on.
    """
    current = current_entry(entries)
    return [
        Version(
            version=entry.version,
            as_of=entry.as_of,
            known_until=entry.known_until,
            recorded_at=entry.recorded_at,
            run=entry.run,
            is_current=entry is current,
            changes=entry.changes,
        )
        for entry in entries
    ]


def health_timeline(entries: Sequence[DisclosedEntry], paths: Mapping[str, str]) -> list[Health]:
    """Return the health over time: of each point in time what the best informed version says.

    :param entries: a battery's entries from the first one on.
    :param paths: name of a value to its path in the passport; ``remaining_capacity_ah`` and ``rated_capacity_ah`` make
        the state of health.
    :raises PassportError: the entries do not continue each other.
    """
    best: dict[datetime, tuple[DisclosedEntry, Health]] = {}
    for entry, values in reconstruct(entries):
        known = best.get(entry.as_of)
        if known is None or entry.standing > known[0].standing:
            best[entry.as_of] = entry, _health(entry, values, paths)
    return [best[as_of][1] for as_of in sorted(best)]


def _health(entry: DisclosedEntry, values: Mapping[str, Value], paths: Mapping[str, str]) -> Health:
    stated = {name: values.get(path) for name, path in paths.items()}
    found = {name: float(value) for name, value in stated.items() if isinstance(value, (int, float))}
    remaining, rated = found.get("remaining_capacity_ah"), found.get("rated_capacity_ah")
    soh = 100 * remaining / rated if remaining is not None and rated else None
    return Health(entry.as_of, entry.version, soh, found)


def said(
    entries: Sequence[DisclosedEntry], *, recorded_by: datetime | None = None, about: datetime | None = None
) -> tuple[DisclosedEntry, Mapping[str, Value]] | None:
    """Return what was said at one time about another: the entry and all values, or ``None`` if nothing was.

    :param entries: a battery's entries from the first one on.
    :param recorded_by: only what had been recorded by then was said; ``None`` for all.
    :param about: the state at this time, which is the last one that began before or then; ``None`` for the latest.
    :raises PassportError: the entries do not continue each other.
    """
    wanted = current_entry(
        entry
        for entry in entries
        if (recorded_by is None or entry.recorded_at <= recorded_by) and (about is None or entry.as_of <= about)
    )
    if wanted is None:
        return None
    return next((entry, dict(values)) for entry, values in reconstruct(entries) if entry is wanted)
