from __future__ import annotations

import hashlib
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import NegotiationFailed, PassportError, ServerRefused, ServerUnavailable
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline import fleet_pull
from battery_pilot.pipeline.acquire import (
    journal_of,
    pull,
    request_contracts,
    settle_negotiations,
    settle_transfers,
    start_transfers,
)
from battery_pilot.pipeline.contracts import Contract
from battery_pilot.pipeline.expiry import remove_expired
from battery_pilot.pipeline.fleets import INDEX, Member, read_members, read_shards, update_index
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.services.connectors.model import Offer

TIER = Tier.LEGITIMATE_INTEREST
FLEET = "passports:legitimate_interest"
IN_30_DAYS = datetime(2026, 1, 31, tzinfo=UTC)
LIMITED = {
    "permission": [
        {"constraint": {"leftOperand": "inForceDate", "operator": "lteq", "rightOperand": "contractAgreement+30d"}}
    ]
}


@pytest.fixture
def journal(lake):
    return journal_of(lake)


@pytest.fixture
def fleet(connector, tmp_path):
    """A provider's folder, its files served by the connector."""
    folder = tmp_path / "outbox"
    properties = {"tier": TIER.value, "granularity": "fleet"}
    connector.publish(Offer(FLEET, "fleet", "http://p/data", "application/json", TIER, properties, is_folder=True))

    def put(**contents):
        members = {}
        for name, content in contents.items():
            path = f"{hashlib.sha256(name.encode()).hexdigest()[:2]}/{name}.json"
            if content is None:
                members[path] = None
                continue
            data = content.encode()
            members[path] = Member(name, path, hashlib.sha256(data).hexdigest())
            connector.files[f"{FLEET}/{path}"] = data
        update_index(folder, members)
        for file in folder.rglob(INDEX):
            connector.files[f"{FLEET}/{file.relative_to(folder).as_posix()}"] = file.read_bytes()

    return put


def play(lake, journal, party, run):
    request_contracts(journal, party, run, TIER)
    assert settle_negotiations(journal, party, run) == 0
    start_transfers(journal, party, run)
    assert settle_transfers(journal, party, run) == 0
    return pull(lake, journal, party, run)


def fetched(connector):
    found = [path for call, path in connector.calls if call == "fetch"]
    connector.calls[:] = [one for one in connector.calls if one[0] != "fetch"]
    return found


def members_of(journal, run):
    return {one.battery_id: one for one in journal.wanted(run) if one.is_member}


def test_whole_fleet_is_pulled_over_one_agreement(lake, journal, party, connector, fleet):
    fleet(B1="one", B2="two", B3="three")
    assert play(lake, journal, party, "run") == {"pulled": 3, "unchanged": 0, "failed": 0, "bytes": 11}
    assert (connector.count("negotiate"), connector.count("transfer")) == (1, 1)
    rows = members_of(journal, "run")
    assert {name: pulled_file(lake, row).read_bytes() for name, row in rows.items()} == {
        "B1": b"one", "B2": b"two", "B3": b"three",
    }  # fmt: skip
    assert all(row.transfer_id == row.started_id for row in rows.values())


def test_second_run_fetches_only_what_changed_and_wants_everything(lake, journal, party, connector, fleet):
    fleet(B1="one", B2="two", B3="three")
    play(lake, journal, party, "first")
    fetched(connector)
    assert play(lake, journal, party, "second") == {"pulled": 0, "unchanged": 3, "failed": 0, "bytes": 0}
    assert fetched(connector) == [INDEX]
    fleet(B2="new")
    assert play(lake, journal, party, "third")["pulled"] == 1
    assert len(fetched(connector)) == 3
    assert set(members_of(journal, "third")) == {"B1", "B2", "B3"}
    assert pulled_file(lake, members_of(journal, "third")["B2"]).read_bytes() == b"new"


def test_battery_that_is_no_longer_offered_is_no_longer_wanted(lake, journal, party, connector, fleet):
    fleet(B1="one", B2="two")
    play(lake, journal, party, "first")
    fleet(B1=None)
    play(lake, journal, party, "second")
    assert set(members_of(journal, "second")) == {"B2"}


def test_retry_of_a_pull_takes_up_where_it_was_killed(lake, journal, party, connector, fleet, monkeypatch):
    fleet(B1="one", B2="two", B3="three")
    monkeypatch.setattr(fleet_pull, "AT_ONCE", 1)
    fetch, asked = connector.fetch, []

    def dies(transfer_id, *, maximum_bytes, path=""):
        asked.append(path)
        if path.endswith(".json") and len([one for one in asked if one.endswith(".json")]) == 2:
            raise ServerUnavailable("GET", "http://p", None, "gone")
        return fetch(transfer_id, maximum_bytes=maximum_bytes, path=path)

    monkeypatch.setattr(connector, "fetch", dies)
    with pytest.raises(ServerUnavailable):
        play(lake, journal, party, "run")
    start_transfers(journal, party, "run")
    counts = pull(lake, journal, party, "run")
    assert (counts["pulled"], counts["unchanged"], counts["failed"]) == (2, 1, 0)
    assert connector.count("transfer") == 1


def test_bundle_that_is_refused_costs_only_itself(lake, journal, party, connector, fleet):
    fleet(B1="one", B2="two")
    del connector.files[next(name for name in connector.files if name.endswith("B1.json"))]
    counts = play(lake, journal, party, "run")
    assert (counts["pulled"], counts["failed"]) == (1, 1)
    assert set(members_of(journal, "run")) == {"B2"}


