"""The AAS sandbox refuses and keeps what AASX Server refuses and keeps."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from fastapi.testclient import TestClient

from battery_pilot.sandbox.aas import create_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHELL_ID = "https://example.com/ids/B-1/aas"
SUBMODEL_ID = "https://example.com/ids/B-1/sm/condition"


def encoded(identifier: str, *, padded: bool = False) -> str:
    text = base64.urlsafe_b64encode(identifier.encode()).decode()
    return text if padded else text.rstrip("=")


def shell(identifier: str = SHELL_ID, asset: str = "https://example.com/ids/B-1") -> dict[str, Any]:
    return {
        "modelType": "AssetAdministrationShell",
        "id": identifier,
        "idShort": "Battery",
        "assetInformation": {"assetKind": "Instance", "globalAssetId": asset},
    }


def number(id_short: str | None, value: str, value_type: str = "xs:double") -> dict[str, Any]:
    named = {"idShort": id_short} if id_short else {}
    return {"modelType": "Property", **named, "valueType": value_type, "value": value}


def submodel(identifier: str = SUBMODEL_ID, *elements: dict[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {"modelType": "Submodel", "id": identifier, "idShort": "Condition"}
    return {**document, "submodelElements": list(elements)} if elements else document


def resistances(*children: dict[str, Any]) -> dict[str, Any]:
    return {
        "modelType": "SubmodelElementList",
        "idShort": "Resistances",
        "typeValueListElement": "SubmodelElementCollection",
        "value": [{"modelType": "SubmodelElementCollection", "value": [child]} for child in children],
    }


def reference(identifier: str = SUBMODEL_ID) -> dict[str, Any]:
    return {"type": "ModelReference", "keys": [{"type": "Submodel", "value": identifier}]}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(create_app(tmp_path)) as client:
        yield client


def path_of(*parts: str) -> str:
    return "/" + "/".join(parts)


@pytest.mark.parametrize("padded", [True, False])
def test_an_id_is_found_with_and_without_padding(server: TestClient, padded: bool) -> None:
    assert server.post("/shells", json=shell("urn:b:1")).status_code == 201
    assert server.get(path_of("shells", encoded("urn:b:1", padded=padded))).json()["id"] == "urn:b:1"


def test_an_id_that_is_not_base64url_is_a_bad_request(server: TestClient) -> None:
    answer = server.get("/shells/a+b*")
    assert answer.status_code == 400
    message = answer.json()["messages"][0]
    assert message["code"] == "BadRequest"
    assert set(message) == {"code", "messageType", "text", "timestamp"}


@pytest.mark.parametrize(("collection", "document"), [("shells", shell()), ("submodels", submodel())])
def test_create_replace_delete_answer_like_aasx_server(
    server: TestClient, collection: str, document: dict[str, Any]
) -> None:
    one = path_of(collection, encoded(document["id"]))
    assert server.put(one, json=document).status_code == 404
    created = server.post(path_of(collection), json=document)
    assert (created.status_code, created.headers["location"]) == (201, one)
    assert server.post(path_of(collection), json=document).status_code == 409
    changed = {**document, "idShort": "Changed"}
    assert server.put(one, json=changed).status_code == 204
    assert server.get(one).json() == changed
    assert server.put(one, json={**document, "id": "urn:other"}).status_code == 400
    assert server.delete(one).status_code == 204
    assert server.delete(one).status_code == 404
    assert server.get(one).status_code == 404


@pytest.mark.parametrize(
    ("element", "finding"),
    [
        (number("Soh", "high"), "value"),
        ({**number("Soh", "1"), "unknownKey": 1}, "unknownKey"),
        (number("1x", "1"), "id_short"),
    ],
)
def test_what_breaks_the_metamodel_is_refused_with_the_reason(
    server: TestClient, element: dict[str, Any], finding: str
) -> None:
    answer = server.post("/submodels", json=submodel(SUBMODEL_ID, element))
    assert answer.status_code == 400
    assert finding.lower() in answer.json()["messages"][0]["text"].lower()
    assert server.get("/submodels").json()["result"] == []


def test_an_id_short_inside_a_list_is_refused(server: TestClient) -> None:
    document = submodel(SUBMODEL_ID, resistances(number("Ohm", "0.1")))
    assert server.post("/submodels", json=document).status_code == 201
    document["id"] = "urn:second"
    document["submodelElements"][0]["value"][0]["idShort"] = "First"
    answer = server.post("/submodels", json=document)
    assert answer.status_code == 400
    assert "Resistances[0]: AASd-120" in answer.json()["messages"][0]["text"]


def test_a_null_body_is_forbidden_and_broken_json_is_bad(server: TestClient) -> None:
    assert server.post("/shells", content="null").status_code == 403
    assert server.post("/shells", content="{").status_code == 400


def test_pages_follow_the_integer_cursor_to_the_end(server: TestClient) -> None:
    for index in range(5):
        server.post("/shells", json=shell(f"urn:b:{index}"))
    first = server.get("/shells", params={"limit": 2}).json()
    assert first["paging_metadata"] == {"cursor": "2"}
    last = server.get("/shells", params={"limit": 2, "cursor": "4"}).json()
    assert [one["id"] for one in last["result"]] == ["urn:b:4"]
    assert not last["paging_metadata"].get("cursor")
    assert server.get("/shells", params={"limit": -1}).status_code == 400
    assert server.get("/shells", params={"cursor": "x"}).status_code == 400


def test_shells_are_looked_up_by_their_asset(server: TestClient) -> None:
    server.post("/shells", json=shell())
    server.post("/shells", json=shell("urn:b:2", asset="urn:asset:2"))
    wanted = encoded(json.dumps({"name": "globalAssetId", "value": "urn:asset:2"}))
    assert server.get("/lookup/shells", params={"assetIds": wanted}).json()["result"] == ["urn:b:2"]
    assert len(server.get("/shells", params={"assetIds": wanted}).json()["result"]) == 1


def test_submodel_references_are_added_once_and_their_deletion_fails_as_in_aasx_server(server: TestClient) -> None:
    server.post("/shells", json=shell())
    references = path_of("shells", encoded(SHELL_ID), "submodel-refs")
    assert server.post(references, json=reference()).status_code == 201
    assert server.post(references, json=reference()).status_code == 409
    assert server.post(references, json={"type": "ModelReference", "keys": []}).status_code == 400
    assert server.get(references).json()["result"] == [reference()]
    assert server.delete(f"{references}/{encoded(SUBMODEL_ID)}").status_code == 500
    assert server.get(references).json()["result"] == [reference()]


def test_elements_are_read_and_written_by_their_path(server: TestClient) -> None:
    server.post("/submodels", json=submodel(SUBMODEL_ID, resistances(number("Ohm", "0.1"))))
    elements = path_of("submodels", encoded(SUBMODEL_ID), "submodel-elements")
    inner = f"{elements}/Resistances%5B0%5D.Ohm"
    assert server.get(inner).json()["value"] == "0.1"
    assert server.put(inner, json=number("Ohm", "0.2")).status_code == 204
    assert server.get(f"{inner}/$value").json() == 0.2
    assert server.put(f"{elements}/Missing", json=number("Missing", "1")).status_code == 404
    assert server.post(elements, json=number("Soh", "91.5")).status_code == 201
    assert server.post(elements, json=number("Soh", "91.5")).status_code == 409
    assert server.post(f"{elements}/Resistances%5B0%5D", json=number("Hz", "1", "xs:int")).status_code == 201
    assert len(server.get(elements).json()["result"]) == 2
    value = server.get(path_of("submodels", encoded(SUBMODEL_ID), "$value")).json()
    assert value == {"Resistances": [{"Ohm": 0.2, "Hz": 1}], "Soh": 91.5}
    assert "value" not in server.get(f"{elements}/Soh/$metadata").json()
    keys = server.get(f"{inner}/$reference").json()["keys"]
    assert [key["value"] for key in keys] == [SUBMODEL_ID, "Resistances", "0", "Ohm"]
    assert server.delete(f"{elements}/Soh").status_code == 204
    assert server.get(f"{elements}/Soh").status_code == 404
    assert server.get(f"{elements}/So%20h").status_code == 400


def test_deleting_the_last_element_leaves_a_valid_submodel(server: TestClient) -> None:
    server.post("/submodels", json=submodel(SUBMODEL_ID, number("Soh", "91.5")))
    one = path_of("submodels", encoded(SUBMODEL_ID))
    assert server.delete(f"{one}/submodel-elements/Soh").status_code == 204
    assert server.get(one).json() == submodel()


def test_patching_a_value_is_not_implemented(server: TestClient) -> None:
    server.post("/submodels", json=submodel(SUBMODEL_ID, number("Soh", "91.5")))
    one = path_of("submodels", encoded(SUBMODEL_ID))
    assert server.patch(f"{one}/$value", json={"Soh": 1}).status_code == 501
    assert server.patch(f"{one}/submodel-elements/Soh/$value", json=1).status_code == 501


def test_values_keep_their_types_and_leave_out_what_has_none(server: TestClient) -> None:
    server.post(
        "/submodels",
        json=submodel(
            SUBMODEL_ID,
            number("Flag", "true", "xs:boolean"),
            number("When", "2026-01-02T03:04:05Z", "xs:dateTime"),
            number("Endless", "INF"),
            {"modelType": "Range", "idShort": "Window", "valueType": "xs:int", "min": "1", "max": "2"},
            {"modelType": "MultiLanguageProperty", "idShort": "Name", "value": [{"language": "en", "text": "Cell"}]},
            {"modelType": "File", "idShort": "Log", "contentType": "text/csv", "value": "/aasx/log.csv"},
            {"modelType": "Capability", "idShort": "Charging"},
        ),
    )
    assert server.get(path_of("submodels", encoded(SUBMODEL_ID), "$value")).json() == {
        "Flag": True,
        "When": "2026-01-02T03:04:05Z",
        "Endless": "INF",
        "Window": {"min": 1, "max": 2},
        "Name": [{"en": "Cell"}],
        "Log": {"contentType": "text/csv", "value": "/aasx/log.csv"},
    }


def test_a_package_goes_out_and_comes_in_again(server: TestClient, tmp_path: Path) -> None:
    server.post("/shells", json={**shell(), "submodels": [reference()]})
    server.post("/submodels", json=submodel(SUBMODEL_ID, number("Soh", "91.5")))
    selection = {"aasIds": encoded(SHELL_ID), "submodelIds": encoded(SUBMODEL_ID)}
    accept = {"accept": "application/asset-administration-shell-package"}
    package = server.get("/serialization", params=selection, headers=accept)
    assert package.content[:2] == b"PK"
    with TestClient(create_app(tmp_path / "other")) as other:
        posted = other.post("/packages", files={"file": ("b1.aasx", package.content)})
        assert posted.status_code == 201
        assert posted.json()["aasIds"] == [SHELL_ID]
        assert other.get(path_of("submodels", encoded(SUBMODEL_ID), "$value")).json() == {"Soh": 91.5}
        assert other.post("/packages", files={"file": ("b1.aasx", package.content)}).status_code == 409
        one = path_of("packages", encoded(posted.json()["packageId"]))
        assert other.get(one).content == package.content
        assert other.put(one, files={"file": ("b1.aasx", package.content)}).status_code == 204
        assert len(other.get("/packages", params={"aasId": encoded(SHELL_ID)}).json()["result"]) == 1
        assert other.delete(one).status_code == 204
        assert other.get(one).status_code == 404


def test_a_package_without_a_file_is_answered_with_200(server: TestClient) -> None:
    answer = server.post("/packages", data={"aasIds": "x"})
    assert (answer.status_code, answer.text) == (200, "No file was provided.")


@pytest.mark.parametrize(("name", "content"), [("../b.aasx", b"PK"), ("b.aasx", b"not a package")])
def test_a_broken_package_or_name_is_refused(server: TestClient, name: str, content: bytes) -> None:
    assert server.post("/packages", files={"file": (name, content)}).status_code == 400
    assert server.get("/packages").json()["result"] == []


def test_serialization_without_a_special_accept_is_json(server: TestClient) -> None:
    server.post("/shells", json=shell())
    environment = server.get("/serialization", params={"aasIds": encoded(SHELL_ID)}).json()
    assert [one["id"] for one in environment["assetAdministrationShells"]] == [SHELL_ID]
    assert server.get("/serialization", params={"aasIds": encoded("urn:none")}).status_code == 404


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    with TestClient(create_app(tmp_path)) as client:
        client.post("/shells", json=shell())
    with TestClient(create_app(tmp_path)) as client:
        assert client.get(path_of("shells", encoded(SHELL_ID))).json() == shell()


def test_a_file_is_kept_with_its_element_until_it_is_deleted(server: TestClient) -> None:
    sheet = {"modelType": "File", "idShort": "Sheet", "contentType": "application/pdf", "value": "/docs/a.pdf"}
    server.post("/submodels", json=submodel(SUBMODEL_ID, sheet, number("Soh", "91.2")))
    path = path_of("submodels", encoded(SUBMODEL_ID), "submodel-elements", "Sheet")
    assert server.get(f"{path}/attachment").status_code == 404
    assert server.put(f"{path}/attachment", files={"file": ("b.pdf", b"%PDF", "application/pdf")}).status_code == 204
    assert server.get(path).json()["value"] == "/docs/b.pdf"
    found = server.get(f"{path}/attachment")
    assert (found.content, found.headers["content-type"]) == (b"%PDF", "application/pdf")
    assert server.delete(f"{path}/attachment").status_code == 200
    assert "value" not in server.get(path).json()
    assert server.get(f"{path}/attachment").status_code == 404


@pytest.mark.parametrize(
    ("element", "name", "status"), [("Soh", "a.pdf", 404), ("None", "a.pdf", 404), ("Sheet", "../a.pdf", 400)]
)
def test_a_file_is_refused_where_there_is_no_place_for_it(
    server: TestClient, element: str, name: str, status: int
) -> None:
    sheet = {"modelType": "File", "idShort": "Sheet", "contentType": "application/pdf"}
    server.post("/submodels", json=submodel(SUBMODEL_ID, sheet, number("Soh", "91.2")))
    path = path_of("submodels", encoded(SUBMODEL_ID), "submodel-elements", element, "attachment")
    assert server.put(path, files={"file": (name, b"%PDF", "application/pdf")}).status_code == status


def test_what_only_basyx_finds_is_refused_and_what_only_python_cannot_hold_is_taken(server: TestClient) -> None:
    entity = {"modelType": "Entity", "idShort": "Pack", "entityType": "SelfManagedEntity", "globalAssetId": "urn:p"}
    twice = {**entity, "statements": [number("Soh", "1"), number("Soh", "2")]}
    answer = server.post("/submodels", json=submodel(SUBMODEL_ID, twice))
    assert (answer.status_code, "id_short" in answer.text) == (400, True)
    far = number("From", "10000-01-01T00:00:00Z", "xs:dateTime")
    assert server.post("/submodels", json=submodel(SUBMODEL_ID, far)).status_code == 201
