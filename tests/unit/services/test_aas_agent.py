from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import InputError, ServerRefused
from battery_pilot.services.aas_agent import AasAgent, device, measures
from battery_pilot.services.ngsi import attribute, entity_id
from battery_pilot.services.orion import Orion

AS_OF = datetime(2026, 1, 2, tzinfo=UTC)
DEVICE = f"/iot/devices/{entity_id('B1').replace(':', '%3A')}"


@pytest.fixture
def agent(server):
    orion = Orion(server.url, service="battery", service_path="/dbp")
    return AasAgent(orion, server.url, server.url, api_key="key", service="battery", service_path="/dbp")


def battery(**attributes):
    return {"id": entity_id("B1"), "type": "Battery", **attributes}


CHARGED = battery(stateOfCharge=attribute(50.0, as_of=AS_OF, unitCode="P1", method="BMS (2 %)"))


def test_unit_is_part_of_the_device_and_time_and_method_travel_with_the_value():
    (definition,) = device(CHARGED, "key")["attributes"]
    assert definition["metadata"]["unitCode"] == {"type": "Text", "value": "P1"}
    sent = measures(CHARGED)
    assert sent.pop("stateOfCharge") == 50.0
    for note in ("dateObserved", "method"):
        kept = definition["metadata"][note]
        assert sent.pop(kept["expression"]) == CHARGED["stateOfCharge"]["metadata"][note]["value"]
        assert kept["type"] == CHARGED["stateOfCharge"]["metadata"][note]["type"]
    assert sent == {}


def test_devices_have_no_lazy_attributes_and_no_clock_of_the_agents_own():
    made = device(CHARGED, "key")
    assert (made["lazy"], made["commands"], made["timestamp"], made["explicitAttrs"]) == ([], [], False, True)


@given(st.text("abcXYZ019_-.@[]:%", min_size=1), st.text("abcXYZ019_-.@[]:%", min_size=1))
def test_metadata_of_two_attributes_never_share_a_measure(one, other):
    def word(name):
        ((definition),) = device(battery(**{name: attribute(1, as_of=AS_OF)}), "key")["attributes"]
        return definition["metadata"]["dateObserved"]["expression"]

    assert re.fullmatch(r"[A-Za-z_]\w*", word(one))
    assert (word(one) == word(other)) == (one == other)


def test_new_device_is_created_and_then_its_values_are_sent(agent, server):
    server.will_answer(201).will_answer(404).will_answer(201).will_answer(200, {})
    assert agent.upsert([CHARGED]) == 1
    assert server.lines == ["POST /iot/services", f"GET {DEVICE}", "POST /iot/devices",
                            f"POST /iot/aas?k=key&i={entity_id('B1').replace(':', '%3A')}"]  # fmt: skip
    assert server.asked[2].headers["Fiware-Service"] == "battery"
    assert server.asked[3].json == measures(CHARGED)


def test_known_device_is_replaced_only_when_it_lacks_something(agent, server):
    known = device(CHARGED, "key")
    server.will_answer(409).will_answer(200, known).will_answer(200, {})
    agent.upsert([CHARGED])
    assert [line.split()[0] for line in server.lines] == ["POST", "GET", "POST"]
    more = battery(**{"stateOfCharge": CHARGED["stateOfCharge"], "note": attribute("a (b)")})
    held = battery(cycles={"type": "Number", "value": 7, "metadata": {"dateModified": attribute(AS_OF)}})
    server.will_answer(200, known).will_answer(200, [held]).will_answer(204).will_answer(201).will_answer(200, {})
    agent.upsert([more])
    assert [line.split()[0] for line in server.lines[3:]] == ["GET", "POST", "DELETE", "POST", "POST"]
    (made,) = server.asked[6].json["devices"]
    assert [one["name"] for one in made["attributes"]] == ["cycles", "stateOfCharge", "note"]
    assert server.asked[7].json == measures({**battery(cycles=attribute(7)), **more})


def test_entity_that_is_refused_leaves_the_others_alone(agent, server):
    known = device(CHARGED, "key")
    server.will_answer(201).will_answer(200, known).will_answer(400, b"no").will_answer(200, known).will_answer(
        200, {}
    )
    refused = []
    assert agent.upsert([CHARGED, CHARGED], refused=refused) == 1
    assert [one.identifier for one in refused] == [entity_id("B1")]
    server.will_answer(200, known).will_answer(400, b"no")
    with pytest.raises(ServerRefused):
        agent.upsert([CHARGED])


def test_attribute_that_the_agent_uses_for_itself_is_refused_with_a_sentence():
    with pytest.raises(InputError, match="send it the direct way"):
        device(battery(TimeInstant=attribute(AS_OF)), "key")


def test_deleting_a_device_that_is_gone_is_no_error(agent, server):
    server.will_answer(404).will_answer(204)
    agent.delete([entity_id("B1"), entity_id("B1")])
    assert server.lines == [f"DELETE {DEVICE}"] * 2
