from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADINGS = ["f / Hz", "Z' / mΩ", "-Z'' / mΩ"]


@pytest.mark.parametrize("name", ["a.xlsx", "a.ods"])
def test_each_sheet_with_a_table_is_a_spectrum(
    make_xlsx: Callable[..., bytes], make_ods: Callable[..., bytes], name: str
) -> None:
    make = make_xlsx if name == "a.xlsx" else make_ods
    data = make(
        {
            "notes": [["Measured on a Monday"]],
            "first": [["Cell A 7"], [""], HEADINGS, [10.0, 20.0, 3.0], [1.0, 25.5, 4.0]],
            "second": [["Frequency", "Re(Z)", "Im(Z)"], ["Hz", "Ohm", "Ohm"], [5.0, 0.5, -0.25]],
        }
    )
    measurement = read_bytes(data, name)
    table = measurement.table
    assert table["spectrum_index"].to_pylist() == [0, 0, 1]
    assert table["frequency_hertz"].to_pylist() == [10.0, 1.0, 5.0]
    assert table["real_impedance_ohm"].to_pylist() == pytest.approx([0.02, 0.0255, 0.5])
    assert table["imaginary_impedance_ohm"].to_pylist() == pytest.approx([-0.003, -0.004, -0.25])
    assert measurement.format == "impedance-sheet"
    assert measurement.warnings == ("Sheets without a table of impedance were left out: 'notes'.",)


def test_numbers_in_cells_of_text_are_read(make_xlsx: Callable[..., bytes]) -> None:
    table = read_bytes(make_xlsx({"a": [HEADINGS, ["10,5", "20", "3,5"]]}), "a.xlsx").table
    assert table["frequency_hertz"].to_pylist() == [10.5]


def test_spectra_side_by_side_of_unequal_length_are_read(make_xlsx: Callable[..., bytes]) -> None:
    rows = [["f1", "re1", "im1", "", "f2", "re2", "im2"], [10.0, 1.0, -1.0, "", 8.0, 2.0, -2.0], [1.0, 2.0, -3.0]]
    table = read_bytes(make_xlsx({"a": rows}), "a.xlsx").table
    assert table["spectrum_index"].to_pylist() == [0, 0, 1]


def test_notes_and_further_tables_below_a_table_are_told_apart(make_xlsx: Callable[..., bytes]) -> None:
    rows = [HEADINGS, [10.0, 1.0, 1.0], ["mean of three"], [""], HEADINGS, [10.0, 2.0, 2.0], ["", "", "", "by hand"]]
    measurement = read_bytes(make_xlsx({"a": rows}), "a.xlsx")
    assert measurement.table["spectrum_index"].to_pylist() == [0, 1]
    assert "Rows of text between or below the tables were left out: 1." in measurement.warnings


def test_numbers_below_a_note_are_refused(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError, match="sheet 'a', row 4: expected headings after a row of text"):
        read_bytes(make_xlsx({"a": [HEADINGS, [10.0, 1.0, 1.0], ["x", "y", "z"], [1.0, 2.0, 2.0]]}), "a.xlsx")


def test_errors_name_sheet_and_row(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError, match="sheet 'b', row 3: Z' / mΩ: expected a number, found 'x'"):
        read_bytes(
            make_xlsx({"a": [HEADINGS, [1.0, 2.0, 3.0]], "b": [HEADINGS, [1.0, 2.0, 3.0], [1.0, "x", 3.0]]}), "a.xlsx"
        )


def test_a_frequency_that_is_not_positive_is_reported_with_its_sheet(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError, match="sheet 'a', row 2: expected a frequency above 0 Hz, found -1"):
        read_bytes(make_xlsx({"a": [HEADINGS, [-1.0, 2.0, 3.0]]}), "a.xlsx")


def test_admittances_are_refused_with_the_reason(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError, match="sheet 'a', row 1: .*admittances"):
        read_bytes(make_xlsx({"a": [["f/Hz", "Y'/S", "Y''/S"], [1.0, 2.0, 3.0]]}), "a.xlsx")


def test_headings_without_rows_are_refused(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError, match="no data rows"):
        read_bytes(make_xlsx({"a": [HEADINGS]}), "a.xlsx")


def test_a_workbook_of_something_else_is_refused(make_xlsx: Callable[..., bytes]) -> None:
    with pytest.raises(MeasurementError):
        read_bytes(make_xlsx({"a": [["name", "colour"], ["x", "red"]]}), "a.xlsx")


def test_the_same_spectra_in_both_formats_are_equal(shared_data: Path) -> None:
    tables = [
        read_bytes((shared_data / "eis" / "autoeis" / name).read_bytes(), name).table.drop_columns(["source_sha256"])
        for name in ("data.xlsx", "data.ods")
    ]
    assert tables[0].equals(tables[1])
    assert tables[0].num_rows == 4 * 29
