"""The recipe of the training: its parameters, the digest of its data and what a set of pairs must offer."""

from __future__ import annotations

# The queries are made of this package's constants, numbers and the jobs' table names; no outer text gets into them.
# ruff: noqa: S608
from typing import Any

from battery_pilot.errors import AnalysisError
from battery_pilot.learning.evaluation import INTERVAL_PROBABILITY
from battery_pilot.learning.features import FEATURES, MINIMUM_RATE_DAYS, TARGET, missing_sql

RIDGES = (0.01, 0.1, 1.0)
"""Strengths of the L2 penalty that are compared, on standardised features."""

RECIPE = 3
"""Counts up when the training changes in a way that neither the data nor the other parameters show."""

_DIGEST_WORDS = 4
_WORD_DIGITS = 15  # 60 bits: fits a signed 64-bit integer
_WORDS = ", ".join(
    f"bit_xor(CAST(conv(substr(row_digest, {1 + index * _WORD_DIGITS}, {_WORD_DIGITS}), 16, 10) AS BIGINT))"
    for index in range(_DIGEST_WORDS)
)
DIGEST_SQL = f"concat_ws('-', count(*), {_WORDS})"
"""Aggregate over :func:`with_row_digest_sql` that does not depend on the order of the rows."""


def training_parameters(seed: int) -> dict[str, Any]:
    """Return everything besides the data that the model depends on.

    :param seed: of the split.
    """
    return {
        "recipe": RECIPE,
        "features": list(FEATURES),
        "target": TARGET,
        "ridges": list(RIDGES),
        "interval_probability": INTERVAL_PROBABILITY,
        "minimum_rate_days": MINIMUM_RATE_DAYS,
        "seed": seed,
    }


def pairs_summary_sql(pairs: str) -> str:
    """Return the query for one row that describes the pairs of check-ups before the training.

    ``training_pairs``, ``test_pairs``, ``first_as_of``, ``last_as_of`` (ISO 8601, UTC), ``reference_days`` (median time
    to the next check-up in the training set), ``missing`` (feature to training pairs without a value), ``folds``
    (feature to number of folds with a value, 0 for a feature that is the same everywhere in the training set) and
    ``digest`` (independent of the order of the rows; other for another value anywhere, in the test set too, so that a
    card's metrics always belong to its version).

    :param pairs: name of a table made by :func:`battery_pilot.learning.split.split_sql`.
    """
    content = (*FEATURES, "next_state_of_health_percent", "days_to_next", "is_test", "fold")
    return f"""
SELECT count_if(NOT is_test) AS training_pairs,
  count_if(is_test) AS test_pairs,
  {iso_sql("min(as_of)")} AS first_as_of,
  {iso_sql("max(next_as_of)")} AS last_as_of,
  percentile_approx(CASE WHEN NOT is_test THEN days_to_next END, 0.5D) AS reference_days,
  {missing_sql(FEATURES, "NOT is_test")} AS missing,
  {folds_sql(FEATURES)} AS folds,
  {DIGEST_SQL} AS digest
FROM ({with_row_digest_sql(pairs, content)})"""


def folds_sql(features: tuple[str, ...]) -> str:
    """Return an aggregate expression for a map from feature to the number of training folds in which it has a value.

    It is 0 for a feature that is the same everywhere in the training set.

    :param features: columns beside ``is_test`` and ``fold``.
    """
    entries = ", ".join(
        f"'{name}', CASE WHEN min(CASE WHEN NOT is_test THEN {name} END) < max(CASE WHEN NOT is_test THEN {name} END) "
        f"THEN size(collect_set(CASE WHEN {name} IS NOT NULL THEN fold END)) ELSE 0 END"
        for name in features
    )
    return f"map({entries})"


def with_row_digest_sql(rows: str, content: tuple[str, ...]) -> str:
    """Return the query that adds to each row the digest of its battery, time and content.

    :param rows: name of a table with ``battery_id`` and ``as_of``.
    :param content: columns that the digest covers.
    """
    covered = f"battery_id, unix_micros(as_of) AS as_of_micros, {', '.join(content)}"
    return f"SELECT *, sha2(to_json(struct({covered})), 256) AS row_digest FROM {rows}"


def usable_features(folds_with_values: dict[str, int], features: tuple[str, ...] = FEATURES) -> tuple[str, ...]:
    """Return the features that have a value in at least two folds, so that a median exists whichever fold is left out.

    :param folds_with_values: feature to number of folds with a value, 0 for a feature that is the same everywhere.
    :param features: to choose from, in order.
    :raises AnalysisError: if none is left.
    """
    usable = tuple(name for name in features if folds_with_values[name] > 1)
    if not usable:
        raise AnalysisError(
            "nothing to learn from: no feature differs between the check-ups of the training batteries; "
            "check the capacities and resistances in the history"
        )
    return usable


def refuse_repeated(repeated_battery: str | None, history: object) -> None:
    """Refuse a history that has two rows for one battery and time, because nothing tells which one is right.

    :param repeated_battery: a battery with such rows, or ``None``.
    :param history: where the history came from.
    :raises AnalysisError: if there is one.
    """
    if repeated_battery is not None:
        raise AnalysisError(
            f"{history}: battery {repeated_battery!r} has two rows with the same as_of; expected one row for each battery "
            "and check-up; write the history again from the passports"
        )


def iso_sql(timestamp: str) -> str:
    """Return an expression for a timestamp as ISO 8601 in UTC."""
    return f"date_format({timestamp}, \"yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'\")"
