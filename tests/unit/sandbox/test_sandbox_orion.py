"""The Orion sandbox has Orion's limits and refusals."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from battery_pilot.sandbox.orion import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HEADERS = {"Fiware-Service": "battery", "Fiware-ServicePath": "/dbp"}
UPDATE = "/v2/op/update"


@pytest.fixture
def orion(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(tmp_path), headers=HEADERS) as client:
        yield client


def battery(number: int, soh: Any = 91.2, **more: Any) -> dict[str, Any]:
    return {
        "id": f"urn:ngsi-ld:Battery:B{number}",
        "type": "Battery",
        "soh": {"type": "Number", "value": soh},
        **more,
    }


def batch(*entities: Any, action: str = "append") -> dict[str, Any]:
    return {"actionType": action, "entities": list(entities)}


def test_an_appended_entity_comes_back_normalized_and_as_key_values(orion: TestClient) -> None:
    tested = {"type": "DateTime", "value": "2026-01-02T03:04:05+01:00"}
    assert orion.post(UPDATE, json=batch(battery(1, lastTestedAt=tested))).status_code == 204
    entity = orion.get("/v2/entities/urn:ngsi-ld:Battery:B1").json()
    assert entity["soh"] == {"type": "Number", "value": 91.2, "metadata": {}}
    assert entity["lastTestedAt"]["value"] == "2026-01-02T02:04:05.000Z"
    flat = orion.get("/v2/entities", params={"options": "keyValues", "attrs": "soh"}).json()
    assert flat == [{"id": "urn:ngsi-ld:Battery:B1", "type": "Battery", "soh": 91.2}]
    assert set(orion.get("/v2/entities/urn:ngsi-ld:Battery:B1/attrs").json()) == {"soh", "lastTestedAt"}


def test_metadata_stay_when_an_attribute_is_appended_without_them(orion: TestClient) -> None:
    unit = {"unitCode": {"type": "Text", "value": "P1"}}
    with_unit = {**battery(1), "soh": {"type": "Number", "value": 92, "metadata": unit}}
    orion.post(UPDATE, json=batch(with_unit))
    orion.post(UPDATE, json=batch(battery(1, 90)))
    soh = orion.get("/v2/entities/urn:ngsi-ld:Battery:B1").json()["soh"]
    assert soh == {"type": "Number", "value": 90, "metadata": unit}
    orion.post(UPDATE, params={"options": "overrideMetadata"}, json=batch(battery(1, 90)))
    assert orion.get("/v2/entities/urn:ngsi-ld:Battery:B1").json()["soh"]["metadata"] == {}


@pytest.mark.parametrize("character", list("<>\"'=;()"))
def test_forbidden_characters_in_a_value_are_refused_unless_unrestricted(orion: TestClient, character: str) -> None:
    text = f"Cell {character} NMC µΩ"
    for value in (text, {"deep": [text]}):
        answer = orion.post(UPDATE, json=batch(battery(1, note={"type": "Text", "value": value})))
        assert answer.status_code == 400
        assert answer.json() == {"error": "BadRequest", "description": "Invalid characters in attribute value"}
    unrestricted = battery(1, note={"type": "TextUnrestricted", "value": text})
    assert orion.post(UPDATE, json=batch(unrestricted)).status_code == 204


@pytest.mark.parametrize("identifier", ["a b", "a&b", "https://x/?q", "a#b", "a/b", "a(b)", "aΩ", "x" * 257])
def test_an_id_with_a_bad_character_or_length_is_refused(orion: TestClient, identifier: str) -> None:
    answer = orion.post(UPDATE, json=batch({"id": identifier, "type": "Battery"}))
    assert answer.status_code == 400
    assert "entity id" in answer.json()["description"]


def test_one_bad_entity_keeps_the_whole_request_out(orion: TestClient) -> None:
    assert orion.post(UPDATE, json=batch(battery(1), battery(2, "x(y)"))).status_code == 400
    assert orion.get("/v2/entities").json() == []


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_what_json_does_not_know_is_a_parse_error(orion: TestClient, constant: str) -> None:
    body = json.dumps(batch(battery(1, "@"))).replace('"@"', constant)
    answer = orion.post(UPDATE, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (400, "ParseError")


def test_more_than_one_megabyte_is_too_large(orion: TestClient) -> None:
    answer = orion.post(UPDATE, json=batch(battery(1, note={"type": "Text", "value": "x" * 1_048_576})))
    assert answer.status_code == 413
    body = answer.json()
    assert body["error"] == "RequestEntityTooLarge"
    assert body["description"].endswith("max size supported: 1048576")


def test_chunked_encoding_is_not_accepted(orion: TestClient) -> None:
    chunks = iter([json.dumps(batch(battery(1))).encode()])
    answer = orion.post(UPDATE, content=chunks, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["error"]) == (411, "ContentLengthRequired")


def test_a_content_type_is_needed_with_a_body_and_refused_without(orion: TestClient) -> None:
    assert orion.post(UPDATE, content="{}", headers={"Content-Type": "text/plain"}).status_code == 415
    assert orion.get("/v2/entities", headers={"Content-Type": "application/json"}).status_code == 400


@pytest.mark.parametrize("tenant", ["my-fleet", "a.b", "x" * 51])
def test_a_bad_tenant_is_refused(orion: TestClient, tenant: str) -> None:
    answer = orion.get("/v2/entities", headers={"Fiware-Service": tenant})
    assert answer.status_code == 400
    assert "tenant name" in answer.json()["description"]


@pytest.mark.parametrize("path", ["dbp", "/a-b", "/" + "x" * 51, "/a" * 11, "/dbp/#"])
def test_a_bad_service_path_is_refused_for_writing(orion: TestClient, path: str) -> None:
    assert orion.post(UPDATE, json=batch(battery(1)), headers={"Fiware-ServicePath": path}).status_code == 400


def test_tenants_and_paths_do_not_see_each_other(orion: TestClient) -> None:
    orion.post(UPDATE, json=batch(battery(1)))

    def count(tenant: str, path: str) -> int:
        return len(orion.get("/v2/entities", headers={"Fiware-Service": tenant, "Fiware-ServicePath": path}).json())

    assert (count("battery", "/dbp"), count("battery", "/#"), count("battery", "/dbp/#")) == (1, 1, 1)
    assert (count("battery", "/"), count("battery", "/db/#"), count("other", "/dbp")) == (0, 0, 0)


def test_pages_have_orions_bounds_and_count(orion: TestClient) -> None:
    orion.post(UPDATE, json=batch(*[battery(number) for number in range(25)]))
    first = orion.get("/v2/entities", params={"options": "count"})
    assert (len(first.json()), first.headers["Fiware-Total-Count"]) == (20, "25")
    assert len(orion.get("/v2/entities", params={"offset": 20, "limit": 1000}).json()) == 5
    for limit in ("1001", "0", "-1", "x"):
        assert orion.get("/v2/entities", params={"limit": limit}).status_code == 400


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("soh<80", [70]),
        ("soh>=80", [80, 90]),
        ("soh==70,90", [70, 90]),
        ("soh!=70", [80, 90]),
        ("soh==75..85", [80]),
        ("soh>70;soh<90", [80]),
        ("chemistry", [70]),
        ("!chemistry", [80, 90]),
        ("chemistry~=^N", [70]),
        ("soh=='70'", []),
        ("location.city==Turin", [90]),
    ],
)
def test_the_simple_query_language_compares(orion: TestClient, query: str, expected: list[int]) -> None:
    orion.post(
        UPDATE,
        json=batch(
            battery(1, 70, chemistry={"value": "NMC"}),
            battery(2, 80),
            battery(3, 90, location={"value": {"city": "Turin"}}),
        ),
    )
    found = orion.get("/v2/entities", params={"q": query, "options": "keyValues"}).json()
    assert [entity["soh"] for entity in found] == expected


def test_entities_are_selected_by_id_type_and_pattern(orion: TestClient) -> None:
    orion.post(UPDATE, json=batch(battery(1), battery(2), {"id": "urn:x", "type": "Lab"}))

    def count(**parameters: str) -> int:
        return len(orion.get("/v2/entities", params=parameters).json())

    assert count(type="Battery") == 2
    assert count(idPattern="B[12]$") == 2
    assert count(id="urn:x,urn:ngsi-ld:Battery:B1") == 2
    assert orion.get("/v2/entities", params={"id": "a", "idPattern": "b"}).status_code == 400
    assert orion.get("/v2/entities", params={"idPattern": "("}).status_code == 400


def test_append_strict_reports_what_exists_and_creates_the_rest(orion: TestClient) -> None:
    orion.post(UPDATE, json=batch(battery(1, 70)))
    answer = orion.post(UPDATE, json=batch(battery(1, 99), battery(2), action="appendStrict"))
    assert (answer.status_code, answer.json()["error"]) == (422, "PartialUpdate")
    found = orion.get("/v2/entities", params={"options": "keyValues"}).json()
    assert [entity["soh"] for entity in found] == [70, 91.2]


def test_update_replace_and_delete_act_on_what_exists(orion: TestClient) -> None:
    assert orion.post(UPDATE, json=batch(battery(1), action="update")).status_code == 404
    orion.post(UPDATE, json=batch(battery(1, note={"value": "first"})))
    assert orion.post(UPDATE, json=batch(battery(1, 80), action="update")).status_code == 204
    unknown = orion.post(UPDATE, json=batch(battery(1, other={"value": 1}), action="update"))
    assert (unknown.status_code, unknown.json()["error"]) == (422, "Unprocessable")
    assert orion.post(UPDATE, json=batch(battery(1, 75), action="replace")).status_code == 204
    assert set(orion.get("/v2/entities/urn:ngsi-ld:Battery:B1").json()) == {"id", "type", "soh"}
    nameless = {"id": "urn:ngsi-ld:Battery:B1", "type": "Battery"}
    assert orion.post(UPDATE, json=batch(nameless, action="delete")).status_code == 204
    assert orion.get("/v2/entities/urn:ngsi-ld:Battery:B1").status_code == 404
    assert orion.post(UPDATE, json=batch(nameless, action="merge")).status_code == 400


def test_single_entities_are_created_changed_and_deleted(orion: TestClient) -> None:
    created = orion.post("/v2/entities", json=battery(1))
    assert created.status_code == 201
    assert created.headers["location"].startswith("/v2/entities/urn")
    again = orion.post("/v2/entities", json=battery(1))
    assert (again.status_code, again.json()["description"]) == (422, "Already Exists")
    one = "/v2/entities/urn:ngsi-ld:Battery:B1"
    assert orion.patch(f"{one}/attrs", json={"other": {"value": 1}}).status_code == 422
    assert orion.post(f"{one}/attrs", json={"other": {"value": 1}}).status_code == 204
    assert orion.patch(f"{one}/attrs?options=keyValues", json={"other": 2}).status_code == 204
    assert orion.get(one, params={"options": "keyValues"}).json()["other"] == 2
    orion.post("/v2/entities", json={**battery(1), "type": "Twin"})
    assert orion.get(one).status_code == 409
    assert orion.get(one, params={"type": "Twin"}).status_code == 200
    assert orion.delete(one, params={"type": "Twin"}).status_code == 204
    assert orion.delete(one).status_code == 204
    assert orion.delete(one).status_code == 404


@pytest.fixture
def receiver() -> Iterator[tuple[str, Queue[tuple[dict[str, str], Any]]]]:
    received: Queue[tuple[dict[str, str], Any]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put(({name.lower(): value for name, value in self.headers.items()}, json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/notify", received
    server.shutdown()
    thread.join()
    server.server_close()


def subscription(url: str) -> dict[str, Any]:
    return {
        "subject": {"entities": [{"idPattern": ".*", "type": "Battery"}], "condition": {"attrs": ["soh"]}},
        "notification": {"http": {"url": url}, "attrs": ["soh"]},
    }


def test_a_changed_watched_attribute_is_notified_once(
    orion: TestClient, receiver: tuple[str, Queue[tuple[dict[str, str], Any]]]
) -> None:
    url, received = receiver
    created = orion.post("/v2/subscriptions", json=subscription(url))
    assert created.status_code == 201
    orion.post(UPDATE, json=batch(battery(1, 80, note={"value": "x"})))
    headers, body = received.get(timeout=5)
    assert headers["fiware-service"] == "battery"
    assert headers["fiware-servicepath"] == "/dbp"
    assert body["data"][0]["soh"]["value"] == 80
    assert "note" not in body["data"][0]
    orion.post(UPDATE, json=batch(battery(1, 80)))
    orion.post(UPDATE, json=batch(battery(1, 80, note={"value": "y"})))
    orion.post(UPDATE, params={"options": "forcedUpdate"}, json=batch(battery(1, 80)))
    assert received.get(timeout=5)[1]["data"][0]["soh"]["value"] == 80
    assert received.empty()
    one = created.headers["location"]
    assert orion.get(one).json()["notification"]["http"] == {"url": url}
    assert len(orion.get("/v2/subscriptions").json()) == 1
    assert orion.patch(one, json={"status": "inactive"}).status_code == 204
    orion.post(UPDATE, json=batch(battery(1, 70)))
    assert orion.patch(one, json={"status": "active"}).status_code == 204
    orion.post(UPDATE, json=batch(battery(1, 60)))
    assert received.get(timeout=5)[1]["data"][0]["soh"]["value"] == 60
    assert orion.patch(one, json={"subject": {"entities": []}}).status_code == 400
    assert orion.delete(one).status_code == 204
    assert orion.get(one).status_code == 404


def test_a_subscription_needs_entities_and_an_address_on_this_machine(orion: TestClient) -> None:
    assert (
        orion.post("/v2/subscriptions", json={"notification": {"http": {"url": "http://localhost:1"}}}).status_code
        == 400
    )
    assert orion.post("/v2/subscriptions", json=subscription("http://192.0.2.1/notify")).status_code == 400


def test_entities_survive_a_restart(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path), headers=HEADERS) as client:
        client.post(UPDATE, json=batch(battery(1)))
    with TestClient(create_app(tmp_path), headers=HEADERS) as client:
        assert client.get("/v2/entities/urn:ngsi-ld:Battery:B1").status_code == 200


def test_a_value_alone_is_set_and_its_metadata_stay(orion: TestClient) -> None:
    unit = {"unitCode": {"type": "Text", "value": "P1"}}
    orion.post(UPDATE, json=batch({**battery(1), "soh": {"type": "Number", "value": 92, "metadata": unit}}))
    path = "/v2/entities/urn:ngsi-ld:Battery:B1/attrs/soh/value"
    assert orion.put(path, content=b"70.5", headers={"Content-Type": "text/plain"}).status_code == 204
    soh = orion.get("/v2/entities/urn:ngsi-ld:Battery:B1").json()["soh"]
    assert soh == {"type": "Number", "value": 70.5, "metadata": unit}
    assert orion.put(path, content=b"[1]", headers={"Content-Type": "text/plain"}).status_code == 400


def test_many_entities_are_asked_for_by_their_ids(orion: TestClient) -> None:
    orion.post(UPDATE, json=batch(battery(1), battery(2), battery(3)))
    wanted = [{"id": f"urn:ngsi-ld:Battery:B{number}", "type": "Battery"} for number in (1, 3, 9)]
    found = orion.post("/v2/op/query", json={"entities": wanted, "metadata": ["dateModified", "*"]}).json()
    assert [one["id"][-2:] for one in found] == ["B1", "B3"]
    assert found[0]["soh"]["metadata"]["dateModified"]["type"] == "DateTime"
    assert "dateModified" not in orion.get("/v2/entities/urn:ngsi-ld:Battery:B1").json()["soh"]["metadata"]


def test_time_of_the_last_change_moves_only_with_a_change(orion: TestClient) -> None:
    def modified() -> str:
        asked = {"metadata": "dateModified"}
        entity = orion.get("/v2/entities/urn:ngsi-ld:Battery:B1", params=asked).json()
        return entity["soh"]["metadata"]["dateModified"]["value"]

    orion.post(UPDATE, json=batch(battery(1, 90)))
    first = modified()
    orion.post(UPDATE, json=batch(battery(1, 90)))
    assert modified() == first


def test_numbers_have_nine_decimals_and_a_text_ends_at_a_nul(orion: TestClient) -> None:
    nul = {"type": "TextUnrestricted", "value": "a\0b"}
    numbers = {"tiny": {"value": 4.9e-10}, "third": {"value": 1 / 3}, "whole": {"value": 3.0}}
    orion.post(UPDATE, json=batch(battery(1, note=nul, **numbers)))
    (found,) = orion.get("/v2/entities", params={"options": "keyValues"}).json()
    assert (found["tiny"], found["third"], found["whole"], found["note"]) == (0, 0.333333333, 3, "a")


def test_nothing_lifts_the_forbidden_characters_in_metadata(orion: TestClient) -> None:
    notes = {"method": {"type": "TextUnrestricted", "value": "C/3 (25)"}}
    answer = orion.post(UPDATE, json=batch(battery(1, x={"type": "Number", "value": 1, "metadata": notes})))
    assert (answer.status_code, answer.json()["description"]) == (400, "Invalid characters in metadata value")


def test_an_entity_with_two_places_is_refused_and_the_others_are_stored(orion: TestClient) -> None:
    place = {"type": "geo:point", "value": "1,2"}
    answer = orion.post(UPDATE, json=batch(battery(1), battery(2, a=place, b=place), battery(3)))
    assert (answer.status_code, answer.json()["error"]) == (413, "NoResourcesAvailable")
    assert len(orion.get("/v2/entities").json()) == 2


@pytest.mark.parametrize(("version", "error"), [("3.10.1", "Unprocessable"), ("3.11.0", "PartialUpdate")])
def test_before_3_11_a_partial_success_is_hidden(tmp_path: Path, version: str, error: str) -> None:
    with TestClient(create_app(tmp_path, version=version), headers=HEADERS) as orion:
        assert orion.get("/version").json()["orion"]["version"] == version
        orion.post(UPDATE, json=batch(battery(1)))
        answer = orion.post(UPDATE, json=batch(battery(2), battery(1), battery(3), action="appendStrict"))
        assert (answer.status_code, answer.json()["error"]) == (422, error)
        assert len(orion.get("/v2/entities").json()) == 3


@pytest.mark.parametrize("description", ["state (new)", "x" * 1025])
def test_a_subscription_with_a_bad_description_is_refused(orion: TestClient, description: str) -> None:
    subscription = {
        "description": description,
        "subject": {"entities": [{"idPattern": ".*"}]},
        "notification": {"http": {"url": "http://127.0.0.1:9/"}},
    }
    assert orion.post("/v2/subscriptions", json=subscription).status_code == 400
