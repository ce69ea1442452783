from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from battery_pilot.measurements.cycling.log import Direction, directed, direction, running_time, step_begins

WORDS = ("charge", "c_", "c"), ("discharge", "d_", "d")


def test_a_step_begins_where_its_time_runs_backwards_or_its_number_changes() -> None:
    time = np.array([0.0, 5.0, 0.0, 3.0, 4.0])
    step = np.array([1.0, 1.0, 2.0, 2.0, 3.0])
    assert step_begins(time).tolist() == [False, False, True, False, False]
    assert step_begins(time, step).tolist() == [False, False, True, False, True]
    assert running_time(time, step_begins(time, step)).tolist() == [0.0, 5.0, 5.0, 8.0, 12.0]


def test_times_that_never_run_backwards_are_those_of_the_test() -> None:
    time, step = np.array([0.0, 5.0, 6.0]), np.array([1.0, 1.0, 2.0])
    assert running_time(time, step_begins(time, step)).tolist() == [0.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("name", "charging", "discharging"),
    [("CC Charge", True, False), ("Discharge", False, True), ("C", True, False), ("D_CV", False, True), ("R", 0, 0)],
)
def test_names_of_steps_tell_the_direction(name: str, charging: bool, discharging: bool) -> None:
    rows = direction(pa.chunked_array([["R", name]]), *WORDS)
    assert (rows.charging.tolist(), rows.discharging.tolist()) == ([False, charging], [False, discharging])


@pytest.mark.parametrize(
    ("current", "expected", "warned"),
    [([1.0, 2.0], [1.0, -2.0], True), ([-1.0, 2.0], [1.0, -2.0], True), ([1.0, -2.0], [1.0, -2.0], False)],
)
def test_charge_becomes_positive(current: list[float], expected: list[float], warned: bool) -> None:
    warnings: list[str] = []
    rows = Direction(np.array([True, False]), np.array([False, True]))
    assert directed(np.array(current), rows, warnings).tolist() == expected
    assert bool(warnings) == warned
