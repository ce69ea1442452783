from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from battery_pilot.errors import NotFound, ServerRefused, ServerUnavailable
from battery_pilot.passport.model import Tier
from battery_pilot.services.answers import TooLarge
from battery_pilot.services.connectors import edc as edc_module
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.edc_documents import criterion, rules
from battery_pilot.services.connectors.edc_profiles import CONTEXT, ODRL
from battery_pilot.services.connectors.model import Constraint, Counterparty, NegotiationState, Offer, TransferState
from battery_pilot.services.connectors.policies import DATE_TIME, ELAPSED_TIME, PURPOSE, RECIPIENT, ROLE, expires_at
from battery_pilot.services.http import HttpClient
from tests.contract import connector_pairs
from tests.contract.connector_pairs import Pair

PATIENCE_SECOND = 60


@pytest.fixture
def provider(connectors):
    return EdcConnector(f"{connectors.provider}/management", api_key=connectors.api_key, participant_id="provider")


@pytest.fixture
def consumer(connectors):
    return EdcConnector(f"{connectors.consumer}/management", api_key=connectors.api_key, participant_id="consumer")


@pytest.fixture
def counterparty(connectors):
    return Counterparty("provider", connectors.protocol)


@pytest.fixture
def offer(provider, file_server, unique):
    """A file, not yet on offer; withdrawn afterwards."""
    folder, url = file_server
    (folder / f"{unique}.json").write_bytes(b'{"passport": "\xce\xa9"}' * 1000)
    made = Offer(
        asset_id=unique,
        title="Passport of B1",
        data_url=f"{url}/{unique}.json",
        content_type="application/json",
        tier=Tier.PUBLIC,
        properties={"sha256": "ab12", "test": unique},
    )
    yield made
    provider.withdraw(made.asset_id)


def entries(consumer, counterparty, offer):
    return list(consumer.catalogue(counterparty, filter={"test": offer.properties["test"]}))


def wait_for(look, *states):
    """Look until a state is reached; every wait is bounded."""
    end = time.monotonic() + PATIENCE_SECOND
    while (seen := look()).state not in states:
        assert not seen.state.is_final, seen
        assert time.monotonic() < end, f"still {seen.state} after {PATIENCE_SECOND} s"
        time.sleep(0.05)
    return seen


def agree(consumer, entry):
    return connector_pairs.agree(Pair(None, consumer, entry.counterparty), entry)


def start_transfer(consumer, agreement_id, counterparty):
    transfer_id = consumer.transfer(agreement_id, counterparty)
    wait_for(lambda: consumer.transfer_state(transfer_id), TransferState.STARTED)
    return transfer_id


def test_file_travels_from_provider_to_consumer(provider, consumer, counterparty, offer, file_server):
    provider.publish(offer)
    (entry,) = entries(consumer, counterparty, offer)
    assert (entry.asset_id, entry.title) == (offer.asset_id, "Passport of B1")
    assert {name: entry.properties[name] for name in ("sha256", "tier", "contenttype")} == {
        "sha256": "ab12",
        "tier": "public",
        "contenttype": "application/json",
    }
    agreement_id = agree(consumer, entry)
    transfer_id = start_transfer(consumer, agreement_id, counterparty)
    expected = (file_server[0] / f"{offer.asset_id}.json").read_bytes()
    assert consumer.fetch(transfer_id, maximum_bytes=len(expected)) == expected
    with pytest.raises(TooLarge):
        consumer.fetch(transfer_id, maximum_bytes=len(expected) - 1)


def test_agreement_is_found_again_and_serves_a_second_transfer(provider, consumer, counterparty, offer):
    provider.publish(offer)
    assert consumer.find_agreement(offer.asset_id, counterparty) is None
    (entry,) = entries(consumer, counterparty, offer)
    agreement_id = agree(consumer, entry)
    assert consumer.find_agreement(offer.asset_id, counterparty) == agreement_id
    for _ in range(2):
        transfer_id = start_transfer(consumer, agreement_id, counterparty)
        assert consumer.fetch(transfer_id, maximum_bytes=100_000)


