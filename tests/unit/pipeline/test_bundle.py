from __future__ import annotations

import json
import tracemalloc
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.errors import PassportError
from battery_pilot.passport.aas import canonical_json, flat_values, passport_sha256
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.chain import next_entry, next_head
from battery_pilot.passport.history import DisclosedEntry, SqliteHistory, record
from battery_pilot.passport.mapping import is_visible
from battery_pilot.passport.model import Tier
from battery_pilot.pipeline.bundle import MAXIMUM_BYTES, make_bundle, read_bundle

FIRST = datetime(2026, 1, 20, tzinfo=UTC)
LEGITIMATE = Tier.LEGITIMATE_INTEREST
CAPACITY = "ProductCondition.RemainingCapacity.RemainingCapacityValue"


@pytest.fixture(scope="module")
def chain_of(subject_of, base, tmp_path_factory):
    """Record states of a battery; return the passports and the history."""

    def build(battery_id, capacities=(4.9, 4.8, 4.7), **facts):
        history = SqliteHistory(tmp_path_factory.mktemp("history") / "history.sqlite")
        passports = []
        for number, capacity in enumerate(capacities):
            subject = subject_of(
                battery_id,
                FIRST + timedelta(days=30 * number),
                remaining_capacity_ah=capacity,
                dc_resistance_ohm=0.0271,
            )
            item = subject.item.model_copy(update=facts)
            passports.append(build_passport(subject.model, item, subject.condition, base=base))
            recorded_at = FIRST + timedelta(days=100 + number)
            record(history, passports[-1], run="test", recorded_at=recorded_at, known_until=recorded_at)
        return passports, history.entries(battery_id)

    return build


@pytest.fixture(scope="module")
def chain(chain_of):
    return chain_of("BP-1")


def view_of(passport, tier):
    return canonical_json(passport.view(tier))


def bundle_of(chain, tier=LEGITIMATE):
    passports, entries = chain
    return make_bundle(view_of(passports[-1], tier), entries, tier)


def changed(data, change):
    """Apply a change to the content of a bundle."""
    content = json.loads(data)
    change(content)
    return rfc8785.dumps(content)


@pytest.mark.parametrize("tier", list(Tier))
def test_what_was_bundled_is_read_again(chain, tier):
    passports, entries = chain
    bundle = read_bundle(bundle_of(chain, tier))
    assert bundle.tier is tier
    assert bundle.passport.battery_id == "BP-1"
    assert bundle.passport.as_of == passports[-1].as_of
    assert bundle.passport.values == flat_values(passports[-1].view(tier))
    states = [(entry.as_of, values) for entry, values in bundle.states()]
    assert states == [(one.as_of, flat_values(one.view(tier))) for one in passports]
    assert len(entries) == 3


def test_the_same_content_gives_the_same_bytes(chain):
    assert bundle_of(chain) == bundle_of(chain)


def test_a_late_state_of_the_past_does_not_unseat_the_passport(chain_of, subject_of, base, tmp_path):
    history = SqliteHistory(tmp_path / "history.sqlite")
    passports = []
    for days, capacity in ((30, 4.8), (0, 4.9)):
        subject = subject_of("BP-1", FIRST + timedelta(days=days), remaining_capacity_ah=capacity)
        passports.append(build_passport(subject.model, subject.item, subject.condition, base=base))
        recorded_at = FIRST + timedelta(days=90)
        record(history, passports[-1], run="test", recorded_at=recorded_at, known_until=recorded_at)
    newest = make_bundle(view_of(passports[0], LEGITIMATE), history.entries("BP-1"), LEGITIMATE)
    assert read_bundle(newest).passport.values[CAPACITY] == 4.8
    with pytest.raises(PassportError, match="the passport differs from version 1 of its history"):
        read_bundle(make_bundle(view_of(passports[1], LEGITIMATE), history.entries("BP-1"), LEGITIMATE))


def test_a_corrected_state_that_knew_less_does_not_unseat_the_passport(subject_of, base, tmp_path):
    history = SqliteHistory(tmp_path / "history.sqlite")
    passports = []
    for known_until, capacity in ((60, 4.8), (30, 4.9)):
        subject = subject_of("BP-1", FIRST, remaining_capacity_ah=capacity)
        passports.append(build_passport(subject.model, subject.item, subject.condition, base=base))
        times = {"recorded_at": FIRST, "known_until": FIRST + timedelta(days=known_until)}
        record(history, passports[-1], run="test", **times)
    entries = history.entries("BP-1")
    assert read_bundle(make_bundle(view_of(passports[0], LEGITIMATE), entries, LEGITIMATE)).tier is LEGITIMATE
    with pytest.raises(PassportError, match="the passport differs from version 1 of its history"):
        read_bundle(make_bundle(view_of(passports[1], LEGITIMATE), entries, LEGITIMATE))


