from __future__ import annotations

import json

import pytest

from battery_pilot.errors import NotFound, ServerUnavailable
from battery_pilot.pipeline.pulled_twins import pull_twins
from tests.servers.memory_aas import MemoryAas


def shell(number):
    reference = {"type": "ModelReference", "keys": [{"type": "Submodel", "value": f"urn:sm{number}"}]}
    return {"modelType": "AssetAdministrationShell", "id": f"urn:b{number}", "submodels": [reference]}


def submodel(number):
    def file(name, value):
        return {"modelType": "File", "idShort": name, "contentType": "application/pdf", "value": value}

    documents = {
        "modelType": "SubmodelElementList",
        "idShort": "Documents",
        "value": [{"modelType": "SubmodelElementCollection", "value": [file("Sheet", "/aasx/../../sheet.pdf")]}],
    }
    meaning = {"type": "ExternalReference", "keys": [{"type": "GlobalReference", "value": "urn:concept"}]}
    elements = [
        documents | {"semanticId": meaning},
        file("Elsewhere", "https://example.com/a.pdf"),
        file("Gone", "/gone.pdf"),
    ]
    return {"modelType": "Submodel", "id": f"urn:sm{number}", "submodelElements": elements}


@pytest.fixture
def server(monkeypatch):
    memory = MemoryAas()
    memory.documents["shells"] = {one["id"]: one for one in map(shell, range(3))}
    memory.documents["submodels"] = {one["id"]: one for one in map(submodel, range(2))}
    memory.documents["concept-descriptions"] = {
        one: {"modelType": "ConceptDescription", "id": one} for one in ("urn:concept", "urn:of others")
    }
    client = memory.client()

    def get_attachment(submodel_id, path):
        if path == "Gone":
            raise NotFound("GET", "http://aas", 404, "no file")
        assert path == "Documents[0].Sheet"
        return b"%PDF"

    monkeypatch.setattr(client, "get_attachment", get_attachment)
    return client


def test_shells_submodels_and_files_are_written_and_what_is_missing_is_counted(server, tmp_path):
    assert pull_twins(server, tmp_path) == {
        "shells": 3, "submodels": 2, "concept_descriptions": 1, "files": 2, "missing": 3
    }  # fmt: skip
    found = [json.loads(path.read_text()) for path in tmp_path.glob("*/environment.json")]
    assert sorted(one["assetAdministrationShells"][0]["id"] for one in found) == ["urn:b0", "urn:b1", "urn:b2"]
    assert {one["submodels"][0]["id"] for one in found if "submodels" in one} == {"urn:sm0", "urn:sm1"}
    described = [[one["id"] for one in each.get("conceptDescriptions", [])] for each in found]
    assert sorted(described) == [[], ["urn:concept"], ["urn:concept"]]
    files = list(tmp_path.glob("*/files/*"))
    assert [path.read_bytes() for path in files] == [b"%PDF"] * 2
    assert {path.suffix for path in files} == {".pdf"}


def test_a_selection_is_pulled_alone_and_must_be_there(server, tmp_path):
    assert pull_twins(server, tmp_path, ["urn:b1"])["shells"] == 1
    with pytest.raises(NotFound):
        pull_twins(server, tmp_path, ["urn:b9"])


def test_a_server_that_fails_where_it_has_no_file_or_concept_costs_only_these(server, monkeypatch, tmp_path):
    def fail(*_):
        raise ServerUnavailable("GET", "http://aas", 500, "internal error")

    monkeypatch.setattr(server, "get_attachment", fail)
    monkeypatch.setattr(server, "get_concept_description", fail)
    counts = pull_twins(server, tmp_path)
    assert (counts["submodels"], counts["concept_descriptions"], counts["files"]) == (2, 0, 0)


def test_a_server_that_is_away_ends_the_pull(server, monkeypatch, tmp_path):
    def fail(*_):
        raise ServerUnavailable("GET", "http://aas", None, "connection refused")

    monkeypatch.setattr(server, "get_attachment", fail)
    with pytest.raises(ServerUnavailable):
        pull_twins(server, tmp_path)
