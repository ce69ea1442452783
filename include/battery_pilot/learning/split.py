"""The split by battery: a battery is in the training set or in the test set with all its check-ups.

Batteries are ranked by the SHA-256 of their id, so the split depends on nothing but the set of ids and the seed. The
first :attr:`SplitSizes.test` ranks are the test set, the others take turns in the folds of the cross-validation.
"""

from __future__ import annotations

# The queries are made of this package's constants, numbers and the jobs' table names; no outer text gets into them.
# ruff: noqa: S608
from dataclasses import dataclass

from battery_pilot.errors import AnalysisError

MAXIMUM_FOLDS = 3
MINIMUM_TRAINING_BATTERIES = 2


@dataclass(frozen=True)
class SplitSizes:
    """How many batteries go where.

    :param training: batteries to learn from.
    :param test: batteries to test on.
    :param folds: parts of the training set in the cross-validation; each has a battery.
    """

    training: int
    test: int
    folds: int


def split_sizes(batteries: int, are: str = "have two check-ups or more") -> SplitSizes:
    """Return the sizes of the split: 30 % for the test, rounded up, unless that leaves less than 60 % for the training.

    :param batteries: how many batteries have what can be learnt from.
    :param are: what that is, for the error's message.
    :raises AnalysisError: if there are too few for a test battery and two training batteries, which cross-validation by
        battery needs.
    """
    needed = MINIMUM_TRAINING_BATTERIES + 1
    if batteries < needed:
        raise AnalysisError(
            f"too little data to train: {batteries} batteries {are} and at least {needed} are needed "
            f"(1 to test on and {MINIMUM_TRAINING_BATTERIES} to train on); add batteries or wait for their next check-up"
        )
    thirty_percent_up = -(-3 * batteries // 10)
    forty_percent_down = 2 * batteries // 5
    test = min(thirty_percent_up, max(1, forty_percent_down))
    return SplitSizes(batteries - test, test, min(MAXIMUM_FOLDS, batteries - test))


def split_sql(checkups: str, sizes: SplitSizes, seed: int, target: str = "days_to_next") -> str:
    """Return the query for the check-ups that have a target, each with its battery's place in the split.

    Adds ``is_test`` and ``fold``; the fold counts from 0 and is null in the test set.

    :param checkups: name of a table made by :func:`battery_pilot.learning.features.next_checkup_sql`.
    :param sizes: the sizes for the table's number of batteries with a target.
    :param seed: another seed ranks the batteries in another order.
    :param target: column that is null where there is nothing to learn.
    """
    return f"""
WITH pair AS (
  SELECT * FROM {checkups} WHERE {target} IS NOT NULL
), ranked AS (
  SELECT battery_id,
    row_number() OVER (ORDER BY sha2(concat('{seed}:', battery_id), 256), battery_id) - 1 AS place
  FROM (SELECT DISTINCT battery_id FROM pair)
)
SELECT pair.*,
  place < {sizes.test} AS is_test,
  CASE WHEN place >= {sizes.test} THEN (place - {sizes.test}) % {sizes.folds} END AS fold
FROM pair JOIN ranked USING (battery_id)"""
