from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient

from battery_pilot.errors import InputError
from battery_pilot.lake import read_lines
from battery_pilot.services import notifications
from battery_pilot.services.ngsi import attribute
from battery_pilot.services.notifications import FIELDS, create_app, notification_rows

AS_OF = datetime(2026, 1, 2, tzinfo=UTC)
HEADERS = {"fiware-service": "battery", "fiware-servicepath": "/dbp"}


def notification(*entities):
    return {"subscriptionId": "5f", "data": list(entities)}


def battery(**attributes):
    return {"id": "urn:ngsi-ld:Battery:B1", "type": "Battery", **attributes}


@pytest.fixture
def receiver(tmp_path):
    with TestClient(create_app(tmp_path, gathering_second=0.02), headers=HEADERS) as client:
        yield client


def lines(folder):
    return [line for path in sorted(folder.rglob("*.jsonl")) for line in read_lines(path)]


def test_each_attribute_becomes_a_line_with_its_time_and_unit(receiver, tmp_path):
    entity = battery(soh=attribute(91.2, as_of=AS_OF, unitCode="P1"), stage=attribute("a (b)"))
    assert receiver.post("/notify", json=notification(entity)).status_code == 204
    soh, stage = lines(tmp_path)
    assert set(soh) == set(FIELDS)
    assert (soh["entity_id"], soh["attribute"], soh["number"], soh["text"]) == (entity["id"], "soh", 91.2, None)
    assert (soh["observed_at"], soh["unit_code"]) == ("2026-01-02T00:00:00.000Z", "P1")
    assert (soh["service"], soh["service_path"], soh["subscription_id"]) == ("battery", "/dbp", "5f")
    assert (stage["number"], stage["text"], stage["observed_at"]) == (None, "a (b)", None)


def test_values_that_are_no_scalars_are_kept_as_json():
    body = notification(battery(a={"type": "StructuredValue", "value": [1, {"b": 2}]}, b=attribute(True)))
    first, second = notification_rows(body, HEADERS, AS_OF)
    assert json.loads(first["text"]) == [1, {"b": 2}]
    assert second["text"] == "true"


def test_what_comes_together_shares_a_file(receiver, tmp_path):
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(
                lambda number: receiver.post("/notify", json=notification(battery(n=attribute(number)))), range(40)
            )
        )
    assert {answer.status_code for answer in answers} == {204}
    assert {line["number"] for line in lines(tmp_path)} == set(range(40))
    assert len(list(tmp_path.rglob("*.jsonl"))) < 40


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"data": 1}', b'{"data": [1]}', b'{"data": [{"id": "a", "type": "b", "soh": 1}]}']
)
def test_what_is_no_notification_is_refused_and_leaves_nothing(receiver, tmp_path, body):
    answer = receiver.post("/notify", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    assert lines(tmp_path) == []


def test_a_notification_that_is_too_long_is_refused(receiver, monkeypatch):
    monkeypatch.setattr(notifications, "MAXIMUM_BYTES", 10)
    assert receiver.post("/notify", json=notification(battery(soh=attribute(1)))).status_code == 413


def test_a_notification_that_cannot_be_kept_is_not_accepted(tmp_path):
    (tmp_path / "file").write_text("")
    with TestClient(create_app(tmp_path / "file", gathering_second=0)) as client:
        assert client.post("/notify", json=notification(battery(soh=attribute(1)))).status_code == 507
        assert client.get("/health").status_code == 200


def test_a_notification_without_values_leaves_no_file(receiver, tmp_path):
    assert receiver.post("/notify", json=notification(battery())).status_code == 204
    assert lines(tmp_path) == []


def test_key_values_are_refused_with_the_remedy():
    with pytest.raises(InputError, match="subscribe without attrsFormat"):
        list(notification_rows(notification(battery(soh=91.2)), {}, AS_OF))
