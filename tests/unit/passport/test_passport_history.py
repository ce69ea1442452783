from __future__ import annotations

import json
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import TYPE_CHECKING

import pytest

from battery_pilot.electrochemistry.condition import Condition, MeasuredValue
from battery_pilot.errors import PassportError
from battery_pilot.passport.aas import flat_values, passport_sha256
from battery_pilot.passport.building import Passport, build_passport
from battery_pilot.passport.history import (
    DisclosedEntry,
    HistoryEntry,
    HistoryUnavailable,
    Recorded,
    SqliteHistory,
    VersionTaken,
    current_entry,
    next_entry,
    reconstruct,
    record,
    verify_chain,
)
from battery_pilot.passport.model import BatteryItem, BatteryModel, Tier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> SqliteHistory:
    return SqliteHistory(tmp_path / "history.sqlite")


@pytest.fixture
def passport_of(battery_model: BatteryModel, battery_item: BatteryItem):
    def build(days: int, capacity: float, **facts: object) -> Passport:
        as_of = datetime(2026, 1, 1, tzinfo=UTC) + days * DAY
        value = MeasuredValue(value=capacity, as_of=as_of, method="m", source_sha256=("a" * 64,))
        condition = Condition(battery_id="Cell_7", as_of=as_of, values={"remaining_capacity_ah": value})
        return build_passport(
            battery_model, battery_item.model_copy(update=facts), condition, base="https://example.com"
        )

    return build


@pytest.fixture
def chain(store: SqliteHistory, passport_of) -> list[HistoryEntry]:
    steps = ((0, 4.9, ()), (30, 4.8, ()), (10, 4.85, ("SECRET-1",)))
    for number, (days, capacity, reports) in enumerate(steps):
        passport = passport_of(days, capacity, test_report_ids=reports)
        record(store, passport, run="r", recorded_at=NOW + number * DAY, known_until=MARCH)
    return store.entries("Cell_7")


def put(store: SqliteHistory, passport: Passport, known_until: datetime = MARCH) -> Recorded:
    return record(store, passport, run="run-1", recorded_at=NOW, known_until=known_until)


def test_first_passport_is_version_one_and_current(store: SqliteHistory, passport_of) -> None:
    passport = passport_of(0, 4.9)
    assert put(store, passport) == Recorded(version=1, is_new=True, is_current=True)
    (entry,) = store.entries("Cell_7")
    assert (entry.as_of, entry.recorded_at, entry.run, entry.previous_hash) == (passport.as_of, NOW, "run-1", None)
    assert entry.known_until == MARCH
    assert {path: new for path, (_, new) in entry.changes.items()} == flat_values(passport)
    assert entry.view_sha256 == passport_sha256(passport)


def test_recording_the_same_passport_again_adds_nothing(store: SqliteHistory, passport_of) -> None:
    put(store, passport_of(0, 4.9))
    assert put(store, passport_of(0, 4.9)) == Recorded(version=1, is_new=False, is_current=True)
    assert store.count() == 1


def test_backfill_of_an_older_state_keeps_the_current_one(store: SqliteHistory, passport_of) -> None:
    put(store, passport_of(30, 4.8))
    assert put(store, passport_of(10, 4.9)) == Recorded(version=2, is_new=True, is_current=False)
    assert put(store, passport_of(10, 4.9)) == Recorded(version=2, is_new=False, is_current=False)
    current = store.current("Cell_7")
    assert current is not None
    assert current.version == 1


def test_correction_of_a_state_is_a_new_version_and_current(store: SqliteHistory, passport_of) -> None:
    put(store, passport_of(0, 4.9))
    assert put(store, passport_of(0, 4.7)) == Recorded(version=2, is_new=True, is_current=True)
    assert put(store, passport_of(0, 4.9)) == Recorded(version=3, is_new=True, is_current=True)


def test_of_two_states_of_the_same_time_the_better_informed_one_stays_current(
    store: SqliteHistory, passport_of
) -> None:
    """A window that brought only old files does not make the battery's state later, but better known."""
    put(store, passport_of(0, 4.9), MARCH)
    assert put(store, passport_of(0, 4.8), APRIL) == Recorded(version=2, is_new=True, is_current=True)
    assert put(store, passport_of(0, 4.9), MARCH) == Recorded(version=1, is_new=False, is_current=False)
    assert put(store, passport_of(0, 4.8), APRIL) == Recorded(version=2, is_new=False, is_current=True)
    assert put(store, passport_of(0, 4.7), MARCH) == Recorded(version=3, is_new=True, is_current=False)
    current = current_entry(store.entries("Cell_7"))
    assert store.current("Cell_7") == current
    assert current is not None
    assert current.version == 2


