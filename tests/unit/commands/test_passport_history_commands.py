from __future__ import annotations

import hashlib
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from unittest.mock import create_autospec

import pytest

from battery_pilot.electrochemistry.condition import Condition, MeasuredValue
from battery_pilot.lake import Lake, write_bytes
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.history import SqliteHistory, record
from battery_pilot.passport.model import BatteryItem, BatteryModel, Tier
from battery_pilot.passport.signature import read_signer
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.bundle import make_bundle
from battery_pilot.pipeline.contracts import Contract, Receipt
from battery_pilot.pipeline.expiry import remove_expired
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.pipeline.twins import verify
from battery_pilot.services.orion import Orion
from tests.servers.memory_aas import MemoryAas

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
CAPACITY = "ProductCondition.RemainingCapacity.RemainingCapacityValue"
KEY = b"""-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
"""


def passport_of(battery_id, day, capacity):
    model = BatteryModel(
        model_id="M", manufacturer_name="Beispiel GmbH", manufacturer_id="EX", category="stationary",
        mass_kilogram=1, nominal_voltage_volt=3.6, minimum_voltage_volt=2.5, maximum_voltage_volt=4.2,
        rated_capacity_ah=5,
    )  # fmt: skip
    item = BatteryItem(
        battery_id=battery_id, model_id="M", serial_number=f"SN {battery_id}/ä", manufactured_on="2024-02-29",
        facility_id="p", street="s", zip_code="1", city="c", country_code="DE",
    )  # fmt: skip
    as_of = START + day * DAY
    value = MeasuredValue(value=capacity, as_of=as_of, method="m", source_sha256=("a" * 64,))
    condition = Condition(battery_id=battery_id, as_of=as_of, values={"remaining_capacity_ah": value})
    return build_passport(model, item, condition, base="https://example.com")


@pytest.fixture
def store(tmp_path):
    """BP-1 of January and March, and then better known of January; BP-2 of January."""
    history = SqliteHistory(tmp_path / "history.sqlite")
    steps = (("BP-1", 20, 31, 4.8), ("BP-2", 20, 31, 4.9), ("BP-1", 80, 90, 4.6), ("BP-1", 20, 90, 4.7))
    for number, (name, day, known, capacity) in enumerate(steps):
        record(
            history,
            passport_of(name, day, capacity),
            run="dag/w",
            recorded_at=START + (100 + number) * DAY,
            known_until=START + known * DAY,
        )
    return history


def test_history_shows_health_over_time_and_what_each_version_changed(run, store):
    answer = run("passport", "history", "BP-1", "--store", store.path, "--json")
    assert (answer.code, answer.err) == (0, "")
    health = [(one["as_of"][:10], one["version"], one["state_of_health_percent"]) for one in answer.json["health"]]
    assert health == [("2026-01-21", 3, pytest.approx(94)), ("2026-03-22", 2, pytest.approx(92))]
    assert [one["is_current"] for one in answer.json["versions"]] == [False, True, False]
    assert answer.json["versions"][1]["changes"][CAPACITY] == [4.8, 4.6]


def test_history_is_told_to_people_too(run, store):
    lines = run("passport", "history", "SN BP-1/ä", "--store", store.path).out.splitlines()
    assert lines[0] == "battery BP-1"
    assert lines[2].split() == ["2026-01-21T00:00:00+00:00", "94", "4.7", "-", "3"]
    assert any(line.startswith("version 2, current: as of 2026-03-22") for line in lines)
    assert f"  {CAPACITY}: 4.8 -> 4.6" in lines


@pytest.mark.parametrize(
    ("words", "version", "capacity"),
    [
        (["--as-of", "2026-01-31"], 3, 4.7),
        (["--as-of", "2026-01-31", "--recorded-at", "2026-04-13"], 1, 4.8),
        (["--recorded-at", "2026-04-13"], 2, 4.6),
        (["--as-of", "2026-03-22T00:00:00+01:00"], 3, 4.7),
        (["--as-of", "2026-03-22T00:00:00Z"], 2, 4.6),
    ],
)
def test_what_was_said_on_one_day_about_another_is_answered(run, store, words, version, capacity):
    answer = run("passport", "history", "BP-1", "--store", store.path, "--json", *words)
    assert (answer.json["version"], answer.json["values"][CAPACITY]) == (version, capacity)


