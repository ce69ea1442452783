from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection

from battery_pilot.errors import InputError
from battery_pilot.services.connectors.edc_profiles import V3, V4_BETA
from battery_pilot.services.connectors.inbox import Way
from battery_pilot_airflow.hooks import party_of


@pytest.fixture(autouse=True)
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("BATTERY_PILOT_LAKE", str(tmp_path))


def connector(**extra):
    consumer = {"participant_id": "me", "counterparty_id": "you", "counterparty_url": "http://you"}
    given = Connection(
        conn_id="c",
        conn_type="http",
        host="http://edc:8081/management",
        password="k",
        extra=json.dumps(consumer | extra),
    )
    return party_of(given).connector


def test_without_further_words_it_is_v3_with_the_cache_and_pulls():
    made = connector()
    assert (made._profile, made._inbox, made._is_push) == (V3, None, False)


def test_version_way_and_inbox_come_from_the_extra(tmp_path):
    made = connector(management_api="v4beta", edr="callback", transfer="push", inbox_url="http://receiver:8080")
    assert (made._profile, made._is_push) == (V4_BETA, True)
    secret, url = made._inbox.expect(Way.CONTENT)
    assert url == f"http://receiver:8080/pushed/{secret}"
    assert (tmp_path / "consumer" / "inbox" / secret).is_dir()


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"management_api": "v9"}, "management API 'v9' is not known"),
        ({"edr": "pigeon"}, "connection c: edr is 'pigeon', expected one of cache, callback"),
        ({"transfer": "throw"}, "connection c: transfer is 'throw', expected one of pull, push"),
        ({"transfer": "push"}, "connection c: inbox_url is None"),
        ({"edr": "callback", "inbox_url": "receiver"}, "connection c: inbox_url is 'receiver'"),
        ({"data_keys": {"secret-tier": "k"}}, "connection c: data_keys"),
    ],
)
def test_what_cannot_be_is_told(extra, words):
    with pytest.raises(InputError, match=words):
        connector(**extra)
