"""Tables of impedance in the layouts of many programs."""

from __future__ import annotations

import cmath
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Measurement

ROWS = ((10.0, 1 - 1j), (1.0, 1.5 - 2j))


def read(text: str | bytes) -> Measurement:
    return read_bytes(text.encode() if isinstance(text, str) else text, "a.csv")


def spectra(text: str | bytes) -> list[list[tuple[float, complex]]]:
    """Return frequency and impedance of each point, spectrum after spectrum."""
    columns = [column.to_pylist() for column in read(text).table.columns[:4]]
    found: list[list[tuple[float, complex]]] = [[] for _ in range(columns[0][-1] + 1)]
    for number, frequency, real, imaginary in zip(*columns, strict=True):
        found[number].append((frequency, complex(real, imaginary)))
    return found


def assert_close(found: list[tuple[float, complex]], expected: tuple[tuple[float, complex], ...] = ROWS) -> None:
    assert len(found) == len(expected)
    for (frequency, impedance), (known_frequency, known_impedance) in zip(found, expected, strict=True):
        assert frequency == pytest.approx(known_frequency)
        assert cmath.isclose(impedance, known_impedance)


@pytest.mark.parametrize(
    "text",
    [
        "f/Hz|Re/ohm|Im/ohm\n10|1|-1\n1|1.5|-2\n",
        "Freq (Hz)   Z' (ohm)    Z'' (ohm)\n  10.0       1.0       -1.0\n   1.0       1.5       -2.0\n",
        "f Z' Z''\n10 1 -1\n1 1.5 -2\n",
        "f / Hz Z' / ohm Z'' / ohm\n10,0 1,0 -1,0\n1,0 1,5 -2,0\n",
        '"f/Hz","Re/ohm","Im/ohm"\n"10,0","1,0","-1,0"\n"1,0","1,5","-2,0"\n',
        "f/Hz;Re/ohm;Im/ohm\n10\N{NO-BREAK SPACE};1;\N{MINUS SIGN}1\n1;1,5;\N{MINUS SIGN}2\n",
        "f/Hz,Re/ohm,Im/ohm\n10,1,-1\n# pause\n\n1,1.5,-2\n",
        "Frequenz [Hz];Realteil [Ohm];Imaginärteil [Ohm]\n10;1;-1\n1;1,5;-2\n",
        "Frequenz;Impedanz (Realteil);x\nFrequenz [Hz];Realteil Z;-Imaginaerteil Z\n10;1;1\n1;1,5;2\n",
        "Fréquence (Hz);Partie réelle (Ohm);-Partie imaginaire (Ohm)\n10;1;1\n1;1,5;2\n",
        "freq/Hz,Z/Ohm\n10,(1-1j)\n1,1.5 - 2i\n",
        "freq/Hz;Z/Ohm\n10;1,0-j1,0\n1;1,5-j2,0\n",
        "f/Hz,Re/mOhm,Im/uOhm\n10,1000,-1e6\n1,1500,-2e6\n",
    ],
)
def test_spellings_of_one_table(text: str) -> None:
    assert_close(spectra(text)[0])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_encodings(encoding: str) -> None:
    assert_close(spectra("Fréquence (Hz);Z' (ohm);Z'' (ohm)\n10;1;-1\n1;1,5;-2\n".encode(encoding))[0])


@pytest.mark.parametrize(
    "heading", ["omega (rad/s)", "ω / rad s^-1", "Kreisfrequenz [1/s]", "pulsation", "frequency (rad/s)"]
)
def test_angular_frequencies_become_frequencies(heading: str) -> None:
    assert_close(spectra(f"{heading};Re/ohm;Im/ohm\n{math.tau * 10!r};1;-1\n{math.tau!r};1.5;-2\n")[0])


def test_a_row_of_units_below_the_headings_is_understood() -> None:
    text = "Frequenz\tRealteil\tImaginärteil\n[Hz]\t[mOhm]\t[mOhm]\n10\t1000\t-1000\n1\t1500\t-2000\n"
    assert_close(spectra(text)[0])
    assert not any("no unit" in warning for warning in read(text).warnings)


