from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.errors import InputError
from battery_pilot.passport.documents import DocumentEntry
from battery_pilot.passport.master import MasterData, each_battery, read_master, write_master, write_template
from battery_pilot.passport.model import BatteryItem, BatteryModel

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.passport.facts import ModelFacts, Operator

MODEL: dict[str, Any] = {
    "model_id": "M1",
    "manufacturer_name": "Zellwerk",
    "manufacturer_id": "ZW",
    "category": "ev",
    "mass_kilogram": 0.07,
    "nominal_voltage_volt": 3.6,
    "minimum_voltage_volt": 2.5,
    "maximum_voltage_volt": 4.2,
    "rated_capacity_ah": 5.0,
}
BATTERY: dict[str, Any] = {
    "battery_id": "BP-1",
    "model_id": "M1",
    "serial_number": "S1",
    "manufactured_on": "2026-01-01",
    "facility_id": "F1",
    "street": "Ring 1",
    "zip_code": "01067",
    "city": "Dresden",
    "country_code": "DE",
}


def table(*rows: dict[str, Any], separator: str = ",") -> str:
    return "\n".join(separator.join(map(str, cells)) for cells in (rows[0], *(row.values() for row in rows))) + "\n"


def write(folder: Path, models: str, batteries: str) -> Path:
    (folder / "models.csv").write_text(models, encoding="utf-8")
    (folder / "batteries.csv").write_text(batteries, encoding="utf-8")
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(InputError) as caught:
        read_master(folder)
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_tables_are_read_by_their_keys(tmp_path: Path) -> None:
    data = read_master(write(tmp_path, table(MODEL), table(BATTERY)))
    assert data.models == {"M1": BatteryModel(**MODEL)}
    assert data.batteries == {"BP-1": BatteryItem(**BATTERY)}


def test_text_that_looks_like_a_number_keeps_its_leading_zero(tmp_path: Path) -> None:
    data = read_master(write(tmp_path, table(MODEL), table(BATTERY)))
    assert data.batteries["BP-1"].zip_code == "01067"


def test_byte_order_mark_semicolons_and_decimal_commas_of_a_spreadsheet_are_understood(tmp_path: Path) -> None:
    models = "\ufeff" + table(MODEL, separator=";").replace("0.07", "0,07")
    data = read_master(write(tmp_path, models, table(BATTERY | {"street": "Ring 1, Hof"}, separator=";")))
    assert data.models["M1"].mass_kilogram == 0.07
    assert data.batteries["BP-1"].street == "Ring 1, Hof"


def test_an_empty_cell_is_an_unknown_fact_or_the_default(tmp_path: Path) -> None:
    row = BATTERY | {"operator_id": "", "status": ""}
    battery = read_master(write(tmp_path, table(MODEL), table(row))).batteries["BP-1"]
    assert battery.operator_id is None
    assert battery.status == "Original"


def test_several_values_in_a_cell_are_separated_by_a_bar(tmp_path: Path) -> None:
    row = BATTERY | {"test_report_ids": "UN38.3-7 | IEC 62660-2"}
    battery = read_master(write(tmp_path, table(MODEL), table(row))).batteries["BP-1"]
    assert battery.test_report_ids == ("UN38.3-7", "IEC 62660-2")


