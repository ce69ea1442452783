"""The indexes on a real MongoDB, and that Orion's own queries use them."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

from battery_pilot.services.orion_indexes import INDEXES, create_indexes
from tests.servers.run import servers_are_required

if TYPE_CHECKING:
    from collections.abc import Iterator

# What Orion 4.7 asks its database for, as its profiler shows it.
IDENTITY = {"_id.id": "urn:B7", "_id.type": "Battery", "_id.servicePath": "/dbp"}
MANY = {"$or": [{"_id.id": f"urn:B{n}", "_id.type": "Battery"} for n in range(20)], "_id.servicePath": "/dbp"}
LISTING = {"_id.type": "Battery", "_id.servicePath": "/dbp"}


@pytest.fixture
def address() -> Iterator[tuple[str, str]]:
    uri = os.environ.get("BATTERY_PILOT_TEST_MONGO_URI")
    if not uri:
        text = "no MongoDB: `make test` starts one, BATTERY_PILOT_TEST_MONGO_URI names another"
        if servers_are_required():
            pytest.fail(text)
        pytest.skip(text)
    from pymongo import MongoClient

    database = f"contract_{uuid.uuid4().hex[:12]}"
    yield uri, database
    with MongoClient(uri) as client:
        client.drop_database(f"{database}-battery")


@pytest.mark.parametrize(
    ("query", "sort"), [(IDENTITY, None), (MANY, None), (LISTING, "creDate")], ids=["one", "many", "listing"]
)
def test_the_queries_of_orion_look_at_no_more_entities_than_they_return(address, query, sort):
    from pymongo import MongoClient

    uri, database = address
    names = create_indexes(uri, ["battery"], database=database)
    assert names == {f"{database}-battery": sorted(["_id_", *INDEXES])}
    assert create_indexes(uri, ["battery"], database=database) == names
    with MongoClient(uri) as client:
        entities = client[f"{database}-battery"]["entities"]
        entities.insert_many(
            {"_id": {"id": f"urn:B{n}", "type": kind, "servicePath": "/dbp"}, "creDate": 300 - n}
            for n in range(300)
            for kind in ("Battery", "Other")
        )
        found = entities.find(query).limit(20)
        explained = (found.sort(sort) if sort else found).explain()["executionStats"]
    assert explained["nReturned"] == (1 if query is IDENTITY else 20)
    assert explained["totalDocsExamined"] == explained["nReturned"]
