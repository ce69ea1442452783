from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from battery_pilot.learning.evaluation import Interval, predictions_sql, quantile_levels


def element_rank(level: float, count: int) -> int:
    """The rank of the element that a percentile picks: the first one with at least that share at or below it."""
    return math.ceil(level * count)


@given(st.integers(min_value=1, max_value=5_000_000))
def test_quantiles_are_symmetric_and_keep_90_percent_between_them(count: int) -> None:
    lower, upper = (element_rank(level, count) for level in quantile_levels(count))
    assert 1 <= lower <= upper <= count
    assert lower - 1 == count - upper
    assert count < 19 or upper - lower >= 0.9 * (count + 1) - 1e-6


@pytest.mark.parametrize(
    ("count", "ranks"), [(1, (1, 1)), (18, (1, 18)), (19, (1, 19)), (39, (2, 38)), (99, (5, 95))]
)
def test_ranks_are_those_of_conformal_prediction(count: int, ranks: tuple[int, int]) -> None:
    assert tuple(element_rank(level, count) for level in quantile_levels(count)) == ranks


@pytest.mark.parametrize(
    "offsets", [{"lower_offset": 0.1}, {"upper_offset": -0.1}, {"reference_days": 0.0}, {"upper_offset": math.inf}]
)
def test_interval_that_does_not_hold_the_prediction_is_refused(offsets: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Interval(**({"lower_offset": -1.0, "upper_offset": 1.0, "reference_days": 30.0} | offsets))


@pytest.mark.parametrize(("horizon", "offset"), [(10, "-0.5D"), (30, "-0.5D"), (90, "-1.5D")])
def test_interval_grows_only_beyond_the_time_it_was_estimated_for(horizon: float, offset: str) -> None:
    interval = Interval(lower_offset=-0.5, upper_offset=0.5, reference_days=30)
    assert f"+ {offset}) AS lower" in predictions_sql("predicted", interval, horizon, "v")
