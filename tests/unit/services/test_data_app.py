from __future__ import annotations

import base64
import contextlib
import io
import json
import tarfile
import zipfile
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import InputError
from battery_pilot.outbox import asset_id, bundle_path, bundle_path_of_asset
from battery_pilot.passport.model import Tier
from battery_pilot.services.connectors.ids_messages import ARTIFACT, Message, parse_message, write_message
from battery_pilot.services.data_app import create_app, from_environment
from battery_pilot.services.data_app.access import AccessJournal, Keys, read_keys
from battery_pilot.services.data_app.forms import MEDIA_TYPES, Form, wanted_form

KEY = "key-of-the-public-tier"
CLOSER = "key-of-legitimate-interest"
HEADERS = {"X-Api-Key": KEY}


def property_of(name, value, value_type):
    return {"modelType": "Property", "idShort": name, "valueType": value_type, "value": value}


def environment(tier):
    return {
        "assetAdministrationShells": [],
        "submodels": [
            {
                "modelType": "Submodel",
                "idShort": "ProductCondition",
                "submodelElements": [
                    property_of("RemainingCapacity", "4.5", "xs:float"),
                    property_of("NumberOfFullCycles", "120", "xs:int"),
                    property_of("Tier", tier.value, "xs:string"),
                ],
            }
        ],
    }


def bundle(tier):
    return json.dumps(
        {"format": "battery-pilot-bundle/1", "tier": tier.value, "passport": environment(tier), "history": []},
        ensure_ascii=False,
    ).encode()


@pytest.fixture
def outbox(tmp_path):
    """BP-1 is released for two tiers, BP-2 and one with an awkward name for the public only."""
    folder = tmp_path / "outbox"
    for battery_id, tiers in {
        "BP-1": (Tier.PUBLIC, Tier.LEGITIMATE_INTEREST),
        "BP-2": (Tier.PUBLIC,),
        "../é/B 3": (Tier.PUBLIC,),
    }.items():
        for tier in tiers:
            path = folder / bundle_path(battery_id, tier)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bundle(tier))
    return folder


@pytest.fixture
def client(outbox, tmp_path):
    keys = Keys({"edc": (KEY, Tier.PUBLIC), "repairer": (CLOSER, Tier.LEGITIMATE_INTEREST)})
    return TestClient(create_app(outbox, keys, AccessJournal(tmp_path / "access")))


def journal(tmp_path):
    (file,) = (tmp_path / "access").iterdir()
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_passport_comes_as_bundle_unless_another_form_is_wanted(client):
    answer = client.get("/passports/BP-1", headers=HEADERS)
    assert answer.status_code == 200
    assert answer.content == bundle(Tier.PUBLIC)
    assert answer.headers["content-type"] == MEDIA_TYPES[Form.BUNDLE]


@pytest.mark.parametrize("how", [{"headers": {"Accept": "application/json"}}, {"params": {"format": "aas"}}])
def test_aas_json_comes_by_header_or_by_name(client, how):
    answer = client.get("/passports/BP-1", **{**how, "headers": {**HEADERS, **how.get("headers", {})}})
    assert answer.json() == environment(Tier.PUBLIC)
    assert answer.headers["content-type"] == "application/json"


def test_values_come_without_their_metadata(client):
    answer = client.get("/passports/BP-1", headers={**HEADERS, "Accept": "application/json; content=value"})
    assert answer.json() == {
        "ProductCondition": {"RemainingCapacity": 4.5, "NumberOfFullCycles": 120, "Tier": "public"}
    }


def test_a_package_is_a_package_around_the_view(client):
    answer = client.get("/passports/BP-1", headers={**HEADERS, "Accept": MEDIA_TYPES[Form.AASX]})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as package:
        assert json.loads(package.read("aasx/data.json")) == environment(Tier.PUBLIC)


def test_each_key_sees_its_own_tier(client):
    answer = client.get("/passports/BP-1", headers={"X-Api-Key": CLOSER})
    assert answer.content == bundle(Tier.LEGITIMATE_INTEREST)
    assert client.get("/passports/BP-2", headers={"X-Api-Key": CLOSER}).status_code == 404


