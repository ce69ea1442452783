"""The page of the health model's card."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.learning.card_page import Predictions, write_card
from battery_pilot.learning.comparison import LEVEL
from battery_pilot.learning.evaluation import INTERVAL_PROBABILITY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pandas as pd

    from battery_pilot.learning.comparison import Comparison
    from battery_pilot.learning.model_store import ModelCard


def write_health_card(path: Path, card: ModelCard, tested: pd.DataFrame) -> None:
    """Write a health model's card as one HTML file.

    :param path: the file.
    :param card: the model.
    :param tested: see :func:`battery_pilot.learning.evaluation.tested_rows_sql`.
    """
    released = card.is_good_enough
    columns = {name: tested[name].to_numpy(float) for name in ("truth", "value", "lower", "upper")}
    write_card(
        path,
        title=f"Health model {card.version}",
        quantity="state of health (%)",
        verdict="Released: on unseen batteries it is better than both baselines."
        if released
        else "Not released: on unseen batteries it is not better than both baselines; passports keep the measured value.",
        tested=Predictions(
            tested["battery_id"].astype(str).tolist(),
            columns["truth"],
            columns["value"],
            columns["lower"],
            columns["upper"],
            INTERVAL_PROBABILITY,
        ),
        importance={name: abs(value) for name, value in card.coefficients.items()},
        importance_means="Change of the rate (percentage points in 30 days) for one standard deviation of the feature",
        facts=_facts(card),
    )


def compared(comparisons: Mapping[str, Comparison], unit: str) -> dict[str, dict[str, Any]]:
    """Return the tables that compare a model with its baselines, battery by battery.

    :param comparisons: baseline to comparison.
    :param unit: of the target.
    """
    return {
        f"Battery by battery against {name.replace('_', ' ')}": {
            f"mean advantage ({unit})": one.mean_advantage,
            "batteries": one.batteries,
            "better on": one.better,
            f"p-value, one-sided sign-flip test (at most {LEVEL:g} to be released)": one.p_value,
        }
        for name, one in comparisons.items()
    }


def _facts(card: ModelCard) -> dict[str, dict[str, Any]]:
    return {
        "Errors on the test batteries": {
            "mean absolute error (percentage points)": card.metrics.mae,
            "of the last known value": card.metrics.baseline_mae,
            "of linear fade": card.metrics.linear_fade_mae,
            "truths inside the interval (%)": 100 * card.metrics.interval_coverage,
            "check-ups": card.metrics.count,
        },
        **compared(card.comparisons, "percentage points"),
        "Data": {
            "training batteries": card.training.count,
            "training check-ups": card.training.pairs,
            "test batteries": card.test.count,
            "first check-up": card.first_as_of.isoformat(),
            "last check-up": card.last_as_of.isoformat(),
            "digest": card.data_digest,
        },
        "Training": {
            "learner": "ridge regression (Spark ML)",
            "Spark": card.spark_version,
            "penalty": card.ridge,
            "seed": card.seed,
            "features left out": ", ".join(card.features_left_out) or None,
        },
        "Cross-validated mean absolute error by penalty": dict(card.cross_validated_mae),
        "Missing values replaced by the median": dict(card.imputed),
    }