def test_a_time_before_everything_is_one_sentence(run, store):
    answer = run("passport", "history", "BP-1", "--store", store.path, "--recorded-at", "2025-01-01")
    assert answer.code == 1
    assert "nothing was said of battery BP-1 then: the first version was recorded at 2026-04-11" in answer.err


@pytest.mark.parametrize("text", ["2026-01-31T10:00:00", "yesterday", "2026-02-30"])
def test_times_without_zone_and_days_that_are_none_are_refused(run, store, text):
    answer = run("passport", "history", "BP-1", "--store", store.path, "--as-of", text)
    assert (answer.code, answer.out) == (2, "")
    assert text in answer.err


def test_a_battery_that_is_not_there_is_named_with_the_nearest(run, store):
    answer = run("passport", "history", "BP-3", "--store", store.path)
    assert (answer.code, answer.out) == (1, "")
    assert "the history has no battery BP-3; did you mean BP-" in answer.err


def test_a_store_that_is_not_there_is_not_made(run, tmp_path):
    answer = run("passport", "history", "BP-1", "--store", tmp_path / "history.sqlite")
    assert "no history there" in answer.err
    assert not (tmp_path / "history.sqlite").exists()


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_health_is_drawn(run, store, tmp_path, ending):
    for name in ("one", "two"):
        assert (
            run("passport", "history", "BP-1", "--store", store.path, "--plot", tmp_path / f"{name}{ending}").code
            == 0
        )
    one, two = ((tmp_path / f"{name}{ending}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one.startswith(b"\x89PNG" if ending == ".png" else b"<?xml")


def test_a_whole_history_is_said_to_be_whole(run, store):
    answer = run("passport", "history", "verify", "BP-1", "--store", store.path, "--json")
    assert answer.code == 0
    assert {name: answer.json[name] for name in ("whole", "versions", "last_hash")} == {
        "whole": True,
        "versions": 3,
        "last_hash": store.entries("BP-1")[-1].entry_hash,
    }


def change_a_value(connection):
    connection.execute("UPDATE entries SET entry = replace(entry, '4.6', '4.9') WHERE version = 2")


def remove_a_version(connection):
    connection.execute("DELETE FROM entries WHERE battery_id = 'BP-1' AND version = 2")


def swap_versions(connection):
    for old, new in ((2, 99), (3, 2), (99, 3)):
        connection.execute("UPDATE entries SET version = ? WHERE battery_id = 'BP-1' AND version = ?", (new, old))


def change_the_head(connection):
    connection.execute("UPDATE heads SET value_by_tier = replace(value_by_tier, '4.7', '5.0')")


def remove_the_last_version(connection):
    connection.execute("DELETE FROM entries WHERE battery_id = 'BP-1' AND version = 3")


def make_an_old_version_current(connection):
    connection.execute("UPDATE entries SET as_of = '2099-01-01' WHERE battery_id = 'BP-1' AND version = 1")


@pytest.mark.parametrize(
    "damage",
    [
        change_a_value,
        remove_a_version,
        swap_versions,
        change_the_head,
        remove_the_last_version,
        make_an_old_version_current,
    ],
)
def test_a_changed_removed_or_reordered_version_is_detected(run, store, damage):
    with sqlite3.connect(store.path) as connection:
        damage(connection)
    answer = run("passport", "history", "verify", "BP-1", "--store", store.path, "--json")
    assert answer.code == 1
    assert answer.json["whole"] is False
    assert "history of battery BP-1" in answer.json["problem"]
    told = run("passport", "history", "verify", "BP-1", "--store", store.path)
    assert (told.code, told.out) == (1, "")
    assert answer.json["problem"] in told.err


def test_an_entry_that_cannot_be_read_is_one_sentence_that_quotes_nothing(run, store):
    with sqlite3.connect(store.path) as connection:
        connection.execute('UPDATE entries SET entry = \'{"run": "SECRET"}\' WHERE version = 2')
    told = run("passport", "history", "verify", "BP-1", "--store", store.path)
    assert (told.code, "restore the store" in told.err, "SECRET" in told.err) == (1, True, False)


@pytest.fixture
def bundle(store, tmp_path):
    view = passport_of("BP-1", 80, 4.6).view(Tier.LEGITIMATE_INTEREST)
    entries, signer = store.entries("BP-1"), read_signer(KEY)
    token = signer.sign(entries[-1], START + 110 * DAY)
    path = tmp_path / "bundle.json"
    path.write_bytes(make_bundle(canonical_json(view), entries, Tier.LEGITIMATE_INTEREST, token))
    (tmp_path / "jwks.json").write_text(json.dumps(signer.key_set()))
    return path


def test_a_bundle_that_was_received_is_verified_with_the_key_of_its_provider(run, bundle, tmp_path):
    answer = run("passport", "history", "verify", bundle, "--keys", tmp_path / "jwks.json", "--json")
    assert (answer.code, answer.json["signed_at"], answer.json["tier"]) == (
        0,
        "2026-04-21T00:00:00+00:00",
        "legitimate_interest",
    )
    assert run("passport", "history", "verify", bundle, "--json").json["signed_at"] is None


def test_a_forged_bundle_is_detected(run, bundle):
    bundle.write_text(bundle.read_text().replace("4.8", "4.9"))
    answer = run("passport", "history", "verify", bundle)
    assert answer.code == 1
    assert "are not those that it commits to" in answer.err


@pytest.fixture
def consumer(tmp_path, store, monkeypatch):
    """A consumer's lake that holds BP-1 under an agreement."""
    monkeypatch.setenv("BATTERY_PILOT_LAKE", str(tmp_path / "other"))
    lake = Lake(tmp_path / "consumer")
    journal = journal_of(lake)
    tier = Tier.LEGITIMATE_INTEREST
    view = canonical_json(passport_of("BP-1", 80, 4.6).view(tier))
    data = make_bundle(view, store.entries("BP-1"), tier)
    contract = Contract("asset", "BP-1", "provider", agreement_id="agreement-1", transfer_id="t")
    journal.put(contract)
    journal.want("run", contract)
    write_bytes(pulled_file(lake, contract), data)
    digest, end = hashlib.sha256(data).hexdigest(), (START + 300 * DAY).isoformat()
    journal.put_receipts(
        [Receipt("provider", "asset", "BP-1", "agreement-1", digest, digest, "{}", START.isoformat(), end)]
    )
    assert verify(lake, journal, "run", tier)["verified"] == 1
    return lake


@pytest.mark.parametrize("name", ["BP-1", "SN BP-1/ä"])
def test_a_consumer_sees_under_which_contract_it_holds_what(run, consumer, name):
    answer = run("passport", "history", name, "--lake", consumer.root, "--json")
    assert (answer.code, answer.err) == (0, "")
    (receipt,) = answer.json["receipts"]
    assert (receipt["agreement_id"], receipt["tier"], receipt["version"]) == ("agreement-1", "legitimate_interest", 2)
    assert [one["version"] for one in answer.json["versions"]] == [1, 2, 3]
    text = run("passport", "history", name, "--lake", consumer.root).out
    assert "agreement agreement-1 with provider on asset, to be held until 2026-10-28" in text
    whole = run("passport", "history", "verify", name, "--lake", consumer.root, "--json").json
    assert (whole["whole"], whole["receipts"], whole["tier"]) == (True, 1, "legitimate_interest")


def test_a_consumer_can_show_what_it_has_removed(run, consumer):
    server, broker = MemoryAas().client(), create_autospec(Orion, instance=True, place="http://orion")
    remove_expired(consumer, journal_of(consumer), START + 300 * DAY, server, broker)
    text = run("passport", "history", "BP-1", "--lake", consumer.root).out
    assert text.startswith("battery BP-1: what was received of it has been removed")
    assert "removed 2026-10-28T00:00:00+00:00" in text


def test_a_receipt_that_was_altered_is_found(run, consumer):
    with sqlite3.connect(consumer.root / "history.sqlite") as connection:
        connection.execute("UPDATE custody SET entry = replace(entry, 'agreement-1', 'agreement-2')")
    answer = run("passport", "history", "verify", "BP-1", "--lake", consumer.root)
    assert answer.code == 1
    assert "receipts of battery BP-1, entry 1: it was altered" in answer.err
