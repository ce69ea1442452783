from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read, read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS


@pytest.fixture
def mpt(samples: dict[str, str]) -> str:
    return samples["biologic.mpt"]


def test_cycle_numbers_separate_the_spectra_and_the_sign_is_restored(
    mpt: str, spectrum: list[tuple[float, complex]]
) -> None:
    table = read_bytes(mpt.encode("latin-1"), "a.mpt").table
    assert table["spectrum_index"].to_pylist() == [0] * 16 + [1] * 16
    assert table["imaginary_impedance_ohm"].to_pylist()[:16] == pytest.approx([z.imag for _, z in spectrum], rel=1e-6)


def test_header_and_comment_become_metadata(mpt: str) -> None:
    measurement = read_bytes(mpt.encode("latin-1"), "a.mpt")
    assert measurement.instrument == "BioLogic SP-150"
    assert measurement.metadata.known() == {
        "battery_id": "CELL-8",
        "temperature_celsius": 20.0,
        "started_at": "2026-02-14T10:02:46+00:00",
        "time_zone": "assumed UTC",
        "channel": "3",
        "technique": "PEIS",
        "instrument_software": "EC-Lab for windows v11.18 (software)",
        "electrode_area_square_centimetre": 2.5,
        "dc_bias_volt": pytest.approx(3.7),
        "columns_left_out": ["|Z|/Ohm", "Phase(Z)/deg", "<Ewe>/V", "Cp/µF"],
    }


def test_decimal_commas_give_the_same_numbers(mpt: str) -> None:
    head, mark, rows = mpt.partition("Cp/µF\t\n")
    german = head + mark + rows.replace(".", ",")
    expected, found = read_bytes(mpt.encode("latin-1"), "a.mpt"), read_bytes(german.encode("latin-1"), "a.mpt")
    assert found.table["real_impedance_ohm"] == expected.table["real_impedance_ohm"]


def test_a_missing_frequency_column_is_reported(mpt: str) -> None:
    with pytest.raises(MeasurementError, match="line 12: expected the columns freq/Hz"):
        read_bytes(mpt.replace("freq/Hz\t", "").encode(), "a.mpt")


@pytest.mark.parametrize("announced", ["99999", "0", "2"])
def test_a_header_of_impossible_length_is_reported(mpt: str, announced: str) -> None:
    with pytest.raises(MeasurementError, match=f"a header of {announced} lines announced"):
        read_bytes(mpt.replace("lines : 12", f"lines : {announced}").encode(), "a.mpt")


def test_a_direct_voltage_that_is_no_number_is_left_out_with_a_warning(mpt: str) -> None:
    head, mark, rows = mpt.partition("Cp/µF\t\n")
    damaged = head + mark + rows.replace("3.7", "3.x7", 1)
    expected, found = (read_bytes(text.encode("latin-1"), "a.mpt") for text in (mpt, damaged))
    assert found.table["real_impedance_ohm"] == expected.table["real_impedance_ohm"]
    assert found.metadata.dc_bias_volt is None
    assert any("dc_bias_volt was left out: line 13: <Ewe>/V" in warning for warning in found.warnings)


def test_a_gap_between_two_sweeps_that_lets_the_frequency_fall_throughout_keeps_them_apart(mpt: str) -> None:
    head, mark, rows = mpt.partition("Cp/µF\t\n")
    lines = rows.splitlines(keepends=True)
    table = read_bytes((head + mark + "".join([*lines[:8], *lines[24:]])).encode("latin-1"), "a.mpt").table
    assert table["spectrum_index"].to_pylist() == [0] * 8 + [1] * 8


def test_a_header_without_its_length_is_reported(mpt: str) -> None:
    with pytest.raises(MeasurementError, match="line 2: expected 'Nb header lines : n'"):
        read_bytes(mpt.replace("Nb header", "No header").encode(), "a.mpt")


def test_a_half_last_line_is_reported_with_its_number(mpt: str) -> None:
    with pytest.raises(MeasurementError, match="line 44: 7 columns found, 8 expected"):
        read_bytes(mpt[: mpt.rindex("\t")].encode(), "a.mpt")


def test_a_file_without_a_final_line_end_is_read(mpt: str) -> None:
    assert read_bytes(mpt.rstrip().encode(), "a.mpt").table.num_rows == 32


def test_direct_current_rows_are_left_out_with_a_warning(mpt: str) -> None:
    zeros = "\t".join(["0.0000000E+000"] * 8)
    measurement = read_bytes((mpt + zeros + "\n").encode(), "a.mpt")
    assert measurement.table.num_rows == 32
    assert any("1 rows without alternating current" in warning for warning in measurement.warnings)


def test_an_anonymised_start_is_a_warning(mpt: str) -> None:
    measurement = read_bytes(mpt.replace("02/14/2026 10:02:46", "xx/xx/xxxx xx:xx:xx").encode(), "a.mpt")
    assert "started_at" not in measurement.metadata.known()
    assert measurement.table["measured_at"].null_count == 32
    assert any("xx/xx/xxxx" in warning for warning in measurement.warnings)


def test_rows_with_fewer_cells_than_headings_behind_a_gap_are_whole(mpt: str) -> None:
    quirk = mpt.replace("Cp/µF\t\n", "Cp/µF\t\tEwe-Ece/V\n")
    assert read_bytes(quirk.encode(), "a.mpt").table.num_rows == 32


def test_a_row_of_another_width_among_equal_ones_is_reported_with_its_number(mpt: str) -> None:
    lines = mpt.split("\n")
    lines[20] = lines[20].rpartition("\t")[0]
    with pytest.raises(MeasurementError, match="line 21: 7 columns found, 8 expected"):
        read_bytes("\n".join(lines).encode(), "a.mpt")


