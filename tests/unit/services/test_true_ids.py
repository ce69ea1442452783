from __future__ import annotations

import base64
from dataclasses import replace

import pytest

from battery_pilot.errors import InputError, NotFound, ServerRefused
from battery_pilot.passport.model import Tier
from battery_pilot.services.answers import TooLarge
from battery_pilot.services.connectors import true_ids_documents as documents
from battery_pilot.services.connectors.model import Constraint, Counterparty, NegotiationState, Offer, TransferState
from battery_pilot.services.connectors.policies import DATE_TIME, PURPOSE, expires_at
from battery_pilot.services.connectors.true_ids import TrueIdsConnector

PROVIDER = Counterparty("provider", "https://ecc-provider:8889/data")
OFFER = Offer(
    "passport:public:B1",
    "Passport of Bé1",
    "http://app.invalid/x",
    "application/json",
    Tier.PUBLIC,
    {"batteryId": "B1"},
)
CATALOGUE = {"ids:resourceCatalog": [{"@id": "urn:catalogue", "ids:offeredResource": []}]}
RESOURCE = documents.resource(OFFER, {"batteryId": "B1", "contenttype": "application/json", "tier": "public"})
ENTRY = documents.catalogue_entry(RESOURCE, PROVIDER)
AGREEMENT = {"@id": "urn:agreement:1", "ids:permission": RESOURCE["ids:contractOffer"][0]["ids:permission"]}


@pytest.fixture
def connector(server, tmp_path):
    return TrueIdsConnector(
        server.url,
        ecc_login=("apiUser", "pa55"),
        participant_id="me",
        memory=tmp_path / "ids",
        proxy_url=server.url,
        proxy_login=("idsUser", "pa55"),
        wait_second=0,
        attempts=2,
    )


@pytest.fixture
def agreement_id(server, connector):
    server.will_answer(200, AGREEMENT).will_answer(200)
    found = connector.negotiate(ENTRY)
    server.asked.clear()
    return found


def test_ids_travel_in_headers(server, connector):
    server.will_answer(404, {"message": "unknown"}).will_answer(200, CATALOGUE).will_answer(200, CATALOGUE)
    server.will_answer(200, RESOURCE)
    connector.publish(OFFER)
    assert server.lines == [
        "GET /api/offeredResource/",
        "GET /api/selfDescription/",
        "POST /api/offeredResource/",
        "GET /api/offeredResource/",
    ]
    assert server.asked[0].headers["resource"] == RESOURCE["@id"]
    assert server.asked[2].headers["catalog"] == "urn:catalogue"
    assert server.asked[2].json == RESOURCE


def test_what_is_offered_already_is_not_sent_again(server, connector):
    server.will_answer(200, RESOURCE)
    connector.publish(OFFER)
    assert len(server.asked) == 1


def test_an_offer_under_another_policy_than_meant_is_taken_back(server, connector):
    server.will_answer(404, {"message": "unknown"}).will_answer(200, CATALOGUE).will_answer(200, CATALOGUE)
    server.will_answer(200, RESOURCE | {"ids:contractOffer": []}).will_answer(200, CATALOGUE)
    with pytest.raises(ServerRefused, match="is not offered"):
        connector.publish(OFFER)
    assert server.lines[-1] == "DELETE /api/offeredResource/"


def test_nothing_but_ascii_is_sent(server, connector):
    assert str(RESOURCE).isascii()


def test_a_request_repeats_the_offered_permission_exactly(server, connector):
    server.will_answer(200, AGREEMENT).will_answer(200)
    assert connector.negotiate(ENTRY) == "urn:agreement:1"
    first, second = (asked.json for asked in server.asked)
    assert first["multipart"] == "form"
    assert first["Forward-To"] == PROVIDER.protocol_url
    assert first["payload"]["ids:permission"] == RESOURCE["ids:contractOffer"][0]["ids:permission"]
    assert (first["messageType"], second["messageType"]) == ("ContractRequestMessage", "ContractAgreementMessage")
    assert second["payload"] == AGREEMENT
    assert connector.negotiation("urn:agreement:1").state is NegotiationState.FINALIZED
    assert connector.find_agreement(OFFER.asset_id, PROVIDER) == "urn:agreement:1"
    assert connector.agreement("urn:agreement:1").policy["permission"][0]["constraint"] == []


@pytest.mark.parametrize(
    "change", [{"ids:permission": []}, {"ids:permission": [{"ids:target": {"@id": "urn:other"}, "ids:action": []}]}]
)
def test_an_agreement_other_than_the_offer_is_not_confirmed(server, connector, change):
    server.will_answer(200, AGREEMENT | change)
    with pytest.raises(ServerRefused, match="other conditions"):
        connector.negotiate(ENTRY)
    assert len(server.asked) == 1
    assert connector.find_agreement(OFFER.asset_id, PROVIDER) is None


