from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from battery_pilot.errors import InputError
from battery_pilot.passport.aas import flat_values
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.life import NO_LIFE, LifeEvent, closures, lives, owner_at
from battery_pilot.passport.life_table import with_successors
from battery_pilot.passport.model import Tier

BASE = "https://example.com/dbp"
MAY = datetime(2026, 5, 1, tzinfo=UTC)
NEW_YEAR = datetime(2027, 1, 1, tzinfo=UTC)


def event(kind, day, battery_id="Cell_7", **facts):
    return LifeEvent(battery_id=battery_id, event=kind, occurred_on=day, **facts)


REPURPOSED = event(
    "repurposed", "2026-05-04", successor_battery_id="Home_1", successor_serial_number="2L-1", operator_id="DE-2L"
)


@pytest.fixture
def lives_of(battery_model, battery_item):
    def build(*events, before=NEW_YEAR):
        models = {battery_model.model_id: battery_model}
        rows = [(f"events.csv, line {number}", one) for number, one in enumerate(events, 2)]
        batteries, problems = with_successors(models, {"Cell_7": battery_item}, rows)
        assert problems == []
        return batteries, lives(models, batteries, events, before, BASE)

    return build


@pytest.fixture
def passport_with(battery_model, condition, lives_of):
    def build(*events, battery_id="Cell_7", before=NEW_YEAR):
        batteries, found = lives_of(*events, before=before)
        own = condition.model_copy(update={"battery_id": battery_id})
        return build_passport(
            battery_model, batteries[battery_id], own, base=BASE, life=found.get(battery_id, NO_LIFE)
        )

    return build


def test_without_events_a_passport_stays_as_it_was(battery_model, battery_item, condition, passport_with):
    assert passport_with() == build_passport(battery_model, battery_item, condition, base=BASE)
    assert flat_values(passport_with())["DppMetadata.dppStatus"] == "Active"
    assert not [path for path in flat_values(passport_with()) if path.startswith("BatteryPilotLifeCycle")]


def test_a_repurposed_battery_has_a_closed_passport_and_a_new_one_linked_in_both_directions(passport_with):
    old, new = passport_with(REPURPOSED), passport_with(REPURPOSED, battery_id="Home_1")
    before, after = flat_values(old), flat_values(new)
    assert before["DppMetadata.dppStatus"] == "Inactive"
    assert before["BatteryPilotLifeCycle.ClosedOn"] == "2026-05-04"
    assert before["BatteryPilotLifeCycle.Successors[0]"] == after["DppMetadata.digitalProductPassportId"]
    assert after["BatteryPilotLifeCycle.Predecessors[0]"] == before["DppMetadata.digitalProductPassportId"]
    assert after["DppMetadata.dppStatus"] == "Active"
    assert after["BatteryNameplate.SerialNumber"] == "2L-1"
    assert after["BatteryNameplate.LifeCycleStage"] == before["BatteryNameplate.LifeCycleStage"] == "Repurposed"
    assert after["DppMetadata.economicOperatorId"] == "DE-2L"
    assert old.identifiers.shell != new.identifiers.shell
    assert not {path for path in after if "ResultsOfTestReports" in path}, (
        "the old reports say nothing of the new battery"
    )


def test_the_links_are_public_and_what_happened_is_not(passport_with):
    public = flat_values(
        passport_with(REPURPOSED, event("accident", "2026-04-01", remark="rear collision")).view(Tier.PUBLIC)
    )
    assert {path for path in public if path.startswith("BatteryPilotLifeCycle")} == {
        "BatteryPilotLifeCycle.ClosedOn",
        "BatteryPilotLifeCycle.Successors[0]",
    }
    interest = flat_values(passport_with(REPURPOSED).view(Tier.LEGITIMATE_INTEREST))
    assert interest["BatteryPilotLifeCycle.LifeEvents[0].Event"] == "repurposed"


def test_the_state_is_of_the_later_of_measurement_and_event(passport_with, condition):
    later = passport_with(event("reused", "2026-07-01"))
    assert later.as_of == datetime(2026, 7, 1, tzinfo=UTC) > condition.as_of
    assert flat_values(later)["DppMetadata.lastUpdate"] == "2026-07-01T00:00:00Z"
    assert flat_values(later)["BatteryNameplate.LifeCycleStage"] == "Reused"
    assert passport_with(event("accident", "2025-07-01")).as_of == condition.as_of