def test_lines_of_text_above_and_below_the_table_are_counted() -> None:
    measurement = read("Cell A 7\n12 June\n\nf/Hz,Re/ohm,Im/ohm\n10,1,-1\n1,1.5,-2\n\nend\n")
    assert measurement.table.num_rows == 2
    assert "Lines of text above the table were left out: 2." in measurement.warnings
    assert "Lines of text between or below the tables were left out: 1." in measurement.warnings


def test_a_line_of_text_among_the_rows_is_refused() -> None:
    with pytest.raises(MeasurementError, match="line 4: expected headings after a line of text"):
        read("f/Hz,Re/ohm,Im/ohm\n10,1,-1\npause\n1,1.5,-2\n")


@pytest.mark.parametrize(
    ("values", "unit"), [(("-0.5", "-1.2"), "radian"), (("-28.6478897565412", "-68.75493541569878"), "degree")]
)
def test_the_unit_of_a_phase_without_one_follows_from_its_range(values: tuple[str, str], unit: str) -> None:
    text = f"f/Hz,|Z|/ohm,phase\n10,2,{values[0]}\n1,2,{values[1]}\n"
    assert_close(spectra(text)[0], ((10.0, cmath.rect(2, -0.5)), (1.0, cmath.rect(2, -1.2))))
    assert f"Column 'phase' states no unit and was taken as {unit}, as its values are." in read(text).warnings


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('f/Hz,Re/ohm,Im/ohm\n"10,000.5","1,234.5",-1\n', (10000.5, 1234.5 - 1j)),
        ("f/Hz;Re/ohm;Im/ohm\n10.000,5;1.234,5;-1\n", (10000.5, 1234.5 - 1j)),
        ("f/Hz;Re/ohm;Im/ohm\n10'000.5;1'234.5;-1\n", (10000.5, 1234.5 - 1j)),
        ("f/Hz;Re/ohm;Im/ohm\n1,000,000;1;-1\n", (1e6, 1 - 1j)),
    ],
)
def test_signs_between_thousands_are_understood(text: str, expected: tuple[float, complex]) -> None:
    assert spectra(text) == [[expected]]
    assert any("between thousands" in warning for warning in read(text).warnings)


@pytest.mark.parametrize("damaged", ["1.234,5", "1'5", "1 5", "1,5.25", "1,234,567"])
def test_one_damaged_number_does_not_change_how_others_are_read(damaged: str) -> None:
    with pytest.raises(MeasurementError, match="line 3: Re/ohm: expected a number"):
        read(f"f/Hz;Re/ohm;Im/ohm\n10.5;0.125;-1\n1.25;{damaged};-0.25\n0,5;0,125;-0.375\n")


def test_a_decimal_comma_that_is_also_the_delimiter_is_refused() -> None:
    with pytest.raises(MeasurementError, match="line 3: 4 columns found, 3 expected"):
        read('f/Hz,Re/ohm,Im/ohm\n"100,5","1,5","-1,5"\n10,5,"1,5","-1,5"\n')


def test_a_comma_that_may_be_either_sign_is_warned_about() -> None:
    measurement = read("f/Hz;Re/ohm;Im/ohm\n10,000;1,234;-1,500\n")
    assert measurement.table["frequency_hertz"].to_pylist() == [10.0]
    assert "Numbers such as '10,000' were read with a decimal comma." in measurement.warnings


