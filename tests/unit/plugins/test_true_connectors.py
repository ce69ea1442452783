from __future__ import annotations

import json

import pytest
from airflow.sdk import Connection

from battery_pilot.errors import InputError
from battery_pilot.services.connectors.true_dsp import TrueDspConnector
from battery_pilot.services.connectors.true_ids import TrueIdsConnector
from battery_pilot_airflow.hooks import party_of

SECRET = "s3cret-pa55word"
EXTRA = {
    "true-dsp": {
        "participant_id": "me",
        "data_keys": {"public": SECRET},
        "counterparty_id": "you",
        "counterparty_url": "http://you",
    },
    "true-ids": {
        "participant_id": "me",
        "proxy_url": "https://app:8183",
        "proxy_login": "idsUser",
        "proxy_password": SECRET,
    },
}


def connection(kind, **changes):
    extra = {"kind": kind, **EXTRA[kind], **changes.pop("extra", {})}
    fields = {"host": "http://connector:8080", "login": "admin", "password": SECRET} | changes
    return Connection(conn_id="c", conn_type="http", extra=json.dumps(extra), **fields)


@pytest.fixture(autouse=True)
def lake(tmp_path, monkeypatch):
    monkeypatch.setenv("BATTERY_PILOT_LAKE", str(tmp_path))


@pytest.mark.parametrize(("kind", "made"), [("true-dsp", TrueDspConnector), ("true-ids", TrueIdsConnector)])
def test_a_connection_makes_the_connector_of_its_kind(kind, made):
    party = party_of(connection(kind))
    assert isinstance(party.connector, made)
    assert (party.counterparty_id, party.counterparty_url) == (
        EXTRA[kind].get("counterparty_id"),
        EXTRA[kind].get("counterparty_url"),
    )


@pytest.mark.parametrize("kind", list(EXTRA))
def test_a_connection_without_a_login_is_refused(kind):
    with pytest.raises(InputError, match="connection c: a TRUE Connector needs login and password"):
        party_of(connection(kind, password=None))


@pytest.mark.parametrize(
    ("kind", "extra", "words"),
    [
        ("true-dsp", {"data_keys": {"secret-tier": SECRET}}, "data_keys"),
        ("true-dsp", {"data_keys": [SECRET]}, "data_keys"),
        ("true-dsp", {"participant_id": ""}, "participant_id"),
        ("true-ids", {"proxy_url": "app:8183/"}, "proxy_url"),
    ],
)
def test_a_field_of_another_form_is_named_and_no_secret_shown(kind, extra, words):
    with pytest.raises(InputError, match=words) as caught:
        party_of(connection(kind, extra=extra))
    assert SECRET not in str(caught.value)
