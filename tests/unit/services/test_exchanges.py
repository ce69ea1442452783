from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import ServerRefused, ServerUnavailable
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.exchanges import REMOVED, Exchange, ExchangeJournal, without_secrets
from battery_pilot.services.connectors.model import CatalogueEntry, Counterparty

ENTRY = CatalogueEntry("b1", "Passport of B1", {}, {"@id": "offer-1"}, Counterparty("provider", "http://p.invalid"))


@pytest.fixture
def journal(tmp_path):
    return ExchangeJournal(tmp_path / "exchanges.sqlite")


@pytest.fixture
def edc(server, journal):
    return EdcConnector(
        f"{server.url}/management",
        api_key="key-4711",
        participant_id="consumer",
        wait_second=0,
        attempts=1,
        journal=journal,
    )


def look(state, **more):
    return Exchange("n-1", "GET", "http://edc/n-1", None, 200, {"state": state, **more})


def test_exchanges_of_several_processes_come_back_in_order(journal):
    for process in ("n-1", "t-1", "n-1", "other"):
        journal.put(Exchange(process, "POST", "http://edc/x", {"a": 1}, 200, {"@id": process}))
        journal.put(Exchange(process, "GET", "http://edc/x", None, None, "no answer"))
    found = journal.of("n-1", "t-1")
    assert [one.process_id for one in found] == ["n-1", "n-1", "t-1", "t-1", "n-1", "n-1"]
    assert (found[0].sent, found[1].status, found[1].received) == ({"a": 1}, None, "no answer")


def test_poll_that_finds_nothing_new_is_only_counted(journal):
    for state in ("REQUESTED", "REQUESTED", "REQUESTED", "AGREED", "REQUESTED"):
        journal.put(look(state))
    found = journal.of("n-1")
    assert [(one.received["state"], one.times) for one in found] == [
        ("REQUESTED", 3),
        ("AGREED", 1),
        ("REQUESTED", 1),
    ]
    assert found[0].first_at <= found[0].last_at <= found[1].first_at


def test_threads_share_the_journal(journal):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: journal.put(look(str(number % 2))), range(40)))
    assert sum(one.times for one in journal.of("n-1")) == 40


@given(
    name=st.sampled_from(
        ["authorization", "authCode", "https://x/ns/authKey", "clientSecret", "access_token", "api_key"]
    ),
    secret=st.text("ABCDEF", min_size=12),
    depth=st.integers(0, 4),
)
def test_secrets_are_removed_wherever_they_stand(name, secret, depth):
    value = {name: secret, "endpointProperties": [{"name": name, "value": secret, "@type": "EndpointProperty"}]}
    for _ in range(depth):
        value = {"inner": [value], "state": "STARTED"}
    assert secret not in json.dumps(without_secrets(value))


def test_what_is_no_secret_stays():
    value = {"endpoint": "http://p/public", "properties": [{"name": "authType", "value": "bearer"}], "n": None}
    assert without_secrets(value) == value
    assert without_secrets({"authorization": "x"}) == {"authorization": REMOVED}


def test_whole_negotiation_is_kept_with_the_words_of_the_counterparty(edc, server, journal):
    server.will_answer(200, {"@id": "n-1"})
    for state in ("REQUESTED", "REQUESTED"):
        server.will_answer(200, {"@id": "n-1", "state": state})
    server.will_answer(200, {"@id": "n-1", "state": "TERMINATED", "errorDetail": "Policy not fulfilled"})
    edc.negotiate(ENTRY)
    for _ in range(3):
        edc.negotiation("n-1")
    begun, waiting, ended = journal.of("n-1")
    assert begun.sent["policy"]["@id"] == "offer-1"
    assert waiting.times == 2
    assert ended.received["errorDetail"] == "Policy not fulfilled"


def test_negotiation_that_could_not_begin_is_kept_under_its_asset(edc, server, journal):
    server.will_answer(400, [{"message": "mandatory value 'assigner' is missing"}])
    with pytest.raises(ServerRefused):
        edc.negotiate(ENTRY)
    (kept,) = journal.of("b1")
    assert (kept.status, kept.received) == (400, "mandatory value 'assigner' is missing")


def test_connector_that_does_not_answer_is_kept_too(edc, server, journal):
    server.will_answer(503, {})
    with pytest.raises(ServerUnavailable):
        edc.transfer_state("t-1")
    assert journal.of("t-1")[0].status == 503


def test_token_of_a_transfer_and_our_own_key_are_not_kept(edc, server, journal, tmp_path):
    address = {"endpoint": f"{server.url}/public", "authorization": "token-0815"}
    server.will_answer(200, address).will_answer(200, {"data": True})
    edc.fetch("t-1", maximum_bytes=100)
    assert journal.of("t-1")[0].received == {**address, "authorization": REMOVED}
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("exchanges*"))
    assert b"token-0815" not in kept
    assert b"key-4711" not in kept
