from __future__ import annotations

import json
from dataclasses import replace

import pytest

from battery_pilot.errors import InputError, NotFound, ServerRefused, ServerUnavailable
from battery_pilot.passport.model import Tier
from battery_pilot.services.answers import TooLarge
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.edc_documents import policy_definition, rules
from battery_pilot.services.connectors.model import (
    Constraint,
    Counterparty,
    NegotiationState,
    Offer,
    TransferState,
)
from battery_pilot.services.connectors.policies import COUNT, DATE_TIME, ELAPSED_TIME, ROLE

PROVIDER = Counterparty("provider", "http://provider.invalid/protocol/2025-1")
RECYCLERS = Constraint(ROLE, "eq", "recycler")
OFFER = Offer(
    "b1.public",
    "Passport of B1",
    "http://outbox.invalid/b1.json",
    "application/json",
    Tier.PUBLIC,
    {"sha256": "ab"},
    (RECYCLERS,),
)
CONTEXT = {"@vocab": "https://w3id.org/edc/v0.0.1/ns/", "odrl": "http://www.w3.org/ns/odrl/2/"}
STORED_PERMISSION = {
    "odrl:action": {"@id": "odrl:use"},
    "odrl:constraint": {
        "odrl:leftOperand": {"@id": "edc:role"},
        "odrl:operator": {"@id": "odrl:eq"},
        "odrl:rightOperand": "recycler",
    },
}


@pytest.fixture
def edc(server):
    return EdcConnector(
        f"{server.url}/management", api_key="key-1", participant_id="consumer", wait_second=0, attempts=2
    )


def stored(*permissions):
    """Write a policy definition as EDC gives it back: prefixed, and one permission as an object."""
    policy = {"@type": "odrl:Set", "odrl:prohibition": [], "odrl:obligation": []}
    policy["odrl:permission"] = permissions[0] if len(permissions) == 1 else list(permissions)
    return {"@id": "b1.public:policy", "@type": "PolicyDefinition", "policy": policy, "@context": CONTEXT}


def dataset(number, **more):
    return {
        "@id": f"b{number}",
        "@type": "dcat:Dataset",
        "odrl:hasPolicy": {"@id": f"offer-{number}", "@type": "odrl:Offer", "odrl:permission": STORED_PERMISSION},
        "dcat:distribution": [{"dct:format": {"@id": "HttpData-PULL"}}],
        "id": f"b{number}",
        "name": f"Passport {number}",
        **more,
    }


def catalogue(datasets, **more):
    return {"@type": "dcat:Catalog", "dcat:dataset": datasets, "@context": CONTEXT, **more}


def short(line):
    return line.replace("/management/v3", "")


def test_offer_becomes_policy_asset_and_contract_definition_in_this_order(edc, server):
    server.will_answer(200, {}).will_answer(200, stored(STORED_PERMISSION)).will_answer(200, {}).will_answer(200, {})
    edc.publish(OFFER)
    assert [short(line) for line in server.lines] == [
        "POST /policydefinitions",
        "GET /policydefinitions/b1.public%3Apolicy",
        "POST /assets",
        "POST /contractdefinitions",
    ]
    policy, _, asset, contract = server.asked
    assert policy.headers["x-api-key"] == "key-1"
    assert policy.json["policy"]["permission"] == [
        {
            "action": "use",
            "constraint": [
                {"leftOperand": RECYCLERS.left_operand, "operator": "eq", "rightOperand": "recycler"},
            ],
        }
    ]
    assert asset.json["properties"] == {
        "name": "Passport of B1",
        "contenttype": "application/json",
        "tier": "public",
        "sha256": "ab",
    }
    assert asset.json["dataAddress"]["baseUrl"] == OFFER.data_url
    assert contract.json["assetsSelector"] == [
        {
            "@type": "Criterion",
            "operandLeft": "https://w3id.org/edc/v0.0.1/ns/id",
            "operator": "=",
            "operandRight": "b1.public",
        }
    ]
    assert contract.json["accessPolicyId"] == contract.json["contractPolicyId"] == policy.json["@id"]