@pytest.mark.parametrize(
    "text",
    [
        "spectrum,f/Hz,Re/ohm,Im/ohm\n1,10,1,-1\n1,1,1.5,-2\n2,10,1,-1\n2,1,1.5,-2\n",
        "Sweep;f/Hz;Re/ohm;Im/ohm\nbefore;10;1;-1\nbefore;1;1.5;-2\nafter;10;1;-1\nafter;1;1.5;-2\n",
        "f/Hz,Re/ohm,Im/ohm\n10,1,-1\n1,1.5,-2\nf/Hz,Re/ohm,Im/ohm\n10,1,-1\n1,1.5,-2\n",
        "No 1\nf/Hz,Re/ohm,Im/ohm\n10,1,-1\n1,1.5,-2\n\nNo 2\nRe/mohm,f/Hz,Im/ohm\n1000,10,-1\n1500,1,-2\n",
        "f/Hz,Re/ohm,Im/ohm\n10,1,-1\n1,1.5,-2\n10,1,-1\n1,1.5,-2\n",
        "f1/Hz,re1/ohm,im1/ohm,f2/Hz,re2/ohm,im2/ohm\n10,1,-1,10,1,-1\n1,1.5,-2,1,1.5,-2\n",
        "f/Hz,Z' 1,Z'' 1,Z' 2,Z'' 2\n10,1,-1,1,-1\n1,1.5,-2,1.5,-2\n",
        "Freq,Zre,Zim,Freq,Zre,Zim\n10,1,-1,10,1,-1\n1,1.5,-2,1,1.5,-2\n",
        "f/Hz;Z'' 2;Z' 1;Z'' 1;Z' 2\n10;-1;1;-1;1\n1;-2;1.5;-2;1.5\n",
        "f,Z,Z.1\n10,1-1j,1-1j\n1,1.5-2j,1.5-2j\n",
    ],
)
def test_two_spectra_in_one_file(text: str) -> None:
    found = spectra(text)
    assert len(found) == 2
    assert_close(found[0])
    assert_close(found[1])


def test_spectra_told_apart_by_their_frequencies_are_a_warning() -> None:
    measurement = read("f/Hz,Re/ohm,Im/ohm\n10,1,-1\n1,1.5,-2\n10,1,-1\n1,1.5,-2\n")
    assert any("was taken as 2 spectra" in warning for warning in measurement.warnings)


def test_a_shorter_spectrum_at_the_side_has_empty_cells() -> None:
    found = spectra("f/Hz,re 1,im 1,re 2,im 2\n10,1,-1,1,-1\n1,1.5,-2,1.5,-2\n0.1,2,-3,,\n")
    assert [len(spectrum) for spectrum in found] == [3, 2]


def test_spectra_side_by_side_in_columns_of_blanks_are_read() -> None:
    text = "Freq (Hz)  |Z| 1  Phase (rad) 1  |Z| 2  Phase (°) 2\n  10.0  2.0  -0.5  3.0  -30.0\n"
    first, second = spectra(text)
    assert_close(first, ((10.0, cmath.rect(2, -0.5)),))
    assert_close(second, ((10.0, cmath.rect(3, -math.pi / 6)),))


def test_columns_of_different_spectra_are_not_paired() -> None:
    found = spectra("f/Hz,re 1,re 2,im 2\n10,1,3,-1\n")
    assert found == [[(10.0, 3 - 1j)]]


def test_a_half_point_at_the_side_is_refused() -> None:
    with pytest.raises(MeasurementError, match="line 3: im 2: expected a number, found ''"):
        read("f/Hz,re 1,im 1,re 2,im 2\n10,1,-1,1,-1\n1,1.5,-2,1.5,\n")


@pytest.mark.parametrize(
    "frequencies",
    [
        [1000, 300, 310, 100, 30, 10, 3, 1],
        [1000, 1000, 300, 300, 100, 100, 30],
        [1000, 900, 950, 800, 700, 600, 500],
        [1, 10, 100, 1000, 900, 100, 10, 1],
        [50, 50, 50, 50],
    ],
)
def test_frequencies_out_of_order_are_one_spectrum(frequencies: list[float]) -> None:
    rows = "".join(f"{frequency},1,-1\n" for frequency in frequencies)
    assert len(spectra(f"f/Hz,Re/ohm,Im/ohm\n{rows}")) == 1


def test_a_column_that_numbers_points_does_not_number_spectra() -> None:
    text = "scan,f/Hz,Re/ohm,Im/ohm\n1,10,1,-1\n2,1,1.5,-2\n3,0.1,2,-3\n"
    assert len(spectra(text)) == 1
    assert any("changes in every row" in warning for warning in read(text).warnings)


