"""The chain of a battery's history: entries that cover each other, disclose by tier and can be verified.

Each entry covers the hash of the one before. It does not cover its changes as they are but, for every tier, a commitment
to them: a SHA-256 over a random salt, the digest of the tier's view and the changes of the tier's values. So a reader who
got the changes of some tiers can verify the whole chain and learns nothing of the others, not even by guessing. What a
chain cannot show is that its newest entries were withheld.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pydantic import AwareDatetime, Field

from battery_pilot.electrochemistry.condition import Frozen, Sha256
from battery_pilot.errors import PassportError, TransientError
from battery_pilot.passport.aas import flat_values_by_tier
from battery_pilot.passport.canonical import canonical_sha256
from battery_pilot.passport.lexical import Value, utc_text
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from battery_pilot.passport.building import Passport

Changes = dict[str, tuple[Value | None, Value | None]]
"""Path to old and new value; ``None`` stands for no value."""

# A few bytes of a chain can stand for many values: each entry leaves a state with all values of those before.
MAXIMUM_ENTRIES = 10_000
MAXIMUM_VALUES = 10_000


class VersionTaken(TransientError):
    """Another process appended an entry of the same battery and version first."""


class Seal(Frozen):
    """What an entry says to the readers of one tier.

    :param salt: random, so that nobody can guess the content from the commitment.
    :param view_sha256: SHA-256 of the canonical JSON of the tier's view.
    :param changes: changes of the values that have exactly this tier, against the version before.
    """

    salt: str = Field(pattern=r"^[0-9a-f]{32}$")
    view_sha256: Sha256
    changes: Changes

    def commitment(self) -> str:
        """Return the SHA-256 that stands for the seal in the entry's hash."""
        return canonical_sha256(self.model_dump(mode="json"))


class DisclosedEntry(Frozen):
    """An entry as a reader of one tier gets it.

    :param battery_id: which battery.
    :param version: 1, 2, 3, … in the order of recording.
    :param as_of: when the battery was in the state.
    :param known_until: the measurements that had arrived before are in the state.
    :param recorded_at: when it was recorded.
    :param run: what recorded it.
    :param seals: what it says to the reader's tier and the more open ones.
    :param commitments: commitments of all tiers.
    :param previous_hash: hash of the entry before; ``None`` for the first.
    :param entry_hash: hash of this entry.
    """

    battery_id: str
    version: int = Field(ge=1)
    as_of: AwareDatetime
    known_until: AwareDatetime
    recorded_at: AwareDatetime
    run: str
    seals: dict[Tier, Seal]
    commitments: dict[Tier, Sha256]
    previous_hash: Sha256 | None
    entry_hash: Sha256

    @property
    def standing(self) -> tuple[datetime, datetime, int]:
        """What orders a battery's entries: the greatest is current, because it is the latest and best informed."""
        return self.as_of, self.known_until, self.version

    @property
    def changes(self) -> Changes:
        """The changes of all values that this entry discloses."""
        return {path: change for seal in self.seals.values() for path, change in seal.changes.items()}

    @property
    def view_sha256(self) -> str:
        """Digest of the most closed view that this entry discloses."""
        return self.seals[[tier for tier in Tier if tier in self.seals][-1]].view_sha256

    def computed_hash(self) -> str:
        """Return the hash that the entry should have."""
        return canonical_sha256(
            {
                "battery_id": self.battery_id,
                "version": self.version,
                "as_of": utc_text(self.as_of),
                "known_until": utc_text(self.known_until),
                "recorded_at": utc_text(self.recorded_at),
                "run": self.run,
                "commitments": {tier.value: commitment for tier, commitment in self.commitments.items()},
                "previous_hash": self.previous_hash,
            }
        )


Entry = TypeVar("Entry", bound=DisclosedEntry)


class HistoryEntry(DisclosedEntry):
    """A whole entry, with the seals of all tiers; it stays in the house."""

    def disclose(self, tier: Tier) -> DisclosedEntry:
        """Return what a reader of the tier may get."""
        seals = {own: seal for own, seal in self.seals.items() if is_visible(own, tier)}
        return DisclosedEntry(
            **{name: getattr(self, name) for name in DisclosedEntry.model_fields} | {"seals": seals}
        )


@dataclass(frozen=True)
class Head:
    """The end of a battery's chain.

    :param entry: the entry that was appended last.
    :param values: all values after it, by the tier they have.
    """

    entry: HistoryEntry
    values: dict[Tier, dict[str, Value]]


def next_entry(
    head: Head | None,
    passport: Passport,
    digests: dict[Tier, str],
    *,
    run: str,
    recorded_at: datetime,
    known_until: datetime,
) -> HistoryEntry:
    """Return the entry that adds a passport to a chain.

    :param head: end of the chain, or ``None`` to begin one.
    :param passport: the whole passport.
    :param digests: digest of each tier's view.
    :param run: what records it.
    :param recorded_at: when it is recorded.
    :param known_until: the measurements that had arrived before are in the passport.
    """
    values = flat_values_by_tier(passport)
    seals = {
        tier: Seal(
            salt=secrets.token_hex(16),
            view_sha256=digests[tier],
            changes=difference(head.values.get(tier, {}) if head else {}, values[tier]),
        )
        for tier in Tier
    }
    draft = HistoryEntry(
        battery_id=passport.battery_id,
        version=head.entry.version + 1 if head else 1,
        as_of=passport.as_of,
        known_until=known_until,
        recorded_at=recorded_at,
        run=run,
        seals=seals,
        commitments={tier: seal.commitment() for tier, seal in seals.items()},
        previous_hash=head.entry.entry_hash if head else None,
        entry_hash="0" * 64,
    )
    return draft.model_copy(update={"entry_hash": draft.computed_hash()})


