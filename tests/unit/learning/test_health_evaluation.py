from __future__ import annotations

import math

import pytest
from pydantic import ValidationError

from battery_pilot.learning.evaluation import Interval, predictions_sql


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
