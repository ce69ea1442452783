from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from battery_pilot.electrochemistry.checkups import check_ups
from battery_pilot.electrochemistry.condition import Ratings
from battery_pilot.errors import AnalysisError
from battery_pilot.measurements import read

RATINGS = Ratings(rated_capacity_ah=2, minimum_voltage_volt=3.0, maximum_voltage_volt=4.2)
OHM = 0.05
EMPTY, FULL, TWENTIETH = (-0.1, 3.0), (0.1, 4.2), 0.1


def cell(*program, charge=2.0, capacity=2.0, celsius=None):
    """The log of a cell with 50 mohm whose open-circuit voltage rises by 0.6 V per Ah, from 3 to 4.2 V.

    :param program: current, and a duration in s or the voltage at which to stop, and the interval of the rows.
    """
    time, rows = 0.0, [(0.0, 3 + 1.2 * charge / capacity, 0.0)]
    for ampere, stop, step in program:
        elapsed = 0.0
        while True:
            elapsed += step
            time += step
            charge += ampere * step / 3600
            volt = 3 + 1.2 * charge / capacity + OHM * ampere
            if stop < 10 and ((volt <= stop) if ampere < 0 else (volt >= stop)):
                rows.append((time, stop, ampere))
                break
            rows.append((time, volt, ampere))
            if stop >= 10 and elapsed >= stop:
                break
        time += 0.01
    time, volt, ampere = np.array(rows).T
    table = {
        "battery_id": ["cell"] * time.size,
        "source_sha256": ["f" * 64] * time.size,
        "measured_at": pa.array((1_700_000_000 + time) * 1e6, pa.float64())
        .cast(pa.int64(), safe=False)
        .cast(pa.timestamp("us", tz="UTC")),
        "test_time_second": time,
        "voltage_volt": volt,
        "current_ampere": ampere,
    }
    if celsius is not None:
        table["temperature_t1_celsius"] = np.full(time.size, celsius)
    return pa.table(table)


def slow(ampere=0.1):
    """A full discharge and charge, each followed by a rest."""
    return [(-ampere, 3.0, 60), (0, 1800, 60), (ampere, 4.2, 60), (0, 1800, 60)]


def pulses(times=5):
    """Rest, 30 s of discharge, rest, 10 s of charge, then a tenth of the capacity at C/2."""
    return [
        step for _ in range(times) for step in ((0, 600, 10), (-2, 30, 1), (0, 40, 1), (1.5, 10, 1), (-1, 720, 10))
    ]


def test_a_slow_discharge_and_charge_are_one_check_up_with_capacity_energy_rate_and_temperature():
    (found,) = check_ups(cell((0, 600, 60), *slow(), celsius=24.0), RATINGS)
    discharge, charge = found.tests
    # The load takes 5 mV: 2 Ah less the charge between 3.000 and 3.005 V.
    assert discharge.capacity_ah == pytest.approx(2 - 0.005 / 0.6, rel=2e-3)
    assert discharge.energy_wh == pytest.approx(discharge.capacity_ah * (3.0 + 4.195) / 2, rel=2e-3)
    assert (discharge.charging, charge.charging) == (False, True)
    assert (discharge.c_rate, discharge.temperature_celsius) == (pytest.approx(0.05), pytest.approx(24))
    assert found.slowest(charging=True) is charge
    assert found.started_at.timestamp() == pytest.approx(1_700_000_600, abs=1)


def test_the_faster_of_two_discharges_is_not_the_reference():
    (found,) = check_ups(cell((0, 600, 60), *slow(0.6), *slow(0.1)), RATINGS)
    assert [test.c_rate for test in found.tests] == pytest.approx([0.3, 0.3, 0.05, 0.05])
    assert found.slowest(charging=False).c_rate == pytest.approx(0.05)


def test_ordinary_cycles_are_no_check_up_and_separate_two():
    cycle = [(-2, 3.0, 10), (2, 4.2, 10), (0.2, 4.2, 10)]
    assert check_ups(cell((0, 600, 60), *cycle * 3), RATINGS) == []
    log = cell((0, 600, 60), *slow(), *cycle * 4, (0.05, 4.2, 60), (0, 600, 60), *slow())
    assert len(check_ups(log, RATINGS)) == 2


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ([(-0.1, 3.1, 60)], "stops early"),
        ([(-2, 600, 10), (0, 600, 10), (-0.1, 3.0, 60)], "starts late"),
        ([(-0.1, 36000, 60), (0, 600, 60), (-0.3, 3.0, 60)], "in two parts of unlike rate"),
        ([(-1, 3.0, 10)], "is fast"),
    ],
)
def test_what_is_no_full_slow_discharge_is_no_test(program, reason):
    assert check_ups(cell((0, 600, 60), *program, (0, 600, 60)), RATINGS) == [], reason


