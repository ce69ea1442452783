from __future__ import annotations

import asyncio
import json

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import InputError
from battery_pilot.services.connectors.exchanges import REMOVED, without_secrets
from battery_pilot.services.connectors.inbox import Inbox, Way, inbox_of
from battery_pilot.services.data_app import receiver

EDC = "https://w3id.org/edc/v0.0.1/ns/"
TOKEN = {"endpoint": "http://provider.example/public", "authorization": "eyJ1"}


@pytest.fixture
def inbox(tmp_path):
    return Inbox(tmp_path / "inbox", "http://me.example/")


@pytest.fixture
def client(inbox):
    app = FastAPI()
    app.include_router(receiver.routes(inbox))
    return TestClient(app)


def event(properties):
    address = {"properties": {EDC + name: value for name, value in properties.items()}}
    return {"type": "TransferProcessStarted", "payload": {"transferProcessId": "t1", "dataAddress": address}}


async def pieces(*chunks):
    for chunk in chunks:
        yield chunk


def test_address_of_a_started_transfer_arrives_where_it_is_expected(inbox, client):
    secret, url = inbox.expect(Way.ADDRESS)
    inbox.bind("t1", secret, Way.ADDRESS)
    assert url == f"http://me.example/edrs/{secret}"
    assert inbox.address("t1") is None
    assert client.post(f"/edrs/{secret}", json=event(TOKEN)).status_code == 204
    assert inbox.address("t1") == TOKEN
    renewed = {**TOKEN, "authorization": "eyJ2"}
    assert client.post(f"/edrs/{secret}", json=event(renewed)).status_code == 204
    assert (inbox.address("t1"), inbox.is_pushed("t1")) == (renewed, False)


@pytest.mark.parametrize("secret", ["unknown", "x" * 43, "..%2f..", "%2e%2e"])
def test_what_nobody_expects_is_not_kept(inbox, client, tmp_path, secret):
    inbox.expect(Way.CONTENT)
    assert client.post(f"/edrs/{secret}", json=event(TOKEN)).status_code == 404
    assert client.post(f"/pushed/{secret}", content=b"x").status_code == 404
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"payload": {"dataAddress": {"properties": []}}}', b"\xff"])
def test_what_is_no_event_with_an_address_is_refused(inbox, client, body):
    secret, _ = inbox.expect(Way.ADDRESS)
    assert client.post(f"/edrs/{secret}", content=body).status_code == 400


def test_event_that_is_too_long_is_refused(inbox, client):
    secret, _ = inbox.expect(Way.ADDRESS)
    assert client.post(f"/edrs/{secret}", content=b" " * (receiver.EVENT_BYTES + 1)).status_code == 413


@given(st.binary(max_size=200))
def test_reading_an_event_ends_in_an_address_or_in_nothing(body):
    found = receiver.address_of_event(body)
    assert found is None or isinstance(found, dict)


def test_file_is_pushed_once_and_is_gone_when_the_transfer_is_forgotten(inbox, client, tmp_path):
    secret, _ = inbox.expect(Way.CONTENT)
    inbox.bind("t1", secret, Way.CONTENT)
    assert inbox.is_pushed("t1")
    assert inbox.content("t1") is None
    assert client.put(f"/pushed/{secret}", content=b"passport").status_code == 204
    assert client.post(f"/pushed/{secret}", content=b"another").status_code == 404
    assert inbox.content("t1").read_bytes() == b"passport"
    inbox.forget("t1")
    assert (inbox.content("t1"), inbox.is_pushed("t1")) == (None, False)
    assert client.post(f"/pushed/{secret}", content=b"late").status_code == 404
    assert list((tmp_path / "inbox").iterdir()) == []


def test_push_that_breaks_off_leaves_nothing_and_may_be_repeated(inbox):
    secret, _ = inbox.expect(Way.CONTENT)
    inbox.bind("t1", secret, Way.CONTENT)

    async def broken():
        yield b"pass"
        raise ConnectionError

    with pytest.raises(ConnectionError):
        asyncio.run(inbox.put_content(secret, broken()))
    assert inbox.content("t1") is None
    assert asyncio.run(inbox.put_content(secret, pieces(b"pass", b"port")))
    assert inbox.content("t1").read_bytes() == b"passport"


def test_second_push_beside_the_first_is_refused(inbox):
    secret, _ = inbox.expect(Way.CONTENT)
    answers = []

    async def slow():
        yield b"first"
        answers.append(await inbox.put_content(secret, pieces(b"second")))

    assert asyncio.run(inbox.put_content(secret, slow()))
    assert answers == [False]


def test_push_that_is_longer_than_accepted_leaves_nothing(inbox, tmp_path):
    secret, _ = inbox.expect(Way.CONTENT)
    with pytest.raises(InputError, match="more than the 5 bytes"):
        asyncio.run(inbox.put_content(secret, pieces(b"pass", b"port"), 5))
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_transfer_that_did_not_begin_expects_nothing(inbox, client, tmp_path):
    secret, _ = inbox.expect(Way.CONTENT)
    inbox.give_up(secret)
    assert client.post(f"/pushed/{secret}", content=b"x").status_code == 404
    assert list((tmp_path / "inbox").iterdir()) == []


def test_unknown_transfer_has_nothing_here(inbox):
    assert (inbox.address("nobody"), inbox.content("nobody"), inbox.is_pushed("nobody")) == (None, None, False)
    inbox.forget("nobody")


def test_inbox_without_an_address_expects_nothing(tmp_path):
    with pytest.raises(InputError, match="set inbox_url"):
        Inbox(tmp_path / "inbox").expect(Way.ADDRESS)


def test_one_time_addresses_are_in_no_journal(inbox):
    for way in Way:
        secret, url = inbox.expect(way)
        written = json.dumps(
            without_secrets({"callbackAddresses": [{"uri": url}], "dataDestination": {"baseUrl": url}})
        )
        assert secret not in written
        assert written.count(f"/{way}/{REMOVED}") == 2


def test_receiver_starts_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("BATTERY_PILOT_LAKE", str(tmp_path))
    client = TestClient(receiver.receiver_from_environment())
    assert client.get("/health").json() == {"status": "ok"}
    secret, _ = Inbox(inbox_of(tmp_path / "consumer"), "http://me.example").expect(Way.ADDRESS)
    assert client.post(f"/edrs/{secret}", json=event(TOKEN)).status_code == 204
