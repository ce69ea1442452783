from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.measurements.consistency import contradictions, moved_charge_ah, without_zero_times

if TYPE_CHECKING:
    from battery_pilot.measurements.tables import FloatArray

TIME = np.arange(0.0, 7200.0, 10.0)
CURRENT = np.where(TIME < 3600, 1.5, -1.5)
STEP = np.where(TIME < 3600, 1.0, 2.0)


def log(**columns: FloatArray) -> dict[str, FloatArray]:
    return {"test_time_second": TIME, "current_ampere": CURRENT, "step_index": STEP, **columns}


def counters() -> dict[str, FloatArray]:
    charge = np.r_[0.0, np.cumsum(np.diff(TIME) * CURRENT[1:] * (CURRENT[1:] > 0))] / 3600
    discharge = np.r_[0.0, np.cumsum(np.diff(TIME) * -CURRENT[1:] * (CURRENT[1:] < 0))] / 3600
    return {"charging_capacity_ah": charge, "discharging_capacity_ah": discharge}


def test_a_log_that_agrees_with_its_counters_gives_no_sentence() -> None:
    assert contradictions(log(**counters())) == []


def test_counters_that_begin_anew_are_added_up() -> None:
    counted = counters()
    anew = np.where(TIME < 1800, counted["charging_capacity_ah"], counted["charging_capacity_ah"] - 0.75)
    assert contradictions(log(**counted | {"charging_capacity_ah": anew})) == []


def test_a_counter_that_counts_back_is_no_counter_that_begins_anew() -> None:
    """EC-Lab counts the net charge of a half cycle: a short pulse in the other direction takes some of it back."""
    pulse = (TIME > 1800) & (TIME <= 1830)
    current = np.where(pulse, -1.5, CURRENT)
    net = np.where(TIME < 3600, np.r_[0.0, np.cumsum(np.diff(TIME) * current[1:])] / 3600, 0.0)
    assert contradictions(log(charging_capacity_ah=net, current_ampere=current)) == []


@pytest.mark.parametrize("factor", [0.5, 0.98, 1.02, 1000.0])
def test_a_counter_that_differs_is_told_with_both_figures(factor: float) -> None:
    counted = counters()
    total = counted["charging_capacity_ah"][-1]
    sentences = contradictions(log(**counted | {"charging_capacity_ah": factor * counted["charging_capacity_ah"]}))
    assert len(sentences) >= 1
    assert (
        f"adds up to {total:.6g} Ah of charge, the counter of the cycler to {factor * total:.6g} Ah" in sentences[0]
    )


def test_counters_that_never_count_say_nothing() -> None:
    empty = np.zeros_like(TIME)
    assert contradictions(log(charging_capacity_ah=empty, discharging_capacity_ah=empty)) == []


def test_noise_in_the_other_direction_says_nothing() -> None:
    assert contradictions(log(**counters() | {"current_ampere": np.where(TIME < 3600, CURRENT, -1e-6)}))
    rest = log(
        charging_capacity_ah=counters()["charging_capacity_ah"],
        discharging_capacity_ah=np.where(TIME < 3600, 0.0, 1e-5),
        current_ampere=np.where(TIME < 3600, 1.5, 0.0),
    )
    assert contradictions(rest) == []


def test_a_test_of_decades_has_a_wrong_unit() -> None:
    sentences = contradictions({"test_time_second": 3600.0 * TIME * 50, "current_ampere": CURRENT})
    assert len(sentences) == 1
    assert "lasts 41.0 years, with rows 1.8e+06 s apart" in sentences[0]


@given(st.integers(2, 40), st.floats(0.1, 100.0))
def test_a_constant_current_moves_current_times_time(rows: int, current: float) -> None:
    columns = {"test_time_second": np.arange(rows) * 36.0, "current_ampere": np.full(rows, current)}
    assert moved_charge_ah(columns, 1.0) == pytest.approx(current * (rows - 1) / 100)
    assert moved_charge_ah(columns, -1.0) == 0.0


def test_the_interval_before_a_step_belongs_to_it() -> None:
    columns = {
        "test_time_second": np.array([0.0, 10.0, 370.0]),
        "current_ampere": np.array([0.0, 0.0, 10.0]),
        "step_index": np.array([1.0, 1.0, 2.0]),
    }
    assert moved_charge_ah(columns, 1.0) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([0, 10, 0, 20, 30], [0, 10, 20, 20, 30]),
        ([0, 0, 10, 20], [0, 0, 10, 20]),
        ([0, 10, 20, 0, 5], [0, 10, 20, 0, 5]),
        ([0, 10, 0], [0, 10, 0]),
        ([0], [0]),
    ],
)
def test_a_zero_between_later_times_gets_the_time_of_the_row_after_it(
    times: list[float], expected: list[float]
) -> None:
    found, count = without_zero_times(np.array(times, dtype=float))
    assert list(found) == expected
    assert count == np.count_nonzero(np.array(times) != expected)