def test_what_happens_after_a_window_is_not_in_its_passports(passport_with):
    passport = passport_with(REPURPOSED, event("accident", "2026-04-01"), before=MAY)
    values = flat_values(passport)
    assert values["DppMetadata.dppStatus"] == "Active"
    assert values["BatteryNameplate.LifeCycleStage"] == "Original"
    assert values["BatteryPilotLifeCycle.LifeEvents[0].Event"] == "accident"
    assert "BatteryPilotLifeCycle.LifeEvents[1].Event" not in values


def test_day_of_service_comes_from_the_event_where_the_table_has_none(battery_item, lives_of):
    _, found = lives_of(event("put_into_service", "2026-02-03"))
    without = battery_item.model_copy(update={"put_into_service_on": None})
    assert found["Cell_7"].applied_to(without).put_into_service_on == "2026-02-03"
    assert found["Cell_7"].applied_to(battery_item).put_into_service_on == "2024-05-01"


@given(
    st.permutations([REPURPOSED, *(event(*one) for one in (("accident", "2026-04-01"), ("reused", "2026-04-01")))])
)
def test_the_order_of_the_rows_does_not_matter(rows):
    assert [one.event for one in sorted_life(rows)] == ["accident", "reused", "repurposed"]


def sorted_life(rows):
    from battery_pilot.passport.life import _order

    return sorted(rows, key=_order)


def test_measurements_after_the_closing_day_go_to_the_successor():
    closed = closures([REPURPOSED])
    assert owner_at("Cell_7", datetime(2026, 5, 4, 23, 59, tzinfo=UTC), closed) == "Cell_7"
    assert owner_at("Cell_7", datetime(2026, 5, 5, tzinfo=UTC), closed) == "Home_1"
    assert owner_at("Home_1", datetime(2026, 5, 1, tzinfo=UTC), closed) == "Home_1"


def test_a_measurement_follows_all_successors():
    second = event(
        "remanufactured", "2028-01-01", "Home_1", successor_battery_id="Home_2", successor_serial_number="x"
    )
    assert owner_at("Cell_7", datetime(2029, 1, 1, tzinfo=UTC), closures([second, REPURPOSED])) == "Home_2"


@pytest.mark.parametrize(
    "rows",
    [
        [event("waste", "2026-05-04")],
        [REPURPOSED, REPURPOSED.model_copy(update={"successor_battery_id": "Home_2"})],
    ],
)
def test_measurements_of_a_closed_battery_without_one_successor_are_refused(rows):
    with pytest.raises(InputError, match="passport of battery Cell_7 was closed before this was measured"):
        owner_at("Cell_7", datetime(2026, 6, 1, tzinfo=UTC), closures(rows))


def test_a_day_that_is_none_is_refused():
    with pytest.raises(ValidationError, match="occurred_on"):
        event("waste", "2026-02-30")


def test_a_successor_with_a_row_of_its_own_keeps_it(battery_model, battery_item):
    row = battery_item.model_copy(update={"battery_id": "Home_1", "serial_number": "2L-1", "city": "Leipzig"})
    table = {"Cell_7": battery_item, "Home_1": row}
    models = {battery_model.model_id: battery_model}
    batteries, problems = with_successors(models, table, [("events.csv, line 2", REPURPOSED)])
    assert (batteries, problems) == (table, [])


def test_several_batteries_can_become_one_and_one_several(lives_of):
    other = REPURPOSED.model_copy(update={"successor_battery_id": "Home_2", "successor_serial_number": "2L-2"})
    joined = [one.model_copy(update={"occurred_on": "2027-01-01", "battery_id": name, "successor_battery_id": "Big",
                                     "successor_serial_number": "B"})
              for name, one in (("Home_1", REPURPOSED), ("Home_2", REPURPOSED))]  # fmt: skip
    _, found = lives_of(REPURPOSED, other, *joined, before=datetime(2028, 1, 1, tzinfo=UTC))
    assert [one.battery_id for one in found["Cell_7"].successors] == ["Home_1", "Home_2"]
    assert [one.battery_id for one in found["Big"].predecessors] == ["Home_1", "Home_2"]
    assert found["Home_1"].predecessors == found["Home_2"].predecessors


