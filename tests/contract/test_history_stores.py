"""What every place that keeps a history must do: SQLite, and a real MongoDB where ``BATTERY_PILOT_TEST_MONGO_URI`` names one."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from battery_pilot.electrochemistry.condition import Condition, MeasuredValue
from battery_pilot.errors import InputError, PassportError
from battery_pilot.passport.building import Passport, build_passport
from battery_pilot.passport.chain import next_head, verify_chain
from battery_pilot.passport.history import (
    HistoryEntry,
    HistoryStore,
    HistoryUnavailable,
    Recorded,
    Seal,
    SqliteHistory,
    VersionTaken,
    record,
    record_all,
)
from battery_pilot.passport.model import BatteryItem, BatteryModel, Tier

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from battery_pilot.services.history_mongo import MongoHistory

START = datetime(2026, 1, 1, microsecond=123456, tzinfo=UTC)
DAY = timedelta(days=1)
MARCH, APRIL = datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC)


@pytest.fixture
def mongo(mongo_address: tuple[str, str]) -> MongoHistory:
    from battery_pilot.services.history_mongo import MongoHistory

    return MongoHistory(*mongo_address)


@pytest.fixture(params=["sqlite", "mongod"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], HistoryStore]:
    """Opens one and the same history, as every process does for itself."""
    if request.param == "sqlite":
        return lambda: SqliteHistory(tmp_path / "history.sqlite")
    from battery_pilot.services.history_mongo import MongoHistory

    address = request.getfixturevalue("mongo_address")
    return lambda: MongoHistory(*address)


@pytest.fixture
def store(opened: Callable[[], HistoryStore]) -> HistoryStore:
    return opened()


MODEL = BatteryModel(
    model_id="M", manufacturer_name="Beispiel GmbH", manufacturer_id="EX", category="ev", mass_kilogram=1,
    nominal_voltage_volt=3.6, minimum_voltage_volt=2.5, maximum_voltage_volt=4.2, rated_capacity_ah=5,
)  # fmt: skip


def passport_of(battery_id: str, day: int, capacity_ah: float) -> Passport:
    item = BatteryItem(
        battery_id=battery_id, model_id="M", serial_number=battery_id, manufactured_on="2024-02-29", facility_id="p",
        street="s", zip_code="1", city="c", country_code="DE",
    )  # fmt: skip
    as_of = START + day * DAY
    value = MeasuredValue(value=capacity_ah, as_of=as_of, method="m", source_sha256=("a" * 64,))
    condition = Condition(battery_id=battery_id, as_of=as_of, values={"remaining_capacity_ah": value})
    return build_passport(MODEL, item, condition, base="https://example.com")


def entry(
    version: int,
    value: float,
    *,
    battery_id: str = "B1",
    before: HistoryEntry | None = None,
    was: float | None = None,
    day: int = 1,
    known_until: datetime = MARCH,
) -> HistoryEntry:
    """An entry with one value of odd path, which dots and brackets make hard for a document database."""
    changes = {Tier.PUBLIC: {"A.$b[0]": (was, value)}}
    seals = {tier: Seal(salt="0" * 32, view_sha256="0" * 64, changes=changes.get(tier, {})) for tier in Tier}
    draft = HistoryEntry(
        battery_id=battery_id,
        version=version,
        as_of=START + day * DAY,
        known_until=known_until,
        recorded_at=APRIL,
        run="run",
        seals=seals,
        commitments={tier: seal.commitment() for tier, seal in seals.items()},
        previous_hash=before.entry_hash if before else None,
        entry_hash="0" * 64,
    )
    return draft.model_copy(update={"entry_hash": draft.computed_hash()})


def chain(*values: float, battery_id: str = "B1", days: Sequence[int] = ()) -> list[HistoryEntry]:
    made: list[HistoryEntry] = []
    for number, value in enumerate(values):
        made.append(
            entry(
                number + 1,
                value,
                battery_id=battery_id,
                before=made[-1] if made else None,
                was=values[number - 1] if number else None,
                day=days[number] if days else number,
            )
        )
    return made


def test_entries_come_back_by_version_exactly_as_they_were(store: HistoryStore) -> None:
    first, second = chain(91.25, 90.5)
    store.append(first)
    store.append(second)
    assert store.entries("B1") == [first, second]
    assert store.entries("B2") == []
    assert (store.count(), list(store.battery_ids())) == (2, ["B1"])


def test_head_holds_the_values_after_the_last_entry(store: HistoryStore) -> None:
    assert store.head("B1") is None
    for one in chain(91.25, 90.5):
        store.append(one)
    head = store.head("B1")
    assert head is not None
    assert (head.entry.version, head.values[Tier.PUBLIC]) == (2, {"A.$b[0]": 90.5})


def test_many_batteries_are_appended_and_read_in_one_call(store: HistoryStore) -> None:
    """Names as they come: with spaces, slashes, umlauts, 200 characters, and a quotation mark."""
    names = [*(f"PACK {number}" for number in range(300)), 'SN 7/ä"', "x" * 200]
    assert store.append_all([entry(1, 1.5, battery_id=name) for name in names]) == set()
    heads = store.heads([*names, "nobody"])
    assert set(heads) == set(names)
    following = [entry(2, 2.5, battery_id=name, before=heads[name].entry, was=1.5, day=2) for name in names]
    assert store.append_all(following) == set()
    assert {name: head.entry for name, head in store.heads(names).items()} == {
        one.battery_id: one for one in following
    }
    assert {name: one.version for name, one in store.currents(names).items()} == dict.fromkeys(names, 2)
    assert list(store.battery_ids()) == sorted(names)
    assert store.append_all([]) == set()
    assert (store.heads([]), store.currents([]), store.known([], MARCH)) == ({}, {}, {})


def test_of_a_batch_only_the_batteries_that_moved_on_are_left_out(store: HistoryStore) -> None:
    for name in ("B1", "B2"):
        store.append(entry(1, 91.25, battery_id=name))
    first = store.head("B1")
    assert first is not None
    late = [
        entry(1, 80.0, battery_id="B2"),
        entry(2, 90.0, before=first.entry, was=91.25),
        entry(1, 1, battery_id="B3"),
    ]
    assert store.append_all(late) == {"B2"}
    heads = store.heads(("B1", "B2", "B3"))
    assert {name: head.entry.version for name, head in heads.items()} == {"B1": 2, "B2": 1, "B3": 1}
    assert heads["B2"].values[Tier.PUBLIC] == {"A.$b[0]": 91.25}


def test_known_finds_the_entries_of_one_window(store: HistoryStore) -> None:
    first, second = chain(91.25, 90.5)
    store.append(first)
    later = entry(2, 90.5, before=first, was=91.25, known_until=APRIL)
    store.append(later)
    assert second != later
    assert store.known(["B1", "B2"], APRIL) == {"B1": [later]}
    assert store.known(["B1"], MARCH) == {"B1": [first]}


def test_late_news_of_an_early_state_do_not_become_current(store: HistoryStore) -> None:
    for one in chain(91.25, 95.0, days=(9, 2)):
        store.append(one)
    current = store.current("B1")
    assert current is not None
    assert current.version == 1
    assert store.current("B2") is None
    assert [one.version for one in store.entries("B1", START + 2 * DAY)] == [2]


def test_of_two_states_of_the_same_time_the_better_informed_one_is_current(store: HistoryStore) -> None:
    first = entry(1, 91.25, known_until=APRIL)
    second = entry(2, 95.0, before=first, was=91.25)
    third = entry(3, 90.0, before=second, was=95.0, known_until=APRIL)
    for one, current in ((first, 1), (second, 1), (third, 3)):
        store.append(one)
        assert store.currents(["B1"])["B1"].version == current


def test_version_that_another_process_appended_is_taken(store: HistoryStore) -> None:
    store.append(entry(1, 91.25))
    with pytest.raises(VersionTaken, match="version 1"):
        store.append(entry(1, 80.0))
    with pytest.raises(VersionTaken, match="version 3"):
        store.append(chain(91.25, 90.0, 89.0)[2])
    assert store.count() == 1


def test_change_that_does_not_start_from_the_last_value_is_refused_and_nothing_is_added(store: HistoryStore) -> None:
    store.append(first := entry(1, 91.25))
    with pytest.raises(PassportError, match="does not start from the value before"):
        store.append_all([entry(1, 1.0, battery_id="B2"), entry(2, 90.5, before=first, was=91.0)])
    assert store.count() == 1


def test_runs_that_record_the_same_batteries_at_once_make_one_chain_each(opened: Callable[[], HistoryStore]) -> None:
    """Four runs, each with a store of its own, and all with news of the same eight batteries."""
    names = [f"B{number}" for number in range(8)]

    def run(day: int) -> list[Recorded]:
        fleet = [passport_of(name, day, 4.9 - day / 100) for name in names]
        return record_all(opened(), fleet, run=f"r{day}", recorded_at=APRIL, known_until=MARCH)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(run, range(4)))
    versions = Counter((name, one.version) for outcome in outcomes for name, one in zip(names, outcome, strict=True))
    assert set(versions) == {(name, version) for name in names for version in range(1, 5)}
    assert set(versions.values()) == {1}
    store = opened()
    for name in names:
        entries = store.entries(name)
        verify_chain(entries, Tier.AUTHORITY)
        assert sorted(one.as_of for one in entries) == [START + day * DAY for day in range(4)]
        assert store.currents(names)[name].as_of == START + 3 * DAY


def test_recording_a_fleet_again_adds_nothing_and_says_what_is_current(store: HistoryStore) -> None:
    fleet = [passport_of(name, 1, 4.5) for name in ("B1", "B2", "B3")]
    times = {"recorded_at": APRIL, "known_until": MARCH}
    assert record_all(store, fleet, run="r", **times) == [Recorded(1, is_new=True, is_current=True)] * 3
    newer = passport_of("B2", 2, 4.4)
    assert record(store, newer, run="r", **times) == Recorded(2, is_new=True, is_current=True)
    expected = [Recorded(1, is_new=False, is_current=current) for current in (True, False, True)]
    assert record_all(store, fleet, run="again", **times) == expected
    assert store.count() == 4
    assert record_all(store, [], run="r", **times) == []


def test_a_battery_cannot_be_twice_in_one_call(store: HistoryStore) -> None:
    twice = [passport_of("B1", day, 4.5) for day in (1, 2)]
    with pytest.raises(PassportError, match="same battery"):
        record_all(store, twice, run="r", recorded_at=APRIL, known_until=MARCH)
    assert store.count() == 0


def test_a_thousand_batteries_are_appended_and_read_back_within_two_seconds_of_this_process(
    store: HistoryStore,
) -> None:
    """Processor time of the client, which does not depend on who else uses the machine; the wall is in the benchmark."""
    first = passport_of("PACK-0", 1, 4.5)
    record(store, first, run="r", recorded_at=APRIL, known_until=MARCH)
    (template,) = store.entries("PACK-0")
    fleet = []
    for number in range(1, 1001):
        draft = template.model_copy(update={"battery_id": f"PACK-{number}"})
        fleet.append(draft.model_copy(update={"entry_hash": draft.computed_hash()}))
    begin = time.process_time()
    assert store.append_all(fleet) == set()
    assert len(store.heads(one.battery_id for one in fleet)) == 1000
    assert time.process_time() - begin < 2


def test_mongo_head_is_right_after_a_process_was_killed_between_its_two_writes(
    mongo: MongoHistory, mongo_address: tuple[str, str]
) -> None:
    from pymongo import MongoClient

    first, second, third = chain(91.25, 90.5, 89.0)
    mongo.append(first)
    with MongoClient(mongo_address[0]) as client:
        heads = client[mongo_address[1]]["history_heads"]
        kept = list(heads.find())
        mongo.append(second)
        for survivors in (kept, []):
            heads.delete_many({})
            if survivors:
                heads.insert_many(survivors)
            head = mongo.head("B1")
            assert head is not None
            assert (head.entry, head.values[Tier.PUBLIC]) == (second, {"A.$b[0]": 90.5})
    mongo.append(third)
    assert mongo.heads(["B1"])["B1"].entry == third


def test_mongo_keeps_the_later_head_of_another_process(mongo: MongoHistory, mongo_address: tuple[str, str]) -> None:
    from pymongo import MongoClient

    first, second = chain(91.25, 90.5)
    for one in (first, second):
        mongo.append(one)
    mongo._keep([next_head(None, first)])
    with MongoClient(mongo_address[0]) as client:
        assert [one["version"] for one in client[mongo_address[1]]["history_heads"].find()] == [2]


def test_mongo_reads_heads_and_currents_through_its_indexes(
    mongo: MongoHistory, mongo_address: tuple[str, str]
) -> None:
    from pymongo import MongoClient

    for version, one in enumerate(chain(*map(float, range(30)))):
        assert version + 1 == one.version
        mongo.append(one)
    with MongoClient(mongo_address[0]) as client:
        database = client[mongo_address[1]]
        database.command("profile", 2)
        mongo.heads(["B1", "B2"])
        mongo.currents(["B1"])
        mongo.known(["B1"], MARCH)
        database.command("profile", 0)
        asked = list(
            database["system.profile"].find({"ns": {"$regex": "history_"}, "op": {"$in": ["query", "command"]}})
        )
    assert len(asked) >= 4
    assert not [one for one in asked if "COLLSCAN" in one.get("planSummary", "")]
    assert (
        max(one.get("docsExamined", 0) for one in asked if "known_until" not in str(one["command"].get("filter")))
        <= 1
    )


def test_mongo_that_is_not_there_is_worth_another_try(monkeypatch: pytest.MonkeyPatch) -> None:
    from battery_pilot.services import history_mongo

    for name in ("SELECTION_TIMEOUT_MILLISECOND", "TIMEOUT_MILLISECOND"):
        monkeypatch.setattr(history_mongo, name, 50)
    with pytest.raises(HistoryUnavailable, match="is the server up"):
        history_mongo.MongoHistory("mongodb://user:geheim@127.0.0.1:1", "db")


def test_what_the_mongo_server_refuses_is_final_and_tells_no_password(mongo_address: tuple[str, str]) -> None:
    from battery_pilot.services.history_mongo import MongoHistory

    host = mongo_address[0].removeprefix("mongodb://")
    with pytest.raises(InputError, match="credentials") as caught:
        MongoHistory(f"mongodb://user:geheim@{host}", mongo_address[1])
    assert "geheim" not in str(caught.value)
