from __future__ import annotations

import struct
import zipfile
from datetime import date, datetime, time, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import sheet_limits
from battery_pilot.measurements.binary_excel import extent_of
from battery_pilot.measurements.old_excel import check_old_excel
from battery_pilot.measurements.sheets import SheetTable, Workbook, as_number, as_text
from battery_pilot.measurements.source import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROWS = [["time", "voltage", "state"], [1.0, 3.5, "charge"], [2.5, 3.25, ""]]
HEAD = '<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">'


def workbook(data: bytes, name: str = "a.xlsx") -> Workbook:
    found = Source(data, name).workbook
    assert found is not None
    return found


def all_rows(data: bytes, name: str = "a.xlsx") -> list[list[list[Any]]]:
    book = workbook(data, name)
    return [book.rows(sheet) for sheet in book.sheet_names]


@pytest.fixture(scope="session")
def makers(make_xlsx: Callable[..., bytes], make_ods: Callable[..., bytes]) -> dict[str, Callable[..., bytes]]:
    return {"a.xlsx": make_xlsx, "a.ods": make_ods}


@pytest.mark.parametrize("name", ["a.xlsx", "a.ods"])
def test_sheets_give_their_rows(makers: dict[str, Callable[..., bytes]], name: str) -> None:
    book = workbook(makers[name]({"one": ROWS, "two": [["x"]]}), name)
    assert book.sheet_names == ("one", "two")
    assert book.rows("one") == ROWS
    assert book.rows("one", 2) == ROWS[:2]
    assert book.rows("two") == [["x"]]


def test_rows_begin_in_the_first_line_and_column(make_xlsx: Callable[..., bytes]) -> None:
    sheet = f'{HEAD}<sheetData><row r="3"><c r="C3"><v>1</v></c></row></sheetData></worksheet>'
    assert all_rows(make_xlsx({"a": sheet})) == [[["", "", ""], ["", "", ""], ["", "", 1.0]]]


@pytest.mark.parametrize(
    "reference", ["XFD1048576", "XFD1", "AAAA4000", "ZZZZZZZZZZ1", "A99999999999999999999999999", "a1048576"]
)
def test_cells_far_away_are_refused_before_memory_is_taken(make_xlsx: Callable[..., bytes], reference: str) -> None:
    sheet = f'{HEAD}<sheetData><row><c r="CZ2500"><v>1</v></c><c r="{reference}"><v>1</v></c></row></sheetData></worksheet>'
    with pytest.raises(MeasurementError, match="spread over an area"):
        all_rows(make_xlsx({"a": sheet}))


@pytest.mark.parametrize(
    "cells",
    [
        "<c r='A1'><v>1</v></c><c  r = 'XFD1048576'><v>1</v></c>",
        '<c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFC1"><v>1</v></c><c><v>1</v></c>',
        '<c r="A1"><v>1</v></c><x:c xmlns:x="a" r="XFD1048576"><x:v>1</x:v></x:c>',
        '<c r="A1"><v>1</v></c><c s="1" r="XFD1048576"><v>1</v></c>',
    ],
)
def test_references_in_other_spellings_are_found(make_xlsx: Callable[..., bytes], cells: str) -> None:
    sheet = f"{HEAD}<sheetData><row>{cells}</row></sheetData></worksheet>"
    with pytest.raises(MeasurementError):
        all_rows(make_xlsx({"a": sheet}))


def test_empty_cells_far_away_do_no_harm(make_xlsx: Callable[..., bytes]) -> None:
    cells = '<c r="A1"><v>1</v></c><c r="XFD1" s="1"/></row><row r="1048576"><c r="A1048576" s="1"/>'
    assert all_rows(make_xlsx({"a": f"{HEAD}<sheetData><row>{cells}</row></sheetData></worksheet>"})) == [[[1.0]]]


FILLED = '<table:table-cell office:value-type="float" office:value="1"{}/>'
EMPTY = "<table:table-cell{}/>"
COLUMNS = ' table:number-columns-repeated="16000"'


