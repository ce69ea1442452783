"""Small regressions in numpy: ridge, elastic net, partial least squares and kernel ridge behind one preparation of the features.

Whatever is derived from data (medians, means, deviations, the target's range) comes from the rows that a model is
fitted on, so a left-out battery cannot reach into it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve

Array = NDArray[np.float64]

Predict = Callable[[Array], Array]
"""Takes features (rows x columns) and returns one value for each row."""

Fit = Callable[[Array, Array], Predict]
"""Takes standardised features and a centred target and returns what predicts the centred target."""

MARGIN = 0.5
"""A prediction may leave the range of the training targets by this share of the range: no regression knows more."""

_MOST_SWEEPS = 2000
_SETTLED = 1e-7


@dataclass(frozen=True)
class Preparation:
    """Brings features to mean 0 and standard deviation 1, as learnt from the training rows.

    :param kept: columns that differ within the training rows.
    :param median: stands in for a missing value.
    :param mean: of each kept column.
    :param deviation: of each kept column, above 0.
    """

    kept: NDArray[np.intp]
    median: Array
    mean: Array
    deviation: Array

    @classmethod
    def learn(cls, features: Array) -> Preparation:
        """Learn from training rows; columns that are constant or wholly missing there are left out.

        :param features: rows x columns; NaN is a missing value.
        """
        present = np.isfinite(features)
        kept = np.flatnonzero(present.any(axis=0))
        filled = features[:, kept]
        if present[:, kept].all():
            median = np.median(filled, axis=0)
        else:
            median = np.nanmedian(np.where(present[:, kept], filled, np.nan), axis=0)
            filled = np.where(present[:, kept], filled, median)
        deviation = filled.std(axis=0)
        # Relative to the size: a constant column of 0.1 has a standard deviation of 1e-17 in floating point.
        varies = deviation > 1e-12 * np.abs(filled).max(axis=0, initial=0)
        return cls(kept[varies], median[varies], filled.mean(axis=0)[varies], deviation[varies])

    def apply(self, features: Array) -> Array:
        """Return standardised features without missing values."""
        chosen = features[:, self.kept]
        return np.asarray((np.where(np.isfinite(chosen), chosen, self.median) - self.mean) / self.deviation)


def fit(learner: Fit, features: Array, target: Array, margin: float = MARGIN) -> Predict:
    """Fit a learner with its preparation.

    :param learner: for example :func:`ridge`.
    :param features: rows x columns; NaN is a missing value.
    :param target: one finite value for each row.
    :param margin: see :data:`MARGIN`; infinite for a learner that is meant to extrapolate.
    :return: predicts from unprepared features; stays within the target's range and the margin.
    """
    preparation = Preparation.learn(features)
    centre = float(target.mean())
    room = margin * max(float(np.ptp(target)), np.finfo(float).tiny)
    lowest, highest = float(target.min()) - room, float(target.max()) + room
    if not preparation.kept.size:
        return lambda unseen: np.full(len(unseen), centre)
    predict = learner(preparation.apply(features), target - centre)
    return lambda unseen: np.asarray(np.clip(predict(preparation.apply(unseen)) + centre, lowest, highest))


def ridge(strength: float) -> Fit:
    """Return ridge regression.

    :param strength: L2 penalty per row, above 0, on standardised features.
    """

    def learn(features: Array, target: Array) -> Predict:
        rows, columns = features.shape
        penalty = strength * rows
        # The smaller of the two equivalent systems.
        if columns <= rows:
            coefficients = np.linalg.solve(features.T @ features + penalty * np.eye(columns), features.T @ target)
        else:
            coefficients = features.T @ np.linalg.solve(features @ features.T + penalty * np.eye(rows), target)
        return lambda unseen: np.asarray(unseen @ coefficients)

    return learn


def elastic_net(strength: float, share: float) -> Fit:
    """Return elastic net regression by coordinate descent (Friedman, Hastie and Tibshirani 2010, J. Stat. Softw. 33, 1).

    It minimises half the mean squared error plus ``strength * (share * L1 + (1 - share) / 2 * L2)``.

    :param strength: penalty, above 0, on standardised features.
    :param share: of the L1 norm, 0 to 1.
    """

    def learn(features: Array, target: Array) -> Predict:
        products = features.T @ features / len(features)
        pulls = features.T @ target / len(features)
        own = np.diag(products).tolist()
        coefficients = [0.0] * len(own)
        for _ in range(_MOST_SWEEPS):
            largest = 0.0
            for column, size in enumerate(own):
                pull = float(pulls[column]) + size * coefficients[column]
                shrunk = math.copysign(max(abs(pull) - strength * share, 0.0), pull)
                change = shrunk / (size + strength * (1 - share)) - coefficients[column]
                if change:
                    coefficients[column] += change
                    pulls -= change * products[column]
                    largest = max(largest, abs(change))
            if largest < _SETTLED:
                break
        return lambda unseen: np.asarray(unseen @ np.array(coefficients))

    return learn


def log_target_ridge(strength: float, exponent: float) -> Fit:
    """Return ridge regression of a log10, each row weighted by a power of the number whose logarithm it is.

    An error of the logarithm costs, in the number's own unit, in proportion to the number: with weights that are its
    square (exponent 2) the squared error of the number itself is made small, to first order; with exponent 0 all rows
    count alike.

    :param strength: L2 penalty, as for :func:`ridge`.
    :param exponent: 0 to 2.
    """

    def learn(features: Array, target: Array) -> Predict:
        weight = 10 ** (exponent * (target - target.max()))
        weight /= weight.sum()
        feature_means, mean = weight @ features, float(weight @ target)
        centred = features - feature_means
        squares = (centred.T * weight) @ centred + strength * np.eye(features.shape[1])
        coefficients = np.linalg.solve(squares, (centred.T * weight) @ (target - mean))
        return lambda unseen: np.asarray((unseen - feature_means) @ coefficients + mean)

    return learn


def partial_least_squares(components: int) -> Fit:
    """Return partial least squares for one target (PLS1 with deflation of the features; Wold et al. 2001).

    :param components: latent variables, at least 1; fewer where the features have a lower rank.
    """

    def learn(features: Array, target: Array) -> Predict:
        remaining = features.copy()
        weights, loadings, shares = [], [], []
        for _ in range(min(components, *features.shape)):
            weight = remaining.T @ target
            length = float(np.linalg.norm(weight))
            if length < 1e-12:  # noqa: PLR2004 -- nothing of the target is left to explain
                break
            weight /= length
            score = remaining @ weight
            size = float(score @ score)
            loading = remaining.T @ score / size
            remaining = remaining - np.outer(score, loading)
            weights.append(weight)
            loadings.append(loading)
            shares.append(float(score @ target) / size)
        if not weights:
            return lambda unseen: np.zeros(len(unseen))
        weight_columns, loading_columns = np.array(weights).T, np.array(loadings).T
        inner = np.linalg.solve(loading_columns.T @ weight_columns, np.array(shares))
        coefficients = weight_columns @ inner
        return lambda unseen: np.asarray(unseen @ coefficients)

    return learn


def kernel_ridge(width: float, strength: float) -> Fit:
    """Return ridge regression with a Gaussian kernel: the mean of a Gaussian process with this kernel and noise.

    :param width: of the kernel, in units of the median distance between training rows.
    :param strength: added to the kernel's diagonal, above 0.
    """

    def learn(features: Array, target: Array) -> Predict:
        distances = _squared_distances(features, features)
        apart = distances[distances > 0]
        scale = width**2 * float(np.median(apart)) if apart.size else 1.0
        kernel = np.exp(-distances / scale) + strength * np.eye(len(features))
        coefficients: Array = solve(kernel, target, assume_a="pos")
        return lambda unseen: np.asarray(np.exp(-_squared_distances(unseen, features) / scale) @ coefficients)

    return learn


def _squared_distances(first: Array, second: Array) -> Array:
    sizes = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1)
    return np.asarray(np.maximum(sizes - 2 * first @ second.T, 0))
