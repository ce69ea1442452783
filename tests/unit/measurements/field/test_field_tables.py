"""Tables that a battery management system or a vehicle's logger wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read, read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS, Measurement

ROWS = 24
CURRENT = [-20.0 if row % 4 < 2 else 15.0 for row in range(ROWS)]
VOLTAGE = [400 + 0.1 * current for current in CURRENT]
BMW_HEADINGS = (
    "Time [s];Velocity [km/h];Battery Voltage [V];Battery Current [A];Battery Temperature [°C];"
    "max. Battery Temperature [°C];SoC [%];displayed SoC [%];Ambient Temperature [°C]"
)


def table(heading: str, rows: list[list[object]], delimiter: str = ",") -> str:
    return "\n".join([heading, *(delimiter.join(map(str, row)) for row in rows)]) + "\n"


def bms(heading: str = "Time (s),Pack Voltage (V),Pack Current (A),SOC (%),Cell Temp (°C)", sign: float = 1.0) -> str:
    """Return a log whose state of charge is all the same, so that the voltage must tell the direction."""
    return table(
        heading,
        [[row, round(VOLTAGE[row], 3), sign * CURRENT[row], 80.0, 25.5] for row in range(ROWS)],
    )


def column(measurement: Measurement, name: str) -> list[float]:
    return [float(value) for value in measurement.table[name].to_pylist()]


def in_folder(folder: Path, text: str, mapping: str, name: str = "log.csv") -> Path:
    (folder / "battery-pilot-columns.toml").write_text(mapping)
    (folder / name).write_text(text)
    return folder / name


def refusal(path: Path) -> str:
    with pytest.raises(MeasurementError) as caught:
        read(path)
    return str(caught.value)


# Usual headings


def test_a_trip_of_a_bmw_i3_is_recognised_and_needs_no_guess() -> None:
    rows = [[row / 10, 50, 391.4, -2.2, 21, 22, 86.9, 100, 25.5] for row in range(5)]
    found = read_bytes(table(BMW_HEADINGS, rows, ";").encode("latin-1"), "TripA01.csv")
    assert (found.kind, found.format, found.instrument) == ("field", "field-csv", "BMW i3")
    assert found.warnings == ()
    assert column(found, "test_time_second") == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    for name, value in {
        "voltage_volt": 391.4,
        "current_ampere": -2.2,
        "temperature_t1_celsius": 21,
        "state_of_charge_percent": 86.9,
        "ambient_temperature_celsius": 25.5,
    }.items():
        assert column(found, name) == [value] * 5
    assert found.metadata.columns_left_out == (
        "Velocity [km/h]",
        "max. Battery Temperature [°C]",
        "displayed SoC [%]",
    )


@pytest.mark.parametrize(
    ("trip", "rows", "seconds"), [("A01", 10090, 1008.9), ("A03", 6706, 670.5), ("A04", 4124, 412.3)]
)
def test_real_trips_lose_the_charge_that_their_state_of_charge_says(
    shared_data: Path, trip: str, rows: int, seconds: float
) -> None:
    found = read(shared_data / "bms" / "bmw-i3" / f"Trip{trip}.csv")
    time, current, soc = (
        np.array(column(found, name)) for name in ("test_time_second", "current_ampere", "state_of_charge_percent")
    )
    assert (len(time), time[-1]) == (rows, pytest.approx(seconds))
    charge_ah = float(np.sum((current[1:] + current[:-1]) / 2 * np.diff(time))) / 3600
    # A pack of this car holds 60 Ah when new, 62 Ah on the scale of this counter.
    assert charge_ah == pytest.approx((soc[-1] - soc[0]) / 100 * 62, rel=0.02)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_without_a_mapping_the_voltage_tells_the_direction(sign: float) -> None:
    found = read_bytes(bms(sign=sign).encode(), "log.csv")
    assert column(found, "current_ampere") == CURRENT
    word = "charge" if sign > 0 else "discharge"
    assert f"Positive current was taken as {word}, because the voltage follows it." in found.warnings


def test_a_changing_state_of_charge_comes_before_the_voltage() -> None:
    rows = [[row, 400 + row % 3, 30, 80 - row / 4] for row in range(ROWS)]
    found = read_bytes(table("Time [s],Battery Voltage [V],Battery Current [A],SOC [%]", rows).encode(), "log.csv")
    assert set(column(found, "current_ampere")) == {-30.0}
    assert "Positive current was taken as discharge, because the state of charge follows it." in found.warnings


def test_a_direction_that_cannot_be_told_is_refused_with_the_remedy() -> None:
    rows = [[row, 400, 30, 80] for row in range(ROWS)]
    text = table("Time [s],Battery Voltage [V],Battery Current [A],SOC [%]", rows)
    with pytest.raises(MeasurementError, match=r"battery-pilot-columns.toml, \[current\] positive"):
        read_bytes(text.encode(), "log.csv")


def test_units_of_headings_are_converted_and_missing_ones_are_a_warning() -> None:
    text = bms("timestamp_ms,hv_battery_voltage_mV,hvBatteryCurrent,soc,temp_C")
    found = read_bytes(text.encode(), "log.csv")
    assert column(found, "test_time_second")[:3] == pytest.approx([0, 0.001, 0.002])
    assert column(found, "voltage_volt") == pytest.approx([voltage / 1000 for voltage in VOLTAGE])
    unsure = next(warning for warning in found.warnings if warning.startswith("Headings without a unit"))
    assert "'hvBatteryCurrent' as current_ampere" in unsure
    assert "voltage" not in unsure


def test_a_state_of_charge_up_to_1_is_a_fraction() -> None:
    found = read_bytes(bms().replace(",80.0,", ",0.8,").encode(), "log.csv")
    assert column(found, "state_of_charge_percent") == [80.0] * ROWS
    assert any("fraction" in warning for warning in found.warnings)


def test_rows_without_voltage_are_counted() -> None:
    lines = bms().splitlines()
    lines[3] = "2,,-20,80,25"
    lines[5] = "4,,,80,25"
    found = read_bytes(("\n".join(lines) + "\n").encode(), "log.csv")
    assert found.table.num_rows == ROWS - 2
    assert "2 rows without time, voltage or current were left out." in found.warnings


@pytest.mark.parametrize("factor", [1, 1000])
def test_numbers_since_1970_are_the_time_of_each_row(factor: int) -> None:
    start = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
    lines = bms("timestamp,Pack Voltage (V),Pack Current (A),SOC (%),Cell Temp (°C)").splitlines()
    rows = [
        f"{round((start.timestamp() + row) * factor)},{line.partition(',')[2]}" for row, line in enumerate(lines[1:])
    ]
    found = read_bytes(("\n".join([lines[0], *rows]) + "\n").encode(), "log.csv")
    assert found.metadata.started_at == start.isoformat()
    assert found.metadata.time_zone is None
    assert found.table["measured_at"].to_pylist() == [start + timedelta(seconds=row) for row in range(ROWS)]
    assert column(found, "test_time_second") == pytest.approx(list(range(ROWS)))


def test_a_table_with_cycles_is_none_of_a_vehicle() -> None:
    text = bms("Time (s),Pack Voltage (V),Pack Current (A),Cycle,SOC (%)")
    with pytest.raises(MeasurementError, match="unknown format"):
        read_bytes(text.encode(), "log.csv")


# With a mapping file

MAPPING = """
battery_id = "PACK-17"