def test_a_later_state_is_current_whoever_knew_more(store: SqliteHistory, passport_of) -> None:
    put(store, passport_of(0, 4.9), APRIL)
    assert put(store, passport_of(1, 4.8), MARCH) == Recorded(version=2, is_new=True, is_current=True)


def test_entry_tells_only_what_changed(chain: list[HistoryEntry]) -> None:
    path = "ProductCondition.RemainingCapacity.RemainingCapacityValue"
    assert chain[1].changes[path] == (4.9, 4.8)
    assert chain[1].changes["DppMetadata.lastUpdate"] == ("2026-01-01T00:00:00Z", "2026-01-31T00:00:00Z")
    assert "BatteryNameplate.SerialNumber" not in chain[1].changes
    assert chain[2].changes["BatteryNameplate.ResultsOfTestReportsProvingCompliance[0]"] == (None, "SECRET-1")


def test_replaying_the_changes_gives_every_state_back(chain: list[HistoryEntry], passport_of) -> None:
    expected = [passport_of(0, 4.9, test_report_ids=()), passport_of(30, 4.8, test_report_ids=())]
    expected.append(passport_of(10, 4.85, test_report_ids=("SECRET-1",)))
    states = [(entry.as_of, values) for entry, values in reconstruct(chain)]
    assert states == [(passport.as_of, flat_values(passport)) for passport in expected]


@pytest.mark.parametrize("tier", list(Tier))
def test_disclosed_chain_survives_the_wire_and_verifies(chain: list[HistoryEntry], tier: Tier, passport_of) -> None:
    wire = json.dumps([entry.disclose(tier).model_dump(mode="json") for entry in chain])
    entries = [DisclosedEntry.model_validate(entry) for entry in json.loads(wire)]
    verify_chain(entries, tier)
    view = passport_of(10, 4.85, test_report_ids=("SECRET-1",)).view(tier)
    assert entries[-1].view_sha256 == passport_sha256(view)
    assert list(reconstruct(entries))[-1] == (entries[-1], flat_values(view))


def test_public_chain_tells_nothing_of_closed_tiers(chain: list[HistoryEntry]) -> None:
    wire = json.dumps([entry.disclose(Tier.PUBLIC).model_dump(mode="json") for entry in chain])
    for entry in chain:
        for tier in (Tier.LEGITIMATE_INTEREST, Tier.AUTHORITY):
            assert entry.seals[tier].salt not in wire
            assert entry.seals[tier].view_sha256 not in wire
    assert not any(secret in wire for secret in ("SECRET-1", "RemainingCapacity", "4.85", "LifeCycleStage"))


def test_commitment_cannot_be_guessed_because_of_the_salt(store: SqliteHistory, tmp_path: Path, passport_of) -> None:
    other = SqliteHistory(tmp_path / "other.sqlite")
    for one in (store, other):
        put(one, passport_of(0, 4.9))
    one, two = (s.entries("Cell_7")[0] for s in (store, other))
    assert one.changes == two.changes
    assert all(one.commitments[tier] != two.commitments[tier] for tier in Tier)


def tampered(entry: HistoryEntry) -> dict[str, HistoryEntry]:
    seal = entry.seals[Tier.PUBLIC]
    path, (old, _) = next(iter(seal.changes.items()))
    return {
        "hash does not match": entry.model_copy(update={"as_of": entry.as_of + DAY}),
        "its hash does not match": entry.model_copy(update={"known_until": entry.known_until + DAY}),
        "hash does not match its": entry.model_copy(update={"recorded_at": entry.recorded_at - DAY}),
        "public values are not those": entry.model_copy(
            update={
                "seals": {**entry.seals, Tier.PUBLIC: seal.model_copy(update={"changes": {path: (old, "forged")}})}
            }
        ),
        "hash does not match its content": entry.model_copy(
            update={"commitments": {**entry.commitments, Tier.AUTHORITY: "0" * 64}}
        ),
        "lacks the commitment": entry.model_copy(
            update={"commitments": {Tier.PUBLIC: entry.commitments[Tier.PUBLIC]}}
        ),
        "does not disclose the legitimate_interest values": entry.model_copy(update={"seals": {Tier.PUBLIC: seal}}),
        "version 2 was expected": entry.model_copy(update={"version": 3}),
        "entries before are of battery Cell_7": entry.model_copy(update={"battery_id": "other"}),
        "does not continue the entry before": entry.model_copy(update={"previous_hash": "f" * 64}),
    }


def test_tampering_breaks_the_chain_at_the_entry(chain: list[HistoryEntry]) -> None:
    for words, forged in tampered(chain[1]).items():
        with pytest.raises(PassportError, match=words) as caught:
            verify_chain([chain[0], forged, chain[2]], Tier.LEGITIMATE_INTEREST)
        assert "version 2" in str(caught.value) or "version 3" in str(caught.value)


