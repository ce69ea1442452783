"""Master tables as Excel workbooks, as people fill them in."""

from __future__ import annotations

import io
import zipfile
from datetime import date
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import InputError
from battery_pilot.passport.master import MasterData, read_master

MODEL = {
    "model_id": "M1",
    "manufacturer_name": "Cellworks",
    "manufacturer_id": "CW",
    "category": "ev",
    "mass_kilogram": 230.5,
    "warranty_months": 96.0,
    "nominal_voltage_volt": 360.0,
    "minimum_voltage_volt": 270.0,
    "maximum_voltage_volt": 410.0,
    "rated_capacity_ah": 60.0,
}
BATTERY = {
    "battery_id": "BP-1",
    "model_id": "M1",
    "serial_number": 2026000017.0,
    "manufactured_on": date(2026, 1, 31),
    "put_into_service_on": None,
    "facility_id": "PLANT-1",
    "street": "Ring 1",
    "zip_code": 1067.0,
    "city": "Dresden",
    "country_code": "DE",
    "marking_names": "CE | WEEE",
}
Sheets = dict[str, list[list[Any]]]


def sheet(*rows: dict[str, Any]) -> list[list[Any]]:
    return [list(rows[0]), *([*row.values()] for row in rows)]


def cell(value: Any, reference: str) -> str:
    if value is None:
        return ""
    if isinstance(value, date):
        return f'<c r="{reference}" s="1"><v>{(value - date(1899, 12, 30)).days}</v></c>'
    if isinstance(value, float):
        return f'<c r="{reference}"><v>{value!r}</v></c>'
    return f'<c r="{reference}" t="inlineStr"><is><t>{escape(str(value))}</t></is></c>'


def workbook(sheets: Sheets) -> bytes:
    """Return the smallest Excel workbook with these sheets; style 1 is a date."""
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    names, links, files = "", "", {}
    for number, (name, rows) in enumerate(sheets.items(), 1):
        names += f'<sheet name="{escape(name)}" sheetId="{number}" r:id="rId{number}"/>'
        links += f'<Relationship Id="rId{number}" Type="{office}/worksheet" Target="worksheets/sheet{number}.xml"/>'
        lines = "".join(
            f'<row r="{y}">{"".join(cell(value, f"{chr(65 + x)}{y}") for x, value in enumerate(row))}</row>'
            for y, row in enumerate(rows, 1)
        )
        files[f"xl/worksheets/sheet{number}.xml"] = (
            f'<worksheet xmlns="{main}"><sheetData>{lines}</sheetData></worksheet>'
        )
    links += f'<Relationship Id="rId99" Type="{office}/styles" Target="styles.xml"/>'
    files |= {
        "[Content_Types].xml": '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="rId1" Type="{office}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{office}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}">{links}</Relationships>',
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs>'
        "</styleSheet>",
    }
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, f'<?xml version="1.0" encoding="UTF-8"?>{text}')
    return content.getvalue()


def master_workbook(folder: Path, **sheets: list[list[Any]]) -> Path:
    (folder / "master.xlsx").write_bytes(workbook({"models": sheet(MODEL), "batteries": sheet(BATTERY)} | sheets))
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_master(folder)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def check(data: MasterData) -> None:
    model, battery = data.models["M1"], data.batteries["BP-1"]
    assert (model.mass_kilogram, model.warranty_months) == (230.5, 96)
    assert (battery.serial_number, battery.zip_code) == ("2026000017", "1067")
    assert (battery.manufactured_on, battery.put_into_service_on) == ("2026-01-31", None)
    assert battery.marking_names == ("CE", "WEEE")


def test_a_workbook_holds_both_tables_in_sheets_of_their_names(tmp_path: Path) -> None:
    (tmp_path / "master.xlsx").write_bytes(
        workbook({"Notes": [["filled in by hand"]], "Models": sheet(MODEL), "Batteries ": sheet(BATTERY)})
    )
    check(read_master(tmp_path))


def test_each_table_can_be_a_workbook_with_one_sheet_of_any_name(tmp_path: Path) -> None:
    (tmp_path / "models.xlsx").write_bytes(workbook({"Tabelle1": sheet(MODEL)}))
    (tmp_path / "batteries.xlsx").write_bytes(workbook({"Sheet1": sheet(BATTERY), "batteries": sheet(BATTERY)}))
    check(read_master(tmp_path))


def test_a_sheet_and_a_csv_file_go_together(tmp_path: Path) -> None:
    (tmp_path / "master.xlsx").write_bytes(workbook({"batteries": sheet(BATTERY)}))
    (tmp_path / "models.csv").write_text(
        f"{','.join(MODEL)}\n{','.join(map(str, MODEL.values()))}\n".replace("96.0", "96")
    )
    check(read_master(tmp_path))


