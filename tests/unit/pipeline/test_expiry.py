from __future__ import annotations

import hashlib
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import ServerUnavailable
from battery_pilot.lake import Lake, read_lines, write_bytes, write_lines
from battery_pilot.passport.custody import verify_custody
from battery_pilot.passport.model import Prediction, Tier
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.contracts import Contract, Receipt
from battery_pilot.pipeline.expiry import remove_expired
from battery_pilot.pipeline.health_history import history_folder
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.pipeline.receipts import custody_of
from battery_pilot.pipeline.twins import sync_entities, update_twins, verify, write_back

TIER = Tier.LEGITIMATE_INTEREST
JANUARY_20 = datetime(2026, 1, 20, tzinfo=UTC)
END = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def journal(lake):
    return journal_of(lake)


def receive(lake, journal, battery_id, data, *, agreement="agreement", expires_at=END, run="run", asset_id=None):
    """Leave in the lake what a pull leaves there."""
    contract = Contract(
        asset_id or f"passport:{battery_id}", battery_id, "provider", agreement_id=agreement, transfer_id="t"
    )
    journal.put(contract)
    journal.want(run, contract)
    write_bytes(pulled_file(lake, contract), data)
    digest = hashlib.sha256(data).hexdigest()
    receipt = Receipt(
        "provider",
        contract.asset_id,
        battery_id,
        agreement,
        digest,
        digest,
        '{"permission": []}',
        JANUARY_20.isoformat(),
        expires_at.isoformat() if expires_at else None,
    )
    journal.put_receipts([receipt])
    return receipt


def show(lake, journal, server, broker, run="run"):
    """What a consumer's run does with what it pulled."""
    verify(lake, journal, run, TIER)
    update_twins(lake, journal, run, server)
    sync_entities(lake, journal, run, broker)


def predict(lake, journal, server, broker, *battery_ids):
    value = Prediction(
        metric="state_of_health",
        value=88.0,
        lower=87.0,
        upper=89.0,
        for_time=datetime(2026, 2, 1, tzinfo=UTC),
        model_version="1",
    ).model_dump(mode="json")
    lines = lake.root / "predictions" / "predictions.jsonl"
    write_lines(lines, [{"battery_id": one, **value} for one in battery_ids])
    write_back(lake, journal, "run", lines, server, broker)


def batteries_in(documents):
    return {"BP-1" if "BP-1" in identifier else "BP-2" if "BP-2" in identifier else "" for identifier in documents}


def test_everything_of_an_agreement_that_is_over_is_removed_and_what_another_allows_stays(
    lake, journal, bundle_of, memory, server, broker
):
    receive(lake, journal, "BP-1", bundle_of("BP-1", JANUARY_20))
    receive(lake, journal, "BP-2", bundle_of("BP-2", JANUARY_20), agreement="unlimited", expires_at=None)
    show(lake, journal, server, broker)
    predict(lake, journal, server, broker, "BP-1", "BP-2")
    assert remove_expired(lake, journal, END, server, broker) == {"removed": 1, "twins": 1, "held": 1}
    assert batteries_in(memory.documents["shells"]) == {"BP-2"}
    assert batteries_in(memory.documents["submodels"]) == {"BP-2", ""}  # what the batteries of a model share stays
    assert {one["id"] for one in broker.sent if one["type"] == "Battery"} == {"urn:ngsi-ld:Battery:BP-2"}
    assert any(one["type"] == "BatteryModel" for one in broker.sent)
    assert [row["battery_id"] for row in pq.read_table(history_folder(lake)).to_pylist()] == ["BP-2"]
    assert [row["battery_id"] for row in read_lines(lake.root / "predictions" / "predictions.jsonl")] == ["BP-2"]
    assert {one.battery_id: bool(one.removed_at) for one in journal.receipts()} == {"BP-1": True, "BP-2": False}
    assert journal.refused("provider") == {"agreement"}


def test_with_the_last_battery_goes_what_its_model_shared(lake, journal, bundle_of, memory, server, broker):
    for battery_id in ("BP-1", "BP-2"):
        receive(lake, journal, battery_id, bundle_of(battery_id, JANUARY_20))
    show(lake, journal, server, broker)
    assert remove_expired(lake, journal, END, server, broker)["twins"] == 2
    assert (memory.documents["shells"], memory.documents["submodels"]) == ({}, {})
    assert broker.sent == []


def test_before_the_time_is_over_no_server_is_asked(lake, journal, bundle_of, memory, server, broker):
    receive(lake, journal, "BP-1", bundle_of("BP-1", JANUARY_20))
    show(lake, journal, server, broker)
    memory.asked.clear()
    before = END - timedelta(seconds=1)
    assert remove_expired(lake, journal, before, server, broker) == {"removed": 0, "twins": 0, "held": 1}
    assert memory.asked == []