def test_consumer_cannot_walk_from_the_offered_file_to_its_neighbours(edc, server):
    server.will_answer(200, {}).will_answer(200, stored(STORED_PERMISSION)).will_answer(200, {}).will_answer(200, {})
    edc.publish(OFFER)
    assert server.asked[2].json["dataAddress"]["proxyPath"] == "false"


def test_second_publication_updates_asset_and_contract_and_leaves_an_equal_policy_alone(edc, server):
    server.will_answer(409).will_answer(200, stored(STORED_PERMISSION))
    server.will_answer(409).will_answer(204).will_answer(409).will_answer(204)
    edc.publish(OFFER)
    assert [short(line) for line in server.lines] == [
        "POST /policydefinitions",
        "GET /policydefinitions/b1.public%3Apolicy",
        "POST /assets",
        "PUT /assets",
        "POST /contractdefinitions",
        "PUT /contractdefinitions",
    ]


def test_file_is_off_offer_while_its_policy_changes(edc, server):
    server.will_answer(409).will_answer(200, stored({"odrl:action": {"@id": "odrl:use"}}))
    server.will_answer(204).will_answer(204).will_answer(200, stored(STORED_PERMISSION))
    server.will_answer(409).will_answer(204).will_answer(200, {})
    edc.publish(OFFER)
    assert [short(line) for line in server.lines[2:]] == [
        "DELETE /contractdefinitions/b1.public%3Acontract",
        "PUT /policydefinitions/b1.public%3Apolicy",
        "GET /policydefinitions/b1.public%3Apolicy",
        "POST /assets",
        "PUT /assets",
        "POST /contractdefinitions",
    ]


def test_policy_that_was_stored_empty_is_an_error_and_nothing_is_offered(edc, server):
    server.will_answer(200, {}).will_answer(200, stored()).will_answer(404)
    with pytest.raises(ServerRefused, match="EMPTY policy, which means open access"):
        edc.publish(OFFER)
    assert short(server.lines[-1]) == "DELETE /contractdefinitions/b1.public%3Acontract"


def test_policy_that_lost_its_constraint_is_an_error(edc, server):
    server.will_answer(200, {}).will_answer(200, stored({"odrl:action": {"@id": "odrl:use"}})).will_answer(404)
    with pytest.raises(ServerRefused, match="another policy"):
        edc.publish(OFFER)


@pytest.mark.parametrize(
    "spelling",
    [
        {
            "permission": [
                {
                    "action": "use",
                    "constraint": [{"leftOperand": "role", "operator": "eq", "rightOperand": "recycler"}],
                }
            ]
        },
        {
            "odrl:permission": {
                "odrl:action": {"odrl:type": "http://www.w3.org/ns/odrl/2/use"},
                "odrl:constraint": {
                    "odrl:leftOperand": "edc:role",
                    "odrl:operator": {"@id": "odrl:eq"},
                    "odrl:rightOperand": {"@value": "recycler"},
                },
            },
            "odrl:prohibition": [],
        },
    ],
)
def test_two_spellings_of_a_policy_are_equal(spelling):
    assert rules(spelling) == rules({"odrl:permission": STORED_PERMISSION})


def test_withdrawn_asset_with_agreements_stays_without_an_offer(edc, server):
    server.will_answer(204).will_answer(204).will_answer(409)
    edc.withdraw("b1.public")
    assert [short(line) for line in server.lines] == [
        "DELETE /contractdefinitions/b1.public%3Acontract",
        "DELETE /policydefinitions/b1.public%3Apolicy",
        "DELETE /assets/b1.public",
    ]


def test_withdrawing_what_is_gone_is_no_error(edc, server):
    server.will_answer(404).will_answer(404).will_answer(404)
    edc.withdraw("b1.public")


