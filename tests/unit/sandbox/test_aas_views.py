from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from battery_pilot.sandbox.aas import create_app
from battery_pilot.services.aas_connection import encode_id

SUBMODEL = {
    "modelType": "Submodel",
    "id": "urn:sm",
    "idShort": "Condition",
    "submodelElements": [
        {
            "modelType": "SubmodelElementList",
            "idShort": "Tests",
            "typeValueListElement": "Property",
            "valueTypeListElement": "xs:double",
            "value": [{"modelType": "Property", "valueType": "xs:double", "value": "4.5"}],
        }
    ],
}
SHELL = {
    "modelType": "AssetAdministrationShell",
    "id": "urn:aas",
    "idShort": "Battery",
    "assetInformation": {"assetKind": "Instance", "globalAssetId": "urn:asset"},
    "submodels": [{"type": "ModelReference", "keys": [{"type": "Submodel", "value": "urn:sm"}]}],
}
AAS, SM = encode_id("urn:aas"), encode_id("urn:sm")


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    with TestClient(create_app(tmp_path_factory.mktemp("aas"))) as client:
        assert client.post("/shells", json=SHELL).status_code == 201
        assert client.post("/submodels", json=SUBMODEL).status_code == 201
        yield client


@pytest.mark.parametrize("base", [f"/submodels/{SM}", f"/shells/{AAS}/submodels/{SM}"])
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", SUBMODEL),
        ("/$value", {"Tests": [4.5]}),
        ("/$path", ["Condition", "Tests", "Tests[0]"]),
        ("/submodel-elements/Tests/$path", ["Tests", "Tests[0]"]),
        ("/submodel-elements/Tests%5B0%5D/$value", 4.5),
    ],
)
def test_submodel_is_read_in_every_view_by_itself_and_through_its_shell(web, base, path, expected):
    assert web.get(base + path).json() == expected


def test_lists_have_the_same_views(web):
    assert web.get("/submodels/$value").json()["result"] == [{"Tests": [4.5]}]
    assert web.get(f"/submodels/{SM}/submodel-elements/$path").json()["result"] == ["Tests", "Tests[0]"]
    assert web.get("/shells/$reference").json()["result"][0]["keys"][0]["value"] == "urn:aas"
    assert web.get(f"/shells/{AAS}/asset-information").json() == SHELL["assetInformation"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/submodels/{SM}?level=deeper", 400),
        (f"/submodels/{SM}/$value?extent=all", 400),
        (f"/submodels/{SM}/submodel-elements/Tests%5B0%5D/$path", 400),
        ("/serialization?includeConceptDescriptions=perhaps", 400),
        (f"/shells/{AAS}/submodels/{encode_id('urn:other')}", 404),
    ],
)
def test_what_the_api_does_not_have_is_refused(web, path, status):
    assert web.get(path).status_code == status