def test_token_that_expires_in_the_middle_is_renewed_once(lake, journal, party, connector, fleet, monkeypatch):
    fleet(**{f"B{number}": "x" for number in range(20)})
    fetch = connector.fetch
    first = []

    def expires(transfer_id, *, maximum_bytes, path=""):
        first.append(transfer_id)
        if transfer_id == first[0] and len(first) > 10:
            raise ServerRefused("GET", "http://p/public", 403, "expired")
        return fetch(transfer_id, maximum_bytes=maximum_bytes, path=path)

    monkeypatch.setattr(connector, "fetch", expires)
    assert play(lake, journal, party, "run")["pulled"] == 20
    assert connector.count("transfer") == 2
    assert connector.count("negotiate") == 1


def test_index_that_leads_elsewhere_is_refused(lake, journal, party, connector, fleet):
    fleet(B1="one")
    connector.files[f"{FLEET}/{INDEX}"] = b'{"shard": "..", "sha256": "' + b"0" * 64 + b'"}\n'
    with pytest.raises(NegotiationFailed, match="no sub-folder"):
        play(lake, journal, party, "run")


@given(st.binary(max_size=200))
def test_index_of_any_bytes_is_read_or_refused(data):
    for read in (read_shards, read_members):
        with suppress(PassportError):
            read(data)


@pytest.mark.parametrize("path", ["../ab/B1.json", "ab/../B1.json", "ab/B1.txt", "/ab/B1.json", "ab/%2e%2e.json", ""])
def test_path_out_of_the_fleet_is_refused(path):
    line = f'{{"battery_id": "B1", "path": "{path}", "version": "{"0" * 64}"}}'.encode()
    with pytest.raises(PassportError):
        read_members(line)


def test_every_pull_leaves_a_receipt_with_agreement_policy_and_hash(lake, journal, party, connector, fleet):
    connector.policies[f"a:{FLEET}"] = LIMITED
    fleet(B1="one")
    play(lake, journal, party, "run")
    (receipt,) = journal.receipts()
    assert (receipt.battery_id, receipt.agreement_id) == ("B1", f"a:{FLEET}")
    assert receipt.sha256 == hashlib.sha256(b"one").hexdigest()
    assert "contractAgreement+30d" in receipt.policy
    assert datetime.fromisoformat(receipt.expires_at) == IN_30_DAYS


def test_data_whose_time_is_over_are_removed_and_it_is_recorded(
    lake, journal, party, connector, fleet, server, broker
):
    connector.policies[f"a:{FLEET}"] = LIMITED
    fleet(B1="one", B2="two")
    play(lake, journal, party, "run")
    files = [pulled_file(lake, row) for row in members_of(journal, "run").values()]
    before = IN_30_DAYS - timedelta(seconds=1)
    assert remove_expired(lake, journal, before, server, broker) == {"removed": 0, "twins": 0, "held": 2}
    assert remove_expired(lake, journal, IN_30_DAYS, server, broker) == {"removed": 2, "twins": 0, "held": 0}
    assert not any(file.exists() for file in files)
    assert all(datetime.fromisoformat(receipt.removed_at) == IN_30_DAYS for receipt in journal.receipts())
    assert journal.refused("provider") == {f"a:{FLEET}"}
    assert remove_expired(lake, journal, IN_30_DAYS, server, broker) == {"removed": 0, "twins": 0, "held": 0}


def test_data_that_came_again_under_an_agreement_that_holds_stay(
    lake, journal, party, connector, fleet, server, broker
):
    connector.policies[f"a:{FLEET}"] = LIMITED
    fleet(B1="one")
    play(lake, journal, party, "run")
    (receipt,) = journal.receipts()
    journal.put_receipts([replace(receipt, agreement_id="newer", expires_at=None)])
    assert remove_expired(lake, journal, IN_30_DAYS, server, broker) == {"removed": 0, "twins": 0, "held": 1}
    assert pulled_file(lake, Contract(receipt.asset_id, "B1", "provider")).exists()


def test_offers_of_models_are_pulled_as_a_fleet_is_each_under_its_own_agreement(
    lake, journal, party, connector, tmp_path
):
    for name, battery in (("M1", "B1"), ("M2", "B2")):
        asset_id, path = f"passports:{TIER}:{name}", f"ab/{battery}.json"
        properties = {"tier": TIER.value, "granularity": "model", "model": name}
        connector.publish(Offer(asset_id, name, "http://p", "application/json", TIER, properties, is_folder=True))
        update_index(tmp_path / name, {path: Member(battery, path, hashlib.sha256(battery.encode()).hexdigest())})
        for file in (tmp_path / name).rglob(INDEX):
            connector.files[f"{asset_id}/{file.relative_to(tmp_path / name).as_posix()}"] = file.read_bytes()
        connector.files[f"{asset_id}/{path}"] = battery.encode()
    assert play(lake, journal, party, "run") == {"pulled": 2, "unchanged": 0, "failed": 0, "bytes": 4}
    assert {one.battery_id: one.agreement_id for one in journal.receipts()} == {
        "B1": f"a:passports:{TIER}:M1",
        "B2": f"a:passports:{TIER}:M2",
    }
    assert play(lake, journal, party, "again") == {"pulled": 0, "unchanged": 2, "failed": 0, "bytes": 0}