def test_a_row_with_a_cell_too_many_is_refused(mpt: str) -> None:
    lines = mpt.split("\n")
    lines[20] = f"{lines[20]}\t7"
    with pytest.raises(MeasurementError, match="line 21: .* columns found, 8 expected"):
        read_bytes("\n".join(lines).encode(), "a.mpt")


def test_magnitude_and_phase_alone_are_read(mpt: str, spectrum: list[tuple[float, complex]]) -> None:
    polar = mpt.replace("Re(Z)/Ohm\t-Im(Z)/Ohm", "P/W\tI Range").replace("-1.0000000E+00", "-9.0000000E+01")
    table = read_bytes(polar.encode(), "a.mpt").table
    expected = [-abs(z) for _, z in spectrum]
    assert table["imaginary_impedance_ohm"].to_pylist()[:16] == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def log(samples: dict[str, str]) -> str:
    return samples["biologic_log.mpt"]


def column(text: str, name: str, file_name: str = "a.mpt") -> np.ndarray:
    return read_bytes(text.encode("latin-1"), file_name).table[name].to_numpy()


def test_a_log_has_time_voltage_and_signed_current(log: str, cycler_log: list[tuple[float, float, float]]) -> None:
    measurement = read_bytes(log.encode(), "a.mpt")
    assert (measurement.kind, measurement.instrument) == ("cycling", "BioLogic BCS-815")
    for name, values in zip(CYCLING_COLUMNS, np.transpose(cycler_log), strict=True):
        assert measurement.table[name].to_numpy() == pytest.approx(values, rel=1e-6)
    assert measurement.table["cycle_count"].to_pylist() == [0] * 16
    assert measurement.table["temperature_t1_celsius"].to_pylist() == [25.5] * 16


def test_the_header_of_a_log_becomes_metadata(log: str) -> None:
    assert read_bytes(log.encode(), "a.mpt").metadata.known() == {
        "started_at": "2026-03-31T16:00:00.500000+00:00",
        "time_zone": "assumed UTC",
        "channel": "A1",
        "technique": "MB",
        "instrument_software": "BT-Lab for windows v1.75 (software)",
        "nominal_capacity_ah": 4.5,
        "columns_left_out": ["R/Ohm"],
    }


def test_a_log_with_decimal_commas_gives_the_same_numbers(log: str) -> None:
    head, mark, rows = log.partition("Temperature/°C\t\n")
    german = head + mark + rows.replace(".", ",")
    assert (column(german, "current_ampere") == column(log, "current_ampere")).all()


@pytest.mark.parametrize("file_name", ["a.mpt", "a.txt"])
def test_a_log_without_its_header_is_recognised_by_its_headings(log: str, file_name: str) -> None:
    bare = log[log.index("Ns\t") :]
    assert (column(bare, "current_ampere", file_name) == column(log, "current_ampere")).all()


def test_a_log_with_semicolons_is_read(log: str) -> None:
    bare = log[log.index("Ns\t") :].replace("\t", ";")
    assert (column(bare, "voltage_volt", "a.csv") == column(log, "voltage_volt")).all()


def test_dates_in_the_time_column_give_test_time_and_moments(log: str) -> None:
    absolute = log
    for row in range(16):
        absolute = absolute.replace(f"\t{10.0 * row:.15E}\t", f"\t03/31/2026 16:0{row // 6}:{row % 6}0.500\t")
    table = read_bytes(absolute.encode(), "a.mpt").table
    assert table["test_time_second"].to_pylist() == [10.0 * row for row in range(16)]
    assert table["measured_at"][1].as_py().isoformat() == "2026-03-31T16:00:10.500000+00:00"


def test_a_time_that_is_neither_number_nor_date_is_refused(log: str) -> None:
    with pytest.raises(MeasurementError, match="time/s: expected seconds"):
        read_bytes(log.replace(f"{0.0:.15E}", "noon: 12").encode(), "a.mpt")


def test_a_header_longer_than_what_sniffing_sees_is_read(log: str) -> None:
    long = log.replace("lines : 12", "lines : 512").replace(
        "Device :",
        "Program : x"
        + " " * 60
        + "\n"
        + "\n".join(f"line {number}" + " " * 60 for number in range(499))
        + "\nDevice :",
    )
    assert (column(long, "voltage_volt") == column(log, "voltage_volt")).all()


def test_a_log_without_voltage_is_refused(log: str) -> None:
    with pytest.raises(MeasurementError, match="line 12: columns are missing for voltage_volt"):
        read_bytes(log.replace("Ecell/V", "Analog IN 1/V").encode(), "a.mpt")


def test_a_log_that_ends_inside_a_row_loses_only_this_row(log: str) -> None:
    measurement = read_bytes(log[: log.rindex("\t")].encode(), "a.mpt")
    assert measurement.table.num_rows == 15
    assert any("last row was left out" in warning for warning in measurement.warnings)


REAL = {
    "Sample_data_biologic_CA1.txt": (1397, 139.524006627),
    "Sample_data_biologic_no_header.mpt": (13, 120.12201253),
    "Sample_data_biologic_timestamped.txt": (8, 12.464),
}


@pytest.mark.parametrize(("name", "figures"), REAL.items())
def test_real_logs_have_all_rows_and_their_duration(shared_data: Path, name: str, figures: tuple[int, float]) -> None:
    table = read(shared_data / "cycling" / "pyprobe" / name).table
    assert table.num_rows == figures[0]
    assert np.ptp(table["test_time_second"].to_numpy()) == pytest.approx(figures[1], rel=1e-6)