def test_states_of_a_long_history_do_not_stay_in_memory(chain):
    """Three hundred states of some thousand values: all of them at once would be over 30 MB."""
    _, (first, *_) = chain
    bundle = read_bundle(bundle_of(chain))
    many = {f"A.v{number}": (None, number) for number in range(3000)}
    flips = [{"A.v0": (number, number + 1)} for number in range(300)]
    entries = tuple(
        DisclosedEntry.model_construct(
            **{**dict(first), "seals": {LEGITIMATE: first.seals[LEGITIMATE].model_copy(update={"changes": changes})}}
        )
        for changes in (many, *flips)
    )
    tracemalloc.start()
    try:
        states = sum(1 for _ in replace(bundle, entries=entries).states())
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert states == 301
    assert peak_bytes < 3_000_000


def alter_value(content):
    (submodel,) = (one for one in content["passport"]["submodels"] if one["idShort"] == "ProductCondition")
    text = json.dumps(submodel).replace('"4.7"', '"4.9"')
    assert text != json.dumps(submodel)
    content["passport"]["submodels"] = [
        json.loads(text) if one is submodel else one for one in content["passport"]["submodels"]
    ]


def alter_seal(content):
    seal = content["history"][0]["seals"]["legitimate_interest"]
    seal["changes"][CAPACITY] = [None, 5.0]


def set_history(index, **facts):
    return lambda content: content["history"][index].update(facts)


TAMPERING = {
    "a value of the passport is changed": (alter_value, "the passport differs from version 3"),
    "a submodel of the passport is dropped": (
        lambda content: content["passport"]["submodels"].pop(0),
        "the passport differs from version 3",
    ),
    "the first state is dropped": (lambda content: content["history"].pop(0), "version 1 was expected here"),
    "a state in the middle is dropped": (lambda content: content["history"].pop(1), "version 2 was expected here"),
    "the newest state is dropped": (lambda content: content["history"].pop(), "the passport differs from version 2"),
    "a state stands twice": (
        lambda content: content["history"].insert(1, deepcopy(content["history"][0])),
        "version 2 was expected here",
    ),
    "the order is changed": (lambda content: content["history"].reverse(), "version 1 was expected here"),
    "a recorded value is changed": (alter_seal, "are not those that it commits to"),
    "a time is changed": (set_history(1, as_of="2020-01-01T00:00:00Z"), "its hash does not match its content"),
    "a hash is changed": (set_history(1, entry_hash="0" * 64), "its hash does not match its content"),
    "the history is of another battery": (
        lambda content: [entry.update(battery_id="BP-2") for entry in content["history"]],
        "its hash does not match its content",
    ),
    "there is no history": (lambda content: content.update(history=[]), "carries no history to verify"),
    "a higher tier is claimed": (lambda content: content.update(tier="authority"), "does not disclose the authority"),
    "a lower tier is claimed": (
        lambda content: content.update(tier="public"),
        "discloses values of legitimate_inter",
    ),
    "an unknown tier is claimed": (lambda content: content.update(tier="royal"), "'royal' is not a valid Tier"),
    "another format is claimed": (lambda content: content.update(format="bundle/2"), "format 'bundle/2', expected"),
    "the format is missing": (lambda content: content.pop("format"), "not of the form battery-pilot-bundle/1"),
    "the history is missing": (lambda content: content.pop("history"), "not of the form battery-pilot-bundle/1"),
    "the history is no list": (lambda content: content.update(history=7), "not of the form battery-pilot-bundle/1"),
    "a state is no object": (lambda content: content["history"].append("x"), "not of the form"),
    "a state has a field too many": (set_history(0, comment="hi"), "not of the form"),
    "the passport is no object": (lambda content: content.update(passport="x"), "a JSON object was expected"),
    "the passport is no AAS": (lambda content: content.update(passport={"submodels": [{}]}), "passport: "),
    "the passport has two shells": (
        lambda content: content["passport"]["assetAdministrationShells"].append(
            {**content["passport"]["assetAdministrationShells"][0], "id": "https://example.com/second"}
        ),
        "exactly one shell was expected, not 2",
    ),
}


