from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


def test_channel_data_are_read(samples: dict[str, str], cycler_log: list[tuple[float, float, float]]) -> None:
    table = read_bytes(samples["arbin.csv"].encode(), "a.csv").table
    columns = [table[name].to_pylist() for name in ("test_time_second", "voltage_volt", "current_ampere")]
    assert list(zip(*columns, strict=True)) == cycler_log
    assert table["cycle_count"].to_pylist() == [0] * 16
    assert table["step_index"].to_pylist() == [2] * 16
    assert table["charging_capacity_ah"].to_pylist() == [0.0] * 16


def test_epoch_seconds_are_utc_without_a_warning(samples: dict[str, str]) -> None:
    measurement = read_bytes(samples["arbin.csv"].encode(), "a.csv")
    assert measurement.table["measured_at"][0].as_py() == datetime(2017, 7, 2, 14, 39, 13, tzinfo=UTC)
    assert measurement.warnings == ()


def test_a_decimal_comma_in_epoch_seconds_does_not_matter(samples: dict[str, str]) -> None:
    with_points = read_bytes(samples["arbin.csv"].encode(), "a.csv")
    with_commas = read_bytes(samples["arbin.csv"].replace(",", ";").replace(".", ",").encode(), "a.csv")
    for name in ("measured_at", "test_time_second", "voltage_volt", "current_ampere"):
        assert with_commas.table[name].to_pylist() == with_points.table[name].to_pylist()


@pytest.mark.parametrize(
    "headings",
    [
        "Data_Point,Test_Time(s),Date_Time,Cycle_Index,Current(A),Voltage(V),Cell_Temperature (C)",
        "Data Point,Test Time (s),Date Time,Cycle Index,Current (A),Voltage (V),Aux_Temperature_1 (C)",
        "data_point,test_time,datetime,cycle_index,current,voltage,temperature",
    ],
)
def test_spellings_and_dates_are_understood(headings: str) -> None:
    measurement = read_bytes(f"{headings}\n1,30.5,\t09/20/2024 08:32:34.558,1.0,-2.5,3.5,25\n".encode(), "a.csv")
    row = measurement.table.to_pylist()[0]
    assert row["measured_at"] == datetime(2024, 9, 20, 8, 32, 34, 558000, tzinfo=UTC)
    assert (row["test_time_second"], row["current_ampere"], row["voltage_volt"]) == (30.5, -2.5, 3.5)
    assert (row["cycle_count"], row["temperature_t1_celsius"]) == (1, 25.0)
    assert measurement.metadata.time_zone == "assumed UTC"


def test_milliampere_become_ampere() -> None:
    table = read_bytes(b"Data_Point,Test_Time(s),Current(mA),Voltage(V)\n1,0,250,3.5\n", "a.csv").table
    assert table["current_ampere"].to_pylist() == [0.25]


def test_empty_steps_stay_empty() -> None:
    text = b"Data_Point,Test_Time,Step_Index,Cycle_Index,Current,Voltage\n0,0,,,1,3.5\n1,1,4.0,,1,3.5\n"
    table = read_bytes(text, "a.csv").table
    assert table["step_index"].to_pylist() == [None, 4]
    assert "cycle_count" not in table.column_names


def test_steps_that_are_not_whole_are_left_out_with_a_warning() -> None:
    measurement = read_bytes(b"Test_Time,Step_Index,Current,Voltage\n0,1.5,1,3.5\n", "a.csv")
    assert "step_index" not in measurement.table.column_names
    assert any("step_index was left out" in warning for warning in measurement.warnings)


def test_an_item_id_becomes_the_battery() -> None:
    measurement = read_bytes(b"Test_Time,Step_Index,Current,Voltage,Item_ID\n0,1,1,3.5,EL15\n", "a.csv")
    assert measurement.metadata.cell_id == "EL15"
    assert measurement.table["battery_id"].to_pylist() == ["EL15"]


@pytest.mark.parametrize(
    "headings", [",Test_ID,Device_ID,Schedule_File_Name", ",test_id,device_id,schedule_file_name"]
)
def test_a_companion_metadata_file_is_refused_with_advice(headings: str) -> None:
    with pytest.raises(MeasurementError, match="companion metadata file .* without '_Metadata'"):
        read_bytes(f"{headings}\n0,1,2,a.sdu\n".encode(), "a_Metadata.csv")


@pytest.mark.parametrize("heading", ["Date_Time,Cycle Index,Charge Time (s),Discharge Time (s),V_Max_On_Cycle (V)"])
def test_statistics_are_refused_with_advice(heading: str) -> None:
    text = f"{heading},Test Time (s),Voltage (V),Current (A)\n01/02/2026 10:00:00,1,10,10,4.2,20,3.6,1\n"
    with pytest.raises(MeasurementError, match="statistics .* with the time series"):
        read_bytes(text.encode(), "a_StatisticByCycle.CSV")


def test_a_report_is_refused_with_advice() -> None:
    with pytest.raises(MeasurementError, match="report of an Arbin test"):
        read_bytes(b"\xef\xbb\xbf,,,TEST REPORT,,\n,, Test Name,a,\n", "a_GlobalInfo.CSV")


def test_numbers_that_are_no_dates_are_left_out_with_a_warning() -> None:
    measurement = read_bytes(b"Test_Time,DateTime,Step_Index,Current,Voltage\n0,12.5,1,1,3.5\n", "a.csv")
    assert measurement.table["measured_at"].to_pylist() == [None]
    assert any("not seconds since 1970" in warning for warning in measurement.warnings)


def test_dates_of_spreadsheets_are_read_with_a_warning() -> None:
    measurement = read_bytes(b"Test_Time,DateTime,Step_Index,Current,Voltage\n0,42867.5,1,1,3.5\n", "a.csv")
    assert measurement.table["measured_at"].to_pylist() == [datetime(2017, 5, 12, 12, tzinfo=UTC)]
    assert any("days since 1899-12-30" in warning for warning in measurement.warnings)