@pytest.mark.parametrize(
    ("constraint", "right"),
    [
        (Constraint(ELAPSED_TIME, "lteq", "P30D"), "contractAgreement+30d"),
        (Constraint(ELAPSED_TIME, "lteq", "PT12H"), "contractAgreement+12h"),
        (Constraint(DATE_TIME, "lteq", "2027-01-01T00:00:00Z"), "2027-01-01T00:00:00Z"),
    ],
)
def test_time_limits_are_written_in_the_one_operand_that_edc_checks(constraint, right):
    (permission,) = policy_definition(replace(OFFER, constraints=(constraint,)))["policy"]["permission"]
    assert permission["constraint"] == [
        {"leftOperand": "https://w3id.org/edc/v0.0.1/ns/inForceDate", "operator": "lteq", "rightOperand": right}
    ]


@pytest.mark.parametrize("text", ["30 days", "P0D", "P1Y", "-P1D", ""])
def test_elapsed_time_that_edc_cannot_count_is_refused(text):
    with pytest.raises(InputError, match="no elapsed time"):
        policy_definition(replace(OFFER, constraints=(Constraint(ELAPSED_TIME, "lteq", text),)))


def test_constraint_that_edc_does_not_check_is_refused_before_anything_is_sent(edc, server):
    with pytest.raises(InputError, match="does not check count"):
        edc.publish(replace(OFFER, constraints=(RECYCLERS, Constraint(COUNT, "lteq", "3"))))
    assert server.lines == []


def test_ended_negotiation_can_be_ended_again(edc, server):
    server.will_answer(204).will_answer(409)
    for _ in range(2):
        edc.terminate_negotiation("n-1", "not needed any more")
    assert short(server.lines[0]) == "POST /contractnegotiations/n-1/terminate"
    assert server.asked[0].json["reason"] == "not needed any more"


def unprefixed(**rules):
    """An entry of the catalogue that EDC 0.14 gives of a DSP 2025-1 connector."""
    node = {
        "@id": "b1",
        "@type": "Dataset",
        "hasPolicy": [{"@id": "offer-1", "@type": "Offer", **rules}],
        "distribution": [{"@type": "Distribution", "format": "HttpData-PULL"}],
        "id": "b1",
        "edc:name": "Passport 1",
        "edc:tier": "public",
    }
    context = ["https://w3id.org/dspace/2025/1/context.jsonld", "https://w3id.org/edc/dspace/v0.0.1"]
    return {"@type": "Catalog", "dataset": [node], "participantId": "provider", "@context": context}


def test_catalogue_without_prefixes_is_read_and_its_policy_sent_in_full_names(edc, server):
    constraints = [
        {"leftOperand": "inForceDate", "operator": "lteq", "rightOperand": "contractAgreement+30d"},
        {"leftOperand": "odrl:recipient", "operator": "eq", "rightOperand": "consumer"},
    ]
    server.will_answer(200, unprefixed(permission=[{"action": "use", "constraint": constraints}]))
    server.will_answer(200, {"@id": "n-1"})
    (entry,) = edc.catalogue(PROVIDER)
    assert entry.properties == {"id": "b1", "name": "Passport 1", "tier": "public"}
    edc.negotiate(entry)
    assert server.asked[1].json["policy"] == {
        "@id": "offer-1",
        "@type": "odrl:Offer",
        "odrl:permission": [
            {
                "odrl:action": {"@id": "http://www.w3.org/ns/odrl/2/use"},
                "odrl:constraint": [
                    {
                        "odrl:leftOperand": {"@id": "https://w3id.org/edc/v0.0.1/ns/inForceDate"},
                        "odrl:operator": {"@id": "http://www.w3.org/ns/odrl/2/lteq"},
                        "odrl:rightOperand": "contractAgreement+30d",
                    },
                    {
                        "odrl:leftOperand": {"@id": "odrl:recipient"},
                        "odrl:operator": {"@id": "http://www.w3.org/ns/odrl/2/eq"},
                        "odrl:rightOperand": "consumer",
                    },
                ],
            }
        ],
        "odrl:assigner": {"@id": "provider"},
        "odrl:target": {"@id": "b1"},
    }