def test_short_interruptions_belong_to_a_test():
    program = [(-0.1, 3600, 60), (0, 10, 1)] * 18
    (found,) = check_ups(cell((0, 600, 60), *program[:-2], (-0.1, 3.0, 60), (0, 600, 60)), RATINGS)
    assert found.tests[0].capacity_ah == pytest.approx(2, rel=0.02)


def test_what_a_battery_gives_after_storage_is_no_capacity():
    log = cell((0.1, 600, 60), (0, 90000, 600), *slow(), charge=1.95)
    assert [test.charging for test in check_ups(log, RATINGS)[0].tests] == [True]


def test_pulses_give_the_resistances_of_their_first_moment_and_of_their_end():
    (found,) = check_ups(cell(*pulses()), RATINGS)
    discharge, charge = found.pulses[:2]
    assert len(found.pulses) == 10
    assert (discharge.current_ampere, charge.current_ampere) == (-2, 1.5)
    assert discharge.duration_second == pytest.approx(30, abs=0.1)
    # 30 s of 2 A take 1/60 Ah, that is 10 mV or 5 mohm.
    assert discharge.end_resistance_ohm == pytest.approx(OHM + 0.005, rel=0.01)
    assert discharge.resistance_ohm == pytest.approx(
        {10: OHM + 0.005 / 3, 18: OHM + 0.003, 30: OHM + 0.005}, rel=0.01
    )
    assert set(charge.resistance_ohm) == {10}
    assert charge.rest_second == pytest.approx(40, abs=1)


def test_the_immediate_resistance_needs_a_row_within_a_second():
    table = cell((0, 600, 10), (-2, 30, 0.1), (0, 60, 10), (-2, 30, 10), (0, 60, 10))
    (found,) = check_ups(table, RATINGS)
    assert found.pulses[0].immediate_resistance_ohm == pytest.approx(OHM, rel=0.01)
    assert found.pulses[0].immediate_delay_second == pytest.approx(0.11)
    assert found.pulses[1].immediate_resistance_ohm is None


def test_the_state_of_charge_lies_between_full_and_empty():
    (found,) = check_ups(cell((0, 600, 10), *pulses(6), (0, 600, 10), (-0.2, 3.0, 60), (0, 600, 60)), RATINGS)
    percents = [pulse.state_of_charge_percent for pulse in found.pulses if pulse.current_ampere < 0]
    assert percents == pytest.approx([100 - 10.68 * place for place in range(6)], abs=1)


def test_pulses_that_end_before_empty_take_the_capacity_of_the_discharge_test():
    (found,) = check_ups(cell((0, 600, 60), *slow(), *pulses(6), (1, 4.2, 10)), RATINGS)
    percents = [pulse.state_of_charge_percent for pulse in found.pulses if pulse.current_ampere < 0]
    assert percents == pytest.approx([100 - 10.68 * place for place in range(6)], abs=2)


def test_the_power_at_80_percent_is_that_of_the_pulses_beside_it():
    (found,) = check_ups(cell((0, 600, 10), *pulses(6), (0, 600, 10), (-0.2, 3.0, 60), (0, 600, 60)), RATINGS)
    # 80 % are 3.96 V: 3 V x 0.96 V and 4.2 V x 0.24 V over the resistance after 10 s.
    assert found.power_watt["discharge_power_at_80_percent_watt"] == pytest.approx(
        3 * 0.96 / (OHM + 0.005 / 3), rel=0.03
    )
    assert found.power_watt["charge_power_at_80_percent_watt"] == pytest.approx(4.2 * 0.24 / (OHM - 0.00125), rel=0.1)
    assert "discharge_power_at_20_percent_watt" not in found.power_watt


