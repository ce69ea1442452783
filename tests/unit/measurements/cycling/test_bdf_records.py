"""BDF as JSON, as lines of JSON and as Feather."""

from __future__ import annotations

import io
import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, ipc

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS

BDF: dict[str, list[Any]] = {
    "Test Time / s": [0, 10, 20.5],
    "Voltage / V": [3.6, 3.7, 3.5],
    "Current / A": [0.0, 1.0, -1.0],
    "Cycle Count / 1": [1, 1, None],
    "Step Type / 1": ["rest", "charge", "discharge"],
}
RECORDS = [dict(zip(BDF, row, strict=True)) for row in zip(*BDF.values(), strict=True)]
JSON = {
    "records.json": json.dumps(RECORDS),
    "indented.json": json.dumps(RECORDS, indent=2),
    "columns.json": json.dumps(BDF),
    "lines.ndjson": "\n".join(map(json.dumps, RECORDS)) + "\n",
    "with_nan.json": json.dumps(RECORDS).replace("null", "NaN"),
    "with_mark.json": "\ufeff" + json.dumps(RECORDS),
}


def feather_file(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    feather.write_feather(pa.table(columns), sink, **options)
    return sink.getvalue()


FEATHER = {
    f"{compression}.feather": feather_file(BDF, compression=compression)
    for compression in ("lz4", "zstd", "uncompressed")
}


@pytest.mark.parametrize("name", [*JSON, *FEATHER])
def test_a_log_is_read_from_every_form(name: str) -> None:
    measurement = read_bytes(JSON[name].encode() if name in JSON else FEATHER[name], name)
    assert measurement.format == ("bdf-json" if name in JSON else "bdf-feather")
    assert measurement.table["test_time_second"].to_pylist() == [0.0, 10.0, 20.5]
    assert measurement.table["current_ampere"].to_pylist() == [0.0, 1.0, -1.0]
    assert measurement.table["cycle_count"].to_pylist() == [1, 1, None]


def test_a_spectrum_is_read_from_records() -> None:
    records = [
        {"frequency_hertz": frequency, "real_impedance_ohm": 1.0, "imaginary_impedance_ohm": -2.0}
        for frequency in (10.0, 1.0)
    ]
    measurement = read_bytes(json.dumps(records).encode(), "a.json")
    assert measurement.kind == "impedance"
    assert measurement.table["imaginary_impedance_ohm"].to_pylist() == [-2.0, -2.0]


@pytest.mark.parametrize("kind", [pa.string_view(), pa.dictionary(pa.int8(), pa.string())])
def test_the_texts_of_other_writers_of_feather_are_read(kind: pa.DataType) -> None:
    columns = BDF | {"Step Type / 1": pa.array(["rest", "charge", "discharge"]).cast(kind)}
    table = pa.table(columns | {"Current / A": [0.0, 1.0, 1.0]})
    sink = io.BytesIO()
    with ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    assert read_bytes(sink.getvalue(), "a.arrow").table["current_ampere"].to_pylist() == [0.0, 1.0, -1.0]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (JSON["records.json"][:-1], "truncated"),
        (JSON["lines.ndjson"][:-8], "damaged JSON"),
        (JSON["records.json"].replace("3.7", "{}"), "nested JSON"),
        (JSON["records.json"].replace("3.7", '"high"'), "damaged JSON"),
        (JSON["records.json"].replace('"Voltage / V": 3.7,', ""), "expected a number"),
        (JSON["columns.json"].replace("3.7, ", ""), "damaged JSON"),
        ('[{"Voltage / V": 1, "Current / A": 2}]', "required BDF columns are missing"),
        ('{"Test Time / s": 1, "Voltage / V": 1, "Current / A": ' + "[" * 100_000, "nested JSON"),
    ],
)
def test_damaged_json_is_refused(text: str, problem: str) -> None:
    with pytest.raises(MeasurementError, match=problem):
        read_bytes(text.encode(), "a.json")


def test_other_json_is_not_taken_for_a_log() -> None:
    with pytest.raises(MeasurementError, match="unknown format"):
        read_bytes(b'{"name": "a", "values": [1, 2]}', "a.json")


def test_a_feather_file_that_unpacks_to_far_too_much_is_refused_unread() -> None:
    rows = 20_000_000
    columns = dict.fromkeys(("test_time_second", "voltage_volt", "current_ampere"), pa.repeat(1.0, rows))
    with pytest.raises(MeasurementError, match="unpack to 480000000, more than 20 times"):
        read_bytes(feather_file(columns, compression="zstd"), "a.feather")


@given(position=st.integers(0, 10**6), octet=st.integers(0, 255), cut=st.booleans())
@settings(max_examples=300, deadline=None)
def test_a_damaged_feather_file_gives_numbers_or_an_error(position: int, octet: int, cut: bool) -> None:
    for whole in FEATHER.values():
        at = position % len(whole)
        try:
            table = read_bytes(
                whole[:at] if cut else whole[:at] + bytes([octet]) + whole[at + 1 :], "a.feather"
            ).table
        except MeasurementError:
            continue
        assert set(CYCLING_COLUMNS) <= set(table.column_names)
