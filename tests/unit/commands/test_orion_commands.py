from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest

from battery_pilot.cli import main
from battery_pilot.lake import read_lines
from battery_pilot.sandbox.server import running
from battery_pilot.services import orion_indexes
from battery_pilot.services.ngsi import attribute, entity_id
from battery_pilot.services.orion import Orion


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    with running(tmp_path_factory.mktemp("sandbox")) as urls:
        yield urls.orion


def test_subscribing_twice_keeps_one_subscription(url, capsys):
    words = ["orion", "subscribe", url, "http://127.0.0.1:9/notify", "--service", "a", "--attribute", "soh", "--json"]
    assert main(words) == 0
    first = json.loads(capsys.readouterr().out)["subscription"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out) == {"subscription": first}


def test_export_writes_every_entity(url, tmp_path, capsys):
    broker = Orion(url, service="b", service_path="/dbp")
    broker.upsert({"id": entity_id(f"B{n}"), "type": "Battery", "batteryId": attribute(f"B{n}")} for n in range(3))
    words = ["orion", "export", url, str(tmp_path / "b.parquet"), "--service", "b", "--service-path", "/dbp"]
    assert main(words) == 0
    assert "3" in capsys.readouterr().out
    assert pq.read_table(tmp_path / "b.parquet")["batteryId"].to_pylist() == ["B0", "B1", "B2"]
    assert main([*words[:3], str(tmp_path / "b.jsonl"), *words[4:], "--ld"]) == 0
    assert [one["alternateName"]["value"] for one in read_lines(tmp_path / "b.jsonl")] == ["B0", "B1", "B2"]


def test_indexes_are_made_in_the_database_of_each_tenant(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(
        orion_indexes,
        "create_indexes",
        lambda uri, services, *, database: asked.append((uri, services, database)) or {},
    )
    assert main(["orion", "indexes", "mongodb://host", "--service", "a", "--service", "b", "--json"]) == 0
    assert asked == [("mongodb://host", ["a", "b"], "orion")]
    assert capsys.readouterr().out.strip() == "{}"


def test_database_that_cannot_be_reached_is_told_in_a_sentence(monkeypatch, capsys):
    monkeypatch.setattr(orion_indexes, "SELECTION_TIMEOUT_MILLISECOND", 50)
    assert main(["orion", "indexes", "mongodb://127.0.0.1:9"]) == 1
    assert "the MongoDB of Orion cannot be reached" in capsys.readouterr().err
