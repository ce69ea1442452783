from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.source import Source

HEADINGS = ["time", "state", "volt"]


def table(
    text: str | bytes, delimiter: str = ",", wanted: tuple[int, ...] = (0, 1, 2), heading_line: int = 1
) -> tuple[DelimitedTable, list[str]]:
    data = text if isinstance(text, bytes) else text.encode()
    warnings: list[str] = []
    source = Source(data, "log.csv")
    return DelimitedTable(source, heading_line, HEADINGS, delimiter, wanted, warnings), warnings


def numbers(text: str | bytes, **options: Any) -> list[float]:
    return list(table(text, **options)[0].required(2))


@pytest.mark.parametrize("notes", ["End of test\n", "\nTest finished\n\nOperator: A. B., no remarks", "Stop\r\n"])
def test_text_below_the_table_is_left_out_and_is_no_half_row(notes: str) -> None:
    found, warnings = table(f"time,state,volt\n0,C,3.5\n1,C,3.6\n{notes}")
    assert list(found.required(2)) == [3.5, 3.6]
    first = notes.strip().splitlines()[0]
    assert warnings == [f"The text below the table was left out; its first line is {first!r}."]


def test_rows_that_begin_with_a_letter_are_not_taken_for_text_below_the_table() -> None:
    found, warnings = table("state,time,volt\nC,0,3.5\nC,1,3.6\nC,2")
    assert list(found.required(2)) == [3.5, 3.6]
    assert warnings[0].startswith("Half-written file: ")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_line_end_is_read(end: str) -> None:
    assert numbers(end.join(["time,state,volt", "0,C,3.5", "1,C,3.6", ""])) == [3.5, 3.6]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_any_encoding_is_read(encoding: str) -> None:
    found, _ = table("time,état,volt\n0,é,3.5\n".encode(encoding))
    assert found.text(1).to_pylist() == ["é"]
    assert list(found.required(2)) == [3.5]


def test_latin_letters_in_other_columns_do_not_matter() -> None:
    assert numbers("time,state,volt\n0,25 °C,3.5\n".encode("latin-1"), wanted=(0, 2)) == [3.5]


def test_blank_lines_and_blanks_round_cells_do_not_matter() -> None:
    assert numbers("time,state,volt\n\n 0, C ,  3.5 \n\n1,C,3.6\n \n") == [3.5, 3.6]


def test_cells_in_quotes_are_read() -> None:
    found, _ = table('"time","state","volt"\n"0","a, b","3.5"\n')
    assert found.text(1).to_pylist() == ["a, b"]
    assert list(found.required(2)) == [3.5]


def test_delimiters_at_the_end_of_all_rows_do_not_matter() -> None:
    assert numbers("time\tstate\tvolt\t\n0\tC\t3.5\t\n1\tC\t3.6\t\n", delimiter="\t") == [3.5, 3.6]


def test_rows_that_are_only_delimiters_are_blank() -> None:
    found, warnings = table("time;state;volt\n0;C;3.5\n;;\n1;C;3.6\n;;\n;;\n", delimiter=";", wanted=(0, 2))
    assert list(found.required(2)) == [3.5, 3.6]
    assert warnings == []


@pytest.mark.parametrize("cells", ["3,5;3,6", "3;3,6", "3.5;3,6", "3,5;3.6"])
def test_either_decimal_sign_is_read_even_mixed(cells: str) -> None:
    first, second = cells.split(";")
    expected = [float(cell.replace(",", ".")) for cell in (first, second)]
    assert numbers(f"time;state;volt\n0;C;{first}\n1;C;{second}\n", delimiter=";") == expected


def test_a_decimal_comma_after_many_whole_numbers_is_read() -> None:
    rows = "".join(f"{row};C;3\n" for row in range(50))
    assert numbers(f"time;state;volt\n{rows}50;C;3,5\n", delimiter=";")[-1] == 3.5


def test_commas_between_thousands_are_left_out() -> None:
    assert numbers('time,state,volt\n0,C,"1,499.88"\n1,C,12.5\n2,C,"1,005,577.25"\n') == [1499.88, 12.5, 1005577.25]


