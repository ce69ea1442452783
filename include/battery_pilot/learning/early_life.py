"""Cycle life from the first hundred cycles: features of the discharge curves Q(V) and the choice of a model.

The features are those of Severson et al. 2019 (Nature Energy 4, 383-391) that need the discharge curves only: moments
of the difference between the curves of a late and an early cycle, the first capacity and the rise of the capacity to
its maximum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.stats import kurtosis, skew

from battery_pilot.learning.regression import Array, ridge
from battery_pilot.learning.selection import Candidate, Committee, choose, grouped_folds

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

RIDGES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)
FOLDS = 10
REPEATS = 10
MEMBERS = 10

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


def choose_life_model(curves: Array, cycle_life: Array, cells: Sequence[str], seed: int = 0) -> Committee:
    """Choose the model of log10 cycle life by cross-validation inside the training cells.

    Every candidate is a ridge regression on one of :func:`feature_views`; the :data:`MEMBERS` with the lowest root mean
    square error in cycles over :data:`REPEATS` times :data:`FOLDS` folds form the committee.

    :param curves: see :func:`feature_views`, of the training cells only.
    :param cycle_life: cycles to end of life.
    :param cells: identities; a cell is in one fold with all its rows.
    :param seed: of the folds.
    """
    views = feature_views(curves)
    candidates = [Candidate(f"ridge {one}", view, ridge(one)) for view in views for one in RIDGES]
    folds = grouped_folds(cells, FOLDS, REPEATS, seed)

    def rmse_cycles(log_life: Array) -> float:
        return float(np.sqrt(np.mean((10**log_life - cycle_life) ** 2)))

    return choose(candidates, views, np.log10(cycle_life), folds, score=rmse_cycles, members=MEMBERS)


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
