from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.errors import ServerUnavailable
from battery_pilot.passport.model import Tier
from battery_pilot.passport.shell import shell_dict
from battery_pilot.pipeline import release
from battery_pilot.pipeline.bundle import read_bundle
from battery_pilot.pipeline.offers import outbox, publish
from battery_pilot.pipeline.release import push, record_versions
from battery_pilot.pipeline.subjects import passports
from tests.servers.memory_aas import silent

LEGITIMATE = Tier.LEGITIMATE_INTEREST
FEBRUARY_20 = datetime(2026, 2, 20, tzinfo=UTC)
CAPACITY = "ProductCondition.RemainingCapacity.RemainingCapacityValue"


def test_a_window_is_pushed_with_its_shells_and_each_submodel_once(
    lake, january, two_months, memory, server, history, base
):
    assert push(lake, january, server, history, base) == {"pushed": 2, "unchanged": 0, "kept_newer": 0}
    assert list(memory.documents["shells"].values()) == [
        shell_dict(passport) for passport in passports(lake, january, base)
    ]
    shells, submodels, concepts = (set(documents) for documents in memory.documents.values())
    assert submodels == {
        key["value"]
        for shell in memory.documents["shells"].values()
        for reference in shell["submodels"]
        for key in reference["keys"]
    }
    posts = [path for method, path in memory.asked if method == "POST"]
    assert len(posts) == len(shells) + len(submodels) + len(concepts)


def test_a_window_that_is_pushed_again_writes_nothing(lake, january, two_months, memory, server, history, base):
    push(lake, january, server, history, base)
    memory.asked.clear()
    assert push(lake, january, server, history, base) == {"pushed": 0, "unchanged": 2, "kept_newer": 0}
    assert memory.writes() == {}


def test_a_state_that_was_pushed_but_never_recorded_is_not_replaced_by_an_older_one(
    lake, january, february, two_months, server, history, base
):
    push(lake, february, server, history, base)
    assert push(lake, january, server, history, base) == {"pushed": 1, "unchanged": 0, "kept_newer": 1}


def test_a_battery_whose_history_holds_a_newer_state_is_not_pushed(
    lake, january, february, two_months, memory, server, history, base
):
    record_versions(lake, february, history, base, "february")
    assert push(lake, january, server, history, base) == {"pushed": 1, "unchanged": 0, "kept_newer": 1}
    (newer, older) = passports(lake, january, base)
    assert (newer.battery_id, older.battery_id) == ("BP-1", "BP-2")
    assert list(memory.documents["shells"]) == [older.identifiers.shell]


def test_the_state_that_the_history_holds_is_pushed_again(lake, january, two_months, server, history, base):
    record_versions(lake, january, history, base, "first")
    assert push(lake, january, server, history, base) == {"pushed": 2, "unchanged": 0, "kept_newer": 0}


def test_a_fleet_is_pushed_in_chunks(lake, january, two_months, memory, server, history, base, monkeypatch):
    monkeypatch.setattr(release, "CHUNK", 1)
    assert push(lake, january, server, history, base)["pushed"] == 2
    assert len(memory.documents["shells"]) == 2


def test_a_server_that_does_not_answer_fails_the_push(lake, january, two_months, memory, server, history, base):
    def fault(method, path, done):
        raise silent(method, path)

    memory.fault = fault
    with pytest.raises(ServerUnavailable):
        push(lake, january, server, history, base)


def test_recording_again_adds_nothing(lake, january, two_months, history, base):
    first = record_versions(lake, january, history, base, "dag/run-1")
    assert first == {"new_versions": 2, "unchanged": 0, "history_versions": 2}
    before = history.entries("BP-1")
    again = record_versions(lake, january, history, base, "dag/run-2")
    assert again == {"new_versions": 0, "unchanged": 2, "history_versions": 2}
    assert history.entries("BP-1") == before
    assert before[0].run == "dag/run-1"


def test_windows_of_the_same_state_are_recorded_once_each_and_the_later_one_stays_current(
    lake, january, february, old_news, history, base
):
    for window, new in ((january, 1), (february, 1), (january, 0), (february, 0)):
        assert record_versions(lake, window, history, base, "run")["new_versions"] == new
        assert history.current("BP-1").known_until == max(entry.known_until for entry in history.entries("BP-1"))
    assert [entry.known_until for entry in history.entries("BP-1")] == [january.end, february.end]


def test_a_window_that_knows_less_of_the_same_state_is_neither_pushed_nor_published(
    lake, january, february, old_news, server, history, party, connector, base
):
    for window in (january, february):
        record_versions(lake, window, history, base, "run")
    assert push(lake, january, server, history, base) == {"pushed": 0, "unchanged": 0, "kept_newer": 1}
    assert publish(lake, january, history, party, base, [LEGITIMATE])["kept_newer"] == 1
    assert push(lake, february, server, history, base) == {"pushed": 1, "unchanged": 0, "kept_newer": 0}
    assert publish(lake, february, history, party, base, [LEGITIMATE])["offers"] == 1
    (bundle,) = outbox(lake).rglob("*.json")
    assert read_bundle(bundle.read_bytes()).passport.values[CAPACITY] == 4.4


def test_a_backfill_is_recorded_and_never_makes_the_current_state_older(
    lake, january, february, two_months, history, base
):
    record_versions(lake, february, history, base, "february")
    assert record_versions(lake, january, history, base, "backfill")["new_versions"] == 2
    assert history.current("BP-1").as_of == FEBRUARY_20
