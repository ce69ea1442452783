from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from battery_pilot.pipeline.entities_ld import CORE_CONTEXT, ld_entity
from battery_pilot.services.ngsi import attribute, entity_id

AS_OF = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.fixture
def written():
    model = entity_id("M", "BatteryModel")
    return ld_entity(
        {
            "id": entity_id("B1"), "type": "Battery", "batteryId": attribute("B 1 (a)"),
            "refAAS": {"type": "Relationship", "value": "https://example.com/aas"},
            "refBatteryModel": {"type": "Relationship", "value": model}, "dateObserved": attribute(AS_OF),
            "stateOfCharge": attribute(50.5, as_of=AS_OF, unitCode="P1", method="BMS (2 %)", uncertainty=0.5),
        }
    )  # fmt: skip


def test_a_value_has_its_unit_and_time_where_ngsi_ld_wants_them(written):
    assert written["stateOfCharge"] == {
        "type": "Property",
        "value": 50.5,
        "observedAt": "2026-01-02T00:00:00.000Z",
        "unitCode": "P1",
        "method": {"type": "Property", "value": "BMS (2 %)"},
        "uncertainty": {"type": "Property", "value": 0.5},
    }


def test_only_an_entity_is_the_target_of_a_relationship(written):
    assert written["refBatteryModel"] == {"type": "Relationship", "object": entity_id("M", "BatteryModel")}
    assert written["refAAS"] == {"type": "Property", "value": "https://example.com/aas"}


def test_names_are_those_of_the_smart_data_models_where_they_have_one(written):
    assert written["alternateName"]["value"] == "B 1 (a)"
    assert "batteryId" not in written
    assert written["dateObserved"]["value"] == {"@type": "DateTime", "@value": "2026-01-02T00:00:00.000Z"}


def test_context_ends_with_the_core_and_everything_is_json(written):
    assert written["@context"][-1] == CORE_CONTEXT
    assert json.loads(json.dumps(written, allow_nan=False)) == written
