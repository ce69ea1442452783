from __future__ import annotations

import cmath
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

FREQUENCY = st.floats(1e-4, 1e7)
OHM = st.floats(-1e6, 1e6)


def impedance_of(text: str) -> tuple[float, complex]:
    """Return frequency and impedance of the last row."""
    table = read_bytes(text.encode(), "a.csv").table
    return table["frequency_hertz"][-1].as_py(), complex(
        table["real_impedance_ohm"][-1].as_py(), table["imaginary_impedance_ohm"][-1].as_py()
    )


@pytest.mark.parametrize(
    "headings",
    [
        "freq/Hz,Re(Z)/Ohm,Im(Z)/Ohm",
        "Frequency (Hz),Z' (ohm),Z'' (ohm)",
        "Frequency [Hz],Zreal [Ω],Zimag [Ω]",
        "f / Hz,Z' / ohm,Z\" / ohm",
        "Frequency_Hz,Z_Real_Ohm,Z_Imag_Ohm",
        "frequency,real,imag",
        '"Frequency (Hz)","Zre (ohms)","Zim (ohms)"',
        "FREQUENCY,RE,IM",
    ],
)
def test_common_headings_are_understood(headings: str) -> None:
    assert impedance_of(f"{headings}\n100,0.5,-0.25\n10,2,-3\n") == (10.0, 2 - 3j)


@pytest.mark.parametrize("heading", ["-Im(Z)/Ohm", "-Z'' (ohm)", "−Zimag", "minus Z_imag (ohm)", "neg. Im(Z)/Ohm"])
def test_a_negated_imaginary_part_gets_its_sign_back(heading: str) -> None:
    assert impedance_of(f"freq/Hz,Re(Z)/Ohm,{heading}\n10,2,3\n") == (10.0, 2 - 3j)


@pytest.mark.parametrize(
    ("headings", "row", "expected"),
    [
        ("f/kHz,Re/mOhm,Im/mOhm", "1,20,-30", (1000.0, 0.02 - 0.03j)),
        ("f (MHz),Re (kOhm),Im (Ohm)", "2,1,-5", (2e6, 1000 - 5j)),
        ("f (mHz),Re (mΩ),Im (mΩ)", "500,1,-5", (0.5, 0.001 - 0.005j)),
    ],
)
def test_units_are_converted(headings: str, row: str, expected: tuple[float, complex]) -> None:
    frequency, impedance = impedance_of(f"{headings}\n{row}\n")
    assert frequency == pytest.approx(expected[0])
    assert cmath.isclose(impedance, expected[1])


@pytest.mark.parametrize("headings", ["freq/Hz,|Z|/Ohm,Phase(Z)/deg", "Frequency (Hz),Zmod (ohm),Zphz (°)"])
def test_magnitude_and_phase_are_understood(headings: str) -> None:
    _, impedance = impedance_of(f"{headings}\n10,2,-60\n")
    assert cmath.isclose(impedance, cmath.rect(2, -math.pi / 3))


def test_a_negated_phase_in_radian_is_understood() -> None:
    _, impedance = impedance_of("f/Hz,|Z|/ohm,-phase/rad\n10,2,0.5\n")
    assert cmath.isclose(impedance, cmath.rect(2, -0.5))


@pytest.mark.parametrize(("delimiter", "decimal"), [(",", "."), (";", "."), ("\t", "."), (";", ","), ("\t", ",")])
@given(points=st.lists(st.tuples(FREQUENCY, OHM, OHM), min_size=1, max_size=20))
@settings(deadline=None)
def test_a_written_spectrum_reads_back_equal(
    delimiter: str, decimal: str, points: list[tuple[float, float, float]]
) -> None:
    rows = [delimiter.join(repr(value).replace(".", decimal) for value in point) for point in points]
    text = "\n".join([delimiter.join(["freq/Hz", "Re(Z)/Ohm", "Im(Z)/Ohm"]), *rows]) + "\n"
    table = read_bytes(text.encode(), "a.csv").table
    assert list(zip(*(table[column].to_pylist() for column in table.column_names[1:4]), strict=True)) == points


@pytest.mark.parametrize(("delimiter", "decimal"), [(",", "."), (";", ","), ("\t", ",")])
def test_three_bare_columns_are_read_with_the_guess_as_a_warning(delimiter: str, decimal: str) -> None:
    rows = [(10.0, 0.5, -0.25), (1.0, 0.75, -0.5)]
    text = "\n".join(delimiter.join(str(value).replace(".", decimal) for value in row) for row in rows) + "\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["imaginary_impedance_ohm"].to_pylist() == [-0.25, -0.5]
    assert any("no headings" in warning for warning in measurement.warnings)


