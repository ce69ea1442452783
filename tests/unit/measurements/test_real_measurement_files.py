"""Files of real instruments, against figures that independent programs read from them."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read, read_bytes
from battery_pilot.measurements.summary import summarise

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Measurement

FOLDER = Path(os.environ.get("BATTERY_PILOT_SHARED_DATA", Path(__file__).resolve().parents[4] / "shared" / "data"))


def expected_spectra() -> dict[str, Any]:
    """Return the figures by file; empty without the folder."""
    path = FOLDER / "eis" / "expected.json"
    figures = json.loads(path.read_text()) if path.is_file() else {}
    return {name: entry["spectra"] for name, entry in figures.items()}


@pytest.mark.parametrize(("name", "spectra"), expected_spectra().items() or [("", [])])
def test_spectra_equal_those_of_an_independent_program(shared_data: Path, name: str, spectra: list[Any]) -> None:
    found = summarise(read(shared_data / "eis" / name))["spectra"]
    assert len(found) == len(spectra)
    for ours, theirs in zip(found, spectra, strict=True):
        assert ours["points"] == theirs["points"]
        assert ours["frequency_max_hertz"] == pytest.approx(theirs["frequency_max_hz"], rel=1e-6)
        assert ours["frequency_min_hertz"] == pytest.approx(theirs["frequency_min_hz"], rel=1e-6)
        assert ours["impedance_at_max_ohm"] == pytest.approx(theirs["z_at_max"], rel=1e-6)
        assert ours["impedance_at_min_ohm"] == pytest.approx(theirs["z_at_min"], rel=1e-6)


def test_an_aborted_gamry_file_gives_its_points_with_a_warning(shared_data: Path) -> None:
    for name in ("impedance.py/exampleDataGamryABORT.DTA", "gamry-parser/eispot_data_curveaborted.dta"):
        assert any("aborted" in warning for warning in read(shared_data / "eis" / name).warnings)


def test_a_biologic_file_without_frequencies_is_refused(shared_data: Path) -> None:
    with pytest.raises(MeasurementError, match="freq/Hz"):
        read(shared_data / "eis" / "impedance.py" / "exampleDataBioLogic_MissingFreq.mpt")


CYCLING = {
    "battery-data-toolkit/CALCE_CX2-33_prism_LCO_25C_0-100_0.5-0.5C_d_timeseries.csv": (
        "battery-archive",
        15,
        420.151,
    ),
    "battery-data-toolkit/arbin_example.csv": ("arbin-csv", 2142, 6308.4823),
    "beep/2017-05-09_test-TC-contact_CH33.csv": ("arbin-csv", 287, 1022.8913),
    "beep/FastCharge_000025_CH8.csv": ("arbin-csv", 248, 1790.008),
    "pyprobe/sample_data_arbin.csv": ("arbin-csv", 13, 271.2135),
    "battery-data-toolkit/maccor_example.001": ("maccor-text", 8, 70.002),
    "battery-data-toolkit/maccor_example.002": ("maccor-text", 8, 70.002),
    "beep/PreDiag_000412_00008Fshort.022": ("maccor-text", 10344, 3477720.65),
    "beep/PredictionDiagnostics_000109_tztest.010": ("maccor-text", 2165, 32976.56),
    "beep/maccor_test_file_4267-66-6519.041": ("maccor-text", 74, 10.0),
    "cellpy/maccor_001.txt": ("maccor-text", 6704, 183171.57),
    "pyprobe/sample_data_maccor.csv": ("maccor-text", 15, 13.06),
    "cellpy/batmo_bdf.csv": ("bdf-csv", 21206, 1410980.0),
    "bdf/sample.bdf.csv": ("bdf-csv", 3, 2.0),
    "bdf/DLR__LiLNMOHydra0b__20221125__POCV__25degC__Basytec.bdf.csv": ("bdf-csv", 17860, 530431704.692),
    "bdf/SINTEF__LiGrR2032__2024-04-30__25degC__Landt.bdf.csv": ("bdf-csv", 25162, 262657.744),
    "bdf/SINTEF__SLPBA842124HV__2024-10-23__Rate_25degC__Neware__Time_Bug.bdf.csv": ("bdf-csv", 13086, 125628.17),
}


@pytest.mark.parametrize(("name", "figures"), CYCLING.items())
def test_cycler_logs_have_all_rows_and_their_duration(
    shared_data: Path, name: str, figures: tuple[str, int, float]
) -> None:
    summary = summarise(read(shared_data / "cycling" / name))
    assert (summary["format"], summary["rows"]) == figures[:2]
    assert summary["duration_second"] == pytest.approx(figures[2], rel=1e-6)


def charge_and_discharge_ah(
    measurement: Measurement, mask: np.ndarray[Any, Any] | None = None
) -> tuple[float, float]:
    """Integrate the current over test time by the trapezoidal rule, apart for both directions."""
    time = measurement.table["test_time_second"].to_numpy()
    current = measurement.table["current_ampere"].to_numpy()
    if mask is not None:
        time, current = time[mask], current[mask]
    step = np.diff(time)
    charge, discharge = (np.maximum(sign * current, 0.0) for sign in (1.0, -1.0))
    charged, discharged = (((part[1:] + part[:-1]) / 2 * step).sum() / 3600 for part in (charge, discharge))
    return float(charged), float(discharged)


def test_integrated_arbin_current_equals_the_counters_of_the_cycler(shared_data: Path) -> None:
    measurement = read(shared_data / "cycling" / "battery-data-toolkit" / "arbin_example.csv")
    cycle = measurement.table["cycle_count"].to_numpy()
    mask = cycle == 2
    counters = [
        measurement.table[name].to_numpy()[mask] for name in ("charging_capacity_ah", "discharging_capacity_ah")
    ]
    charged, discharged = charge_and_discharge_ah(measurement, mask)
    assert charged == pytest.approx(counters[0][-1] - counters[0][0], rel=0.01)
    assert discharged == pytest.approx(counters[1][-1] - counters[1][0], rel=0.01)


@pytest.mark.parametrize("name", ["cellpy/maccor_001.txt", "beep/PredictionDiagnostics_000109_tztest.010"])
def test_integrated_maccor_current_equals_the_counters_of_the_cycler(shared_data: Path, name: str) -> None:
    path = shared_data / "cycling" / name
    measurement = read(path)
    lines = path.read_text(encoding="latin-1").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("Rec#"))
    headings = lines[start].split("\t")
    rows = [line.split("\t") for line in lines[start + 1 :]]
    step = np.array([row[headings.index("Step")] for row in rows])
    state = np.array([row[headings.index("State")] for row in rows])
    counter = np.array([float(row[headings.index("Amp-hr")]) for row in rows])
    current = measurement.table["current_ampere"].to_numpy()
    assert (current[state == "C"] >= 0).all()
    assert (current[state == "D"] <= 0).all()
    edges = np.flatnonzero((step[1:] != step[:-1]) | (state[1:] != state[:-1])) + 1
    longest = max(
        (block for block in np.split(np.arange(len(rows)), edges) if state[block[0]] in "CD"),
        key=lambda block: counter[block[-1]] - counter[block[0]],
    )
    mask = np.zeros(len(rows), dtype=bool)
    mask[longest] = True
    moved = sum(charge_and_discharge_ah(measurement, mask))
    assert moved == pytest.approx(counter[longest[-1]] - counter[longest[0]], rel=0.01)


def test_a_bdf_file_with_positive_discharge_is_turned_round(shared_data: Path) -> None:
    table = read(shared_data / "cycling" / "cellpy" / "batmo_bdf.csv").table
    current, voltage = table["current_ampere"].to_numpy(), table["voltage_volt"].to_numpy()
    steady = (current[1:] == current[:-1]) & (current[1:] != 0)
    assert np.mean(np.sign(np.diff(voltage))[steady] == np.sign(current[1:])[steady]) > 0.95


@pytest.mark.parametrize(
    "name", ["2017-05-09_test-TC-contact_CH33_Metadata.csv", "FastCharge_000025_CH8_Metadata.csv"]
)
def test_arbin_companions_are_refused(shared_data: Path, name: str) -> None:
    with pytest.raises(MeasurementError, match="companion metadata file"):
        read(shared_data / "cycling" / "beep" / name)


def test_nasa_discharges_are_read_and_spectra_without_frequencies_refused(shared_data: Path) -> None:
    found: dict[bool, int] = {True: 0, False: 0}
    with tarfile.open(shared_data / "ageing" / "nasa-pcoe" / "cells.tar.xz", "r|xz") as archive:
        for member in archive:
            if not member.name.endswith(".csv"):
                continue
            data = archive.extractfile(member).read()
            is_impedance = data.startswith(b"Sense_current")
            found[is_impedance] += 1
            if is_impedance:
                with pytest.raises(MeasurementError, match="no frequencies"):
                    read_bytes(data, member.name)
            else:
                summary = summarise(read_bytes(data, member.name))
                assert summary["rows"] == data.count(b"\n") - 1
            if min(found.values()) >= 20:
                break
    assert min(found.values()) >= 20


def test_every_file_is_read_or_refused_with_place_and_problem(shared_data: Path) -> None:
    read_files: list[Measurement] = []
    refused: list[tuple[Path, MeasurementError]] = []
    for path in sorted(path for path in shared_data.rglob("*") if path.is_file()):
        try:
            read_files.append(read(path))
        except MeasurementError as error:
            refused.append((path, error))
    assert all(np.isfinite(measurement.table[1].to_numpy()).all() for measurement in read_files)
    assert all(measurement.table.num_rows > 0 for measurement in read_files)
    assert [error.path for _, error in refused] == [str(path) for path, _ in refused]
    assert all(error.place and error.problem for _, error in refused)
