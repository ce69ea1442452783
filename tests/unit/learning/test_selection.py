from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.learning.regression import ridge
from battery_pilot.learning.selection import Candidate, choose, grouped_folds, left_out_predictions

BATTERIES = [name for name in "ABCDEFGH" for _ in range(5)]


def rmse_to(target: np.ndarray):
    return lambda predicted: float(np.sqrt(np.mean((predicted - target) ** 2)))


def data(seed: int = 0) -> tuple[dict[str, np.ndarray], np.ndarray]:
    random = np.random.default_rng(seed)
    target = random.normal(size=40)
    good = np.column_stack([target + 0.1 * random.normal(size=40), random.normal(size=40)])
    return {"good": good, "noise": random.normal(size=(40, 2))}, target


def test_every_battery_is_in_one_fold_and_every_fold_has_one() -> None:
    folds = grouped_folds(BATTERIES, 3, 4, seed=1)
    assert folds.shape == (4, 40)
    for dealt in folds:
        assert all(len(set(dealt[np.array(BATTERIES) == name])) == 1 for name in set(BATTERIES))
        assert set(dealt) == {0, 1, 2}
    assert (folds[0] != folds[1]).any()


def test_folds_depend_on_ids_and_seed_and_not_on_the_order_of_rows() -> None:
    order = np.random.default_rng(2).permutation(40)
    folds = grouped_folds(BATTERIES, 3, 2, seed=1)
    assert (grouped_folds([BATTERIES[row] for row in order], 3, 2, seed=1) == folds[:, order]).all()
    assert (grouped_folds(BATTERIES, 3, 2, seed=2) != folds).any()


def test_nothing_of_a_left_out_battery_reaches_its_own_prediction() -> None:
    views, target = data()
    folds = grouped_folds(BATTERIES, 4, 1, seed=0)
    candidate = Candidate("", "good", ridge(0.1))
    before = left_out_predictions(candidate, views, target, folds)

    own = np.array(BATTERIES) == "C"
    target = np.where(own, 1e6, target)  # the truth of C is unknown when C is predicted
    after = left_out_predictions(candidate, views, target, folds)

    same_fold = folds[0] == folds[0, own][0]
    assert after[0, same_fold] == pytest.approx(before[0, same_fold])
    assert (after[0, ~same_fold] != before[0, ~same_fold]).all()


def test_scaling_of_a_fold_ignores_the_left_out_batteries_features() -> None:
    views, target = data()
    folds = grouped_folds(BATTERIES, 4, 1, seed=0)
    candidate = Candidate("", "good", ridge(0.1))
    before = left_out_predictions(candidate, views, target, folds)
    one, others = np.array(BATTERIES) == "C", None
    others = (folds[0] == folds[0, one][0]) & ~one
    changed = views["good"].copy()
    changed[one] += 1e6
    after = left_out_predictions(candidate, {"good": changed}, target, folds)
    assert after[0, others] == pytest.approx(before[0, others])


def test_best_candidates_win_and_their_mean_predicts() -> None:
    views, target = data()
    folds = grouped_folds(BATTERIES, 4, 2, seed=0)
    candidates = [Candidate(f"{view} {one}", view, ridge(one)) for view in ("noise", "good") for one in (0.01, 0.1)]
    committee = choose(candidates, views, target, folds, score=rmse_to(target), members=2)

    assert {one.view for one in committee.members} == {"good"}
    assert list(committee.member_errors) == sorted(committee.member_errors)
    predicted = [left_out_predictions(one, views, target, folds) for one in committee.members]
    assert committee.left_out == pytest.approx(np.mean(predicted, axis=0))
    assert committee.error == pytest.approx(rmse_to(target)(committee.left_out))
    assert committee.fit(views, target)(views) == pytest.approx(target, abs=0.5)


def test_a_family_sends_its_best_member_only() -> None:
    views, target = data()
    folds = grouped_folds(BATTERIES, 4, 1, seed=0)
    candidates = [Candidate(f"{one}", "good", ridge(one), "ridge") for one in (0.1, 10.0)]
    candidates.append(Candidate("noise", "noise", ridge(1), "other"))
    committee = choose(candidates, views, target, folds, score=rmse_to(target), members=5)
    assert [one.name for one in committee.members] == ["0.1", "noise"]
