"""Three columns without headings are told apart by how the phase follows from the slope of the magnitude."""

from __future__ import annotations

import cmath
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.measurements import read_bytes


def cell(series: float, transfer: float, time_constant: float, warburg: float = 0.0) -> list[tuple[float, complex]]:
    found = []
    for step in range(51):
        frequency = 10 ** (5 - step / 7)
        angular = 2 * math.pi * frequency
        diffusion = warburg * (1 - 1j) / math.sqrt(angular)
        found.append((frequency, series + transfer / (1 + 1j * angular * time_constant) + diffusion))
    return found


def table(rows: list[tuple[float, float, float]]) -> bytes:
    return "".join(f"{first!r}\t{second!r}\t{third!r}\n" for first, second, third in rows).encode()


def read(rows: list[tuple[float, float, float]]) -> tuple[list[complex], str]:
    measurement = read_bytes(table(rows), "a.txt")
    columns = (measurement.table[name].to_pylist() for name in ("real_impedance_ohm", "imaginary_impedance_ohm"))
    return [complex(*pair) for pair in zip(*columns, strict=True)], " ".join(measurement.warnings)


CELLS = [cell(0.02, 0.03, 0.05), cell(10.0, 500.0, 1e-3, 20.0), cell(1e3, 1e5, 1e-2), cell(0.001, 0.004, 1.0, 0.002)]


@pytest.mark.parametrize("spectrum", CELLS)
def test_real_and_imaginary_part_stay(spectrum: list[tuple[float, complex]]) -> None:
    found, warnings = read([(frequency, z.real, z.imag) for frequency, z in spectrum])
    assert found == pytest.approx([z for _, z in spectrum])
    assert "real part in ohm and imaginary part" in warnings


@pytest.mark.parametrize("spectrum", CELLS)
@pytest.mark.parametrize("sign", [1, -1])
def test_magnitude_and_phase_are_recognised(spectrum: list[tuple[float, complex]], sign: int) -> None:
    found, warnings = read([(f, abs(z), sign * math.degrees(cmath.phase(z))) for f, z in spectrum])
    assert found == pytest.approx([z for _, z in spectrum])
    assert "magnitude in ohm and phase in degree" in warnings
    assert ("turned round" in warnings) == (sign < 0)


@settings(max_examples=60, deadline=None)
@given(
    series=st.floats(1e-4, 1e4),
    ratio=st.floats(0.3, 100),
    time_constant=st.floats(1e-4, 1.0),
)
def test_real_and_imaginary_part_are_never_taken_for_a_phase(
    series: float, ratio: float, time_constant: float
) -> None:
    spectrum = cell(series, series * ratio, time_constant)
    found, _ = read([(frequency, z.real, z.imag) for frequency, z in spectrum])
    assert found == pytest.approx([z for _, z in spectrum])
