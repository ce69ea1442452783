from __future__ import annotations

from dataclasses import replace

import pytest

from battery_pilot.errors import InputError, ServerRefused, ServerUnavailable
from battery_pilot.passport.model import Tier
from battery_pilot.services import http
from battery_pilot.services.answers import TooLarge
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.edc_profiles import MANAGEMENT_CONTEXT, V4, V4_BETA, profile_of
from battery_pilot.services.connectors.inbox import Inbox, Way
from battery_pilot.services.connectors.model import Constraint, Counterparty, Offer, TransferState
from battery_pilot.services.connectors.policies import ROLE

PROVIDER = Counterparty("provider", "http://provider.invalid/protocol/2025-1")
OFFER = Offer(
    "b1",
    "Passport of B1",
    "http://outbox.invalid/b1.json",
    "application/json",
    Tier.PUBLIC,
    {"sha256": "ab"},
    (Constraint(ROLE, "eq", "recycler"),),
)
RULES = {
    "permission": [
        {"action": "use", "constraint": [{"leftOperand": "role", "operator": "eq", "rightOperand": "recycler"}]}
    ],
    "prohibition": [],
    "obligation": [],
}
CATALOGUE = {
    "@type": "Catalog",
    "participantId": "provider",
    "dataset": [
        {
            "@id": "b1",
            "@type": "Dataset",
            "hasPolicy": [{"@id": "offer-1", "@type": "Offer", **RULES}],
            "distribution": [{"@type": "Distribution", "format": "HttpData-PULL"}],
            "edc:name": "Passport of B1",
            "edc:sha256": "ab",
            "id": "b1",
        }
    ],
    "@context": ["https://w3id.org/dspace/2025/1/context.jsonld"],
}


@pytest.fixture
def inbox(tmp_path):
    return Inbox(tmp_path / "inbox", "http://me.example")


def connector(server, **options):
    settings = {"api_key": "key-1", "participant_id": "consumer", "wait_second": 0, "attempts": 2, "profile": V4_BETA}
    return EdcConnector(f"{server.url}/management", **settings | options)


def test_every_document_of_an_offer_has_the_context_and_a_type(server):
    server.will_answer(200, {}).will_answer(200, {"@id": "p", "policy": {"@type": "Set", **RULES}})
    server.will_answer(200, {}).will_answer(200, {})
    connector(server, data_keys={Tier.PUBLIC: "key-of-the-data-app"}).publish(OFFER)
    assert server.lines == [
        "POST /management/v4beta/policydefinitions",
        "GET /management/v4beta/policydefinitions/b1%3Apolicy",
        "POST /management/v4beta/assets",
        "POST /management/v4beta/contractdefinitions",
    ]
    policy, _, asset, contract = server.asked
    assert [one.json["@type"] for one in (policy, asset, contract)] == [
        "PolicyDefinition",
        "Asset",
        "ContractDefinition",
    ]
    assert all(one.json["@context"] == MANAGEMENT_CONTEXT for one in (policy, asset, contract))
    assert "@context" not in policy.json["policy"]
    assert asset.json["dataAddress"].items() >= {"authKey": "x-api-key", "authCode": "key-of-the-data-app"}.items()


def test_offer_goes_back_in_the_words_of_the_catalogue(server):
    server.will_answer(200, CATALOGUE).will_answer(200, {"@id": "n1"})
    edc = connector(server)
    (entry,) = edc.catalogue(PROVIDER)
    assert (entry.title, entry.properties["sha256"]) == ("Passport of B1", "ab")
    edc.negotiate(entry)
    request = server.asked[1].json
    assert (request["@type"], request["@context"]) == ("ContractRequest", MANAGEMENT_CONTEXT)
    parties = {"assigner": "provider", "target": "b1"}
    assert request["policy"] == {"@id": "offer-1", "@type": "Offer", **parties, **RULES}


def test_names_of_versions_are_known_and_others_are_told():
    assert (profile_of("v4"), profile_of("v4beta")) == (V4, V4_BETA)
    with pytest.raises(InputError, match="'v5' is not known, expected one of v3, v4beta, v4$"):
        profile_of("v5")


