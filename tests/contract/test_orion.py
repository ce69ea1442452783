from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.errors import NotFound, ServerRefused
from battery_pilot.services import orion as orion_module
from battery_pilot.services.http import HttpClient
from battery_pilot.services.orion import Orion, attribute, entity_id

AS_OF = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def orion(orion_url, unique):
    """A tenant of its own, emptied afterwards."""
    client = Orion(orion_url, service=unique, service_path="/dbp", wait_second=0.05)
    yield client
    client.delete([entity["id"] for entity in client.entities("Battery")], "Battery")


def battery(number, **attributes):
    return {"id": entity_id(f"B{number}"), "type": "Battery", **attributes}


def test_entity_is_created_and_read_back(orion):
    soh = attribute(91.2, unitCode="P1", as_of=AS_OF)
    assert orion.upsert([battery(1, soh=soh)]) == 1
    stored = orion.entity(entity_id("B1"), "Battery")["soh"]
    assert (stored["type"], stored["value"]) == ("Number", 91.2)
    assert stored["metadata"]["unitCode"]["value"] == "P1"
    assert stored["metadata"]["TimeInstant"]["value"] == "2026-01-02T03:04:05.000Z"


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