@pytest.mark.parametrize("shape", [[dataset(1)], dataset(1)])
def test_catalogue_entry_carries_the_policy_as_it_came(edc, server, shape):
    server.will_answer(200, catalogue(shape))
    (entry,) = edc.catalogue(PROVIDER)
    assert (entry.asset_id, entry.title, entry.properties["name"]) == ("b1", "Passport 1", "Passport 1")
    assert entry.offer == {"@context": CONTEXT, **dataset(1)["odrl:hasPolicy"]}


def test_first_of_several_offers_is_taken_and_an_asset_without_offer_is_left_out(edc, server):
    several = dataset(1, **{"odrl:hasPolicy": [{"@id": "first"}, {"@id": "second"}]})
    none = dataset(2)
    del none["odrl:hasPolicy"]
    server.will_answer(200, catalogue([several, none]))
    assert [entry.offer["@id"] for entry in edc.catalogue(PROVIDER)] == ["first"]


def test_empty_catalogue_has_no_entries(edc, server):
    server.will_answer(200, {"@type": "dcat:Catalog", "@context": CONTEXT})
    assert list(edc.catalogue(PROVIDER)) == []


def test_catalogue_is_asked_page_by_page_with_the_filter(edc, server):
    server.will_answer(200, catalogue([dataset(i) for i in range(50)])).will_answer(200, catalogue(dataset(50)))
    assert len(list(edc.catalogue(PROVIDER, filter={"tier": "public"}))) == 51
    queries = [asked.json["querySpec"] for asked in server.asked]
    assert [(query["offset"], query["limit"]) for query in queries] == [(0, 50), (50, 50)]
    assert queries[1]["filterExpression"] == [
        {
            "@type": "Criterion",
            "operandLeft": "https://w3id.org/edc/v0.0.1/ns/tier",
            "operator": "=",
            "operandRight": "public",
        }
    ]
    assert server.asked[0].json["counterPartyAddress"] == PROVIDER.protocol_url


def test_connector_that_ignores_paging_is_walked_once(edc, server):
    everything = catalogue([dataset(i) for i in range(60)])
    server.will_answer(200, everything).will_answer(200, everything)
    assert len(list(edc.catalogue(PROVIDER))) == 60


def test_catalogue_of_somebody_else_is_refused(edc, server):
    server.will_answer(200, catalogue([], **{"dspace:participantId": "mallory"}))
    with pytest.raises(ServerRefused, match="connector of 'mallory', not of 'provider'"):
        list(edc.catalogue(PROVIDER))


def test_negotiation_repeats_the_offer_verbatim_and_adds_who_and_what(edc, server):
    server.will_answer(200, catalogue([dataset(1)])).will_answer(200, {"@id": "negotiation-1"})
    (entry,) = edc.catalogue(PROVIDER)
    assert edc.negotiate(entry) == "negotiation-1"
    request = server.asked[1].json
    assert request["policy"] == {
        "@context": CONTEXT,
        **dataset(1)["odrl:hasPolicy"],
        "odrl:assigner": {"@id": "provider"},
        "odrl:target": {"@id": "b1"},
    }
    assert request["counterPartyAddress"] == PROVIDER.protocol_url
    assert request["protocol"] == "dataspace-protocol-http:2025-1"


def test_starting_a_negotiation_is_never_repeated(edc, server):
    server.will_answer(200, catalogue([dataset(1)])).will_hang_up()
    (entry,) = edc.catalogue(PROVIDER)
    with pytest.raises(ServerUnavailable):
        edc.negotiate(entry)
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("state", "expected"), [("FINALIZED", NegotiationState.FINALIZED), ("VERIFYING", NegotiationState.IN_PROGRESS)]
)
def test_negotiation_state_is_read(edc, server, state, expected):
    server.will_answer(200, {"@id": "n", "state": state, "contractAgreementId": "agreement-1"})
    negotiation = edc.negotiation("n")
    assert (negotiation.state, negotiation.agreement_id) == (expected, "agreement-1")


def test_reason_of_a_failed_negotiation_is_kept(edc, server):
    server.will_answer(200, {"@id": "n", "state": "TERMINATED", "errorDetail": "Policy not equal"})
    negotiation = edc.negotiation("n")
    assert negotiation.error == "Policy not equal"
    assert negotiation.agreement_id is None


