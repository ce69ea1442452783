from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


@pytest.mark.parametrize(
    ("first_line", "what"),
    [("EC-Lab LOG FILE", "log"), ("BT-Lab LOG FILE", "log"), ("EC-LAB SETTING FILE", "settings")],
)
def test_log_and_settings_of_a_run_are_refused_with_the_place_of_the_measurement(first_line: str, what: str) -> None:
    with pytest.raises(MeasurementError, match=f"the {what} of a run holds no measurement; read the .mpr file"):
        read_bytes(f"{first_line}\n\nModulo Bat\n".encode(), "a.mpl")
