from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

END = "\r\n\0\0\0\0\r\n\0\0\0\0\r\n"


@pytest.fixture
def ivium(samples: dict[str, str]) -> str:
    return samples["ivium.ids"]


@pytest.fixture
def scan(ivium: str) -> str:
    """A file with one scan."""
    return ivium.partition(END)[0] + END


def test_each_scan_is_a_spectrum_of_its_own(ivium: str, spectrum: list[tuple[float, complex]]) -> None:
    table = read_bytes(ivium.encode(), "a.ids").table
    assert table["spectrum_index"].to_pylist() == [0] * len(spectrum) + [1] * len(spectrum)
    imaginary = table["imaginary_impedance_ohm"].to_pylist()
    assert imaginary == pytest.approx([z.imag for _, z in spectrum] * 2, rel=1e-5)


def test_the_settings_are_read(ivium: str) -> None:
    measurement = read_bytes(ivium.encode(), "a.ids")
    known = measurement.metadata.known()
    assert measurement.instrument == "Ivium CompactStat+FRA"
    assert known.pop("started_at") == "2025-12-09T12:00:00+00:00"
    assert known == {
        "channel": "2",
        "instrument_software": "IviumSoft 4.1170",
        "technique": "Impedance Constant E",
        "time_zone": "assumed UTC",
        "electrode_area_square_centimetre": 2.5,
        "dc_bias_volt": 3.7,
    }


def test_without_a_day_number_the_written_date_is_read_with_its_day_first(ivium: str) -> None:
    measurement = read_bytes(ivium.replace("46000.5", "0.0").encode(), "a.ids")
    assert measurement.metadata.started_at == "2025-12-09T12:00:00+00:00"
    assert "The date '09/12/2025 12:00:00' was read as day, month, year." in measurement.warnings


def test_a_potential_against_the_open_circuit_is_no_direct_voltage(scan: str) -> None:
    text = scan.replace("Apply wrt OCP=false", "Apply wrt OCP=true")
    assert read_bytes(text.encode(), "a.idf").metadata.dc_bias_volt is None


@pytest.mark.parametrize("line_end", ["\n", "\r"])
def test_line_ends_and_decimal_commas_do_not_matter(ivium: str, line_end: str) -> None:
    text = ivium.replace("\r\n", line_end).replace("E start=3.7", "E start=3,7")
    head, mark, rows = text.partition("primary_data")
    changed = read_bytes((head + mark + rows.replace(".", ",")).encode("latin-1"), "a.ids")
    assert changed.table.drop(["source_sha256"]) == read_bytes(ivium.encode(), "a.ids").table.drop(["source_sha256"])
    assert changed.metadata.dc_bias_volt == 3.7


def test_a_scan_that_was_stopped_early_is_a_warning(scan: str) -> None:
    text = scan.replace("Frequencies=16", "Frequencies=71")
    assert read_bytes(text.encode(), "a.idf").warnings[0] == (
        "A scan was stopped early: 71 frequencies were asked for, 16 were measured."
    )


def test_other_methods_are_refused_by_their_name(scan: str) -> None:
    text = scan.replace("Method=Impedance", "Method=CyclicVoltammetry")
    with pytest.raises(MeasurementError, match=r"no impedance scan in the file \(methods found: CyclicVoltammetry\)"):
        read_bytes(text.encode(), "a.idf")


def test_a_scan_of_another_method_is_left_out_with_a_warning(ivium: str, scan: str) -> None:
    measurement = read_bytes(ivium.replace("Method=Impedance", "Method=Transients", 1).encode(), "a.ids")
    assert measurement.table.num_rows == read_bytes(scan.encode(), "a.idf").table.num_rows
    assert "1 scans that are no impedance (Transients) were left out." in measurement.warnings


@pytest.mark.parametrize(
    ("cut", "problem"),
    [
        ("7         \r\nosc", "truncated: 15 whole rows found, 16 announced"),
        ("16        \r\n", "expected 3 columns and the number of rows, found '3' and ''"),
        ("primary_data", "the last scan has no primary_data"),
    ],
)
def test_a_cut_scan_is_refused(scan: str, cut: str, problem: str) -> None:
    with pytest.raises(MeasurementError, match=problem):
        read_bytes(scan[: scan.index(cut) - 2].encode(), "a.idf")


def test_a_second_scan_without_data_is_refused(ivium: str) -> None:
    with pytest.raises(MeasurementError, match="the last scan has no primary_data"):
        read_bytes(ivium[: ivium.rindex("primary_data")].encode(), "a.ids")


def test_a_file_without_its_end_may_miss_scans(scan: str) -> None:
    measurement = read_bytes(scan.removesuffix(END).encode(), "a.ids")
    assert any("may be cut" in warning for warning in measurement.warnings)


@pytest.mark.parametrize("count", ["2147483648", "9" * 5000, "15"])
def test_a_wrong_number_of_rows_is_refused(scan: str, count: str) -> None:
    with pytest.raises(MeasurementError, match="announced"):
        read_bytes(scan.replace("16        \r\n", f"{count}\r\n").encode(), "a.idf")


def test_a_missing_row_is_refused_with_its_line(scan: str) -> None:
    lines = scan.split("\r\n")
    first = lines.index("16        ") + 1
    del lines[first]
    with pytest.raises(MeasurementError, match=f"line {first + 16}: 1 numbers found, 3 expected"):
        read_bytes("\r\n".join(lines).encode(), "a.idf")
