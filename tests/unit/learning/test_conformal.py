from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.learning.conformal import conformal_radius, is_guaranteed


def test_one_row_a_battery_gives_the_rank_of_split_conformal_prediction() -> None:
    errors = np.random.default_rng(0).permutation(np.arange(1.0, 20.0))  # 19 batteries
    names = [f"B{number}" for number in range(19)]
    assert conformal_radius(errors, names) == 18  # the 0.9 * (19 + 1) smallest


def test_a_battery_with_many_rows_counts_no_more_than_one_with_few() -> None:
    errors = np.concatenate([np.arange(1.0, 20.0), np.full(5000, 0.01)])
    names = [f"B{number}" for number in range(19)] + ["many"] * 5000
    assert conformal_radius(errors, names) == 18


def test_too_few_batteries_give_the_largest_error_and_no_promise() -> None:
    assert conformal_radius(np.array([3.0, 1.0, 2.0]), ["A", "B", "C"]) == 3
    assert not is_guaranteed(8)
    assert is_guaranteed(9)


def test_coverage_on_new_batteries_is_at_least_the_promised_one() -> None:
    random = np.random.default_rng(1)
    covered = []
    for _ in range(300):
        # Each battery has an error of its own besides the noise of its rows: rows are not independent.
        errors = np.abs(random.normal(size=(21, 1)) + 0.3 * random.normal(size=(21, 10)))
        names = [f"B{number}" for number in range(20) for _ in range(10)]
        covered.append(np.mean(errors[20] <= conformal_radius(errors[:20].ravel(), names)))
    assert 0.89 <= np.mean(covered) <= 0.97


@pytest.mark.parametrize("probability", [0.5, 0.8])
def test_smaller_probability_gives_a_smaller_radius(probability: float) -> None:
    errors = np.arange(1.0, 40.0)
    names = [str(number) for number in range(39)]
    assert conformal_radius(errors, names, probability) == 40 * probability
