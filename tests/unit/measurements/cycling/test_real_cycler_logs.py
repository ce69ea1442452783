"""Logs of real cyclers: the current integrated over test time equals the cycler's own counters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from battery_pilot.measurements import read
from battery_pilot.measurements.consistency import moved_charge_ah

if TYPE_CHECKING:
    from pathlib import Path

COUNTED = [
    "battery-data-toolkit/CALCE_CX2-33_prism_LCO_25C_0-100_0.5-0.5C_d_timeseries.csv",
    "battery-data-toolkit/arbin_example.csv",
    "beep/2017-05-09_test-TC-contact_CH33.csv",
    "cellpy/maccor_001.txt",
]
CONTRADICTORY = {
    # Rows were taken out of this file, its record numbers have gaps.
    "beep/PreDiag_000412_00008Fshort.022": 2,
    # The current has one digit, 0.0002 A.
    "bdf/SINTEF__LiGrR2032__2024-04-30__25degC__Landt.bdf.csv": 2,
    # The counters leave out the first interval of each step.
    "cellpy/batmo_bdf.csv": 2,
    # The interval between rows is 36000 s where the instrument logged every 10 s.
    "bdf/DLR__LiLNMOHydra0b__20221125__POCV__25degC__Basytec.bdf.csv": 1,
}


@pytest.mark.parametrize("name", COUNTED)
def test_integrated_current_equals_the_counters_within_a_thousandth(shared_data: Path, name: str) -> None:
    measurement = read(shared_data / "cycling" / name)
    columns = {
        column: measurement.table[column].to_numpy()
        for column in ("test_time_second", "current_ampere", "step_index")
        if column in measurement.table.column_names
    }
    for counter, sign in (("charging_capacity_ah", 1.0), ("discharging_capacity_ah", -1.0)):
        counted = measurement.table[counter].to_numpy()
        growth = np.diff(counted)
        total = np.where(growth < 0, counted[1:], growth).sum()
        assert moved_charge_ah(columns, sign) == pytest.approx(total, rel=1e-3, abs=1e-4)


@pytest.mark.parametrize(("name", "sentences"), CONTRADICTORY.items())
def test_files_that_contradict_themselves_are_warned_about(shared_data: Path, name: str, sentences: int) -> None:
    warnings = read(shared_data / "cycling" / name).warnings
    assert sum("adds up to" in text or "unit of the test time" in text for text in warnings) == sentences


@pytest.mark.parametrize(
    ("name", "form", "rows"),
    [
        ("ampworks/hppc_discharge.csv", "cycling-csv", 15838),
        ("ampworks/ici_charge.csv", "cycling-csv", 21555),
        ("ampworks/ici_discharge.csv", "cycling-csv", 21410),
        ("battery-data-toolkit/p492-13-raw.csv", "cycling-csv", 2021),
        ("battery-data-toolkit/raw_data.parquet", "parquet-log", 3701),
        ("bdf/legacy.bdf.parquet", "bdf-parquet", 5000),
        ("cellpy/custom_data_001.csv", "cycling-csv", 2442),
    ],
)
def test_logs_of_other_origin_are_read_whole(shared_data: Path, name: str, form: str, rows: int) -> None:
    measurement = read(shared_data / "cycling" / name)
    assert (measurement.format, measurement.table.num_rows) == (form, rows)
