"""Choice of a model by cross-validation that leaves out whole batteries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.learning.regression import MARGIN, Array, Fit, Predict, fit

if TYPE_CHECKING:
    from numpy.typing import NDArray

Score = Callable[[Array], float]
"""Takes left-out predictions (repeats x rows) and returns an error; lower is better."""


@dataclass(frozen=True)
class Candidate:
    """One way to predict.

    :param name: tells learner and parameters.
    :param view: key of the feature matrix that it sees.
    :param learner: see :mod:`battery_pilot.learning.regression`.
    :param family: of the candidates of one family at most one becomes a member of a committee; empty for a candidate
        that stands for itself.
    :param margin: see :func:`battery_pilot.learning.regression.fit`.
    """

    name: str
    view: str
    learner: Fit
    family: str = ""
    margin: float = MARGIN

    def fit(
        self, views: Mapping[str, Array], target: Array, rows: NDArray[np.bool_] | slice = slice(None)
    ) -> Predict:
        """Fit on the given rows of the candidate's view."""
        return fit(self.learner, views[self.view][rows], target[rows], self.margin)


@dataclass(frozen=True)
class Committee:
    """The mean of the candidates with the lowest cross-validated error.

    One candidate out of many wins by luck; the mean of a few good ones depends on luck less.

    :param members: best first.
    :param member_errors: cross-validated error of each member.
    :param left_out: the committee's predictions of left-out rows, repeats x rows.
    :param error: cross-validated error of the committee.
    """

    members: tuple[Candidate, ...]
    member_errors: tuple[float, ...]
    left_out: Array
    error: float

    def fit(self, views: Mapping[str, Array], target: Array) -> Callable[[Mapping[str, Array]], Array]:
        """Fit every member on all training rows.

        :param views: name to feature matrix.
        :param target: one value for each row.
        :return: predicts from the same views of unseen rows.
        """
        fitted: list[tuple[str, Predict]] = [(one.view, one.fit(views, target)) for one in self.members]
        return lambda unseen: np.mean([predict(unseen[view]) for view, predict in fitted], axis=0)


def grouped_folds(batteries: Sequence[str], folds: int, repeats: int, seed: int) -> NDArray[np.intp]:
    """Deal batteries into folds, each time in another order.

    :param batteries: the battery of each row.
    :param folds: parts; not more than there are batteries.
    :param repeats: how many times.
    :param seed: same seed, same folds; they depend on the set of ids and not on the order of the rows.
    :return: fold of each row, repeats x rows, counted from 0.
    """
    names, row_battery = np.unique(np.asarray(batteries, dtype=str), return_inverse=True)
    random = np.random.default_rng(seed)
    dealt = np.stack([random.permutation(np.arange(len(names)) % folds) for _ in range(repeats)])
    return np.asarray(dealt[:, row_battery], dtype=np.intp)


def left_out_predictions(
    candidate: Candidate, views: Mapping[str, Array], target: Array, folds: NDArray[np.intp]
) -> Array:
    """Return the prediction of every row by a model that never saw the row's battery.

    :param candidate: what to fit.
    :param views: name to feature matrix.
    :param target: one value for each row.
    :param folds: fold of each row, repeats x rows, for example from :func:`grouped_folds`.
    :return: repeats x rows.
    """
    features = views[candidate.view]
    predictions = np.empty(folds.shape)
    for repeat, fold_of_row in enumerate(folds):
        for fold in np.unique(fold_of_row):
            out = fold_of_row == fold
            predictions[repeat, out] = candidate.fit(views, target, ~out)(features[out])
    return predictions


def choose(
    candidates: Sequence[Candidate],
    views: Mapping[str, Array],
    target: Array,
    folds: NDArray[np.intp],
    *,
    score: Score,
    members: int,
) -> Committee:
    """Return the committee of the best candidates.

    :param candidates: at least one; an earlier one wins a tie.
    :param views: name to feature matrix.
    :param target: one value for each row.
    :param folds: from :func:`grouped_folds`.
    :param score: error of left-out predictions.
    :param members: size of the committee, cut at the number of families.
    """
    predicted = [left_out_predictions(one, views, target, folds) for one in candidates]
    errors = [score(one) for one in predicted]
    ranked = sorted(range(len(candidates)), key=lambda index: errors[index])
    best_of = {candidates[index].family or str(index): index for index in reversed(ranked)}
    best = [index for index in ranked if index in best_of.values()][:members]
    left_out = np.mean([predicted[index] for index in best], axis=0)
    return Committee(
        tuple(candidates[index] for index in best),
        tuple(errors[index] for index in best),
        left_out,
        score(left_out),
    )
