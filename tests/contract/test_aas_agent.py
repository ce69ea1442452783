"""The AAS Agent and the Orion behind it: the same entities as without the agent.

The agent's north and south ports are in ``BATTERY_PILOT_TEST_AGENT_NORTH_URL`` and ``BATTERY_PILOT_TEST_AGENT_SOUTH_URL``, the
Orion that it writes to in ``BATTERY_PILOT_TEST_ORION_URL``. There is no stand-in of the agent: its answers are in the unit tests.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

import pytest

from battery_pilot.pipeline.broker_sync import sync
from battery_pilot.pipeline.sent_entities import SentEntities
from battery_pilot.services.aas_agent import AasAgent
from battery_pilot.services.ngsi import attribute, attributes_of, entity_id
from battery_pilot.services.orion import Orion

AS_OF = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VARIABLES = [f"BATTERY_PILOT_TEST_{name}" for name in ("AGENT_NORTH_URL", "AGENT_SOUTH_URL", "ORION_URL")]


@pytest.fixture
def ways(unique):
    """The same tenant, directly and through the agent."""
    lacking = [name for name in VARIABLES if not os.environ.get(name)]
    if lacking:
        pytest.skip(f"no AAS Agent: {', '.join(lacking)} would name one")
    north, south, orion_url = (os.environ[name] for name in VARIABLES)
    direct = Orion(orion_url, service=unique, service_path="/direct")
    behind = Orion(orion_url, service=unique, service_path="/agent")
    agent = AasAgent(behind, north, south, api_key=unique, service=unique, service_path="/agent")
    yield direct, behind, agent
    agent.delete([entity_id("B1")])
    for broker in (direct, behind):
        broker.delete([entity_id("B1")], "Battery")


def shown(broker):
    entity = broker.entity(entity_id("B1"), "Battery")
    return {name: (one["type"], one["value"], one["metadata"]) for name, one in attributes_of(entity).items()}


def test_both_ways_have_the_same_result(ways, tmp_path):
    direct, behind, through = ways
    first = {
        "id": entity_id("B1"), "type": "Battery", "dateObserved": attribute(AS_OF),
        "stateOfCharge": attribute(50.5, as_of=AS_OF, unitCode="P1", method="BMS (2 %)", uncertainty=0.5),
        "serialNumber": attribute('a (b) = "c"'), "cycles": attribute(7, as_of=AS_OF),
    }  # fmt: skip
    second = {**first, "cycles": attribute(8, as_of=AS_OF), "note": attribute("new", as_of=AS_OF)}
    del second["serialNumber"]
    for entity in (first, second):
        for broker in (direct, through):
            sent = SentEntities(tmp_path / "sent.sqlite", broker.place, "passport")
            assert sync(broker, [entity], sent).written == 1
            assert sync(broker, [entity], sent).written == 0
        assert shown(behind) == shown(direct)
    assert shown(direct)["cycles"][1] == 8
