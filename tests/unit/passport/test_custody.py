from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from battery_pilot.errors import PassportError
from battery_pilot.passport.custody import Custody, CustodyEntry, Event, verify_custody

AT = datetime(2026, 1, 1, tzinfo=UTC)


def event(kind, agreement="a", battery_id="BP-1", **changes):
    known = {
        "battery_id": battery_id, "kind": kind, "at": AT, "counterparty_id": "provider", "asset_id": "asset",
        "agreement_id": agreement, "policy_sha256": "1" * 64, "sha256": "2" * 64,
    }  # fmt: skip
    return Event(**{**known, **changes})


EVENTS = st.lists(st.tuples(st.sampled_from(["received", "removed"]), st.sampled_from(["a", "b"])), max_size=12)


@settings(deadline=None, max_examples=20)
@given(events=EVENTS)
def test_each_holding_is_received_and_removed_in_turn_and_the_chain_is_whole(tmp_path_factory, events):
    custody = Custody(tmp_path_factory.mktemp("custody") / "history.sqlite")
    for kind, agreement in events:
        custody.append([event(kind, agreement)])
    entries = custody.entries("BP-1")
    verify_custody(entries)
    for agreement in ("a", "b"):
        kinds = [one.kind for one in entries if one.agreement_id == agreement]
        assert kinds == ["received", "removed"] * (len(kinds) // 2) + ["received"] * (len(kinds) % 2)


def test_batteries_have_chains_of_their_own(tmp_path):
    custody = Custody(tmp_path / "history.sqlite")
    events = [event("received"), event("received", battery_id="BP-2"), event("received", "b")]
    assert (custody.append(events), custody.append(events)) == (3, 0)
    assert [one.number for one in custody.entries("BP-1")] == [1, 2]
    assert [one.number for one in custody.entries("BP-2")] == [1]
    assert custody.entries("BP-3") == []


@pytest.mark.parametrize(
    "change",
    [{"agreement_id": "z"}, {"expires_at": AT}, {"sha256": "3" * 64}, {"previous_hash": "4" * 64}, {"number": 5}],
)
def test_an_entry_that_was_altered_is_named(tmp_path, change):
    custody = Custody(tmp_path / "history.sqlite")
    custody.append([event("received"), event("received", "b"), event("removed")])
    first, second, third = custody.entries("BP-1")
    with pytest.raises(PassportError, match="receipts of battery BP-1"):
        verify_custody([first, second.model_copy(update=change), third])


def test_an_entry_that_is_missing_shows(tmp_path):
    custody = Custody(tmp_path / "history.sqlite")
    custody.append([event("received"), event("received", "b"), event("removed")])
    first, _, third = custody.entries("BP-1")
    for kept in ([first, third], [third]):
        with pytest.raises(PassportError, match="entry 3"):
            verify_custody(kept)


def test_an_entry_can_hold_nothing_of_a_passport():
    with pytest.raises(ValidationError):
        CustodyEntry.model_validate({**event("received").model_dump(), "number": 1, "values": {"a": 1}})
