from __future__ import annotations

import time
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

HEADER = "test_time_second,voltage_volt,current_ampere"


def test_labels_and_machine_names_give_the_same_table(samples: dict[str, str]) -> None:
    labels = samples["log.bdf.csv"]
    names = labels.replace(labels.partition("\n")[0], f"{HEADER},cycle_count")
    expected, found = (read_bytes(text.encode(), "a.csv").table for text in (labels, names))
    assert found.drop_columns("source_sha256") == expected.drop_columns("source_sha256")
    assert expected.schema.field("cycle_count").type == pa.int64()


def test_values_are_those_of_the_file(samples: dict[str, str], cycler_log: list[tuple[float, float, float]]) -> None:
    table = read_bytes(samples["log.bdf.csv"].encode(), "a.csv").table
    columns = [table[name].to_pylist() for name in HEADER.split(",")]
    assert list(zip(*columns, strict=True)) == cycler_log


def test_further_bdf_columns_are_kept_and_others_named() -> None:
    text = f"{HEADER},power_watt,Charging Capacity / Ah,Surface Temperature / degC,colour\n0,3.7,1,3.7,0.5,25,red\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["power_watt"].to_pylist() == [3.7]
    assert measurement.table["charging_capacity_ah"].to_pylist() == [0.5]
    assert measurement.table["temperature_t1_celsius"].to_pylist() == [25.0]
    assert "colour" not in measurement.table.column_names
    assert any("'colour'" in warning for warning in measurement.warnings)


def test_step_ids_are_kept_beside_the_step_index() -> None:
    table = read_bytes(f"{HEADER},Step ID,step_index\n0,3.7,1,7,1\n".encode(), "a.csv").table
    assert (table["step_id"].to_pylist(), table["step_index"].to_pylist()) == ([7.0], [1])


def test_units_in_labels_are_converted() -> None:
    table = read_bytes(b"Test Time / h,Voltage / mV,Current / mA\n0.5,3700,-250\n", "a.csv").table
    assert [table[name][0].as_py() for name in HEADER.split(",")] == [1800.0, 3.7, -0.25]


def test_a_file_with_positive_discharge_current_is_corrected_with_a_warning() -> None:
    text = f"{HEADER},Step Type / 1\n0,3.7,1,discharge\n1,3.6,1,discharge\n2,3.7,-0.5,charge\n3,3.7,0,rest\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["current_ampere"].to_pylist() == [-1.0, -1.0, 0.5, 0.0]
    assert any("turned round" in warning for warning in measurement.warnings)


def test_step_types_that_agree_with_the_current_change_nothing() -> None:
    text = f"{HEADER},step_type\n0,3.7,-1,CC_DCH discharge\n1,3.6,1,charge\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["current_ampere"].to_pylist() == [-1.0, 1.0]
    assert measurement.warnings == ()


def test_comment_lines_and_unix_time_give_identity_and_moment() -> None:
    text = f"# battery_id=A1\n# nominal_capacity_ah=5\n{HEADER},unix_time_second\n0,3.7,1,1767323045.5\n1,3.7,1,\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.metadata.known() == {
        "battery_id": "A1",
        "nominal_capacity_ah": 5.0,
        "started_at": "2026-01-02T03:04:05.500000+00:00",
    }
    assert measurement.table["measured_at"].to_pylist() == [datetime(2026, 1, 2, 3, 4, 5, 500000, tzinfo=UTC), None]
    assert measurement.table["unix_time_second"].to_pylist() == [1767323045.5, None]


def test_a_start_in_the_comments_gives_each_row_its_moment() -> None:
    text = f"# started_at=2026-01-02T03:04:05Z\n{HEADER}\n0,3.7,1\n1.5,3.7,1\n"
    moments = read_bytes(text.encode(), "a.csv").table["measured_at"].to_pylist()
    assert moments[1] == datetime(2026, 1, 2, 3, 4, 6, 500000, tzinfo=UTC)


def test_a_battery_column_fills_the_identity() -> None:
    measurement = read_bytes(f"{HEADER},battery_id\n0,3.7,1,B7\n".encode(), "a.csv")
    assert measurement.table["battery_id"].to_pylist() == ["B7"]


def test_two_batteries_in_one_file_are_refused() -> None:
    with pytest.raises(MeasurementError, match="one battery in a file expected, found 'B7' and 'B8'"):
        read_bytes(f"{HEADER},battery_id\n0,3.7,1,B7\n0,3.7,1,B8\n".encode(), "a.csv")