def test_unreleased_and_unknown_batteries_cannot_be_told_apart(client):
    unknown = client.get("/passports/nobody", headers={"X-Api-Key": CLOSER})
    unreleased = client.get("/passports/BP-2", headers={"X-Api-Key": CLOSER})
    assert (unknown.status_code, unknown.content) == (unreleased.status_code, unreleased.content)


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": KEY},
        {"Authorization": "Basic " + base64.b64encode(f"connector:{KEY}".encode()).decode()},
    ],
)
def test_the_key_may_come_in_every_way_that_connectors_know(client, headers):
    assert client.get("/passports/BP-1", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{}, {"X-Api-Key": ""}, {"X-Api-Key": KEY[:-1]}, {"X-Api-Key": KEY + "x"}, {"Authorization": "Basic !!"}],
)
def test_without_a_known_key_there_is_nothing(client, headers, tmp_path):
    for answer in (
        client.get("/passports/BP-1", headers=headers),
        client.get("/passports", params={"batch": "all"}, headers=headers),
        client.post("/data", headers=headers),
    ):
        assert answer.status_code == 401
        assert b"BP-1" not in answer.content
    assert [line["reader"] for line in journal(tmp_path)] == [None, None, None]


def test_a_connector_that_has_only_an_address_carries_the_key_in_it(client):
    request = Message({"@type": "ids:ArtifactRequestMessage", "ids:requestedArtifact": {"@id": f"{ARTIFACT}BP-1"}})
    body, content_type = write_message(request)
    for path, status in ((f"/data/{KEY}", 200), ("/data/another-key", 401)):
        answer = client.post(path, content=body, headers={"Content-Type": content_type})
        assert answer.status_code == status


def test_a_known_state_is_not_sent_again_and_a_new_one_is(client, outbox):
    etag = client.get("/passports/BP-1", headers=HEADERS).headers["etag"]
    again = client.get("/passports/BP-1", headers={**HEADERS, "If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")
    (outbox / bundle_path("BP-1", Tier.PUBLIC)).write_bytes(bundle(Tier.PUBLIC) + b" ")
    assert client.get("/passports/BP-1", headers={**HEADERS, "If-None-Match": etag}).status_code == 200


def test_forms_of_one_passport_have_different_tags(client):
    tags = {client.get(f"/passports/BP-1?format={form}", headers=HEADERS).headers["etag"] for form in Form}
    assert len(tags) == len(Form)


@pytest.mark.parametrize("form", list(Form))
def test_a_part_of_a_passport_is_that_part(client, form):
    whole = client.get(f"/passports/BP-1?format={form}", headers=HEADERS).content
    part = client.get(f"/passports/BP-1?format={form}", headers={**HEADERS, "Range": "bytes=5-9"})
    assert (part.status_code, part.content) == (206, whole[5:10])


def test_what_cannot_be_had_is_said(client):
    assert client.get("/passports/BP-1", headers={**HEADERS, "Accept": "text/html"}).status_code == 406
    assert client.get("/passports/BP-1?format=xml", headers=HEADERS).status_code == 400
    assert client.get("/passports", headers=HEADERS).status_code == 400


def test_an_awkward_battery_id_is_served_and_leads_nowhere_else(client):
    answer = client.get("/passports/" + quote("../é/B 3", safe=""), headers=HEADERS)
    assert answer.content == bundle(Tier.PUBLIC)


@pytest.mark.parametrize("name", ["../secret", "..%2Fsecret", "%2Fetc%2Fpasswd", "public", "BP-1%00", "~"])
def test_no_name_leads_out_of_the_outbox(client, outbox, name):
    (outbox.parent / "secret.json").write_bytes(bundle(Tier.AUTHORITY))
    answer = client.get(f"/passports/{name}", headers=HEADERS)
    assert answer.status_code == 404
    assert b"authority" not in answer.content


def test_a_link_to_the_outside_is_not_followed(client, outbox):
    (outbox.parent / "secret.json").write_bytes(bundle(Tier.AUTHORITY))
    path = outbox / bundle_path("BP-1", Tier.PUBLIC)
    path.unlink()
    path.symlink_to(outbox.parent / "secret.json")
    assert client.get("/passports/BP-1", headers=HEADERS).status_code == 404


@given(st.text(min_size=1, max_size=300), st.sampled_from(Tier))
def test_an_asset_id_leads_back_to_its_bundle(battery_id, tier):
    assert bundle_path_of_asset(asset_id(battery_id, tier)) == (bundle_path(battery_id, tier), tier)


@given(st.text(max_size=40))
def test_no_other_text_is_an_asset_id(text):
    found = bundle_path_of_asset("passport:public:" + text)
    assert found is None or (found[0].count("/") == 2 and ".." not in found[0])


def test_a_file_is_served_by_the_path_that_its_offer_names(client, outbox):
    path = bundle_path("BP-1", Tier.PUBLIC)
    answer = client.get(f"/files/{path}", headers=HEADERS)
    assert answer.content == bundle(Tier.PUBLIC)
    again = client.get(f"/files/{path}", headers={**HEADERS, "If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    assert client.get(f"/files/{path}").status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        bundle_path("BP-1", Tier.LEGITIMATE_INTEREST),
        "public",
        "public/",
        "public/..%2F..%2Fsecret.json",
        "public/%2E%2E/legitimate_interest",
        "jwks.json",
        "%2Fetc%2Fpasswd",
    ],
)
def test_no_path_leads_to_another_tier_or_out_of_the_outbox(client, outbox, path):
    (outbox.parent / "secret.json").write_bytes(bundle(Tier.AUTHORITY))
    assert client.get(f"/files/{path}", headers=HEADERS).status_code == 404


def members(answer):
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}


