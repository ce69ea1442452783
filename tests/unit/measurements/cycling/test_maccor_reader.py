from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

HEADINGS = "Rec#\tCyc#\tStep\tTestTime\tAmps\tVolts\tState\tDPt Time"


def maccor(rows: str, headings: str = HEADINGS, first: str = "Today's Date 01/02/2026") -> bytes:
    return f"{first}\n{headings}\n{rows}\n".encode()


def test_records_are_read_with_signed_current(
    samples: dict[str, str], cycler_log: list[tuple[float, float, float]]
) -> None:
    table = read_bytes(samples["maccor.001"].encode(), "a.001").table
    columns = [table[name].to_pylist() for name in ("test_time_second", "voltage_volt", "current_ampere")]
    assert list(zip(*columns, strict=True)) == [pytest.approx(row) for row in cycler_log]
    assert table["cycle_count"].to_pylist() == [0] * 16
    assert table["step_index"].to_pylist() == [1] * 8 + [2] * 8


def test_the_header_becomes_metadata(samples: dict[str, str]) -> None:
    measurement = read_bytes(samples["maccor.001"].encode(), "a.001")
    assert measurement.metadata.known() == {
        "cell_id": "CELL-11",
        "started_at": "2026-03-31T16:00:01+00:00",
        "time_zone": "assumed UTC",
        "columns_left_out": ["Rec#", "Step (Min)", "ES"],
    }
    assert measurement.table["battery_id"].to_pylist() == ["CELL-11"] * 16
    assert measurement.table["measured_at"][1].as_py() == datetime(2026, 3, 31, 16, 0, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "amps", "current"), [("C", "2", 2), ("D", "2", -2), ("D", "-2", -2), ("R", "0", 0)]
)
def test_the_state_gives_the_sign_whether_or_not_the_file_has_one(state: str, amps: str, current: float) -> None:
    table = read_bytes(maccor(f"1\t0\t1\t0d 00:00:00\t{amps}\t3.7\t{state}\t01/02/2026 10:00:00"), "a.001").table
    assert table["current_ampere"].to_pylist() == [current]


def test_current_outside_charge_and_discharge_is_warned_about() -> None:
    measurement = read_bytes(maccor("1\t0\t1\t0d 00:00:00\t1\t3.7\tP\t01/02/2026 10:00:00"), "a.001")
    assert any("neither charge (C) nor discharge (D)" in warning for warning in measurement.warnings)


@pytest.mark.parametrize(
    ("text", "second"),
    [
        ("  0d 00:00:00.0000", 0.0),
        ("  2d 02:52:51.5699996948242", 183171.5699996948),
        ("  0d 00:05:0", 300.0),
        ("01:00:00.5", 3600.5),
    ],
)
def test_days_and_clock_time_become_seconds(text: str, second: float) -> None:
    table = read_bytes(maccor(f"1\t0\t1\t{text}\t1\t3.7\tC\t01/02/2026 10:00:00"), "a.001").table
    assert table["test_time_second"].to_pylist() == [pytest.approx(second, abs=1e-9)]


@pytest.mark.parametrize(
    ("heading", "second"), [("Test (Sec)", 90.0), ("Test (Min)", 5400.0), ("Test Time (Hr)", 324000.0)]
)
def test_the_unit_of_test_time_is_in_its_heading(heading: str, second: float) -> None:
    rows = maccor("1\t0\t1\t90\t1\t3.7\tC\t01/02/2026 10:00:00", HEADINGS.replace("TestTime", heading))
    assert read_bytes(rows, "a.001").table["test_time_second"].to_pylist() == [second]


def test_a_broken_test_time_is_reported_with_its_line() -> None:
    rows = "1\t0\t1\t0d 00:00:00\t1\t3.7\tC\t01/02/2026 10:00:00\n2\t0\t1\t0d 00:xx\t1\t3.7\tC\t01/02/2026 10:00:00"
    with pytest.raises(
        MeasurementError, match="line 4: TestTime: expected a time such as 1:02:03.5, found '0d 00:xx'"
    ):
        read_bytes(maccor(rows), "a.001")


