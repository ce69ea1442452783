"""Train on some batteries, test on others: the figures of ``battery-pilot evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.errors import AnalysisError
from battery_pilot.learning.conformal import PROBABILITY, conformal_radius, is_guaranteed
from battery_pilot.learning.feature_table import FeatureTable, above_zero, thinned, views
from battery_pilot.learning.regression import Array, Fit, kernel_ridge, partial_least_squares, ridge
from battery_pilot.learning.selection import Candidate, Committee, choose, grouped_folds
from battery_pilot.learning.trees import extra_trees

if TYPE_CHECKING:
    from numpy.typing import NDArray

MINIMUM_BATTERIES = 2
"""With fewer, blocks of a battery's rows are left out instead of batteries."""

MINIMUM_ROWS = 10
BLOCKS = 5
MOST_FOLDS = 8
REPEATS = 2
MEMBERS = 5
MOST_KERNEL_ROWS = 1500
"""With more training rows kernel ridge, of cubic cost, is not tried."""

MOST_ROWS = 6000
"""Of more training rows every k-th of each battery is learnt from: a command's patience is bounded."""

MOST_IMPORTANCE_ROWS = 1000

SUSPICIOUS_CORRELATION = 0.999

_RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_COMPONENTS = (2, 4, 6, 8, 12, 16, 24)
_WIDTHS = (1.0, 3.0, 10.0, 30.0)
_NOISES = (1e-5, 1e-4, 1e-3, 1e-2)
_TREES = 40
_SMALLEST_LEAF = 2


@dataclass(frozen=True)
class Assessment:
    """What came out.

    :param target: name of the target.
    :param committee: the chosen models and their cross-validated errors.
    :param train: table that was learnt from.
    :param test: table that was tested on.
    :param features: names of the features that both tables have.
    :param predicted: value for each test row.
    :param radius: the interval reaches so far to either side.
    :param metrics: see :func:`errors`, with ``interval_coverage``.
    :param baselines: name to the same metrics; ``rows`` tells on how many test rows, ``model_mae`` is the model's error
        on those.
    :param importance: feature to the rise of the test's mean absolute error when its values are shuffled among rows.
    :param warnings: what a reader must know.
    """

    target: str
    committee: Committee
    train: FeatureTable
    test: FeatureTable
    features: tuple[str, ...]
    predicted: Array
    radius: float
    metrics: dict[str, float | None]
    baselines: dict[str, dict[str, float | None]]
    importance: dict[str, float]
    warnings: tuple[str, ...] = field(default=())

    @property
    def beats_baselines(self) -> bool:
        """Whether the model's mean absolute error is below that of every baseline on the same rows."""
        return all((one["model_mae"] or 0) < (one["mae"] or 0) for one in self.baselines.values())

    def summary(self) -> dict[str, Any]:
        """Return everything but the rows, as JSON values."""
        by_battery = {
            str(name): errors(self.test.target[rows], self.predicted[rows])["mae"]
            for name, rows in ((one, self.test.battery == one) for one in np.unique(self.test.battery))
        }
        members = zip(self.committee.members, self.committee.member_errors, strict=True)
        return {
            "target": self.target,
            "train": {"rows": len(self.train.target), "batteries": len(np.unique(self.train.battery))},
            "test": {"rows": len(self.test.target), "batteries": len(by_battery)},
            "features": len(self.features),
            "metrics": self.metrics,
            "baselines": self.baselines,
            "beats_baselines": self.beats_baselines,
            "interval": {
                "probability": PROBABILITY,
                "half_width": self.radius,
                "coverage": self.metrics["interval_coverage"],
            },
            "model": {
                "cross_validated_mae": self.committee.error,
                "members": [
                    {"learner": one.name, "view": one.view, "cross_validated_mae": error} for one, error in members
                ],
            },
            "mae_by_battery": by_battery,
            "warnings": list(self.warnings),
        }


