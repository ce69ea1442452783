from __future__ import annotations

import pytest

from battery_pilot.errors import InputError, ServerRefused
from battery_pilot.services.ngsi import attribute, entity_id
from battery_pilot.services.orion import Orion


@pytest.fixture
def orion(server):
    return Orion(server.url, service="battery", service_path="/dbp", wait_second=0, attempts=2)


def battery(number, **attributes):
    return {"id": entity_id(f"B{number}"), "type": "Battery", **attributes}


def sent_ids(asked):
    return [entity["id"].rpartition(":")[2] for entity in asked.json["entities"]]


@pytest.mark.parametrize("options", [{"service": "my-fleet"}, {"service": "Fleet"}, {"service_path": "dbp"}])
def test_tenant_that_orion_refuses_is_refused_here(options):
    with pytest.raises(InputError, match="Fiware-Service"):
        Orion("http://host", **options)


def test_batch_goes_out_with_length_and_tenant(orion, server):
    server.will_answer(204)
    assert orion.upsert([battery(1, soh=attribute(91.2))]) == 1
    asked = server.asked[0]
    assert asked.line == "POST /v2/op/update?options=overrideMetadata"
    assert asked.json == {
        "actionType": "append",
        "entities": [{"id": "urn:ngsi-ld:Battery:B1", "type": "Battery", "soh": {"type": "Number", "value": 91.2}}],
    }
    assert asked.headers["Content-Length"] == str(len(asked.body))
    assert "Transfer-Encoding" not in asked.headers
    assert asked.headers["Fiware-Service"] == "battery"
    assert asked.headers["Fiware-ServicePath"] == "/dbp"


def test_reading_sends_no_content_type(orion, server):
    server.will_answer(200, {"id": "x"})
    orion.entity("urn:ngsi-ld:Battery:B1", "Battery")
    assert server.lines == ["GET /v2/entities/urn%3Angsi-ld%3ABattery%3AB1?type=Battery"]
    assert "Content-Type" not in server.asked[0].headers


def test_batches_stay_below_the_limit_in_bytes(server):
    for _ in range(20):
        server.will_answer(204)
    orion = Orion(server.url, batch_bytes=1000)
    assert orion.upsert(battery(i, name=attribute("Ω" * 100)) for i in range(20)) == 20
    assert all(len(asked.body) <= 1000 for asked in server.asked)
    assert max(len(sent_ids(asked)) for asked in server.asked) > 1
    assert sum((sent_ids(asked) for asked in server.asked), []) == [f"B{i}" for i in range(20)]


def test_batches_stay_below_the_limit_in_count(server):
    server.will_answer(204).will_answer(204)
    Orion(server.url, batch_count=3).upsert(battery(i) for i in range(5))
    assert [len(sent_ids(asked)) for asked in server.asked] == [3, 2]


def test_nothing_to_send_sends_nothing(orion, server):
    assert orion.upsert([]) == 0
    assert server.asked == []


def test_batch_that_is_too_large_for_the_server_is_halved(orion, server):
    server.will_answer(413).will_answer(204).will_answer(204)
    assert orion.upsert(battery(i) for i in range(5)) == 5
    assert [sent_ids(asked) for asked in server.asked[1:]] == [["B0", "B1"], ["B2", "B3", "B4"]]


def test_entity_that_is_too_large_by_itself_is_named(orion, server):
    server.will_answer(413, {"error": "RequestEntityTooLarge", "description": "payload size: 1368928"})
    with pytest.raises(ServerRefused, match=r"payload size: 1368928 \(entities sent: urn:ngsi-ld:Battery:B1\)"):
        orion.upsert([battery(1)])


def shown(number, **attributes):
    return battery(number, **{name: {"metadata": {}, **one} for name, one in attributes.items()})


@pytest.mark.parametrize("status", [404, 422], ids=["hidden success of 3.10", "PartialUpdate of 4.x"])
def test_what_a_partly_refused_batch_left_out_is_sent_again_one_by_one(orion, server, status):
    server.will_answer(status, {"error": "PartialUpdate", "description": "B1"})
    server.will_answer(200, [shown(0, soh=attribute(90.0)), shown(1, soh=attribute(80.0))])
    server.will_answer(204).will_answer(422, {"error": "Unprocessable", "description": "no"})
    refused = []
    entities = [battery(0, soh=attribute(90.0)), battery(1, soh=attribute(91.0)), battery(2, soh=attribute(92.0))]
    assert orion.upsert(entities, refused=refused) == 2
    assert [sent_ids(asked) for asked in server.asked] == [["B0", "B1", "B2"], ["B0", "B1", "B2"], ["B1"], ["B2"]]
    (refusal,) = refused
    assert "Battery:B2" in str(refusal)


def test_refusal_of_one_entity_of_a_batch_is_raised_by_name_when_refusals_are_not_collected(orion, server):
    server.will_answer(422, {"error": "PartialUpdate", "description": "B1"}).will_answer(200, [shown(0)])
    server.will_answer(422, {"error": "Unprocessable", "description": "no"})
    with pytest.raises(ServerRefused, match=r"no \(entities sent: urn:ngsi-ld:Battery:B1\)"):
        orion.upsert([battery(0), battery(1)])


