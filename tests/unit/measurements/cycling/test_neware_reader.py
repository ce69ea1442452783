from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Measurement

HEADINGS = "DataPoint,Cycle Index,Step Index,Step Type,Time,Current(A),Voltage(V),Capacity(Ah),Date"


def read_rows(*rows: str, headings: str = HEADINGS, encoding: str = "utf-8") -> Measurement:
    return read_bytes("\n".join([headings, *rows, ""]).encode(encoding), "a.csv")


def test_times_that_begin_anew_in_each_step_become_the_time_of_the_test() -> None:
    table = read_rows(
        "1,1,1,Rest,00:00:00.000,0,3.5,0,2026-01-01 10:00:00",
        "2,1,1,Rest,25:00:10.500,0,3.5,0,2026-01-02 11:00:10",
        "3,1,2,CC Chg,00:00:00.000,1,3.6,0,2026-01-02 11:00:11",
        "4,1,2,CC Chg,00:00:20.000,1,3.7,0.01,2026-01-02 11:00:31",
    ).table
    assert table["test_time_second"].to_pylist() == [0.0, 90010.5, 90010.5, 90030.5]
    assert table["step_index"].to_pylist() == [1, 1, 2, 2]


def test_the_capacity_of_a_step_counts_in_its_direction() -> None:
    table = read_rows(
        "1,1,1,Rest,00:00:00,0,3.5,0,2026-01-01 10:00:00",
        "2,1,2,CCCV Chg,00:00:10,1,3.6,0.5,2026-01-01 10:00:10",
        "3,1,3,CC DChg,00:00:10,-1,3.4,0.25,2026-01-01 10:00:20",
    ).table
    assert table["charging_capacity_ah"].to_pylist() == [None, 0.5, None]
    assert table["discharging_capacity_ah"].to_pylist() == [None, None, 0.25]


def test_a_current_without_sign_gets_it_from_the_step_type() -> None:
    measurement = read_rows(
        "1,1,1,CC_Chg,0:00:00.0,1000,3.6",
        "2,1,2,CC_DChg,0:00:00.0,1000,3.5",
        headings="Record ID,Cycle ID,Step ID,Status,Time(h:min:s.ms),Current(mA),Voltage(V)",
    )
    assert measurement.table["current_ampere"].to_pylist() == [1.0, -1.0]
    assert any("no sign in the file" in warning for warning in measurement.warnings)


CHINESE = "数据序号,循环号,工步号,工步类型,时间,总时间,电流(mA),电压(V),充电容量(mAh),放电容量(mAh),绝对时间"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk"])
def test_chinese_headings_are_read_in_both_encodings(encoding: str) -> None:
    measurement = read_rows(
        "1,1,1,恒流充电,00:00:00,00:00:00,500,3.6,0.1,0,2026-01-01 10:00:00",
        "2,1,2,恒流放电,00:00:00,00:00:10,500,3.5,0,0.2,2026-01-01 10:00:10",
        headings=CHINESE,
        encoding=encoding,
    )
    assert measurement.table["current_ampere"].to_pylist() == [0.5, -0.5]
    assert measurement.table["test_time_second"].to_pylist() == [0.0, 10.0]
    assert measurement.table["discharging_capacity_ah"].to_pylist() == pytest.approx([0.0, 2e-4])


def test_units_of_the_small_ranges_are_converted() -> None:
    headings = "DataPoint,Step Type,Total Time,Current(\xb5A),Voltage(mV),Chg. Cap.(mAs),DChg. Cap.(mAs),Date"
    row = "1,CC Chg,00:00:01,7200,3600,7.2,0,2026-01-01 10:00:00"
    table = read_rows(row, headings=headings, encoding="latin-1").table
    names = ["current_ampere", "voltage_volt", "charging_capacity_ah"]
    assert [table[name][0].as_py() for name in names] == pytest.approx([0.0072, 3.6, 2e-6])


def test_records_below_lines_for_cycle_and_step_know_their_cycle_and_step(samples: dict[str, str]) -> None:
    table = read_bytes(samples["neware_nested.csv"].encode(), "a.csv").table
    assert table["cycle_count"].to_pylist() == [1] * 16
    assert table["step_count"].to_pylist() == [1] * 8 + [2] * 8
    assert table["discharging_capacity_ah"].null_count == 8


def test_a_step_in_a_line_of_its_own_is_read() -> None:
    text = "Cycle ID\n,Step ID,Step Name\n,,Record ID,Time(h:min:s.ms),Voltage(V),Current(mA)\n"
    text += "1\n,1,Rest\n,,1,0:00:00.0,3.5,0\n2\n,1,CC_DChg\n,,2,0:00:00.0,3.4,1000\n,,3,0:00:09.0,3.4,1000\n"
    table = read_bytes(text.encode(), "a.csv").table
    assert table["cycle_count"].to_pylist() == [1, 2, 2]
    assert table["current_ampere"].to_pylist() == [0.0, -1.0, -1.0]
    assert table["test_time_second"].to_pylist() == [0.0, 0.0, 9.0]


def test_a_broken_line_of_a_step_is_refused_with_its_number(samples: dict[str, str]) -> None:
    text = samples["neware_nested.csv"].replace(",2,2,CC DChg", ",?,2,CC DChg")
    with pytest.raises(MeasurementError, match="line 13: expected the number of a step, found '\\?'"):
        read_bytes(text.encode(), "a.csv")


def test_records_without_a_line_for_their_step_are_refused(samples: dict[str, str]) -> None:
    text = samples["neware_nested.csv"].replace("1,0.1,0.1,1,1,CC Chg,00:01:10\n", "")
    with pytest.raises(MeasurementError, match="a line for the first step"):
        read_bytes(text.encode(), "a.csv")


def test_an_impossible_time_is_refused_with_its_line() -> None:
    with pytest.raises(MeasurementError, match="line 3: Time: expected a time such as 1:02:03.5, found '00:99'"):
        read_rows("1,1,1,Rest,00:00:00,0,3.5,0,2026-01-01 10:00:00", "2,1,1,Rest,00:99,0,3.5,0,2026-01-01 10:00:00")
