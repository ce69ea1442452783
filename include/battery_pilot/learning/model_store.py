"""Trained models on disk: what identifies one, what is told about it, and which one counts.

A models folder holds ``current.json`` and one folder for each version with the pipeline, the ids of the batteries it was
trained on, ``model_card.json`` and, for people, ``model_card.html``. A version's folder appears as a whole and never changes.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from battery_pilot.errors import InputError
from battery_pilot.lake import read_json, write_json, write_text
from battery_pilot.learning.comparison import Comparison
from battery_pilot.learning.evaluation import METRIC, Interval

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

log = logging.getLogger(__name__)

LISTED_BATTERIES = 1000
"""A card lists the ids of a set of batteries that has fewer than this."""

CURRENT = "current.json"
PIPELINE = "pipeline"
TRAINING_BATTERIES = "training_batteries"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Card(_Record):
    """What every model's card tells.

    :param version: its identity, see :func:`model_version`.
    """

    version: str


OneCard = TypeVar("OneCard", bound=Card)


class Metrics(_Record):
    """Errors on batteries that the model never saw, in percentage points of the state of health.

    :param count: how many check-ups with a known next one.
    :param mae: mean absolute error of the predicted next state of health.
    :param baseline_mae: the same for the claim that nothing changes.
    :param linear_fade_mae: the same for the claim that the battery goes on fading as it did since its first check-up.
    :param interval_coverage: share of truths inside the prediction interval, 0 to 1.
    """

    count: int
    mae: float
    baseline_mae: float
    linear_fade_mae: float
    interval_coverage: float

    @property
    def beats_baselines(self) -> bool:
        """Whether the model is better than both baselines."""
        return self.mae < min(self.baseline_mae, self.linear_fade_mae)


class BatterySet(_Record):
    """The batteries of one side of the split.

    :param count: how many.
    :param pairs: how many check-ups with a known next one they have.
    :param battery_ids: which, sorted; ``None`` from :data:`LISTED_BATTERIES` on.
    """

    count: int
    pairs: int
    battery_ids: tuple[str, ...] | None


class ModelCard(Card):
    """What is told about one trained model of the next state of health.

    :param version: its identity, see :func:`model_version`.
    :param data_digest: of the check-ups with their features, target and place in the split.
    :param spark_version: that it was trained with.
    :param metric: what it predicts.
    :param target: what the regression learnt.
    :param first_as_of: oldest check-up used.
    :param last_as_of: newest check-up used.
    :param training: batteries that it learnt from.
    :param test: batteries that it was tested on.
    :param features: what it sees.
    :param features_left_out: features with values in too few training batteries.
    :param imputed: feature to the number of training pairs in which the training median stands in for a missing value.
    :param seed: of the split.
    :param ridge: strength of the L2 penalty, the best of the cross-validation.
    :param cross_validated_mae: every ridge tried and its error on left-out training batteries, percentage points.
    :param intercept: predicted rate of an average check-up, percentage points per 30 days.
    :param coefficients: feature to change of that rate for one standard deviation of the feature.
    :param metrics: errors on the test batteries.
    :param comparisons: baseline to the comparison battery by battery: test batteries with the errors of this model,
        training batteries with those of the cross-validation's models, which had not seen them.
    :param interval: 90 % prediction interval, from the residuals of the cross-validation.
    """

    data_digest: str
    spark_version: str
    metric: str = METRIC
    target: str
    first_as_of: AwareDatetime
    last_as_of: AwareDatetime
    training: BatterySet
    test: BatterySet
    features: tuple[str, ...]
    features_left_out: tuple[str, ...]
    imputed: dict[str, int]
    seed: int
    ridge: float
    cross_validated_mae: dict[str, float]
    intercept: float
    coefficients: dict[str, float]
    metrics: Metrics
    comparisons: dict[str, Comparison] = {}
    interval: Interval

    @property
    def is_good_enough(self) -> bool:
        """Whether it may be released: better on average than every baseline on the test batteries, and not by luck."""
        return self.metrics.beats_baselines and all(one.is_better for one in self.comparisons.values())


def model_version(data_digest: str, parameters: dict[str, Any]) -> str:
    """Return the identity of the model that these data and parameters give.

    :param data_digest: digest of the check-ups with their features, target and place in the split.
    :param parameters: everything else that the result depends on; JSON values.
    :return: the first 12 hexadecimal digits of a SHA-256.
    """
    content = json.dumps({"data": data_digest, "parameters": parameters}, sort_keys=True, allow_nan=False)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def read_card(models: Path, version: str, kind: type[OneCard]) -> OneCard | None:
    """Return the card of a version, or ``None`` when there is no such model.

    :param models: the folder.
    :param version: see :func:`model_version`.
    :param kind: of the models in this folder.
    :raises InputError: if the card cannot be read.
    """
    path = models / version / "model_card.json"
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(
            f"{path}: not a model card of this version of Battery Pilot: {error}; train again"
        ) from error


def publish(models: Path, card: Card, save: Callable[[Path], None]) -> None:
    """Put a new version beside the others, as a whole.

    :param models: the models folder; made when absent.
    :param card: its card.
    :param save: writes :data:`PIPELINE` and :data:`TRAINING_BATTERIES` into the folder that it is given.
    """
    staging = models.absolute() / f".{card.version}.{uuid.uuid4().hex}"
    staging.mkdir(parents=True)
    try:
        save(staging)
        write_text(staging / "model_card.json", card.model_dump_json(indent=1) + "\n")
        staging.rename(models / card.version)
    except OSError:
        if read_card(models, card.version, type(card)) is None:
            raise
        log.info("model %s was written by another run in the meantime", card.version)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def set_current(models: Path, version: str) -> None:
    """Release a version: make it the one that is used for scoring; nothing is written when it is already."""
    if _current_version(models) != version:
        write_json(models / CURRENT, {"version": version})


def is_released(models: Path) -> bool:
    """Tell whether there is a model to score with."""
    return (models / CURRENT).exists()


def current_card(models: Path, kind: type[OneCard]) -> OneCard:
    """Return the card of the model that is used for scoring.

    :raises InputError: if there is none or it cannot be read.
    """
    version = _current_version(models)
    if version is None:
        raise InputError(
            f"{models / CURRENT} not found: no model was released yet; run jobs/train_health_model.py, which releases "
            "a model that beats its baselines"
        )
    card = read_card(models, version, kind)
    if card is None:
        raise InputError(
            f"{models / version / 'model_card.json'} not found, although current.json names version {version}: train again"
        )
    return card


def _current_version(models: Path) -> str | None:
    path = models / CURRENT
    try:
        return str(read_json(path)["version"])
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path}: expected {{"version": "…"}}; remove the file and train again') from error
