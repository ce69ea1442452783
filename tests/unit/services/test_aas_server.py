from __future__ import annotations

import base64
from email.parser import BytesParser
from email.policy import default

import pytest

from battery_pilot.errors import Conflict, InputError, NotFound, ServerRefused, ServerUnavailable
from battery_pilot.services.aas_connection import encode_id
from battery_pilot.services.aas_server import AasServer

SHELL = {"id": "https://example.com/b/1/aas", "modelType": "AssetAdministrationShell"}
SHELL_PATH = "/shells/aHR0cHM6Ly9leGFtcGxlLmNvbS9iLzEvYWFz"


@pytest.fixture
def aas(server):
    return AasServer(server.url, base_path="", wait_second=0, attempts=2)


def page(*entries, cursor=None):
    metadata = {} if cursor is None else {"cursor": cursor}
    return {"paging_metadata": metadata, "result": list(entries)}


@pytest.mark.parametrize("identifier", ["a", "ab", "abc", "https://example.com/ü?>~"])
def test_id_is_base64url_without_padding(identifier):
    encoded = encode_id(identifier)
    assert not set(encoded) & set("=+/")
    assert base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode() == identifier


@pytest.mark.parametrize("created", [201, 204])
def test_put_is_enough_where_it_creates(aas, server, created):
    server.will_answer(created)
    aas.put_shell(SHELL)
    assert server.lines == [f"PUT {SHELL_PATH}"]
    assert server.asked[0].json == SHELL


def test_unknown_document_is_posted_where_put_does_not_create(aas, server):
    server.will_answer(404).will_answer(201)
    aas.put_shell(SHELL)
    assert server.lines == [f"PUT {SHELL_PATH}", "POST /shells"]


def test_document_that_somebody_else_creates_meanwhile_is_replaced(aas, server):
    server.will_answer(404).will_answer(409).will_answer(204)
    aas.put_shell(SHELL)
    assert server.lines == [f"PUT {SHELL_PATH}", "POST /shells", f"PUT {SHELL_PATH}"]


def test_created_document_whose_answer_was_lost_is_replaced(aas, server):
    server.will_answer(404).will_hang_up().will_answer(409).will_answer(204)
    aas.put_shell(SHELL)
    assert [line.split()[0] for line in server.lines] == ["PUT", "POST", "POST", "PUT"]


def test_invalid_document_is_refused_with_the_words_of_the_server(aas, server):
    server.will_answer(404).will_answer(400, {"messages": [{"text": "AASd-120 violated"}]})
    with pytest.raises(ServerRefused, match="AASd-120"):
        aas.put_submodel({"id": "x"})


def test_document_without_id_is_refused_before_it_is_sent(aas, server):
    with pytest.raises(InputError, match="/submodels has no id"):
        aas.put_submodel({"idShort": "Nameplate"})
    assert server.asked == []


@pytest.mark.parametrize("last_cursor", [None, ""])
def test_list_is_walked_to_its_last_page(aas, server, last_cursor):
    server.will_answer(200, page({"id": "a"}, cursor="2 &")).will_answer(200, page({"id": "b"}, cursor=last_cursor))
    assert [shell["id"] for shell in aas.shells()] == ["a", "b"]
    assert server.lines == ["GET /shells?limit=100", "GET /shells?limit=100&cursor=2+%26"]


def test_page_may_be_empty_before_the_end_and_cursors_may_be_numbers(aas, server):
    server.will_answer(200, page(cursor=500)).will_answer(200, page({"id": "b"}))
    assert [submodel["id"] for submodel in aas.submodels()] == ["b"]


def test_cursor_that_comes_back_is_an_error_and_no_endless_walk(aas, server):
    server.will_answer(200, page(cursor="1")).will_answer(200, page(cursor="1"))
    with pytest.raises(ServerRefused, match="never end"):
        list(aas.shells())


def test_list_of_something_that_is_no_aas_server_is_refused(aas, server):
    server.will_answer(200, [])
    with pytest.raises(ServerRefused, match="AAS server"):
        list(aas.shells())


def test_element_path_is_encoded(aas, server):
    server.will_answer(200, b"91.2")
    assert aas.get_element_value("sm", "Tests[0].Method") == 91.2
    assert server.lines == ["GET /submodels/c20/submodel-elements/Tests%5B0%5D.Method/$value"]


def test_deleting_what_is_gone_is_no_error(aas, server):
    server.will_answer(404)
    aas.delete_submodel("sm")
    assert server.lines == ["DELETE /submodels/c20"]