def test_address_comes_by_call_back_and_serves_the_fetch(server, inbox):
    server.will_answer(200, {"@id": "t1"})
    edc = connector(server, inbox=inbox)
    assert edc.transfer("agreement-1", PROVIDER) == "t1"
    request = server.asked[0].json
    (callback,) = request["callbackAddresses"]
    assert (request["transferType"], callback["events"]) == ("HttpData-PULL", ["transfer.process.started"])
    secret = callback["uri"].rpartition("/")[2]
    assert inbox.put_address(secret, {"endpoint": f"{server.url}/public", "authorization": "eyJ1"})
    server.will_answer(200, b"passport")
    assert edc.fetch("t1", maximum_bytes=100) == b"passport"
    assert server.asked[1].headers["Authorization"] == "eyJ1"


def test_address_that_is_not_called_back_is_late_and_not_looked_for_in_a_cache(server, inbox):
    server.will_answer(200, {"@id": "t1"})
    edc = connector(server, inbox=inbox, attempts=1)
    edc.transfer("agreement-1", PROVIDER)
    server.will_answer(200, {"@id": "t1", "state": "STARTED"})
    with pytest.raises(ServerUnavailable, match="not here yet"):
        edc.fetch("t1", maximum_bytes=100)
    assert server.lines[1:] == ["GET /management/v4beta/transferprocesses/t1"]


def pushing(server, inbox):
    server.will_answer(200, {"@id": "t1"})
    edc = connector(server, inbox=inbox, is_push=True)
    edc.transfer("agreement-1", PROVIDER)
    request = server.asked[0].json
    assert (request["transferType"], request["dataDestination"]["type"]) == ("HttpData-PUSH", "HttpData")
    return edc, request["dataDestination"]["baseUrl"].rpartition("/")[2]


def put(inbox, secret, data):
    (inbox._folder / secret / "content").write_bytes(data)


@pytest.mark.parametrize(
    ("said", "is_here", "expected"),
    [
        ("STARTED", False, TransferState.IN_PROGRESS),
        ("COMPLETED", True, TransferState.STARTED),
        ("STARTED", True, TransferState.STARTED),
        ("COMPLETED", False, TransferState.TERMINATED),
        ("TERMINATED", False, TransferState.TERMINATED),
    ],
)
def test_pushed_transfer_is_ready_when_its_file_is_here(server, inbox, said, is_here, expected):
    edc, secret = pushing(server, inbox)
    if is_here:
        put(inbox, secret, b"passport")
    server.will_answer(200, {"@id": "t1", "state": said})
    found = edc.transfer_state("t1")
    assert found.state is expected
    assert (found.error is not None) == ((said, is_here) == ("COMPLETED", False))


def test_pushed_file_is_read_from_the_inbox_up_to_the_accepted_length(server, inbox):
    edc, secret = pushing(server, inbox)
    put(inbox, secret, b"passport")
    assert edc.fetch("t1", maximum_bytes=8) == b"".join(edc.stream("t1", maximum_bytes=8)) == b"passport"
    with pytest.raises(TooLarge):
        edc.fetch("t1", maximum_bytes=7)
    assert len(server.asked) == 1
    server.will_answer(204)
    edc.terminate("t1", "done")
    assert list(inbox._folder.iterdir()) == []


def test_transfer_that_is_refused_leaves_nothing_expected(server, inbox):
    server.will_answer(400, b"no such agreement")
    with pytest.raises(ServerRefused):
        connector(server, inbox=inbox, is_push=True).transfer("agreement-1", PROVIDER)
    assert list(inbox._folder.iterdir()) == []


def test_push_without_an_inbox_is_refused(server):
    with pytest.raises(InputError, match="pushed to an inbox only"):
        connector(server, is_push=True)


def test_refused_negotiation_without_a_reason_says_whom_to_ask(server):
    server.will_answer(200, {"@id": "n1", "state": "TERMINATED", "edc:correlationId": "n-theirs"})
    assert connector(server).negotiation("n1").error == (
        "our connector was told no reason: ask for theirs of negotiation n-theirs"
    )


