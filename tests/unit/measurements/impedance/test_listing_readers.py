from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

NOVA_HEADING = "Index;Frequency (Hz);Z' (Ω);-Z'' (Ω);Z (Ω);-Phase (°);Time (s)"


def nova(spectrum: list[tuple[float, complex]]) -> str:
    rows = [
        f"{index};{f!r};{z.real!r};{-z.imag!r};{abs(z)!r};1,6;{index},5".replace(".", ",")
        for index, (f, z) in enumerate(spectrum, 1)
    ]
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("file_name", ["chi.txt", "relaxis.txt", "parstat.txt", "powersuite.txt"])
def test_the_points_are_read_without_guessing_their_units(
    samples: dict[str, str], spectrum: list[tuple[float, complex]], file_name: str
) -> None:
    measurement = read_bytes(samples[file_name].encode(), file_name)
    table = measurement.table
    assert table["frequency_hertz"].to_pylist() == pytest.approx([f for f, _ in spectrum], rel=1e-6)
    assert table["real_impedance_ohm"].to_pylist() == pytest.approx([z.real for _, z in spectrum], rel=1e-6)
    assert table["imaginary_impedance_ohm"].to_pylist() == pytest.approx([z.imag for _, z in spectrum], rel=1e-6)
    assert not any("unit" in warning for warning in measurement.warnings)


def test_the_header_of_ch_instruments_becomes_metadata(samples: dict[str, str]) -> None:
    measurement = read_bytes(samples["chi.txt"].encode(), "a.txt")
    assert measurement.instrument == "CH Instruments CHI660E"
    assert measurement.metadata.known() == {
        "battery_id": "CELL-21",
        "started_at": "2026-07-06T15:55:08+00:00",
        "time_zone": "assumed UTC",
        "technique": "A.C. Impedance",
        "dc_bias_volt": 3.7,
    }


def test_shortened_months_of_ch_instruments_are_read(samples: dict[str, str]) -> None:
    text = samples["chi.txt"].replace("July 6", "Sept. 16")
    assert read_bytes(text.encode(), "a.txt").metadata.started_at == "2026-09-16T15:55:08+00:00"


def test_another_technique_of_ch_instruments_is_refused_with_its_name(samples: dict[str, str]) -> None:
    text = samples["chi.txt"].replace("A.C. Impedance", "Cyclic Voltammetry").replace("Freq/Hz", "Potential/V")
    with pytest.raises(MeasurementError, match="no impedance.*'Cyclic Voltammetry'"):
        read_bytes(text.encode(), "a.txt")


def test_the_header_of_relaxis_becomes_metadata(samples: dict[str, str]) -> None:
    metadata = read_bytes(samples["relaxis.txt"].encode(), "a.txt").metadata
    assert (metadata.instrument_software, metadata.dc_bias_volt) == ("RelaxIS 3.0", 3.7)
    assert metadata.started_at == "2026-07-16T14:29:15+00:00"


def test_spectra_side_by_side_in_a_relaxis_export_are_all_read(
    samples: dict[str, str], spectrum: list[tuple[float, complex]]
) -> None:
    head, rows = samples["relaxis.txt"].split("Data: ", 1)
    lines = ("Data: " + rows).rstrip("\n").split("\n")
    twice = "\n".join(f"{line}\t{line}" for line in lines)
    measurement = read_bytes(f"{head}{twice}\n".encode(), "a.txt")
    table = measurement.table
    assert table["spectrum_index"].to_pylist() == [0] * len(spectrum) + [1] * len(spectrum)
    assert table["real_impedance_ohm"].to_pylist() == pytest.approx([z.real for _, z in spectrum] * 2, rel=1e-6)
    assert "The table holds 2 spectra side by side." in measurement.warnings


def test_rows_of_direct_current_are_left_out_of_a_parstat_listing(samples: dict[str, str]) -> None:
    measurement = read_bytes(samples["parstat.txt"].encode(), "a.txt")
    assert measurement.table.num_rows == 16
    assert "2 rows without alternating current (frequency 0) were left out." in measurement.warnings


def test_a_row_that_lost_a_delimiter_is_reported(samples: dict[str, str]) -> None:
    with pytest.raises(MeasurementError, match="line 3: 7 columns found, 8 expected"):
        read_bytes(samples["parstat.txt"].replace("0.02\t20", "0.02 20", 1).encode(), "a.txt")


def test_an_autolab_listing_with_decimal_commas_is_read(spectrum: list[tuple[float, complex]]) -> None:
    measurement = read_bytes(f"{NOVA_HEADING}\n{nova(spectrum)}".encode(), "a.txt")
    assert (measurement.format, measurement.instrument) == ("autolab-txt", "Metrohm Autolab")
    imaginary = measurement.table["imaginary_impedance_ohm"].to_pylist()
    assert imaginary == pytest.approx([z.imag for _, z in spectrum], rel=1e-12)


def test_an_autolab_index_that_starts_again_begins_a_spectrum(spectrum: list[tuple[float, complex]]) -> None:
    text = f"{NOVA_HEADING}\n{nova(spectrum)}{nova(spectrum)}{nova(spectrum[:3])}"
    table = read_bytes(text.encode(), "a.txt").table
    assert table["spectrum_index"].to_pylist() == [0] * 16 + [1] * 16 + [2] * 3


@pytest.mark.parametrize(
    ("file_name", "delimiter"),
    [("chi.txt", ","), ("relaxis.txt", "\t"), ("parstat.txt", "\t"), ("powersuite.txt", "\t")],
)
def test_a_row_that_breaks_off_is_reported(samples: dict[str, str], file_name: str, delimiter: str) -> None:
    text = samples[file_name].rstrip()
    with pytest.raises(MeasurementError, match="columns found"):
        read_bytes(text[: text.rindex(delimiter)].encode(), file_name)
