from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.errors import NotFound, ServerRefused
from battery_pilot.pipeline.broker_sync import sync
from battery_pilot.pipeline.sent_entities import SentEntities
from battery_pilot.services import orion as orion_module
from battery_pilot.services.http import HttpClient
from battery_pilot.services.ngsi import (
    attribute,
    encode_name,
    entity_id,
    modified_at,
    note_of,
    same_value,
    value_of,
)
from battery_pilot.services.orion import Orion

AS_OF = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def orion(orion_url, unique):
    """A tenant of its own, emptied afterwards."""
    client = Orion(orion_url, service=unique, service_path="/dbp", wait_second=0.05)
    yield client
    for entity_type in ("Battery", "BatteryModel"):
        client.delete([entity["id"] for entity in client.entities(entity_type)], entity_type)


def battery(number, **attributes):
    return {"id": entity_id(f"B{number}"), "type": "Battery", **attributes}


def test_entity_is_created_and_read_back(orion):
    soh = attribute(91.2, unitCode="P1", as_of=AS_OF)
    assert orion.upsert([battery(1, soh=soh)]) == 1
    stored = orion.entity(entity_id("B1"), "Battery")["soh"]
    assert (stored["type"], stored["value"]) == ("Number", 91.2)
    assert stored["metadata"]["unitCode"]["value"] == "P1"
    assert stored["metadata"]["dateObserved"]["value"] == "2026-01-02T03:04:05.000Z"


def test_second_upsert_changes_and_adds_attributes_and_makes_no_duplicate(orion):
    orion.upsert([battery(1, soh=attribute(91.2), cycles=attribute(10))])
    orion.upsert([battery(1, soh=attribute(90.0), status=attribute("Original"))])
    stored = orion.entity(entity_id("B1"), "Battery")
    assert {name: stored[name]["value"] for name in ("soh", "cycles", "status")} == {
        "soh": 90.0,
        "cycles": 10,
        "status": "Original",
    }
    assert orion.count("Battery") == 1


def test_new_value_does_not_keep_the_time_of_the_old_one(orion):
    orion.upsert([battery(1, soh=attribute(91.2, as_of=AS_OF))])
    orion.upsert([battery(1, soh=attribute(90.0))])
    assert orion.entity(entity_id("B1"), "Battery")["soh"]["metadata"] == {}


def test_text_with_any_character_comes_back_as_it_was(orion):
    text = "Cell (NMC) = \"x\"; µΩ <a> 'b'"
    orion.upsert([battery(1, chemistry=attribute(text))])
    assert orion.entity(entity_id("B1"), "Battery")["chemistry"]["value"] == text


def test_forbidden_characters_are_refused_and_nothing_of_the_batch_is_stored(orion):
    with pytest.raises(ServerRefused) as caught:
        orion.upsert([battery(1), battery(2, chemistry={"type": "Text", "value": "Cell (NMC)"})])
    assert caught.value.status == 400
    assert "nvalid characters in attribute value" in caught.value.detail
    assert entity_id("B1") in caught.value.detail
    assert orion.count("Battery") == 0


def test_entities_are_read_over_all_pages(orion, monkeypatch):
    monkeypatch.setattr(orion_module, "PAGE_SIZE", 2)
    orion.upsert(battery(number) for number in range(5))
    assert {entity["id"] for entity in orion.entities("Battery")} == {entity_id(f"B{n}") for n in range(5)}
    assert orion.count("Battery") == 5


def test_largest_page_that_the_client_asks_for_is_allowed(orion):
    assert list(orion.entities("Battery")) == []


def test_batch_above_the_limit_of_the_server_is_stored_in_parts(orion_url, unique):
    orion = Orion(orion_url, service=unique, service_path="/dbp", batch_bytes=10_000_000, wait_second=0.05)
    assert orion.upsert(battery(number, log=attribute("x" * 300_000)) for number in range(5)) == 5
    assert orion.count("Battery") == 5
    orion.delete([entity_id(f"B{number}") for number in range(5)], "Battery")


def test_default_batches_fit_the_server(orion):
    assert orion.upsert(battery(number, log=attribute("µ" * 100_000)) for number in range(10)) == 10
    assert orion.count("Battery") == 10


def test_entity_above_the_limit_of_the_server_is_refused_by_name(orion):
    with pytest.raises(ServerRefused) as caught:
        orion.upsert([battery(1, log=attribute("x" * 1_100_000))])
    assert caught.value.status == 413
    assert entity_id("B1") in caught.value.detail


def test_missing_entity_is_not_found(orion):
    with pytest.raises(NotFound):
        orion.entity(entity_id("nobody"), "Battery")


def test_deleted_entity_is_gone_and_deleting_again_is_no_error(orion):
    orion.upsert([battery(1)])
    for _ in range(2):
        orion.delete([entity_id("B1")], "Battery")
    assert orion.count("Battery") == 0


def test_tenants_do_not_see_each_other(orion, orion_url, unique):
    orion.upsert([battery(1)])
    assert Orion(orion_url, service=f"{unique}_b", service_path="/dbp").count("Battery") == 0
    assert Orion(orion_url, service=unique, service_path="/elsewhere").count("Battery") == 0