def test_reading_what_is_not_there_is_an_error(aas, server):
    server.will_answer(404)
    with pytest.raises(NotFound):
        aas.get_submodel("sm")


def test_known_reference_is_not_added_again(aas, server):
    server.will_answer(200, page({"type": "ModelReference", "keys": [{"type": "Submodel", "value": "sm"}]}))
    aas.add_submodel_reference("s", "sm")
    assert server.lines == ["GET /shells/cw/submodel-refs?limit=100"]


def test_new_reference_is_added(aas, server):
    server.will_answer(200, page()).will_answer(201)
    aas.add_submodel_reference("s", "sm")
    assert server.asked[1].json["keys"] == [{"type": "Submodel", "value": "sm"}]


def test_package_is_sent_as_a_form(aas, server):
    server.will_answer(201, {"packageId": 7, "aasIds": ["s"]})
    assert aas.put_package("b1.aasx", b"PK\x03\x04", ["s", "t"]) == "7"
    body = server.asked[0].body
    assert b'name="file"; filename="b1.aasx"' in body
    assert b"application/asset-administration-shell-package" in body
    assert b"PK\x03\x04" in body
    assert body.count(b'name="aasIds"') == 2


def test_package_with_a_known_file_name_is_replaced(aas, server):
    server.will_answer(409).will_answer(200, page({"packageId": "0", "aasIds": ["s"]})).will_answer(204)
    assert aas.put_package("b1.aasx", b"PK", ["s"]) == "0"
    assert server.lines == ["POST /packages", "GET /packages?limit=100&aasId=cw", "PUT /packages/MA"]


def test_of_packages_with_the_same_shells_only_the_one_with_the_file_name_is_replaced(aas, server):
    server.will_answer(409)
    server.will_answer(200, page({"packageId": "0", "aasIds": ["s"]}, {"packageId": "1", "aasIds": ["s"]}))
    server.will_answer(200, b"PK", X_FileName="authority.aasx").will_answer(200, b"PK", X_FileName="public.aasx")
    server.will_answer(204)
    assert aas.put_package("public.aasx", b"PK", ["s"]) == "1"


def test_package_of_other_shells_is_never_overwritten(aas, server):
    server.will_answer(409, b"file exists").will_answer(200, page({"packageId": "0", "aasIds": ["s", "t"]}))
    with pytest.raises(Conflict, match=r"file exists; b1\.aasx exists"):
        aas.put_package("b1.aasx", b"PK", ["s"])


def test_package_that_the_server_did_not_find_in_the_form_is_an_error(aas, server):
    server.will_answer(200, b"No file was provided.")
    with pytest.raises(ServerRefused, match=r"not stored.*No file was provided"):
        aas.put_package("b1.aasx", b"PK", ["s"])


def test_list_of_a_server_whose_cursor_grows_for_ever_ends(aas, server):
    server.will_answer(200, page({"id": "a"}, {"id": "b"}, cursor=100)).will_answer(
        200, page({"id": "b"}, cursor=199)
    )
    server.will_answer(200, page(cursor=298)).will_answer(200, page(cursor=397))
    assert [shell["id"] for shell in aas.shells()] == ["a", "b"]


@pytest.mark.parametrize(
    ("answers", "base_path"),
    [
        ([200], ""),
        ([404, 200], "/api/v3"),
        ([404, 404, 404, 200], "/api/v3.0"),
        ([404, 404, 404, 501], "/api/v3.0"),
        ([500, 500, 404, 404, 404], ""),
        ([401, 401, 401, 401], ""),
        ([404, 404, 404, 404], ""),
    ],
)
def test_base_path_is_where_the_description_is_or_at_least_its_route(server, answers, base_path):
    for status in answers:
        server.will_answer(status, {"profiles": ["https://admin-shell.io/aas/API/3/1/X"]} if status == 200 else b"")
    server.will_answer(200, SHELL)
    found = AasServer(server.url + "/", wait_second=0, attempts=2)
    assert found.get_shell(SHELL["id"]) == SHELL
    assert server.lines[-1] == f"GET {base_path}{SHELL_PATH}"


def test_a_server_that_is_down_is_not_taken_for_one_without_description(server):
    for _ in range(2):
        server.will_answer(503)
    with pytest.raises(ServerUnavailable):
        AasServer(server.url, wait_second=0, attempts=2).get_shell("x")


def test_new_document_is_posted_at_once_where_put_has_been_seen_not_to_create(aas, server):
    server.will_answer(404).will_answer(201).will_answer(201).will_answer(409).will_answer(204)
    aas.put_submodel({"id": "a"}, is_new=True)
    aas.put_submodel({"id": "b"}, is_new=True)
    aas.put_submodel({"id": "c"}, is_new=True)
    assert [line.split()[0] for line in server.lines] == ["PUT", "POST", "POST", "POST", "PUT"]