@pytest.mark.parametrize(
    ("small", "large", "delimiter"), [("900", "1,100", ";"), ("900.5", "1,100", "\t"), ("900", '"1,100"', ",")]
)
def test_a_comma_that_may_divide_thousands_is_refused_with_its_line(small: str, large: str, delimiter: str) -> None:
    rows = [delimiter.join(row) for row in (HEADINGS, ("0", "C", small), ("1", "C", large))]
    with pytest.raises(
        MeasurementError, match="line 3: volt: the comma in '1,100' may stand before decimals or betw"
    ):
        numbers("\n".join([*rows, ""]), delimiter=delimiter)


@pytest.mark.parametrize("other", ["0,512", "3,5", "3,5123", "-0,1E-3"])
def test_a_decimal_comma_elsewhere_in_the_table_makes_others_clear(other: str) -> None:
    assert numbers(f"time;state;volt\n{other};C;0\n1;C;1,125\n", delimiter=";") == [0.0, 1.125]


def test_a_comma_between_thousands_next_to_a_decimal_comma_is_refused() -> None:
    with pytest.raises(MeasurementError, match="line 3: volt: the comma in '999,5' may stand before decimals"):
        numbers('time,state,volt\n0,C,"1,499.88"\n1,C,"999,5"\n')


def test_numbers_with_unusual_spelling_are_read() -> None:
    assert numbers("time,state,volt\n0,C,+3.5\n1,C,3.\n2,C,.5e1\n3,C,1E0\n") == [3.5, 3.0, 5.0, 1.0]


def test_a_column_that_turns_into_text_is_left_out_with_its_line() -> None:
    found, warnings = table("time,state,volt\n0,1,3.5\n1,2,3.6\n2,3,3.7\n3,4,3.8\n4,on,3.9\n")
    assert found.optional(1, "step_index") is None
    assert warnings == ["step_index was left out: line 6: state: expected a number, found 'on'."]


def test_missing_cells_of_an_optional_column_are_gaps() -> None:
    found, _ = table("time,state,volt\n0,,3.5\n1,N/A,3.5\n2,nan,3.5\n3,7,3.5\n")
    assert np.array_equal(found.optional(1, "step_index"), [np.nan, np.nan, np.nan, 7.0], equal_nan=True)


def test_the_first_row_keeps_its_letters_and_its_quoted_delimiters() -> None:
    found, _ = table('time,state,volt\n"0, 5",Zelle ü,3.5\n')
    assert [found.first(index) for index in range(3)] == ["0, 5", "Zelle ü", "3.5"]


def test_numbers_can_be_asked_for_as_text() -> None:
    found, _ = table("time,state,volt\n0,007,3.50\n")
    assert (found.text(1).to_pylist(), found.first(2)) == (["007"], "3.50")


def test_a_factor_is_applied() -> None:
    assert list(table("time,state,volt\n0,C,3500\n")[0].required(2, 1e-3)) == [3.5]


def test_repeated_headings_are_left_out_with_a_warning_and_lines_stay_right() -> None:
    restarted = "time,state,volt\n0,C,3.5\ntime,state,volt\n1,C,3.6\ntime,state,volt\n2,C,x\n"
    with pytest.raises(MeasurementError, match="line 6: volt: expected a number, found 'x'"):
        numbers(restarted)
    found, warnings = table(restarted.replace("x", "3.7"))
    assert list(found.required(2)) == [3.5, 3.6, 3.7]
    assert warnings == ["2 lines that repeat the headings were left out."]


def test_repeated_headings_far_down_are_left_out() -> None:
    rows = "".join(f"{row},C,3.5\n" for row in range(3000))
    found, warnings = table(f"time,state,volt\n{rows}time,state,volt\n{rows}")
    assert len(found.required(2)) == 6000
    assert len(warnings) == 1


@pytest.mark.parametrize("cut", ["2,C,3.", "2,C", "2", "2,C,"])
def test_a_half_written_last_row_is_left_out_with_a_warning(cut: str) -> None:
    rows = "".join(f"{row},C,3.{row:03d}\n" for row in range(12))
    found, warnings = table(f"time,state,volt\n{rows}{cut}")
    assert len(found.required(2)) == 12
    assert len(warnings) == 1
    assert "this last row was left out" in warnings[0]


