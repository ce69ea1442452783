from __future__ import annotations

import pytest

from battery_pilot.errors import InputError
from battery_pilot.passport.model import Tier
from battery_pilot.services.connectors.model import NegotiationState, Offer, TransferState


@pytest.mark.parametrize("asset_id", ["acme-B0001.public", "urn:battery:B1", "a~_b"])
def test_asset_id_of_plain_characters_is_taken(asset_id):
    assert Offer(asset_id, "title", "http://host/f", "application/json", Tier.PUBLIC).asset_id == asset_id


@pytest.mark.parametrize("asset_id", ["", "https://example.com/b/1", "a b", "a%2Fb", "ü", "x" * 201, "a\n"])
def test_asset_id_that_connectors_do_not_take_is_refused(asset_id):
    with pytest.raises(InputError, match="asset id"):
        Offer(asset_id, "title", "http://host/f", "application/json", Tier.PUBLIC)


def test_only_finalized_and_terminated_end_a_negotiation():
    assert {state for state in NegotiationState if state.is_final} == {"FINALIZED", "TERMINATED"}


def test_started_transfer_is_ready_and_not_final():
    assert {state for state in TransferState if state.is_ready} == {"STARTED"}
    assert {state for state in TransferState if state.is_final} == {"COMPLETED", "TERMINATED"}
