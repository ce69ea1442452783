from __future__ import annotations

import json

import numpy as np
import pytest

from battery_pilot.errors import AnalysisError
from battery_pilot.learning import assessment
from battery_pilot.learning.assessment import assess, baselines, errors
from battery_pilot.learning.feature_table import FeatureTable


@pytest.fixture(autouse=True)
def few_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Milliseconds instead of seconds; what is compared has its own tests."""
    monkeypatch.setattr(assessment, "_TREES", 2)
    monkeypatch.setattr(assessment, "_WIDTHS", (10.0,))
    monkeypatch.setattr(assessment, "REPEATS", 1)


def cells(first: int, count: int, seed: int = 0, *, ordered: bool = True) -> FeatureTable:
    """Cells whose resistance grows as their capacity goes, with a spectrum of three points."""
    random = np.random.default_rng(seed)
    age = np.tile(np.arange(6.0), count)
    health = 1 - 0.03 * np.repeat(random.uniform(0.5, 1.5, count), 6) * age
    resistance = 0.02 * (1 + 2 * (1 - health)) * (1 + 0.01 * random.normal(size=len(age)))
    impedance = {f"{one}": resistance * (1 + 0.5 / (1 + 1j * one)) for one in (0.1, 1, 10)}
    return FeatureTable(
        np.repeat([f"C{first + number:03d}" for number in range(count)], 6),
        health,
        age if ordered else None,
        {"temperature": 25 + random.normal(size=len(age)), "constant": np.ones(len(age))},
        impedance,
        (),
    )


def test_model_beats_the_mean_on_unseen_cells_and_says_all_that_it_should() -> None:
    found = assess(cells(0, 12), cells(50, 5, seed=1, ordered=False), "capacity_fraction")
    summary = found.summary()

    assert found.metrics["mae"] < 0.2 * found.baselines["mean"]["mae"]
    assert found.beats_baselines
    assert list(found.baselines) == ["mean"]
    assert summary["train"] == {"rows": 72, "batteries": 12}
    assert summary["test"] == {"rows": 30, "batteries": 5}
    assert summary["warnings"] == []
    assert set(summary["mae_by_battery"]) == {f"C{number:03d}" for number in range(50, 55)}
    assert np.mean(list(summary["mae_by_battery"].values())) == pytest.approx(found.metrics["mae"])
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    assert max(found.importance, key=found.importance.__getitem__) in ("0.1", "1", "10")
    assert found.importance["constant"] == 0


def test_same_tables_give_the_same_figures() -> None:
    first, second = (assess(cells(0, 5), cells(50, 2, seed=1), "h").summary() for _ in range(2))
    assert first == second


def test_test_table_changes_nothing_that_was_learnt() -> None:
    train, test = cells(0, 10), cells(50, 4, seed=1)
    one = assess(train, test, "h")
    halves = FeatureTable(
        test.battery[:6], test.target[:6] * 0.5, test.order[:6], {k: v[:6] for k, v in test.plain.items()},
        {k: v[:6] for k, v in test.impedance.items()}, (),
    )  # fmt: skip
    other = assess(train, halves, "h")
    assert other.predicted == pytest.approx(one.predicted[:6])
    assert other.radius == one.radius
    assert other.committee.member_errors == one.committee.member_errors


def test_interval_covers_unseen_cells() -> None:
    found = assess(cells(0, 20), cells(50, 10, seed=1), "h")
    assert found.metrics["interval_coverage"] >= 0.85
    assert found.radius < 0.1


def test_own_past_gives_last_value_and_linear_fade() -> None:
    table = cells(0, 2)
    shuffled = np.random.default_rng(0).permutation(12)
    table = FeatureTable(table.battery[shuffled], table.target[shuffled], table.order[shuffled], {}, {}, ())
    found = baselines(cells(9, 3), table, table.target)
    steps = [1 - table.target[(table.battery == name) & (table.order == 1)][0] for name in ("C000", "C001")]
    assert found["last value"]["rows"] == 10
    assert found["last value"]["mae"] == pytest.approx(np.mean(steps))
    assert found["linear fade"]["rows"] == 8
    assert found["linear fade"]["mae"] == pytest.approx(0, abs=1e-12), "these cells fade in a straight line"
    assert found["linear fade"]["model_mae"] == 0


def test_errors_are_what_a_hand_calculation_gives() -> None:
    assert errors(np.array([1.0, 2.0]), np.array([1.5, 1.0])) == {
        "mae": 0.75,
        "rmse": pytest.approx(np.sqrt(0.625)),
        "mape_percent": 50.0,
        "max_error": 1.0,
    }
    assert errors(np.array([0.0, 2.0]), np.array([1.0, 1.0]))["mape_percent"] is None


def test_tables_without_a_common_feature_are_refused() -> None:
    test = cells(50, 2)
    foreign = FeatureTable(test.battery, test.target, None, {"else": test.target}, {}, ())
    with pytest.raises(AnalysisError, match="no feature column in common"):
        assess(cells(0, 4), foreign, "h")


def test_single_training_battery_is_cross_validated_by_blocks_and_says_so() -> None:
    one = cells(0, 1)
    longer = FeatureTable(
        np.repeat(one.battery, 3),
        np.repeat(one.target, 3),
        np.arange(18.0),
        {},
        {k: np.repeat(v, 3) for k, v in one.impedance.items()},
        (),
    )
    found = assess(longer, cells(50, 2, seed=1), "h")
    assert np.isfinite(found.predicted).all()
    assert any("one training battery" in warning for warning in found.warnings)
    with pytest.raises(AnalysisError, match="1 training battery with 6 rows found; at least 2 batteries, or 10 rows"):
        assess(one, cells(50, 2), "h")


def test_two_training_batteries_are_left_out_in_turn() -> None:
    found = assess(cells(0, 2), cells(50, 2, seed=1), "h")
    assert np.isfinite(found.predicted).all()
    assert not any("one training battery" in warning for warning in found.warnings)


def test_large_training_table_is_thinned_battery_by_battery_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assessment, "MOST_ROWS", 40)
    found = assess(cells(0, 12), cells(50, 3, seed=1), "h")
    assert len(found.train.target) == 36
    assert len(set(found.train.battery)) == 12
    assert any("learnt from 36 of 72 training rows" in warning for warning in found.warnings)


def test_reader_is_warned_of_shared_cells_one_sided_features_and_copies_of_the_target() -> None:
    train, test = cells(0, 4), cells(3, 2, seed=1)
    train.plain["capacity_ah"] = 3 * train.target
    test.plain["capacity_ah"] = 3 * test.target
    train.plain["only here"] = np.ones(24)
    warnings = " | ".join(assess(train, test, "h").warnings)
    assert "1 batteries are in both tables, first 'C003'" in warnings
    assert "'capacity_ah' follows the target" in warnings
    assert "1 features are in the training table only" in warnings
    assert "fewer than 9 training batteries" in warnings
