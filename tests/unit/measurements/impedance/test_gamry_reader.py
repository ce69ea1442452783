from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes
from battery_pilot.measurements.model import IDENTITY_COLUMNS, IMPEDANCE_COLUMNS


@pytest.fixture
def gamry(samples: dict[str, str]) -> str:
    return samples["gamry.dta"]


def test_the_curve_and_nothing_else_is_read(gamry: str, spectrum: list[tuple[float, complex]]) -> None:
    table = read_bytes(gamry.encode(), "a.dta").table
    assert table.column_names == [*IMPEDANCE_COLUMNS, *IDENTITY_COLUMNS]
    assert table["frequency_hertz"].to_pylist() == pytest.approx([f for f, _ in spectrum], rel=1e-6)
    assert table["imaginary_impedance_ohm"].to_pylist() == pytest.approx([z.imag for _, z in spectrum], rel=1e-6)


def test_header_and_notes_become_metadata(gamry: str) -> None:
    measurement = read_bytes(gamry.encode(), "a.dta")
    assert measurement.instrument == "Gamry REF3000-1"
    assert measurement.metadata.known() == {
        "battery_id": "CELL-7",
        "temperature_celsius": 25.5,
        "state_of_charge_percent": 50.0,
        "started_at": "2026-04-23T16:43:15+00:00",
        "time_zone": "assumed UTC",
        "dc_bias_volt": pytest.approx(3.7),
        "electrode_area_square_centimetre": 2.0,
        "instrument_software": "Gamry Framework 7.8.2",
        "technique": "EISPOT",
    }
    assert measurement.table["battery_id"].to_pylist() == ["CELL-7"] * 16
    assert measurement.table["measured_at"][0].as_py() == datetime(2026, 4, 23, 16, 43, 15, tzinfo=UTC)
    assert "Times without a zone were taken as UTC." in measurement.warnings


def test_decimal_commas_give_the_same_numbers(gamry: str) -> None:
    head, mark, curve = gamry.partition("ZCURVE")
    german = head.replace("2.00000E+000", "2,00000E+000") + mark + curve.replace(".", ",")
    expected, found = read_bytes(gamry.encode(), "a.dta"), read_bytes(german.encode("latin-1"), "a.dta")
    assert found.table["real_impedance_ohm"] == expected.table["real_impedance_ohm"]
    assert found.metadata.electrode_area_square_centimetre == 2.0


def test_an_aborted_curve_gives_its_points_and_a_warning(gamry: str) -> None:
    lines = gamry.splitlines()[:-6]
    text = "\n".join([*lines, "EXPERIMENTABORTED\tTOGGLE\tT\tExperiment Aborted", "FRACURVE\tTABLE\t128", "\tPt\tT"])
    measurement = read_bytes(text.encode(), "a.dta")
    assert measurement.table.num_rows == 10
    assert any("aborted" in warning for warning in measurement.warnings)


def test_an_aborted_curve_may_hold_fewer_rows_than_announced(gamry: str) -> None:
    text = gamry.replace("ZCURVE\tTABLE", "ZCURVE\tTABLE\t99") + "EXPERIMENTABORTED\tTOGGLE\tT\tExperiment Aborted\n"
    assert read_bytes(text.encode(), "a.dta").table.num_rows == 16


def test_fewer_rows_than_announced_are_truncation(gamry: str) -> None:
    text = gamry.replace("ZCURVE\tTABLE", "ZCURVE\tTABLE\t99")
    with pytest.raises(MeasurementError, match="line 20: truncated table ZCURVE: 16 rows found, 99 announced"):
        read_bytes(text.encode(), "a.dta")


def test_a_half_last_line_is_reported_with_its_number(gamry: str) -> None:
    with pytest.raises(MeasurementError, match="line 38: 5 columns found, 11 expected: the file is truncated"):
        read_bytes(gamry[: gamry.rindex("\t1\t")].encode(), "a.dta")


def test_a_curve_without_rows_is_reported(gamry: str) -> None:
    with pytest.raises(MeasurementError, match="no data rows"):
        read_bytes("\n".join(gamry.splitlines()[:22]).encode(), "a.dta")


def test_a_sweep_that_ends_early_is_warned_about(gamry: str) -> None:
    text = "\n".join(gamry.splitlines()[:-6]) + "\n"
    assert any("before its final frequency of 0.1 Hz" in w for w in read_bytes(text.encode(), "a.dta").warnings)


def test_an_experiment_without_impedance_names_its_tables(gamry: str) -> None:
    with pytest.raises(MeasurementError, match=r"no impedance curve ZCURVE .*OCVCURVE"):
        read_bytes(gamry.partition("ZCURVE")[0].encode(), "a.dta")


def test_text_in_place_of_a_number_is_reported_with_line_and_column(gamry: str) -> None:
    with pytest.raises(MeasurementError, match="line 23: Freq: expected a number, found 'abc'"):
        read_bytes(gamry.replace("\t10000\t", "\tabc\t").encode(), "a.dta")


def test_two_curves_are_two_spectra(gamry: str) -> None:
    again = gamry[gamry.index("ZCURVE") :].replace("ZCURVE", "ZCURVE2")
    table = read_bytes((gamry + again).encode(), "a.dta").table
    assert table["spectrum_index"].to_pylist() == [0] * 16 + [1] * 16


