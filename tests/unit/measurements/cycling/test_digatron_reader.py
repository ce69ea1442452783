from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


def test_the_labels_become_metadata(samples: dict[str, str]) -> None:
    measurement = read_bytes(samples["digatron.csv"].encode(), "a.csv")
    assert measurement.metadata.known() == {
        "cell_id": "CELL-17",
        "columns_left_out": ["Step Time", "Procedure", "Capacity [Ah]"],
        "nominal_capacity_ah": 3.0,
        "started_at": "2026-03-31T16:00:00+00:00",
        "time_zone": "assumed UTC",
    }
    assert measurement.table["temperature_t1_celsius"].to_pylist() == [25.5] * 16


def test_units_behind_a_number_sign_are_read() -> None:
    headings = "Timestamp,Step,Status,Program Duration#s,Step Duration#s,Voltage#V,Current#mA,T1#°C,AhCha#Ah,AhDch#Ah"
    rows = "2026-03-31 16:00:00,3,CHA,0,0,3.5,500,25,0.1,0\n2026-03-31 16:00:10,4,DCH,10,0,3.4,-500,25,0,0.2\n"
    table = read_bytes(f"{headings}\n{rows}".encode(), "a.csv").table
    assert table["current_ampere"].to_pylist() == [0.5, -0.5]
    assert table["discharging_capacity_ah"].to_pylist() == [0.0, 0.2]


def test_missing_columns_are_named(samples: dict[str, str]) -> None:
    with pytest.raises(MeasurementError, match="columns are missing for voltage_volt"):
        read_bytes(samples["digatron.csv"].replace("Voltage", "Spannung").encode(), "a.csv")