def test_without_ratings_there_is_no_state_of_charge_and_no_power():
    (found,) = check_ups(cell((0, 600, 60), *slow(), *pulses(6), (-0.1, 3.0, 60), (0, 600, 60)))
    assert found.tests[0].c_rate == pytest.approx(0.05, rel=0.02)
    assert {pulse.state_of_charge_percent for pulse in found.pulses} == {None}
    assert found.power_watt == {}


def test_rows_may_come_in_any_order_and_lack_a_value():
    table = cell((0, 600, 60), *slow(), *pulses(3))
    spoilt = pa.concat_tables([table, table.slice(5, 1).set_column(4, "voltage_volt", pa.array([np.nan]))])
    order = np.random.default_rng(0).permutation(spoilt.num_rows)
    assert check_ups(spoilt.take(order), RATINGS) == check_ups(table, RATINGS)


def test_a_gap_leaves_no_capacity():
    table = cell((0, 600, 60), *slow())
    late = pc.add(
        table["test_time_second"],
        pc.multiply(pc.cast(pc.greater(table["test_time_second"], 20000), "float64"), 4000.0),
    )
    tests = [test for one in check_ups(table.set_column(3, "test_time_second", late), RATINGS) for test in one.tests]
    assert [test.charging for test in tests] == [True]


@pytest.mark.parametrize("ratings", [RATINGS, None])
def test_a_log_of_rest_has_no_check_up(ratings):
    assert check_ups(cell((0, 6000, 60)), ratings) == []
    assert check_ups(cell((0, 6000, 60)).slice(0, 0), ratings) == []


def test_several_files_are_refused():
    table = cell((0, 600, 60))
    other = table.set_column(1, "source_sha256", pa.array(["e" * 64] * table.num_rows))
    with pytest.raises(AnalysisError, match="several files"):
        check_ups(pa.concat_tables([table, other]), RATINGS)


def test_the_pulses_of_a_real_hppc_are_all_found(shared_data):
    table = read(shared_data / "cycling" / "ampworks" / "hppc_discharge.csv").table
    ratings = Ratings(rated_capacity_ah=0.0032, minimum_voltage_volt=3.05, maximum_voltage_volt=4.18)
    (found,) = check_ups(table, ratings)
    assert [round(pulse.current_ampere, 4) for pulse in found.pulses] == [-0.0032, 0.0024] * 9
    first, second = found.pulses[:2]
    # By hand from the rows: rest 4.02618 V, 3.97228 V in the first row and 3.94240 V after 30 s of 3.2 mA.
    assert first.immediate_resistance_ohm == pytest.approx((4.026181 - 3.972276) / 0.0032, rel=1e-3)
    assert first.end_resistance_ohm == pytest.approx((4.026181 - 3.942402) / 0.0032, rel=1e-3)
    assert second.end_resistance_ohm == pytest.approx((4.057656 - 4.007117) / 0.0024, rel=1e-3)
    assert [round(pulse.duration_second) for pulse in (first, second)] == [30, 10]
    assert [first.state_of_charge_percent, second.state_of_charge_percent] == pytest.approx([90.0, 89.2], abs=0.1)
    assert set(found.power_watt) == {
        f"{way}_power_at_{percent}_percent_watt" for way in ("charge", "discharge") for percent in (80, 20)
    }


def test_a_real_reference_test_gives_capacity_rate_temperature_and_peaks(shared_data):
    name = "NDK - LG M50 deg - exp 2,2 - rig 3 - 25degC - cell C - BoL - RPT0_short_CA4.parquet"
    table = read(shared_data / "cycling" / "pyprobe" / name).table
    ratings = Ratings(rated_capacity_ah=5, minimum_voltage_volt=2.5, maximum_voltage_volt=4.2)
    (found,) = check_ups(table, ratings)
    discharge = found.slowest(charging=False)
    # 0.5 A for 34658 s.
    assert discharge.capacity_ah == pytest.approx(0.5 * 34658 / 3600, rel=1e-3)
    assert (discharge.c_rate, discharge.temperature_celsius) == (
        pytest.approx(0.1, rel=0.01),
        pytest.approx(25.8, abs=0.1),
    )
    # The graphite stages and the NMC811 of an LG M50.
    assert min(abs(peak.voltage_volt - 3.45) for peak in discharge.peaks) < 0.02
    assert found.slowest(charging=True).capacity_ah == pytest.approx(4.732, rel=1e-3)
