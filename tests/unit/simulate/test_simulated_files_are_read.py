from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read
from battery_pilot.simulate.cycler_files import CYCLER_FORMATS, CyclerFormat
from battery_pilot.simulate.cycling import CyclingLog, cycle_month
from battery_pilot.simulate.damage import RawFile, damage
from battery_pilot.simulate.design import ELECTRIC_VEHICLE
from battery_pilot.simulate.fleet import fleet_states
from battery_pilot.simulate.impedance import Spectrum, spectrum
from battery_pilot.simulate.impedance_files import IMPEDANCE_FORMATS, ImpedanceFormat, impedance_note

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 1, 1, 0, 30, tzinfo=UTC)
MEASURED = datetime(2026, 1, 31, 8, 0, tzinfo=UTC)
BEFORE, AFTER = fleet_states(0, months=1, seed=3)
LOG: CyclingLog = cycle_month(
    ELECTRIC_VEHICLE, BEFORE, AFTER, days=31, cycles=2, ambient_celsius=28.0, random=np.random.default_rng(0)
)
POINTS: Spectrum = spectrum(ELECTRIC_VEHICLE, AFTER, np.random.default_rng(0))
NOTE = impedance_note("BP-0001", temperature_celsius=25.0, state_of_charge_percent=50.0)


def charge_ah(table: pd.DataFrame, rows: pd.Series[bool]) -> float:
    return float(np.trapezoid(table["current_ampere"][rows], table["test_time_second"][rows]) / 3600.0)


@pytest.fixture(params=CYCLER_FORMATS, ids=[one.encode.__name__ for one in CYCLER_FORMATS])
def cycler(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[CyclerFormat, Path]:
    path = tmp_path / f"BP-0001_cycling_2026-01{request.param.suffix}"
    path.write_bytes(request.param.encode(LOG, "BP-0001", START))
    return request.param, path


@pytest.fixture(params=IMPEDANCE_FORMATS, ids=[one.encode.__name__ for one in IMPEDANCE_FORMATS])
def analyser(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ImpedanceFormat, Path]:
    path = tmp_path / f"BP-0001_impedance_2026-01{request.param.suffix}"
    path.write_bytes(request.param.encode(POINTS, NOTE, MEASURED))
    return request.param, path


def test_a_cycler_file_keeps_time_voltage_signed_current_and_temperature(cycler: tuple[CyclerFormat, Path]) -> None:
    table = read(cycler[1]).table.to_pandas()
    assert len(table) == len(LOG.cycle)
    np.testing.assert_allclose(table["test_time_second"], LOG.test_time_second, atol=1e-3)
    np.testing.assert_allclose(table["voltage_volt"], LOG.voltage_volt, atol=1e-5)
    np.testing.assert_allclose(table["current_ampere"], LOG.current_ampere, atol=1e-5)
    np.testing.assert_allclose(table["temperature_t1_celsius"], LOG.temperature_celsius, atol=6e-3)
    assert table["cycle_count"].tolist() == LOG.cycle.tolist()


def test_a_cycler_file_tells_the_time_of_each_record_in_utc(cycler: tuple[CyclerFormat, Path]) -> None:
    moments = read(cycler[1]).table.to_pandas()["measured_at"]
    seconds = (moments - pd.Timestamp(START)).dt.total_seconds()
    np.testing.assert_allclose(seconds, LOG.test_time_second, atol=0.6)


def test_integrated_current_agrees_with_the_counter_of_the_cycler(cycler: tuple[CyclerFormat, Path]) -> None:
    table = read(cycler[1]).table.to_pandas()
    rows = table["step_index"] == 12
    assert -charge_ah(table, rows) == pytest.approx(LOG.step_capacity_ah[LOG.step_index == 12][-1], rel=0.01)


@pytest.mark.parametrize(
    "one", [one for one in CYCLER_FORMATS if one.suffix == ".csv"], ids=lambda one: one.encode.__name__
)
def test_counters_of_a_cycle_agree_with_the_integrated_current(one: CyclerFormat, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(one.encode(LOG, "BP-0001", START))
    table = read(path).table.to_pandas()
    cycle = table[table["cycle_count"] == 2]
    for column, direction in (("charging_capacity_ah", 1.0), ("discharging_capacity_ah", -1.0)):
        rows = direction * cycle["current_ampere"] > 0
        counted = cycle[column].max() - cycle[column].min()
        assert counted == pytest.approx(direction * charge_ah(cycle, rows), rel=0.01)


@pytest.mark.parametrize("suffix", [".csv", ".001"])
def test_the_battery_is_named_where_the_cycler_has_a_place_for_it(suffix: str, tmp_path: Path) -> None:
    one = next(one for one in CYCLER_FORMATS if one.suffix == suffix)
    path = tmp_path / f"log{suffix}"
    path.write_bytes(one.encode(LOG, "BP-0001", START))
    assert set(read(path).table["battery_id"].to_pylist()) == {"BP-0001"}


def test_an_impedance_file_keeps_the_spectrum_with_its_sign(analyser: tuple[ImpedanceFormat, Path]) -> None:
    table = read(analyser[1]).table.to_pandas().sort_values("frequency_hertz", ascending=False)
    impedance = table["real_impedance_ohm"].to_numpy() + 1j * table["imaginary_impedance_ohm"].to_numpy()
    np.testing.assert_allclose(table["frequency_hertz"], POINTS.frequency_hertz, rtol=1e-6)
    np.testing.assert_allclose(impedance, POINTS.impedance_ohm, rtol=1e-6)


def test_an_impedance_file_tells_battery_time_and_conditions(analyser: tuple[ImpedanceFormat, Path]) -> None:
    measurement = read(analyser[1])
    table = measurement.table.to_pandas()
    assert set(table["battery_id"]) == {"BP-0001"}
    assert set(table["measured_at"]) == {pd.Timestamp(MEASURED)}
    assert measurement.metadata.temperature_celsius == 25.0
    assert measurement.metadata.state_of_charge_percent == 50.0


@pytest.mark.parametrize("seed", range(5))
def test_a_truncated_cycler_file_is_refused_or_known_as_half_written(
    cycler: tuple[CyclerFormat, Path], seed: int
) -> None:
    assert_refused_or_half_written(cycler[1], seed)


@pytest.mark.parametrize("seed", range(5))
def test_a_truncated_impedance_file_is_refused_or_known_as_half_written(
    analyser: tuple[ImpedanceFormat, Path], seed: int
) -> None:
    assert_refused_or_half_written(analyser[1], seed)


def assert_refused_or_half_written(path: Path, seed: int) -> None:
    original = RawFile(path.name, path.read_bytes())
    copy = damage(original, "truncated", battery_id="BP-0001", random=np.random.default_rng(seed))
    path.write_bytes(copy.content)
    try:
        half = read(path).half_written
    except MeasurementError as error:
        half = error.problem
    assert re.search("truncated|columns|Half-written", str(half))
