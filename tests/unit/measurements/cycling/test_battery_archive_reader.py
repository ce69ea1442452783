from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

HEADINGS = (
    "Date_Time,Test_Time (s),Cycle_Index,Current (A),Voltage (V),Charge_Capacity (Ah),Discharge_Capacity (Ah),"
    "Charge_Energy (Wh),Discharge_Energy (Wh),Environment_Temperature (C),Cell_Temperature (C)"
)


def test_a_time_series_is_read_with_both_temperatures() -> None:
    row = "2010-09-02 14:35:40,30.009,1.0,-0.5,3.843,0.0,0.25,0.0,0.9,24.5,25.5"
    measurement = read_bytes(f"{HEADINGS}\n{row}\n".encode(), "a_timeseries.csv")
    assert (measurement.format, measurement.instrument) == ("battery-archive", None)
    found = measurement.table.to_pylist()[0]
    assert (found["test_time_second"], found["current_ampere"], found["voltage_volt"]) == (30.009, -0.5, 3.843)
    assert (found["ambient_temperature_celsius"], found["temperature_t1_celsius"]) == (24.5, 25.5)
    assert found["discharging_capacity_ah"] == 0.25
    assert found["measured_at"] == datetime(2010, 9, 2, 14, 35, 40, tzinfo=UTC)


def test_a_table_of_cycles_is_refused_with_advice() -> None:
    text = b"Cycle_Index,Start_Time,End_Time,Test_Time (s),Min_Current (A),Max_Current (A)\n1,,,1,0,1\n"
    with pytest.raises(MeasurementError, match="cycle summary .* hand in the time series"):
        read_bytes(text, "a_cycle_data.csv")
