from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS

# A cell of 3.6 V and 0.1 ohm that is charged, rests and is discharged: its voltage follows the current.
CURRENT = [0.0, 2.0, 2.0, 0.0, -2.0, -2.0, 0.0]
ROWS = [(10.0 * row, 3.6 + 0.1 * current, current) for row, current in enumerate(CURRENT)]


def rows(factor: float = 1.0, delimiter: str = ",") -> str:
    return "\n".join(delimiter.join(map(str, (time, volt, factor * amp))) for time, volt, amp in ROWS) + "\n"


@pytest.mark.parametrize(
    "headings",
    [
        "Time [s],Voltage [V],Current [A]",
        "Seconds,Volts,Amps",
        "t/s,U/V,I/A",
        "Zeit [s],Spannung [V],Strom [A]",
        "Time_s,Voltage_V,Current_A",
        "Elapsed Time (s),Cell Voltage (V),Current (A)",
    ],
)
def test_headings_of_any_origin_are_understood(headings: str) -> None:
    measurement = read_bytes(f"{headings}\n{rows()}".encode(), "a.csv")
    assert measurement.format == "cycling-csv"
    columns = [measurement.table[name].to_pylist() for name in CYCLING_COLUMNS]
    assert list(zip(*columns, strict=True)) == ROWS
    assert measurement.warnings == ("Positive current was taken as charge, because the voltage follows it so.",)


@pytest.mark.parametrize("clock", ["0:00:{:06.3f}", "00:00:{:02.0f}", "0d 00:00:{:02.0f}"])
def test_clock_times_are_seconds_since_the_start_and_the_time_of_the_test_wins(clock: str) -> None:
    lines = [f"00:00:00;{clock.format(time)};{volt};{amp}" for time, volt, amp in ROWS[:6]]
    text = "\n".join(["Zeit;Gesamtzeit;Spannung [V];Strom [A]", *lines, ""])
    assert read_bytes(text.encode(), "a.csv").table["test_time_second"].to_pylist() == [row[0] for row in ROWS[:6]]


def test_headings_below_other_lines_are_found() -> None:
    header = "# bench 4\noperator;someone\ncell;A7\n\n"
    text = f"{header}time [h];voltage [mV];current [mA]\n0,5;3600;0\n1;3700,5;1000\n1,5;3600;0\n2;3500;-1000\n"
    table = read_bytes(text.encode(), "a.csv").table
    assert [table[name][1].as_py() for name in CYCLING_COLUMNS] == [3600.0, pytest.approx(3.7005), 1.0]


def test_units_that_are_not_stated_are_warned_about() -> None:
    measurement = read_bytes(f"test_time,voltage,current\n{rows()}".encode(), "a.csv")
    assert "'test_time' states no unit and was taken as seconds." in measurement.warnings
    assert "Headings without a unit were taken: 'voltage' as volt, 'current' as ampere." in measurement.warnings


def test_a_unit_of_another_quantity_is_refused() -> None:
    with pytest.raises(MeasurementError, match=r"the unit of 'Voltage \[mA\]' is not one of voltage_volt"):
        read_bytes(f"Time [s],Voltage [mA],Current [A]\n{rows()}".encode(), "a.csv")


def test_columns_of_other_quantities_are_named() -> None:
    text = "Time [s],Voltage [V],Current [A],Pressure [kPa]\n0,3.6,0,1\n1,3.7,1,1\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.metadata.columns_left_out == ("Pressure [kPa]",)
    assert any("'Pressure [kPa]'" in warning for warning in measurement.warnings)


def test_discharge_counted_as_positive_is_turned_round_by_the_voltage() -> None:
    measurement = read_bytes(f"Time [s],Voltage [V],Current [A]\n{rows(-1.0)}".encode(), "a.csv")
    assert measurement.table["current_ampere"].to_pylist() == CURRENT
    assert "Positive current was taken as discharge, because the voltage follows it so." in measurement.warnings


@pytest.mark.parametrize(("charge", "discharge"), [("C", "D"), ("charging", "discharging"), ("CC_Chg", "CC_DChg")])
def test_step_names_give_the_sign(charge: str, discharge: str) -> None:
    text = f"Time [s],Voltage [V],Current [A],State\n0,3.6,2,{charge}\n1,3.6,0,R\n2,3.6,2,{discharge}\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["current_ampere"].to_pylist() == [2.0, 0.0, -2.0]
    assert any("the names of the steps gave it" in warning for warning in measurement.warnings)


@pytest.mark.parametrize(("first", "second"), [(2, 3), (-2, 3), (2, -3)])
def test_counters_give_the_sign(first: int, second: int) -> None:
    """The cell is charged with 2 A first and then discharged with 3 A."""
    text = (
        "Time [s],Voltage [V],Current [A],Charge Capacity [Ah],Discharge Capacity [Ah]\n"
        f"0,3.6,0,0,0\n3600,3.6,{first},2,0\n7200,3.6,{second},2,3\n"
    )
    assert read_bytes(text.encode(), "a.csv").table["current_ampere"].to_pylist() == [0.0, 2.0, -3.0]


def test_a_current_without_sign_takes_that_of_the_voltage_step() -> None:
    text = "Time [s],Voltage [V],Current [A]\n0,3.6,0\n1,3.7,2\n2,3.65,0\n3,3.5,2\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["current_ampere"].to_pylist() == [0.0, 2.0, 0.0, -2.0]
    assert any("step of the voltage" in warning for warning in measurement.warnings)