@pytest.mark.parametrize(
    "rows",
    [
        f'<table:table-row table:number-rows-repeated="1000000">{FILLED.format(COLUMNS)}</table:table-row>',
        f"<table:table-row>{EMPTY.format(COLUMNS)}{FILLED.format('')}</table:table-row>"
        f'<table:table-row table:number-rows-repeated="90000">{FILLED.format("")}</table:table-row>',
        '<table:table-row><table:table-cell office:value-type="string"><text:p><text:s text:c="999999999"/></text:p>'
        "</table:table-cell></table:table-row>",
        '<table:table-row table:number-rows-repeated="200000"><table:table-cell office:value-type="string"><text:p>'
        + 4000 * "long "
        + "</text:p></table:table-cell></table:table-row>",
    ],
)
def test_repeated_cells_and_texts_of_ods_are_refused(make_ods: Callable[..., bytes], rows: str) -> None:
    with pytest.raises(MeasurementError, match="texts repeated"):
        all_rows(make_ods({"a": rows}), "a.ods")


def test_empty_rows_and_cells_that_ods_repeats_at_the_end_do_no_harm(make_ods: Callable[..., bytes]) -> None:
    rows = f"<table:table-row>{FILLED.format('')}{EMPTY.format(COLUMNS)}</table:table-row>"
    rows += f'<table:table-row table:number-rows-repeated="1048000">{EMPTY.format(COLUMNS)}</table:table-row>'
    assert all_rows(make_ods({"a": rows}), "a.ods") == [[[1.0]]]


def test_a_shared_text_in_many_cells_is_refused(make_xlsx: Callable[..., bytes]) -> None:
    cells = "".join(f'<row r="{row}"><c r="A{row}" t="s"><v>0</v></c></row>' for row in range(1, 40_000))
    strings = f"<sst><si><t>{'x' * 20_000}</t></si></sst>"
    data = make_xlsx({"a": f"{HEAD}<sheetData>{cells}</sheetData></worksheet>"}, **{"xl/sharedStrings.xml": strings})
    with pytest.raises(MeasurementError, match=r"xl/sharedStrings\.xml: .*texts repeated"):
        all_rows(data)


def test_a_member_that_unpacks_to_far_more_than_it_takes_is_refused(make_xlsx: Callable[..., bytes]) -> None:
    data = make_xlsx({"a": f"{HEAD}<sheetData/></worksheet>{' ' * (20 << 20)}"})
    with pytest.raises(MeasurementError, match="more than 200 times"):
        all_rows(data)


def test_members_that_unpack_to_more_than_the_limit_are_refused(
    make_xlsx: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sheet_limits, "_LARGEST_BYTES", 1000)
    with pytest.raises(MeasurementError, match="unpacks to more than"):
        all_rows(make_xlsx({"a": ROWS, "b": ROWS}))


def test_a_member_that_is_larger_than_declared_is_refused(make_xlsx: Callable[..., bytes]) -> None:
    data = bytearray(make_xlsx({"a": ROWS}))
    with zipfile.ZipFile(BytesIO(data)) as archive:
        size = archive.getinfo("xl/worksheets/sheet1.xml").file_size
    end = data.rindex(b"xl/worksheets/sheet1.xml") - 46
    assert struct.unpack_from("<I", data, end + 24)[0] == size
    struct.pack_into("<I", data, end + 24, size - 10)
    with pytest.raises(MeasurementError, match="bytes unpacked where"):
        all_rows(bytes(data))


def test_document_types_are_refused(make_xlsx: Callable[..., bytes]) -> None:
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    with pytest.raises(MeasurementError, match="document type"):
        all_rows(make_xlsx({"a": f"{bomb}{HEAD}<sheetData/></worksheet>"}))


@pytest.mark.parametrize(
    "xml", ['<?xml version="1.0" encoding="UT6-8"?><a/>', "<a", "<a></b>", f"<a b='{'c' * (3 << 20)}'/>"]
)
def test_xml_that_is_not_well_formed_is_refused(make_ods: Callable[..., bytes], xml: str) -> None:
    content = BytesIO(make_ods({"a": ROWS}))
    with zipfile.ZipFile(content) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, xml if name == "content.xml" else data)
    with pytest.raises(MeasurementError, match="XML"):
        all_rows(content.getvalue(), "a.ods")


def test_large_pictures_beside_the_sheets_do_no_harm(make_xlsx: Callable[..., bytes]) -> None:
    picture = "<" + "".join(map(chr, range(64, 128))) * (6 << 14)
    assert all_rows(make_xlsx({"a": ROWS}, **{"xl/media/image1.emf": picture})) == [ROWS]


def test_an_archive_inside_an_archive_is_no_spreadsheet(make_xlsx: Callable[..., bytes]) -> None:
    outer = BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("a.xlsx", make_xlsx({"a": ROWS}))
    assert Source(outer.getvalue(), "a.xlsx").workbook is None


