from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read, read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS, IMPEDANCE_COLUMNS, Measurement

Builder = Any


def read_mpr(file: Builder) -> Measurement:
    return read_bytes(file.build(), "a.mpr")


def column(measurement: Measurement, name: str) -> np.ndarray[Any, Any]:
    return measurement.table[name].to_numpy()


def without(file: Builder, *numbers: int) -> None:
    file.columns = [entry for entry in file.columns if entry[0] not in numbers]


@pytest.mark.parametrize("version", [2, 3, 10, 11])
def test_every_version_of_the_layout_gives_the_same_log(
    mpr_cycling: Builder, cycler_log: list[tuple[float, float, float]], version: int
) -> None:
    mpr_cycling.version = version
    measurement = read_mpr(mpr_cycling)
    assert (measurement.kind, measurement.format) == ("cycling", "biologic-mpr")
    expected = np.transpose(cycler_log)
    for name, values in zip(CYCLING_COLUMNS, expected, strict=True):
        assert column(measurement, name) == pytest.approx(values, rel=1e-7)
    assert measurement.table["step_index"].to_pylist() == [0] * 8 + [1] * 8


def test_columns_of_flags_share_one_byte(mpr_cycling: Builder) -> None:
    expected = column(read_mpr(mpr_cycling), "voltage_volt")
    without(mpr_cycling, 3, 21, 31)
    assert (column(read_mpr(mpr_cycling), "voltage_volt") == expected).all()


def test_two_half_cycles_are_a_cycle_and_the_charge_counter_has_two_directions(mpr_cycling: Builder) -> None:
    measurement = read_mpr(mpr_cycling)
    assert measurement.table["cycle_count"].to_pylist() == [1] * 16
    assert measurement.table["charging_capacity_ah"].to_pylist() == [0.005] * 8 + [0.0] * 8
    assert measurement.table["discharging_capacity_ah"].to_pylist() == [0.0] * 8 + [0.003] * 8
    assert any("half cycles" in warning for warning in measurement.warnings)


def test_the_settings_and_the_log_become_metadata(mpr_cycling: Builder, mpr_settings: Callable[..., bytes]) -> None:
    mpr_cycling.settings = mpr_settings(comment="battery_id=CELL-8 temperature_celsius=20")
    measurement = read_mpr(mpr_cycling)
    assert measurement.instrument == "BioLogic SP-300"
    assert measurement.metadata.known() == {
        "battery_id": "CELL-8",
        "temperature_celsius": 20.0,
        "started_at": "2026-03-31T16:00:00.500000+00:00",
        "time_zone": "assumed UTC",
        "channel": "3",
        "instrument_software": "EC-Lab v11.50",
        "technique": "GCPL",
        "nominal_capacity_ah": 1.3,
        "electrode_area_square_centimetre": 2.5,
        "columns_left_out": ["mode", "ox/red", "error", "control changes", "Ns changes", "counter inc."],
    }
    assert measurement.table["measured_at"][1].as_py().isoformat() == "2026-03-31T16:00:10.500000+00:00"


def test_cyclers_with_modules_of_eight_channels_name_them_with_a_letter(
    mpr_cycling: Builder, mpr_log: Callable[..., bytes]
) -> None:
    mpr_cycling.log = mpr_log(channel=31, device=26, software="1.79")
    metadata = read_mpr(mpr_cycling).metadata
    assert (metadata.channel, metadata.instrument_software) == ("D8", "BT-Lab v1.79")


def test_the_area_that_the_program_fills_in_is_left_out(
    mpr_cycling: Builder, mpr_settings: Callable[..., bytes]
) -> None:
    mpr_cycling.settings = mpr_settings(area=0.001, capacity_mah=0.0)
    measurement = read_mpr(mpr_cycling)
    assert not {"electrode_area_square_centimetre", "nominal_capacity_ah"} & measurement.metadata.known().keys()
    assert any("0.001 cm²" in warning for warning in measurement.warnings)


@pytest.mark.parametrize("has_log", [True, False])
def test_without_a_plausible_time_in_the_log_only_the_day_is_known(
    mpr_cycling: Builder, mpr_log: Callable[..., bytes], has_log: bool
) -> None:
    mpr_cycling.log = mpr_log(days=1e300) if has_log else None
    measurement = read_mpr(mpr_cycling)
    assert measurement.metadata.started_at == "2026-03-31T00:00:00+00:00"
    assert any("only its date, 03/31/26, is known" in warning for warning in measurement.warnings)