def next_head(head: Head | None, entry: HistoryEntry) -> Head:
    """Return the end of a chain after an entry.

    :param head: end of the chain before, or ``None``.
    :param entry: the entry that is appended.
    :raises VersionTaken: the chain has moved on since the entry was made.
    :raises PassportError: the entry's changes do not fit the values before it.
    """
    if entry.previous_hash != (head.entry.entry_hash if head else None):
        raise VersionTaken(f"{_name(entry)}: another entry was appended in the meantime; try again")
    before = head.values if head else {}
    try:
        values = {tier: replay(before.get(tier, {}), seal.changes) for tier, seal in entry.seals.items()}
    except PassportError as error:
        raise PassportError(f"{_name(entry)}: {error}") from error
    return Head(entry, values)


def next_heads(heads: Mapping[str, Head], entries: Iterable[HistoryEntry]) -> tuple[list[Head], set[str]]:
    """Return the ends of chains after entries, and the batteries whose chain has moved on since theirs was made.

    :param heads: ends of the chains before, by battery.
    :param entries: what is appended, of different batteries.
    :raises PassportError: an entry's changes do not fit the values before it.
    """
    after: list[Head] = []
    taken: set[str] = set()
    for entry in entries:
        try:
            after.append(next_head(heads.get(entry.battery_id), entry))
        except VersionTaken:
            taken.add(entry.battery_id)
    return after, taken


def demand_appended(taken: Collection[str], entry: HistoryEntry) -> None:
    """Raise :class:`VersionTaken` where the entry's battery is among those that could not be appended to."""
    if entry.battery_id in taken:
        raise VersionTaken(f"{_name(entry)}: another entry was appended in the meantime; try again")


def difference(old: dict[str, Value], new: dict[str, Value]) -> Changes:
    """Return what changes from old to new values, sorted by path."""
    return {
        path: (old.get(path), new.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    }


def replay(values: dict[str, Value], changes: Changes) -> dict[str, Value]:
    """Return the values after changes; without any, the very same dictionary.

    :raises PassportError: a change does not fit the values before it, or there are more than ``MAXIMUM_VALUES`` after.
    """
    if not changes:
        return values
    after = dict(values)
    for path, (old, new) in changes.items():
        if after.get(path) != old:
            # Without the values: they may be of a closed tier, and messages end up in logs.
            raise PassportError(f"the change of {path} does not start from the value before it")
        if new is None:
            after.pop(path, None)
        else:
            after[path] = new
    if len(after) > MAXIMUM_VALUES:
        raise PassportError(f"{len(after)} values, at most {MAXIMUM_VALUES} are accepted")
    return after


def reconstruct(entries: Iterable[DisclosedEntry]) -> Iterator[tuple[DisclosedEntry, Mapping[str, Value]]]:
    """Yield every entry with all values after it, in the order of recording.

    The values of all entries together can be thousands of times as large as the chain: keep no more of them than needed.

    :param entries: a battery's entries from the first one on, in the order of their versions.
    :raises PassportError: an entry does not continue the one before, or the chain is larger than ``MAXIMUM_ENTRIES`` or
        ``MAXIMUM_VALUES`` allow.
    """
    values: dict[str, Value] = {}
    for number, entry in enumerate(entries, start=1):
        if number > MAXIMUM_ENTRIES:
            raise PassportError(f"{_name(entry)}: at most {MAXIMUM_ENTRIES} entries are accepted")
        try:
            values = replay(values, entry.changes)
        except PassportError as error:
            raise PassportError(f"{_name(entry)}: {error}") from error
        yield entry, values


def current_entry(entries: Iterable[Entry]) -> Entry | None:
    """Return the entry that describes the battery's latest known state, or ``None`` if there is no entry."""
    return max(entries, key=lambda entry: entry.standing, default=None)


def verify_chain(entries: Sequence[DisclosedEntry], tier: Tier) -> None:
    """Verify that a chain is whole and that nothing in it was altered.

    :param entries: a battery's entries from the first one on, in the order of their versions.
    :param tier: the tier that the reader got them for.
    :raises PassportError: naming the first entry that is broken, and how.
    """
    previous: DisclosedEntry | None = None
    for entry in entries:
        problem = _break(entry, previous, tier)
        if problem:
            raise PassportError(f"{_name(entry)}: {problem}; ask the provider for the history again")
        previous = entry
    for _ in reconstruct(entries):
        pass


def _break(entry: DisclosedEntry, previous: DisclosedEntry | None, tier: Tier) -> str | None:
    """Say how an entry fails to continue the chain, or ``None``."""
    if entry.version != (previous.version + 1 if previous else 1):
        return f"version {previous.version + 1 if previous else 1} was expected here"
    if previous and entry.battery_id != previous.battery_id:
        return f"the entries before are of battery {previous.battery_id}"
    if entry.previous_hash != (previous.entry_hash if previous else None):
        return "it does not continue the entry before"
    if set(entry.commitments) != set(Tier):
        return "it lacks the commitment of a tier"
    if entry.computed_hash() != entry.entry_hash:
        return "its hash does not match its content"
    for own in Tier:
        if is_visible(own, tier) and own not in entry.seals:
            return f"it does not disclose the {own} values"
    for own, seal in entry.seals.items():
        if seal.commitment() != entry.commitments[own]:
            return f"its {own} values are not those that it commits to"
    return None


def _name(entry: DisclosedEntry) -> str:
    return f"history of battery {entry.battery_id}, version {entry.version}"