@pytest.mark.parametrize(("change", "reason"), TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering_is_found_and_named(chain, change, reason):
    with pytest.raises(PassportError, match=reason):
        read_bundle(changed(bundle_of(chain), change))


def test_the_sound_history_of_another_battery_is_found(chain, chain_of):
    _, foreign = chain_of("BP-2")
    data = make_bundle(view_of(chain[0][-1], LEGITIMATE), foreign, LEGITIMATE)
    with pytest.raises(PassportError, match="bundle of battery BP-1: its history is of BP-2"):
        read_bundle(data)


@pytest.mark.parametrize("signature", [None, "header.payload.signature"])
def test_a_bundle_is_canonical_json(chain, signature):
    passports, entries = chain
    data = make_bundle(view_of(passports[-1], LEGITIMATE), entries, LEGITIMATE, signature)
    assert data == rfc8785.dumps(json.loads(data))
    assert json.loads(data).get("signature") == signature


def test_the_view_of_another_tier_is_found(chain):
    passports, entries = chain
    with pytest.raises(PassportError, match="the passport differs from version 3"):
        read_bundle(make_bundle(view_of(passports[-1], Tier.PUBLIC), entries, LEGITIMATE))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no JSON that can be read"),
        (b"\x00\xff", "no JSON that can be read"),
        (b"[]", "a JSON object was expected, not list"),
        (b"null", "a JSON object was expected"),
        (b"{}", "not of the form"),
        (b" " * (MAXIMUM_BYTES + 1), f"at most {MAXIMUM_BYTES} are"),
        (b'{"format":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "no JSON that can be read"),
        (b'{"passport":' + b"[" * 70 + b"]" * 70 + b"}", "nested deeper than 64 levels"),
        (b'{"format":"a","format":"b"}', "'format' stands twice"),
        (b'{"format":NaN}', "NaN is no JSON number"),
    ],
    ids=["empty", "binary", "list", "null", "no field", "oversize", "very deep", "deep", "key twice", "NaN"],
)
def test_what_is_no_bundle_at_all_is_refused(data, reason):
    with pytest.raises(PassportError, match=reason):
        read_bundle(data)


def test_a_key_that_stands_twice_somewhere_inside_is_refused(chain):
    data = bundle_of(chain).replace(b'"version":1}', b'"version":9,"version":1}', 1)
    assert b'"version":9' in data
    with pytest.raises(PassportError, match="'version' stands twice"):
        read_bundle(data)


@pytest.mark.parametrize("number", [2**53 + 1, 10**30])
def test_a_number_that_canonical_json_cannot_hold_is_refused(chain, number):
    data = json.loads(bundle_of(chain))
    data["history"][0]["seals"]["legitimate_interest"]["changes"][CAPACITY] = [None, number]
    with pytest.raises(PassportError, match="not of the form"):
        read_bundle(json.dumps(data).encode())


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_beyond_the_calendar_is_refused(chain, moment):
    with pytest.raises(PassportError):
        read_bundle(changed(bundle_of(chain), set_history(0, as_of=moment)))


def test_a_history_that_tells_another_time_than_the_passport_is_refused(chain):
    """A provider's own mistake: the chain is sound and commits to the view, but to another point in time."""
    (*_, passport), _ = chain
    digests = {tier: passport_sha256(passport.view(tier)) for tier in Tier}
    entry = next_entry(None, passport, digests, run="r", recorded_at=FIRST, known_until=FIRST)
    entry = entry.model_copy(update={"as_of": passport.as_of + timedelta(days=1)})
    entry = entry.model_copy(update={"entry_hash": entry.computed_hash()})
    next_head(None, entry)
    with pytest.raises(PassportError, match="the passport differs from version 1"):
        read_bundle(make_bundle(view_of(passport, LEGITIMATE), [entry], LEGITIMATE))


FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MARK = st.text("0123456789abcdef", min_size=20, max_size=20)
DISTINCT = st.integers(1, 5 * 10**8).map(lambda number: 4 + (2 * number + 1) / 10**9)


@FEW
@given(report=MARK, status=st.sampled_from(["Repurposed", "Remanufactured"]), capacity=DISTINCT)
def test_nothing_of_a_higher_tier_is_in_the_bytes_of_a_lower_bundle(chain_of, report, status, capacity):
    passports, entries = chain_of("BP-1", (4.9, capacity), test_report_ids=(report,), status=status)
    for tier in Tier:
        text = make_bundle(view_of(passports[-1], tier), entries, tier).decode()
        for element in passports[-1].elements:
            if not element.row.is_container and not is_visible(element.tier, tier):
                assert element.path not in text
        assert (report in text) is (tier is Tier.AUTHORITY)
        assert (status in text) is (tier is not Tier.PUBLIC)
        assert ("0.0271" in text) is (tier is not Tier.PUBLIC)
        assert (repr(capacity) in text) is (tier is not Tier.PUBLIC)


@FEW
@given(data=st.data())
def test_a_bundle_with_any_byte_changed_is_refused_or_says_the_same(chain, data):
    good = bundle_of(chain)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = good[:place] + bytes([data.draw(st.integers(0, 255))]) + good[place + 1 :]
    try:
        found = read_bundle(bad)
    except PassportError:
        return
    assert found == read_bundle(good)