def test_a_start_far_from_the_date_of_the_settings_is_a_warning(
    mpr_cycling: Builder, mpr_log: Callable[..., bytes]
) -> None:
    mpr_cycling.log = mpr_log(started=datetime(2020, 1, 1))  # noqa: DTZ001
    assert any("not at the date of the settings" in warning for warning in read_mpr(mpr_cycling).warnings)


def test_the_current_is_derived_from_the_charge_of_each_row(mpr_cycling: Builder) -> None:
    times = [entry for entry in mpr_cycling.columns if entry[0] == 4][0][2]
    charge_mah = [0.0] + [2.0] * 7 + [-1.0] * 8
    without(mpr_cycling, 8)
    mpr_cycling.columns.append((7, "<f8", charge_mah))
    measurement = read_mpr(mpr_cycling)
    current = column(measurement, "current_ampere")
    assert current == pytest.approx([0.0] + [0.72] * 7 + [-0.36] * 8)
    assert (current[1:] * np.diff(times)).sum() / 3600 == pytest.approx(sum(charge_mah) / 1000, rel=1e-12)
    assert any("derived from the charge dq" in warning for warning in measurement.warnings)


@pytest.mark.parametrize(("number", "kind", "ampere"), [(13, "<f8", 0.36), (434, "<f4", 0.1)])
def test_the_current_is_derived_from_the_total_charge_in_either_unit(
    mpr_cycling: Builder, number: int, kind: str, ampere: float
) -> None:
    without(mpr_cycling, 8)
    mpr_cycling.columns.append((number, kind, [float(row) for row in range(16)]))
    assert column(read_mpr(mpr_cycling), "current_ampere") == pytest.approx([0.0] + [ampere] * 15)


