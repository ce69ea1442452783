from __future__ import annotations

import cmath
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

TEXTS = ["160726", "RC", "3.7012V, Ampl: 10mV", "10.006nA", "23.8+-0.1C", "09:32:45 - 09:37:42", "battery_id=CELL-14"]
START = 1_468_661_568.0  # 16 July 2026, 09:32:48, in seconds since 1980
COUNT = 16
END_OF_POINTS = 12 + COUNT * 34

Spectrum = list[tuple[float, complex]]


def ism(
    spectrum: Spectrum, texts: list[str] | None = None, voltage: float | None = 3.7, start: float = START
) -> bytes:
    frequencies = [frequency for frequency, _ in spectrum]
    columns = [
        frequencies,
        [abs(impedance) for _, impedance in spectrum],
        [cmath.phase(impedance) for _, impedance in spectrum],
        [start + second for second in range(len(spectrum))],
    ]
    data = b"\0\0\xff\xff\xff\xfe" + (len(spectrum) - 1).to_bytes(6, "big") + np.array(columns, ">f8").tobytes()
    data += np.full(len(spectrum), 998, ">i2").tobytes()
    for text in ([*(TEXTS if texts is None else texts)] + [""] * 12)[:12]:
        data += len(text).to_bytes(2, "big") + text.swapcase().encode()
    recorded = b"" if voltage is None else np.tile([voltage, 1e-8], len(spectrum)).astype(">f8").tobytes()
    return data + (256 + len(recorded)).to_bytes(2, "big") + bytes(256) + recorded


def test_magnitude_and_phase_become_real_and_imaginary_part(spectrum: Spectrum) -> None:
    table = read_bytes(ism(spectrum), "renamed.bin").table
    assert table["frequency_hertz"].to_pylist() == [frequency for frequency, _ in spectrum]
    assert table["real_impedance_ohm"].to_pylist() == pytest.approx([z.real for _, z in spectrum], rel=1e-12)
    assert table["imaginary_impedance_ohm"].to_pylist() == pytest.approx([z.imag for _, z in spectrum], rel=1e-12)


def test_the_facts_of_the_file_are_read(spectrum: Spectrum) -> None:
    measurement = read_bytes(ism(spectrum), "a.ism")
    assert measurement.instrument == "Zahner"
    known = measurement.metadata.known()
    assert known.pop("dc_bias_volt") == pytest.approx(3.7)
    assert known == {
        "battery_id": "CELL-14",
        "started_at": "2026-07-16T09:32:48+00:00",
        "time_zone": "assumed UTC",
    }


def test_without_recorded_voltages_the_one_before_the_measurement_counts(spectrum: Spectrum) -> None:
    assert read_bytes(ism(spectrum, voltage=None), "a.ism").metadata.dc_bias_volt == 3.7012


def test_a_simulation_is_called_one_and_has_no_direct_voltage(spectrum: Spectrum) -> None:
    texts = ["160726", "Simulation", "0.0V", "", "", "", "Simulation created with", "Zahner Analysis 3.2.6"]
    measurement = read_bytes(ism(spectrum, texts, voltage=None), "a.ism")
    assert "The file calls itself a simulation; its points may be calculated, not measured." in measurement.warnings
    assert measurement.metadata.dc_bias_volt is None
    assert measurement.metadata.instrument_software == "Zahner Analysis 3.2.6"


def test_points_that_are_numbered_instead_of_timed_start_when_the_notes_say(spectrum: Spectrum) -> None:
    measurement = read_bytes(ism(spectrum, start=0.0), "a.ism")
    assert measurement.metadata.started_at == "2026-07-16T09:32:45+00:00"
    assert read_bytes(ism(spectrum, [], start=0.0), "a.ism").metadata.started_at is None


def test_what_was_measured_twice_before_the_turning_point_is_left_out(spectrum: Spectrum) -> None:
    measurement = read_bytes(ism([*spectrum[5:0:-1], *spectrum]), "a.ism")
    assert measurement.table["frequency_hertz"].to_pylist() == [frequency for frequency, _ in spectrum]
    assert "5 points outside the sweep" in measurement.warnings[0]


@pytest.mark.parametrize("size", [5, 11, 12, 100, END_OF_POINTS - 1])
def test_a_file_without_all_its_points_is_refused(spectrum: Spectrum, size: int) -> None:
    with pytest.raises(MeasurementError, match=f"byte {size}: truncated"):
        read_bytes(ism(spectrum)[:size], "a.ism")


@pytest.mark.parametrize("size", [END_OF_POINTS, END_OF_POINTS + 5, END_OF_POINTS + 100])
def test_a_file_that_ends_in_its_notes_keeps_its_points(spectrum: Spectrum, size: int) -> None:
    measurement = read_bytes(ism(spectrum)[:size], "a.ism")
    assert measurement.table.num_rows == COUNT
    assert any("ends within its notes" in warning for warning in measurement.warnings)


def test_cut_voltages_are_left_out_with_a_warning(spectrum: Spectrum) -> None:
    measurement = read_bytes(ism(spectrum)[:-8], "a.ism")
    assert any("ends within its voltages" in warning for warning in measurement.warnings)
    assert measurement.metadata.dc_bias_volt == 3.7012


@pytest.mark.parametrize("last", [2**31, 2**47 - 1, 2**48 - 1])
def test_an_announced_number_of_points_costs_no_memory(spectrum: Spectrum, last: int) -> None:
    data = ism(spectrum)
    tracemalloc.start()
    with pytest.raises(MeasurementError, match="are announced"):
        read_bytes(data[:6] + last.to_bytes(6, "big") + data[12:], "a.ism")
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


@pytest.mark.parametrize("count", range(1, COUNT))
def test_fewer_announced_points_than_there_are_do_not_shift_the_quantities(spectrum: Spectrum, count: int) -> None:
    data = ism(spectrum)
    with pytest.raises(MeasurementError, match="no instrument measures|no significances"):
        read_bytes(data[:6] + (count - 1).to_bytes(6, "big") + data[12:], "a.ism")


@pytest.mark.parametrize(
    ("position", "value", "name"),
    [(12, 1e-300, "frequency"), (12, float("nan"), "frequency"), (12 + 8 * COUNT, -1.0, "magnitude")]
    + [(12 + 8 * COUNT, float("inf"), "magnitude"), (12 + 16 * COUNT, 99.0, "phase")],
)
def test_what_no_instrument_measures_is_refused(spectrum: Spectrum, position: int, value: float, name: str) -> None:
    data = ism(spectrum)
    with pytest.raises(MeasurementError, match=f"point 1: damaged: no instrument measures the {name}"):
        read_bytes(data[:position] + struct.pack(">d", value) + data[position + 8 :], "a.ism")


@given(data=st.data())
@settings(max_examples=200, deadline=None)
def test_changed_bytes_are_refused_or_give_finite_numbers(spectrum: Spectrum, data: st.DataObject) -> None:
    whole = ism(spectrum)
    start = data.draw(st.integers(0, len(whole) - 1))
    end = data.draw(st.integers(start, min(start + 9, len(whole))))
    try:
        table = read_bytes(whole[:start] + data.draw(st.binary(max_size=9)) + whole[end:], "a.ism").table
    except MeasurementError:
        return
    assert np.isfinite([table[index].to_numpy() for index in (1, 2, 3)]).all()
