"""A fleet of more than a thousand batteries: the same tasks, and the same few bytes between them, as for a dozen."""

from __future__ import annotations

from datetime import date

import pytest

from battery_pilot.simulate import simulate_fleet

pytestmark = pytest.mark.stack

BATTERIES = 1_020  # more than one page of Orion, which ends at 1,000
LONGEST_XCOM_BYTES = 10_000
TASKS = {
    "provide_passports": {"discover", "process", "build", "push", "record", "publish"},
    "consume_passports": {
        "expire",
        "negotiate",
        "pull",
        "verify",
        "update",
        "field_values",
        "sync",
        "score",
        "write_back",
    },
}


@pytest.fixture(scope="module")
def fleet(installation):
    def prepare(folders):
        simulate_fleet(
            folders.root, batteries=BATTERIES, months=1, seed=5, start=date(2025, 12, 1), cycles_per_month=1
        )  # fmt: skip

    with installation("large-fleet", prepare) as place:
        provided = place.provide(2025, 12)
        consumed = place.run("consume_passports")
        yield {
            "provide_passports": provided,
            "consume_passports": consumed,
            "xcom": {
                dag: place.largest_xcom_bytes(dag, results["run_id"])
                for dag, results in (("provide_passports", provided), ("consume_passports", consumed))
            },
        }


@pytest.mark.parametrize("dag", sorted(TASKS))
def test_the_tasks_are_those_of_a_small_fleet(fleet, dag):
    assert set(fleet[dag]["states"]) == TASKS[dag]


@pytest.mark.parametrize("dag", sorted(TASKS))
def test_what_tasks_hand_on_stays_below_10_kilobytes(fleet, dag):
    assert fleet["xcom"][dag] < LONGEST_XCOM_BYTES


def test_every_battery_goes_the_whole_way(fleet):
    assert fleet["provide_passports"]["publish"]["offers"] == BATTERIES
    assert fleet["consume_passports"]["negotiate"] == {"agreements": BATTERIES, "refused": 0}
    assert fleet["consume_passports"]["sync"]["entities"] == BATTERIES