def test_charge_without_time_is_given_no_current_and_counted(mpr_cycling: Builder) -> None:
    without(mpr_cycling, 8, 4)
    mpr_cycling.columns += [(4, "<f8", [0.0, *[10.0 * (row // 2) for row in range(15)]]), (7, "<f8", [1.0] * 16)]
    measurement = read_mpr(mpr_cycling)
    assert np.isfinite(column(measurement, "current_ampere")).all()
    assert any("rows with charge but without time" in warning for warning in measurement.warnings)


def test_rest_without_a_current_is_taken_as_no_current(mpr_cycling: Builder) -> None:
    without(mpr_cycling, 1, 8, 467, 468)
    mpr_cycling.columns.insert(0, (1, "flag", [3] * 16))
    measurement = read_mpr(mpr_cycling)
    assert (column(measurement, "current_ampere") == 0).all()
    assert any("open circuit" in warning for warning in measurement.warnings)


def test_a_controlled_current_stands_in_for_a_measured_one(mpr_cycling: Builder) -> None:
    without(mpr_cycling, 8)
    mpr_cycling.columns.append((20, "<f4", [250.0] * 16))
    measurement = read_mpr(mpr_cycling)
    assert column(measurement, "current_ampere") == pytest.approx([0.25] * 16)
    assert any("controlled current" in warning for warning in measurement.warnings)


def test_a_log_that_does_not_tell_the_current_is_refused(mpr_cycling: Builder) -> None:
    without(mpr_cycling, 8)
    with pytest.raises(MeasurementError, match="no column tells the current"):
        read_mpr(mpr_cycling)


def test_a_log_without_voltage_is_refused(mpr_cycling: Builder) -> None:
    without(mpr_cycling, 6)
    with pytest.raises(MeasurementError, match="columns are missing for voltage_volt"):
        read_mpr(mpr_cycling)


def test_the_voltage_of_a_third_electrode_is_left_out_with_a_warning(mpr_cycling: Builder) -> None:
    mpr_cycling.columns.append((9, "<f4", [0.1] * 16))
    measurement = read_mpr(mpr_cycling)
    assert column(measurement, "voltage_volt")[0] == pytest.approx(3.6)
    assert any("working electrode" in warning for warning in measurement.warnings)


@pytest.mark.parametrize("version", [2, 3, 11])
def test_cycle_numbers_separate_spectra_and_the_sign_is_restored(
    mpr_impedance: Builder, spectrum: list[tuple[float, complex]], version: int
) -> None:
    mpr_impedance.version = version
    measurement = read_mpr(mpr_impedance)
    assert measurement.kind == "impedance"
    assert measurement.table["spectrum_index"].to_pylist() == [0] * 16 + [1] * 16
    assert column(measurement, "imaginary_impedance_ohm")[:16] == pytest.approx(
        [z.imag for _, z in spectrum], rel=1e-6
    )
    assert measurement.metadata.technique == "PEIS"
    assert measurement.metadata.dc_bias_volt == pytest.approx(3.5)


def test_a_frequency_that_jumps_back_begins_a_spectrum(mpr_impedance: Builder) -> None:
    without(mpr_impedance, 24)
    assert read_mpr(mpr_impedance).table["spectrum_index"].to_pylist() == [0] * 16 + [1] * 16


def test_spectra_at_different_voltages_have_no_common_bias(mpr_impedance: Builder) -> None:
    without(mpr_impedance, 77)
    mpr_impedance.columns.append((77, "<f4", [3.5] * 16 + [3.6] * 16))
    assert read_mpr(mpr_impedance).metadata.dc_bias_volt is None


def test_rows_of_direct_current_between_the_spectra_are_left_out(mpr_impedance: Builder) -> None:
    for position, (number, kind, values) in enumerate(mpr_impedance.columns):
        rest = {32: 0.0, 38: 7.0}.get(number, values[16])
        mpr_impedance.columns[position] = (number, kind, [*values[:16], rest, *values[16:]])
    measurement = read_mpr(mpr_impedance)
    assert measurement.table["spectrum_index"].to_pylist() == [0] * 16 + [1] * 16
    assert any("1 rows without alternating current" in warning for warning in measurement.warnings)


def test_magnitude_and_phase_become_real_and_imaginary_part(
    mpr_impedance: Builder, spectrum: list[tuple[float, complex]]
) -> None:
    without(mpr_impedance, 37, 38)
    impedances = np.array([z for _, z in spectrum] * 2)
    mpr_impedance.columns += [
        (36, "<f4", list(np.abs(impedances))),
        (35, "<f4", list(np.angle(impedances, deg=True))),
    ]
    assert column(read_mpr(mpr_impedance), "imaginary_impedance_ohm") == pytest.approx(impedances.imag, rel=1e-5)


@pytest.mark.parametrize(
    ("has_charge", "expected"), [(True, [1.5] * 8 + [0.36] * 4), (False, [1.5] * 8 + [-1.5] * 4)]
)
def test_impedance_between_the_rows_of_a_log_has_the_mean_current_that_its_charge_tells(
    mpr_cycling: Builder, has_charge: bool, expected: list[float]
) -> None:
    mpr_cycling.columns += [(32, "<f4", [0.0] * 8 + [100.0] * 8), (36, "<f4", [0.5] * 16), (35, "<f4", [0.5] * 16)]
    if has_charge:
        mpr_cycling.columns.append((7, "<f8", [1.0] * 16))
    measurement = read_mpr(mpr_cycling)
    assert measurement.kind == "cycling"
    assert column(measurement, "current_ampere")[:12] == pytest.approx(expected)
    assert any("8 rows of impedance in the log" in warning for warning in measurement.warnings)


@pytest.mark.parametrize("kind", ["<f8", "<f4", "<u2", "u1"])
def test_an_unknown_column_is_passed_over_by_its_width(mpr_cycling: Builder, kind: str) -> None:
    expected = column(read_mpr(mpr_cycling), "current_ampere")
    mpr_cycling.columns.insert(7, (999, kind, [17.0] * 16))
    measurement = read_mpr(mpr_cycling)
    assert (column(measurement, "current_ampere") == expected).all()
    assert any("numbers 999" in warning for warning in measurement.warnings)


def test_an_unknown_flag_is_passed_over(mpr_cycling: Builder) -> None:
    mpr_cycling.columns.insert(3, (998, "flag", [64] * 16))
    assert read_mpr(mpr_cycling).table.num_rows == 16


def test_unknown_columns_that_only_one_pair_of_widths_explains_are_passed_over(mpr_cycling: Builder) -> None:
    expected = column(read_mpr(mpr_cycling), "current_ampere")
    mpr_cycling.columns.insert(7, (999, "<f8", [-1e-3] * 16))
    mpr_cycling.columns.append((998, "<f4", [2.0] * 16))
    assert (column(read_mpr(mpr_cycling), "current_ampere") == expected).all()


def test_unknown_columns_of_uncertain_width_are_refused_by_number(mpr_cycling: Builder) -> None:
    voltage = next(position for position, entry in enumerate(mpr_cycling.columns) if entry[0] == 6)
    mpr_cycling.columns.insert(voltage, (999, "<f8", [17.0] * 16))
    mpr_cycling.columns.append((998, "<f4", [2.0] * 16))
    with pytest.raises(MeasurementError, match="numbers 999, 998 are of unknown width"):
        read_mpr(mpr_cycling)


def test_too_many_unknown_columns_are_refused(mpr_cycling: Builder) -> None:
    mpr_cycling.columns += [(990 + index, "<f4", [1.0] * 16) for index in range(5)]
    with pytest.raises(MeasurementError, match="unknown width"):
        read_mpr(mpr_cycling)


def test_records_of_a_new_version_are_found_by_their_size(mpr_cycling: Builder) -> None:
    expected = read_mpr(mpr_cycling).table
    mpr_cycling.version = 12
    measurement = read_mpr(mpr_cycling)
    assert measurement.table.drop_columns("source_sha256") == expected.drop_columns("source_sha256")
    assert any("Version 12" in warning for warning in measurement.warnings)


def test_a_new_version_with_unknown_columns_is_refused(mpr_cycling: Builder) -> None:
    mpr_cycling.version = 12
    mpr_cycling.columns.append((999, "<f4", [1.0] * 16))
    with pytest.raises(MeasurementError, match="version 12 of the data module is not known"):
        read_mpr(mpr_cycling)


def test_a_file_cut_in_its_records_gives_the_whole_ones_and_counts_the_missing(mpr_cycling: Builder) -> None:
    expected = read_mpr(mpr_cycling).table
    whole = mpr_cycling.build()
    width = len(mpr_cycling.records()) // 16
    end = whole.index(mpr_cycling.records()) + 10 * width + 3
    measurement = read_bytes(whole[:end], "a.mpr")
    assert measurement.table.select(CYCLING_COLUMNS) == expected.select(CYCLING_COLUMNS).slice(0, 10)
    assert any("6 of 16 announced rows are missing" in warning for warning in measurement.warnings)


def test_a_half_written_file_that_announces_more_rows_gives_those_that_are_there(mpr_cycling: Builder) -> None:
    mpr_cycling.points = 20
    measurement = read_mpr(mpr_cycling)
    assert measurement.table.num_rows == 16
    assert any("4 of 20 announced rows are missing" in warning for warning in measurement.warnings)


def test_more_bytes_of_records_than_announced_are_refused(mpr_cycling: Builder) -> None:
    mpr_cycling.points = 15
    with pytest.raises(MeasurementError, match="do not fit 15 points of 12 columns"):
        read_mpr(mpr_cycling)


def test_records_too_short_for_their_columns_are_refused(mpr_cycling: Builder) -> None:
    whole = mpr_cycling.build()
    number = whole.index(b"\x04\0\x06\0\x08\0")
    damaged = whole[: number + 2] + b"\x0b\0" + whole[number + 4 :]  # 8 bytes where the voltage has 4.
    with pytest.raises(MeasurementError, match="do not fit"):
        read_bytes(damaged, "a.mpr")


@pytest.mark.parametrize("rows", [0, 3])
def test_a_file_without_a_whole_row_is_refused(mpr_cycling: Builder, rows: int) -> None:
    mpr_cycling.columns = [(number, kind, values[:rows]) for number, kind, values in mpr_cycling.columns]
    whole = mpr_cycling.build()
    end = whole.index(mpr_cycling.records()) + 5 if rows else len(whole)
    with pytest.raises(MeasurementError, match=r"no data rows|none of 3 rows is whole"):
        read_bytes(whole[:end], "a.mpr")


def test_a_file_without_its_data_module_is_refused_with_what_it_has(mpr_cycling: Builder) -> None:
    whole = mpr_cycling.build()
    with pytest.raises(MeasurementError, match=re.escape("no data module (modules found: VMP Set)")):
        read_bytes(whole[: whole.index(b"MODULEVMP data")], "a.mpr")


def test_a_file_cut_in_the_head_of_its_data_is_refused(mpr_cycling: Builder) -> None:
    whole = mpr_cycling.build()
    with pytest.raises(MeasurementError, match="head of the data module is truncated"):
        read_bytes(whole[: whole.index(mpr_cycling.records()) - 100], "a.mpr")


def test_a_file_cut_behind_its_data_is_whole_with_a_warning(mpr_cycling: Builder) -> None:
    measurement = read_bytes(mpr_cycling.build()[:-100], "a.mpr")
    assert measurement.table.num_rows == 16
    assert any("ends inside its module VMP LOG" in warning for warning in measurement.warnings)


def test_bytes_behind_the_modules_are_a_warning(mpr_cycling: Builder) -> None:
    measurement = read_bytes(mpr_cycling.build() + b"xyz", "a.mpr")
    assert any("3 bytes" in warning for warning in measurement.warnings)


def test_a_module_header_of_an_unknown_form_is_refused(mpr_cycling: Builder) -> None:
    mpr_cycling.date = "31 March"
    with pytest.raises(MeasurementError, match="module header of an unknown form"):
        read_mpr(mpr_cycling)


def test_a_row_without_a_number_is_refused_with_its_place(mpr_cycling: Builder) -> None:
    without(mpr_cycling, 6)
    mpr_cycling.columns.append((6, "<f4", [3.6] * 5 + [float("nan")] * 11))
    with pytest.raises(MeasurementError, match="data row 6: voltage_volt: expected a number, found nan"):
        read_mpr(mpr_cycling)


def finite_or_refused(data: bytes) -> Measurement | None:
    try:
        measurement = read_bytes(data, "a.mpr")
    except MeasurementError:
        return None
    for name in IMPEDANCE_COLUMNS if measurement.kind == "impedance" else CYCLING_COLUMNS:
        assert np.isfinite(column(measurement, name)).all()
    return measurement


@pytest.mark.parametrize("fixture", ["mpr_cycling", "mpr_impedance"])
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_truncated_file_gives_its_first_rows_or_is_refused(
    request: pytest.FixtureRequest, fixture: str, data: st.DataObject
) -> None:
    whole = request.getfixturevalue(fixture).build()
    expected = read_bytes(whole, "a.mpr")
    found = finite_or_refused(whole[: data.draw(st.integers(0, len(whole) - 1))])
    if found is not None:
        names = IMPEDANCE_COLUMNS if expected.kind == "impedance" else CYCLING_COLUMNS
        assert found.table.select(names) == expected.table.select(names).slice(0, found.table.num_rows)
        missing = expected.table.num_rows - found.table.num_rows
        assert not missing or any(f"{missing} of" in warning for warning in found.warnings)


@pytest.mark.parametrize("fixture", ["mpr_cycling", "mpr_impedance"])
@given(data=st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_changed_bytes_give_finite_numbers_or_are_refused(
    request: pytest.FixtureRequest, fixture: str, data: st.DataObject
) -> None:
    damaged = bytearray(request.getfixturevalue(fixture).build())
    heads = [damaged.index(b"VMP data") + offset for offset in range(30, 100)]
    anywhere = st.integers(0, len(damaged) - 1)
    for position in data.draw(st.lists(anywhere | st.sampled_from(heads), min_size=1, max_size=5)):
        damaged[position] = data.draw(st.integers(0, 255))
    finite_or_refused(bytes(damaged))


REAL = {
    "cycling/cellpy/biol.mpr": (23561, 76139.104001),
    "eis/bdf-fixtures/GCPL-0.mpr": (4, 2.812999929),
    "eis/bdf-fixtures/MB-1.mpr": (13, 14.000199646),
}


@pytest.mark.parametrize(("name", "figures"), REAL.items())
def test_real_logs_have_all_rows_and_the_charge_that_the_cycler_counted(
    shared_data: Path, name: str, figures: tuple[int, float]
) -> None:
    measurement = read(shared_data / name)
    time, current = column(measurement, "test_time_second"), column(measurement, "current_ampere")
    assert len(time) == figures[0]
    assert np.ptp(time) == pytest.approx(figures[1], rel=1e-6)
    charged = (current[1:] * np.diff(time)).sum() / 3600
    counted = column(measurement, "charging_capacity_ah") - column(measurement, "discharging_capacity_ah")
    assert charged == pytest.approx(counted[-1] - counted[0], rel=1e-3, abs=1e-15)


def test_a_real_binary_spectrum_has_its_points(shared_data: Path) -> None:
    table = read(shared_data / "eis" / "hybrid-drt" / "PEIS_SSB.mpr").table
    assert table.num_rows == 89
    assert table["frequency_hertz"][0].as_py() == pytest.approx(7000018.5)