@pytest.mark.parametrize(
    ("headings", "problem"),
    [
        ("f/Hz,Y'/S,Y''/S", "admittances"),
        ("freq,Re(Y),Im(Y)", "admittances"),
        ("f/Hz,Z' (Ω cm²),Z'' (Ω cm²)", "for an area"),
        ("f/Hz,Z'/Ohm.cm^2,Z''/Ohm.cm^2", "for an area"),
    ],
)
def test_other_quantities_are_refused_with_the_reason(headings: str, problem: str) -> None:
    with pytest.raises(MeasurementError, match=f"line 1: .*{problem}"):
        read(f"{headings}\n10,1,-1\n")


def test_cells_that_are_no_complex_numbers_are_refused() -> None:
    with pytest.raises(MeasurementError, match="line 3: Z: expected a complex number"):
        read("f/Hz,Z\n10,1-1j\n1,large\n")


def test_nasa_tables_with_a_column_of_frequencies_are_read() -> None:
    headings = "Sense_current,Battery_current,Current_ratio,Battery_impedance,Rectified_Impedance"
    row = "(1+1j),(2-1j),(0.5+0.1j),(0.07-0.0005j),(0.06-0.0004j)"
    assert spectra(f"{headings},Frequency (Hz)\n{row},1000\n") == [
        [(1000.0, 0.07 - 0.0005j)],
        [(1000.0, 0.06 - 0.0004j)],
    ]
    with pytest.raises(MeasurementError, match="no frequencies"):
        read(f"{headings}\n{row}\n")


def test_each_row_is_a_spectrum_where_the_frequencies_are_in_the_headings() -> None:
    text = (
        "cell,ZReal_2e+01Hz,ZReal_10Hz,ZReal_0.5 kHz,ZImag_2e+01Hz,ZImag_10Hz,ZImag_0.5 kHz\n"
        "a,1,2,3,-4,-5,-6\nb,7,8,9,-10,-11,-12\n"
    )
    assert spectra(text) == [
        [(20.0, 1 - 4j), (10.0, 2 - 5j), (500.0, 3 - 6j)],
        [(20.0, 7 - 10j), (10.0, 8 - 11j), (500.0, 9 - 12j)],
    ]
    assert any("taken from the headings" in warning for warning in read(text).warnings)
    assert read(text).metadata.columns_left_out == ("cell",)


def test_columns_without_a_place_are_named() -> None:
    assert read("time/s,f/Hz,Re/ohm,Im/ohm,Temp\n0,10,1,-1,25\n").metadata.columns_left_out == ("time/s", "Temp")


def test_an_imaginary_part_that_is_mostly_positive_is_warned_about() -> None:
    warnings = read("f/Hz,Re/ohm,Im/ohm\n10,1,-1\n1,1,1\n0.1,1,1\n").warnings
    assert any("positive at most frequencies" in warning for warning in warnings)


def test_a_large_table_is_the_same_as_its_parts() -> None:
    frequency = np.tile(np.geomspace(1e4, 1e-1, 61), 1000)
    rows = [f"{value!r},{index + 0.5},{-index}" for index, value in enumerate(frequency.tolist())]
    table = read("f/Hz,Re/ohm,Im/ohm\n" + "\n".join(rows) + "\n").table
    assert np.array_equal(table["frequency_hertz"].to_numpy(), frequency)
    assert table["imaginary_impedance_ohm"].to_pylist() == [-float(index) for index in range(len(rows))]
    assert table["spectrum_index"][-1].as_py() == 999


FREQUENCY_HEADINGS = {"freq/Hz": 1.0, "Frequency (kHz)": 1e-3, "f [mHz]": 1e3, "omega (rad/s)": math.tau}
OHM_UNITS = {"/Ohm": 1.0, " (mΩ)": 1e3, "": 1.0, " [kOhm]": 1e-3}
PAIRS = {
    ("Re(Z)", "Im(Z)"): lambda z: (z.real, z.imag),
    ("Z'", "-Z''"): lambda z: (z.real, -z.imag),
    ("Realteil", "Imaginärteil"): lambda z: (z.real, z.imag),
    ("minus Zre", "neg. Zim"): lambda z: (-z.real, -z.imag),
}


