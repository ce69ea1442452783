"""Cycle life from the first hundred cycles: features of the discharge curves Q(V) and the choice of a model.

The features are those of Severson et al. 2019 (Nature Energy 4, 383-391) that need the discharge curves only: moments
of the difference between the curves of a late and an early cycle, the first capacity and the rise of the capacity to
its maximum.

How a model is chosen was fixed before the tests of the published data were evaluated with it. A cell to come may be of
another batch, or live longer than any known one, and random folds measure neither. So three protocols are asked, all
inside the training cells:

- *random*: ten-fold cross-validation, ten times;
- *batch*: every batch is predicted from the other batches;
- *quartile*: every quarter of the cells, ordered by life, is predicted from the other three, so the longest-lived from
  shorter lives alone.

The error of a candidate is its root mean square error in cycles relative to the "variance" model's, averaged over the
protocols. Predictions are not held near the range of the known lives, or extrapolation could not be seen. Candidates are
ridge regressions of log10 life, for which rows weigh alike, as the root of the life or as the life. The best candidate of
each difference of cycles counts, and the five best of these predict together: no single cycle decides.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import kurtosis, skew

from battery_pilot.learning.regression import Array, elastic_net, log_target_ridge
from battery_pilot.learning.selection import Candidate, Committee, Score, choose, grouped_folds, left_out_predictions

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_CYCLE = 2
"""Cycle of the first column of a Q(V) matrix."""

CYCLE_PAIRS = ((100, 10), (100, 20), (100, 30), (90, 10), (90, 20), (80, 20))
"""Late and early cycle of the differences that are compared."""

HALF_WIDTHS = (0, 2)
"""A curve is the median over so many cycles to either side: a single cycle may be damaged."""

FEATURE_SETS = {
    "variance": ("variance",),
    "variance and capacity": ("variance", "first_capacity", "capacity_rise"),
    "variance, minimum and capacity": ("variance", "minimum", "first_capacity", "capacity_rise"),
    "moments and capacity": ("variance", "minimum", "skewness", "kurtosis", "first_capacity", "capacity_rise"),
}

RIDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3)
EXPONENTS = (0.0, 0.5, 1.0)
"""Rows weigh as these powers of the life."""

FOLDS = 10
REPEATS = 10
QUANTILES = 4
MEMBERS = 5

VARIANCE_VIEW = "100-10 +-0 variance"
"""The feature of the published "variance" model among the views."""

DISCHARGE_FEATURES = FEATURE_SETS["moments and capacity"]
"""Features of the published "discharge" model."""

DISCHARGE_STRENGTHS = tuple(10.0 ** (step / 2) for step in range(-8, 1))
DISCHARGE_SHARES = (0.1, 0.5, 0.9, 1.0)
DISCHARGE_FOLDS = 4

_VOLTAGES_A_BIN = 5
_PLAUSIBLE = (0.5, 1.5)  # share of a cell's own median capacity


def difference_curve(curves: Array, late: int, early: int, half_width: int = 0) -> Array:
    """Return Q(V) of a late cycle minus Q(V) of an early one.

    :param curves: discharged capacity in Ah: cells x voltages x cycles from :data:`FIRST_CYCLE` on.
    :param late: cycle number.
    :param early: cycle number.
    :param half_width: cycles to either side that the median is taken over, as far as there are any.
    :return: cells x voltages, Ah.
    """

    def around(cycle: int) -> Array:
        column = cycle - FIRST_CYCLE
        return np.asarray(np.median(curves[:, :, max(0, column - half_width) : column + half_width + 1], axis=2))

    return around(late) - around(early)


def moments(difference: Array) -> dict[str, Array]:
    """Return log10 of the absolute moments of difference curves.

    :param difference: cells x voltages, Ah.
    :return: ``variance``, ``minimum``, ``skewness`` and ``kurtosis`` of every cell.
    """
    moment = {
        "variance": difference.var(axis=1),
        "minimum": difference.min(axis=1),
        "skewness": skew(difference, axis=1),
        "kurtosis": kurtosis(difference, axis=1, fisher=False),
    }
    return {name: np.log10(np.maximum(np.abs(value), 1e-12)) for name, value in moment.items()}


def capacity_features(curves: Array) -> dict[str, Array]:
    """Return the first capacity and its rise to the highest one, Ah.

    Capacity is Q at the lowest voltages. A cycle whose capacity is far from the cell's median is a damaged record and
    takes the median; the highest capacity is that of three cycles' median.

    :param curves: see :func:`difference_curve`.
    """
    capacity = np.median(curves[:, -20:, :], axis=1)
    typical = np.median(capacity, axis=1, keepdims=True)
    low, high = _PLAUSIBLE
    capacity = np.where((capacity > low * typical) & (capacity < high * typical), capacity, typical)
    padded = np.pad(capacity, ((0, 0), (1, 1)), mode="edge")
    smooth = np.median(np.stack([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]]), axis=0)
    return {"first_capacity": capacity[:, 0], "capacity_rise": smooth.max(axis=1) - capacity[:, 0]}


def feature_views(curves: Array) -> dict[str, Array]:
    """Return a feature matrix for every difference, smoothing and set of features.

    :param curves: see :func:`difference_curve`; cycles 2 to 100.
    :return: name such as ``100-10 +-2 variance`` to cells x features.
    """
    bins = curves.reshape(len(curves), -1, _VOLTAGES_A_BIN, curves.shape[2]).mean(axis=2)
    capacity = capacity_features(curves)
    views = {}
    for late, early in CYCLE_PAIRS:
        for half_width in HALF_WIDTHS:
            known = moments(difference_curve(bins, late, early, half_width)) | capacity
            for name, features in FEATURE_SETS.items():
                views[f"{late}-{early} +-{half_width} {name}"] = np.column_stack([known[one] for one in features])
    return views


def protocols(
    cycle_life: Array, cells: Sequence[str], batches: Sequence[str], seed: int
) -> dict[str, NDArray[np.intp]]:
    """Return the folds of the three protocols, each repeats x cells.

    :param cycle_life: cycles to end of life.
    :param cells: identities; a cell is in one fold with all its rows.
    :param batches: the batch of each row; with one batch alone there is no protocol *batch*.
    :param seed: of the random folds.
    """
    batch = np.unique(np.asarray(batches, dtype=str), return_inverse=True)[1]
    rank = np.argsort(np.argsort(cycle_life, kind="stable"), kind="stable")
    found = {"random": grouped_folds(cells, FOLDS, REPEATS, seed)}
    if batch.max() > 0:
        found["batch"] = batch[None]
    return found | {"quartile": (rank * QUANTILES // len(cycle_life))[None]}


def choose_life_model(
    curves: Array, cycle_life: Array, cells: Sequence[str], batches: Sequence[str], seed: int = 0
) -> Committee:
    """Choose the model of log10 cycle life inside the training cells, as told in this module's description.

    :param curves: see :func:`feature_views`, of the training cells only.
    :param cycle_life: see :func:`protocols`.
    :param cells: see :func:`protocols`.
    :param batches: see :func:`protocols`.
    :param seed: see :func:`protocols`.
    :return: its errors are relative to the "variance" model's.
    """
    views = feature_views(curves)
    candidates = [
        Candidate(
            f"ridge {strength} {exponent}", view, log_target_ridge(strength, exponent), _difference_of(view), math.inf
        )
        for view in views
        for strength in RIDGES
        for exponent in EXPONENTS
    ]
    folds = protocols(cycle_life, cells, batches, seed)
    log_life = np.log10(cycle_life)
    reference = Candidate("variance model", VARIANCE_VIEW, log_target_ridge(1e-9, 0), margin=math.inf)
    stacked = np.concatenate(list(folds.values()))
    known = left_out_predictions(reference, views, log_life, stacked)
    score = relative_error(cycle_life, [len(one) for one in folds.values()], known)
    return choose(candidates, views, log_life, stacked, score=score, members=MEMBERS)


def relative_error(cycle_life: Array, repeats: Sequence[int], reference: Array) -> Score:
    """Return the score that averages, over protocols, the root mean square error relative to a reference model's.

    :param cycle_life: truth, cycles.
    :param repeats: rows of the left-out predictions that each protocol has, in order.
    :param reference: left-out predictions of log10 life by the reference model, repeats x cells.
    """

    def errors(log_life: Array) -> Array:
        squares = np.mean((10**log_life - cycle_life) ** 2, axis=1)
        return np.array([np.sqrt(one.mean()) for one in np.split(squares, np.cumsum(repeats)[:-1])])

    known = errors(reference)
    return lambda log_life: float(np.mean(errors(log_life) / known))


def _difference_of(view: str) -> str:
    """Return the part of a view's name that tells the cycles."""
    return " ".join(view.split(" ")[:2])


