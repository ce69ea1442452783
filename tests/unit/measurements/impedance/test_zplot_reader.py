from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


@pytest.fixture
def zplot(samples: dict[str, str]) -> str:
    return samples["zplot.z"]


def short_header(rows: str) -> str:
    header = '"ZPlotW Data File: Version 3.2c"\n"Raw Data"\nDate: 12-17-2025    Time: 16:24:35\nbattery_id=CELL-12\n'
    return f"{header}16\n\"  Freq(Hz)    Ampl     Bias   Time(Sec)   Z'(a)    Z''(b)    GD   Err   Range\"\n{rows}"


def test_the_sweep_is_read_with_its_comments(zplot: str, spectrum: list[tuple[float, complex]]) -> None:
    measurement = read_bytes(zplot.encode(), "a.z")
    imaginary = measurement.table["imaginary_impedance_ohm"].to_pylist()
    assert imaginary == pytest.approx([z.imag for _, z in spectrum], rel=1e-4)
    assert measurement.metadata.started_at == "2025-10-25T12:32:21+00:00"
    assert (measurement.metadata.battery_id, measurement.metadata.temperature_celsius) == ("CELL-9", 21.5)


def test_the_short_header_gives_the_same_numbers(zplot: str) -> None:
    rows = zplot.partition("End Comments\n")[2].replace("\t", ", ")
    measurement = read_bytes(short_header(rows).encode(), "a.z")
    assert measurement.table["real_impedance_ohm"] == read_bytes(zplot.encode(), "a.z").table["real_impedance_ohm"]
    assert measurement.metadata.started_at == "2025-12-17T16:24:35+00:00"
    assert measurement.metadata.battery_id == "CELL-12"


def test_fewer_points_than_announced_are_a_warning(zplot: str) -> None:
    text = "\n".join(zplot.splitlines()[:-3]) + "\n"
    assert "The header announces 16 points, the file holds 13." in read_bytes(text.encode(), "a.z").warnings


def test_a_half_last_line_is_reported_with_its_number(zplot: str) -> None:
    with pytest.raises(MeasurementError, match="line 26: 8 columns found, 9 expected"):
        read_bytes(zplot[: zplot.rindex("\t")].encode(), "a.z")


def test_a_file_that_ends_in_its_header_is_reported(zplot: str) -> None:
    with pytest.raises(MeasurementError, match="expected a line of headings"):
        read_bytes(zplot[: zplot.index("Freq(Hz)")].encode(), "a.z")


def test_a_header_without_rows_is_reported(zplot: str) -> None:
    with pytest.raises(MeasurementError, match="no data rows"):
        read_bytes(zplot[: zplot.index("End Comments")].encode(), "a.z")


def test_a_zview_export_is_read(zplot: str) -> None:
    rows = zplot.partition("End Comments\n")[2].replace("\t", ", ")
    heading = "\"  Freq (Hz)    Ampl     Bias   Time(Sec)   Z'(a)    Z''(b)    GD   Err   Range\""
    date = '"Date: 7-16-2026     "Time: 10:20:30"'
    text = f'"ZView Calculated Data File: Version 1.1"\n{date}\n{heading}\n{rows}'
    measurement = read_bytes(text.encode(), "a.z")
    assert measurement.table["real_impedance_ohm"] == read_bytes(zplot.encode(), "a.z").table["real_impedance_ohm"]
    assert measurement.metadata.started_at == "2026-07-16T10:20:30+00:00"


@pytest.mark.parametrize("delimiter", ["\t", "; ", ", ", "  "])
def test_decimal_commas_give_the_same_numbers(zplot: str, delimiter: str) -> None:
    head, mark, rows = zplot.partition("End Comments\n")
    text = head + mark + rows.replace(".", ",").replace("\t", delimiter)
    assert read_bytes(text.encode(), "a.z").table[2] == read_bytes(zplot.encode(), "a.z").table[2]


def test_decimal_commas_between_bare_commas_are_refused(zplot: str) -> None:
    head, mark, rows = zplot.partition("End Comments\n")
    with pytest.raises(MeasurementError, match="line 11: "):
        read_bytes((head + mark + rows.replace(".", ",").replace("\t", ",")).encode(), "a.z")
