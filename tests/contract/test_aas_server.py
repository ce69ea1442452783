from __future__ import annotations

import io

import pytest
from basyx.aas import model
from basyx.aas.adapter import aasx

from battery_pilot.errors import Conflict, NotFound, ServerRefused
from battery_pilot.services import aas_server
from battery_pilot.services.aas_comparison import differences
from battery_pilot.services.aas_connection import AasConnection, encode_id
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.answers import TooLarge
from battery_pilot.services.http import HttpClient


@pytest.fixture
def aas(aas_url):
    return AasServer(aas_url, wait_second=0.05)


def is_real(request):
    return request.node.callspec.params["aas_url"] == "real"


@pytest.fixture
def ids(aas, unique):
    """Ids for one test; what was made under them is deleted afterwards."""
    made = [f"https://example.com/{unique}/{number}" for number in range(8)]
    yield made
    for identifier in made:
        aas.delete_shell(identifier)
        aas.delete_submodel(identifier)
        aas.delete_concept_description(identifier)


def shell(identifier, id_short="Battery"):
    return {
        "modelType": "AssetAdministrationShell",
        "id": identifier,
        "idShort": id_short,
        "assetInformation": {"assetKind": "Instance", "globalAssetId": identifier + "/asset"},
    }


def submodel(identifier, soh="91.2"):
    return {
        "modelType": "Submodel",
        "id": identifier,
        "idShort": "ProductCondition",
        "submodelElements": [
            {"modelType": "Property", "idShort": "StateOfHealth", "valueType": "xs:double", "value": soh},
            {
                "modelType": "SubmodelElementList",
                "idShort": "Tests",
                "typeValueListElement": "SubmodelElementCollection",
                "value": [
                    {
                        "modelType": "SubmodelElementCollection",
                        "value": [
                            {"modelType": "Property", "idShort": "Method", "valueType": "xs:string", "value": "EIS"}
                        ],
                    }
                ],
            },
        ],
    }


def package(*shell_ids):
    objects = model.DictIdentifiableStore(
        model.AssetAdministrationShell(model.AssetInformation(global_asset_id=f"{one}/asset"), id_=one)
        for one in shell_ids
    )
    buffer = io.BytesIO()
    with aasx.AASXWriter(buffer) as writer:
        writer.write_all_aas_objects("/aasx/data.xml", objects, aasx.DictSupplementaryFileContainer())
    return buffer.getvalue()


@pytest.fixture
def api(aas_url):
    """The server without our client's care."""
    return AasConnection(HttpClient(aas_url))


@pytest.fixture
def packages_of(request, aas, api):
    """Delete what a test uploads; real servers without packages, as FA³ST and BaSyx, cannot be asked for them."""
    try:
        next(aas.packages(), None)
    except ServerRefused as refused:
        if not is_real(request):
            raise
        pytest.skip(f"this server has no packages: {refused}")
    shells = []
    yield shells.append
    for shell_id in shells:
        for found in list(aas.packages(shell_id)):
            api.request("DELETE", f"/packages/{encode_id(found.package_id)}")


def test_document_is_created_then_replaced(aas, ids):
    aas.put_submodel(submodel(ids[0], soh="91.2"))
    aas.put_submodel(submodel(ids[0], soh="90.1"))
    stored = aas.get_submodel(ids[0])
    assert stored["id"] == ids[0]
    assert [element["value"] for element in stored["submodelElements"][:1]] == ["90.1"]


def test_concept_description_is_created_then_replaced(request, aas, ids):
    for id_short in ("Before", "After"):
        aas.put_concept_description({"modelType": "ConceptDescription", "id": ids[0], "idShort": id_short})
    if not aas.takes_concept_descriptions:
        assert is_real(request)
        pytest.skip("this server takes no concept descriptions")
    assert aas.get_concept_description(ids[0])["idShort"] == "After"


def test_put_and_post_answer_as_the_upsert_expects(api, ids):
    api.request("POST", "/shells", json=shell(ids[0]))
    with pytest.raises(Conflict):
        api.request("POST", "/shells", json=shell(ids[0]))
    assert api.request("PUT", f"/shells/{encode_id(ids[0])}", json=shell(ids[0])).status in {200, 204}


def test_missing_documents_are_not_found(aas, ids):
    for read in (aas.get_shell, aas.get_submodel):
        with pytest.raises(NotFound):
            read(ids[0])


def test_deleted_document_is_gone_and_deleting_again_is_no_error(aas, ids):
    aas.put_shell(shell(ids[0]))
    aas.delete_shell(ids[0])
    with pytest.raises(NotFound):
        aas.get_shell(ids[0])
    aas.delete_shell(ids[0])


def test_invalid_document_is_refused_with_a_reason_and_not_stored(aas, ids):
    broken = submodel(ids[0])
    broken["submodelElements"][0]["modelType"] = "NoSuchElement"
    with pytest.raises(ServerRefused) as caught:
        aas.put_submodel(broken)
    assert caught.value.status == 400
    assert caught.value.detail != "no message"
    with pytest.raises(NotFound):
        aas.get_submodel(ids[0])


def test_value_only_form_is_read_whole_and_by_path(request, aas, ids):
    aas.put_submodel(submodel(ids[0]))
    try:
        assert float(aas.get_submodel_value(ids[0])["StateOfHealth"]) == 91.2
    except ServerRefused as refused:
        if refused.status != 501 or not is_real(request):
            raise
        pytest.skip(f"this server has no value-only form: {refused}")
    assert aas.get_element_value(ids[0], "Tests[0].Method") == "EIS"
    with pytest.raises(NotFound):
        aas.get_element_value(ids[0], "Tests[7].Method")
    with pytest.raises(NotFound):
        aas.get_submodel_value(ids[1])


