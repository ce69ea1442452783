from __future__ import annotations

import gc
import resource
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.passport.key_table import KeyTable

if TYPE_CHECKING:
    from collections.abc import Sequence

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@given(st.lists(st.tuples(TEXTS, TEXTS)))
def test_it_is_a_mapping_whose_first_values_stay(pairs: Sequence[tuple[str, str]]) -> None:
    expected: dict[str, str] = {}
    table = KeyTable()
    for key, value in pairs:
        assert table.setdefault(key, value) == expected.setdefault(key, value)
    assert table == expected == KeyTable(pairs)
    assert list(table) == sorted(expected)
    assert len(table) == len(expected)
    assert all(key in table for key in expected)


def test_a_key_that_is_not_there_is_said_so() -> None:
    table = KeyTable([("a", "1")])
    assert "b" not in table
    with pytest.raises(KeyError, match="b"):
        table["b"]


def test_many_keys_take_no_more_memory_than_the_cache() -> None:
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    table = KeyTable((f"PACK-{number:08d}", f"batteries.csv, line {number}") for number in range(150_000))
    assert len(table) == 150_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 12 * 1024
