from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

HEADINGS = ["Data_Point", "Test_Time(s)", "Date_Time", "Step_Index", "Cycle_Index", "Current(A)", "Voltage(V)"]
HEADINGS += ["Charge_Capacity(Ah)"]
INFO = [
    ["", "", "", "TEST REPORT"],
    ["Channel", "Start DateTime", "Schedule File Name", "Software Version", "Item ID"],
    [7.0, "2026-03-31 15:59:59", "a.sdu", "PV7.0", "CELL-20"],
]


def rows(first: int, count: int) -> list[list[object]]:
    return [
        [float(point), 10.0 * point, f"2026-03-31 16:00:{10 * point:02}", 1.0, 1.0, 0.5, 3.6, 0.001 * point]
        for point in range(first, first + count)
    ]


def test_channel_sheets_are_joined_in_the_order_of_their_parts(make_xlsx: Callable[..., bytes]) -> None:
    sheets = {
        "Global_Info": INFO,
        "Channel_Chart": [["a picture"]],
        "Channel_7-002": [HEADINGS, *rows(2, 2)],
        "Channel_7-001": [HEADINGS, *rows(0, 2)],
        "Statistics_7-001": [["Cycle_Index"], [1.0]],
    }
    measurement = read_bytes(make_xlsx(sheets), "a.xlsx")
    assert measurement.format == "arbin-xlsx"
    assert measurement.table["test_time_second"].to_pylist() == [0.0, 10.0, 20.0, 30.0]
    assert measurement.table["charging_capacity_ah"].to_pylist() == [0.0, 0.001, 0.002, 0.003]
    assert measurement.table["measured_at"][3].as_py().isoformat() == "2026-03-31T16:00:30+00:00"
    assert measurement.metadata.known() == {
        "cell_id": "CELL-20",
        "channel": "7",
        "columns_left_out": ["Data_Point"],
        "instrument_software": "PV7.0",
        "started_at": "2026-03-31T16:00:00+00:00",
        "time_zone": "assumed UTC",
    }


@pytest.mark.parametrize("name", ["Channel_1-008", "Channel_11_1", "Channel-6_1", "Channel_3"])
def test_the_names_of_all_generations_are_known(make_xlsx: Callable[..., bytes], name: str) -> None:
    assert read_bytes(make_xlsx({name: [HEADINGS, *rows(0, 2)]}), "a.xlsx").table.num_rows == 2


def test_several_channels_are_refused_by_number(make_xlsx: Callable[..., bytes]) -> None:
    sheets = {"Channel_1-001": [HEADINGS, *rows(0, 2)], "Channel_12-001": [HEADINGS, *rows(0, 2)]}
    with pytest.raises(MeasurementError, match="one channel in a file expected, found 2: 1, 12"):
        read_bytes(make_xlsx(sheets), "a.xlsx")


def test_a_gap_is_refused_with_sheet_and_row(make_xlsx: Callable[..., bytes]) -> None:
    broken = [*rows(1, 1)[0][:5], "n/a", *rows(1, 1)[0][6:]]
    with pytest.raises(MeasurementError, match="sheet 'Channel_1', row 3: Current"):
        read_bytes(make_xlsx({"Channel_1": [HEADINGS, *rows(0, 1), broken]}), "a.xlsx")


def test_an_empty_sheet_is_refused(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError, match="columns are missing"):
        read_bytes(make_xlsx({"Channel_1": [[]]}), "a.xlsx")
