"""How errors of the driver are told. What the store does is tested against a real server in tests/contract."""

from __future__ import annotations

import pytest
from pymongo.errors import AutoReconnect, BulkWriteError, OperationFailure

from battery_pilot.errors import InputError
from battery_pilot.passport.history import HistoryUnavailable
from battery_pilot.services import history_mongo
from battery_pilot.services.history_mongo import MongoHistory


class Broken:
    """A collection whose every operation but the making of indexes fails."""

    def __init__(self, error):
        self.error = error

    def create_index(self, keys, unique=False):
        """Succeed."""

    def find(self, query):
        raise self.error

    aggregate = count_documents = find


@pytest.fixture
def history_with(monkeypatch):
    def build(error):
        collections = dict.fromkeys(("history_entries", "history_heads"), Broken(error))
        monkeypatch.setattr(history_mongo, "MongoClient", lambda *_, **__: {"db": collections})
        return MongoHistory("mongodb://host", "db")

    return build


CALLS = {
    "head": lambda history: history.head("B1"),
    "currents": lambda history: history.currents(["B1"]),
    "known": lambda history: history.known(["B1"], history_time()),
    "entries": lambda history: history.entries("B1"),
    "battery_ids": lambda history: history.battery_ids(),
    "count": lambda history: history.count(),
}


def history_time():
    from datetime import UTC, datetime

    return datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize("call", CALLS)
def test_lost_connection_is_worth_another_try(history_with, call):
    history = history_with(AutoReconnect("mongo:27017: connection closed"))
    with pytest.raises(HistoryUnavailable, match="mongo:27017"):
        CALLS[call](history)


@pytest.mark.parametrize("call", CALLS)
def test_refusal_of_the_server_is_final(history_with, call):
    history = history_with(OperationFailure("Authentication failed.", 18))
    with pytest.raises(InputError, match="credentials"):
        CALLS[call](history)


def test_a_failed_batch_is_no_other_process_that_was_faster(history_with):
    """Only an existing key means that; a full disk must not look like one."""
    problems = [{"index": 0, "code": 11000}, {"index": 1, "code": 14031}]
    with pytest.raises(BulkWriteError):
        history_mongo._duplicates(BulkWriteError({"writeErrors": problems}))
    with pytest.raises(BulkWriteError):
        history_mongo._duplicates(BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"code": 64}]}))
    assert history_mongo._duplicates(BulkWriteError({"writeErrors": problems[:1]})) == [0]
