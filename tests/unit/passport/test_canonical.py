"""Canonical JSON is what RFC 8785 says, whichever way it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.passport.aas import environment
from battery_pilot.passport.canonical import canonical
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from battery_pilot.passport.building import Passport

texts = st.text(max_size=8) | st.text('\x00\x1f\x7f"\\/\n\u2028\ud7ff\ue000\uffff\U00010000', max_size=8)
scalars = st.none() | st.booleans() | texts | st.integers(-(2**53) + 1, 2**53 - 1)
numbers = st.floats(allow_nan=False, allow_infinity=False)


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(texts, inside, max_size=4)
    )


@given(trees(scalars))
def test_content_without_floats_is_written_as_the_standard_says(content: Any) -> None:
    assert canonical(content) == rfc8785.dumps(content)


@given(trees(scalars | numbers))
def test_content_with_floats_is_written_as_the_standard_says(content: Any) -> None:
    assert canonical(content) == rfc8785.dumps(content)


def test_keys_are_ordered_as_utf_16() -> None:
    assert canonical({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize("tier", list(Tier))
def test_passport_is_written_as_the_standard_says(whole_passport: Passport, tier: Tier) -> None:
    content = environment(whole_passport.view(tier))
    assert canonical(content) == rfc8785.dumps(content)


@pytest.mark.parametrize(
    "content", [2**53, -(2**53), float("nan"), "\ud800", {"\udfff": 1}, {1: 1}, {None: 1}, b"", {1}]
)
def test_what_canonical_json_cannot_hold_is_refused(content: Any) -> None:
    for nested in (content, [content], {"key": content}):
        with pytest.raises(ValueError):  # noqa: PT011
            canonical(nested)
