from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import TerminalError
from battery_pilot.learning.split import MINIMUM_TRAINING_BATTERIES, split_sizes


@given(st.integers(min_value=3, max_value=2_000_000))
def test_every_fleet_has_a_test_battery_and_at_least_60_percent_for_training(batteries: int) -> None:
    sizes = split_sizes(batteries)
    assert sizes.training + sizes.test == batteries
    assert sizes.test >= 1
    assert 10 * sizes.training >= 6 * batteries
    assert 2 <= sizes.folds <= sizes.training


@given(st.integers(min_value=8, max_value=2_000_000))
def test_a_fleet_that_is_not_tiny_holds_out_30_percent_rounded_up(batteries: int) -> None:
    assert 10 * split_sizes(batteries).test - 3 * batteries in range(10)


@given(st.integers(min_value=3, max_value=10_000))
def test_another_battery_never_makes_a_side_smaller(batteries: int) -> None:
    before, after = split_sizes(batteries), split_sizes(batteries + 1)
    assert after.test >= before.test
    assert after.training >= before.training


@pytest.mark.parametrize("batteries", range(MINIMUM_TRAINING_BATTERIES + 1))
def test_too_few_batteries_are_refused_with_the_number_that_is_needed(batteries: int) -> None:
    with pytest.raises(TerminalError, match=f"{batteries} batteries have two check-ups or more and at least 3"):
        split_sizes(batteries)