def test_several_header_lines_are_read() -> None:
    first = (
        "Today's Date:\t14 December 2020\tDate of Test:\t11 December 2020, 12:22:12 PM\n"
        "    Filename:\tM50\tTester Channel:\t1\nProcedure:\tM50.000\tDescription:"
    )
    measurement = read_bytes(maccor("1\t0\t1\t0d 00:00:30\t1\t3.7\tC\t12/11/2020 12:22:42", first=first), "a.txt")
    assert measurement.metadata.started_at == "2020-12-11T12:22:12+00:00"
    assert measurement.metadata.channel == "1"


def test_clock_times_without_dates_follow_the_date_of_the_test() -> None:
    first = "Today's Date 04/04/2016  Date of Test:\t04/13/2016\t Filename:\ta.001"
    rows = "1\t0\t1\t0d 00:00:00\t1\t3.7\tC\t16:05:31\n2\t0\t1\t0d 00:00:10\t1\t3.7\tC\t16:05:41"
    moments = read_bytes(maccor(rows, first=first), "a.002").table["measured_at"].to_pylist()
    assert moments[1] == datetime(2016, 4, 13, 16, 5, 41, tzinfo=UTC)


COMMA_HEADINGS = "Rec,Cycle C,Step,Test Time (sec),Current,Voltage,DPT Time,Temp 1"


def test_without_a_state_column_the_voltage_step_gives_the_sign() -> None:
    rows = "\n".join(
        f"{row},1,1,{row},{current},{voltage},23-Nov-23 3:56:1{row} PM,22.5"
        for row, (current, voltage) in enumerate([(0, 3.6), (2, 3.7), (2, 3.71), (0, 3.65), (3, 3.5), (3, 3.4)])
    )
    measurement = read_bytes(maccor(rows, COMMA_HEADINGS), "a.csv")
    assert measurement.table["current_ampere"].to_pylist() == [0, 2, 2, 0, -3, -3]
    assert measurement.table["measured_at"][0].as_py() == datetime(2023, 11, 23, 15, 56, 10, tzinfo=UTC)
    assert any("names no steps" in warning for warning in measurement.warnings)


def test_an_unsigned_current_of_unknown_direction_is_refused() -> None:
    with pytest.raises(MeasurementError, match="charge and discharge cannot be told apart"):
        read_bytes(maccor("1,1,1,0,2,3.7,23-Nov-23 3:56:11 PM,22.5", COMMA_HEADINGS), "a.csv")


def test_a_half_last_line_is_left_out_with_a_warning(samples: dict[str, str]) -> None:
    whole = samples["maccor.001"]
    measurement = read_bytes(whole[: whole.rindex("\t3.75")].encode(), "a.001")
    assert measurement.table.num_rows == 15
    assert any("ends inside a row" in warning for warning in measurement.warnings)


def test_a_file_that_ends_in_its_header_is_reported() -> None:
    with pytest.raises(MeasurementError, match="expected a line of headings that begins with Rec#"):
        read_bytes(b"Today's Date 01/02/2026\nRe", "a.001")


def test_step_counters_become_counters_of_charge_and_discharge() -> None:
    headings = "Rec#\tCyc#\tStep\tTest (Sec)\tAmp-hr\tWatt-hr\tAmps\tVolts\tState"
    rows = (
        "1\t0\t1\t0\t0\t0\t0\t3.6\tR\n"
        "2\t0\t2\t3600\t2\t8\t2\t4\tC\n"
        "3\t0\t2\t7200\t4\t16\t2\t4\tC\n"
        "4\t0\t3\t9000\t1\t3.5\t2\t3.5\tD\n"
        "5\t0\t4\t9000\t1\t3.5\t0\t3.6\tS"
    )
    table = read_bytes(maccor(rows, headings), "a.001").table
    assert table["charging_capacity_ah"].to_pylist() == [0, 2, 4, 4, 4]
    assert table["discharging_capacity_ah"].to_pylist() == [0, 0, 0, 1, 1]
    assert table["charging_energy_wh"].to_pylist() == [0, 8, 16, 16, 16]
    assert table["discharging_energy_wh"].to_pylist() == [0, 0, 0, 3.5, 3.5]


