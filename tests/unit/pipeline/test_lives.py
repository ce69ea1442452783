"""Life events on their way through the provider's stages."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.lake import Window
from battery_pilot.passport.aas import flat_values
from battery_pilot.passport.chain import verify_chain
from battery_pilot.passport.life import LifeEvent, closures
from battery_pilot.passport.life_table import with_successors
from battery_pilot.passport.master import MasterData, write_master
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline.lives import has_events, with_lives
from battery_pilot.pipeline.offers import outbox, publish
from battery_pilot.pipeline.parse import Known, latest_time, parse
from battery_pilot.pipeline.release import push, record_versions
from battery_pilot.pipeline.subjects import Subject, passports
from tests.servers.memory_aas import MemoryAas

JANUARY_20 = datetime(2026, 1, 20, tzinfo=UTC)
FEBRUARY_20 = datetime(2026, 2, 20, tzinfo=UTC)
LEGITIMATE = Tier.LEGITIMATE_INTEREST
REPURPOSED = LifeEvent(
    battery_id="BP-1",
    event="repurposed",
    occurred_on="2026-02-10",
    successor_battery_id="BP-1-R",
    successor_serial_number="2L-1",
)
ACCIDENT = LifeEvent(battery_id="BP-1", event="accident", occurred_on="2026-01-05", document_id="ACC-1")


@pytest.fixture
def march():
    return Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))


@pytest.fixture
def build_window(lake, model, item_of, stage_subjects, base):
    """The build stage without measurements' aggregates: subjects as they were measured, and the events known."""

    def build(window, events, *measured):
        items = {name: item_of(name) for name in ("BP-1", "BP-2")}
        rows = [("events.csv, line 2", event) for event in events]
        batteries, problems = with_successors({model.model_id: model}, items, rows)
        assert problems == []
        master = MasterData({model.model_id: model}, batteries, tuple(events))

        conditions = {one.item.battery_id: one.condition for one in measured}
        subjects = [
            Subject(
                model=model,
                item=wanted.item,
                condition=wanted.condition or conditions[wanted.item.battery_id],
                life=wanted.life,
            )
            for wanted in with_lives(lake, window, master, base, [one.item for one in measured])
        ]
        stage_subjects(lake, window, *subjects)
        return {one.battery_id: flat_values(one) for one in passports(lake, window, base)}

    return build


def test_an_event_without_measurements_makes_a_version_of_the_last_condition(
    build_window, january, february, subject_of
):
    build_window(january, [], subject_of("BP-1", JANUARY_20), subject_of("BP-2", JANUARY_20))
    built = build_window(february, [REPURPOSED])
    assert set(built) == {"BP-1", "BP-1-R"}
    assert built["BP-1"]["ProductCondition.RemainingCapacity.RemainingCapacityValue"] == 4.5
    assert built["BP-1"]["DppMetadata.lastUpdate"] == "2026-02-10T00:00:00Z"
    assert built["BP-1-R"]["DppMetadata.lastUpdate"] == "2026-02-10T00:00:00Z"
    assert not [path for path in built["BP-1-R"] if path.startswith("ProductCondition.RemainingCapacity")]


def test_a_window_that_is_built_again_gives_the_same(build_window, january, february, subject_of):
    build_window(january, [ACCIDENT], subject_of("BP-1", JANUARY_20))
    first = build_window(february, [ACCIDENT, REPURPOSED])
    assert build_window(february, [ACCIDENT, REPURPOSED]) == first


def test_what_every_passport_knows_already_makes_none(build_window, january, february, march, subject_of):
    build_window(january, [ACCIDENT], subject_of("BP-1", JANUARY_20))
    build_window(february, [ACCIDENT, REPURPOSED])
    assert build_window(march, [ACCIDENT, REPURPOSED]) == {}


def test_an_event_of_a_later_day_stays_out_of_an_earlier_window(build_window, january, subject_of):
    built = build_window(january, [REPURPOSED], subject_of("BP-1", JANUARY_20))
    assert set(built) == {"BP-1"}
    assert built["BP-1"]["DppMetadata.dppStatus"] == "Active"


def test_an_event_that_becomes_known_late_adds_history_and_makes_nothing_older(
    build_window, lake, january, february, march, subject_of, history, base
):
    build_window(january, [], subject_of("BP-1", JANUARY_20))
    build_window(february, [], subject_of("BP-1", FEBRUARY_20, remaining_capacity_ah=4.4))
    for window in (january, february):
        record_versions(lake, window, history, base, window.key)
    build_window(march, [ACCIDENT])  # of January, known in March
    assert record_versions(lake, march, history, base, "march")["new_versions"] == 1
    current = history.current("BP-1")
    assert (current.version, current.as_of, current.known_until) == (3, FEBRUARY_20, march.end)
    build_window(january, [ACCIDENT], subject_of("BP-1", JANUARY_20))
    record_versions(lake, january, history, base, "january again")
    assert (history.count(), history.current("BP-1").version) == (4, 3)
    verify_chain(history.entries("BP-1"), Tier.AUTHORITY)


