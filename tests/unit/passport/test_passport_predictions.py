from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aas_core3_1 import jsonization, verification

from battery_pilot.errors import PassportError
from battery_pilot.passport.aas import submodel_dicts
from battery_pilot.passport.predictions import prediction_submodel

if TYPE_CHECKING:
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.model import Prediction


def test_predictions_for_a_twin_are_the_submodel_that_a_whole_passport_has(
    passport: Passport, prediction: Prediction
) -> None:
    submodel = prediction_submodel(passport.identifiers.shell, (prediction,))
    assert submodel in submodel_dicts(passport)
    assert not list(verification.verify(jsonization.submodel_from_jsonable(submodel)))


def test_submodel_without_predictions_is_refused(passport: Passport) -> None:
    with pytest.raises(PassportError, match="nothing to put into it"):
        prediction_submodel(passport.identifiers.shell, ())
