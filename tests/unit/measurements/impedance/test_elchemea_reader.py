from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


@pytest.fixture
def i2b(samples: dict[str, str]) -> str:
    return samples["elchemea.i2b"]


@pytest.fixture
def p00(spectrum: list[tuple[float, complex]]) -> str:
    rows = [f" {f:.4e}\t {z.real:.4e}\t {-z.imag:.4e}\t 59.3\t 37.1e-01\t 1e-08\t" for f, z in spectrum]
    header = [
        "Procedure : some title",
        "14.02.2026 10:02:46 - 14.02.2026 11:02:46 i(init)= 183.1nA - i(end)= 7.88nA",
        "t =  736.4 s",
        " f/Hz       \t Z'/Ohm     \t -Z''/Ohm   \t time/s    \t Edc/V     \t Idc/A     \t",
        f" {len(rows)} ",
    ]
    return "\n".join([*header, *rows]) + "\n"


def test_an_i2b_table_is_read_behind_free_text(i2b: str, spectrum: list[tuple[float, complex]]) -> None:
    table = read_bytes(i2b.encode(), "a.i2b").table
    assert table["real_impedance_ohm"].to_pylist() == [z.real for _, z in spectrum]
    assert table["imaginary_impedance_ohm"].to_pylist() == [z.imag for _, z in spectrum]


def test_a_p00_table_is_read_by_its_headings(p00: str, spectrum: list[tuple[float, complex]]) -> None:
    measurement = read_bytes(p00.encode(), "renamed.txt")
    imaginary = measurement.table["imaginary_impedance_ohm"].to_pylist()
    assert imaginary == pytest.approx([z.imag for _, z in spectrum], rel=1e-4)
    assert measurement.metadata.started_at == "2026-02-14T10:02:46+00:00"
    assert measurement.metadata.dc_bias_volt == pytest.approx(3.71)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_does_not_matter(p00: str, encoding: str) -> None:
    assert read_bytes(p00.encode(encoding), "a.P00").format == "elchemea"


def test_a_p00_table_without_headings_is_refused(p00: str) -> None:
    lines = [line for line in p00.split("\n") if "f/Hz" not in line]
    with pytest.raises(MeasurementError, match="expected headings such as f/Hz"):
        read_bytes(("\n".join(lines) + "Hz").encode(), "a.P00")


@pytest.mark.parametrize("count", ["15", "17", "9" * 5000])
def test_another_number_of_rows_than_announced_is_refused(i2b: str, count: str) -> None:
    with pytest.raises(MeasurementError, match="line 3: 16 rows found, "):
        read_bytes(i2b.replace("\n16\n", f"\n{count}\n").encode(), "a.i2b")


def test_a_last_number_that_may_be_cut_is_a_warning(i2b: str) -> None:
    warnings = read_bytes(i2b[:-2].encode(), "a.i2b").warnings
    assert warnings == ("The file does not end with a line end; the last number in line 19 may be cut.",)


def test_a_file_without_a_table_is_unknown(i2b: str) -> None:
    with pytest.raises(MeasurementError, match="unknown format"):
        read_bytes(i2b.replace("\n16\n", "\n").encode(), "a.i2b")