def agreement(name, signed_at, **more):
    return {
        "@id": name,
        "assetId": "b1",
        "providerId": "provider",
        "consumerId": "consumer",
        "contractSigningDate": signed_at,
        **more,
    }


def test_latest_finalized_agreement_of_this_asset_and_party_is_found(edc, server):
    server.will_answer(
        200,
        [
            agreement("old", 1),
            agreement("good", 2),
            agreement("unconfirmed", 3),
            agreement("of-another", 4, providerId="other"),
            agreement("as-provider", 5, consumerId="somebody"),
            agreement("of-another-asset", 6, assetId="b2"),
        ],
    )
    server.will_answer(200, {"@id": "n3", "state": "AGREED"}).will_answer(200, {"@id": "n2", "state": "FINALIZED"})
    assert edc.find_agreement("b1", PROVIDER) == "good"
    assert [short(line) for line in server.lines] == [
        "POST /contractagreements/request",
        "GET /contractagreements/unconfirmed/negotiation",
        "GET /contractagreements/good/negotiation",
    ]


def test_agreements_are_searched_page_by_page(edc, server):
    server.will_answer(200, [agreement(f"x{i}", i, assetId="b2") for i in range(50)])
    server.will_answer(200, [agreement("good", 2)]).will_answer(200, {"@id": "n", "state": "FINALIZED"})
    assert edc.find_agreement("b1", PROVIDER) == "good"
    assert server.asked[1].json["offset"] == 50


def test_no_agreement_is_none(edc, server):
    server.will_answer(200, [])
    assert edc.find_agreement("b1", PROVIDER) is None


def test_transfer_is_a_pull_under_the_agreement(edc, server):
    server.will_answer(200, {"@id": "t1"})
    assert edc.transfer("agreement-1", PROVIDER) == "t1"
    request = server.asked[0].json
    assert (request["contractId"], request["transferType"]) == ("agreement-1", "HttpData-PULL")


@pytest.mark.parametrize(
    ("state", "expected"),
    [("STARTED", TransferState.STARTED), ("PROVISIONING", TransferState.IN_PROGRESS)],
)
def test_transfer_state_is_read(edc, server, state, expected):
    server.will_answer(200, {"@id": "t1", "state": state})
    assert edc.transfer_state("t1").state is expected


def address(server, token):
    return {"@type": "DataAddress", "endpoint": f"{server.url}/public", "authorization": token}


def test_data_are_fetched_with_the_bare_token_and_without_our_key(edc, server):
    server.will_answer(200, address(server, "eyJ1")).will_answer(200, b"passport")
    assert edc.fetch("t1", maximum_bytes=100) == b"passport"
    assert short(server.lines[0]) == "GET /edrs/t1/dataaddress"
    assert server.lines[1] == "GET /public"
    assert server.asked[1].headers["Authorization"] == "eyJ1"
    assert "x-api-key" not in server.asked[1].headers


@pytest.mark.parametrize("status", [401, 403])
def test_expired_token_is_renewed_once(edc, server, status):
    server.will_answer(200, address(server, "old")).will_answer(status)
    server.will_answer(200, address(server, "new")).will_answer(200, b"passport")
    assert edc.fetch("t1", maximum_bytes=100) == b"passport"
    assert server.asked[3].headers["Authorization"] == "new"


def test_token_that_is_refused_twice_is_an_error_without_the_token(edc, server):
    for _ in range(2):
        server.will_answer(200, address(server, "eyJ1")).will_answer(403, b"token eyJ1 expired")
    with pytest.raises(ServerRefused, match=r"token \*\*\* expired"):
        edc.fetch("t1", maximum_bytes=100)
    assert len(server.asked) == 4


def test_file_that_is_longer_than_accepted_is_refused(edc, server):
    server.will_answer(200, address(server, "eyJ1")).will_answer(200, b"x" * 101)
    with pytest.raises(TooLarge):
        edc.fetch("t1", maximum_bytes=100)


