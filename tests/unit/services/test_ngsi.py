from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import InputError
from battery_pilot.services.ngsi import (
    FORBIDDEN_IN_IDS,
    FORBIDDEN_IN_VALUES,
    attribute,
    decode_name,
    decode_note,
    encode_name,
    encode_note,
    entity_id,
    note_of,
    observed_at,
    same_attribute,
    same_value,
    value_of,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.one_of(
    st.booleans(), TEXTS, st.integers(-(10**17), 10**17), st.floats(-1e17, 1e17), st.datetimes(timezones=st.just(UTC))
)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (91.2, {"type": "Number", "value": 91.2}),
        (7, {"type": "Number", "value": 7}),
        (np.int64(7), {"type": "Number", "value": 7}),
        (np.float32(0.5), {"type": "Number", "value": 0.5}),
        (True, {"type": "Boolean", "value": True}),
        ("NMC", {"type": "Text", "value": "NMC"}),
        ('Cell (NMC) = "x"; µΩ', {"type": "TextUnrestricted", "value": 'Cell (NMC) = "x"; µΩ'}),
        (
            datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
            {"type": "DateTime", "value": "2026-01-02T03:04:05.678Z"},
        ),
        (
            datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=1))),
            {"type": "DateTime", "value": "2026-01-01T23:00:00.000Z"},
        ),
    ],
)
def test_value_gets_its_type(value, written):
    assert attribute(value) == written


@pytest.mark.parametrize("char", "<>\"'=;()")
def test_each_forbidden_character_makes_a_text_unrestricted(char):
    assert attribute(f"a{char}b")["type"] == "TextUnrestricted"


def test_metadata_says_unit_and_time():
    written = attribute(91.2, unitCode="P1", as_of=datetime(2026, 1, 2, tzinfo=UTC), method="capacity")
    assert written["metadata"] == {
        "unitCode": {"type": "Text", "value": "P1"},
        "dateObserved": {"type": "DateTime", "value": "2026-01-02T00:00:00.000Z"},
        "method": {"type": "Text", "value": "capacity"},
    }


@pytest.mark.parametrize("value", [float("nan"), float("inf"), np.float64("nan")])
def test_number_that_is_not_finite_is_refused(value):
    with pytest.raises(InputError, match="leave a value that is not known out"):
        attribute(value)


def test_time_without_a_zone_is_refused():
    with pytest.raises(InputError, match="no zone"):
        attribute(datetime(2026, 1, 2))  # noqa: DTZ001


def test_metadata_with_forbidden_characters_is_encoded_and_comes_back():
    written = attribute(1, method="C/3 (25 degC)")
    assert written["metadata"]["method"]["value"] == "C/3 %2825 degC%29"
    assert note_of(written, "method") == "C/3 (25 degC)"


@pytest.mark.parametrize("value", [None, [1], {"a": 1}])
def test_value_of_another_type_is_refused(value):
    with pytest.raises(InputError, match=type(value).__name__):
        attribute(value)


@pytest.mark.parametrize("slug", ["a b", "a/b", "ü", "a?", "a#", "a&b", "(a)", "a\n", "x" * 250])
def test_slug_that_orion_refuses_is_refused_here(slug):
    with pytest.raises(InputError, match="Orion takes no"):
        entity_id(slug)


def test_entity_id_names_the_battery():
    assert entity_id("acme-B0001") == "urn:ngsi-ld:Battery:acme-B0001"


@given(VALUES, TEXTS)
def test_any_value_of_a_passport_is_legal_and_comes_back(value, note):
    written = attribute(value, method=note)
    if written["type"] == "Text":
        assert not FORBIDDEN_IN_VALUES & set(written["value"])
    assert not FORBIDDEN_IN_VALUES & set(written["metadata"]["method"]["value"])
    assert note_of(written, "method") == note
    expected = value.replace(microsecond=value.microsecond // 1000 * 1000) if isinstance(value, datetime) else value
    assert value_of(written) == expected


@given(TEXTS.filter(bool))
def test_any_short_text_becomes_a_name_that_orion_takes_and_comes_back(text):
    try:
        name = encode_name(text)
    except InputError:
        assert 3 * len(text.encode()) > 256
        return
    assert re.fullmatch("[!-~]{1,256}", name)
    assert not FORBIDDEN_IN_IDS & set(name)
    assert decode_name(name) == text


@given(TEXTS, TEXTS)
def test_two_texts_never_share_a_note(one, other):
    assert (encode_note(one) == encode_note(other)) == (one == other)
    assert decode_note(encode_note(one)) == one


@pytest.mark.parametrize("value", [1e18, -1e20, 10**18])
def test_number_that_orion_would_write_wrongly_is_refused(value):
    with pytest.raises(InputError, match="below 1e\\+18"):
        attribute(value)


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_text_that_orion_would_cut_or_refuse_is_refused_here(text):
    with pytest.raises(InputError, match="cannot be sent to Orion"):
        attribute(text)


@pytest.mark.parametrize(
    ("sent", "shown", "same"),
    [(1 / 3, 0.333333333, True), (4.9e-10, 0, True), (1.0, 1, True), (1, 2, False), (True, 1, False), ("a", "a", True),
     (1e-8, 0, False), (0.1, "0.1", False)],
)  # fmt: skip
def test_number_is_the_same_with_the_decimals_that_orion_shows(sent, shown, same):
    assert same_value(sent, shown) is same


def test_attribute_is_the_same_only_with_its_metadata():
    sent = attribute(1.0, unitCode="AMH")
    assert same_attribute(sent, {**sent, "metadata": {**sent["metadata"], "dateModified": {"value": "x"}}})
    assert not same_attribute(sent, {**sent, "metadata": {}})
    assert not same_attribute(sent, {**sent, "type": "Text"})


def test_time_of_a_value_is_read_from_ours_and_from_a_device():
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    assert observed_at(attribute(1, as_of=moment)) == moment
    device = {
        "type": "Number",
        "value": 1,
        "metadata": {"TimeInstant": {"type": "DateTime", "value": moment.isoformat()}},
    }
    assert observed_at(device) == moment
    assert observed_at(attribute(1)) is None