def test_empty_rows_and_formatted_columns_behind_the_table_are_nothing(tmp_path: Path) -> None:
    rows = sheet(BATTERY)
    rows = [[*rows[0], "", None], [None] * 13, [*rows[1], " ", ""]]
    check(read_master(master_workbook(tmp_path, batteries=rows)))


def test_decimal_commas_of_texts_are_understood_where_they_cannot_be_thousands(tmp_path: Path) -> None:
    rows = sheet(MODEL | {"mass_kilogram": "230,5", "rated_capacity_ah": "60,0"})
    check(read_master(master_workbook(tmp_path, models=rows)))
    rows = sheet(MODEL | {"mass_kilogram": "1,234"})
    (problem,) = problems(master_workbook(tmp_path, models=rows))
    assert "column mass_kilogram: found '1,234'" in problem


def test_a_title_above_the_headings_is_passed_over(tmp_path: Path) -> None:
    check(read_master(master_workbook(tmp_path, models=[["Our models", None], [], *sheet(MODEL)])))
    rows = [["Our models", None], [], *sheet(MODEL | {"mass_kilogram": "heavy"})]
    (problem,) = problems(master_workbook(tmp_path, models=rows))
    assert "sheet models, row 4, column mass_kilogram" in problem


def test_a_wrong_cell_is_reported_with_sheet_row_and_column(tmp_path: Path) -> None:
    wrong = BATTERY | {
        "battery_id": "BP-2",
        "serial_number": 2.0,
        "country_code": "Germany",
        "manufactured_on": 46053.0,
    }
    assert problems(master_workbook(tmp_path, batteries=sheet(BATTERY, wrong))) == [
        "master.xlsx, sheet batteries, row 3, column manufactured_on: found '46053', expected a date like 2026-01-31",
        "master.xlsx, sheet batteries, row 3, column country_code: found 'Germany', expected a country as two capital "
        "letters like DE",
    ]


def test_a_fraction_where_a_whole_number_is_wanted_is_reported(tmp_path: Path) -> None:
    (found,) = problems(master_workbook(tmp_path, models=sheet(MODEL | {"warranty_months": 9.5})))
    assert found.startswith("master.xlsx, sheet models, row 2, column warranty_months: found '9.5'")


def test_a_cell_beside_the_table_is_reported(tmp_path: Path) -> None:
    rows = sheet(BATTERY)
    found = problems(master_workbook(tmp_path, batteries=[rows[0], [*rows[1], "checked"]]))
    assert found == ["master.xlsx, sheet batteries, row 2: 12 cells, expected 11 as in the header"]


def test_a_number_that_excel_has_rounded_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (found,) = problems(
        master_workbook(tmp_path, batteries=sheet(BATTERY | {"serial_number": 12345678901234567000.0}))
    )
    assert found.startswith("master.xlsx, row 2: a number of more than 15 digits")


def test_a_table_in_two_places_is_refused(tmp_path: Path) -> None:
    (master_workbook(tmp_path) / "models.csv").write_text(",".join(MODEL) + "\n")
    assert problems(tmp_path)[0].endswith("found models.csv and master.xlsx; keep one")


def test_a_workbook_without_the_sheet_names_those_it_has(tmp_path: Path) -> None:
    (tmp_path / "models.xlsx").write_bytes(workbook({"A": sheet(MODEL), "B": []}))
    (tmp_path / "batteries.xlsx").write_bytes(workbook({"batteries": sheet(BATTERY)}))
    assert problems(tmp_path) == ["models.xlsx, file: expected a sheet models, found A, B"]


def test_an_empty_sheet_lacks_its_columns(tmp_path: Path) -> None:
    assert "master.xlsx, line 1: column battery_id is missing" in problems(master_workbook(tmp_path, batteries=[]))


@pytest.mark.parametrize(
    "content", [b"", b"model_id\nM1\n", b"PK\x03\x04 not a zip file", workbook({"models": []})[:300]]
)
def test_a_file_that_is_no_workbook_is_refused(tmp_path: Path, content: bytes) -> None:
    master_workbook(tmp_path)
    (tmp_path / "master.xlsx").write_bytes(content)
    assert all(line.startswith("master.xlsx, file: ") for line in problems(tmp_path))


WHOLE = workbook({"models": sheet(MODEL), "batteries": sheet(BATTERY)})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("master")


@given(position=st.integers(0, len(WHOLE) - 1), length=st.integers(0, 9), data=st.binary(max_size=9))
@settings(max_examples=60, deadline=None)
def test_a_damaged_workbook_is_refused_or_read(folder: Path, position: int, length: int, data: bytes) -> None:
    (folder / "master.xlsx").write_bytes(WHOLE[:position] + data + WHOLE[position + length :])
    message = "read from master.xlsx"
    try:
        read_master(folder)
    except InputError as error:
        message = str(error)
    assert "master.xlsx" in message
