from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

HEADER = """MACCOR, INC.    AC Impedance Test\r
Frequency Sweep:   Open Circut Voltage\r
Start Date:  Wednesday, November 2, 2016 Start Time:   15:58\r
0.0005  2  0\r
\r
Freq(Hz)\tPolar(V)\ttime(sec)\tZ'(a)\tZ''(b)\tPhase_Angle\tStatus\tV-DC\tisg\trc\r
\r
"""
ROWS = "1000.0\t6.28\t38.2\t0.75\t-0.25\t-18.4\t\t3.9\r\n100.0\t0.63\t53.6\t0.8\t-0.5\t-32.0\t\t3.9\r\n"


def test_a_spectrum_is_read_with_its_start_and_bias() -> None:
    measurement = read_bytes((HEADER + ROWS).encode(), "cell.EDA0001.041")
    assert measurement.format == "maccor-eda"
    assert measurement.table["frequency_hertz"].to_pylist() == [1000.0, 100.0]
    assert measurement.table["real_impedance_ohm"].to_pylist() == [0.75, 0.8]
    assert measurement.table["imaginary_impedance_ohm"].to_pylist() == [-0.25, -0.5]
    assert measurement.metadata.started_at == "2016-11-02T15:58:00+00:00"
    assert measurement.metadata.dc_bias_volt == 3.9


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (HEADER, "no data rows"),
        (HEADER.replace("Freq", "F"), "line of headings"),
        (HEADER + ROWS[:14], "columns found"),
        (HEADER + ROWS.replace("0.8", "x"), "line 9: .*expected a number, found 'x'"),
    ],
)
def test_damage_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(MeasurementError, match=problem):
        read_bytes(text.encode(), "cell.EDA0001.041")
