from __future__ import annotations

import json
from datetime import UTC, datetime
from unittest.mock import create_autospec

import pyarrow.parquet as pq
import pytest

from battery_pilot.pipeline import entity_reader
from battery_pilot.pipeline.entity_reader import entity_batches, entity_schema, entity_table, write_parquet
from battery_pilot.services.ngsi import attribute
from battery_pilot.services.orion import Orion

AS_OF = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def broker():
    double = create_autospec(Orion, instance=True)
    double.entities.side_effect = lambda entity_type: iter(
        [
            {
                "id": f"urn:{number}", "type": entity_type, "batteryId": attribute(f"B{number}"),
                "dateObserved": attribute(AS_OF), "remainingCapacity": attribute(4.5 + number),
                "predicted__state_of_health_percent": attribute(88.0), "stateOfCharge": attribute("unknown"),
            }
            for number in range(5)
        ]
    )  # fmt: skip
    return double


def test_entities_become_a_table_with_a_column_for_each_attribute(broker):
    table = entity_table(broker)
    assert table.schema == entity_schema()
    assert table["remainingCapacity"].to_pylist() == [4.5, 5.5, 6.5, 7.5, 8.5]
    assert table["dateObserved"][0].as_py() == AS_OF
    assert table.schema.field("remainingCapacity").metadata == {b"unit_code": b"AMH"}
    assert table.to_pandas()["batteryId"].tolist() == ["B0", "B1", "B2", "B3", "B4"]


def test_other_attributes_and_values_of_another_type_are_kept_as_json(broker):
    table = entity_table(broker)
    assert json.loads(table["more"][0].as_py()) == {
        "predicted__state_of_health_percent": 88.0,
        "stateOfCharge": "unknown",
    }
    assert table["stateOfCharge"][0].as_py() is None


def test_entities_are_never_held_together(broker, monkeypatch):
    monkeypatch.setattr(entity_reader, "ROWS", 2)
    assert [batch.num_rows for batch in entity_batches(broker)] == [2, 2, 1]


def test_parquet_file_appears_only_when_it_is_whole(broker, tmp_path):
    assert write_parquet(broker, tmp_path / "b.parquet") == 5
    assert pq.read_table(tmp_path / "b.parquet")["id"].to_pylist() == [f"urn:{number}" for number in range(5)]
    broker.entities.side_effect = OSError("gone")
    with pytest.raises(OSError, match="gone"):
        write_parquet(broker, tmp_path / "c.parquet")
    assert [path.name for path in tmp_path.iterdir()] == ["b.parquet"]


def test_models_have_a_table_of_their_own(broker):
    assert "ratedCapacity" in entity_table(broker, "BatteryModel").schema.names
