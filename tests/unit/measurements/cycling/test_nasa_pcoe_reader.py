from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


def test_a_discharge_is_read_without_cycle_and_start(
    samples: dict[str, str], cycler_log: list[tuple[float, float, float]]
) -> None:
    table = read_bytes(samples["nasa.csv"].encode(), "01354.csv").table
    assert table["test_time_second"].to_pylist() == [time for time, _, _ in cycler_log]
    assert table["current_ampere"].to_pylist() == [-1.5] * 16
    assert table["temperature_t1_celsius"].to_pylist() == [24.5] * 16
    assert table["measured_at"].null_count == 16
    assert "cycle_count" not in table.column_names


def test_an_impedance_table_is_refused_because_it_has_no_frequencies() -> None:
    text = b"Sense_current,Battery_current,Current_ratio,Battery_impedance,Rectified_Impedance\n(1-1j),(1-1j),(1-1j),(1-1j),\n"
    with pytest.raises(MeasurementError, match="no frequencies"):
        read_bytes(text, "01353.csv")