@given(
    points=st.lists(
        st.tuples(st.floats(1e-4, 1e6), st.floats(-1e5, 1e5), st.floats(-1e5, 1e5)), min_size=1, max_size=12
    ),
    frequency=st.sampled_from(sorted(FREQUENCY_HEADINGS)),
    pair=st.sampled_from(sorted(PAIRS)),
    unit=st.sampled_from(sorted(OHM_UNITS)),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    decimal=st.sampled_from([".", ","]),
    title=st.sampled_from(["", "Measured on a Monday\n\n", "# a comment\n"]),
)
@settings(deadline=None, max_examples=300)
def test_a_spectrum_written_in_any_way_reads_back(
    points: list[tuple[float, float, float]],
    frequency: str,
    pair: tuple[str, str],
    unit: str,
    delimiter: str,
    decimal: str,
    title: str,
) -> None:
    decimal = "." if delimiter == "," else decimal
    lines = [delimiter.join([frequency, pair[0] + unit, pair[1] + unit])]
    for hertz, real, imaginary in points:
        first, second = (value * OHM_UNITS[unit] for value in PAIRS[pair](complex(real, imaginary)))
        values = (hertz * FREQUENCY_HEADINGS[frequency], first, second)
        lines.append(delimiter.join(repr(value).replace(".", decimal) for value in values))
    table = read(title + "\n".join(lines) + "\n").table
    found = np.array([table[name].to_numpy() for name in table.column_names[1:4]]).T
    assert found == pytest.approx(np.array(points), rel=1e-9, abs=1e-300)


def test_headings_that_are_repeated_without_rows_do_not_matter() -> None:
    found = spectra("freq,Zre,Zim\n" * 3 + "10,1,-1\n1,1.5,-2\n")
    assert len(found) == 1
    assert_close(found[0])


def test_thousands_of_spectra_side_by_side_are_read() -> None:
    count = 3000
    lines = ("freq,Zre,Zim", *(f"{frequency},{z.real},{z.imag}" for frequency, z in ROWS))
    found = spectra("\n".join(",".join([line] * count) for line in lines) + "\n")
    assert len(found) == count
    assert_close(found[-1])


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
def test_chinese_headings_are_read_in_every_encoding(encoding: str) -> None:
    assert_close(spectra("频率(Hz),阻抗实部(Ω),阻抗虚部(Ω)\n10,1,-1\n1,1.5,-2\n".encode(encoding))[0])


@pytest.mark.parametrize("encoding", ["utf-8", "cp932"])
def test_japanese_headings_are_read(encoding: str) -> None:
    assert_close(spectra("周波数[Hz],実部[Ohm],虚部[Ohm]\n10,1,-1\n1,1.5,-2\n".encode(encoding))[0])


def test_an_imaginary_part_with_the_sign_of_the_turned_phase_is_turned_back() -> None:
    text = "freq / Hz,neg. Phase / °,Z / Ohm,Z' / Ohm,Z'' / Ohm,\n10,45,1.4142,1,1,\n1,53.13,2.5,1.5,2,\n"
    assert_close(spectra(text)[0])
    assert any("sign turned round; this was undone" in warning for warning in read(text).warnings)


def test_an_imaginary_part_against_the_sign_of_the_turned_phase_stays() -> None:
    text = "freq / Hz,neg. Phase / °,Z / Ohm,Z' / Ohm,Z'' / Ohm\n10,45,1.4142,1,-1\n1,53.13,2.5,1.5,-2\n"
    assert_close(spectra(text)[0])
    assert not any("turned round" in warning for warning in read(text).warnings)


def test_the_start_of_the_measurement_is_read_from_the_text_above() -> None:
    head = "File date:,2022-05-17 17:52:20\nMeasurement:,Impedance Spectroscopy [1]\nNotes:,\nDate and time:,2022-04-28 13:42:47\n"
    metadata = read(f"{head}freq / Hz,Z' / Ohm,Z'' / Ohm,\n10,1,-1,\n1,1.5,-2,\n").metadata
    assert (metadata.started_at, metadata.time_zone) == ("2022-04-28T13:42:47+00:00", "assumed UTC")