def assess(train: FeatureTable, test: FeatureTable, target: str, seed: int = 0) -> Assessment:
    """Choose and fit a model on the training table and measure it on the test table, once.

    :param train: rows to learn from; everything that is chosen or scaled comes from here.
    :param test: rows of other batteries.
    :param target: name of the target.
    :param seed: of the folds.
    :raises AnalysisError: if the tables share no feature or one battery's rows are too few to leave blocks of them out.
    """
    known_rows, train = len(train.target), thinned(train, MOST_ROWS)
    groups = _groups(train)
    names = tuple(name for name in train.names if name in test.names)
    if not names:
        raise AnalysisError("training and test table have no feature column in common; name the columns alike")
    positive = above_zero(train)
    known, unseen = views(train, names, positive), views(test, names, positive)
    common = [view for view in known if view in unseen]
    folds = _folds(groups, seed)

    def mean_absolute_error(predicted: Array) -> float:
        return float(np.mean(np.abs(predicted - train.target)))

    committee = choose(
        candidates(common, len(train.target)), known, train.target, folds, score=mean_absolute_error, members=MEMBERS
    )
    radius = conformal_radius(np.abs(committee.left_out.mean(axis=0) - train.target), groups)
    predict = committee.fit(known, train.target)
    predicted = predict(unseen)
    metrics = errors(test.target, predicted)
    metrics["interval_coverage"] = float(np.mean(np.abs(test.target - predicted) <= radius))
    return Assessment(
        target,
        committee,
        train,
        test,
        names,
        predicted,
        radius,
        metrics,
        baselines(train, test, predicted),
        permutation_importance(
            lambda table: predict(views(table, names, positive)), thinned(test, MOST_IMPORTANCE_ROWS), names, seed
        ),
        (*train.warnings, *test.warnings, *_cautions(train, test, names, known_rows)),
    )