def test_second_publication_changes_nothing(provider, consumer, counterparty, offer):
    provider.publish(offer)
    (before,) = entries(consumer, counterparty, offer)
    provider.publish(offer)
    (after,) = entries(consumer, counterparty, offer)
    assert after.properties == before.properties
    # The id of an offer is new in every catalogue; what it permits is not.
    assert {**after.offer, "@id": None} == {**before.offer, "@id": None}


def test_changed_offer_replaces_the_old_one(provider, consumer, counterparty, offer):
    provider.publish(offer)
    changed = Offer(
        offer.asset_id,
        "Passport of B1, second version",
        offer.data_url,
        offer.content_type,
        offer.tier,
        {**offer.properties, "sha256": "cd34"},
    )
    provider.publish(changed)
    (entry,) = entries(consumer, counterparty, offer)
    assert (entry.title, entry.properties["sha256"]) == ("Passport of B1, second version", "cd34")


def test_constraints_survive_storage_and_reach_the_catalogue(provider, consumer, counterparty, offer):
    constraint = Constraint(DATE_TIME, "gteq", "2020-01-01T00:00:00Z")
    limited = Offer(
        offer.asset_id,
        offer.title,
        offer.data_url,
        offer.content_type,
        Tier.LEGITIMATE_INTEREST,
        offer.properties,
        (constraint,),
    )
    provider.publish(limited)
    (entry,) = entries(consumer, counterparty, offer)
    assert "2020-01-01T00:00:00Z" in str(entry.offer)
    assert agree(consumer, entry)


def test_withdrawn_offer_leaves_the_catalogue(provider, consumer, counterparty, offer):
    provider.publish(offer)
    provider.withdraw(offer.asset_id)
    assert entries(consumer, counterparty, offer) == []
    provider.withdraw(offer.asset_id)


def test_offer_with_an_agreement_can_be_withdrawn(provider, consumer, counterparty, offer):
    provider.publish(offer)
    (entry,) = entries(consumer, counterparty, offer)
    agree(consumer, entry)
    provider.withdraw(offer.asset_id)
    assert entries(consumer, counterparty, offer) == []


def test_catalogue_is_walked_over_all_pages(provider, consumer, counterparty, offer, monkeypatch):
    monkeypatch.setattr(edc_module, "PAGE_SIZE", 2)
    more = [f"{offer.asset_id}.{number}" for number in range(4)]
    try:
        for asset_id in [offer.asset_id, *more]:
            provider.publish(
                Offer(asset_id, "title", offer.data_url, offer.content_type, offer.tier, offer.properties)
            )
        found = [entry.asset_id for entry in entries(consumer, counterparty, offer)]
        assert sorted(found) == sorted([offer.asset_id, *more])
    finally:
        for asset_id in more:
            provider.withdraw(asset_id)


def test_terminated_transfer_gives_no_data_and_can_be_terminated_again(provider, consumer, counterparty, offer):
    provider.publish(offer)
    (entry,) = entries(consumer, counterparty, offer)
    transfer_id = start_transfer(consumer, agree(consumer, entry), counterparty)
    consumer.terminate(transfer_id, "test is over")
    wait_for(lambda: consumer.transfer_state(transfer_id), TransferState.TERMINATED)
    consumer.terminate(transfer_id, "test is over")
    with pytest.raises(ServerRefused):
        consumer.fetch(transfer_id, maximum_bytes=100_000)


@pytest.mark.parametrize(
    ("constraint", "offered"),
    [
        (Constraint(RECIPIENT, "eq", "consumer"), True),
        (Constraint(RECIPIENT, "isAnyOf", "somebody,consumer"), True),
        (Constraint(RECIPIENT, "eq", "somebody"), False),
        (Constraint(ROLE, "eq", "recycler"), True),
        (Constraint(ROLE, "isAnyOf", "repairer,dismantler"), False),
        (Constraint(PURPOSE, "eq", "recycling"), True),
        (Constraint(PURPOSE, "eq", "marketing"), False),
    ],
)
def test_offer_is_seen_and_agreed_only_by_whom_its_policy_allows(
    provider, consumer, counterparty, offer, constraint, offered
):
    provider.publish(offer)
    (entry,) = entries(consumer, counterparty, offer)
    provider.publish(replace(offer, tier=Tier.AUTHORITY, constraints=(constraint,)))
    assert bool(entries(consumer, counterparty, offer)) is offered
    # Who kept the id of an older offer gets no further.
    negotiation_id = consumer.negotiate(entries(consumer, counterparty, offer)[0] if offered else entry)
    wanted = NegotiationState.FINALIZED if offered else NegotiationState.TERMINATED
    assert bool(wait_for(lambda: consumer.negotiation(negotiation_id), wanted).agreement_id) is offered


