"""Non-linear least squares for many small problems of one shape at once.

Levenberg-Marquardt with Marquardt's scaling: every problem is a row with its own damping, and each iteration is a few
stacked array operations for all rows that have not converged. Limits are met by projection: a parameter that rests on a
limit and is pushed outwards is left out of the step. J. Nocedal, S. J. Wright, "Numerical Optimization", 2nd edition,
Springer 2006, sections 10.3 and 16.7.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.electrochemistry.impedance.spectrum import Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray


Model = Callable[[Floats, "NDArray[np.intp]"], tuple[Floats, Floats]]
"""Residuals (m, r) and their Jacobian (m, p, r) from parameters (m, p) and the numbers of the m rows they belong to."""

FIRST_DAMPING = 1e-2
EASED, TIGHTENED = 0.1, 4.0
GOOD_RATIO, POOR_RATIO = 0.8, 0.3
LARGEST_DAMPING = 1e10
LARGEST_STEP = 3.0
SMALLEST_STEP = 1e-9


@dataclass(frozen=True, eq=False)
class Minimum:
    """Where the rows ended.

    :param x: parameters, shape (n, p).
    :param cost: sum of the squared residuals, shape (n,).
    :param normal: Jacobian times its transpose, shape (n, p, p).
    :param at_limit: whether a parameter rests on a limit, shape (n, p).
    :param damping: last damping, shape (n,), for a continuation.
    """

    x: Floats
    cost: Floats
    normal: Floats
    at_limit: NDArray[np.bool_]
    damping: Floats

    def rows(self, which: NDArray[np.intp]) -> Minimum:
        """Return some of the rows."""
        return Minimum(self.x[which], self.cost[which], self.normal[which], self.at_limit[which], self.damping[which])


def minimise(
    model: Model,
    start: Floats,
    low: Floats,
    high: Floats,
    *,
    iterations: int,
    tolerance: float,
    good_cost: Floats,
    damping: Floats | None = None,
) -> Minimum:
    """Minimise the sum of squared residuals of every row.

    :param model: see :data:`Model`.
    :param start: where each row starts, shape (n, p); moved inside the limits.
    :param low: lower limits, shape (n, p).
    :param high: upper limits, shape (n, p).
    :param iterations: most evaluations of a row.
    :param tolerance: a row stops when a step lowers its cost by at most this fraction.
    :param good_cost: a row stops as soon as its cost is at most this, shape (n,).
    :param damping: that of the minimum to continue from, shape (n,).
    """
    x = np.clip(start, low, high)
    rows = np.arange(x.shape[0])
    residual, jacobian = model(x, rows)
    first = np.full(rows.size, FIRST_DAMPING) if damping is None else damping
    state = _State(rows, x, _squares(residual), *_normal(jacobian, residual), low, high, first)
    ended = Minimum(x, state.cost.copy(), state.normal.copy(), np.zeros(x.shape, dtype=bool), first.copy())
    for _ in range(iterations):
        trial = np.clip(state.x + _step(state), state.low, state.high)
        residual, jacobian = model(trial, state.rows)
        cost = _squares(residual)
        moved = trial - state.x
        state.damping = state.damping * _factor(state, moved, cost)
        better = cost < state.cost
        done = better & (state.cost - cost <= tolerance * cost)
        state.take(better, trial, cost, *_normal(jacobian, residual))
        done |= (np.abs(moved).max(axis=1) < SMALLEST_STEP) | (state.damping > LARGEST_DAMPING)
        done |= state.cost <= good_cost[state.rows]
        if done.any():
            state.write(ended)
            state = state.only(~done)
            if state.rows.size == 0:
                break
    state.write(ended)
    return replace(ended, at_limit=(ended.x <= low) | (ended.x >= high))


def _factor(state: _State, moved: Floats, cost: Floats) -> Floats:
    """Return what to change the damping by: less where the linear model foretold the decrease, more where it did not."""
    foretold = -np.einsum("np,np->n", moved, 2 * state.gradient + (state.normal @ moved[:, :, None])[:, :, 0])
    ratio = (state.cost - cost) / np.maximum(foretold, 1e-300)
    factor: Floats = np.where(ratio > GOOD_RATIO, EASED, np.where(ratio > POOR_RATIO, 1.0, TIGHTENED))
    return factor


@dataclass(eq=False)
class _State:
    """Where the rows are that have not ended yet: shapes as in :class:`Minimum`, ``gradient`` (n, p)."""

    rows: NDArray[np.intp]
    x: Floats
    cost: Floats
    normal: Floats
    gradient: Floats
    low: Floats
    high: Floats
    damping: Floats

    def take(self, better: NDArray[np.bool_], x: Floats, cost: Floats, normal: Floats, gradient: Floats) -> None:
        """Move the rows that a trial has improved."""
        if better.all():
            self.x, self.cost, self.normal, self.gradient = x, cost, normal, gradient
        elif better.any():
            self.x = np.where(better[:, None], x, self.x)
            self.cost = np.where(better, cost, self.cost)
            self.normal = np.where(better[:, None, None], normal, self.normal)
            self.gradient = np.where(better[:, None], gradient, self.gradient)

    def only(self, which: NDArray[np.bool_]) -> _State:
        """Return some of the rows."""
        parts = (self.rows, self.x, self.cost, self.normal, self.gradient, self.low, self.high, self.damping)
        return _State(*(part[which] for part in parts))

    def write(self, ended: Minimum) -> None:
        """Write the rows into the arrays of the result."""
        ended.x[self.rows], ended.cost[self.rows], ended.normal[self.rows] = self.x, self.cost, self.normal
        ended.damping[self.rows] = self.damping


def _squares(residual: Floats) -> Floats:
    total: Floats = np.einsum("nr,nr->n", residual, residual)
    return total


def _normal(jacobian: Floats, residual: Floats) -> tuple[Floats, Floats]:
    """Return the matrices of the normal equations and half the gradients."""
    return jacobian @ jacobian.transpose(0, 2, 1), (jacobian @ residual[:, :, None])[:, :, 0]


def _step(state: _State) -> Floats:
    """Solve the damped normal equations; parameters that rest on a limit stay, and no step is too long to trust."""
    normal, gradient = state.normal.copy(), state.gradient
    resting = ((state.x <= state.low) & (gradient > 0)) | ((state.x >= state.high) & (gradient < 0))
    if resting.any():
        free = ~resting
        normal *= free[:, :, None] & free[:, None, :]
        gradient = gradient * free
    scale = np.einsum("npp->np", normal)
    # A parameter without influence would make the matrix singular.
    floor = 1e-12 * scale.max(axis=1, keepdims=True) + 1e-300
    scale += state.damping[:, None] * np.maximum(scale, floor) + floor
    step: Floats = np.linalg.solve(normal, -gradient[:, :, None])[:, :, 0]
    longest = np.abs(step).max(axis=1, keepdims=True)
    step *= np.minimum(1.0, LARGEST_STEP / np.maximum(longest, LARGEST_STEP))
    return step