def test_a_batch_is_an_archive_of_the_batteries_named(client):
    answer = client.get("/passports", params={"batch": "BP-1,BP-2"}, headers=HEADERS)
    assert answer.headers["content-type"] == "application/x-tar"
    assert members(answer) == {"BP-1.json": bundle(Tier.PUBLIC), "BP-2.json": bundle(Tier.PUBLIC)}
    assert client.get("/passports", params={"batch": "BP-1,nobody"}, headers=HEADERS).status_code == 404


def test_the_batch_of_all_holds_the_tier_of_the_key_only(client):
    assert members(client.get("/passports?batch=all", headers={"X-Api-Key": CLOSER})) == {
        "BP-1.json": bundle(Tier.LEGITIMATE_INTEREST)
    }
    assert len(members(client.get("/passports?batch=all&format=aas", headers=HEADERS))) == 3


def ask(client, artifact, *, key=KEY, kind="ArtifactRequestMessage", content=None):
    header = {
        "@type": f"ids:{kind}",
        "@id": "urn:message:1",
        "ids:requestedArtifact": {"@id": artifact},
        "ids:transferContract": {"@id": "urn:agreement:1"},
    }
    body, content_type = write_message(Message(header)) if content is None else content
    answer = client.post("/data", content=body, headers={"X-Api-Key": key, "Content-Type": content_type})
    return parse_message(answer.content, answer.headers["content-type"]) if answer.status_code == 200 else answer


@pytest.mark.parametrize("artifact", [ARTIFACT + asset_id("BP-1", Tier.PUBLIC), ARTIFACT + "BP-1", "BP-1"])
def test_a_message_gets_the_passport_in_pure_ascii(client, artifact):
    answer = ask(client, artifact)
    assert answer.kind == "ArtifactResponseMessage"
    assert answer.target("correlationMessage") == "urn:message:1"
    assert answer.target("transferContract") == "urn:agreement:1"
    assert answer.payload.isascii()
    assert b"\\" not in answer.payload
    assert base64.b64decode(answer.payload) == bundle(Tier.PUBLIC)


