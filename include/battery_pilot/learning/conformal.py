"""Prediction intervals with a promise for batteries that were never seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from battery_pilot.learning.regression import Array

PROBABILITY = 0.9
"""Share of the truths that an interval is meant to cover."""


def conformal_radius(absolute_errors: Array, batteries: Sequence[str], probability: float = PROBABILITY) -> float:
    """Return how far from the prediction the interval reaches to either side.

    The rows of a battery depend on each other, so batteries are what is counted: each of the ``k`` batteries has weight
    ``1 / (k + 1)``, shared evenly among its rows, and the battery to come has the last ``1 / (k + 1)`` at infinity. The
    radius is the weighted quantile (Dunn, Wasserman and Ramdas 2023, J. Am. Stat. Assoc. 118, 2491, "pooling CDFs").
    With fewer than 9 batteries a 90 % interval would be infinite; then the largest error stands in for it.

    :param absolute_errors: of predictions for batteries that the model had not seen.
    :param batteries: the battery of each error.
    :param probability: share to cover, between 0 and 1.
    """
    names, battery_of_row, rows = np.unique(np.asarray(batteries, dtype=str), return_inverse=True, return_counts=True)
    order = np.argsort(absolute_errors, kind="stable")
    mass = np.cumsum((1 / ((len(names) + 1) * rows))[battery_of_row][order])
    # The last bit of a sum must not decide which error it is.
    place = int(np.searchsorted(mass, probability - 1e-9))
    return float(absolute_errors[order[min(place, len(order) - 1)]])


def is_guaranteed(batteries: int, probability: float = PROBABILITY) -> bool:
    """Tell whether so many batteries suffice for the promise of :func:`conformal_radius`."""
    return batteries / (batteries + 1) >= probability - 1e-9