def test_policy_that_the_connector_cannot_check_is_refused_and_nothing_is_offered(
    provider, consumer, counterparty, offer, monkeypatch
):
    constraint = Constraint("https://w3id.org/edc/v0.0.1/ns/moonPhase", "eq", "full")
    monkeypatch.setattr(EdcConnector, "enforced_operands", frozenset({constraint.left_operand}))
    with pytest.raises(ServerRefused, match="not bound"):
        provider.publish(replace(offer, constraints=(constraint,)))
    assert entries(consumer, counterparty, offer) == []


def test_transfer_after_the_time_limit_of_the_agreement_is_refused(provider, consumer, counterparty, offer):
    over = Constraint(DATE_TIME, "lteq", "2020-01-01T00:00:00Z")
    provider.publish(replace(offer, constraints=(over,)))
    (entry,) = entries(consumer, counterparty, offer)
    transfer_id = consumer.transfer(agree(consumer, entry), counterparty)
    wait_for(lambda: consumer.transfer_state(transfer_id), TransferState.TERMINATED)


def test_time_limit_in_days_permits_a_transfer_now(provider, consumer, counterparty, offer):
    provider.publish(replace(offer, constraints=(Constraint(ELAPSED_TIME, "lteq", "P30D"),)))
    (entry,) = entries(consumer, counterparty, offer)
    assert start_transfer(consumer, agree(consumer, entry), counterparty)


def test_negotiation_can_be_terminated_by_us(provider, consumer, counterparty, offer):
    provider.publish(offer)
    (entry,) = entries(consumer, counterparty, offer)
    negotiation_id = consumer.negotiate(entry)
    consumer.terminate_negotiation(negotiation_id, "not wanted any more")
    wait_for(lambda: consumer.negotiation(negotiation_id), NegotiationState.TERMINATED)
    consumer.terminate_negotiation(negotiation_id, "not wanted any more")


def test_negotiation_about_a_changed_policy_comes_to_nothing(provider, consumer, counterparty, offer):
    provider.publish(offer)
    (entry,) = entries(consumer, counterparty, offer)
    for key in list(entry.offer):
        if key.endswith("permission"):
            del entry.offer[key]
    negotiation_id = consumer.negotiate(entry)
    end = wait_for(lambda: consumer.negotiation(negotiation_id), NegotiationState.TERMINATED)
    assert end.agreement_id is None


def test_policy_whose_words_are_not_understood_is_stored_empty(connectors, unique):
    """The fault that publish() guards against: without the ODRL context the connector says 200 and permits all."""
    http = HttpClient(f"{connectors.provider}/management/v3", headers={"x-api-key": connectors.api_key})
    permission = {"action": "use", "constraint": [{"leftOperand": "x", "operator": "eq", "rightOperand": "y"}]}
    http.request(
        "POST",
        "/policydefinitions",
        json={"@context": CONTEXT, "@id": unique, "policy": {"@type": f"{ODRL}Set", "permission": [permission]}},
    )
    try:
        stored = http.get_json(f"/policydefinitions/{unique}")["policy"]
        assert not any(rules(stored))
    finally:
        http.request("DELETE", f"/policydefinitions/{unique}")


def test_unknown_ids_are_not_found(consumer):
    with pytest.raises(NotFound):
        consumer.negotiation("nobody")
    with pytest.raises(NotFound):
        consumer.transfer_state("nobody")
    with pytest.raises(NotFound):
        consumer.fetch("nobody", maximum_bytes=10)


