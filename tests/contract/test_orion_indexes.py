"""The indexes on a real MongoDB, and that Orion's own queries use them."""

from __future__ import annotations

import pytest

from battery_pilot.services.orion_indexes import INDEXES, create_indexes

# What Orion 4.7 asks its database for, as its profiler shows it.
IDENTITY = {"_id.id": "urn:B7", "_id.type": "Battery", "_id.servicePath": "/dbp"}
MANY = {"$or": [{"_id.id": f"urn:B{n}", "_id.type": "Battery"} for n in range(20)], "_id.servicePath": "/dbp"}
LISTING = {"_id.type": "Battery", "_id.servicePath": "/dbp"}


@pytest.mark.parametrize(
    ("query", "sort"), [(IDENTITY, None), (MANY, None), (LISTING, "creDate")], ids=["one", "many", "listing"]
)
def test_the_queries_of_orion_look_at_no_more_entities_than_they_return(mongo_address, query, sort):
    from pymongo import MongoClient

    uri, database = mongo_address
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