def test_three_bare_columns_that_are_no_sweep_are_refused() -> None:
    with pytest.raises(
        MeasurementError, match="line 3: three columns without headings, but the first is no frequency sweep"
    ):
        read_bytes(b"1,3.7,0.1\n2,3.6,0.1\n1,3.5,0.1\n", "a.csv")


def test_comment_lines_become_metadata() -> None:
    text = (
        "# battery_id=Cell A 7\n# temperature_celsius=25.0\n# state_of_charge_percent = 50\n"
        "# started_at=2026-01-02T03:04:05+01:00\n# colour=red\n# measured in the cellar\nf/Hz,re/ohm,im/ohm\n1,2,-3\n"
    )
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.metadata.known() == {
        "battery_id": "Cell A 7",
        "temperature_celsius": 25.0,
        "state_of_charge_percent": 50.0,
        "started_at": "2026-01-02T02:04:05+00:00",
    }
    assert measurement.table["battery_id"].to_pylist() == ["Cell A 7"]
    assert any("'colour'" in warning for warning in measurement.warnings)


def test_a_number_without_digits_in_a_comment_is_a_warning() -> None:
    measurement = read_bytes(b"# temperature_celsius=warm\nf/Hz,re/ohm,im/ohm\n1,2,-3\n", "a.csv")
    assert measurement.metadata.known() == {}
    assert any("'warm'" in warning for warning in measurement.warnings)


def test_headings_without_units_are_warned_about() -> None:
    measurement = read_bytes(b"freq,re,im\n1,2,-3\n", "a.csv")
    assert "Column 'freq' states no unit and was taken as Hz." in measurement.warnings


def test_an_imaginary_part_that_is_always_positive_is_warned_about() -> None:
    measurement = read_bytes(b"f/Hz,re/ohm,im/ohm\n10,2,3\n1,2,3\n", "a.csv")
    assert any("check the sign" in warning for warning in measurement.warnings)


def test_a_half_last_line_is_reported_with_its_number() -> None:
    with pytest.raises(MeasurementError, match="line 3: 2 columns found, 3 expected"):
        read_bytes(b"f/Hz,re/ohm,im/ohm\n10,2,-3\n1,2", "a.csv")


@pytest.mark.parametrize("cut", ["-3.25e-0", "-3.25e-", "-3.25e", "-3.2"])
def test_an_unfinished_last_number_is_reported_with_its_line(cut: str) -> None:
    text = "f/Hz,re/ohm,im/ohm\n100,2,-3.25e-01\n10,2,-3.25e-01\n1,2," + cut
    with pytest.raises(MeasurementError, match="line 4: truncated file: it ends inside the number"):
        read_bytes(text.encode(), "a.csv")


def test_a_last_number_of_free_length_without_line_end_is_warned_about() -> None:
    measurement = read_bytes(b"f/Hz,re/ohm,im/ohm\n10,2,-3.125\n1,2,-3.5", "a.csv")
    assert any("line 3 may be cut" in warning for warning in measurement.warnings)


@pytest.mark.parametrize("cell", ["nan", "inf", "", "abc", "1_0", "0x1", "1e999"])
def test_cells_that_are_no_finite_numbers_are_reported_with_line_and_column(cell: str) -> None:
    with pytest.raises(MeasurementError, match="line 3: re/ohm: expected a number"):
        read_bytes(f"f/Hz,re/ohm,im/ohm\n10,2,-3\n1,{cell},-3\n".encode(), "a.csv")


@pytest.mark.parametrize("frequency", ["0", "-1"])
def test_a_frequency_that_is_not_positive_is_reported(frequency: str) -> None:
    with pytest.raises(MeasurementError, match="line 2: expected a frequency above 0 Hz"):
        read_bytes(f"f/Hz,re/ohm,im/ohm\n{frequency},2,-3\n".encode(), "a.csv")


def test_headings_alone_are_reported() -> None:
    with pytest.raises(MeasurementError, match="no data rows"):
        read_bytes(b"f/Hz,re/ohm,im/ohm\n", "a.csv")


@pytest.mark.parametrize(
    "text",
    [
        "The impedance was measured at each frequency in a sweep.\nThe files are in a folder.\n",
        "# Data\n\n| eis.json | points, frequency limits, first and last impedance in ohm |\n| other | more text |\n",
        "var f=function(a,b){return a;y};frequency,Y',Y''\nvar g;\n",
    ],
)
def test_prose_about_impedance_is_no_table(text: str) -> None:
    with pytest.raises(MeasurementError, match="line 1: unknown format, beginning with"):
        read_bytes(text.encode(), "README.txt")