def test_a_panic_of_the_parser_is_a_measurement_error() -> None:
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})
    book = Workbook(Source(b"PK", "a.xlsx"))

    def fail() -> None:
        raise panic("attempt to subtract with overflow")

    with pytest.raises(MeasurementError, match="attempt to subtract"):
        book._parsed(fail)


def test_an_interrupt_is_no_measurement_error() -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Workbook(Source(b"PK", "a.xlsx"))._parsed(fail)


def old_excel(table: list[int]) -> bytes:
    """Return a compound file of one sector of the directory and one with the table of following sectors."""
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    struct.pack_into("<HHHHH", header, 24, 0x3E, 3, 0xFFFE, 9, 6)
    struct.pack_into("<IIIIIIII", header, 44, 1, 0, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)
    struct.pack_into("<109I", header, 76, 1, *[0xFFFFFFFF] * 108)
    return bytes(header) + bytes(512) + struct.pack("<128I", *table, *[0xFFFFFFFF] * (128 - len(table)))


@pytest.mark.parametrize(
    ("table", "problem"),
    [([0], "circular"), ([0xFFFFFFFE, 0xFFFFFFFD], "holds no workbook"), ([900], "behind its end")],
)
def test_old_excel_files_with_a_damaged_structure_are_refused(table: list[int], problem: str) -> None:
    with pytest.raises(MeasurementError, match=problem):
        all_rows(old_excel(table), "a.xls")


def directory_entry(name: str, start: int, size: int) -> bytes:
    letters = name.encode("utf-16-le")
    return struct.pack("<64sH50xII4x", letters, len(letters) + 2, start, size)


def short_old_excel(stream: bytes) -> bytes:
    """Return an xls file whose workbook is too short for sectors of its own."""
    end, free = 0xFFFFFFFE, 0xFFFFFFFF
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    struct.pack_into("<H", header, 30, 9)
    struct.pack_into("<I", header, 48, 1)
    struct.pack_into("<II", header, 60, 2, 1)
    struct.pack_into("<I", header, 68, end)
    struct.pack_into("<109I", header, 76, 0, *[free] * 108)
    sectors = struct.pack("<128I", 0xFFFFFFFD, end, end, end, *[free] * 124)
    directory = directory_entry("Root Entry", 3, 512) + directory_entry("Workbook", 1, len(stream))
    short = struct.pack("<128I", free, 2, end, *[free] * 125)
    return bytes(header) + sectors + directory.ljust(512, b"\0") + short + (bytes(64) + stream).ljust(512, b"\0")


def test_an_old_excel_file_with_a_short_workbook_is_checked_under_any_name() -> None:
    sheet = 4 * struct.calcsize("<H") + struct.calcsize("<I")
    stream = struct.pack("<HHI", 0x0085, 4, sheet).ljust(sheet, b"\0") + struct.pack("<HH", 0x0809, 0)
    source = Source(short_old_excel(stream.ljust(100, b"\0")), "a.dat")
    assert source.workbook is not None
    check_old_excel(source)


@pytest.mark.parametrize(
    ("layout", "rows", "problem"),
    [
        ("<HHIIHH2x", (0, 60_000), "spread over an area"),
        ("<HHHHHH2x", (0, 60_000), "spread over an area"),
        ("<HHIIHH2x", (34_048, 38), "ends before it begins"),
        ("<HHHHHH2x", (34_048, 38), "ends before it begins"),
    ],
)
def test_an_old_excel_file_with_impossible_dimensions_is_refused(
    layout: str, rows: tuple[int, int], problem: str
) -> None:
    dimensions = struct.pack(layout, 0x0200, struct.calcsize(layout) - 4, *rows, 0, 256)
    with pytest.raises(MeasurementError, match=problem):
        check_old_excel(Source(short_old_excel(dimensions.ljust(100, b"\0")), "a.dat"))


def test_other_files_in_the_container_of_old_office_are_no_spreadsheets() -> None:
    data = short_old_excel(b"").replace("Workbook".encode("utf-16-le"), "WordDocu".encode("utf-16-le"))
    assert Source(data, "a.doc").workbook is None


def binary_record(kind: int, content: bytes) -> bytes:
    first = bytes([kind]) if kind < 128 else bytes([kind & 0x7F | 0x80, kind >> 7])
    return first + bytes([len(content)]) + content


def binary_sheet(row: int, column: int) -> bytes:
    cell = binary_record(7, struct.pack("<III", column, 0, 0))
    return binary_record(145, b"") + binary_record(0, struct.pack("<I", row)) + cell + binary_record(146, b"")


