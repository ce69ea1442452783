"""What is disclosed of a history to a tier holds nothing of the more closed ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.passport.aas import flat_values, passport_sha256
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.chain import next_entry, next_head, reconstruct, verify_chain
from battery_pilot.passport.life import Life, LifeEvent
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import Tier

START = datetime(2026, 1, 1, tzinfo=UTC)
secrets = st.integers(10**8, 10**9 - 1).map("SECRET-{}".format)
facts = st.fixed_dictionaries(
    {
        "test_report_ids": st.lists(secrets, max_size=3).map(tuple),
        "marking_names": st.lists(st.sampled_from(["CE", "WEEE", "EX"]), min_size=1, max_size=3, unique=True).map(
            tuple
        ),
        "status": st.sampled_from(["Original", "Reused"]),
        "put_into_service_on": st.dates(datetime(2001, 1, 1).date(), datetime(2009, 1, 1).date()).map(str),
    }
)
measured = st.dictionaries(st.sampled_from(sorted(METRICS)), st.tuples(st.floats(0.5, 0.99), secrets), max_size=6)
accidents = st.lists(secrets, max_size=2)


def states_of(battery_model, battery_item, drawn):
    """Passports of consecutive days, with secrets in what is closed."""
    for day, (item_facts, metrics, remarks) in enumerate(drawn):
        as_of = START + timedelta(days=day)
        values = {
            metric: MeasuredValue(value=value, as_of=as_of, method=method, source_sha256=(f"{day + 7:064x}",))
            for metric, (value, method) in metrics.items()
        }
        events = tuple(
            LifeEvent(
                battery_id="Cell_7", event="accident", occurred_on="2025-12-24", remark=remark, document_id=remark
            )
            for remark in remarks
        )
        yield build_passport(
            battery_model,
            battery_item.model_copy(update=item_facts),
            Condition(battery_id="Cell_7", as_of=as_of, values=values),
            base="https://example.com",
            life=Life(events=events),
        )


def chain_of(passports):
    head, entries = None, []
    for number, passport in enumerate(passports):
        digests = {tier: passport_sha256(passport.view(tier)) for tier in Tier}
        moment = START + timedelta(days=100 + number)
        entries.append(next_entry(head, passport, digests, run="run", recorded_at=moment, known_until=moment))
        head = next_head(head, entries[-1])
    return entries


def texts_of(passport):
    """The values that a text search finds by no chance: secrets, digests of files and days before the battery was measured."""
    return {
        value
        for value in flat_values(passport).values()
        if isinstance(value, str) and ("SECRET" in value or len(value) == 64 or value.startswith("200"))
    }


@pytest.mark.parametrize("tier", [Tier.PUBLIC, Tier.LEGITIMATE_INTEREST])
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(st.tuples(facts, measured, accidents), min_size=1, max_size=4))
def test_no_history_difference_of_a_higher_tier_is_in_a_lower_view(battery_model, battery_item, tier, drawn):
    passports = list(states_of(battery_model, battery_item, drawn))
    entries = chain_of(passports)
    disclosed = [entry.disclose(tier) for entry in entries]
    verify_chain(disclosed, tier)

    # By structure: what is told is exactly the difference between the views, path by path.
    assert [values for _, values in reconstruct(disclosed)] == [flat_values(one.view(tier)) for one in passports]
    assert all(is_visible(own, tier) for entry in disclosed for own in entry.seals)

    # By search: no closed value, salt or digest is anywhere in what leaves.
    wire = json.dumps([entry.model_dump(mode="json") for entry in disclosed], ensure_ascii=False)
    opened = set().union(*(texts_of(passport.view(tier)) for passport in passports))
    closed = set().union(*(texts_of(passport) for passport in passports)) - opened
    leaks = [text for text in closed if text in wire]
    assert leaks == []
    hidden = [seal for entry in entries for own, seal in entry.seals.items() if not is_visible(own, tier)]
    # Where a tier adds nothing, its digest is that of the tier below.
    told = {entry.seals[own].view_sha256 for entry in entries for own in Tier if is_visible(own, tier)}
    kept_back = {seal.salt for seal in hidden} | {seal.view_sha256 for seal in hidden} - told
    leaks = [text for text in kept_back if text in wire]
    assert (bool(hidden), leaks) == (True, [])


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=st.lists(st.tuples(facts, measured, accidents), min_size=2, max_size=3), place=st.integers(0, 1))
def test_an_error_in_a_history_quotes_no_value(battery_model, battery_item, drawn, place):
    """Errors end up in logs and in quarantine lists, which more people read than the closed tiers."""
    passports = list(states_of(battery_model, battery_item, drawn))
    entries = chain_of(passports)
    seals = entries[place].seals
    forged = {
        tier: seal.model_copy(
            update={"changes": {path: ("SECRET-0", new) for path, (_, new) in seal.changes.items()}}
        )
        for tier, seal in seals.items()
    }
    with pytest.raises(Exception, match="history of battery Cell_7") as caught:  # noqa: PT011
        next_head(None, entries[0].model_copy(update={"seals": forged, "previous_hash": None}))
    assert "SECRET" not in str(caught.value)