def _groups(train: FeatureTable) -> list[str]:
    """Return for each row what is left out with it: its battery or, of a single battery, its block of rows in order.

    :raises AnalysisError: if a single battery has too few rows.
    """
    if len(np.unique(train.battery)) >= MINIMUM_BATTERIES:
        return [str(one) for one in train.battery]
    rows = len(train.target)
    if rows < MINIMUM_ROWS:
        raise AnalysisError(
            f"1 training battery with {rows} rows found; at least {MINIMUM_BATTERIES} batteries, or {MINIMUM_ROWS} rows of "
            "one, are needed to choose a model by leaving some out; add batteries"
        )
    order = np.arange(rows) if train.order is None else train.order
    rank = np.argsort(np.argsort(order, kind="stable"), kind="stable")
    return [f"block {one}" for one in rank * BLOCKS // rows]


def _folds(groups: Sequence[str], seed: int) -> NDArray[np.intp]:
    count = len(set(groups))
    # Leaving out one group at a time is the same in any order, and many rows average well without repetition.
    repeats = REPEATS if count > MOST_FOLDS and len(groups) <= MOST_KERNEL_ROWS else 1
    return grouped_folds(groups, min(MOST_FOLDS, count), repeats, seed)


def candidates(view_names: Sequence[str], rows: int) -> list[Candidate]:
    """Return everything that is compared.

    :param view_names: see :func:`battery_pilot.learning.feature_table.views`.
    :param rows: of the training table.
    """
    learners: dict[str, dict[str, Fit]] = {
        "ridge": {f"{strength:g}": ridge(strength) for strength in _RIDGES},
        "PLS": {f"{components}": partial_least_squares(components) for components in _COMPONENTS},
        "extra trees": {f"{_TREES}": extra_trees(_TREES, _SMALLEST_LEAF)},
    }
    if rows <= MOST_KERNEL_ROWS:
        learners["kernel ridge"] = {
            f"{width:g} {noise:g}": kernel_ridge(width, noise) for width in _WIDTHS for noise in _NOISES
        }
    return [
        Candidate(f"{family} {parameters}", view, learner, f"{family} {view}")
        for view in view_names
        for family, members in learners.items()
        for parameters, learner in members.items()
    ]


def errors(truth: Array, predicted: Array) -> dict[str, float | None]:
    """Return ``mae``, ``rmse``, ``max_error`` in the target's unit and ``mape_percent`` (``None`` if a truth is 0)."""
    error = np.abs(predicted - truth)
    return {
        "mae": float(error.mean()),
        "rmse": float(np.sqrt(np.mean(error**2))),
        "mape_percent": float(np.mean(error / np.abs(truth)) * 100) if np.all(truth) else None,
        "max_error": float(error.max()),
    }


def baselines(train: FeatureTable, test: FeatureTable, predicted: Array) -> dict[str, dict[str, float | None]]:
    """Return the errors of what needs no model.

    ``mean`` is the mean of the training target. With an order, ``last value`` is the battery's previous true target and
    ``linear fade`` the straight line through all its earlier ones (two at least): both know what the model does not,
    the tested battery's own measured past.
    """
    guesses = {"mean": np.full(len(test.target), train.target.mean())}
    if test.order is not None:
        guesses |= _from_own_past(test)
    found = {}
    for name, guess in guesses.items():
        rows = np.isfinite(guess)
        if rows.any():
            found[name] = errors(test.target[rows], guess[rows]) | {
                "rows": int(rows.sum()),
                "model_mae": errors(test.target[rows], predicted[rows])["mae"],
            }
    return found


def permutation_importance(
    predict: Callable[[FeatureTable], Array], test: FeatureTable, names: Sequence[str], seed: int
) -> dict[str, float]:
    """Return by how much the mean absolute error rises when one feature is shuffled among the rows, largest first."""
    random = np.random.default_rng(seed)
    known = float(np.mean(np.abs(predict(test) - test.target)))
    shuffled = random.permutation(len(test.target))
    rises = {}
    for name in names:
        changed = _with_shuffled(test, name, shuffled)
        rises[name] = float(np.mean(np.abs(predict(changed) - test.target))) - known
    return dict(sorted(rises.items(), key=lambda one: -one[1]))


def _with_shuffled(table: FeatureTable, name: str, rows: NDArray[np.intp]) -> FeatureTable:
    plain, impedance = dict(table.plain), dict(table.impedance)
    if name in plain:
        plain[name] = plain[name][rows]
    else:
        impedance[name] = impedance[name][rows]
    return FeatureTable(table.battery, table.target, table.order, plain, impedance, ())


def _from_own_past(test: FeatureTable) -> dict[str, Array]:
    assert test.order is not None  # noqa: S101 -- the caller looked
    last, line = np.full(len(test.target), np.nan), np.full(len(test.target), np.nan)
    for name in np.unique(test.battery):
        rows = np.flatnonzero((test.battery == name) & np.isfinite(test.order))
        rows = rows[np.argsort(test.order[rows], kind="stable")]
        time, value = test.order[rows], test.target[rows]
        last[rows[1:]] = value[:-1]
        for place in range(2, len(rows)):
            # Deviations from the last time, because seconds since 1970 squared leave no digits for the slope.
            past, spread = time[:place] - time[:place].mean(), float(np.ptp(time[:place]))
            slope = float(past @ value[:place] / (past @ past)) if spread > 0 else 0.0
            line[rows[place]] = value[:place].mean() + slope * (time[place] - time[:place].mean())
    return {"last value": last, "linear fade": line}


def _cautions(train: FeatureTable, test: FeatureTable, names: Sequence[str], known_rows: int) -> list[str]:
    found = []
    if len(train.target) < known_rows:
        found.append(
            f"learnt from {len(train.target)} of {known_rows} training rows, evenly taken from every battery"
        )
    if len(np.unique(train.battery)) < MINIMUM_BATTERIES:
        found.append(
            "one training battery: the cross-validation left out blocks of its rows and tells nothing of others"
        )
    for one_sided, where in ((set(train.names) - set(names), "training"), (set(test.names) - set(names), "test")):
        if one_sided:
            found.append(f"{len(one_sided)} features are in the {where} table only and are not used")
    if shared := sorted(set(train.battery.tolist()) & set(test.battery.tolist())):
        found.append(
            f"{len(shared)} batteries are in both tables, first {shared[0]!r}: this is no test on unseen batteries"
        )
    for name in names:
        if name in train.plain and _correlation(train.plain[name], train.target) > SUSPICIOUS_CORRELATION:
            found.append(f"column {name!r} follows the target almost exactly; if it is derived from it, exclude it")
    if not is_guaranteed(len(np.unique(train.battery))):
        found.append("fewer than 9 training batteries: the interval is the largest error seen, without a promise")
    return found


def _correlation(feature: Array, target: Array) -> float:
    rows = np.isfinite(feature)
    if rows.sum() < 3 or np.ptp(feature[rows]) == 0 or np.ptp(target[rows]) == 0:
        return 0.0
    return abs(float(np.corrcoef(feature[rows], target[rows])[0, 1]))