@pytest.fixture
def in_small_pieces(monkeypatch):
    monkeypatch.setattr(http, "CHUNK_BYTES", 4)


def streaming(server, inbox, **options):
    secret, _ = inbox.expect(Way.ADDRESS)
    inbox.bind("t1", secret, Way.ADDRESS)
    inbox.put_address(secret, {"endpoint": f"{server.url}/public", "authorization": "eyJ1"})
    return connector(server, inbox=inbox, attempts=3, **options)


@pytest.mark.usefixtures("in_small_pieces")
def test_stream_that_breaks_off_goes_on_from_there_where_ranges_are_served(server, inbox):
    ranged = {"ETag": '"e1"', "Accept-Ranges": "bytes"}
    server.will_answer(200, b"pass", Content_Length="8", **ranged)
    server.will_answer(206, b"port", Content_Range="bytes 4-7/8", **ranged)
    assert b"".join(streaming(server, inbox).stream("t1", maximum_bytes=8)) == b"passport"
    assert server.asked[1].headers["Range"] == "bytes=4-"
    assert server.asked[1].headers["If-Range"] == '"e1"'


@pytest.mark.usefixtures("in_small_pieces")
def test_stream_whose_token_ends_in_the_middle_goes_on_with_a_new_one(server, inbox):
    ranged = {"ETag": '"e1"', "Accept-Ranges": "bytes"}
    server.will_answer(200, b"pass", Content_Length="8", **ranged).will_answer(403)
    server.will_answer(206, b"port", Content_Range="bytes 4-7/8", **ranged)
    assert b"".join(streaming(server, inbox).stream("t1", maximum_bytes=8)) == b"passport"
    assert [one.headers.get("Range") for one in server.asked] == [None, "bytes=4-", "bytes=4-"]


@pytest.mark.usefixtures("in_small_pieces")
def test_stream_of_a_file_that_changed_meanwhile_is_not_mixed(server, inbox):
    server.will_answer(200, b"pass", Content_Length="8", ETag='"e1"', Accept_Ranges="bytes")
    server.will_answer(200, b"SECOND..", Content_Length="8", ETag='"e2"', Accept_Ranges="bytes")
    with pytest.raises(ServerRefused, match="broke off after 4 bytes, and the server does not go on from there"):
        list(streaming(server, inbox).stream("t1", maximum_bytes=8))


@pytest.mark.usefixtures("in_small_pieces")
def test_stream_that_breaks_off_without_ranges_is_an_error_that_may_pass(server, inbox):
    server.will_answer(200, b"pass", Content_Length="8")
    with pytest.raises(ServerUnavailable):
        list(streaming(server, inbox).stream("t1", maximum_bytes=8))
    assert len(server.asked) == 1


def test_stream_is_tried_again_before_it_has_begun(server, inbox):
    server.will_answer(503).will_answer(200, b"passport")
    assert b"".join(streaming(server, inbox).stream("t1", maximum_bytes=8)) == b"passport"


def test_stream_that_is_longer_than_accepted_is_refused(server, inbox):
    server.will_answer(200, b"x" * 101)
    with pytest.raises(TooLarge):
        list(streaming(server, inbox).stream("t1", maximum_bytes=100))


def test_token_that_stays_refused_ends_the_stream_without_showing_it(server, inbox):
    server.will_answer(403, b"token eyJ1 expired").will_answer(403, b"token eyJ1 expired")
    with pytest.raises(ServerRefused, match=r"token \*\*\* expired"):
        list(streaming(server, inbox).stream("t1", maximum_bytes=100))


def test_offer_without_a_key_carries_none(server):
    server.will_answer(200, {}).will_answer(200, {"@id": "p", "policy": {"@type": "Set", **RULES}})
    server.will_answer(200, {}).will_answer(200, {})
    connector(server).publish(replace(OFFER, tier=Tier.AUTHORITY))
    assert "authKey" not in server.asked[2].json["dataAddress"]