def test_batch_that_was_stored_after_all_is_not_sent_again(orion, server):
    server.will_answer(404).will_answer(200, [shown(0, r=attribute(0.333333333)), shown(1, r=attribute(1))])
    assert orion.upsert([battery(0, r=attribute(1 / 3)), battery(1, r=attribute(1.0))]) == 2
    assert len(server.asked) == 2


def test_batch_is_repeated_after_a_lost_connection(orion, server):
    server.will_hang_up().will_answer(204)
    assert orion.upsert([battery(1)]) == 1


def test_entity_with_a_nan_is_refused_with_its_name(orion, server):
    with pytest.raises(InputError, match="entity urn:ngsi-ld:Battery:B1"):
        orion.upsert([battery(1, soh={"type": "Number", "value": float("nan")})])
    assert server.asked == []


def test_entities_are_read_page_by_page(orion, server):
    server.will_answer(200, [{"id": str(i)} for i in range(1000)], Fiware_Total_Count="1001")
    server.will_answer(200, [{"id": "1000"}], Fiware_Total_Count="1001")
    assert len(list(orion.entities("Battery"))) == 1001
    assert server.lines == [
        "GET /v2/entities?type=Battery&limit=1000&offset=0&options=count",
        "GET /v2/entities?type=Battery&limit=1000&offset=1000&options=count",
    ]


def test_count_asks_for_the_total(orion, server):
    server.will_answer(200, [{"id": "1"}], Fiware_Total_Count="42")
    assert orion.count("Battery") == 42


def test_deleting_what_is_gone_is_no_error(orion, server):
    server.will_answer(404).will_answer(200, [])
    orion.delete(["a", "b"], "Battery")
    assert [asked.json["entities"] for asked in server.asked] == [
        [{"id": "a", "type": "Battery"}, {"id": "b", "type": "Battery"}]
    ] * 2


def test_entity_that_is_still_there_after_it_was_deleted_is_an_error(orion, server):
    server.will_answer(422).will_answer(200, [{"id": "b", "type": "Battery"}])
    with pytest.raises(ServerRefused):
        orion.delete(["a", "b"], "Battery")


def test_attributes_are_deleted_by_name(orion, server):
    server.will_answer(204)
    orion.delete_attributes([battery(1, soh=attribute(1)), battery(2)])
    assert server.asked[0].json == {"actionType": "delete", "entities": [battery(1, soh={})]}


def test_answer_without_a_count_is_not_taken_for_none(orion, server):
    server.will_answer(204)
    with pytest.raises(ServerRefused, match="is this the address of an Orion"):
        orion.count("Battery")


def test_new_subscription_is_created(orion, server):
    server.will_answer(200, [], Fiware_Total_Count="0").will_answer(201, Location="/v2/subscriptions/5f")
    assert orion.subscribe("health", entity_type="Battery", notify_url="http://me/x", attributes=["soh"]) == "5f"
    assert server.asked[1].json["subject"] == {
        "entities": [{"idPattern": ".*", "type": "Battery"}],
        "condition": {"attrs": ["soh"]},
    }


def test_subscription_with_a_known_description_is_replaced(orion, server):
    server.will_answer(200, [{"id": "4e", "description": "health"}], Fiware_Total_Count="1").will_answer(204)
    assert orion.subscribe("health", entity_type="Battery", notify_url="http://me/x") == "4e"
    assert server.lines[1] == "PATCH /v2/subscriptions/4e"


def test_subscription_that_is_as_asked_for_is_left_alone(orion, server):
    server.will_answer(200, [], Fiware_Total_Count="0").will_answer(201, Location="/v2/subscriptions/5f")
    orion.subscribe("health", entity_type="Battery", notify_url="http://me/x", attributes=["soh"])
    kept = {"id": "5f", **server.asked[1].json}
    kept["notification"] = {**kept["notification"], "timesSent": 7, "covered": False}
    server.will_answer(200, [kept], Fiware_Total_Count="1")
    assert orion.subscribe("health", entity_type="Battery", notify_url="http://me/x", attributes=["soh"]) == "5f"
    assert len(server.asked) == 3


@pytest.mark.parametrize("description", ["state (new)", "", "x" * 1025])
def test_description_that_orion_refuses_is_refused_here(orion, description):
    with pytest.raises(InputError, match="subscription"):
        orion.subscribe(description, entity_type="Battery", notify_url="http://me/x")


@pytest.mark.parametrize("status", [400, 413])
def test_entity_that_orion_refuses_leaves_the_others_alone_when_refusals_are_collected(orion, server, status):
    server.will_answer(status).will_answer(204).will_answer(status).will_answer(status, b"bad").will_answer(204)
    refused = []
    assert orion.upsert([battery(i) for i in range(4)], refused=refused) == 3
    assert [sent_ids(asked) for asked in server.asked] == [
        ["B0", "B1", "B2", "B3"],
        ["B0", "B1"],
        ["B2", "B3"],
        ["B2"],
        ["B3"],
    ]
    (refusal,) = refused
    assert refusal.status == status
    assert "Battery:B2" in str(refusal)


def test_refusal_of_the_whole_request_is_raised_even_when_refusals_are_collected(orion, server):
    server.will_answer(403)
    with pytest.raises(ServerRefused, match="403"):
        orion.upsert([battery(1), battery(2)], refused=[])
    assert len(server.asked) == 1
