from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


@pytest.fixture
def versastudio(samples: dict[str, str]) -> str:
    return samples["versastudio.par"]


def test_the_segment_is_read(versastudio: str, spectrum: list[tuple[float, complex]]) -> None:
    table = read_bytes(versastudio.encode(), "a.par").table
    assert table["frequency_hertz"].to_pylist() == pytest.approx([f for f, _ in spectrum], rel=1e-6)
    assert table["imaginary_impedance_ohm"].to_pylist() == pytest.approx([z.imag for _, z in spectrum], rel=1e-6)
    assert set(table["spectrum_index"].to_pylist()) == {0}


def test_the_sections_become_metadata(versastudio: str) -> None:
    measurement = read_bytes(versastudio.encode(), "a.par")
    assert measurement.instrument == "Princeton Applied Research VersaSTAT4-400"
    assert measurement.metadata.known() == {
        "battery_id": "CELL-20",
        "started_at": "2026-07-16T14:40:30+00:00",
        "time_zone": "assumed UTC",
        "electrode_area_square_centimetre": 3.0,
        "instrument_software": "VersaStudio 2.52.3.0",
        "technique": "Potentiostatic EIS",
        "dc_bias_volt": pytest.approx(3.7),
    }


def test_each_action_is_a_spectrum_and_rows_without_frequency_are_left_out(versastudio: str) -> None:
    second = versastudio.replace("\n0,", "\n2,").partition("AC Amplitude, 0\n")[2].partition("</Segment1>")[0]
    rest = "1,0,3.71,0,0,0,11,0\n" + second + "</Segment1>"
    measurement = read_bytes(versastudio.replace("</Segment1>", rest).encode(), "a.par")
    assert measurement.table["spectrum_index"].to_pylist() == [0] * 16 + [1] * 16
    assert "1 rows without alternating current (frequency 0) were left out." in measurement.warnings
    assert measurement.metadata.dc_bias_volt is None


def test_two_segment_sections_are_two_spectra(versastudio: str) -> None:
    section = versastudio[versastudio.index("<Segment1>") : versastudio.index("<DockingLayout>")]
    table = read_bytes((versastudio + section.replace("Segment1", "Segment2")).encode(), "a.par").table
    assert table["spectrum_index"].to_pylist() == [0] * 16 + [1] * 16


def test_a_file_without_impedance_names_its_actions(versastudio: str) -> None:
    header = versastudio.partition("AC Amplitude, 0\n")[0]
    rows = "0,0,3.7,0,0,0,11,0\n</Segment1>\n"
    with pytest.raises(MeasurementError, match="no impedance in the file: its actions are 'Open Circuit, Potentio"):
        read_bytes((header + "AC Amplitude, 0\n" + rows).encode(), "a.par")


def test_a_file_that_ends_inside_the_segment_gives_its_rows_with_a_warning(versastudio: str) -> None:
    measurement = read_bytes(versastudio[: versastudio.index("0,10,")].encode(), "a.par")
    assert measurement.table.num_rows == 10
    assert any("ends inside a segment" in warning for warning in measurement.warnings)


def test_a_row_that_breaks_off_is_reported_with_its_line(versastudio: str) -> None:
    with pytest.raises(MeasurementError, match="line 48: 5 columns found, 8 expected"):
        read_bytes(versastudio[: versastudio.index("0,15,") + 16].encode(), "a.par")


def test_a_definition_without_impedance_is_reported(versastudio: str) -> None:
    with pytest.raises(MeasurementError, match="line 32: .*column Z Real is missing"):
        read_bytes(versastudio.replace("Z Real, ", "").encode(), "a.par")
