from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


@pytest.fixture
def mpt(samples: dict[str, str]) -> str:
    return samples["biologic.mpt"]


def test_cycle_numbers_separate_the_spectra_and_the_sign_is_restored(
    mpt: str, spectrum: list[tuple[float, complex]]
) -> None:
    table = read_bytes(mpt.encode("latin-1"), "a.mpt").table
    assert table["spectrum_index"].to_pylist() == [0] * 16 + [1] * 16
    assert table["imaginary_impedance_ohm"].to_pylist()[:16] == pytest.approx([z.imag for _, z in spectrum], rel=1e-6)


def test_header_and_comment_become_metadata(mpt: str) -> None:
    measurement = read_bytes(mpt.encode("latin-1"), "a.mpt")
    assert measurement.instrument == "BioLogic SP-150"
    assert measurement.metadata.known() == {
        "battery_id": "CELL-8",
        "temperature_celsius": 20.0,
        "started_at": "2026-02-14T10:02:46+00:00",
        "time_zone": "assumed UTC",
        "channel": "3",
        "instrument_software": "EC-Lab for windows v11.18 (software)",
        "electrode_area_square_centimetre": 2.5,
        "dc_bias_volt": pytest.approx(3.7),
    }


def test_decimal_commas_give_the_same_numbers(mpt: str) -> None:
    head, mark, rows = mpt.partition("Cp/µF\t\n")
    german = head + mark + rows.replace(".", ",")
    expected, found = read_bytes(mpt.encode("latin-1"), "a.mpt"), read_bytes(german.encode("latin-1"), "a.mpt")
    assert found.table["real_impedance_ohm"] == expected.table["real_impedance_ohm"]


def test_a_missing_frequency_column_is_reported(mpt: str) -> None:
    with pytest.raises(MeasurementError, match="line 12: expected the columns freq/Hz"):
        read_bytes(mpt.replace("freq/Hz\t", "").encode(), "a.mpt")


@pytest.mark.parametrize("announced", ["99999", "0", "2"])
def test_a_header_of_impossible_length_is_reported(mpt: str, announced: str) -> None:
    with pytest.raises(MeasurementError, match=f"a header of {announced} lines announced"):
        read_bytes(mpt.replace("lines : 12", f"lines : {announced}").encode(), "a.mpt")


def test_a_header_without_its_length_is_reported(mpt: str) -> None:
    with pytest.raises(MeasurementError, match="line 2: expected 'Nb header lines : n'"):
        read_bytes(mpt.replace("Nb header", "No header").encode(), "a.mpt")


def test_a_half_last_line_is_reported_with_its_number(mpt: str) -> None:
    with pytest.raises(MeasurementError, match="line 44: 7 columns found, 8 expected"):
        read_bytes(mpt[: mpt.rindex("\t")].encode(), "a.mpt")


def test_a_file_without_a_final_line_end_is_read(mpt: str) -> None:
    assert read_bytes(mpt.rstrip().encode(), "a.mpt").table.num_rows == 32


def test_direct_current_rows_are_left_out_with_a_warning(mpt: str) -> None:
    zeros = "\t".join(["0.0000000E+000"] * 8)
    measurement = read_bytes((mpt + zeros + "\n").encode(), "a.mpt")
    assert measurement.table.num_rows == 32
    assert any("1 rows without alternating current" in warning for warning in measurement.warnings)


def test_an_anonymised_start_is_a_warning(mpt: str) -> None:
    measurement = read_bytes(mpt.replace("02/14/2026 10:02:46", "xx/xx/xxxx xx:xx:xx").encode(), "a.mpt")
    assert "started_at" not in measurement.metadata.known()
    assert measurement.table["measured_at"].null_count == 32
    assert any("xx/xx/xxxx" in warning for warning in measurement.warnings)