@pytest.mark.parametrize("current", ["2,2,2", "-2,2,-2"])
def test_a_current_of_unknown_direction_is_refused(current: str) -> None:
    lines = [f"{row},3.6,{value}" for row, value in enumerate(current.split(","))]
    with pytest.raises(MeasurementError, match="cannot be told"):
        read_bytes("\n".join(["Time [s],Voltage [V],Current [A]", *lines, ""]).encode(), "a.csv")


def test_clock_times_are_test_time() -> None:
    text = "Time,Voltage [V],Current [A]\n00:00:00,3.6,0\n01:00:00.5,3.7,1\n26:00:00,3.6,0\n"
    assert read_bytes(text.encode(), "a.csv").table["test_time_second"].to_pylist() == [0.0, 3600.5, 93600.0]


@pytest.mark.parametrize("heading", ["Time", "System Time", "DateTime"])
def test_dates_without_test_time_count_from_the_first(heading: str) -> None:
    text = f"{heading},Voltage [V],Current [A]\n2026-01-02 03:04:05,3.6,0\n2026-01-02 03:04:15.5,3.7,1\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["test_time_second"].to_pylist() == [0.0, 10.5]
    assert measurement.metadata.started_at == "2026-01-02T03:04:05+00:00"
    assert any("the test time counts from the first" in warning for warning in measurement.warnings)


def test_dates_beside_the_test_time_give_the_moments() -> None:
    text = "Date Time,Time [s],Voltage [V],Current [A]\n01/02/2026 03:04:05,0,3.6,0\n01/02/2026 03:04:15,10,3.7,1\n"
    moments = read_bytes(text.encode(), "a.csv").table["measured_at"].to_pylist()
    assert moments[1] == datetime(2026, 1, 2, 3, 4, 15, tzinfo=UTC)


def test_a_table_without_current_is_unknown() -> None:
    with pytest.raises(MeasurementError, match="unknown format"):
        read_bytes(b"Time [s],Voltage [V],soc\n0,3.6,0\n", "a.csv")


def test_a_state_of_charge_as_a_fraction_becomes_percent_with_a_warning() -> None:
    text = "Time [s],Voltage [V],Current [A],Step,SOC\n0,3.6,0,1,0.5\n1,3.7,1,1,0.75\n"
    measurement = read_bytes(text.encode(), "a.csv")
    assert measurement.table["state_of_charge_percent"].to_pylist() == [50.0, 75.0]
    assert any("taken as a fraction" in warning for warning in measurement.warnings)


@pytest.mark.parametrize(
    ("headings", "encoding"),
    [
        ("时间(s),电压(V),电流(A),工步类型", "gb18030"),
        ("总时间(s),电压(V),电流(A),工步类型", "utf-8"),
        ("経過時間[s],電圧[V],電流[A],状態", "cp932"),
        ("時間[s],電圧[V],電流[A],状態", "utf-16"),
    ],
)
def test_east_asian_headings_and_steps_are_read(headings: str, encoding: str) -> None:
    charge, discharge = ("充電", "放電") if "電" in headings else ("恒流充电", "恒流放电")
    text = f"{headings}\n0,3.6,1,{charge}\n1,3.7,1,{charge}\n2,3.5,1,{discharge}\n"
    measurement = read_bytes(text.encode(encoding), "a.csv")
    assert measurement.table["current_ampere"].to_pylist() == [1.0, 1.0, -1.0]


def test_a_row_of_units_below_the_headings_is_understood() -> None:
    text = (
        "Time\tVoltage\tCurrent\n[h:m:s]\t[V]\t[mA]\n00:00:10\t3.5\t100\n30:00:10\t3.4\t-100\n30:00:11\t3.4\t-100\n"
    )
    table = read_bytes(text.encode(), "a.txt").table
    assert table["test_time_second"].to_pylist() == [10.0, 108010.0, 108011.0]
    assert table["current_ampere"].to_pylist() == pytest.approx([0.1, -0.1, -0.1])


def test_letters_are_quantities_where_the_row_below_gives_their_units() -> None:
    text = "t;U;I\ns;V;mA\n0;3,5;100\n1;3,6;200\n2;3,4;-200\n"
    table = read_bytes(text.encode(), "a.txt").table
    assert table["current_ampere"].to_pylist() == pytest.approx([0.1, 0.2, -0.2])


def test_points_between_thousands_are_told_from_decimal_commas() -> None:
    text = "Zeit [s];Spannung [V];Strom [A]\n999,5;3,5;1\n1.000,5;3,51;1,5\n12.345.678,5;3,4;-1,5\n"
    table = read_bytes(text.encode(), "a.csv").table
    assert table["test_time_second"].to_pylist() == [999.5, 1000.5, 12345678.5]
    assert read_bytes(text.replace("999,5", "1.000,0").encode(), "a.csv").table["test_time_second"][0].as_py() == 1000
    with pytest.raises(MeasurementError, match="may stand before decimals or between thousands"):
        read_bytes(text.replace("999,5", "1.234").encode(), "a.csv")


def test_a_constant_current_shows_its_direction_by_where_the_voltage_goes() -> None:
    rows = "".join(f"{10 * row},{4.2 - 0.01 * row:.2f},{-3.39 - 0.001 * (row % 3)}\n" for row in range(50))
    measurement = read_bytes(f"Time [s],Voltage [V],Current [A]\n{rows}".encode(), "a.csv")
    assert max(measurement.table["current_ampere"].to_pylist()) < 0
    assert any("Positive current was taken as charge" in warning for warning in measurement.warnings)