@pytest.mark.parametrize(
    ("artifact", "kind", "reason"),
    [
        (ARTIFACT + asset_id("nobody", Tier.PUBLIC), "ArtifactRequestMessage", "NOT_FOUND"),
        (ARTIFACT + asset_id("BP-1", Tier.LEGITIMATE_INTEREST), "ArtifactRequestMessage", "NOT_AUTHORIZED"),
        (ARTIFACT + "..%2F..", "ArtifactRequestMessage", "NOT_FOUND"),
        ("", "ArtifactRequestMessage", "BAD_PARAMETERS"),
        (ARTIFACT + "BP-1", "ContractRequestMessage", "MESSAGE_TYPE_NOT_SUPPORTED"),
    ],
)
def test_a_message_that_cannot_be_served_is_rejected_with_the_reason(client, artifact, kind, reason):
    answer = ask(client, artifact, kind=kind)
    assert answer.kind == "RejectionMessage"
    assert answer.target("rejectionReason") == f"https://w3id.org/idsa/code/{reason}"


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ((b"", "text/plain"), 400),
        ((b"--b\r\n\r\nno name\r\n--b--\r\n", "multipart/form-data; boundary=b"), 400),
        (
            (
                b'--b\r\nContent-Disposition: form-data; name="header"\r\n\r\n[1]\r\n--b--\r\n',
                "multipart/mixed; boundary=b",
            ),
            400,
        ),
        ((b"x" * 300_000, "multipart/form-data; boundary=b"), 413),
    ],
)
def test_what_is_no_message_is_refused(client, content, status):
    assert ask(client, "", content=content).status_code == status


@given(st.binary(max_size=300), st.text(max_size=60))
def test_reading_a_message_ends_in_a_message_or_one_clear_error(body, content_type):
    with contextlib.suppress(InputError):
        assert isinstance(parse_message(body, content_type).header, dict)


@given(st.binary(max_size=300).filter(lambda payload: b"\r\n--" not in payload))
def test_a_written_message_is_read_back(payload):
    payload = base64.b64encode(payload)
    body, content_type = write_message(Message({"@type": "ids:X", "text": "Ω"}, payload))
    assert parse_message(body, content_type) == Message({"@type": "ids:X", "text": "Ω"}, payload)


def test_every_answer_is_written_down_and_no_key(client, tmp_path):
    client.get("/passports/BP-1", headers=HEADERS)
    client.get("/passports/nobody", headers={"X-Api-Key": CLOSER})
    ask(client, ARTIFACT + "BP-1")
    lines = journal(tmp_path)
    assert [(line["reader"], line["tier"], line["status"]) for line in lines] == [
        ("edc", "public", 200),
        ("repairer", "legitimate_interest", 404),
        ("edc", "public", 200),
    ]
    assert (lines[0]["battery_id"], lines[2]["agreement"]) == ("BP-1", "urn:agreement:1")
    assert KEY not in json.dumps(lines)


def test_the_keys_file_says_what_is_wrong_and_shows_no_key(tmp_path):
    path = tmp_path / "keys.json"
    with pytest.raises(InputError, match="write the file first"):
        read_keys(path)
    path.write_text('{"edc": {"key": "secret-4711", "tier": "public"}}')
    with pytest.raises(InputError, match=r"edc\.key") as caught:
        read_keys(path)
    assert "4711" not in str(caught.value)
    path.write_text(json.dumps({name: {"key": KEY, "tier": "public"} for name in ("a", "b")}))
    with pytest.raises(InputError, match="same key"):
        read_keys(path)


def test_the_application_starts_from_the_environment(tmp_path, outbox, monkeypatch):
    monkeypatch.setenv("BATTERY_PILOT_LAKE", str(tmp_path / "lake"))
    monkeypatch.delenv("BATTERY_PILOT_DATA_APP_KEYS", raising=False)
    with pytest.raises(InputError, match="BATTERY_PILOT_DATA_APP_KEYS"):
        from_environment()
    (tmp_path / "keys.json").write_text(json.dumps({"edc": {"key": KEY, "tier": "public"}}))
    monkeypatch.setenv("BATTERY_PILOT_DATA_APP_KEYS", str(tmp_path / "keys.json"))
    (tmp_path / "lake/provider").mkdir(parents=True)
    outbox.rename(tmp_path / "lake/provider/outbox")
    client = TestClient(from_environment())
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/passports/BP-1", headers=HEADERS).status_code == 200


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, Form.BUNDLE),
        ("*/*", Form.BUNDLE),
        ("application/*", Form.BUNDLE),
        ("application/json;q=0.5, application/asset-administration-shell-package", Form.AASX),
        ("application/json; content=value", Form.VALUES),
        ("application/json, */*;q=0.1", Form.AAS),
        ("application/json;q=0", None),
        ("application/json;q=nonsense", None),
        ("image/png", None),
    ],
)
def test_the_form_follows_the_accept_header(accept, form):
    assert wanted_form(accept, None) is form