def test_json_lists_are_an_alternative(tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text(json.dumps([MODEL | {"warranty_months": None}]))
    (tmp_path / "batteries.json").write_text(json.dumps([BATTERY | {"marking_names": ["CE", "WEEE"]}]))
    data = read_master(tmp_path)
    assert data.models["M1"].warranty_months is None
    assert data.batteries["BP-1"].marking_names == ("CE", "WEEE")


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    item = BatteryItem(**BATTERY | {"city": "Łódź", "street": 'Hof "B", 2', "marking_names": ("CE", "WEEE")})
    data = MasterData(models={"M1": BatteryModel(**MODEL)}, batteries={"BP-1": item})
    write_master(tmp_path / "master", data)
    assert read_master(tmp_path / "master") == data


def test_every_wrong_cell_is_reported_with_file_line_and_column(tmp_path: Path) -> None:
    broken = BATTERY | {"battery_id": "BP-2", "serial_number": "S2", "country_code": "Germany", "city": ""}
    found = problems(write(tmp_path, table(MODEL | {"mass_kilogram": "seventy"}), table(BATTERY, broken)))
    assert len(found) == 3
    assert found[0].startswith("models.csv, line 2, column mass_kilogram: found 'seventy': ")
    assert "batteries.csv, line 3, column city: empty, but a value is required" in found
    expected = "expected a country as two capital letters like DE"
    assert f"batteries.csv, line 3, column country_code: found 'Germany', {expected}" in found


def test_a_date_in_another_form_is_refused_with_an_example(tmp_path: Path) -> None:
    assert problems(write(tmp_path, table(MODEL), table(BATTERY | {"manufactured_on": "31.01.2026"}))) == [
        "batteries.csv, line 2, column manufactured_on: found '31.01.2026', expected a date like 2026-01-31"
    ]


def test_lines_are_counted_across_cells_with_line_breaks_and_empty_lines(tmp_path: Path) -> None:
    first = BATTERY | {"street": '"Ring 1\nHof"'}
    second = BATTERY | {"battery_id": "BP-2", "serial_number": "S2", "country_code": "de"}
    header, a, b, c = table(first, second).splitlines()
    found = problems(write(tmp_path, table(MODEL), "\n".join([header, a, b, "", c])))
    assert found[0].startswith("batteries.csv, line 5, column country_code")


def test_a_battery_of_an_unknown_model_is_refused_with_the_closest_name(tmp_path: Path) -> None:
    models = table(MODEL | {"model_id": "NMC-5Ah"})
    assert problems(write(tmp_path, models, table(BATTERY | {"model_id": "NMC-5AH"}))) == [
        "batteries.csv, line 2, column model_id: no model NMC-5AH in the table models; did you mean NMC-5Ah?"
    ]


def test_a_broken_model_does_not_make_its_batteries_wrong(tmp_path: Path) -> None:
    found = problems(write(tmp_path, table(MODEL | {"category": "car"}), table(BATTERY)))
    assert [line.partition(":")[0] for line in found] == ["models.csv, line 2, column category"]


def test_a_battery_id_may_stand_there_once(tmp_path: Path) -> None:
    again = BATTERY | {"serial_number": "S2"}
    assert problems(write(tmp_path, table(MODEL), table(BATTERY, again))) == [
        "batteries.csv, line 3, column battery_id: BP-1 stands already in batteries.csv, line 2"
    ]


def test_battery_ids_cannot_differ_in_nothing_but_case(tmp_path: Path) -> None:
    again = BATTERY | {"battery_id": "bp-1", "serial_number": "S2"}
    assert problems(write(tmp_path, table(MODEL), table(BATTERY, again))) == [
        "batteries.csv, line 3, column battery_id: bp-1 stands already in batteries.csv, line 2"
    ]


def test_two_batteries_of_a_manufacturer_cannot_share_a_serial_number(tmp_path: Path) -> None:
    again = BATTERY | {"battery_id": "BP-2"}
    assert problems(write(tmp_path, table(MODEL), table(BATTERY, again))) == [
        "batteries.csv, line 3, column serial_number: S1 stands already in batteries.csv, line 2"
    ]


def test_unknown_and_missing_columns_are_named(tmp_path: Path) -> None:
    model = {("mass_kg" if name == "mass_kilogram" else name): value for name, value in MODEL.items()}
    assert problems(write(tmp_path, table(model), table(BATTERY))) == [
        "models.csv, line 1: unknown column mass_kg; did you mean mass_kilogram?",
        "models.csv, line 1: column mass_kilogram is missing",
    ]


def test_an_unknown_key_of_a_json_entry_is_named(tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text(json.dumps([MODEL | {"warranty_month": 24}]))
    (tmp_path / "batteries.json").write_text(json.dumps([BATTERY]))
    assert problems(tmp_path) == [
        "models.json, entry 1: unknown column warranty_month; did you mean warranty_months?"
    ]


def test_a_line_with_too_few_cells_is_reported(tmp_path: Path) -> None:
    short = table(BATTERY) + "BP-2,M1\n"
    assert problems(write(tmp_path, table(MODEL), short)) == [
        "batteries.csv, line 3: 2 cells, expected 9 as in the header"
    ]


def test_only_the_first_ten_problems_are_listed(tmp_path: Path) -> None:
    rows = [BATTERY | {"battery_id": f"BP-{n}", "serial_number": f"S{n}", "country_code": "x"} for n in range(13)]
    found = problems(write(tmp_path, table(MODEL), table(*rows)))
    assert len(found) == 11
    assert found[-1] == "… and 3 more"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"model_id\nM\xfcnchen", "models.csv, byte 10: not UTF-8"),
        (b"", "models.csv, line 1: column model_id is missing"),
    ],
)
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes, expected: str) -> None:
    write(tmp_path, "", table(BATTERY))
    (tmp_path / "models.csv").write_bytes(content)
    assert problems(tmp_path)[0].startswith(expected)


