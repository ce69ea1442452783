"""Files of real Neware, Arbin, Novonix, Basytec, Landt and PEC cyclers, against figures of independent programs."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read
from battery_pilot.measurements.consistency import moved_charge_ah

if TYPE_CHECKING:
    from pathlib import Path

# Format, rows and duration in second.
FILES = {
    "NewareNDA/123456789012_Unit27_Example_Data_File.ndax": ("neware-binary", 301, 300.0),
    "NewareNDA/TESTCELL0001-B2-2025-M50T_NewareNDA_Investigation.ndax": ("neware-binary", 77745, 77704.2),
    "NewareNDA/TestFile.nda": ("neware-binary", 6670, 72373.25),
    "bdf/filetype14-0.ndax": ("neware-binary", 67, 655.4),
    "bdf/SINTEF__LiGrR2032__2024-04-30__25degC__Landt.csv": ("landt", 25162, 262657.744),
    "beep/test_Nova_Form-CH01-01_short.csv": ("novonix-csv", 3942, 62764.47),
    "cellpy/20260302_IFE_BTS85_2_9_8_1.ndax": ("neware-binary", 252951, 252946.0),
    "cellpy/neware_uio.csv": ("neware-csv", 9065, 518538.0),
    "cellpy/pec.csv": ("pec-csv", 16255, 323009.183),
    "pyprobe/sample_data_basytec.txt": ("basytec-text", 74, 70.2358036666668),
    "pyprobe/sample_data_novonix.csv": ("novonix-csv", 207, 12287.48004),
}
COUNTED = [
    "NewareNDA/TESTCELL0001-B2-2025-M50T_NewareNDA_Investigation.ndax",
    "NewareNDA/TestFile.nda",
    "cellpy/20260302_IFE_BTS85_2_9_8_1.ndax",
    "cellpy/neware_uio.csv",
    "cellpy/pec.csv",
    "pyprobe/sample_data_basytec.txt",
    pytest.param(
        "cellpy/20160805_test001_45_cc_01.res",
        marks=pytest.mark.skipif(shutil.which("mdb-export") is None, reason="mdb-export (mdbtools) is not installed"),
    ),
]


@pytest.mark.parametrize(("name", "figures"), FILES.items())
def test_exports_have_all_rows_and_their_duration(
    shared_data: Path, name: str, figures: tuple[str, int, float]
) -> None:
    measurement = read(shared_data / "cycling" / name)
    assert (measurement.format, measurement.table.num_rows) == figures[:2]
    assert np.ptp(measurement.table["test_time_second"].to_numpy()) == pytest.approx(figures[2], rel=1e-6)


@pytest.mark.parametrize("name", COUNTED)
def test_integrated_current_equals_the_counters_within_a_thousandth(shared_data: Path, name: str) -> None:
    table = read(shared_data / "cycling" / name).table
    columns = {column: table[column].to_numpy() for column in ("test_time_second", "current_ampere", "step_index")}
    for counter, sign in (("charging_capacity_ah", 1.0), ("discharging_capacity_ah", -1.0)):
        counted = table[counter].drop_null().to_numpy()
        growth = np.diff(counted)
        total = np.where(growth < 0, counted[1:], growth).sum()
        assert moved_charge_ah(columns, sign) == pytest.approx(total, rel=1e-3, abs=1e-6)


def test_a_table_of_experiments_is_no_log(shared_data: Path) -> None:
    with pytest.raises(MeasurementError):
        read(shared_data / "cycling" / "pyprobe" / "Experiment_Record.xlsx")
