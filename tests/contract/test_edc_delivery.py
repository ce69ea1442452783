"""What arrives at us without being asked for: pushed files, and addresses by call-back; sandbox and real EDCs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from battery_pilot.errors import InputError, NotFound, ServerRefused
from battery_pilot.passport.model import Tier
from battery_pilot.services.connectors.edc_documents import criterion
from battery_pilot.services.connectors.exchanges import ExchangeJournal
from battery_pilot.services.connectors.model import Offer, TransferState
from battery_pilot.services.data_app import create_app
from battery_pilot.services.data_app.access import AccessJournal, Keys
from battery_pilot.services.http import HttpClient
from tests.contract.connector_pairs import EDC_V4_VARIABLES, Pair, agree, edc, real_edc_v4, serving, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

EDC_VARIABLES = tuple(name.replace("_V4", "") for name in EDC_V4_VARIABLES)
KEY = "key-of-the-provider's-edc"


def pairs() -> list[str]:
    real = [("real", EDC_VARIABLES[0]), ("real v4", EDC_V4_VARIABLES[0])]
    return ["sandbox", *(name for name, variable in real if variable in os.environ)]


@pytest.fixture(params=pairs())
def make(request, inbox, tmp_path):
    """Makes a pair; its journal is beside."""
    options = {"inbox": inbox, "journal": ExchangeJournal(tmp_path / "exchanges.sqlite")}
    if request.param == "real v4":
        return lambda **more: real_edc_v4(**options, **more)
    if request.param == "real":
        return lambda **more: edc(*(os.environ[name] for name in EDC_VARIABLES), **options, **more)
    urls = request.getfixturevalue("sandbox")
    protocol = f"{urls.provider_connector}/protocol/2025-1"
    return lambda **more: edc(
        urls.provider_connector, urls.consumer_connector, protocol, urls.api_key, **options, **more
    )


@pytest.fixture
def outbox(tmp_path):
    folder = tmp_path / "outbox" / "public" / "ab"
    folder.mkdir(parents=True)
    for number in range(20):
        (folder / f"B{number}.json").write_bytes(json.dumps({"battery": number, "x": "y" * 50_000}).encode())
    return tmp_path / "outbox"


@pytest.fixture
def data_app(outbox, tmp_path) -> Iterator[str]:
    keys = Keys({"edc": (KEY, Tier.PUBLIC)})
    with serving(lambda base_url: create_app(outbox, keys, AccessJournal(tmp_path / "access"))) as url:  # noqa: ARG005
        yield url


def published(pair: Pair, unique: str, url: str) -> str:
    """Offer what an address has, and return an agreement on it."""
    pair.provider._data_keys = {Tier.PUBLIC: KEY}
    pair.provider.publish(Offer(unique, "Passports", url, "application/x-tar", Tier.PUBLIC, {"test": unique}))
    (entry,) = pair.consumer.catalogue(pair.counterparty, filter={"test": unique})
    return agree(pair, entry)


def arrived(pair: Pair, transfer_id: str) -> None:
    wait_for(pair, lambda: pair.consumer.transfer_state(transfer_id), TransferState.STARTED)


def archive_of(data_app: str) -> bytes:
    return HttpClient(f"{data_app}/passports?batch=all", headers={"x-api-key": KEY}).request("GET").body


def test_archive_is_pushed_once_and_its_address_is_in_no_journal(make, inbox, data_app, unique, tmp_path):
    pair = make(is_push=True)
    agreement_id = published(pair, unique, f"{data_app}/passports?batch=all")
    transfer_id = pair.consumer.transfer(agreement_id, pair.counterparty)
    arrived(pair, transfer_id)
    expected = archive_of(data_app)
    assert len(expected) > 1_000_000
    assert b"".join(pair.consumer.stream(transfer_id, maximum_bytes=len(expected))) == expected
    with pytest.raises(InputError, match="nothing below it"):
        pair.consumer.fetch(transfer_id, maximum_bytes=10, path="x")
    secret = json.loads(inbox._note(transfer_id).read_text())["secret"]
    with pytest.raises(NotFound):
        HttpClient(inbox._url).request("POST", f"/pushed/{secret}", data=b"another")
    assert pair.consumer.fetch(transfer_id, maximum_bytes=len(expected)) == expected
    assert secret not in "".join(map(repr, ExchangeJournal(tmp_path / "exchanges.sqlite").of(transfer_id)))
    pair.consumer.terminate(transfer_id, "done")
    with pytest.raises((NotFound, ServerRefused)):
        pair.consumer.fetch(transfer_id, maximum_bytes=len(expected))


def test_push_of_a_file_that_the_provider_cannot_read_ends_with_its_reason(make, unique, data_app):
    pair = make(is_push=True)
    transfer_id = pair.consumer.transfer(
        published(pair, unique, f"{data_app}/files/public/none.json"), pair.counterparty
    )
    end = time.monotonic() + 30
    while not (seen := pair.consumer.transfer_state(transfer_id)).state.is_final:
        assert time.monotonic() < end, seen
        time.sleep(0.1)
    assert seen.state is TransferState.TERMINATED
    with pytest.raises((NotFound, ServerRefused)):
        pair.consumer.fetch(transfer_id, maximum_bytes=10)


def test_address_that_is_called_back_serves_a_stream_through_the_data_plane(make, data_app, unique):
    pair = make()
    transfer_id = pair.consumer.transfer(
        published(pair, unique, f"{data_app}/passports?batch=all"), pair.counterparty
    )
    arrived(pair, transfer_id)
    expected = archive_of(data_app)
    chunks = list(pair.consumer.stream(transfer_id, maximum_bytes=len(expected)))
    assert (b"".join(chunks), len(chunks) > 1) == (expected, True)


def test_stream_goes_on_though_its_token_is_revoked_in_the_middle_and_a_new_transfer_serves_the_next(
    make, data_app, unique
):
    """EDC checks a token when a request begins; afterwards it is refused."""
    pair = make()
    agreement_id = published(pair, unique, f"{data_app}/passports?batch=all")
    transfer_id = pair.consumer.transfer(agreement_id, pair.counterparty)
    arrived(pair, transfer_id)
    expected = archive_of(data_app)
    stream = pair.consumer.stream(transfer_id, maximum_bytes=len(expected))
    first = next(stream)
    (theirs,) = pair.provider._management.query("/transferprocesses/request", criterion("correlationId", transfer_id))
    pair.provider.terminate(theirs["@id"], "revoked")
    wait_for(pair, lambda: pair.consumer.transfer_state(transfer_id), TransferState.TERMINATED)
    assert first + b"".join(stream) == expected
    with pytest.raises(ServerRefused):
        list(pair.consumer.stream(transfer_id, maximum_bytes=len(expected)))
    again = pair.consumer.transfer(agreement_id, pair.counterparty)
    arrived(pair, again)
    assert b"".join(pair.consumer.stream(again, maximum_bytes=len(expected))) == expected


def test_offer_of_the_data_app_needs_the_key_of_its_tier(make, data_app, unique):
    pair = make()
    agreement_id = published(pair, unique, f"{data_app}/passports?batch=all")
    pair.provider._data_keys = {}
    offered = Offer(
        unique, "t", f"{data_app}/passports?batch=all", "application/x-tar", Tier.PUBLIC, {"test": unique}
    )
    pair.provider.publish(replace(offered, title="without a key"))
    transfer_id = pair.consumer.transfer(agreement_id, pair.counterparty)
    arrived(pair, transfer_id)
    pair.consumer._data._attempts = 1
    with pytest.raises(Exception, match=r"401|403|500|Unauthorized"):
        list(pair.consumer.stream(transfer_id, maximum_bytes=10_000_000))
