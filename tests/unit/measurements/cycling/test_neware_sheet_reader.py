from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

HEADINGS = ["DataPoint", "Cycle Index", "Step Index", "Step Type", "Time", "Current(mA)", "Voltage(V)", "Date"]
ROWS = [
    [1.0, 1.0, 1.0, "Rest", "00:00:00.000", 0.0, 3.5, "2026-03-31 16:00:00"],
    [2.0, 1.0, 1.0, "Rest", "00:00:10.000", 0.0, 3.5, "2026-03-31 16:00:10"],
    [3.0, 1.0, 2.0, "CC DChg", "00:00:00.000", -500.0, 3.4, "2026-03-31 16:00:10"],
]


def test_records_are_read_with_facts_of_the_test(make_xlsx: Callable[..., bytes]) -> None:
    test = [["Test information"], ["", "Start Time", "2026-03-31 15:59:58", "", "Barcode", "CELL-19"]]
    test.append(["", "Nominal capacity", "3500mAh", "", "Remarks", ""])
    measurement = read_bytes(make_xlsx({"unit": [["a"]], "test": test, "record": [HEADINGS, *ROWS]}), "a.xlsx")
    assert measurement.format == "neware-xlsx"
    assert measurement.table["test_time_second"].to_pylist() == [0.0, 10.0, 10.0]
    assert measurement.table["current_ampere"].to_pylist() == [0.0, 0.0, -0.5]
    assert measurement.metadata.known() == {
        "cell_id": "CELL-19",
        "columns_left_out": ["DataPoint"],
        "nominal_capacity_ah": 3.5,
        "started_at": "2026-03-31T15:59:58+00:00",
        "time_zone": "assumed UTC",
    }


def test_a_label_without_value_does_not_take_the_next_label(make_xlsx: Callable[..., bytes]) -> None:
    test = [["", "Barcode", "", "Remarks", "second life"]]
    assert read_bytes(make_xlsx({"test": test, "record": [HEADINGS, *ROWS]}), "a.xlsx").metadata.cell_id is None


def test_older_sheets_go_on_from_each_other(make_xlsx: Callable[..., bytes]) -> None:
    headings = ["Record Index", "Status", "Cycle", "Step", "Cur(mA)", "Voltage(V)", "CapaCity(mAh)"]
    headings += ["Relative Time(h:min:s.ms)", "Absolute Time"]
    sheets = {
        "Info": [["Equipment", "Unit", "Channel", "Battery of Number(P/N)"], [14.0, 1.0, 3.0, "M221075"]],
        "Detail_14_1_3": [headings, [1.0, "CC_Chg", 1.0, 1.0, 500.0, 3.5, 0.5, "0:00:00.000", "2026-03-31 16:00:00"]],
        "Detail_14_1_3_1": [
            headings,
            [2.0, "CC_DChg", 1.0, 2.0, 500.0, 3.4, 0.5, "0:00:00.0", "2026-03-31 16:00:10"],
        ],
    }
    measurement = read_bytes(make_xlsx(sheets), "a.xlsx")
    assert measurement.table["current_ampere"].to_pylist() == [0.5, -0.5]
    assert measurement.table["charging_capacity_ah"].to_pylist() == [0.0005, None]
    assert (measurement.metadata.cell_id, measurement.metadata.channel) == ("M221075", "14-1-3")


def test_sheets_of_different_tests_are_refused(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError, match="sheet 'record2': other headings than in 'record'"):
        read_bytes(make_xlsx({"record": [HEADINGS, *ROWS], "record2": [HEADINGS[:-1], ROWS[0][:-1]]}), "a.xlsx")


def test_a_missing_voltage_is_refused_with_sheet_and_row(make_xlsx: Callable[..., bytes]) -> None:
    broken = [*ROWS[1][:6], "", ROWS[1][7]]
    with pytest.raises(MeasurementError, match="sheet 'record', row 3: Voltage"):
        read_bytes(make_xlsx({"record": [HEADINGS, ROWS[0], broken]}), "a.xlsx")
