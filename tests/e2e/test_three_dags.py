"""The three DAGs in real Airflow on a simulated fleet with damaged files: one story, many things that must hold."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from battery_pilot.lake import read_lines
from battery_pilot.passport.history import SqliteHistory
from battery_pilot.passport.validation import validate_file
from battery_pilot.simulate import simulate_fleet

pytestmark = pytest.mark.stack

BATTERIES = 12
LONGEST_XCOM_BYTES = 10_000
NOVEMBER, DECEMBER = (2025, 11), (2025, 12)
DAMAGED = {
    "BP-0001_truncated.DTA": "truncated",
    "BP-0002_empty.csv": "empty",
    "BP-0003_binary.DTA": "binary",
    "XX-9999_impedance.csv": "unknown battery",
}


def prepare(folders):
    """A fleet over two months, and four files that are damaged in four ways."""
    simulate_fleet(
        folders.root, batteries=BATTERIES, months=2, seed=3, start=date(2025, 11, 1), cycles_per_month=4
    )  # fmt: skip
    landing = folders.landing / "2025-12-31"
    gamry = next(landing.glob("*.DTA")).read_bytes()
    (landing / "BP-0001_truncated.DTA").write_bytes(gamry[: len(gamry) - 137])
    (landing / "BP-0002_empty.csv").write_bytes(b"")
    (landing / "BP-0003_binary.DTA").write_bytes(bytes(range(256)) * 40)
    (landing / "XX-9999_impedance.csv").write_text("frequency_hertz,real_impedance_ohm,imaginary_impedance_ohm\n" + "".join(
        f"{10**exponent},{0.01 + 0.001 * exponent},{-0.001}\n" for exponent in range(-1, 4)
    ))  # fmt: skip


@pytest.fixture(scope="module")
def story(installation):
    """December, then November (older), then December again; training and the consumer; all of it once more.

    The consumer's second run is started by the offers that the provider announces.
    """
    told = {}
    with installation("three-dags", prepare) as place:
        told["december"] = place.provide(*DECEMBER)
        told["after december"] = place.state()
        told["november"] = place.provide(*NOVEMBER)
        told["after november"] = place.state()
        told["december corrected"] = place.provide_again(told["december"])
        told["train"] = place.run("train_health_model")
        told["consume"] = place.run("consume_passports")
        told["page"] = place.linked_page("consume_passports", told["consume"]["run_id"], "negotiate", "Negotiations")
        told["before repetition"] = place.state()
        told["december repeated"] = place.provide_again(told["december"])
        told["consume repeated"] = place.await_announced("consume_passports", told["consume"])
        told["after repetition"] = place.state()
        told["xcom"] = {
            name: place.largest_xcom_bytes(dag, told[name]["run_id"])
            for name, dag in (("december", "provide_passports"), ("consume", "consume_passports"))
        }
        told["folders"] = place.folders
        yield told


def test_damaged_files_are_quarantined_with_a_reason_and_the_run_ends_green(story):
    lake = story["folders"].lake / "provider"
    rejects = {}
    for path in (lake / "quarantine").glob("*.jsonl"):
        rejects |= {Path(line["file"]).name: line["reason"] for line in read_lines(path)}
    assert {name for name in rejects if "_copy" not in name and not name.startswith("XX-0001")} == set(DAMAGED)
    assert "truncated" in rejects["BP-0001_truncated.DTA"] or "line" in rejects["BP-0001_truncated.DTA"]
    assert "empty" in rejects["BP-0002_empty.csv"]
    assert "binary" in rejects["BP-0003_binary.DTA"]
    assert "unknown battery" in rejects["XX-9999_impedance.csv"]
    assert story["december"]["build"]["files_rejected"] >= len(DAMAGED)
    assert set(story["december"]["states"].values()) == {"success"}


def test_every_battery_has_a_passport_an_offer_a_contract_a_twin_and_an_entity(story):
    state = story["after repetition"]
    shells = [one for one in state["provider_aas"].values() if one["modelType"] == "AssetAdministrationShell"]
    twins = [one for one in state["consumer_aas"].values() if one["modelType"] == "AssetAdministrationShell"]
    assert len(shells) == len(twins) == len(state["offers"]) == len(state["entities"]) == BATTERIES
    assert story["consume"]["negotiate"] == {"agreements": BATTERIES, "refused": 0}
    assert story["consume"]["update"] == {"updated": BATTERIES, "unchanged": 0, "kept_newer": 0}


def test_a_task_links_to_the_story_of_its_negotiations(story):
    assert f"{BATTERIES} assets wanted, {BATTERIES} with an agreement, 0 without a result" in story["page"]
    assert story["page"].count('href="/battery-pilot/negotiations/') == BATTERIES


def test_an_older_month_adds_history_and_leaves_the_current_passports_as_they_were(story):
    before, after = story["after december"], story["after november"]
    assert after["history_versions"] == before["history_versions"] + BATTERIES
    assert after["provider_aas"] == before["provider_aas"]
    assert after["offers"] == before["offers"]
    assert story["november"]["push"] == {"pushed": 0, "unchanged": 0, "kept_newer": BATTERIES}
    assert story["november"]["publish"] == {
        "offers": 0, "kept_newer": BATTERIES, "not_current": 0, "closed": 0, "withdrawn": 0,
    }  # fmt: skip


def test_a_corrected_month_becomes_a_new_version_of_the_same_point_in_time(story):
    assert story["december corrected"]["record"]["new_versions"] == BATTERIES
    history = SqliteHistory(story["folders"].lake / "provider" / "history.sqlite")
    entries = history.entries("BP-0001")
    assert [entry.version for entry in entries] == [1, 2, 3]
    assert entries[0].as_of == entries[2].as_of > entries[1].as_of
    assert history.current("BP-0001") == entries[2]


def test_a_second_run_of_the_same_interval_changes_nothing(story):
    assert story["december repeated"]["record"]["new_versions"] == 0
    assert story["consume repeated"]["update"] == {"updated": 0, "unchanged": BATTERIES, "kept_newer": 0}
    before, after = story["before repetition"], story["after repetition"]
    for part in before:
        assert after[part] == before[part], part


def test_the_model_beats_the_last_known_value_and_predictions_carry_version_and_interval(story):
    score = story["consume"]["score"]
    assert score["predictions"] == BATTERIES
    assert score["mae"] < score["baseline_mae"]
    assert story["train"]["train"]["version"] == score["model_version"]
    for entity in story["after repetition"]["entities"]:
        predicted = {key.removeprefix("predicted__state_of_health_percent"): one["value"] for key, one in entity.items() if key.startswith("predicted__")}  # fmt: skip
        assert predicted["__lower"] <= predicted[""] <= predicted["__upper"]
        assert predicted["__modelVersion"] == score["model_version"]


def test_what_tasks_hand_on_stays_small(story):
    assert max(story["xcom"].values()) < LONGEST_XCOM_BYTES


def test_every_written_passport_has_no_errors(story):
    lake = story["folders"].lake / "provider" / "passports"
    files = list(lake.rglob("*.aasx"))
    assert len(files) >= 2 * BATTERIES
    for path in files[:: len(files) // 16]:
        assert [one for one in validate_file(path) if one.severity == "error"] == [], path


def test_no_secret_is_written_anywhere_but_to_the_files_that_keep_secrets(story):
    import json

    folders = story["folders"]
    kept = {"secrets.json", "passwords.json", "sandbox.json"}
    hidden = json.loads((folders.airflow / "secrets.json").read_text())
    state = (
        json.loads((folders.sandbox / "sandbox.json").read_text())
        if (folders.sandbox / "sandbox.json").exists()
        else {}
    )
    needles = [value.encode() for value in (*hidden.values(), state.get("api_key")) if value]
    found = [
        str(path)
        for folder in (folders.lake, folders.airflow)
        for path in folder.rglob("*")
        if path.is_file() and path.name not in kept
        for needle in needles
        if needle in path.read_bytes()
    ]
    assert found == []