def test_a_table_read_in_pieces_has_the_same_points_and_lines(gamry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    head, mark, last_row = gamry.rpartition("\t16\t0.1\t")
    broken = f"{head}{mark}x{last_row}"
    whole = read_bytes(gamry.encode(), "a.dta").table
    with pytest.raises(MeasurementError) as expected:
        read_bytes(broken.encode(), "a.dta")
    monkeypatch.setattr("battery_pilot.measurements.impedance.gamry._CHARACTERS_AT_ONCE", 200)
    assert read_bytes(gamry.encode(), "a.dta").table == whole
    with pytest.raises(MeasurementError) as found:
        read_bytes(broken.encode(), "a.dta")
    assert str(found.value) == str(expected.value)


def test_a_measured_direct_voltage_that_is_no_number_leaves_the_one_that_was_set(gamry: str) -> None:
    row = gamry.rstrip("\n").split("\n")[-1]
    cells = row.split("\t")
    cells[-2] = "x"
    measurement = read_bytes(gamry.replace(row, "\t".join(cells)).encode(), "a.dta")
    assert measurement.metadata.dc_bias_volt == 3.7
    assert any("The measured direct voltage was left out: line" in warning for warning in measurement.warnings)


def test_rows_separated_by_blanks_are_read(gamry: str) -> None:
    blanks = gamry.replace("\t15\t16\t", "  15 16 ")
    expected, found = read_bytes(gamry.encode(), "a.dta").table, read_bytes(blanks.encode(), "a.dta").table
    assert found.drop_columns("source_sha256") == expected.drop_columns("source_sha256")


def test_the_impedance_corrected_for_drift_is_read(gamry: str) -> None:
    head, mark, curve = gamry.partition("\tPt\tTime\tFreq")
    rows = [line.replace("\t3.7\t12", "\t7\t-8\t3.7\t12") for line in f"{mark}{curve}".splitlines()]
    rows[0] = rows[0].replace("\tVdc", "\tZrealDrCor\tZimagDrCor\tVdc")
    rows[1] = rows[1].replace("\tV\t#", "\tohm\tohm\tV\t#")
    measurement = read_bytes((head + "\n".join(rows) + "\n").encode(), "a.dta")
    assert set(measurement.table["real_impedance_ohm"].to_pylist()) == {7.0}
    assert set(measurement.table["imaginary_impedance_ohm"].to_pylist()) == {-8.0}
    assert measurement.metadata.drift_corrected is True
    assert measurement.metadata.columns_left_out == ("Zreal", "Zimag")
    assert any("corrected for drift" in warning for warning in measurement.warnings)


def test_a_sweep_without_correction_says_so(gamry: str) -> None:
    text = gamry.replace("AREA\t", "DRIFTCOR\tSELECTOR\t0\t&Drift Correction\nAREA\t")
    assert read_bytes(text.encode(), "a.dta").metadata.drift_corrected is False


def test_a_table_without_a_row_of_units_keeps_its_first_point(gamry: str) -> None:
    lines = [line for line in gamry.splitlines() if not line.startswith("\t#\ts\tHz")]
    assert read_bytes(("\n".join(lines) + "\n").encode(), "a.dta").table.num_rows == 16


def test_a_file_that_begins_with_its_tag_is_read(gamry: str) -> None:
    assert read_bytes(gamry.removeprefix("EXPLAIN\n").encode(), "a.txt").format == "gamry-dta"


def test_a_bias_against_open_circuit_is_no_voltage_of_the_cell(gamry: str) -> None:
    text = gamry.replace("\tVdc\t", "\tXdc\t").replace("3.70000E+000\tF", "0.00000E+000\tT")
    assert read_bytes(text.encode(), "a.dta").metadata.dc_bias_volt is None


CHRONOPOTENTIOMETRY = """EXPLAIN
TAG\tCHRONOP
DATE\tLABEL\t17.7.2026\tDate
TIME\tLABEL\t10:49:20\tTime
PSTAT\tPSTAT\tIFC1010-1\tPotentiostat
CAPACITY\tQUANT\t2,50000E+000\t&Capacity (A-hr)
CURVE\tTABLE\t3
\tPt\tT\tVf\tIm\tOver
\t#\ts\tV vs. Ref.\tA\tbits
\t0\t0,5\t3,70\t1,0\t..........a
\t1\t1,0\t3,71\t1,0\t..........a
\t2\t1,5\t3,60\t-1,0\t..........a
"""


def test_an_experiment_with_controlled_current_is_a_cycling_log() -> None:
    measurement = read_bytes(CHRONOPOTENTIOMETRY.encode(), "a.dta")
    assert measurement.kind == "cycling"
    assert measurement.table["test_time_second"].to_pylist() == [0.5, 1.0, 1.5]
    assert measurement.table["voltage_volt"].to_pylist() == [3.70, 3.71, 3.60]
    assert measurement.table["current_ampere"].to_pylist() == [1.0, 1.0, -1.0]
    assert measurement.metadata.started_at == "2026-07-17T10:49:20+00:00"
    assert measurement.metadata.nominal_capacity_ah == 2.5
    assert measurement.metadata.columns_left_out == ("Pt", "Over")
    assert any("taken as charging" in warning for warning in measurement.warnings)


def test_a_cycling_log_with_fewer_rows_than_announced_is_truncated() -> None:
    with pytest.raises(MeasurementError, match="line 7: truncated table CURVE: 2 rows found, 3 announced"):
        read_bytes(CHRONOPOTENTIOMETRY[: CHRONOPOTENTIOMETRY.index("\t2\t1,5")].encode(), "a.dta")


@pytest.mark.parametrize("tag", ["CV", "CHRONOA", "CORPOT"])
def test_an_experiment_with_controlled_potential_is_refused_by_name(tag: str) -> None:
    with pytest.raises(MeasurementError, match=f"no impedance curve ZCURVE .*experiment is '{tag}'"):
        read_bytes(CHRONOPOTENTIOMETRY.replace("CHRONOP", tag).encode(), "a.dta")
