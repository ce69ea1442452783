from __future__ import annotations

import json
from dataclasses import replace

import pytest

from battery_pilot.errors import Conflict, InputError, NotFound, ServerRefused, ServerUnavailable
from battery_pilot.passport.model import Tier
from battery_pilot.services.connectors import true_dsp_documents as documents
from battery_pilot.services.connectors.exchanges import ExchangeJournal
from battery_pilot.services.connectors.model import Constraint, Counterparty, NegotiationState, Offer
from battery_pilot.services.connectors.policies import COUNT, DATE_TIME, PURPOSE, ROLE
from battery_pilot.services.connectors.true_dsp import TrueDspConnector

PROVIDER = Counterparty("provider", "http://provider.invalid")
OFFER = Offer(
    "passport:public:B1",
    "Passport of B1",
    "http://app.invalid/files/public/ab/B1.json",
    "application/json",
    Tier.PUBLIC,
    {"batteryId": "B1"},
    (Constraint(COUNT, "lteq", "5"),),
)
DISTRIBUTION = {"@id": "urn:pull", "format": "HttpData-PULL", "accessService": [{"@id": "urn:service"}]}
TERMS = [{"action": "USE", "constraint": [{"leftOperand": "COUNT", "operator": "LTEQ", "rightOperand": "5"}]}]
AGREED = {
    "@id": "n-1",
    "role": "consumer",
    "state": "AGREED",
    "offer": {"target": "a", "permission": TERMS},
    "agreement": {"@id": "g-1", "target": "a", "permission": TERMS, "timestamp": "2026-11-22T18:07:06.222607962Z"},
}


@pytest.fixture
def connector(server, tmp_path):
    return TrueDspConnector(
        server.url,
        user="admin",
        password="pa55",
        participant_id="me",
        data_keys={Tier.PUBLIC: "key-of-public"},
        wait_second=0,
        attempts=2,
        patience_second=0,
        journal=ExchangeJournal(tmp_path / "exchanges.sqlite"),
    )


def envelope(data):
    return {"success": True, "data": data}


def paged(*content):
    return {"response": {"data": {"content": list(content), "page": {"totalPages": 1}}}}


def stored(offer=OFFER, **changes):
    document = documents.dataset(offer, DISTRIBUTION, documents.properties_of(offer))
    artifact = {"value": offer.data_url, "authorization": "Bearer key-of-public"}
    return envelope({**document, "artifact": artifact, **changes})


def test_a_new_offer_is_sent_in_parts_with_the_key_for_its_tier(server, connector):
    server.will_answer(200, envelope([DISTRIBUTION])).will_answer(404, {"message": "not found"})
    server.will_answer(200, envelope({})).will_answer(200, stored())
    connector.publish(OFFER)
    assert server.lines[2] == "POST /api/v1/datasets"
    sent = server.asked[2]
    assert sent.headers["Content-Type"].startswith("multipart/form-data")
    for part in (b'name="dataset"', OFFER.data_url.encode(), b"Bearer key-of-public", b'"COUNT"'):
        assert part in sent.body


def test_what_is_stored_already_is_not_sent_again(server, connector):
    server.will_answer(200, envelope([DISTRIBUTION])).will_answer(200, stored())
    connector.publish(OFFER)
    assert [asked.method for asked in server.asked] == ["GET", "GET"]


@pytest.mark.parametrize("policies", [[], [{"@id": "x", "permission": [{"action": "USE", "constraint": None}]}]])
def test_an_offer_under_another_policy_than_meant_is_taken_back(server, connector, policies):
    server.will_answer(200, envelope([DISTRIBUTION])).will_answer(404, {"message": "not found"})
    server.will_answer(200, envelope({})).will_answer(200, stored(hasPolicy=policies)).will_answer(200, envelope({}))
    with pytest.raises(ServerRefused, match="is not offered"):
        connector.publish(OFFER)
    assert server.lines[-1] == f"DELETE /api/v1/datasets/{'passport%3Apublic%3AB1'}"


def test_an_open_offer_gets_a_constraint_that_always_holds(server, connector):
    open_offer = replace(OFFER, constraints=())
    assert documents.policy(open_offer)["permission"][0]["constraint"] == [
        {"leftOperand": "DATE_TIME", "operator": "GTEQ", "rightOperand": "2020-01-01T00:00:00Z"}
    ]