def test_a_resource_that_is_a_mere_summary_is_asked_for(server, connector):
    listed = {"ids:resourceCatalog": [{"ids:offeredResource": [{"@id": RESOURCE["@id"]}]}]}
    server.will_answer(200, listed).will_answer(200, RESOURCE)
    assert [entry.asset_id for entry in connector.catalogue(PROVIDER)] == [OFFER.asset_id]
    assert server.asked[1].json["requestedElement"] == RESOURCE["@id"]


def test_the_passport_comes_as_base64(server, connector, agreement_id):
    transfer_id = connector.transfer(agreement_id, PROVIDER)
    data = '{"Ω": "\\"}'.encode()
    server.will_answer(200, base64.b64encode(data)).will_answer(200, base64.b64encode(data))
    assert connector.fetch(transfer_id, maximum_bytes=len(data)) == data
    assert server.asked[0].json["transferContract"] == agreement_id
    with pytest.raises(TooLarge):
        connector.fetch(transfer_id, maximum_bytes=len(data) - 1)


def test_the_connectors_own_sample_is_told_from_a_passport(server, connector, agreement_id):
    server.will_answer(200, {"firstName": "John", "lastName": "Doe"})
    with pytest.raises(ServerRefused, match="fixed sample"):
        connector.fetch(connector.transfer(agreement_id, PROVIDER), maximum_bytes=1000)


def test_after_a_refused_password_nothing_more_is_sent(server, connector):
    server.will_answer(401, b"")
    for _ in range(6):
        with pytest.raises(ServerRefused, match="lock the account") as caught:
            list(connector.catalogue(PROVIDER))
        assert caught.value.status == 401
    assert len(server.asked) == 1


def test_a_connector_without_a_proxy_cannot_consume(server, tmp_path):
    provider = TrueIdsConnector(server.url, ecc_login=("a", "b"), participant_id="me", memory=tmp_path)
    with pytest.raises(InputError, match="proxy_url"):
        list(provider.catalogue(PROVIDER))


def test_with_websocket_the_data_lie_in_a_file_of_ours(server, connector, tmp_path, agreement_id):
    lake = tmp_path / "datalake"
    lake.mkdir()
    (lake / "B1").write_bytes(base64.b64encode(b"passport"))
    (tmp_path / "secret").write_bytes(base64.b64encode(b"secret"))
    connector = TrueIdsConnector(
        server.url,
        ecc_login=("a", "b"),
        participant_id="me",
        memory=tmp_path / "ids",
        proxy_url=server.url,
        forward_to_internal="wss://ecc-consumer:8887",
        data_lake=lake,
    )
    transfer_id = connector.transfer(agreement_id, PROVIDER)
    server.will_answer(200, "File '\u200bB1\u200b' created successfully".encode())
    assert connector.fetch(transfer_id, maximum_bytes=100) == b"passport"
    assert (server.asked[0].json["multipart"], server.asked[0].json["Forward-To-Internal"]) == (
        "wss",
        "wss://ecc-consumer:8887",
    )
    server.will_answer(200, b"File '../secret' created successfully")
    with pytest.raises(ServerRefused, match="no file was created"):
        connector.fetch(transfer_id, maximum_bytes=100)


def test_an_ended_transfer_gives_nothing(connector, agreement_id):
    transfer_id = connector.transfer(agreement_id, PROVIDER)
    connector.terminate(transfer_id, "test is over")
    assert connector.transfer_state(transfer_id).state is TransferState.TERMINATED
    with pytest.raises(ServerRefused, match="has ended"):
        connector.fetch(transfer_id, maximum_bytes=10)
    with pytest.raises(NotFound):
        connector.transfer_state("urn:uuid:nobody")


def test_a_point_in_time_is_a_constraint_where_usage_control_is_on(server, connector, tmp_path):
    until = Constraint(DATE_TIME, "lteq", "2030-01-01T00:00:00+00:00")
    with pytest.raises(InputError, match="does not check dateTime"):
        connector.publish(replace(OFFER, constraints=(until,)))
    resource = documents.resource(replace(OFFER, constraints=(until,)), {})
    kept = {"agreement": AGREEMENT | resource["ids:contractOffer"][0], "signed_at": "2026-01-01T00:00:00+00:00"}
    agreement = documents.agreement(kept)
    assert expires_at(agreement.policy, agreement.signed_at).isoformat() == "2030-01-01T00:00:00+00:00"
    with pytest.raises(InputError, match="points in time"):
        documents.resource(replace(OFFER, constraints=(Constraint(PURPOSE, "eq", "x"),)), {})
    assert server.asked == []