def test_broken_json_is_reported_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, "", table(BATTERY))
    (tmp_path / "models.csv").unlink()
    (tmp_path / "models.json").write_text("[\n{,}]")
    assert problems(tmp_path)[0].startswith("models.json, line 2, column 2: not JSON")


def test_a_missing_table_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "models.csv").write_text(table(MODEL))
    assert problems(tmp_path) == [
        "expected batteries.csv, batteries.json, batteries.xlsx or a sheet batteries in master.xlsx: none is there; "
        "`master template` writes an empty one"
    ]


def test_a_table_in_two_forms_is_refused(tmp_path: Path) -> None:
    write(tmp_path, table(MODEL), table(BATTERY))
    (tmp_path / "models.json").write_text("[]")
    assert problems(tmp_path) == [
        "expected models.csv, models.json, models.xlsx or a sheet models in master.xlsx: "
        "found models.csv and models.json; keep one"
    ]


def test_of_a_fleet_only_the_wanted_batteries_are_kept_and_all_are_known(tmp_path: Path) -> None:
    rows = [BATTERY | {"battery_id": f"BP-{number}", "serial_number": f"S{number}"} for number in range(4)]
    data = read_master(write(tmp_path, table(MODEL), table(*rows)), batteries={"BP-2", "unknown"})
    assert list(data.batteries) == ["BP-2"]
    assert data.model_of == {f"BP-{number}": "M1" for number in range(4)}


def test_batteries_that_are_not_kept_are_checked_too(tmp_path: Path) -> None:
    twice = BATTERY | {"battery_id": "bp-1"}
    write(tmp_path, table(MODEL), table(BATTERY, twice, BATTERY | {"battery_id": "X", "model_id": "M2"}))
    everything = problems(tmp_path)
    with pytest.raises(InputError) as caught:
        read_master(tmp_path, batteries=())
    assert [line.strip() for line in str(caught.value).splitlines()[1:]] == everything
    assert len(everything) == 3


@pytest.mark.parametrize(
    ("successor", "serial", "words"),
    [("BP-1-R", "S2", "S2 is that of battery BP-2"), ("bp-2", "S9", "bp-2 differs from BP-2 in nothing but case")],
)
def test_a_successor_collides_with_a_battery_that_nobody_asked_for(
    tmp_path: Path, successor: str, serial: str, words: str
) -> None:
    other = BATTERY | {"battery_id": "BP-2", "serial_number": "S2"}
    write(tmp_path, table(MODEL), table(BATTERY, other))
    event = {"battery_id": "BP-1", "event": "repurposed", "occurred_on": "2026-02-10"}
    event |= {"successor_battery_id": successor, "successor_serial_number": serial}
    (tmp_path / "events.csv").write_text(table(event))
    with pytest.raises(InputError, match=words):
        read_master(tmp_path, batteries=())


def test_all_batteries_are_walked_over_with_those_that_only_an_event_tells_of(tmp_path: Path) -> None:
    other = BATTERY | {"battery_id": "BP-2", "serial_number": "S2"}
    write(tmp_path, table(MODEL), table(BATTERY, other))
    event = {"battery_id": "BP-1", "event": "repurposed", "occurred_on": "2026-02-10"}
    event |= {"successor_battery_id": "BP-1-R", "successor_serial_number": "S3"}
    (tmp_path / "events.csv").write_text(table(event))
    data = read_master(tmp_path, batteries=())
    assert list(data.batteries) == ["BP-1", "BP-1-R"]
    assert [item.battery_id for item in each_battery(tmp_path, data)] == ["BP-1", "BP-2", "BP-1-R"]
    assert {item.battery_id: item for item in each_battery(tmp_path, data)} == read_master(tmp_path).batteries
    assert set(data.model_of) == {"BP-1", "BP-2", "BP-1-R"}