def test_a_constraint_that_the_catalogue_does_not_take_is_named(server, connector):
    server.will_answer(200, envelope([DISTRIBUTION])).will_answer(404, {"message": "not found"})
    server.will_answer(400, {"message": "LeftOperand, problem: PURPOSE has no corresponding value"})
    with pytest.raises(ServerRefused, match="PURPOSE.*0.6.6 takes COUNT and DATE_TIME only"):
        connector.publish(replace(OFFER, constraints=(Constraint(PURPOSE, "eq", "recycling"),)))


def test_what_the_connector_cannot_do_is_refused_before_anything_is_sent(server, connector):
    with pytest.raises(InputError, match="role"):
        connector.publish(replace(OFFER, constraints=(Constraint(ROLE, "eq", "recycler"),)))
    with pytest.raises(InputError, match="offer each battery by itself"):
        connector.publish(replace(OFFER, is_folder=True))
    with pytest.raises(InputError, match="nothing below"):
        connector.fetch("t-1", maximum_bytes=10, path="x")
    assert server.asked == []


def test_every_request_names_a_content_type_because_the_connector_refuses_others(server, connector):
    server.will_answer(200, envelope(AGREED | {"state": "REQUESTED"}))
    connector.negotiation("n-1")
    assert server.asked[0].headers["Content-Type"] == "application/json"


def test_an_agreement_as_offered_is_confirmed(server, connector):
    server.will_answer(200, envelope(AGREED)).will_answer(200, envelope({}))
    assert connector.negotiation("n-1").state is NegotiationState.VERIFIED
    assert server.lines[-1] == "PUT /api/v1/negotiations/n-1/verify"


@pytest.mark.parametrize(
    ("change", "words"),
    [({"target": "b"}, "about 'b'"), ({"permission": [{"action": "USE", "constraint": None}]}, "other conditions")],
)
def test_an_agreement_other_than_the_offer_is_ended_with_the_reason(server, connector, change, words):
    other = AGREED | {"agreement": AGREED["agreement"] | change}
    server.will_answer(200, envelope(other)).will_answer(200, envelope(other)).will_answer(200, envelope({}))
    end = connector.negotiation("n-1")
    assert end.state is NegotiationState.TERMINATED
    assert words in end.error
    assert server.lines[-1] == "PUT /api/v1/negotiations/n-1/terminate"


def test_a_change_of_state_is_not_repeated(server, connector):
    server.will_answer(200, envelope(AGREED)).will_answer(503)
    with pytest.raises(ServerUnavailable):
        connector.negotiation("n-1")
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "message", "kind", "meant"),
    [
        (400, "Contract negotiation with id x not found", NotFound, 404),
        (400, "Download aborted, Policy is not valid anymore", ServerRefused, 403),
        (400, "State transition aborted", ServerRefused, 400),
    ],
)
def test_a_refusal_gets_the_status_that_it_means(server, connector, status, message, kind, meant):
    server.will_answer(status, {"success": False, "message": message})
    with pytest.raises(kind) as caught:
        connector.transfer_state("x")
    assert caught.value.status == meant


def test_a_used_agreement_is_told_from_one_without_a_process_yet(server, connector):
    server.will_answer(200, paged({"@id": "t-1", "state": "COMPLETED"})).will_answer(200, paged())
    with pytest.raises(Conflict, match="negotiate anew"):
        connector.transfer("g-1", PROVIDER)
    with pytest.raises(ServerUnavailable, match="no transfer process yet"):
        connector.transfer("g-1", PROVIDER)


def test_a_transfer_under_way_is_not_asked_for_again(server, connector):
    server.will_answer(200, paged({"@id": "t-1", "state": "REQUESTED"}))
    assert connector.transfer("g-1", PROVIDER) == "t-1"
    assert len(server.asked) == 1


def test_a_file_that_does_not_come_ends_the_wait(server, connector):
    started = {
        "@id": "t-1",
        "state": "STARTED",
        "downloaded": False,
        "dataAddress": {"endpoint": "http://x.invalid/f"},
    }
    server.will_answer(200, envelope(started)).will_answer(202, envelope("Download started"))
    with pytest.raises(ServerUnavailable, match="has not got the file"):
        connector.fetch("t-1", maximum_bytes=10)


