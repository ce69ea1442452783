from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.simulate.fleet import fleet_states

SEED = 11


def lives(batteries: int, months: int) -> list[np.ndarray]:
    """Rows: months from zero; columns: capacity and series resistance, relative to the new cell."""
    result = []
    for index in range(batteries):
        states = fleet_states(index, months=months, seed=SEED)
        values = np.array([(state.capacity_ah, state.series_resistance_ohm) for state in states])
        result.append(values / values[0])
    return result


def test_half_a_year_of_cycling_costs_most_cells_two_to_eight_percent() -> None:
    fade = np.array([100.0 * (1.0 - life[6, 0]) for life in lives(60, 6)])
    assert 3.0 < np.median(fade) < 6.0
    assert np.mean((fade > 2.0) & (fade < 8.0)) > 0.85


def test_ageing_never_gives_capacity_back() -> None:
    assert all((np.diff(life[:, 0]) < 0).all() and (np.diff(life[:, 1]) > 0).all() for life in lives(20, 12))


def test_only_cells_with_a_knee_fade_ever_faster() -> None:
    fades = [-np.diff(life[:, 0]) for life in lives(12, 8)]
    faster = [index for index, fade in enumerate(fades) if fade[-3:].sum() > 3.0 * fade[:3].sum()]
    assert faster == [3, 8]


def test_resistance_growth_is_correlated_with_fade_but_does_not_determine_it() -> None:
    cells = [life for index, life in enumerate(lives(60, 6)) if index % 50 not in (3, 8)]
    correlation = np.corrcoef([1.0 - life[6, 0] for life in cells], [life[6, 1] - 1.0 for life in cells])[0, 1]
    assert 0.6 < correlation < 0.98


def test_resistance_tells_more_about_the_next_month_than_the_last_capacity_alone() -> None:
    cells = lives(120, 8)
    samples = [
        (
            index,
            life[month, 0],
            life[month, 1] - life[month - 1, 1],
            life[month, 1],
            life[month + 1, 0] - life[month, 0],
        )
        for index, life in enumerate(cells)
        for month in range(2, 8)
    ]
    table = np.array(samples)
    train, test = table[table[:, 0] < 60], table[table[:, 0] >= 60]

    def error(columns: list[int]) -> float:
        def design(rows: np.ndarray) -> np.ndarray:
            return np.column_stack([np.ones(len(rows)), rows[:, columns]])

        weights = np.linalg.lstsq(design(train), train[:, 4], rcond=None)[0]
        return float(np.mean(np.abs(design(test) @ weights - test[:, 4])))

    assert error([1, 2, 3]) < 0.8 * error([1])


def test_later_months_do_not_change_earlier_ones() -> None:
    assert fleet_states(5, months=3, seed=SEED) == fleet_states(5, months=9, seed=SEED)[:4]


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_new_cell_holds_about_its_rated_capacity(index: int) -> None:
    rated = (5.0, 100.0, 3.2)[index]
    assert fleet_states(index, months=0, seed=SEED)[0].capacity_ah == pytest.approx(rated, rel=0.035)
