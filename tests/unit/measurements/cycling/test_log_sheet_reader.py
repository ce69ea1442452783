"""Logs in spreadsheets that no instrument's program wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = [[10.0 * row, 3.6 + 0.01 * min(row, 15 - row), 1.5 if row < 8 else -1.5] for row in range(16)]
BDF = [["Test Time / s", "Voltage / V", "Current / A"], *ROWS]
PLAIN = [["Cell log of a test stand"], [], ["Time [s]", "Voltage [V]", "Current [A]"], *ROWS]


@pytest.mark.parametrize("name", ["a.xlsx", "a.ods"])
@pytest.mark.parametrize("rows", [BDF, PLAIN])
def test_the_sheet_with_a_log_is_read(
    make_xlsx: Callable[..., bytes], make_ods: Callable[..., bytes], name: str, rows: list[list[Any]]
) -> None:
    make = make_xlsx if name.endswith("xlsx") else make_ods
    measurement = read_bytes(make({"notes": [["made by hand"]], "log": rows}), name)
    assert measurement.format == "cycling-sheet"
    found = measurement.table.select(["test_time_second", "voltage_volt", "current_ampere"]).to_pylist()
    assert [list(row.values()) for row in found] == ROWS
    assert "Sheets without a log were left out: 'notes'." in measurement.warnings


def test_several_logs_in_one_file_are_refused(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError, match="'one' and 'two'"):
        read_bytes(make_xlsx({"one": BDF, "two": BDF}), "a.xlsx")


def test_a_cell_without_a_number_is_refused_with_its_row(make_xlsx: Callable[..., bytes]) -> None:
    rows = [*BDF, [160.0, "high", 1.0]]
    with pytest.raises(MeasurementError, match="row 18: Voltage / V: expected a number, found 'high'"):
        read_bytes(make_xlsx({"log": rows}), "a.xlsx")


def test_a_row_of_units_below_the_headings_is_understood(make_xlsx: Callable[..., bytes]) -> None:
    rows = [
        ["Time", "Voltage", "Current"],
        ["h", "V", "mA"],
        *[[row[0] / 3600, row[1], row[2] * 1000] for row in ROWS],
    ]
    table = read_bytes(make_xlsx({"log": rows}), "a.xlsx").table
    assert table["test_time_second"].to_pylist() == pytest.approx([row[0] for row in ROWS])
    assert table["current_ampere"].to_pylist() == pytest.approx([row[2] for row in ROWS])


def test_a_spreadsheet_without_a_known_table_is_named_as_such(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError, match="file: a spreadsheet, but no sheet has headings of a log"):
        read_bytes(make_xlsx({"cells": [["Name", "Mass"], ["A", 1.0]]}), "a.xlsx")
