from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.learning import comparison
from battery_pilot.learning.comparison import compare


def test_value_is_the_share_of_sign_choices_that_are_as_good() -> None:
    found = compare([1.0, 1.0, 1.0], [2.0, 3.0, 0.5])
    # Differences 1, 2, -0.5: of the eight choices of signs only +++ and ++- reach a sum of 2.5.
    assert (found.batteries, found.better) == (3, 2)
    assert found.mean_advantage == pytest.approx(2.5 / 3)
    assert found.p_value == 2 / 8
    assert not found.is_better


@pytest.mark.parametrize(("batteries", "enough"), [(1, False), (4, False), (5, True), (9, True)])
def test_fewer_than_five_batteries_never_suffice(batteries: int, enough: bool) -> None:
    found = compare([0.1] * batteries, [9.0] * batteries)
    assert found.p_value == 2**-batteries
    assert found.is_better is enough


def test_one_lucky_battery_does_not_carry_a_model_that_loses_elsewhere() -> None:
    model, baseline = [1.0] * 8, [0.9] * 7 + [9.0]
    assert np.mean(model) < np.mean(baseline), "the means alone would release it"
    assert not compare(model, baseline).is_better


def test_equal_errors_are_no_advantage() -> None:
    assert compare([1.0] * 8, [1.0] * 8).p_value == 1
    assert not compare([1.0] * 8, [1.0] * 8).is_better


def test_random_signs_agree_with_all_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    baseline = np.random.default_rng(3).normal(0.4, 1, 12)
    exact = compare([0.0] * 12, baseline.tolist()).p_value
    monkeypatch.setattr(comparison, "_EXACT_UP_TO", 0)
    assert compare([0.0] * 12, baseline.tolist()).p_value == pytest.approx(exact, abs=0.02)


def test_value_keeps_its_promise_without_any_advantage() -> None:
    random = np.random.default_rng(0)
    released = [compare([0.0] * 8, random.standard_t(3, 8).tolist()).is_better for _ in range(400)]
    assert np.mean(released) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20))
def test_value_is_a_probability_that_the_scale_does_not_change(advantage: list[float]) -> None:
    zeros = [0.0] * len(advantage)
    found = compare(zeros, advantage)
    assert 0 < found.p_value <= 1
    assert compare(zeros, [4 * one for one in advantage]).p_value == pytest.approx(found.p_value, abs=0.01)