def test_impedance_columns_make_an_impedance_measurement(
    samples: dict[str, str], spectrum: list[tuple[float, complex]]
) -> None:
    measurement = read_bytes(samples["spectrum.bdf.csv"].encode(), "a.csv")
    assert measurement.kind == "impedance"
    assert measurement.table["frequency_hertz"].to_pylist() == [f for f, _ in spectrum]


def test_absolute_impedance_and_phase_with_two_spectra_are_read() -> None:
    text = "Frequency / Hz,Absolute Impedance / ohm,Phase / deg,spectrum_index\n10,2,0,4\n1,3,-90,4\n10,2,0,5\n"
    table = read_bytes(text.encode(), "a.csv").table
    assert table["spectrum_index"].to_pylist() == [0, 0, 1]
    assert table["imaginary_impedance_ohm"].to_pylist() == pytest.approx([0, -3, 0])


def test_semicolons_with_decimal_commas_are_read() -> None:
    table = read_bytes(b"Test Time / s;Voltage / V;Current / A\n0,5;3,7;-1,25\n", "a.csv").table
    assert [table[name][0].as_py() for name in HEADER.split(",")] == [0.5, 3.7, -1.25]


def test_numbers_with_a_plus_sign_are_read() -> None:
    assert read_bytes(f"{HEADER}\n0,+3.7,+1\n".encode(), "a.csv").table["voltage_volt"].to_pylist() == [3.7]


def test_gaps_in_optional_columns_become_null_and_empty_columns_go() -> None:
    text = f"{HEADER},cycle_count,power_watt\n0,3.7,1,3,\n1,3.7,1,,\n"
    table = read_bytes(text.encode(), "a.csv").table
    assert table["cycle_count"].to_pylist() == [3, None]
    assert "power_watt" not in table.column_names


def test_a_resistance_of_zero_is_no_measurement() -> None:
    table = read_bytes(f"{HEADER},dc_internal_resistance_ohm\n0,3,1,0\n1,3,1,0.02\n".encode(), "a.csv").table
    assert table["dc_internal_resistance_ohm"].to_pylist() == [None, 0.02]


def test_test_time_that_runs_backwards_is_warned_about() -> None:
    measurement = read_bytes(f"{HEADER}\n0,3,1\n2,3,1\n1,3,1\n".encode(), "a.csv")
    assert "Test time runs backwards 1 times, first after data row 2." in measurement.warnings


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("0,3.7,1\n\n1,3.7\n2,3.7,1\n", "line 4: 2 columns found, 3 expected"),
        ("0,3.7,1\n1,3.7,1,9\n", "line 3: 4 columns found, 3 expected"),
        ("0,3.7,1\n\n\n1,x,1\n", "line 5: voltage_volt: expected a number, found 'x'"),
        ("0,3.7,1\n1,,1\n", "line 3: voltage_volt: expected a number, found ''"),
        ("0,3.7,1\n1,nan,1\n", "line 3: voltage_volt: expected a number, found 'nan'"),
        ("0,3.7,1\n1,inf,1\n", "line 3: voltage_volt: expected a number, found 'inf'"),
        ("", "no data rows"),
        ('0,"3.7,1\n1,3.7,1\n', "line 2: 2 columns found, 3 expected"),
    ],
)
def test_broken_rows_are_reported_with_their_line(rows: str, problem: str) -> None:
    with pytest.raises(MeasurementError, match=problem):
        read_bytes(f"{HEADER}\n{rows}".encode(), "a.csv")


def test_a_missing_required_column_is_named() -> None:
    with pytest.raises(MeasurementError, match="line 1: required BDF columns are missing: current_ampere"):
        read_bytes(b"test_time_second,voltage_volt\n0,3.7\n", "a.csv")


def test_a_repeated_heading_is_named() -> None:
    with pytest.raises(MeasurementError, match="two columns for voltage_volt: 'voltage_volt' and 'Voltage / V'"):
        read_bytes(f"{HEADER},Voltage / V\n0,3.7,1,3.7\n".encode(), "a.csv")


def test_a_hundred_thousand_rows_take_well_under_a_second() -> None:
    rows = "".join(f"{row},3.{row % 1000:03d},-1.25,{row // 1000}\n" for row in range(100_000))
    data = f"{HEADER},cycle_count\n{rows}".encode()
    start = time.process_time()
    assert read_bytes(data, "a.csv").table.num_rows == 100_000
    assert time.process_time() - start < 1.0