[time]
heading = "Zeit"
format = "%d.%m.%Y %H:%M:%S"
zone = "Europe/Berlin"

[voltage]
heading = "U"
unit = "mV"

[current]
heading = "I"
positive = "discharge"

[temperature]
heading = "T"
offset = -273.15

[state_of_charge]
heading = "Q"
factor = 0.5
"""


def mapped(hour: int = 2, rows: int = 3) -> str:
    lines = [[f"{day:02}.07.2026 {hour:02}:00:00", 400000 + day, -1.5, 298.15, 160] for day in range(1, rows + 1)]
    return table("Zeit;U;I;T;Q", lines, ";")


def test_a_mapping_says_what_the_columns_mean(tmp_path: Path) -> None:
    found = read(in_folder(tmp_path, mapped(), MAPPING))
    assert found.warnings == ()
    assert found.metadata.battery_id == "PACK-17"
    assert found.metadata.started_at == "2026-07-01T00:00:00+00:00"
    assert found.metadata.time_zone is None
    assert column(found, "test_time_second") == [0, 86400, 172800]
    assert column(found, "voltage_volt") == pytest.approx([400.001, 400.002, 400.003])
    assert column(found, "current_ampere") == [1.5] * 3
    assert column(found, "temperature_t1_celsius") == pytest.approx([25] * 3)
    assert column(found, "state_of_charge_percent") == [80] * 3


def test_the_nearest_mapping_above_a_log_counts(tmp_path: Path) -> None:
    deep = tmp_path / "2026-07-01" / "vehicle"
    deep.mkdir(parents=True)
    (tmp_path / "battery-pilot-columns.toml").write_text(MAPPING.replace("PACK-17", "FAR"))
    (deep / "log.csv").write_text(mapped())
    assert read(deep / "log.csv").metadata.battery_id == "FAR"
    (deep.parent / "battery-pilot-columns.toml").write_text(MAPPING.replace("PACK-17", "NEAR"))
    assert read(deep / "log.csv").metadata.battery_id == "NEAR"


def test_a_mapping_leaves_files_with_other_headings_alone(tmp_path: Path) -> None:
    text = "Test Time / s,Voltage / V,Current / A\n0,3.6,1\n1,3.7,1\n"
    assert read(in_folder(tmp_path, text, MAPPING)).format == "bdf-csv"


def test_a_mapping_for_other_headings_leaves_usual_ones_to_themselves_with_a_warning(tmp_path: Path) -> None:
    found = read(in_folder(tmp_path, bms(), MAPPING))
    assert column(found, "current_ampere") == CURRENT
    assert "battery-pilot-columns.toml names other headings and was not used." in found.warnings


def test_a_heading_that_is_not_there_is_named_where_no_other_format_fits(tmp_path: Path) -> None:
    found = refusal(in_folder(tmp_path, mapped(), MAPPING.replace('heading = "U"', 'heading = "U_pack"')))
    assert "no heading 'U_pack', which battery-pilot-columns.toml names for voltage_volt" in found


def test_a_mapping_for_can_logs_says_nothing_about_tables(tmp_path: Path) -> None:
    mapping = '[voltage]\nsignal = "U"\n[current]\nsignal = "I"\n'
    assert column(read(in_folder(tmp_path, bms(), mapping)), "current_ampere") == CURRENT


def test_an_hour_that_the_clock_has_twice_is_left_out_with_a_warning(tmp_path: Path) -> None:
    text = mapped().replace("02.07.2026 02:00:00", "25.10.2026 02:30:00")
    found = read(in_folder(tmp_path, text, MAPPING))
    assert found.table.num_rows == 2
    assert "1 times lie in an hour that Europe/Berlin has twice or not at all, and were left out." in found.warnings


def test_the_battery_can_stand_in_a_column(tmp_path: Path) -> None:
    mapping = MAPPING.replace('battery_id = "PACK-17"', 'battery_id_column = "VIN"')
    text = "\n".join(f"{line};{'VIN' if line.startswith('Z') else 'B-7'}" for line in mapped().splitlines()) + "\n"
    assert read(in_folder(tmp_path, text, mapping)).metadata.battery_id == "B-7"
    assert "'B-8' and 'B-7'" in refusal(in_folder(tmp_path, text.replace("B-7", "B-8", 1), mapping))


def test_a_delimiter_of_its_own_and_decimal_commas_are_understood(tmp_path: Path) -> None:
    text = mapped().replace(";", "|").replace("-1.5", "-1,5")
    found = read(in_folder(tmp_path, text, 'delimiter = "|"\n' + MAPPING, "log.txt"))
    assert column(found, "current_ampere") == [1.5] * 3


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ('unit = "mV"', 'unit = "mA"', "'mA' is not a known one of voltage_volt"),
        ('heading = "U"', 'heding = "U"', "voltage"),
        ('positive = "discharge"', 'positive = "up"', "current.positive"),
        ('zone = "Europe/Berlin"', 'zone = "Mars"', "time.zone"),
        ('zone = "Europe/Berlin"', 'zone = "../../etc/passwd"', "time.zone"),
        ("factor = 0.5", "factor = nan", "state_of_charge.factor"),
        ("factor = 0.5", 'factor = 0.5\nunit = "%"', "unit or factor, not both"),
        ("[voltage]", "[voltage", "TOML"),
        ('battery_id = "PACK-17"', "battery_id = 17", "battery_id"),
    ],
)
def test_a_wrong_mapping_names_the_file_and_the_key(tmp_path: Path, old: str, new: str, expected: str) -> None:
    found = refusal(in_folder(tmp_path, mapped(), MAPPING.replace(old, new)))
    assert "battery-pilot-columns.toml" in found
    assert expected in found


def test_dates_of_another_format_are_refused_with_the_one_that_was_named(tmp_path: Path) -> None:
    found = refusal(in_folder(tmp_path, mapped().replace(".07.", "/07/"), MAPPING))
    assert "line 2" in found
    assert "%d.%m.%Y" in found


def test_a_mapping_that_was_changed_counts_from_then_on(tmp_path: Path) -> None:
    path = in_folder(tmp_path, mapped(), MAPPING)
    assert column(read(path), "current_ampere") == [1.5] * 3
    in_folder(tmp_path, mapped(), MAPPING.replace('"discharge"', '"charge"') + "\n")
    assert column(read(path), "current_ampere") == [-1.5] * 3


# Damage


def read_or_refuse(read_it: object, *arguments: object) -> Measurement | None:
    try:
        measurement: Measurement = read_it(*arguments)  # type: ignore[operator]
    except MeasurementError:
        return None
    for name in CYCLING_COLUMNS:
        assert np.isfinite(measurement.table[name].to_numpy()).all()
    return measurement


MARKS = ["nan", "1e400", "-", '"', "\t", ",", ";", "\n", "9" * 400, "é", "#", "'", "\0", "inf"]


@given(position=st.integers(0, len(bms()) - 1), mark=st.sampled_from(MARKS))
@settings(deadline=None)
def test_a_damaged_table_is_refused_or_gives_finite_numbers(position: int, mark: str) -> None:
    text = bms()
    read_or_refuse(read_bytes, (text[:position] + mark + text[position + 1 :]).encode(), "log.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mapped")


@given(position=st.integers(0, len(mapped(rows=9)) - 1), mark=st.sampled_from(MARKS))
@settings(deadline=None, max_examples=60)
def test_a_damaged_table_with_a_mapping_is_refused_or_gives_finite_numbers(
    folder: Path, position: int, mark: str
) -> None:
    text = mapped(rows=9)
    read_or_refuse(read, in_folder(folder, text[:position] + mark + text[position + 1 :], MAPPING))


@given(position=st.integers(0, len(MAPPING) - 1), mark=st.sampled_from(MARKS))
@settings(deadline=None, max_examples=60)
def test_a_damaged_mapping_is_refused_or_gives_finite_numbers(folder: Path, position: int, mark: str) -> None:
    path = in_folder(folder, mapped(), MAPPING[:position] + mark + MAPPING[position + 1 :])
    read_or_refuse(read, path)