def test_the_extent_of_a_binary_sheet_is_that_to_its_last_cell() -> None:
    assert extent_of(binary_sheet(9, 4)) == (50, 1, 0)
    assert extent_of(binary_record(19, b"abc") + binary_record(19, b"a")) == (0, 0, 3)


@given(data=st.binary(max_size=200))
def test_the_extent_of_any_bytes_is_found(data: bytes) -> None:
    assert extent_of(binary_record(145, b"") + data).cells >= 0


def test_a_binary_sheet_with_cells_far_apart_is_refused() -> None:
    sink = BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("xl/workbook.bin", b"")
        archive.writestr("xl/_rels/workbook.bin.rels", '<Relationship Target="worksheets/sheet1.bin"/>')
        archive.writestr("xl/worksheets/sheet1.bin", binary_sheet(1_000_000, 16_000))
    with pytest.raises(MeasurementError, match="spread over an area"):
        all_rows(sink.getvalue(), "a.xlsb")


@pytest.mark.parametrize("name", ["a.xlsx", "a.ods"])
@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_spreadsheets_are_refused_or_read(
    makers: dict[str, Callable[..., bytes]], name: str, data: st.DataObject
) -> None:
    whole = bytearray(makers[name]({"one": ROWS * 20}))
    for _ in range(data.draw(st.integers(0, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.sampled_from([len(whole), len(whole) // 2]))])
    try:
        found = Source(damaged, name).workbook
        for sheet in found.sheet_names if found else ():
            found.rows(sheet)
    except MeasurementError:
        pass


def table_of(rows: list[list[Any]], warnings: list[str] | None = None) -> SheetTable:
    return SheetTable(Source(b"", "a.xlsx"), "log", rows, 0, ROWS[0], [] if warnings is None else warnings)


def test_a_table_gives_its_columns_like_a_delimited_one() -> None:
    table = table_of(ROWS)
    assert table.required(0, 2.0).tolist() == [2.0, 5.0]
    assert table.text(2).to_pylist() == ["charge", ""]
    assert len(table) == 2


def test_numbers_in_cells_of_text_are_numbers() -> None:
    values = table_of([ROWS[0], ["1,5", "", ""], [" 2.5 ", "N/A", ""], [3.0, 4.0, ""]])
    assert values.required(0).tolist() == [1.5, 2.5, 3.0]
    assert np.array_equal(values.optional(1, "voltage_volt"), [np.nan, np.nan, 4.0], equal_nan=True)


def test_durations_count_in_seconds() -> None:
    table = table_of([ROWS[0], [timedelta(hours=30), time(0, 1, 2), ""]])
    assert (table.required(0)[0], table.required(1)[0]) == (108_000.0, 62.0)


def test_empty_rows_are_passed_over_and_rows_keep_their_numbers() -> None:
    table = table_of([ROWS[0], ["", "", ""], [1.0, "x", ""]])
    with pytest.raises(MeasurementError, match="sheet 'log', row 3: voltage: expected a number, found 'x'"):
        table.required(1)


def test_an_optional_column_of_text_is_left_out_with_a_warning() -> None:
    warnings: list[str] = []
    assert table_of(ROWS, warnings).optional(2, "state") is None
    assert "sheet 'log', row 2: state: expected a number, found 'charge'" in warnings[0]


@pytest.mark.parametrize("cell", [True, "", "inf", datetime(2026, 1, 2)])
def test_cells_without_a_finite_number_are_refused_where_one_is_needed(cell: object) -> None:
    with pytest.raises(MeasurementError, match="row 2: time: expected a number"):
        table_of([ROWS[0], [cell, 1.0, "x"]]).required(0)


def test_headings_alone_are_refused() -> None:
    with pytest.raises(MeasurementError, match="no data rows"):
        table_of([ROWS[0], ["", "", ""]])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (12.0, "12"),
        (0.1, "0.1"),
        (" a ", "a"),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(2026, 1, 2, 3, 4, 5), "2026-01-02 03:04:05"),
        (timedelta(hours=30, seconds=1.5), "30:00:01.500000"),
    ],
)
def test_cells_as_text(cell: object, text: str) -> None:
    assert as_text(cell) == text


@given(value=st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_the_same_after_its_text(value: float) -> None:
    assert as_number(as_text(value)) == value


def test_real_spreadsheets_pass_the_limits(shared_data: Path) -> None:
    for path in sorted(shared_data.rglob("*.xlsx")) + sorted(shared_data.rglob("*.ods")):
        assert all(rows for rows in all_rows(path.read_bytes(), path.name))