def test_body_without_a_length_is_refused(orion_url):
    with pytest.raises(ServerRefused) as caught:
        HttpClient(orion_url).request(
            "POST", "/v2/op/update", data=iter([b"{}"]), headers={"Content-Type": "application/json"}
        )
    assert caught.value.status == 411


def test_subscription_with_the_same_description_is_changed_and_not_doubled(orion, orion_url, unique):
    first = orion.subscribe("health", entity_type="Battery", notify_url="http://127.0.0.1:9/a", attributes=["soh"])
    try:
        again = orion.subscribe(
            "health", entity_type="Battery", notify_url="http://127.0.0.1:9/b", attributes=["soh"]
        )
        http = HttpClient(orion_url, headers={"Fiware-Service": unique, "Fiware-ServicePath": "/dbp"})
        (stored,) = http.get_json("/v2/subscriptions")
        assert again == first == stored["id"]
        assert stored["notification"]["http"]["url"] == "http://127.0.0.1:9/b"
    finally:
        HttpClient(orion_url, headers={"Fiware-Service": unique, "Fiware-ServicePath": "/dbp"}).request(
            "DELETE", f"/v2/subscriptions/{first}"
        )


def as_an_application(orion_url, unique):
    return HttpClient(orion_url, headers={"Fiware-Service": unique, "Fiware-ServicePath": "/dbp"})


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30))
def test_any_text_comes_back_as_value_note_and_name(orion, text):
    name = encode_name(text)
    orion.upsert(
        [battery(1, note=attribute(text, method=text), **({} if name in ("id", "type") else {name: attribute(1)}))]
    )
    stored = orion.entity(entity_id("B1"), "Battery")
    assert value_of(stored["note"]) == text
    assert note_of(stored["note"], "method") == text
    assert name in stored


@pytest.mark.parametrize("number", [0.333333333333, 4.9e-10, 1.23456789e-5, 1e17, -7, 2.5, 123456.123456789])
def test_number_comes_back_with_nine_decimals(orion, number):
    orion.upsert([battery(1, r=attribute(number))])
    assert same_value(number, orion.entity(entity_id("B1"), "Battery")["r"]["value"])


def test_one_entity_that_cannot_be_stored_leaves_the_others_alone(orion):
    place = {"type": "geo:point", "value": "1,2"}
    refused = []
    assert orion.upsert([battery(1), battery(2, a=place, b=place), battery(3)], refused=refused) == 2
    assert [one.identifier for one in refused] == [entity_id("B2")]
    assert orion.count("Battery") == 2


def test_many_are_read_at_once_with_the_time_of_their_last_change(orion):
    orion.upsert([battery(1, soh=attribute(90.0)), battery(2)])
    found = orion.read([battery(1), battery(2), battery(3)])
    assert found.keys() == {entity_id("B1"), entity_id("B2")}
    assert modified_at(found[entity_id("B1")]["soh"]) > AS_OF
    (listed,) = (one for one in orion.entities("Battery", modified=True) if one["id"] == entity_id("B1"))
    assert listed == found[entity_id("B1")]


def test_attributes_are_deleted_and_deleting_them_again_is_no_error(orion):
    orion.upsert([battery(1, soh=attribute(90.0), cycles=attribute(1))])
    for _ in range(2):
        orion.delete_attributes([battery(1, soh={})])
    assert "soh" not in orion.entity(entity_id("B1"), "Battery")


def test_deleting_some_that_are_gone_deletes_the_others(orion):
    orion.upsert([battery(1), battery(3)])
    orion.delete([entity_id(f"B{number}") for number in range(5)], "Battery")
    assert orion.count("Battery") == 0


def test_value_that_an_application_sets_keeps_our_time_and_is_known_as_theirs(orion, orion_url, unique, tmp_path):
    sent = SentEntities(tmp_path / "sent.sqlite", orion.place, "passport")
    assert sync(orion, [battery(1, soh=attribute(90.0, as_of=AS_OF))], sent).written == 1
    path = f"/v2/entities/{entity_id('B1')}/attrs/soh/value"
    as_an_application(orion_url, unique).request("PUT", path, data=b"70.5", headers={"Content-Type": "text/plain"})
    later = battery(1, soh=attribute(89.0, as_of=AS_OF + timedelta(days=1)))
    counts = sync(orion, [later], sent)
    assert (counts.written, counts.kept_newer) == (0, 1)
    assert orion.entity(entity_id("B1"), "Battery")["soh"]["value"] == 70.5


def test_repeated_sync_writes_nothing_and_a_lost_entity_comes_back(orion, tmp_path):
    sent = SentEntities(tmp_path / "sent.sqlite", orion.place, "passport")
    fleet = [battery(number, soh=attribute(1 / 3 + number, as_of=AS_OF, method="C/3 (25 °C)")) for number in range(5)]
    assert sync(orion, fleet, sent).written == 5
    assert sync(orion, fleet, sent).written == 0
    orion.delete([entity_id("B3")], "Battery")
    assert sync(orion, fleet, sent).written == 1
    fresh = SentEntities(tmp_path / "fresh.sqlite", orion.place, "passport")
    assert sync(orion, fleet, fresh).written == 0