def test_address_that_is_late_is_waited_for(edc, server):
    server.will_answer(404).will_answer(200, {"@id": "t1", "state": "STARTED"})
    server.will_answer(200, address(server, "eyJ1")).will_answer(200, b"passport")
    assert edc.fetch("t1", maximum_bytes=100) == b"passport"


def test_address_that_does_not_come_is_worth_another_try_later(edc, server):
    for _ in range(2):
        server.will_answer(404).will_answer(200, {"@id": "t1", "state": "STARTED"})
    with pytest.raises(ServerUnavailable, match="not here yet"):
        edc.fetch("t1", maximum_bytes=100)


def test_address_and_token_serve_all_fetches_of_a_transfer(edc, server):
    server.will_answer(200, address(server, "eyJ1"))
    for path in ("ab/B1.json", "cd/B2.json"):
        server.will_answer(200, path.encode())
        assert edc.fetch("t1", maximum_bytes=100, path=path) == path.encode()
    assert server.lines[1:] == ["GET /public/ab/B1.json", "GET /public/cd/B2.json"]


def test_transfer_that_has_ended_has_no_data(edc, server):
    server.will_answer(404).will_answer(200, {"@id": "t1", "state": "TERMINATED"})
    with pytest.raises(NotFound):
        edc.fetch("t1", maximum_bytes=100)


def test_ending_a_transfer_that_has_ended_is_no_error(edc, server):
    server.will_answer(409)
    edc.terminate("t1", "done")
    assert short(server.lines[0]) == "POST /transferprocesses/t1/terminate"
    assert json.loads(server.asked[0].body)["reason"] == "done"


def test_wrong_key_is_a_refusal_that_does_not_show_the_key(edc, server):
    server.will_answer(401, b"Request could not be authenticated: key-1")
    with pytest.raises(ServerRefused) as caught:
        edc.negotiation("n")
    assert caught.value.status == 401
    assert "key-1" not in str(caught.value)


def test_agreement_that_was_refused_is_not_found_again(edc, server):
    server.will_answer(200, [agreement("refused", 2), agreement("older", 1)])
    server.will_answer(200, {"@id": "n", "state": "FINALIZED"})
    assert edc.find_agreement("b1", PROVIDER, without={"refused"}) == "older"


@pytest.mark.parametrize("endpoint", [None, "", "ftp://host/x", "file:///etc/passwd", "http://", "http://[::1/x"])
def test_data_address_that_is_none_of_http_is_refused(edc, server, endpoint):
    server.will_answer(200, {**address(server, "eyJ1"), "endpoint": endpoint})
    with pytest.raises(InputError, match="^transfer t1: the counterparty's data address is none of http or https$"):
        edc.fetch("t1", maximum_bytes=100)
    assert len(server.asked) == 1


@pytest.mark.parametrize(("hosts", "allowed"), [({"127.0.0.1"}, True), ({"Provider.invalid"}, False), ((), False)])
def test_data_are_fetched_only_from_hosts_that_may_be_asked(server, hosts, allowed):
    """A counterparty names the address itself, and could name a server that only we can reach."""
    edc = EdcConnector(server.url, api_key="key-1", participant_id="me", data_hosts=hosts, wait_second=0, attempts=1)
    server.will_answer(200, address(server, "eyJ1")).will_answer(200, b"passport")
    if allowed:
        assert edc.fetch("t1", maximum_bytes=100) == b"passport"
        return
    with pytest.raises(InputError, match="lie on host '127.0.0.1', which may not be asked.*data_hosts"):
        edc.fetch("t1", maximum_bytes=100)
    assert len(server.asked) == 1


def test_host_may_be_named_in_capitals(server):
    edc = EdcConnector(server.url, api_key="k", participant_id="me", data_hosts=["LOCALHOST"], wait_second=0)
    port = server.url.rpartition(":")[2]
    server.will_answer(200, {"endpoint": f"http://localhost:{port}/public"}).will_answer(200, b"passport")
    assert edc.fetch("t1", maximum_bytes=100) == b"passport"
