from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read, read_bytes

DATABASE = (b"\x00\x01\x00\x00Standard Jet DB" + bytes(8192))[:8192]
DATA = "Test_ID,Data_Point,Test_Time,DateTime,Step_Index,Cycle_Index,Current,Voltage,Charge_Capacity\n"
ROWS = [f"1,{point},{10.0 * point},{46112.5 + point / 8640},1,1,0.5,3.6,0.0\n" for point in (1, 3, 2)]
TABLES = {
    "Channel_Normal_Table": DATA + "".join(ROWS),
    "Global_Table": "Test_ID,Channel_Index,Start_DateTime,Item_ID\n1,7,46112.5,CELL-21\n",
    "Auxiliary_Table": "Test_ID,Data_Point,Auxiliary_Index,Data_Type,X\n",
    "Aux_Global_Data_Table": "Channel_Index,Auxiliary_Index,Data_Type,Nickname,Unit\n",
}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a program mdb-export that prints the tables lying beside it."""
    script = tmp_path / "mdb-export"
    script.write_text('#!/bin/sh\ncat "$(dirname "$0")/$2"\n')
    script.chmod(0o755)
    for name, content in TABLES.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_the_tables_become_one_in_the_order_of_the_data_points(program: Path) -> None:
    measurement = read_bytes(DATABASE, "a.res")
    assert measurement.format == "arbin-res"
    assert measurement.table["test_time_second"].to_pylist() == [10.0, 20.0, 30.0]
    assert measurement.table["measured_at"][1].as_py().isoformat() == "2026-03-31T12:00:20+00:00"
    assert measurement.metadata.known() == {
        "cell_id": "CELL-21",
        "channel": "7",
        "started_at": "2026-03-31T12:00:00+00:00",
        "time_zone": "assumed UTC",
    }


def test_the_temperature_of_the_first_probe_is_joined(program: Path) -> None:
    readings = "1,1,0,0,3.6\n1,1,4,1,25.5\n1,1,5,1,99\n1,3,4,1,26.5\n1,9,4,1,27\n"
    (program / "Auxiliary_Table").write_text(TABLES["Auxiliary_Table"] + readings)
    (program / "Aux_Global_Data_Table").write_text(TABLES["Aux_Global_Data_Table"] + '6,4,1,,"C"\n')
    measurement = read_bytes(DATABASE, "a.res")
    assert measurement.table["temperature_t1_celsius"].to_pylist() == [25.5, None, 26.5]
    assert "1 further temperatures were left out." in measurement.warnings


def test_a_temperature_in_another_unit_is_left_out(program: Path) -> None:
    (program / "Auxiliary_Table").write_text(TABLES["Auxiliary_Table"] + "1,1,4,1,77\n")
    (program / "Aux_Global_Data_Table").write_text(TABLES["Aux_Global_Data_Table"] + '6,4,1,,"F"\n')
    measurement = read_bytes(DATABASE, "a.res")
    assert "temperature_t1_celsius" not in measurement.table.column_names
    assert "The temperature was left out: its unit is F." in measurement.warnings


def test_lost_data_points_are_counted(program: Path) -> None:
    (program / "Channel_Normal_Table").write_text(DATA + ROWS[0] + ROWS[1])
    assert any("1 data points are missing" in warning for warning in read_bytes(DATABASE, "a.res").warnings)


def test_several_tests_in_a_database_are_refused(program: Path) -> None:
    (program / "Channel_Normal_Table").write_text(DATA + ROWS[0] + ROWS[1].replace("1,3", "2,3", 1))
    with pytest.raises(MeasurementError, match="one test in a file expected, found 2: '1', '2'"):
        read_bytes(DATABASE, "a.res")


@pytest.mark.parametrize("command", ["echo 'page 7 failed' >&2", "exit 3"])
def test_a_complaint_of_the_program_refuses_the_file(program: Path, command: str) -> None:
    (program / "mdb-export").write_text(f'#!/bin/sh\ncat "$(dirname "$0")/$2"\n{command}\n')
    with pytest.raises(
        MeasurementError, match="mdb-export cannot read Channel_Normal_Table .*(page 7|exit status 3)"
    ):
        read_bytes(DATABASE, "a.res")


def test_a_program_that_prints_without_end_is_stopped(program: Path) -> None:
    (program / "mdb-export").write_text("#!/bin/sh\nexec yes 1,1,1,1,1,1,1,1,1,1,1,1\n")
    with pytest.raises(MeasurementError, match="prints more than"):
        read_bytes(DATABASE, "a.res")


def test_a_program_that_hangs_is_stopped(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("battery_pilot.measurements.cycling.arbin_res._TIME_LIMIT_SECOND", 0.1)
    (program / "mdb-export").write_text("#!/bin/sh\nexec sleep 60\n")
    with pytest.raises(MeasurementError, match="longer than 0.1 s"):
        read_bytes(DATABASE, "a.res")


def test_a_file_that_ends_inside_a_page_is_refused(program: Path) -> None:
    with pytest.raises(MeasurementError, match="8191 bytes are no whole number of pages"):
        read_bytes(DATABASE[:-1], "a.res")


def test_without_the_program_the_message_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MeasurementError, match="install the Debian package mdbtools"):
        read_bytes(DATABASE, "a.res")


@pytest.mark.parametrize("name", ["cellpy/20160805_test001_45_cc_01.res", "bdf/mits7-0.res.gz"])
def test_real_files_are_read_with_the_program_and_refused_without(shared_data: Path, name: str) -> None:
    path = shared_data / "cycling" / name
    if shutil.which("mdb-export") is None:
        with pytest.raises(MeasurementError, match="mdbtools"):
            read(path)
        return
    rows, duration = {"cellpy": (10261, 858777.23), "bdf": (8, 121.263696)}[Path(name).parent.name]
    table = read(path).table
    time = table["test_time_second"].to_numpy()
    assert table.num_rows == rows
    assert np.ptp(time) == pytest.approx(duration, rel=1e-6)