PROPERTY = {"modelType": "Property", "idShort": "SoH", "valueType": "xs:double", "value": "91.20"}


def test_one_value_is_patched_where_the_server_does_that(aas, server):
    server.will_answer(204).will_answer(503).will_answer(204)
    for _ in range(2):
        aas.put_property("a", "Tests[0].SoH", PROPERTY)
    assert server.lines == ["PATCH /submodels/YQ/submodel-elements/Tests%5B0%5D.SoH/$value"] * 3
    assert server.asked[0].json == 91.2


@pytest.mark.parametrize("refusal", [400, 404, 405, 500, 501])
def test_that_a_server_patches_no_values_is_learnt_once(aas, server, refusal):
    server.will_answer(refusal).will_answer(204).will_answer(204)
    for _ in range(2):
        aas.put_property("a", "SoH", PROPERTY)
    assert [line.split()[0] for line in server.lines] == ["PATCH", "PUT", "PUT"]
    assert server.asked[1].json == PROPERTY


def test_nothing_is_learnt_from_a_missing_element(aas, server):
    server.will_answer(404).will_answer(404).will_answer(204)
    with pytest.raises(NotFound):
        aas.put_property("a", "Gone", PROPERTY)
    aas.put_property("a", "SoH", PROPERTY)
    assert [line.split()[0] for line in server.lines] == ["PATCH", "PUT", "PATCH"]


def test_value_without_a_form_in_json_is_put_as_element(aas, server):
    server.will_answer(204)
    aas.put_property("a", "SoH", PROPERTY | {"value": "INF"})
    assert [line.split()[0] for line in server.lines] == ["PUT"]


@pytest.mark.parametrize("answer", [5, {"Method": 5}])
def test_value_of_an_element_is_the_same_wrapped_or_not(aas, server, answer):
    server.will_answer(200, answer)
    assert aas.get_element_value("a", "Tests[0].Method") == 5


@pytest.fixture
def sheet(tmp_path):
    path = tmp_path / "sheet.pdf"
    path.write_bytes(b"%PDF" * 200_000)
    return path


def attach(aas, sheet, name="sheet.pdf"):
    return aas.put_attachment("urn:sm", "Docs[0].File", sheet, name, "application/pdf")


def test_attachment_is_a_form_of_known_length_and_sent_again_whole_after_a_lost_connection(aas, server, sheet):
    server.will_hang_up().will_answer(204)
    assert attach(aas, sheet, 'a "b".pdf') is True
    for asked in server.asked:
        assert asked.line == "PUT /submodels/dXJuOnNt/submodel-elements/Docs%5B0%5D.File/attachment"
        assert "Transfer-Encoding" not in asked.headers
        message = BytesParser(policy=default).parsebytes(
            f"Content-Type: {asked.headers['Content-Type']}\r\n\r\n".encode() + asked.body
        )
        name, file = message.iter_parts()
        assert name.get_payload() == 'a "b".pdf'
        assert file.get_filename() == "a %22b%22.pdf"
        assert (file.get_content_type(), file.get_payload(decode=True)) == ("application/pdf", sheet.read_bytes())


@pytest.mark.parametrize("status", [405, 409, 501, 500])
def test_server_without_attachments_is_not_asked_again(aas, server, sheet, status):
    for _ in range(2 if status == 500 else 1):
        server.will_answer(status)
    assert attach(aas, sheet) is False
    asked = len(server.asked)
    assert attach(aas, sheet) is False
    assert len(server.asked) == asked


def test_404_is_a_missing_route_where_the_element_is_there(aas, server, sheet):
    server.will_answer(404).will_answer(404).will_answer(200, {"modelType": "File"})
    assert attach(aas, sheet) is False


def test_an_element_that_is_lost_from_sight_for_a_moment_gets_its_file(aas, server, sheet):
    server.will_answer(404).will_answer(204)
    assert attach(aas, sheet) is True


def test_404_is_a_missing_element_where_that_is_not_there(aas, server, sheet):
    server.will_answer(404).will_answer(404).will_answer(404)
    with pytest.raises(NotFound):
        attach(aas, sheet)
    server.will_answer(204)
    assert attach(aas, sheet) is True


def test_fault_of_a_server_that_took_attachments_is_raised(aas, server, sheet):
    server.will_answer(204).will_answer(500).will_answer(500)
    assert attach(aas, sheet) is True
    with pytest.raises(ServerUnavailable):
        attach(aas, sheet)