WRONG = [
    (event("waste", "2026-05-04", "Cell_8"), "no battery Cell_8 in the table batteries; did you mean Cell_7"),
    (event("accident", "2024-02-28"), "column occurred_on: 2024-02-28, but Cell_7 exists since 2024-02-29"),
    (event("repurposed", "2026-05-04"), "column successor_battery_id: empty"),
    (
        event("waste", "2026-05-04", successor_battery_id="B"),
        "only a remanufactured or repurposed battery has a successor",
    ),
    (event("repurposed", "2026-05-04", successor_battery_id="Cell_7"), "cannot become itself"),
    (event("repurposed", "2026-05-04", successor_battery_id="B"), "column successor_serial_number: empty"),
    (REPURPOSED.model_copy(update={"successor_model_id": "HOME"}), "no model HOME in the table models"),
    (REPURPOSED.model_copy(update={"successor_model_id": "INR-21/5O"}), "did you mean INR-21/50"),
    (REPURPOSED.model_copy(update={"successor_serial_number": "SN 0007/ä"}), "SN 0007/ä is that of battery Cell_7"),
    (REPURPOSED.model_copy(update={"successor_battery_id": "CELL_7"}), "in nothing but case"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
def test_wrong_rows_are_named_with_place_and_column(battery_model, battery_item, wrong, words):
    models = {battery_model.model_id: battery_model}
    _, problems = with_successors(models, {"Cell_7": battery_item}, [("events.csv, line 2", wrong)])
    assert len(problems) == 1
    assert problems[0].startswith("events.csv, line 2, column ")
    assert words in problems[0]


def test_the_same_event_twice_is_refused(battery_model, battery_item):
    rows = [(f"line {number}", event("accident", "2026-05-05", remark="fell")) for number in (2, 3)]
    _, problems = with_successors({battery_model.model_id: battery_model}, {"Cell_7": battery_item}, rows)
    assert problems == ["line 3: the same event of Cell_7 stands already in line 2"]


def test_nothing_happens_to_a_battery_before_it_became_what_it_is(battery_model, battery_item):
    rows = [("line 2", event("accident", "2026-05-03", "Home_1")), ("line 3", REPURPOSED)]
    _, problems = with_successors({battery_model.model_id: battery_model}, {"Cell_7": battery_item}, rows)
    assert problems == ["line 2, column occurred_on: 2026-05-03, but Home_1 exists since 2026-05-04"]


def test_a_battery_can_become_another_twice_on_one_day_in_any_order_of_rows(lives_of):
    again = event("remanufactured", "2026-05-04", "Home_1", successor_battery_id="Big", successor_serial_number="B")
    _, found = lives_of(again, REPURPOSED, before=datetime(2028, 1, 1, tzinfo=UTC))
    assert [one.battery_id for one in found["Big"].predecessors] == ["Home_1"]


def test_nothing_happens_to_a_battery_that_has_become_another(battery_model, battery_item):
    rows = [("line 2", REPURPOSED), ("line 3", event("waste", "2026-05-05"))]
    _, problems = with_successors({battery_model.model_id: battery_model}, {"Cell_7": battery_item}, rows)
    assert problems == [
        "line 3, column occurred_on: the passport of Cell_7 was closed before; what happens later happens to its successor"
    ]


def test_waste_can_be_given_a_second_life(lives_of):
    _, found = lives_of(event("waste", "2026-04-04"), REPURPOSED)
    assert (found["Cell_7"].closed_on, found["Cell_7"].successors[0].battery_id) == ("2026-04-04", "Home_1")


def test_batteries_that_become_each_other_are_refused(battery_model, battery_item):
    names = ("Cell_7", "B", "C")
    batteries = {name: battery_item.model_copy(update={"battery_id": name, "serial_number": name}) for name in names}
    rows = [
        (f"line {number}", event("repurposed", "2026-05-04", one, successor_battery_id=other))
        for number, (one, other) in enumerate(itertools.pairwise((*names, "Cell_7")))
    ]
    _, problems = with_successors({battery_model.model_id: battery_model}, batteries, rows)
    assert len(problems) == 3
    assert "B leads back to Cell_7" in problems[0]
    with pytest.raises(InputError, match="lead back"):
        owner_at("Cell_7", NEW_YEAR, closures(row for _, row in rows))
