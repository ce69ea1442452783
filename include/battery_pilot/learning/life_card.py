"""The card of a model of the remaining useful life: what is told about it, as JSON and as a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from battery_pilot.learning.card_page import Predictions, write_card
from battery_pilot.learning.comparison import Comparison  # noqa: TC001 -- pydantic needs it at run time
from battery_pilot.learning.evaluation import INTERVAL_PROBABILITY
from battery_pilot.learning.health_card import compared
from battery_pilot.learning.model_store import BatterySet, Card
from battery_pilot.learning.remaining_life import LABEL, METRIC

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

FOLDER = "remaining_life"
"""Folder inside the models folder that holds these models."""


class LifeInterval(BaseModel):
    """Ends of the prediction interval as offsets of ln(1 + remaining cycles).

    :param lower_offset: 5 % end, not above 0.
    :param upper_offset: 95 % end, not below 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    lower_offset: Annotated[float, Field(le=0)]
    upper_offset: Annotated[float, Field(ge=0)]


class LifeMetrics(BaseModel):
    """Errors on test batteries, full equivalent cycles; every battery counts alike.

    :param count: how many check-ups.
    :param mae: mean absolute error of the predicted remaining cycles.
    :param mean_life_mae: the same for the mean life of the training batteries.
    :param linear_fade_mae: the same for the claim that a battery goes on fading as it did since its first check-up.
    :param interval_coverage: share of truths inside the prediction interval, 0 to 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    count: int
    mae: float
    mean_life_mae: float
    linear_fade_mae: float
    interval_coverage: float


class LifeCard(Card):
    """What is told about one trained model of the remaining useful life.

    :param data_digest: of the check-ups with their features, target and place in the split.
    :param spark_version: that it was trained with.
    :param metric: what it predicts.
    :param target: what the regression learnt.
    :param end_of_life_percent: state of health at which a life ends.
    :param censored_batteries: batteries that had not got there; nothing was learnt from them.
    :param first_as_of: oldest check-up used.
    :param last_as_of: newest check-up used.
    :param training: batteries that it learnt from.
    :param test: batteries that it was tested on.
    :param features: what it sees.
    :param features_left_out: features with values in too few training batteries.
    :param imputed: feature to the number of training check-ups in which the training median stands in.
    :param seed: of the split.
    :param learner: the best of the cross-validation.
    :param cross_validated_mae: every learner tried and its error on left-out training batteries, cycles.
    :param importance: feature to the size of its coefficient or, of a forest, its share of the explained variance.
    :param metrics: errors on the test batteries.
    :param comparisons: see :class:`battery_pilot.learning.model_store.ModelCard`.
    :param interval: 90 % prediction interval, from the residuals of the cross-validation.
    """

    data_digest: str
    spark_version: str
    metric: str = METRIC
    target: str = LABEL
    end_of_life_percent: float
    censored_batteries: int
    first_as_of: AwareDatetime
    last_as_of: AwareDatetime
    training: BatterySet
    test: BatterySet
    features: tuple[str, ...]
    features_left_out: tuple[str, ...]
    imputed: dict[str, int]
    seed: int
    learner: str
    cross_validated_mae: dict[str, float]
    importance: dict[str, float]
    metrics: LifeMetrics
    comparisons: dict[str, Comparison]
    interval: LifeInterval

    @property
    def is_good_enough(self) -> bool:
        """Whether it may be released: better on average than both baselines on the test batteries, and not by luck."""
        best = min(self.metrics.mean_life_mae, self.metrics.linear_fade_mae)
        return self.metrics.mae < best and all(one.is_better for one in self.comparisons.values())


def write_life_card(path: Path, card: LifeCard, tested: pd.DataFrame) -> None:
    """Write a model's card as one HTML file.

    :param path: the file.
    :param card: the model.
    :param tested: see :func:`battery_pilot.learning.remaining_life.tested_rows_sql`.
    """
    truth, value, lower, upper = (tested[name].to_numpy(float) for name in ("truth", "value", "lower", "upper"))
    write_card(
        path,
        title=f"Remaining life model {card.version}",
        quantity=f"full equivalent cycles until {card.end_of_life_percent:g} % of the rated capacity",
        verdict="Released: on unseen batteries it is better than both baselines."
        if card.is_good_enough
        else "Not released: on unseen batteries it is not better than both baselines; no remaining life is predicted.",
        tested=Predictions(
            tested["battery_id"].astype(str).tolist(), truth, value, lower, upper, INTERVAL_PROBABILITY
        ),
        importance=card.importance,
        importance_means="Size of the coefficient of the standardised feature, or its share in the forest",
        facts=_facts(card),
        warnings=[
            f"{card.censored_batteries} batteries have not reached {card.end_of_life_percent:g} % and are left out: "
            "the model knows the batteries that aged first, and may predict too short a life for the others"
        ]
        if card.censored_batteries
        else [],
    )


def _facts(card: LifeCard) -> dict[str, dict[str, Any]]:
    return {
        "Errors on the test batteries": {
            "mean absolute error (cycles)": card.metrics.mae,
            "of the mean life": card.metrics.mean_life_mae,
            "of linear fade": card.metrics.linear_fade_mae,
            "truths inside the interval (%)": 100 * card.metrics.interval_coverage,
            "check-ups": card.metrics.count,
        },
        **compared(card.comparisons, "cycles"),
        "Data": {
            "training batteries": card.training.count,
            "training check-ups": card.training.pairs,
            "test batteries": card.test.count,
            "batteries left out, not at the end of life": card.censored_batteries,
            "first check-up": card.first_as_of.isoformat(),
            "last check-up": card.last_as_of.isoformat(),
            "digest": card.data_digest,
        },
        "Training": {
            "learner": f"{card.learner} (Spark ML)",
            "Spark": card.spark_version,
            "seed": card.seed,
            "features left out": ", ".join(card.features_left_out) or None,
        },
        "Cross-validated mean absolute error by learner (cycles)": dict(card.cross_validated_mae),
        "Missing values replaced by the median": dict(card.imputed),
    }
