from __future__ import annotations

import numpy as np
import pytest

from battery_pilot.simulate.cycling import CyclingLog, cycle_month
from battery_pilot.simulate.design import DESIGNS, CellDesign
from battery_pilot.simulate.fleet import fleet_states


def month(index: int, seed: int = 0, cycles: int = 4) -> tuple[CellDesign, CyclingLog]:
    design = DESIGNS[index]
    before, after = fleet_states(index, months=1, seed=3)
    random = np.random.default_rng(seed)
    log = cycle_month(design, before, after, days=30, cycles=cycles, ambient_celsius=30.0, random=random)
    return design, log


def charge_ah(log: CyclingLog, rows: np.ndarray) -> float:
    """Integrate the current over some rows as a reader would."""
    return float(np.trapezoid(log.current_ampere[rows], log.test_time_second[rows]) / 3600.0)


@pytest.fixture(params=[0, 1, 2], ids=[design.model.model_id for design in DESIGNS])
def case(request: pytest.FixtureRequest) -> tuple[CellDesign, CyclingLog]:
    return month(request.param)


def test_time_and_steps_only_go_forward(case: tuple[CellDesign, CyclingLog]) -> None:
    _, log = case
    assert (np.diff(log.test_time_second) > 0).all()
    assert set(np.diff(log.step_count)) == {0, 1}
    assert set(np.diff(log.cycle)) == {0, 1}


def test_without_a_gap_no_two_records_lie_more_than_an_hour_apart() -> None:
    assert np.diff(month(0)[1].test_time_second).max() <= 3600.0


def test_the_check_up_ends_before_the_last_day(case: tuple[CellDesign, CyclingLog]) -> None:
    _, log = case
    assert 28.0 < log.test_time_second[-1] / 86_400.0 < 29.0


def test_integrated_current_agrees_with_the_counter_of_the_check_up(case: tuple[CellDesign, CyclingLog]) -> None:
    _, log = case
    rows = log.step_index == 12
    assert -charge_ah(log, rows) == pytest.approx(log.step_capacity_ah[rows][-1], rel=0.002)


def test_full_cycles_give_back_the_charge_they_took_but_not_the_energy(case: tuple[CellDesign, CyclingLog]) -> None:
    _, log = case
    ends = np.append(np.diff(log.step_count) > 0, True) & (log.cycle == 2)
    charging, discharging = ends & np.isin(log.step_index, [4, 5]), ends & (log.step_index == 7)
    assert log.step_capacity_ah[discharging].sum() == pytest.approx(log.step_capacity_ah[charging].sum(), rel=0.002)
    assert 0.9 < log.step_energy_wh[discharging].sum() / log.step_energy_wh[charging].sum() < 0.99


def test_the_check_up_discharges_from_full_to_the_minimum_voltage(case: tuple[CellDesign, CyclingLog]) -> None:
    design, log = case
    assert log.voltage_volt[log.step_index == 10][-1] == design.model.maximum_voltage_volt
    assert log.voltage_volt[log.step_index == 12][-1] == pytest.approx(design.model.minimum_voltage_volt, abs=2e-3)
    assert log.step_capacity_ah[log.step_index == 12][-1] == pytest.approx(design.model.rated_capacity_ah, rel=0.04)


def test_the_pulse_has_a_row_before_the_step_and_one_ten_seconds_after(case: tuple[CellDesign, CyclingLog]) -> None:
    design, log = case
    pulse = np.flatnonzero(log.step_index == 16)
    before, last = pulse[0] - 1, pulse[-1]
    assert log.current_ampere[before] == 0.0
    assert log.test_time_second[last] - log.test_time_second[before] == pytest.approx(10.0)
    step_ampere = log.current_ampere[last] - log.current_ampere[before]
    assert abs(step_ampere) >= 0.5 * design.model.rated_capacity_ah
    resistance = (log.voltage_volt[last] - log.voltage_volt[before]) / step_ampere
    assert resistance == pytest.approx(design.model.initial_cell_resistance_ohm, rel=0.25)
    assert log.resistance_ohm[-1] == pytest.approx(resistance, rel=0.02)


def test_current_heats_the_cell_above_the_room(case: tuple[CellDesign, CyclingLog]) -> None:
    _, log = case
    rise = log.temperature_celsius - log.ambient_celsius
    ends = np.flatnonzero((log.step_index == 7) & np.append(np.diff(log.step_count) > 0, True))
    assert (rise[ends] > 1.5).all()
    assert abs(rise[0]) < 0.5


def test_without_a_fault_no_voltage_leaves_the_limits() -> None:
    design, log = month(0, seed=0)
    assert log.voltage_volt.min() > design.model.minimum_voltage_volt - 2e-3
    assert log.voltage_volt.max() < design.model.maximum_voltage_volt + 2e-3


def test_a_failed_protection_discharges_once_below_the_minimum_voltage() -> None:
    faulty = [seed for seed in range(60) if month(0, seed, cycles=1)[1].voltage_volt.min() < 2.4]
    assert 1 <= len(faulty) <= 10


def test_a_gap_leaves_out_rows_but_no_charge() -> None:
    logs = [month(0, seed, cycles=1)[1] for seed in range(60)]
    rows = max(len(log.cycle) for log in logs)
    with_gap = [log for log in logs if len(log.cycle) < rows]
    assert 1 <= len(with_gap) <= 12
    charge = with_gap[0].step_index == 4
    counted = with_gap[0].step_capacity_ah[charge][-1]
    assert charge_ah(with_gap[0], charge) == pytest.approx(counted, rel=0.005)