def test_a_byte_that_is_no_utf_8_is_named_wherever_it_stands(tmp_path: Path) -> None:
    rows = [BATTERY | {"battery_id": f"BP-{number}", "serial_number": f"S{number}"} for number in range(500)]
    write(tmp_path, table(MODEL), table(*rows))
    path = tmp_path / "batteries.csv"
    content = path.read_bytes()
    path.write_bytes(content[:-9] + b"\xe4" + content[-9:])
    assert f"batteries.csv, byte {len(content) - 9}: not UTF-8; save the table as 'CSV UTF-8'" in problems(tmp_path)


def test_the_template_is_a_readable_empty_master_table(tmp_path: Path) -> None:
    write_template(tmp_path / "new")
    assert read_master(tmp_path / "new") == MasterData(models={}, batteries={})
    header = (tmp_path / "new" / "batteries.csv").read_text().strip()
    assert header.split(",") == list(BatteryItem.model_fields)


def test_the_template_never_overwrites_a_table(tmp_path: Path) -> None:
    write(tmp_path, table(MODEL), table(BATTERY))
    with pytest.raises(InputError, match=r"already holds models\.csv and batteries\.csv"):
        write_template(tmp_path)
    assert read_master(tmp_path).batteries


def test_the_template_explains_each_column_with_an_example_that_is_valid(tmp_path: Path) -> None:
    write_template(tmp_path)
    with (tmp_path / "columns.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for table_name, kind in (("models", BatteryModel), ("batteries", BatteryItem)):
        columns = {line["column"]: line for line in lines if line["table"] == table_name}
        assert list(columns) == list(kind.model_fields)
        assert all(line["meaning"] and line["allowed"] for line in columns.values())
        assert [name for name, line in columns.items() if line["required"] == "yes"] == [
            name for name, field in kind.model_fields.items() if field.is_required()
        ]
    for name, unit in {
        "mass_kilogram": "kg",
        "round_trip_efficiency_at_half_life_percent": "%",
        "original_power_watt_at_80_percent_soc": "W",
        "initial_self_discharge_percent_per_month": "%/month",
        "category": "",
    }.items():
        assert next(line["unit"] for line in lines if line["column"] == name) == unit


def test_tables_of_the_examples_of_the_template_can_be_read(tmp_path: Path) -> None:
    write_template(tmp_path)
    with (tmp_path / "columns.csv").open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    for name in ("models", "batteries"):
        own = {line["column"]: line["example"] for line in lines if line["table"] == name}
        with (tmp_path / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([own.keys(), own.values()])
    assert read_master(tmp_path).batteries["PACK-17"].test_report_ids == ("UN38.3-7", "IEC-62660-2-11")


MATERIAL = {
    "model_id": "M1", "material_name": "Lithium", "cas_number": "7439-93-2", "component": "Cathode", "component_id": "",
    "mass_kilogram": "0.001", "is_critical": "true",
}  # fmt: skip
DOCUMENT = {
    "document_id": "D-1", "model_id": "M1", "purpose": "dismantling_manual", "title": "Steps", "languages": "de|en",
}  # fmt: skip


def write_further(tmp_path: Path, name: str, text: str) -> Path:
    folder = write(tmp_path, table(MODEL), table(BATTERY))
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_further_tables_are_joined_to_their_models(tmp_path: Path) -> None:
    folder = write_further(tmp_path, "materials.csv", table(MATERIAL, {**MATERIAL, "material_name": "Lithium salt"}))
    (folder / "documents.csv").write_text(table(DOCUMENT))
    data = read_master(folder)
    assert [one.material_name for one in data.facts["M1"].materials] == ["Lithium", "Lithium salt"]
    assert data.facts["M1"].materials[0].is_critical
    assert data.documents[0].languages == ("de", "en")


@pytest.mark.parametrize(
    ("name", "rows", "words"),
    [
        ("materials.csv", [{**MATERIAL, "model_id": "M11"}], "no model M11 in the table models; did you mean M1"),
        ("materials.csv", [{**MATERIAL, "cas_number": "7439-93-3"}], "column cas_number: .*check digit"),
        ("materials.csv", [{**MATERIAL, "mass_kilogram": "5000"}], "the materials of M1 weigh 5000 kg"),
        ("materials.csv", [{**MATERIAL, "mass_kilogram": "nan"}], "column mass_kilogram: found 'nan'"),
        ("materials.csv", [{**MATERIAL, "mass_kilogram": "inf"}], "column mass_kilogram: found 'inf'"),
        ("materials.csv", [{**MATERIAL, "is_critical": "perhaps"}], "column is_critical: found 'perhaps'"),
        ("materials.csv", [MATERIAL, MATERIAL], "line 3: it says again what materials.csv, line 2 says"),
        (
            "recycled_content.csv",
            [{"model_id": "M1", "material": "Cobalt", "pre_consumer_percent": share} for share in ("6", "7")],
            "line 3: it says again",
        ),
        ("documents.csv", [{**DOCUMENT, "purpose": "dismantling"}], "column purpose: found 'dismantling'"),
        ("documents.csv", [DOCUMENT, DOCUMENT], "D-1 stands already in documents.csv, line 2"),
        ("documents.csv", [{**DOCUMENT, "tier": "public"}], "line 2: tier public: .*at least legitimate_interest"),
        ("documents.csv", [{**DOCUMENT, "battery_id": "BP-1"}], "line 2: give either model_id or battery_id"),
        ("markings.csv", [{"model_id": "M1", "name": "CE", "document_id": "X"}], "no document X of purpose marking"),
        (
            "markings.csv",
            [{"model_id": "M1", "name": "CE", "issued_on": "2026-02-30"}],
            "column issued_on: found '2026-02-30'",
        ),
        (
            "recycled_content.csv",
            [{"model_id": "M1", "material": "Cobalt", "pre_consumer_percent": "60", "post_consumer_percent": "50"}],
            "both shares sum up to 110 %",
        ),
    ],
)
def test_what_is_wrong_in_a_further_table_is_one_sentence_with_its_place(
    tmp_path: Path, name: str, rows: list[dict[str, str]], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read_master(write_further(tmp_path, name, table(*rows)))
    assert "1 problem " in str(caught.value)


def test_misspelt_column_of_a_further_table_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    misspelt = {("mass_kilogramm" if name == "mass_kilogram" else name): value for name, value in MATERIAL.items()}
    with pytest.raises(InputError, match=r"unknown column mass_kilogramm; did you mean mass_kilogram\?"):
        read_master(write_further(tmp_path, "materials.csv", table(misspelt)))


@pytest.mark.parametrize("name", ["material.csv", "materials.CSV", "Materials.csv", "materials.txt"])
def test_misspelt_table_is_named_with_the_nearest_one(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: no table has this name; did you mean materials.csv"):
        read_master(write_further(tmp_path, name, table(MATERIAL)))


def test_a_heading_that_is_a_part_of_the_name_is_enough_for_the_hint(tmp_path: Path) -> None:
    short = {("CAS" if name == "cas_number" else name): value for name, value in MATERIAL.items()}
    with pytest.raises(InputError, match=r"unknown column CAS; did you mean cas_number\?"):
        read_master(write_further(tmp_path, "materials.csv", table(short)))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"minimum_voltage_volt": "9"}, "minimum_voltage_volt 9.0 is above nominal_voltage_volt"),
        ({"idle_temperature_minimum_celsius": "50", "idle_temperature_maximum_celsius": "40"}, "50.0 is above"),
    ],
)
def test_ratings_that_contradict_each_other_are_refused(tmp_path: Path, change: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_master(write(tmp_path, table(MODEL | change), table(BATTERY)))


def test_everything_that_is_written_is_read_back(tmp_path: Path, facts: ModelFacts, operator: Operator) -> None:
    model = BatteryModel(**{**MODEL, "model_id": "INR-21/50", "mass_kilogram": 1})
    documents = tuple(DocumentEntry(**one.model_dump(exclude={"attachment"})) for one in facts.documents)
    data = MasterData(
        models={model.model_id: model},
        batteries={},
        facts={model.model_id: facts.model_copy(update={"documents": ()})},
        documents=documents,
        operators={operator.operator_id: operator},
    )
    write_master(tmp_path / "master", data)
    assert read_master(tmp_path / "master") == data