def test_an_event_that_is_corrected_to_an_earlier_day_counts_at_once(
    build_window, lake, january, february, march, subject_of, history, base
):
    corrected = REPURPOSED.model_copy(update={"occurred_on": "2026-02-03"})
    build_window(january, [], subject_of("BP-1", JANUARY_20))
    record_versions(lake, january, history, base, "january")
    build_window(february, [REPURPOSED])
    record_versions(lake, february, history, base, "february")
    built = build_window(march, [corrected])
    assert set(built) == {"BP-1", "BP-1-R"}
    assert built["BP-1"]["BatteryPilotLifeCycle.ClosedOn"] == "2026-02-03"
    record_versions(lake, march, history, base, "march")
    for name in built:
        current = history.current(name)
        assert (current.known_until, current.as_of.day) == (march.end, 10), "what was said of the 10th is corrected"
    again = Window(march.end, datetime(2026, 5, 1, tzinfo=UTC))
    assert build_window(again, [corrected]) == {}, "the correction is no news a second time"


def test_a_window_that_is_built_again_with_a_corrected_event_counts_at_once(
    build_window, lake, january, february, subject_of, history, base
):
    corrected = REPURPOSED.model_copy(update={"occurred_on": "2026-02-03"})
    build_window(january, [], subject_of("BP-1", JANUARY_20))
    for events in ([REPURPOSED], [corrected], [corrected]):
        built = build_window(february, events)
        record_versions(lake, february, history, base, "february")
    assert built["BP-1"]["BatteryPilotLifeCycle.ClosedOn"] == "2026-02-03"
    assert history.current("BP-1").version == 2


def test_late_measurements_do_not_hide_the_correction_of_an_event(build_window, january, february, march, subject_of):
    build_window(january, [], subject_of("BP-1", JANUARY_20))
    build_window(february, [REPURPOSED])
    corrected = REPURPOSED.model_copy(update={"occurred_on": "2026-02-03"})
    built = build_window(march, [corrected], subject_of("BP-1", datetime(2026, 2, 2, tzinfo=UTC)))
    assert built["BP-1"]["DppMetadata.lastUpdate"] == "2026-02-10T00:00:00Z"


def test_a_closed_passport_is_pushed_recorded_and_no_longer_offered(
    build_window, lake, january, february, subject_of, history, party, connector, base
):
    server = MemoryAas().client()
    build_window(january, [], subject_of("BP-1", JANUARY_20))
    record_versions(lake, january, history, base, "january")
    assert publish(lake, january, history, party, base, [LEGITIMATE])["offers"] == 1
    build_window(february, [REPURPOSED])
    assert push(lake, february, server, history, base) == {"pushed": 2, "unchanged": 0, "kept_newer": 0}
    record_versions(lake, february, history, base, "february")
    counts = publish(lake, february, history, party, base, [LEGITIMATE])
    assert {name: count for name, count in counts.items() if count} == {"offers": 1, "closed": 1, "withdrawn": 1}
    assert set(connector.offers) == {"passport:legitimate_interest:BP-1-R"}
    assert [path.stem for path in outbox(lake).rglob("*.json")] == ["BP-1-R"]
    assert history.current("BP-1").changes["DppMetadata.dppStatus"] == ("Active", "Inactive")
    # The months before are run again: the closed passport stays closed.
    counts = publish(lake, january, history, party, base, [LEGITIMATE])
    assert counts["kept_newer"] == 1
    assert set(connector.offers) == {"passport:legitimate_interest:BP-1-R"}


LOG = "test_time_second,voltage_volt,current_ampere\n" + "".join(f"{second},4.0,-1.0\n" for second in range(3))


@pytest.mark.parametrize(
    ("events", "day", "owner", "words"),
    [
        ([REPURPOSED], 10, "BP-1", ""),
        ([REPURPOSED], 11, "BP-1-R", "battery BP-1 had become BP-1-R before this was measured"),
        ([], 11, "BP-1", ""),
        ([LifeEvent(battery_id="BP-1", event="waste", occurred_on="2026-02-10")], 11, None, "was closed before"),
    ],
)
def test_measurements_of_a_closed_battery_go_to_its_successor_or_are_refused(
    tmp_path, march, events, day, owner, words
):
    path = tmp_path / "BP-1.csv"
    path.write_text(LOG)
    known = Known(frozenset({"BP-1", "BP-1-R"}), closed=closures(events))
    records = [
        row
        for batch in parse(path, datetime(2026, 2, day, tzinfo=UTC), known, latest_time(march))
        for row in batch.to_pylist()
    ]
    assert {record["battery_id"] for record in records} == {owner}
    assert words in (records[0]["reason"] or " ".join(records[0]["warnings"] or ()))
    assert bool(records[0]["reason"]) == (owner is None)


def test_a_window_has_the_events_of_its_days(tmp_path, january, february, model, item_of):
    assert not has_events(tmp_path, february)
    write_master(tmp_path, MasterData({model.model_id: model}, {"BP-1": item_of("BP-1")}))
    (tmp_path / "events.csv").write_text("battery_id,event,occurred_on\nBP-1,accident,2026-02-01\n")
    assert (has_events(tmp_path, january), has_events(tmp_path, february)) == (False, True)