def test_entry_that_was_taken_out_is_missed(chain: list[HistoryEntry]) -> None:
    with pytest.raises(PassportError, match="version 3: version 2 was expected"):
        verify_chain([chain[0], chain[2]], Tier.PUBLIC)
    with pytest.raises(PassportError, match="version 1 was expected"):
        verify_chain(chain[1:], Tier.PUBLIC)


def test_rehashed_forgery_is_noticed_by_the_next_entry(chain: list[HistoryEntry]) -> None:
    forged = chain[0].model_copy(update={"run": "forged"})
    forged = forged.model_copy(update={"entry_hash": forged.computed_hash()})
    with pytest.raises(PassportError, match="version 2: it does not continue"):
        verify_chain([forged, *chain[1:]], Tier.PUBLIC)


def test_changes_that_do_not_follow_from_the_values_before_are_refused(chain: list[HistoryEntry]) -> None:
    with pytest.raises(PassportError, match="version 2: the change of"):
        list(reconstruct(chain[1:]))


def test_states_are_made_one_at_a_time_and_shared_where_nothing_changed(store: SqliteHistory, passport_of) -> None:
    for window_end in (MARCH, APRIL):
        put(store, passport_of(0, 4.9), window_end)
    states = reconstruct(store.entries("Cell_7"))
    (_, first), (_, second) = next(states), next(states)
    assert first is second


def endless(entry: HistoryEntry, *, values_each: int) -> Iterator[HistoryEntry]:
    """Entries that never end, each with more values than the one before."""
    for number in count():
        changes = {f"A.v{number}.{index}": (None, 1) for index in range(values_each)}
        seal = entry.seals[Tier.PUBLIC].model_copy(update={"changes": changes})
        yield entry.model_copy(update={"version": number + 1, "seals": {Tier.PUBLIC: seal}})


def test_a_chain_with_too_many_values_is_refused_before_they_fill_the_memory(chain: list[HistoryEntry]) -> None:
    with pytest.raises(PassportError, match="version 11: 11000 values, at most 10000 are accepted"):
        deque(reconstruct(endless(chain[0], values_each=1000)), maxlen=0)


def test_a_chain_with_too_many_entries_is_refused(chain: list[HistoryEntry], monkeypatch) -> None:
    monkeypatch.setattr("battery_pilot.passport.chain.MAXIMUM_ENTRIES", 20)
    with pytest.raises(PassportError, match="version 21: at most 20 entries are accepted"):
        deque(reconstruct(endless(chain[0], values_each=0)), maxlen=0)


def test_only_a_whole_passport_is_recorded(store: SqliteHistory, passport_of) -> None:
    with pytest.raises(PassportError, match="not a public view"):
        put(store, passport_of(0, 4.9).view(Tier.PUBLIC))


def test_stale_entry_does_not_get_into_the_chain(store: SqliteHistory, passport_of) -> None:
    one, two = passport_of(0, 4.9), passport_of(1, 4.8)
    digests = {tier: "a" * 64 for tier in Tier}
    entries = [next_entry(None, one, digests, run="r", recorded_at=NOW, known_until=MARCH) for _ in range(2)]
    store.append(entries[0])
    with pytest.raises(VersionTaken):
        store.append(entries[1])
    assert put(store, two).version == 2
    assert store.count() == 2


def test_processes_that_record_at_once_make_one_chain(store: SqliteHistory, passport_of) -> None:
    passports = [passport_of(day, 4.9 - day / 100) for day in range(6)] * 2
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda passport: put(SqliteHistory(store.path), passport), passports))
    assert sum(result.is_new for result in results) == 6
    entries = store.entries("Cell_7")
    verify_chain(entries, Tier.AUTHORITY)
    assert sorted(entry.as_of for entry in entries) == sorted({passport.as_of for passport in passports})


def test_batteries_have_chains_of_their_own(
    store: SqliteHistory, passport_of, battery_model: BatteryModel, battery_item: BatteryItem
) -> None:
    put(store, passport_of(0, 4.9))
    item = battery_item.model_copy(update={"battery_id": "Cell_8", "serial_number": "8"})
    condition = Condition(battery_id="Cell_8", as_of=NOW, values={})
    put(store, build_passport(battery_model, item, condition, base="https://example.com"))
    assert [entry.version for entry in store.entries("Cell_8")] == [1]
    assert store.count() == 2
    assert store.entries("nobody") == []
    assert store.current("nobody") is None
    assert store.head("nobody") is None


def test_history_that_cannot_be_opened_is_a_transient_error(tmp_path: Path) -> None:
    with pytest.raises(HistoryUnavailable, match="is its folder there"):
        SqliteHistory(tmp_path / "missing" / "history.sqlite")


def test_file_that_is_no_history_is_refused(tmp_path: Path) -> None:
    (tmp_path / "h.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(PassportError, match="restore the file"):
        SqliteHistory(tmp_path / "h.sqlite")