def test_a_host_that_may_not_be_asked_is_not_asked(server):
    careful = TrueDspConnector(
        server.url, user="a", password="b", participant_id="me", data_hosts=["provider.invalid"], attempts=1
    )
    started = {"@id": "t-1", "state": "STARTED", "dataAddress": {"endpoint": "http://169.254.169.254/latest"}}
    server.will_answer(200, envelope(started))
    with pytest.raises(InputError, match="may not be asked"):
        careful.fetch("t-1", maximum_bytes=10)
    assert len(server.asked) == 1


def test_a_catalogue_of_somebody_else_is_refused(server, connector):
    server.will_answer(200, envelope({"participantId": "mallory", "dataset": []}))
    with pytest.raises(ServerRefused, match="mallory"):
        list(connector.catalogue(PROVIDER))


def test_what_was_said_is_kept_without_what_opens_a_file(server, connector, tmp_path):
    address = {"endpoint": "http://s3.invalid/f?X-Amz-Signature=4711"}
    server.will_answer(200, envelope({"@id": "t-1", "state": "STARTED", "dataAddress": address}))
    connector.transfer_state("t-1")
    (said,) = ExchangeJournal(tmp_path / "exchanges.sqlite").of("t-1")
    assert "http://s3.invalid/f" in json.dumps(said.received)
    assert "4711" not in json.dumps(said.received)
    assert "pa55" not in str(said)


def test_requests_are_answered_by_what_is_on_offer(server, connector):
    policy = documents.policy(OFFER)
    asked = {"target": OFFER.asset_id, "originalId": policy["@id"], "permission": policy["permission"]}
    weaker = asked | {"permission": [{"action": "USE", "constraint": None}]}
    stale = asked | {"originalId": "urn:uuid:old"}
    negotiations = [
        {"@id": name, "state": "REQUESTED", "offer": offer}
        for name, offer in (("good", asked), ("weaker", weaker), ("stale", stale), ("gone", asked))
    ]
    server.will_answer(200, paged(*negotiations))
    for _ in range(3):
        server.will_answer(200, stored()).will_answer(200, envelope({}))
    server.will_answer(404, {"message": "not found"}).will_answer(400, {"message": "State transition aborted"})
    server.will_answer(200, paged({"@id": "checked"})).will_answer(200, envelope({}))
    server.will_answer(200, paged({"@id": "process"})).will_answer(200, envelope({}))
    assert connector.answer_requests() == {"agreed": 1, "refused": 2, "finalised": 1, "started": 1, "failed": 1}
    assert [asked.path for asked in server.asked if asked.method == "PUT"] == [
        "/api/v1/negotiations/good/agree",
        "/api/v1/negotiations/weaker/terminate",
        "/api/v1/negotiations/stale/terminate",
        "/api/v1/negotiations/gone/terminate",
        "/api/v1/negotiations/checked/finalize",
        "/api/v1/transfers/process/start",
    ]


def test_an_agreement_is_read_in_the_words_of_odrl(server, connector):
    server.will_answer(200, paged(AGREED | {"state": "FINALIZED"})).will_answer(200, paged())
    agreement = connector.agreement("g-1")
    (constraint,) = agreement.policy["permission"][0]["constraint"]
    assert constraint == {"leftOperand": COUNT, "operator": "lteq", "rightOperand": "5"}
    assert agreement.signed_at.isoformat() == "2026-11-22T18:07:06.222607+00:00"
    with pytest.raises(NotFound, match="g-2"):
        connector.agreement("g-2")


@pytest.mark.parametrize(
    "spelling", [("COUNT", "LTEQ"), ("count", "lteq"), ("odrl:count", "odrl:lteq"), (COUNT, "lteq")]
)
def test_a_policy_is_the_same_in_every_spelling(spelling):
    operand, operator = spelling
    constraint = {"leftOperand": operand, "operator": operator, "rightOperand": "5"}
    assert documents.rules({"permission": {"action": "odrl:use", "constraint": constraint}}) == documents.rules(
        {"permission": TERMS}
    )


def test_a_date_is_spelt_alike_too():
    for operand in ("DATE_TIME", "dateTime", DATE_TIME):
        (rule,) = documents.rules(
            {
                "permission": [
                    {"action": "use", "constraint": [{"leftOperand": operand, "operator": "lt", "rightOperand": "x"}]}
                ]
            }
        )
        assert rule == ("USE", frozenset({("DATE_TIME", "LT", "x")}))
