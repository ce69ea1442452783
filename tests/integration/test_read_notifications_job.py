"""Spark reads the notifications that the receiver wrote, each once."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from battery_pilot.services.ngsi import attribute
from battery_pilot.services.notifications import create_app

AS_OF = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def notify(folder, *capacities):
    data = [
        {
            "id": f"urn:B{number}",
            "type": "Battery",
            "remainingCapacity": attribute(value, as_of=AS_OF, unitCode="AMH"),
        }
        for number, value in enumerate(capacities)
    ]
    with TestClient(create_app(folder, gathering_second=0)) as client:
        assert client.post("/notify", json={"subscriptionId": "s", "data": data}).status_code == 204


@pytest.fixture
def run(job, spark, tmp_path):
    def call():
        result = tmp_path / "result.json"
        code = job("read_notifications").main(
            [
                "--notifications", str(tmp_path / "in"), "--output", str(tmp_path / "out"),
                "--checkpoint", str(tmp_path / "checkpoint"), "--result", str(result),
            ]
        )  # fmt: skip
        return code, json.loads(result.read_text())

    return call


def test_every_notification_is_read_once_over_several_runs(run, spark, tmp_path):
    code, result = run()
    assert code == 1
    assert "battery-pilot orion receive" in json.dumps(result)
    notify(tmp_path / "in", 4.5, 4.25)
    assert run()[1]["values"] == 2
    notify(tmp_path / "in", 4.0)
    (tmp_path / "in" / ".hidden.jsonl").write_text("half")
    assert run()[1]["values"] == 1
    assert run()[1]["values"] == 0
    rows = spark.read.parquet(str(tmp_path / "out")).orderBy("received_at", "number").collect()
    assert sorted(row.number for row in rows) == [4.0, 4.25, 4.5]
    assert {row.attribute for row in rows} == {"remainingCapacity"}
    assert {row.observed_at for row in rows} == {datetime(2026, 1, 2, 3, 4, 5)}
    assert {row.unit_code for row in rows} == {"AMH"}
