from __future__ import annotations

import hashlib

import pytest

from battery_pilot.measurements import read_bytes

LONG = "channel_index,cycle_index,step_index,date_time_iso_string,test_time_s,current_A,voltage_V,charge_capacity_Ah"
LONG += ",discharge_capacity_Ah,temperature_1_C,step_name"


def test_counters_of_the_step_count_in_its_direction(samples: dict[str, str]) -> None:
    table = read_bytes(samples["landt.csv"].encode(), "a.csv").table
    assert table["charging_capacity_ah"].to_pylist() == [0.0] * 8 + [None] * 8
    assert table["discharging_capacity_ah"].to_pylist() == [None] * 8 + [0.0] * 8


def test_the_long_headings_below_a_header_are_read() -> None:
    rows = "1,1,1,04/30/2024 14:33:19,0.02,0,2.9,0,0,0,rest,\n2,1,2,04/30/2024 14:33:34,15.02,0.2,2.9,0.1,0,0,charge CC,\n"
    text = f"cell model:,,,,,,,,,,\ncell id: ,,,,,,,,,,\n{LONG}\n{rows}"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["test_time_second"].to_pylist() == [0.02, 15.02]
    assert measurement.table["charging_capacity_ah"].to_pylist() == [0.0, 0.1]
    assert "temperature_t1_celsius" not in measurement.table.column_names
    assert any("as without a probe" in warning for warning in measurement.warnings)


@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_chinese_headings_are_read_in_both_encodings(encoding: str) -> None:
    text = (
        "记录号,测试时间/Sec,电流/mA,电压/V,容量/mAh,循环序号,状态\n1,0,5,3.5,0,1,恒流充电\n2,10,5,3.4,1,1,恒流放电\n"
    )
    table = read_bytes(text.encode(encoding), "a.csv").table
    assert table["current_ampere"].to_pylist() == [0.005, -0.005]


def test_times_of_the_step_become_the_time_of_the_test() -> None:
    text = "Record,StepTime/min,Current/mA,Voltage/V,StepNo\n1,0,5,3.5,1\n2,2,5,3.5,1\n3,0,-5,3.4,2\n4,1,-5,3.4,2\n"
    table = read_bytes(text.encode(), "a.csv").table
    assert table["test_time_second"].to_pylist() == [0.0, 120.0, 120.0, 180.0]


def test_the_digest_of_a_chinese_file_is_that_of_its_bytes() -> None:
    data = "记录号,测试时间/Sec,电流/mA,电压/V,循环序号,状态\n1,0,5,3.5,1,恒流充电\n2,10,5,3.6,1,恒流充电\n".encode(
        "gbk"
    )
    assert read_bytes(data, "a.csv").source_sha256 == hashlib.sha256(data).hexdigest()


def test_charge_at_constant_voltage_counts_as_charge() -> None:
    text = "Record,TestTime,Current/mA,Capacity/mAh,Voltage/V,Step-State,AuxTemp/dC.\n"
    text += "1,00:00:00,5,0,3.5,RateC,-\n2,00:00:10,5,0.01,3.6,CVC,-\n3,00:00:20,-5,0.02,3.4,CVD,-\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["charging_capacity_ah"].to_pylist() == pytest.approx([0.0, 1e-5, None])
    assert measurement.table["discharging_capacity_ah"].to_pylist() == pytest.approx([None, None, 2e-5])
    assert not any("is 0 in every row" in warning for warning in measurement.warnings)
