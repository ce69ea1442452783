from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.learning.regression import (
    MARGIN,
    Preparation,
    elastic_net,
    fit,
    kernel_ridge,
    log_target_ridge,
    partial_least_squares,
    ridge,
)
from battery_pilot.learning.trees import extra_trees

LEARNERS = {
    "ridge": ridge(1e-6),
    "PLS": partial_least_squares(3),
    "kernel ridge": kernel_ridge(10, 1e-5),
    "extra trees": extra_trees(60, 1),
}


def linear_data(rows: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.normal(size=(rows, 3)) * [1, 100, 0.01] + [5, -300, 0]
    return features, 2 + features @ [0.5, 0.01, 30]


@pytest.mark.parametrize("name", LEARNERS)
def test_learner_finds_a_linear_law_between_the_known_rows(name: str) -> None:
    features, target = linear_data(200)
    predicted = fit(LEARNERS[name], features[:150], target[:150])(features[150:])

    mean_guess = np.abs(target[150:] - target[:150].mean()).mean()
    assert np.abs(predicted - target[150:]).mean() < (0.4 if name == "extra trees" else 0.03) * mean_guess


@pytest.mark.parametrize("name", LEARNERS)
def test_unit_and_zero_of_a_feature_do_not_matter(name: str) -> None:
    features, target = linear_data()
    first = fit(LEARNERS[name], features[:40], target[:40])(features[40:])
    second = fit(LEARNERS[name], features[:40] * 1000 + 7, target[:40])(features[40:] * 1000 + 7)
    assert second == pytest.approx(first, rel=1e-6)


@pytest.mark.parametrize("name", LEARNERS)
def test_constant_missing_and_infinite_columns_do_no_harm(name: str) -> None:
    features, target = linear_data()
    useless = np.column_stack([np.full(60, 0.1), np.full(60, np.nan), np.full(60, np.inf)])
    expected = fit(LEARNERS[name], features[:40], target[:40])(features[40:])
    found = fit(LEARNERS[name], np.hstack([features, useless])[:40], target[:40])(np.hstack([features, useless])[40:])
    assert found == pytest.approx(expected)


def test_ridge_is_the_closed_form_solution_for_few_and_for_many_columns() -> None:
    random = np.random.default_rng(3)
    features, target = random.normal(size=(8, 20)), random.normal(size=8)
    direct = np.linalg.solve(features.T @ features + 0.5 * 8 * np.eye(20), features.T @ target)
    assert ridge(0.5)(features, target)(np.eye(20)) == pytest.approx(direct)
    direct = np.linalg.solve(features @ features.T + 0.5 * 20 * np.eye(8), features @ random.normal(size=20) * 0 + 1)
    assert np.isfinite(direct).all()


def test_least_squares_with_all_components_is_ordinary_least_squares() -> None:
    random = np.random.default_rng(4)
    features, target = random.normal(size=(30, 4)), random.normal(size=30)
    expected = features @ np.linalg.lstsq(features, target, rcond=None)[0]
    assert partial_least_squares(10)(features, target)(features) == pytest.approx(expected)


def test_median_mean_and_deviation_come_from_the_rows_learnt_from_only() -> None:
    features, _ = linear_data()
    learnt = Preparation.learn(features[:30])
    changed = features.copy()
    changed[30:] = 1e9
    again = Preparation.learn(changed[:30])
    assert (learnt.median == again.median).all()
    assert learnt.apply(features[:30]).mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert learnt.apply(features[:30]).std(axis=0) == pytest.approx(1)


def test_missing_value_of_an_unseen_row_is_the_training_median() -> None:
    features, target = linear_data()
    predict = fit(ridge(0.01), features, target)
    row = features[:1].copy()
    row[0, 1] = np.nan
    filled = features[:1].copy()
    filled[0, 1] = np.median(features[:, 1])
    assert predict(row) == pytest.approx(predict(filled))


@settings(max_examples=30, deadline=None)
@given(st.floats(-1e6, 1e6))
def test_prediction_stays_near_the_range_that_was_seen(value: float) -> None:
    features, target = linear_data()
    room = MARGIN * np.ptp(target)
    (predicted,) = fit(ridge(1e-6), features, target)(np.full((1, 3), value))
    assert target.min() - room <= predicted <= target.max() + room


def test_without_any_varying_feature_the_mean_is_predicted() -> None:
    assert fit(ridge(1), np.ones((4, 2)), np.array([1.0, 2, 3, 4]))(np.zeros((2, 2))).tolist() == [2.5, 2.5]


def test_same_seed_gives_the_same_forest() -> None:
    features, target = linear_data()
    first, second, third = (extra_trees(5, 2, seed)(features, target)(features) for seed in (1, 1, 2))
    assert (first == second).all()
    assert (first != third).any()


def test_tree_keeps_its_smallest_leaf_and_never_leaves_the_target_s_range() -> None:
    features, target = linear_data()
    single = extra_trees(1, 30)(features, target)(features)
    assert len(np.unique(single)) <= 2
    forest = extra_trees(20, 1)(features, target)(features * 100)
    assert target.min() <= forest.min() <= forest.max() <= target.max()


def test_log_target_ridge_with_equal_weights_is_ridge_regression() -> None:
    random = np.random.default_rng(0)
    features, target = random.normal(size=(30, 3)), random.normal(size=30)
    plain = fit(ridge(0.1), features, target)
    weighted = fit(log_target_ridge(0.1, 0), features, target)
    assert weighted(features) == pytest.approx(plain(features))


def test_log_target_ridge_with_exponent_two_follows_the_large_values() -> None:
    life = np.array([100.0, 110, 90, 105, 2000, 2100])
    feature = np.array([[0.0], [0], [0], [0], [1], [2]])
    errors = [
        abs(10 ** fit(log_target_ridge(0.1, exponent), feature, np.log10(life))(feature) - life)
        for exponent in (0, 2)
    ]
    assert errors[1][4:].sum() < errors[0][4:].sum()


def test_infinite_margin_lets_a_line_go_on() -> None:
    features, target = np.arange(10.0)[:, None], np.arange(10.0)
    line = fit(ridge(1e-9), features, target, margin=np.inf)
    assert line(np.array([[100.0]])) == pytest.approx([100])
    assert fit(ridge(1e-9), features, target)(np.array([[100.0]])) == pytest.approx([13.5])


def test_elastic_net_without_the_l1_norm_is_ridge_regression() -> None:
    features, target = linear_data()
    expected = fit(ridge(0.3), features[:40], target[:40])(features[40:])
    assert fit(elastic_net(0.3, 0), features[:40], target[:40])(features[40:]) == pytest.approx(expected, rel=1e-5)


@given(st.integers(0, 1000), st.floats(0.001, 0.5), st.floats(0.05, 1))
@settings(max_examples=30, deadline=None)
def test_elastic_net_meets_the_conditions_of_a_minimum(seed: int, strength: float, share: float) -> None:
    random = np.random.default_rng(seed)
    features, target = random.normal(size=(30, 5)), random.normal(size=30)
    predict = elastic_net(strength, share)(features, target)
    coefficients = predict(np.eye(5))
    slope = features.T @ (target - features @ coefficients) / 30 - strength * (1 - share) * coefficients
    used = coefficients != 0
    assert slope[used] == pytest.approx(strength * share * np.sign(coefficients[used]), abs=1e-5)
    assert (np.abs(slope[~used]) <= strength * share + 1e-5).all()
