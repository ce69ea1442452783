from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from battery_pilot.errors import InputError, ServerRefused
from battery_pilot.services.orion import Orion, attribute, entity_id


@pytest.fixture
def orion(server):
    return Orion(server.url, service="battery", service_path="/dbp", wait_second=0, attempts=2)


def battery(number, **attributes):
    return {"id": entity_id(f"B{number}"), "type": "Battery", **attributes}


def sent_ids(asked):
    return [entity["id"].rpartition(":")[2] for entity in asked.json["entities"]]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (91.2, {"type": "Number", "value": 91.2}),
        (7, {"type": "Number", "value": 7}),
        (np.int64(7), {"type": "Number", "value": 7}),
        (np.float32(0.5), {"type": "Number", "value": 0.5}),
        (True, {"type": "Boolean", "value": True}),
        ("NMC", {"type": "Text", "value": "NMC"}),
        ('Cell (NMC) = "x"; µΩ', {"type": "TextUnrestricted", "value": 'Cell (NMC) = "x"; µΩ'}),
        (
            datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
            {"type": "DateTime", "value": "2026-01-02T03:04:05.678Z"},
        ),
        (
            datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))),
            {"type": "DateTime", "value": "2026-01-01T23:00:00.000Z"},
        ),
    ],
)
def test_value_gets_its_type(value, written):
    assert attribute(value) == written


@pytest.mark.parametrize("char", "<>\"'=;()")
def test_each_forbidden_character_makes_a_text_unrestricted(char):
    assert attribute(f"a{char}b")["type"] == "TextUnrestricted"


def test_metadata_says_unit_and_time():
    written = attribute(91.2, unitCode="P1", as_of=datetime(2026, 1, 2, tzinfo=UTC), method="capacity")
    assert written["metadata"] == {
        "unitCode": {"type": "Text", "value": "P1"},
        "TimeInstant": {"type": "DateTime", "value": "2026-01-02T00:00:00.000Z"},
        "method": {"type": "Text", "value": "capacity"},
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan")])
def test_number_that_is_not_finite_is_refused(value):
    with pytest.raises(InputError, match="leave a value that is not known out"):
        attribute(value)


def test_time_without_a_zone_is_refused():
    with pytest.raises(InputError, match="no zone"):
        attribute(datetime(2026, 1, 2))  # noqa: DTZ001


def test_metadata_with_forbidden_characters_is_refused():
    with pytest.raises(InputError, match="metadata method: Orion forbids"):
        attribute(1, method="C/3 (25 degC)")


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_value_of_another_type_is_refused(value):
    with pytest.raises(InputError, match=type(value).__name__):
        attribute(value)


@pytest.mark.parametrize("slug", ["a b", "a/b", "ü", "a?", "a#", "a&b", "(a)", "a\n", "x" * 250])
def test_slug_that_orion_refuses_is_refused_here(slug):
    with pytest.raises(InputError, match="Orion takes no"):
        entity_id(slug)


def test_entity_id_names_the_battery():
    assert entity_id("acme-B0001") == "urn:ngsi-ld:Battery:acme-B0001"


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


def test_partial_update_names_the_entities(orion, server):
    server.will_answer(422, {"error": "PartialUpdate", "description": "already exist: B1"})
    with pytest.raises(ServerRefused, match=r"PartialUpdate.*Battery:B0, .*B9 and 2 more") as caught:
        orion.upsert(battery(i) for i in range(12))
    assert caught.value.status == 422


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
    server.will_answer(404).will_answer(204)
    orion.delete(["a", "b"], "Battery")
    assert server.lines == ["DELETE /v2/entities/a?type=Battery", "DELETE /v2/entities/b?type=Battery"]


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