def test_a_counter_that_goes_on_into_the_next_step_is_counted_once() -> None:
    headings = "Rec#\tCyc#\tStep\tTest (Sec)\tAmp-hr\tAmps\tVolts\tState"
    rows = (
        "1\t0\t1\t0\t0\t1\t3.6\tC\n2\t0\t1\t3600\t1\t1\t4\tC\n"
        "3\t0\t2\t3960\t1.05\t0.5\t4\tC\n4\t0\t2\t7560\t1.55\t0.5\t4\tC"
    )
    table = read_bytes(maccor(rows, headings), "a.001").table
    assert table["charging_capacity_ah"].to_pylist() == pytest.approx([0, 1, 1.05, 1.55])


def test_milliampere_and_millivolt_are_converted() -> None:
    headings = "Rec#\tCyc#\tStep\tTest (Sec)\tmAmp-hr\tmAmps\tVolts\tState"
    measurement = read_bytes(maccor("1\t0\t1\t0\t0\t500\t3600.5\tD", headings), "a.001")
    row = measurement.table.to_pylist()[0]
    assert (row["current_ampere"], row["voltage_volt"]) == (-0.5, pytest.approx(3.6005))
    assert any("taken as millivolt" in warning for warning in measurement.warnings)


NAME_HEADER = "Name:\tCELL-12.053\nChannel:\t53\nTester\tMaccor #4\nStarted\t5/14/2021 3:40:24 PM\n"
NAME_HEADINGS = "Rec\tCycle P\tCycle C\tStep\tTestTime\tCap. [Ah]\tCurrent [A]\tVoltage [V]\tMd\tDPT Time"


def test_exports_with_a_name_and_units_in_brackets_are_read() -> None:
    rows = "1\t0\t1\t1\t0,0\t0,0\t0,5\t3,6\tC\t5/14/2021 3:40:24 PM\n2\t0\t1\t1\t1,5\t0,0\t0,5\t3,7\tC\t5/14/2021 3:41:54 PM"
    measurement = read_bytes(f"{NAME_HEADER}\n{NAME_HEADINGS}\n\n{rows}\n".encode(), "a.txt")
    assert measurement.table["test_time_second"].to_pylist() == [0.0, 90.0]
    assert measurement.table["voltage_volt"].to_pylist() == [3.6, 3.7]
    assert (measurement.metadata.cell_id, measurement.metadata.channel) == ("CELL-12.053", "53")
    assert any("counts minutes" in warning for warning in measurement.warnings)


def test_control_bytes_in_the_description_do_not_matter() -> None:
    rows = "1\t0\t1\t1\t0.0\t0.0\t0.5\t3.6\tC\t5/14/2021 3:40:24 PM"
    header = f"{NAME_HEADER}Description\tx\x03\x04 \n".encode() + b"\xff\n"
    data = header + f"{NAME_HEADINGS}\n{rows}\n".encode()
    measurement = read_bytes(data, "a.txt")
    assert measurement.table["voltage_volt"].to_pylist() == [3.6]
    assert measurement.source_sha256 == hashlib.sha256(data).hexdigest()


def test_headings_without_header_and_with_thousands_are_read() -> None:
    text = (
        "Cyc#,Step,TestTime(s),Capacity(Ah),Current(A),Voltage(V),State\n"
        '869,11,"5,577,644.47",552.0699,"1,499.8856",3.92,C\n869,11,"5,577,649.47",554.1531,"1,499.8856",3.93,C\n'
    )
    table = read_bytes(text.encode(), "a.csv").table
    assert table["test_time_second"].to_pylist() == [5577644.47, 5577649.47]
    assert table["current_ampere"].to_pylist() == [1499.8856, 1499.8856]


def test_statistics_are_refused_with_advice() -> None:
    with pytest.raises(MeasurementError, match="statistics file .* export of the records"):
        read_bytes(b"TesterID:\tx\nChannel Number:\t7\n", "a [STATS].txt")
