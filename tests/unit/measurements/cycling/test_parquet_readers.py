from __future__ import annotations

import io
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS

BDF: dict[str, list[Any]] = {
    "test_time_second": [0.0, 10.0, 20.0],
    "voltage_volt": [3.6, 3.7, 3.5],
    "current_ampere": [0.0, 1.0, -1.0],
}


def parquet(columns: dict[str, Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, **options)
    return sink.getvalue()


def test_a_bdf_table_is_read() -> None:
    measurement = read_bytes(parquet(BDF | {"cycle_count": [1, 1, None]}), "a.bdf.parquet")
    assert measurement.format == "bdf-parquet"
    assert {name: measurement.table[name].to_pylist() for name in BDF} == BDF
    assert measurement.table["cycle_count"].to_pylist() == [1, 1, None]
    assert measurement.warnings == ()


def test_names_of_the_first_version_are_understood() -> None:
    columns = {
        "test_time_millisecond": [0, 1500],
        "voltage_volt": [3.6, 3.7],
        "current_ampere": [0.0, 1.0],
        "cycle_dimensionless": [0, 0],
        "date_time_millisecond": [1767323045500, 1767323047000],
    }
    table = read_bytes(parquet(columns), "a.parquet").table
    assert table["test_time_second"].to_pylist() == [0.0, 1.5]
    assert table["cycle_count"].to_pylist() == [0, 0]
    assert table["measured_at"][0].as_py() == datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC)


def test_labels_step_types_and_timestamps_are_understood() -> None:
    columns = {
        "Test Time / h": [0.0, 0.5],
        "Voltage / mV": [3600, 3500],
        "Current / A": [0.0, 2.0],
        "Step Type / 1": ["rest", "discharge"],
        "unix_time_second": [datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)],
    }
    measurement = read_bytes(parquet(columns), "a.parquet")
    assert measurement.table["test_time_second"].to_pylist() == [0.0, 1800.0]
    assert measurement.table["current_ampere"].to_pylist() == [0.0, -2.0]
    assert measurement.table["measured_at"][1].as_py() == datetime(2026, 1, 3, tzinfo=UTC)


def test_a_spectrum_is_read() -> None:
    columns = {
        "frequency_hertz": [10.0, 1.0],
        "real_impedance_ohm": [1.0, 2.0],
        "imaginary_impedance_ohm": [-1.0, -2.0],
    }
    measurement = read_bytes(parquet(columns), "a.parquet")
    assert measurement.kind == "impedance"
    assert measurement.table["imaginary_impedance_ohm"].to_pylist() == [-1.0, -2.0]


@pytest.mark.parametrize(
    ("names", "more"),
    [(("test_time", "voltage", "current"), "cycle_number"), (("Time [s]", "Voltage [V]", "Current [A]"), "Step")],
)
def test_tables_of_battery_tools_are_read(names: tuple[str, ...], more: str) -> None:
    columns = dict(zip((*names, more), [*BDF.values(), [1, 2, 3]], strict=True))
    measurement = read_bytes(parquet(columns), "a.parquet")
    assert measurement.format == "parquet-log"
    assert [measurement.table[name].to_pylist() for name in CYCLING_COLUMNS] == list(BDF.values())


def test_a_gap_in_a_required_column_is_refused_with_its_row() -> None:
    columns = BDF | {"voltage_volt": [3.6, None, 3.5]}
    with pytest.raises(MeasurementError, match="row 2: voltage_volt: expected a number, found 'None'"):
        read_bytes(parquet(columns), "a.parquet")


def test_an_optional_column_of_another_type_is_left_out_with_a_warning() -> None:
    measurement = read_bytes(parquet(BDF | {"power_watt": ["a", "b", "c"]}), "a.parquet")
    assert "power_watt" not in measurement.table.column_names
    assert any(
        "power_watt was left out: column power_watt: expected numbers" in text for text in measurement.warnings
    )


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"a": [1]}, "expected columns for time, voltage and current, found 'a'"),
        ({name: pa.array([], pa.float64()) for name in BDF}, "no data rows"),
        (BDF | {"Voltage / V": [1.0, 2.0, 3.0]}, "two columns for voltage_volt"),
    ],
)
def test_other_content_is_refused(columns: dict[str, Any], problem: str) -> None:
    with pytest.raises(MeasurementError, match=problem):
        read_bytes(parquet(columns), "a.parquet")


def test_a_file_that_unpacks_to_a_multiple_of_its_size_is_refused() -> None:
    rows = 12_000_000
    constant = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, dtype=np.int8)), pa.array([1.0]))
    data = parquet(dict.fromkeys(BDF, constant), compression="zstd", store_schema=False)
    assert len(data) < 1_000_000
    with pytest.raises(MeasurementError, match="unpack to 288000000"):
        read_bytes(data, "a.parquet")


def read_or_refuse(data: bytes) -> None:
    try:
        table = read_bytes(data, "a.parquet").table
    except MeasurementError:
        return
    assert all(np.isfinite(table[name].to_numpy()).all() for name in CYCLING_COLUMNS)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_refused_or_give_finite_numbers(data: st.DataObject) -> None:
    whole = parquet(BDF)
    cut = data.draw(st.integers(0, len(whole)))
    read_or_refuse(whole[:cut])
    position = data.draw(st.integers(0, len(whole) - 1))
    read_or_refuse(whole[:position] + bytes([data.draw(st.integers(0, 255))]) + whole[position + 1 :])


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_a_long_text_that_is_stored_once_and_shown_in_every_row_is_refused(kind: pa.DataType) -> None:
    data = parquet({**BDF, "step_type": pa.array(["x" * (90 << 20)] * 3, kind)}, compression="zstd")
    with pytest.raises(MeasurementError, match="bytes unpack to 283115520, more than 20 times as many"):
        read_bytes(data, "a.parquet")


def test_columns_of_lists_and_of_bytes_are_left_out_with_a_warning() -> None:
    columns = {"raw": [b"a"] * 3, **BDF, "list": [[1], [2], [3]], "step_name": ["rest", "charge", "discharge"]}
    measurement = read_bytes(parquet(columns), "a.parquet")
    assert {name: measurement.table[name].to_pylist() for name in BDF} == BDF
    assert "Columns that hold neither numbers nor text were left out: 'raw', 'list'." in measurement.warnings
