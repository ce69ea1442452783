from __future__ import annotations

import pytest

from battery_pilot.errors import TerminalError
from battery_pilot.learning.features import FEATURES
from battery_pilot.learning.training import refuse_repeated, training_parameters, usable_features


def test_features_need_values_in_two_folds() -> None:
    folds = dict.fromkeys(FEATURES, 0) | {FEATURES[0]: 3, FEATURES[1]: 1, FEATURES[2]: 2}
    assert usable_features(folds) == (FEATURES[0], FEATURES[2])


def test_no_usable_feature_is_refused() -> None:
    with pytest.raises(TerminalError, match="no feature differs"):
        usable_features(dict.fromkeys(FEATURES, 0))


def test_repeated_checkup_is_refused_with_battery_and_source() -> None:
    refuse_repeated(None, "history")
    with pytest.raises(TerminalError, match=r"lake/history: battery 'B7' has two rows with the same as_of"):
        refuse_repeated("B7", "lake/history")


def test_seed_is_a_parameter_of_the_training() -> None:
    assert training_parameters(1) == training_parameters(0) | {"seed": 1}
