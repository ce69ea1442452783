"""What every connector must do, whatever it is made by: the same steps through the one interface.

A real pair of TRUE Connectors DSP takes part where ``BATTERY_PILOT_TEST_TRUE_DSP_URL`` names it: the addresses of provider
and consumer with a comma between, and ``BATTERY_PILOT_TEST_TRUE_DSP_LOGIN`` as ``user:password`` of both.

A real pair of TRUE Connectors v1 takes part where ``BATTERY_PILOT_TEST_TRUE_IDS_URL`` names it: the provider's execution core
container, the consumer's data app, and the provider's IDS endpoint as the consumer's container sees it, with commas between;
``BATTERY_PILOT_TEST_TRUE_IDS_LOGINS`` has ``user:password`` of the first and the second. Its provider's data app
(``PROVIDER_DATA_APP_ENDPOINT``) must be Battery Pilot's, with the folder ``BATTERY_PILOT_TEST_TRUE_IDS_OUTBOX`` as outbox.

A real pair of EDCs with the management API v4 takes part where ``BATTERY_PILOT_TEST_EDC_V4_PROVIDER_URL`` and the variables
beside it in ``tests/servers/edc.py`` name it, with ``BATTERY_PILOT_TEST_EDC_V4_API`` as the name of v4 there (``v4beta``).
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.errors import InputError, NotFound, ServerRefused
from battery_pilot.outbox import bundle_path_of_asset
from battery_pilot.passport.model import Tier
from battery_pilot.sandbox import true_dsp as true_dsp_sandbox
from battery_pilot.sandbox import true_ids as true_ids_sandbox
from battery_pilot.services.answers import TooLarge
from battery_pilot.services.connectors.edc_profiles import V4_BETA
from battery_pilot.services.connectors.model import Constraint, Counterparty, NegotiationState, Offer, TransferState
from battery_pilot.services.connectors.policies import COUNT, DATE_TIME, ROLE, expires_at
from battery_pilot.services.connectors.true_dsp import TrueDspConnector
from battery_pilot.services.connectors.true_ids import TrueIdsConnector
from battery_pilot.services.data_app import create_app as create_data_app
from battery_pilot.services.data_app.access import AccessJournal, Keys
from tests.contract.connector_pairs import (
    EDC_V4_VARIABLES,
    Pair,
    agree,
    real_edc_v4,
    sandbox_edc,
    serving,
    wait_for,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

TRUE_DSP_URL = "BATTERY_PILOT_TEST_TRUE_DSP_URL"
TRUE_DSP_LOGIN = "BATTERY_PILOT_TEST_TRUE_DSP_LOGIN"
TRUE_IDS_URL = "BATTERY_PILOT_TEST_TRUE_IDS_URL"
TRUE_IDS_LOGINS = "BATTERY_PILOT_TEST_TRUE_IDS_LOGINS"
TRUE_IDS_OUTBOX = "BATTERY_PILOT_TEST_TRUE_IDS_OUTBOX"
DATA_APP_KEY = "key-of-the-connector"


def true_dsp(provider_url: str, consumer_url: str, login: str) -> Pair:
    user, _, password = login.partition(":")
    connector = partial(TrueDspConnector, user=user, password=password)
    provider = connector(provider_url, participant_id="provider")
    consumer = connector(consumer_url, participant_id="consumer")
    return Pair(provider, consumer, Counterparty("provider", provider_url), provider.answer_requests)


@pytest.fixture(scope="session")
def true_dsp_sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("true-dsp")
    with ExitStack() as stack:
        provider, consumer = (
            stack.enter_context(serving(partial(true_dsp_sandbox.create_app, folder / party, participant_id=party)))
            for party in ("provider", "consumer")
        )
        yield true_dsp(provider, consumer, f"{true_dsp_sandbox.USER}:{true_dsp_sandbox.PASSWORD}")


def true_ids(ecc: str, proxy: str, endpoint: str, logins: list[tuple[str, str]], folder: Path, outbox: Path) -> Pair:
    api_login, proxy_login = logins
    connector = partial(TrueIdsConnector, ecc, ecc_login=api_login)
    return Pair(
        connector(participant_id="provider", memory=folder / "provider"),
        connector(participant_id="consumer", memory=folder / "consumer", proxy_url=proxy, proxy_login=proxy_login),
        Counterparty("provider", endpoint),
        outbox=outbox,
    )


@pytest.fixture(scope="session")
def true_ids_sandboxes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("true-ids")
    outbox = folder / "outbox"
    keys = Keys({"connector": (DATA_APP_KEY, Tier.PUBLIC)})
    with ExitStack() as stack:
        app = stack.enter_context(
            serving(lambda base_url: create_data_app(outbox, keys, AccessJournal(folder / "access")))  # noqa: ARG005
        )
        make = partial(true_ids_sandbox.create_app, folder / "provider", participant_id="provider")
        provider = stack.enter_context(serving(partial(make, data_app=(f"{app}/data", DATA_APP_KEY))))
        make = partial(true_ids_sandbox.create_app, folder / "consumer", participant_id="consumer")
        consumer = stack.enter_context(serving(make))
        logins = [true_ids_sandbox.API_LOGIN, true_ids_sandbox.PROXY_LOGIN]
        yield true_ids(provider, consumer, f"{provider}/data", logins, folder / "memory", outbox)


def kinds() -> list[str]:
    named = (("edc v4", EDC_V4_VARIABLES[0]), ("true-dsp", TRUE_DSP_URL), ("true-ids", TRUE_IDS_URL))
    real = [f"real {name}" for name, url in named if url in os.environ]
    return ["edc", "edc v4", "edc push", "true-dsp", "true-ids", *real]


def real_true_ids(folder: Path) -> Pair:
    ecc, proxy, endpoint = (url.strip() for url in os.environ[TRUE_IDS_URL].split(","))
    given = os.environ.get(TRUE_IDS_LOGINS, "apiUser:passwordApiUser,idsUser:passwordIdsUser")
    logins = [(user, password) for user, _, password in (one.strip().partition(":") for one in given.split(","))]
    return true_ids(ecc, proxy, endpoint, logins, folder, Path(os.environ[TRUE_IDS_OUTBOX]))


@pytest.fixture(params=kinds())
def pair(request: pytest.FixtureRequest) -> Pair:
    if request.param in {"true-dsp", "true-ids"}:
        return request.getfixturevalue(f"{request.param.replace('-', '_')}_sandboxes")
    if request.param == "real true-ids":
        return real_true_ids(request.getfixturevalue("tmp_path"))
    if request.param == "real true-dsp":
        provider, _, consumer = os.environ[TRUE_DSP_URL].partition(",")
        return true_dsp(provider.strip(), consumer.strip(), os.environ.get(TRUE_DSP_LOGIN, "admin@mail.com:password"))
    if request.param == "real edc v4":
        return real_edc_v4(inbox=request.getfixturevalue("inbox"))
    options: dict[str, Any] = {} if request.param == "edc" else {"inbox": request.getfixturevalue("inbox")}
    if request.param == "edc v4":
        options["profile"] = V4_BETA
    return sandbox_edc(request.getfixturevalue("sandbox"), **options, is_push=request.param == "edc push")


@pytest.fixture
def offer(pair, file_server, unique):
    """A file, not yet on offer; withdrawn afterwards."""
    folder, url = file_server
    (folder / f"{unique}.json").write_bytes(b'{"passport": "\xce\xa9"}' * 1000)
    made = Offer(
        asset_id=f"passport:public:{unique}",
        title="Passport of B1",
        data_url=f"{url}/{unique}.json",
        content_type="application/json",
        tier=Tier.PUBLIC,
        properties={"batteryId": "B1", "test": unique},
    )
    if pair.outbox is not None:
        path = pair.outbox / bundle_path_of_asset(made.asset_id)[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / f"{unique}.json", path)
    yield made
    pair.provider.withdraw(made.asset_id)


def entries(pair, offer):
    return list(pair.consumer.catalogue(pair.counterparty, filter={"test": offer.properties["test"]}))


def without_rules(offer):
    return {
        key: [] if key.endswith("permission") else without_rules(value) if isinstance(value, dict) else value
        for key, value in offer.items()
    }


def start_transfer(pair, agreement_id):
    transfer_id = pair.consumer.transfer(agreement_id, pair.counterparty)
    wait_for(pair, lambda: pair.consumer.transfer_state(transfer_id), TransferState.STARTED)
    return transfer_id


def test_a_file_travels_from_provider_to_consumer(pair, offer, file_server):
    pair.provider.publish(offer)
    (entry,) = entries(pair, offer)
    assert (entry.asset_id, entry.title) == (offer.asset_id, "Passport of B1")
    assert (
        entry.properties.items() >= {"batteryId": "B1", "tier": "public", "contenttype": "application/json"}.items()
    )
    transfer_id = start_transfer(pair, agree(pair, entry))
    expected = (file_server[0] / f"{offer.properties['test']}.json").read_bytes()
    assert pair.consumer.fetch(transfer_id, maximum_bytes=len(expected)) == expected
    with pytest.raises(TooLarge):
        pair.consumer.fetch(transfer_id, maximum_bytes=len(expected) - 1)
    assert b"".join(pair.consumer.stream(transfer_id, maximum_bytes=len(expected))) == expected
    with pytest.raises(TooLarge):
        list(pair.consumer.stream(transfer_id, maximum_bytes=len(expected) - 1))


def test_an_agreement_is_found_again_until_it_is_used(pair, offer):
    pair.provider.publish(offer)
    assert pair.consumer.find_agreement(offer.asset_id, pair.counterparty) is None
    (entry,) = entries(pair, offer)
    agreement_id = agree(pair, entry)
    assert pair.consumer.find_agreement(offer.asset_id, pair.counterparty) == agreement_id
    assert pair.consumer.find_agreement(offer.asset_id, pair.counterparty, without=[agreement_id]) is None
    stranger = Counterparty("somebody-else", pair.counterparty.protocol_url)
    assert pair.consumer.find_agreement(offer.asset_id, stranger) is None


def test_an_agreement_tells_until_when_it_holds(pair, offer):
    if DATE_TIME not in pair.provider.enforced_operands:
        pytest.skip("this connector checks no constraints")
    end = datetime(2099, 1, 1, tzinfo=UTC)
    pair.provider.publish(replace(offer, constraints=(Constraint(DATE_TIME, "lteq", end.isoformat()),)))
    (entry,) = entries(pair, offer)
    agreement_id = agree(pair, entry)
    agreement = pair.consumer.agreement(agreement_id)
    assert agreement.id == agreement_id
    assert abs(agreement.signed_at - datetime.now(UTC)) < timedelta(minutes=5)
    assert expires_at(agreement.policy, agreement.signed_at) == end


def test_a_negotiation_that_was_begun_is_found_again(pair, offer):
    if pair.answer is None:
        pytest.skip("this connector may end a negotiation before it is looked for")
    pair.provider.publish(offer)
    (entry,) = entries(pair, offer)
    negotiation_id = pair.consumer.negotiate(entry)
    assert pair.consumer.negotiations_under_way(pair.counterparty)[offer.asset_id] == negotiation_id
    wait_for(pair, lambda: pair.consumer.negotiation(negotiation_id), NegotiationState.FINALIZED)
    assert offer.asset_id not in pair.consumer.negotiations_under_way(pair.counterparty)


def test_a_second_publication_changes_nothing(pair, offer):
    pair.provider.publish(offer)
    (before,) = entries(pair, offer)
    pair.provider.publish(offer)
    (after,) = entries(pair, offer)
    assert after.properties == before.properties
    # EDC makes a new id for an offer in every catalogue; what it permits is not new.
    assert {**after.offer, "@id": None} == {**before.offer, "@id": None}


def test_a_changed_offer_replaces_the_old_one(pair, offer):
    pair.provider.publish(offer)
    pair.provider.publish(replace(offer, title="Second", properties={**offer.properties, "sha256": "cd34"}))
    (entry,) = entries(pair, offer)
    assert (entry.title, entry.properties["sha256"]) == ("Second", "cd34")


def test_constraints_reach_the_catalogue_and_the_agreement(pair, offer):
    if DATE_TIME not in pair.provider.enforced_operands:
        pytest.skip("this connector checks no constraints")
    later = Constraint(DATE_TIME, "lteq", "2099-01-01T00:00:00Z")
    pair.provider.publish(replace(offer, constraints=(later,)))
    (entry,) = entries(pair, offer)
    assert "2099-01-01T00:00:00Z" in str(entry.offer)
    transfer_id = start_transfer(pair, agree(pair, entry))
    assert pair.consumer.fetch(transfer_id, maximum_bytes=100_000)


def test_a_withdrawn_offer_leaves_the_catalogue_though_it_was_agreed_on(pair, offer):
    pair.provider.publish(offer)
    (entry,) = entries(pair, offer)
    agree(pair, entry)
    pair.provider.withdraw(offer.asset_id)
    assert entries(pair, offer) == []
    pair.provider.withdraw(offer.asset_id)


def test_a_terminated_transfer_gives_no_data_and_can_be_terminated_again(pair, offer):
    pair.provider.publish(offer)
    (entry,) = entries(pair, offer)
    transfer_id = start_transfer(pair, agree(pair, entry))
    pair.consumer.terminate(transfer_id, "test is over")
    over = [TransferState.TERMINATED, *([TransferState.COMPLETED] if pair.ends_by_itself else [])]
    wait_for(pair, lambda: pair.consumer.transfer_state(transfer_id), *over)
    pair.consumer.terminate(transfer_id, "test is over")
    with pytest.raises(ServerRefused):
        pair.consumer.fetch(transfer_id, maximum_bytes=100_000)


def test_a_request_for_weaker_terms_is_refused(pair, offer):
    later = (Constraint(DATE_TIME, "lteq", "2099-01-01T00:00:00Z"),)
    pair.provider.publish(replace(offer, constraints=later if DATE_TIME in pair.provider.enforced_operands else ()))
    (entry,) = entries(pair, offer)
    try:
        negotiation_id = pair.consumer.negotiate(replace(entry, offer=without_rules(entry.offer)))
    except ServerRefused:
        return  # refused at once
    end = wait_for(pair, lambda: pair.consumer.negotiation(negotiation_id), NegotiationState.TERMINATED)
    assert end.agreement_id is None
    assert end.error


def test_a_negotiation_can_be_ended_twice(pair, offer):
    if not hasattr(pair.consumer, "terminate_negotiation"):
        pytest.skip("this connector has no such step yet")
    pair.provider.publish(offer)
    (entry,) = entries(pair, offer)
    negotiation_id = pair.consumer.negotiate(entry)
    if pair.answer is None:
        pytest.skip("this connector may end a negotiation before its user can")
    pair.consumer.terminate_negotiation(negotiation_id, "no longer needed")
    assert pair.consumer.negotiation(negotiation_id).state is NegotiationState.TERMINATED
    pair.consumer.terminate_negotiation(negotiation_id, "no longer needed")


def test_a_constraint_that_nobody_checks_is_not_published(pair, offer):
    limited = replace(offer, constraints=(Constraint(ROLE, "eq", "recycler"),))
    if ROLE in getattr(pair.provider, "enforced_operands", ()):
        pytest.skip("this connector checks roles")
    with pytest.raises((InputError, ServerRefused)):
        pair.provider.publish(limited)
    assert entries(pair, offer) == []


def test_unknown_ids_are_not_found(pair):
    with pytest.raises(NotFound):
        pair.consumer.negotiation("nobody")
    with pytest.raises(NotFound):
        pair.consumer.transfer_state("nobody")
    with pytest.raises(NotFound):
        pair.consumer.fetch("nobody", maximum_bytes=10)


def test_uses_are_counted_where_the_connector_counts_them(pair, offer):
    if COUNT not in getattr(pair.provider, "enforced_operands", ()):
        pytest.skip("this connector counts no uses")
    pair.provider.publish(replace(offer, constraints=(Constraint(COUNT, "lteq", "1"),)))
    (entry,) = entries(pair, offer)
    transfer_id = start_transfer(pair, agree(pair, entry))
    assert pair.consumer.fetch(transfer_id, maximum_bytes=100_000)
    with pytest.raises(ServerRefused) as caught:
        pair.consumer.fetch(transfer_id, maximum_bytes=100_000)
    assert caught.value.status == 403