def test_a_removal_that_breaks_off_is_completed_by_the_next_run(lake, journal, bundle_of, memory, server, broker):
    receive(lake, journal, "BP-1", bundle_of("BP-1", JANUARY_20))
    show(lake, journal, server, broker)
    whole, broker.delete.side_effect = broker.delete.side_effect, ServerUnavailable("POST", "http://o", 503, "later")
    with pytest.raises(ServerUnavailable):
        remove_expired(lake, journal, END, server, broker)
    assert [one.removed_at for one in journal.receipts()] == [None]
    broker.delete.side_effect = whole
    assert remove_expired(lake, journal, END, server, broker) == {"removed": 1, "twins": 1, "held": 0}
    assert broker.sent == []
    assert remove_expired(lake, journal, END, server, broker) == {"removed": 0, "twins": 0, "held": 0}


def test_data_that_come_again_under_a_new_agreement_are_shown_again(lake, journal, bundle_of, memory, server, broker):
    data = bundle_of("BP-1", JANUARY_20)
    receive(lake, journal, "BP-1", data)
    show(lake, journal, server, broker)
    remove_expired(lake, journal, END, server, broker)
    receive(lake, journal, "BP-1", data, agreement="newer", expires_at=None, run="later")
    show(lake, journal, server, broker, "later")
    assert batteries_in(memory.documents["shells"]) == {"BP-1"}
    assert {one["type"] for one in broker.sent} == {"Battery", "BatteryModel"}
    kinds = [(one.kind, one.agreement_id) for one in custody_of(lake).entries("BP-1")]
    assert kinds == [("received", "agreement"), ("removed", "agreement"), ("received", "newer")]


def test_the_history_tells_what_was_received_and_removed_and_holds_no_value(lake, journal, bundle_of, server, broker):
    receipt = receive(lake, journal, "BP-1", bundle_of("BP-1", JANUARY_20))
    show(lake, journal, server, broker)
    show(lake, journal, server, broker)
    remove_expired(lake, journal, END, server, broker)
    received, removed = entries = custody_of(lake).entries("BP-1")
    verify_custody(entries)
    assert (received.kind, received.tier, received.version, received.expires_at) == ("received", TIER, 1, END)
    assert (received.agreement_id, received.sha256) == ("agreement", receipt.sha256)
    assert (removed.kind, removed.at, removed.previous_hash) == ("removed", END, received.entry_hash)
    assert not {"values", "changes"} & set(json.loads(received.model_dump_json()))


def test_data_that_never_stood_the_check_leave_no_entry(lake, journal, server, broker):
    receive(lake, journal, "BP-1", b"garbage")
    show(lake, journal, server, broker)
    assert remove_expired(lake, journal, END, server, broker) == {"removed": 1, "twins": 0, "held": 0}
    assert custody_of(lake).entries("BP-1") == []


HOLDINGS = st.lists(
    st.tuples(st.sampled_from(["BP-1", "BP-2"]), st.sampled_from(["one", "two"]), st.booleans()),
    min_size=1,
    max_size=5,
)


def test_a_twin_stays_just_as_long_as_an_agreement_allows_the_state_that_it_shows(bundle_of, memory, server, broker):
    bundles = {battery_id: bundle_of(battery_id, JANUARY_20) for battery_id in ("BP-1", "BP-2")}

    @settings(deadline=None, max_examples=6)
    @given(HOLDINGS)
    def check(holdings):
        """Each holding: which battery came under which agreement, and whether that one is over."""
        for documents in memory.documents.values():
            documents.clear()
        broker.sent.clear()
        with tempfile.TemporaryDirectory() as folder:
            lake = Lake(Path(folder))
            journal = journal_of(lake)
            held = {}
            for battery_id, name, is_over in holdings:
                agreement, end = f"{battery_id} {name}", END if is_over else None
                receive(lake, journal, battery_id, bundles[battery_id], agreement=agreement, expires_at=end)
                held[agreement] = battery_id, is_over
            show(lake, journal, server, broker)
            remove_expired(lake, journal, END, server, broker)
            allowed = {battery_id for battery_id, is_over in held.values() if not is_over}
            assert batteries_in(memory.documents["shells"]) == allowed
            assert {one["id"][-4:] for one in broker.sent if one["type"] == "Battery"} == allowed
            assert all(bool(one.removed_at) is bool(one.expires_at) for one in journal.receipts())

    check()