def test_wrong_key_is_refused_and_not_shown(connectors, offer):
    stranger = EdcConnector(
        f"{connectors.provider}/management", api_key="wrong-key-4711", participant_id="provider", attempts=1
    )
    with pytest.raises(ServerRefused) as caught:
        stranger.publish(offer)
    assert caught.value.status in {401, 403}
    assert "4711" not in str(caught.value)


def test_negotiation_under_way_is_found_by_its_asset_until_it_ends(provider, consumer, counterparty, offer):
    provider.publish(offer)
    (entry,) = entries(consumer, counterparty, offer)
    negotiation_id = consumer.negotiate(entry)
    assert consumer.negotiations_under_way(counterparty)[offer.asset_id] == negotiation_id
    wait_for(lambda: consumer.negotiation(negotiation_id), NegotiationState.FINALIZED)
    assert offer.asset_id not in consumer.negotiations_under_way(counterparty)


def test_transfer_that_the_provider_revoked_gives_no_data_and_a_new_one_under_the_same_agreement_does(
    provider, consumer, counterparty, offer
):
    provider.publish(offer)
    (entry,) = entries(consumer, counterparty, offer)
    agreement_id = agree(consumer, entry)
    old = start_transfer(consumer, agreement_id, counterparty)
    # The token, kept by somebody who should not have it.
    address = consumer._management.look(f"/edrs/{old}/dataaddress", old)
    token = HttpClient(address["endpoint"], headers={"Authorization": address["authorization"]})
    assert token.request("GET").body
    revoke(provider, agreement_id)
    wait_for(lambda: consumer.transfer_state(old), TransferState.TERMINATED)
    with pytest.raises(ServerRefused) as caught:
        token.request("GET")
    assert caught.value.status in {401, 403}
    with pytest.raises(ServerRefused) as caught:
        consumer.fetch(old, maximum_bytes=100_000)
    assert caught.value.status in {401, 403, 404}
    assert consumer.fetch(start_transfer(consumer, agreement_id, counterparty), maximum_bytes=100_000)


def revoke(provider, agreement_id):
    """End the provider's side of an agreement's transfers."""
    (transfer,) = provider._management.query("/transferprocesses/request", criterion("contractId", agreement_id))
    provider.terminate(transfer["@id"], "revoked")


def test_folder_is_read_by_paths_below_it_and_not_left(provider, consumer, counterparty, offer, file_server):
    folder, url = file_server
    inside = folder / f"{offer.asset_id}-fleet"
    (inside / "ab").mkdir(parents=True)
    (inside / "ab" / "B1.json").write_bytes(b"passport")
    (folder / "secret.json").write_bytes(b"not offered")
    provider.publish(replace(offer, data_url=f"{url}/{inside.name}", is_folder=True))
    (entry,) = entries(consumer, counterparty, offer)
    transfer_id = start_transfer(consumer, agree(consumer, entry), counterparty)
    assert consumer.fetch(transfer_id, maximum_bytes=100, path="ab/B1.json") == b"passport"
    for path in (
        "../secret.json",
        "ab/../../secret.json",
        "..%2fsecret.json",
        "%2e%2e/secret.json",
        "..;/secret.json",
    ):
        with pytest.raises((ServerRefused, ServerUnavailable)):
            impatient(consumer).fetch(transfer_id, maximum_bytes=100, path=path)


def impatient(connector):
    """The same connector, asking once."""
    connector._data._client = lambda url, headers: HttpClient(url, headers=headers, attempts=1)
    connector._data._sources.clear()
    return connector


def test_agreement_says_what_was_agreed_and_when(provider, consumer, counterparty, offer):
    provider.publish(replace(offer, constraints=(Constraint(ELAPSED_TIME, "lteq", "P30D"),)))
    (entry,) = entries(consumer, counterparty, offer)
    agreement = consumer.agreement(agree(consumer, entry))
    assert abs(datetime.now(UTC) - agreement.signed_at) < timedelta(minutes=5)
    assert expires_at(agreement.policy, agreement.signed_at) == agreement.signed_at + timedelta(days=30)
