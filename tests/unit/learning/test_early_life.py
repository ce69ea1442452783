from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.learning import early_life

VOLTAGES, CYCLES = 100, 99


def curves(cells: int = 3, seed: int = 0) -> np.ndarray:
    """Q(V) of cells whose capacity rises a little, then falls, each at a pace of its own."""
    random = np.random.default_rng(seed)
    shape = 1 / (1 + np.exp(-np.linspace(-6, 6, VOLTAGES)))
    cycle = np.arange(2, 101)
    pace = random.uniform(1e-6, 1e-5, cells)
    capacity = 1.05 + 1e-4 * np.minimum(cycle, 30) - pace[:, None] * cycle**1.5
    return shape[None, :, None] * capacity[:, None, :] + 1e-5 * random.normal(size=(cells, VOLTAGES, CYCLES))


def test_difference_is_late_minus_early_cycle() -> None:
    given = np.broadcast_to(np.arange(2.0, 101), (2, VOLTAGES, CYCLES))
    assert (early_life.difference_curve(given, 100, 10) == 90).all()
    assert (early_life.difference_curve(given, 80, 20, half_width=2) == 60).all()


def test_damaged_cycle_next_to_the_late_one_does_not_matter_with_smoothing() -> None:
    good, damaged = curves(), curves()
    damaged[:, :, 78 - 1] = 44  # cycle 79
    expected = early_life.difference_curve(good, 80, 20, half_width=2)
    assert early_life.difference_curve(damaged, 80, 20, half_width=2) == pytest.approx(expected, abs=1e-3)


def test_moments_are_logarithms_of_what_numpy_gives() -> None:
    difference = -np.random.default_rng(0).gamma(2, size=(4, 50))
    found = early_life.moments(difference)
    assert found["variance"] == pytest.approx(np.log10(difference.var(axis=1)))
    assert found["minimum"] == pytest.approx(np.log10(-difference.min(axis=1)))


def test_capacity_is_that_of_the_lowest_voltages_and_damaged_cycles_are_ignored() -> None:
    given = np.full((1, VOLTAGES, CYCLES), 1.0)
    given[:, :, 40:43] = 1.02
    given[:, :, 60] = 44.0
    found = early_life.capacity_features(given)
    assert found["first_capacity"] == pytest.approx(1.0)
    assert found["capacity_rise"] == pytest.approx(0.02)


def test_cycles_after_the_hundredth_and_other_cells_change_no_feature() -> None:
    given = curves()
    expected = early_life.feature_views(given)
    alone = early_life.feature_views(given[1:2])
    for view, features in expected.items():
        assert alone[view][0] == pytest.approx(features[1])


def test_future_of_a_cell_changes_no_feature_of_an_earlier_difference() -> None:
    given, altered = curves(), curves()
    altered[:, :, 90 - 2 + 3 :] *= 0.5  # after cycle 92
    before, after = (early_life.feature_views(one)["90-20 +-2 variance"] for one in (given, altered))
    assert (before == after).all()


def test_variance_model_is_a_power_law_of_the_variance() -> None:
    given = curves(12)
    variance = early_life.difference_curve(given, 100, 10).var(axis=1)
    life = 3 * variance**-0.4
    predict = early_life.fit_variance_model(given[:8], life[:8])
    assert predict(given[8:]) == pytest.approx(life[8:])


def test_discharge_model_follows_a_law_in_its_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_life, "REPEATS", 1)
    given = curves(24)
    life = 3 * early_life.difference_curve(given, 100, 10).var(axis=1) ** -0.4
    chosen = early_life.choose_discharge_model(given[:16], life[:16], [str(cell) for cell in range(16)])
    assert chosen.error < 0.02
    assert early_life.fit_discharge_model(chosen, given[:16], life[:16])(given[16:]) == pytest.approx(
        life[16:], rel=0.1
    )


def test_protocols_leave_out_random_cells_whole_batches_and_quarters_by_life() -> None:
    life = np.array([500.0, 300, 900, 400, 600, 700, 800, 1000])
    folds = early_life.protocols(life, [str(cell) for cell in range(8)], ["a"] * 5 + ["b"] * 3, seed=0)

    assert list(folds) == ["random", "batch", "quartile"]
    assert folds["random"].shape == (early_life.REPEATS, 8)
    assert folds["batch"].tolist() == [[0, 0, 0, 0, 0, 1, 1, 1]]
    assert folds["quartile"].tolist() == [[1, 0, 3, 0, 1, 2, 2, 3]]
    assert "batch" not in early_life.protocols(life, [str(cell) for cell in range(8)], ["a"] * 8, seed=0)


def test_relative_error_counts_every_protocol_alike() -> None:
    life = np.array([100.0, 1000.0])
    reference = np.log10(np.array([[200.0, 1000], [200, 1000], [100, 2000]]))
    score = early_life.relative_error(life, [2, 1], reference)
    assert score(reference) == pytest.approx(1)
    assert score(np.log10(np.array([[150.0, 1000], [150, 1000], [100, 2000]]))) == pytest.approx(0.75)


def test_chosen_committee_takes_each_difference_once_and_may_predict_beyond_the_known_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(early_life, "REPEATS", 1)
    monkeypatch.setattr(early_life, "RIDGES", (0.001,))
    given = curves(24)
    life = 3 * early_life.difference_curve(given, 100, 10).var(axis=1) ** -0.4
    short = np.argsort(life)[:16]
    committee = early_life.choose_life_model(given[short], life[short], [str(one) for one in short], ["a", "b"] * 8)
    predicted = early_life.fit_life_model(committee, given[short], life[short])(given)

    assert len({one.view.split(" ")[0] + one.view.split(" ")[1] for one in committee.members}) == early_life.MEMBERS
    assert predicted[short] == pytest.approx(life[short], rel=0.1)
    assert predicted.max() > life[short].max()
