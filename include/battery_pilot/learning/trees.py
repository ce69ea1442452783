"""Extremely randomised trees in numpy: a forest that needs neither scikit-learn nor a Spark session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from battery_pilot.learning.regression import Array, Fit, Predict

_LEAF = -1


@dataclass(frozen=True)
class _Tree:
    """Nodes in arrays: a node's feature is ``_LEAF`` where it has a value and no children."""

    feature: NDArray[np.intp]
    threshold: Array
    left: NDArray[np.intp]
    right: NDArray[np.intp]
    value: Array

    def predict(self, features: Array) -> Array:
        node = np.zeros(len(features), dtype=np.intp)
        going = np.arange(len(features))
        while (going := going[self.feature[node[going]] != _LEAF]).size:
            at = node[going]
            lower = features[going, self.feature[at]] <= self.threshold[at]
            node[going] = np.where(lower, self.left[at], self.right[at])
        return np.asarray(self.value[node])


def extra_trees(trees: int, smallest_leaf: int, seed: int = 0) -> Fit:
    """Return extremely randomised trees (Geurts, Ernst and Wehenkel 2006).

    Every node tries a third of the features, each with one random threshold, and takes the split that lowers the
    squared error most.

    :param trees: how many; their mean is the prediction.
    :param smallest_leaf: rows that each side of a split keeps.
    :param seed: same seed, same forest.
    """

    def learn(features: Array, target: Array) -> Predict:
        random = np.random.default_rng(seed)
        forest = [_grow(features, target, smallest_leaf, random) for _ in range(trees)]
        return lambda unseen: np.mean([tree.predict(unseen) for tree in forest], axis=0)

    return learn


def _grow(features: Array, target: Array, smallest_leaf: int, random: np.random.Generator) -> _Tree:
    nodes: list[tuple[int, float, int, int, float]] = [(_LEAF, 0.0, 0, 0, 0.0)]
    open_nodes = [(0, np.arange(len(target)))]
    while open_nodes:
        place, rows = open_nodes.pop()
        values = target[rows]
        split = _split(features[rows], values, smallest_leaf, random)
        if split is None:
            nodes[place] = (_LEAF, 0.0, 0, 0, float(values.mean()))
            continue
        feature, threshold = split
        lower = features[rows, feature] <= threshold
        left = len(nodes)
        nodes[place] = (feature, threshold, left, left + 1, 0.0)
        nodes += [nodes[0], nodes[0]]
        open_nodes += [(left, rows[lower]), (left + 1, rows[~lower])]
    feature_of, threshold_of, left_of, right_of, value_of = zip(*nodes, strict=True)
    return _Tree(
        np.array(feature_of), np.array(threshold_of), np.array(left_of), np.array(right_of), np.array(value_of)
    )


def _split(
    features: Array, target: Array, smallest_leaf: int, random: np.random.Generator
) -> tuple[int, float] | None:
    """Return the feature and threshold of the best random split, or ``None`` where a leaf is due."""
    rows, columns = features.shape
    if rows < 2 * smallest_leaf or np.ptp(target) == 0:
        return None
    tried = random.choice(columns, size=-(-columns // 3), replace=False)
    chosen = features[:, tried]
    low, high = chosen.min(axis=0), chosen.max(axis=0)
    thresholds = low + random.random(len(tried)) * (high - low)
    lower = chosen <= thresholds
    left_rows = lower.sum(axis=0)
    left_sum = target @ lower
    right_rows = rows - left_rows
    possible = (left_rows >= smallest_leaf) & (right_rows >= smallest_leaf)
    if not possible.any():
        return None
    # Between-group sum of squares, up to a constant: the larger, the smaller the error that is left.
    explained = left_sum**2 / np.maximum(left_rows, 1) + (target.sum() - left_sum) ** 2 / np.maximum(right_rows, 1)
    best = int(np.argmax(np.where(possible, explained, -np.inf)))
    return int(tried[best]), float(thresholds[best])
