from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest
from pymongo.errors import AutoReconnect, DuplicateKeyError, OperationFailure

from battery_pilot.errors import InputError, PassportError
from battery_pilot.passport.history import HistoryEntry, HistoryUnavailable, Seal, VersionTaken
from battery_pilot.passport.model import Tier
from battery_pilot.services import history_mongo
from battery_pilot.services.history_mongo import MongoHistory


class Collection:
    """The few operations of a collection that the history uses, in memory."""

    def __init__(self, unique):
        self.unique = unique
        self.documents = []
        self.broken = None

    def create_index(self, keys, unique=False):
        """Uniqueness is given to the constructor."""

    def _matching(self, query):
        def test(document):
            return all(_compare(document.get(name), wanted) for name, wanted in query.items())

        return [document for document in self.documents if test(document)]

    def find(self, query):
        return Found(self._matching(query))

    def find_one(self, query, sort=()):
        if self.broken:
            raise self.broken
        found = Found(self._matching(query))
        for name, direction in reversed(sort):
            found.sort(name, direction)
        return next(iter(found), None)

    def insert_one(self, document):
        if any(all(known[name] == document[name] for name in self.unique) for known in self.documents):
            raise DuplicateKeyError("E11000 duplicate key")
        self.documents.append(document)

    def replace_one(self, query, document, upsert):
        found = self._matching(query)
        if found:
            self.documents.remove(found[0])
        self.insert_one({"_id": query["_id"], **document})

    def count_documents(self, query):
        return len(self._matching(query))


class Found(list):
    def sort(self, name, direction):
        super().sort(key=lambda document: document[name], reverse=direction < 0)
        return self


def _compare(value, wanted):
    if not isinstance(wanted, dict):
        return value == wanted
    compare = {"$gte": lambda one, other: one >= other, "$lt": lambda one, other: one < other}
    return all(compare[operator](value, limit) for operator, limit in wanted.items())


@pytest.fixture
def database(monkeypatch):
    collections = {
        "history_entries": Collection(("battery_id", "version")),
        "history_heads": Collection(("_id",)),
    }
    monkeypatch.setattr(history_mongo, "MongoClient", lambda *_, **__: {"db": collections})
    return collections


@pytest.fixture
def history(database):
    return MongoHistory("mongodb://host", "db")


def digest(version):
    return hashlib.sha256(str(version).encode()).hexdigest()


def entry(version, soh, *, before=None, day=1, known_until=datetime(2026, 2, 1, tzinfo=UTC)):
    changes = {Tier.PUBLIC: {"A.b[0]": (before, soh)}}
    return HistoryEntry(
        battery_id="B1",
        version=version,
        as_of=datetime(2026, 1, day, microsecond=123456, tzinfo=UTC),
        known_until=known_until,
        recorded_at=datetime(2026, 2, 1, tzinfo=UTC),
        run="run",
        seals={tier: Seal(salt="0" * 32, view_sha256="0" * 64, changes=changes.get(tier, {})) for tier in Tier},
        commitments=dict.fromkeys(Tier, "0" * 64),
        previous_hash=digest(version - 1) if version > 1 else None,
        entry_hash=digest(version),
    )


def test_entries_come_back_by_version_exactly_as_they_were(history):
    first, second = entry(1, 91.25), entry(2, 90.5, before=91.25)
    history.append(first)
    history.append(second)
    assert history.entries("B1") == [first, second]
    assert history.entries("B2") == []
    assert history.count() == 2


def test_head_holds_the_values_after_the_last_entry(history):
    assert history.head("B1") is None
    history.append(entry(1, 91.25))
    history.append(entry(2, 90.5, before=91.25))
    head = history.head("B1")
    assert head.entry.version == 2
    assert head.values[Tier.PUBLIC] == {"A.b[0]": 90.5}


def test_head_is_right_after_a_process_was_killed_between_its_two_writes(history, database):
    history.append(entry(1, 91.25))
    kept = list(database["history_heads"].documents)
    history.append(entry(2, 90.5, before=91.25))
    for survivors in (kept, []):
        database["history_heads"].documents[:] = survivors
        assert history.head("B1").values[Tier.PUBLIC] == {"A.b[0]": 90.5}
    history.append(entry(3, 89.0, before=90.5))
    assert history.head("B1").entry.version == 3


def test_late_news_of_an_early_state_do_not_become_current(history):
    history.append(entry(1, 91.25, day=9))
    history.append(entry(2, 95.0, before=91.25, day=2))
    assert history.current("B1").version == 1
    assert history.current("B2") is None
    assert [one.version for one in history.entries("B1", datetime(2026, 1, 2, microsecond=123456, tzinfo=UTC))] == [2]


def test_of_two_states_of_the_same_time_the_better_informed_one_is_current(history):
    history.append(entry(1, 91.25, known_until=datetime(2026, 3, 1, tzinfo=UTC)))
    history.append(entry(2, 95.0, before=91.25))
    assert history.current("B1").version == 1
    history.append(entry(3, 90.0, before=95.0, known_until=datetime(2026, 3, 1, tzinfo=UTC)))
    assert history.current("B1").version == 3


def test_version_that_another_process_appended_is_taken(history):
    history.append(entry(1, 91.25))
    with pytest.raises(VersionTaken, match="version 1"):
        history.append(entry(1, 80.0))
    assert history.count() == 1


def test_version_that_another_process_appends_at_the_same_moment_is_taken(history, monkeypatch):
    history.append(entry(1, 91.25))
    monkeypatch.setattr(history, "head", lambda battery_id: None)
    with pytest.raises(VersionTaken):
        history.append(entry(1, 80.0))


def test_later_head_of_another_process_is_kept(history, database):
    history.append(entry(1, 91.25))
    early = history.head("B1")
    history.append(entry(2, 90.5, before=91.25))
    history._keep(early)
    assert [head["version"] for head in database["history_heads"].documents] == [2]


def test_entry_that_does_not_follow_the_last_one_is_refused(history):
    with pytest.raises(VersionTaken, match="version 2"):
        history.append(entry(2, 91.25))
    assert history.count() == 0


def test_change_that_does_not_start_from_the_last_value_is_refused(history):
    history.append(entry(1, 91.25))
    with pytest.raises(PassportError, match=r"91\.0"):
        history.append(entry(2, 90.5, before=91.0))
    assert history.count() == 1


def test_lost_connection_is_worth_another_try(history, database):
    database["history_heads"].broken = AutoReconnect("mongo:27017: connection closed")
    with pytest.raises(HistoryUnavailable, match="mongo:27017"):
        history.head("B1")


def test_refusal_of_the_server_is_final(history, database):
    database["history_heads"].broken = OperationFailure("Authentication failed.", 18)
    with pytest.raises(InputError, match="credentials"):
        history.head("B1")