def test_one_value_is_changed_and_the_others_stay(aas, ids):
    aas.put_submodel(submodel(ids[0]))
    for soh in ("90.1", "89.5"):
        changed = submodel(ids[0], soh=soh)["submodelElements"]
        aas.put_property(ids[0], "StateOfHealth", changed[0])
        assert differences(submodel(ids[0], soh=soh), aas.get_submodel(ids[0])) == []


def test_value_of_a_missing_element_is_refused_or_the_element_made(aas, ids):
    aas.put_submodel(submodel(ids[0]))
    new = submodel(ids[0])["submodelElements"][0] | {"idShort": "NoSuchElement"}
    try:
        aas.put_property(ids[0], "NoSuchElement", new)
    except ServerRefused:
        assert "NoSuchElement" not in {one["idShort"] for one in aas.get_submodel(ids[0])["submodelElements"]}
    else:  # API 3.1, as BaSyx Go
        assert float(aas.get_element_value(ids[0], "NoSuchElement")) == 91.2


def test_file_is_uploaded_read_back_and_uploaded_again_after_its_submodel_was_replaced(request, aas, ids, tmp_path):
    (tmp_path / "manual.pdf").write_bytes(b"%PDF" * 100_000)
    sheet = {
        "modelType": "File",
        "idShort": "Sheet",
        "contentType": "application/pdf",
        "value": "/aasx/files/0a1b.pdf",
    }
    made = submodel(ids[0])
    made["submodelElements"].append(sheet)
    made["submodelElements"][1]["value"][0]["value"].append(sheet)
    for _ in range(2):
        aas.put_submodel(made)
        for path in ("Sheet", "Tests[0].Sheet"):
            if not aas.put_attachment(ids[0], path, tmp_path / "manual.pdf", "0a1b.pdf", "application/pdf"):
                assert is_real(request)
                pytest.skip("this server takes no attachments")
            assert aas.get_attachment(ids[0], path) == b"%PDF" * 100_000
        assert differences(made, aas.get_submodel(ids[0])) == []
    with pytest.raises(NotFound):
        aas.put_attachment(ids[0], "NoSuchElement", tmp_path / "manual.pdf", "0a1b.pdf", "application/pdf")


def test_lists_are_walked_over_all_pages(aas, ids, monkeypatch):
    monkeypatch.setattr(aas_server, "PAGE_SIZE", 2)
    for one in ids[:5]:
        aas.put_shell(shell(one))
    for one in ids[5:]:
        aas.put_submodel(submodel(one))
    # Where tests share a server, one that another deletes shifts the pages; then something is found the next time.
    shells = {one["id"] for _ in range(5) for one in aas.shells()}
    submodels = {one["id"] for _ in range(5) for one in aas.submodels()}
    assert set(ids[:5]) <= shells
    assert set(ids[5:]) <= submodels


def test_writing_the_same_again_makes_no_duplicates(aas, ids):
    for _ in range(2):
        aas.put_submodel(submodel(ids[1]))
        aas.put_shell(shell(ids[0]))
    assert [one["id"] for one in aas.shells()].count(ids[0]) == 1
    assert [one["id"] for one in aas.submodels()].count(ids[1]) == 1


def test_submodel_is_referred_to_once(aas, ids):
    aas.put_submodel(submodel(ids[1]))
    aas.put_shell(shell(ids[0]))
    for _ in range(2):
        aas.add_submodel_reference(ids[0], ids[1])
    references = aas.get_shell(ids[0])["submodels"]
    assert [key["value"] for reference in references for key in reference["keys"]] == [ids[1]]


def test_reference_from_a_missing_shell_is_not_found(aas, ids):
    with pytest.raises(NotFound):
        aas.add_submodel_reference(ids[0], ids[1])


def test_package_is_stored_replaced_and_downloaded(aas, packages_of, ids, unique):
    packages_of(ids[0])
    first = aas.put_package(f"{unique}.aasx", package(ids[0]), [ids[0]])
    changed = package(ids[0], ids[1])
    assert aas.put_package(f"{unique}.aasx", changed, [ids[0]]) == first
    assert aas.get_package(first) == changed
    assert [one.package_id for one in aas.packages(ids[0])] == [first]
    with pytest.raises(TooLarge):
        aas.get_package(first, maximum_bytes=10)


def test_two_packages_with_the_same_shell_are_told_apart_by_their_names(aas, packages_of, ids, unique):
    packages_of(ids[0])
    public = aas.put_package(f"{unique}.public.aasx", package(ids[0]), [ids[0]])
    closed = aas.put_package(f"{unique}.authority.aasx", package(ids[0]), [ids[0]])
    assert public != closed
    assert aas.put_package(f"{unique}.public.aasx", package(ids[0]), [ids[0]]) == public


def test_package_that_is_none_is_refused(aas, packages_of, ids, unique):
    packages_of(ids[0])
    with pytest.raises(ServerRefused):
        aas.put_package(f"{unique}.aasx", b"not a zip file", [ids[0]])


@pytest.mark.usefixtures("packages_of")
def test_missing_package_is_not_found(aas):
    with pytest.raises(NotFound):
        aas.get_package("987654321")