def fit_life_model(committee: Committee, curves: Array, cycle_life: Array) -> Callable[[Array], Array]:
    """Fit a chosen model on all training cells.

    :return: takes curves of unseen cells and returns their cycle lives.
    """
    predict: Callable[[Mapping[str, Array]], Array] = committee.fit(feature_views(curves), np.log10(cycle_life))
    return lambda unseen: np.asarray(10 ** predict(feature_views(unseen)))


def fit_variance_model(curves: Array, cycle_life: Array) -> Callable[[Array], Array]:
    """Fit the "variance" model of Severson et al.: log10 life linear in log10 of the variance of Q100(V) - Q10(V).

    :return: takes curves of unseen cells and returns their cycle lives.
    """

    def log_variance(given: Array) -> Array:
        return moments(difference_curve(given, 100, 10))["variance"]

    slope, intercept = np.polyfit(log_variance(curves), np.log10(cycle_life), 1)
    return lambda unseen: np.asarray(10 ** (intercept + slope * log_variance(unseen)))


def choose_discharge_model(curves: Array, cycle_life: Array, cells: Sequence[str], seed: int = 0) -> Committee:
    """Choose the penalty of the "discharge" model of Severson et al.: an elastic net of log10 life, its only free choice.

    The features are the authors': minimum, variance, skewness and kurtosis of Q100(V) - Q10(V), the capacity of cycle 2 and
    the rise from it to the highest. Two things are ours, fixed before the tests were evaluated: the capacities are read
    from Q(V) as in :func:`capacity_features`, and the penalty has the lowest mean squared error of log10 life in four-fold
    cross-validation by cell, ten times.

    :param curves: see :func:`feature_views`, of the training cells only.
    :param cycle_life: cycles to end of life.
    :param cells: identities; a cell is in one fold with all its rows.
    :param seed: of the folds.
    :return: one member; its error is the root mean square error of log10 life.
    """
    log_life = np.log10(cycle_life)
    candidates = [
        Candidate(f"elastic net {strength:.3g} {share}", "discharge", elastic_net(strength, share), margin=math.inf)
        for strength in DISCHARGE_STRENGTHS
        for share in DISCHARGE_SHARES
    ]
    return choose(
        candidates,
        _discharge_view(curves),
        log_life,
        grouped_folds(cells, DISCHARGE_FOLDS, REPEATS, seed),
        score=lambda predicted: float(np.sqrt(np.mean((predicted - log_life) ** 2))),
        members=1,
    )


def fit_discharge_model(chosen: Committee, curves: Array, cycle_life: Array) -> Callable[[Array], Array]:
    """Fit the "discharge" model with a chosen penalty on all training cells.

    :return: takes curves of unseen cells and returns their cycle lives.
    """
    predict = chosen.fit(_discharge_view(curves), np.log10(cycle_life))
    return lambda unseen: np.asarray(10 ** predict(_discharge_view(unseen)))


def _discharge_view(curves: Array) -> dict[str, Array]:
    known = moments(difference_curve(curves, 100, 10)) | capacity_features(curves)
    return {"discharge": np.column_stack([known[name] for name in DISCHARGE_FEATURES])}