def test_a_last_number_that_may_be_cut_is_kept_with_a_warning() -> None:
    found, warnings = table("time,state,volt\n0,C,3.5\n1,C,3.62")
    assert list(found.required(2)) == [3.5, 3.62]
    assert warnings == ["The file does not end with a line end; its last number, '3.62', may be cut."]


def test_a_last_column_that_is_not_wanted_cannot_be_cut() -> None:
    assert table("time,state,volt\n0,C,3.5\n1,C,3", wanted=(0, 1))[1] == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("time,state,volt\n0,C,3.5\n\n1,C\n2,C,3.5\n", "line 4: 2 columns found, 3 expected"),
        ("time,state,volt\n0,C,3.5\n1,C,3,5\n2,C,3.5\n", "line 3: 4 columns found, 3 expected"),
        ('time,state,volt\n0,"C,3.5\n1,C,3.5\n', "line 2: 2 columns found, 3 expected"),
        ('time,state,volt\n0,C,"3.5\n1",C,3.5\n2,C,3.5\n', "line 2: a double quote is opened"),
        ("time,state,volt\n0,C,3.5\n1,C,1e999\n", "line 3: volt: expected a number, found '1e999'"),
        ("time,state,volt\n0,C,3.5\n1,C,\n2,C,3.5\n", "line 3: volt: expected a number, found ''"),
        ("time,state,volt\n", "no data rows"),
        ("time,state,volt", "no data rows"),
        ("time,state,volt\ntime,state,volt\n", "no data rows"),
        (b"time,state,volt\n0,C,3.5\n1,\x00,3.5\n", "byte 26: binary content"),
        (b"\xff\xfet\x00i\x00\n", "broken UTF-16"),
    ],
)
def test_damage_is_refused_with_its_place(text: str | bytes, problem: str) -> None:
    with pytest.raises(MeasurementError, match=problem):
        numbers(text)


VALUES = st.floats(allow_nan=False, allow_infinity=False)
FORMATS = st.sampled_from(["{!r}", "{:.3f}", "{:e}", "{:+.6E}", " {:g} "])


@given(
    values=st.lists(VALUES, min_size=1, max_size=30),
    form=FORMATS,
    delimiter=st.sampled_from(",;\t"),
    decimal_comma=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    heading_line=st.integers(1, 4),
)
def test_what_was_written_is_read(
    values: list[float], form: str, delimiter: str, decimal_comma: bool, end: str, heading_line: int
) -> None:
    cells = [form.format(value) for value in values]
    shown = [cell.replace(".", ",") for cell in cells] if decimal_comma and delimiter != "," else cells
    rows = [f"{row}{delimiter}C{delimiter}{cell}" for row, cell in enumerate(shown)]
    header = ["comment"] * (heading_line - 1)
    text = end.join([*header, delimiter.join(HEADINGS), *rows, ""])
    found, warnings = table(text, delimiter, heading_line=heading_line)
    assert list(found.required(2)) == [float(cell) for cell in cells]
    assert [found.line(row) for row in range(len(rows))] == [heading_line + 1 + row for row in range(len(rows))]
    assert warnings == []


@given(
    st.lists(st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3), min_size=1, max_size=20),
    st.sampled_from(",;\t"),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_a_small_table_of_numbers_is_read_as_by_the_parser_of_large_ones(
    rows: list[tuple[float, float, float]], delimiter: str, end: str, has_end: bool
) -> None:
    lines = [delimiter.join(HEADINGS), *(delimiter.join(map(repr, row)) for row in rows)]
    small, _ = table(end.join(lines) + (end if has_end else ""), delimiter)
    quoted, _ = table(end.join([*lines, '"0"' + f"{delimiter}0" * 2, ""]), delimiter)
    for index in range(3):
        found = small.required(index)
        assert list(found) == [row[index] for row in rows][: len(found)]
        assert list(found) == list(quoted.required(index))[: len(found)]
        assert len(found) >= len(rows) - (not has_end)


@pytest.mark.parametrize("cell", ["", "nan", "N/A"])
def test_a_gap_in_a_small_table_of_numbers_is_a_gap(cell: str) -> None:
    found, warnings = table(f"time,state,volt\n0,1,3.5\n1,{cell},3.6\n2,3,3.7\n")
    values = found.optional(1, "step_index")
    assert values is not None
    assert list(values[[0, 2]]) == [1, 3]
    assert np.isnan(values[1])
    assert not warnings
