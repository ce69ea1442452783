"""Predicted values as a submodel of their own, never mixed with measured ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.passport.filling import Sources, fill
from battery_pilot.passport.identifiers import submodel_id
from battery_pilot.passport.mapping import part_of
from battery_pilot.passport.submodels import submodel_dict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from battery_pilot.passport.model import Prediction

PART = "BatteryPilotPredictions"


def in_order(predictions: Iterable[Prediction]) -> tuple[Prediction, ...]:
    """Return predictions in the one order that passports keep: by metric, time and model version."""
    return tuple(sorted(predictions, key=lambda one: (one.metric, one.for_time, one.model_version, one.value)))


def prediction_submodel(shell_id: str, predictions: Iterable[Prediction]) -> dict[str, Any]:
    """Return the AAS JSON of a submodel with predictions, for adding to a twin that exists.

    :param shell_id: id of the twin's shell; the submodel's id is derived from it.
    :param predictions: at least one prediction.
    """
    part = part_of(PART)
    filled = fill(part, Sources(category="", roots={"predictions": in_order(predictions)}))
    return submodel_dict(part, submodel_id(shell_id.removesuffix("/aas"), part.segment), filled.elements)
