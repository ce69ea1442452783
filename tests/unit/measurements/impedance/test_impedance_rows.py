"""Rows below the headings of an impedance table, split at once where all are alike and one by one elsewhere."""

from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.impedance.columns import recognise
from battery_pilot.measurements.impedance.rows import points_in, rows_of
from battery_pilot.measurements.source import Source

SOURCE = Source(b"", "cell.txt")
ROWS = [["1000", "0.02", "-0.001"], ["100", "0.03", "-0.002"], ["10", "0.05", "-0.009"]]


def block(delimiter: str, rows: list[list[str]] = ROWS, *, start: str = "", end: str = "") -> str:
    return "".join(f"{start}{delimiter.join(row)}{end}\n" for row in rows)


def columns_of(text: str, delimiter: str | None, **options: str) -> list[list[str]]:
    rows = rows_of(text, 7, delimiter, 3, SOURCE, **options)
    return [[cell.strip() for cell in rows.column(position)] for position in range(3)]


@pytest.mark.parametrize(
    ("text", "delimiter", "options"),
    [
        (block("\t"), "\t", {}),
        (block(", "), ", ", {}),
        (block("   ", start=" "), None, {}),
        (block("\t", end="\t"), "\t", {}),
        (block("\t", start="\t"), "\t", {"indentation": "\t"}),
        (block("\t").rstrip(), "\t", {}),
        (block("\t").replace("\n", "\n\n"), "\t", {}),
        (f"\n{block(chr(9))}  \n", "\t", {}),
        (block("\t").replace("100\t", '"100"\t'), "\t", {}),
        (block("\t", start="\t").replace("\t100\t", "100\t"), "\t", {"indentation": "\t"}),
    ],
)
def test_cells_stand_in_their_columns_however_the_rows_are_written(
    text: str, delimiter: str | None, options: dict[str, str]
) -> None:
    expected = [list(column) for column in zip(*ROWS, strict=True)]
    found = [[cell.strip('"') for cell in column] for column in columns_of(text, delimiter, **options)]
    assert found == expected


@pytest.mark.parametrize("blank", ["", "\n\n"])
def test_lines_are_counted_from_the_first_line_of_the_block(blank: str) -> None:
    assert list(rows_of(blank + block("\t"), 7, "\t", 3, SOURCE).lines) == [7 + len(blank) + row for row in range(3)]


def test_a_delimiter_that_moved_from_one_row_to_the_next_is_refused() -> None:
    text = "1000\t0.02\n100\t0.03\t-0.002\t7\n10\t0.05\t-0.009\n"
    with pytest.raises(MeasurementError, match="line 7: 2 columns found, 3 expected"):
        rows_of(text, 7, "\t", 3, SOURCE)


WIDE = [[*row, "a", "b", "c", "d", "e"] for row in ROWS]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (block("\t", WIDE), {}),
        (block("\t", WIDE, end="\t"), {}),
        (block("\t", WIDE).replace("\n", "\n\n"), {}),
        (block("\t", WIDE, start="\t"), {"indentation": "\t"}),
        (block("\t", WIDE).replace("\tb\t", '\t"b"\t'), {}),
    ],
)
def test_the_first_columns_of_a_wide_table_are_those_of_the_whole(text: str, options: dict[str, str]) -> None:
    rows = rows_of(text, 7, "\t", 8, SOURCE, last_used=2, **options)
    assert [list(rows.column(position)) for position in range(3)] == [list(one) for one in zip(*ROWS, strict=True)]


def test_a_lost_cell_behind_the_columns_that_are_used_is_refused() -> None:
    text = block("\t", [*WIDE, WIDE[0][:-1]])
    with pytest.raises(MeasurementError, match="line 10: 7 columns found, 8 expected"):
        rows_of(text, 7, "\t", 8, SOURCE, last_used=2)


@pytest.mark.parametrize("last_used", [None, 0])
def test_text_in_a_line_that_is_blank_between_other_rows_is_refused(last_used: int | None) -> None:
    text = block("\t").replace("\n", "\n\n").replace("-0.002\n\n", "-0.002\n-41207\n")
    with pytest.raises(MeasurementError, match="line 10: 1 columns found, 3 expected"):
        rows_of(text, 7, "\t", 3, SOURCE, last_used=last_used)


def test_text_behind_the_last_heading_is_refused_also_where_few_columns_are_used() -> None:
    text = block("\t", [[*row, "x"] for row in WIDE])
    with pytest.raises(MeasurementError, match="line 7: 9 columns found, 8 expected"):
        rows_of(text, 7, "\t", 8, SOURCE, last_used=2)


def test_one_number_in_all_rows_numbers_one_spectrum() -> None:
    columns = recognise(["freq/Hz", "Re(Z)/Ohm", "-Im(Z)/Ohm", "cycle number"])
    assert columns is not None
    rows = rows_of(block("\t", [[*row, "1.0"] for row in ROWS]), 7, "\t", 4, SOURCE)
    assert points_in(rows, columns, SOURCE).spectrum is None
    rows = rows_of(block("\t", [[*row, row[0]] for row in ROWS]), 7, "\t", 4, SOURCE)
    assert points_in(rows, columns, SOURCE).spectrum == [1000.0, 100.0, 10.0]


def test_one_text_in_all_rows_where_a_number_of_the_spectrum_must_stand_is_refused() -> None:
    columns = recognise(["freq/Hz", "Re(Z)/Ohm", "-Im(Z)/Ohm", "cycle number"])
    assert columns is not None
    rows = rows_of(block("\t", [[*row, "none"] for row in ROWS]), 7, "\t", 4, SOURCE)
    with pytest.raises(MeasurementError, match="line 7: cycle number: expected a number, found 'none'"):
        points_in(rows, columns, SOURCE)
