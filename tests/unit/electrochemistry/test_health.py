from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from battery_pilot.electrochemistry.condition import METRICS, Ratings
from battery_pilot.electrochemistry.cycles import summarise_cycles
from battery_pilot.electrochemistry.health import aggregate_cycles, condition_from_aggregates
from battery_pilot.errors import AnalysisError

NOW, EARLIER = datetime(2025, 3, 12, tzinfo=UTC), datetime(2025, 3, 2, tzinfo=UTC)
FILES, OLD_FILES = ["a" * 64, "b" * 64], ["c" * 64]

RATINGS = Ratings(
    rated_capacity_ah=2,
    minimum_voltage_volt=2.7,
    maximum_voltage_volt=4.2,
    certified_energy_kwh=0.008,
    initial_cell_resistance_ohm=0.1,
    initial_round_trip_efficiency_percent=95,
    initial_self_discharge_percent_per_month=2,
    original_power_watt_at_80_percent_soc=30,
    original_power_watt_at_20_percent_soc=20,
    idle_temperature_minimum_celsius=0,
    idle_temperature_maximum_celsius=40,
)

COMPLETE = {
    "battery_id": "cell",
    "as_of": NOW,
    "cycles_as_of": NOW,
    "source_sha256": FILES,
    "charge_ah": 210.0,
    "discharge_ah": 190.0,
    "charge_wh": 800.0,
    "discharge_wh": 700.0,
    "time_above_idle_minute": 5.0,
    "time_below_idle_minute": 6.0,
    "charging_time_above_idle_minute": 1.0,
    "charging_time_below_idle_minute": 2.0,
    "deep_discharge_events": 3,
    "overcharge_events": 0,
    "capacity_ah": 1.8,
    "capacity_wh": 6.4,
    "capacity_error_ah": 0.01,
    "capacity_error_wh": 0.04,
    "capacity_measurements": 3,
    "capacity_as_of": EARLIER,
    "capacity_source_sha256": OLD_FILES,
    "efficiency_percent": 94.0,
    "efficiency_as_of": NOW,
    "efficiency_source_sha256": FILES,
    "dc_resistance_ohm": 0.12,
    "dc_resistance_delay_second": 10.0,
    "dc_resistance_as_of": NOW,
    "dc_resistance_source_sha256": FILES,
    "first_dc_resistance_ohm": 0.08,
    "first_dc_resistance_delay_second": 10.0,
    "first_dc_resistance_as_of": EARLIER,
    "gap_second": 0.0,
    "retained_ah": 1.71,
    "storage_second": 2 * 30.4375 * 86400,
    "retained_as_of": NOW,
    "retained_source_sha256": FILES,
    "capacity_before_storage_ah": 1.8,
    "power_at_80_percent_watt": 27.0,
    "power_at_80_percent_as_of": EARLIER,
    "power_at_80_percent_source_sha256": OLD_FILES,
    "power_at_20_percent_watt": 17.0,
    "power_at_20_percent_as_of": EARLIER,
    "power_at_20_percent_source_sha256": OLD_FILES,
    "state_of_charge_percent": 61.0,
    "measured_charge_as_of": NOW,
    "measured_charge_source_sha256": FILES,
    "mean_temperature_celsius": 25.0,
    "net_ah_since_empty": 0.9,
    "spectra": 2,
    "impedance_as_of": EARLIER,
    "impedance_source_sha256": OLD_FILES,
    "ohmic_resistance_ohm": 0.02,
    "polarisation_resistance_ohm": 0.03,
    "ac_resistance_ohm": 0.04,
    "polarisation_resistance_error_ohm": 0.002,
    "ohmic_frequency_hertz": 812.4,
    "trusted_minimum_hertz": 0.01,
    "trusted_maximum_hertz": 1e4,
    "circuit_aic": -1000.0,
    "circuit": "L0-R0-p(R1,CPE1)",
    "impedance_temperature_celsius": 25.0,
    "impedance_state_of_charge_percent": 50.0,
}

EXPECTED = {
    "remaining_capacity_ah": 1.8,
    "capacity_fade_percent": 10.0,
    "remaining_energy_kwh": 0.0064,
    "state_of_certified_energy_percent": 80.0,
    "full_equivalent_cycles": 100.0,
    "energy_throughput_kwh": 1.5,
    "capacity_throughput_ah": 400.0,
    "round_trip_efficiency_percent": 94.0,
    "dc_resistance_ohm": 0.12,
    "ac_resistance_ohm": 0.04,
    "ohmic_resistance_ohm": 0.02,
    "polarisation_resistance_ohm": 0.03,
    "ohmic_frequency_hertz": 812.4,
    "trusted_minimum_hertz": 0.01,
    "trusted_maximum_hertz": 10000.0,
    "circuit_aic": -1000.0,
    "resistance_increase_percent": 20.0,
    "mean_temperature_celsius": 25.0,
    "time_above_idle_range_minute": 5.0,
    "time_below_idle_range_minute": 6.0,
    "charging_time_above_idle_range_minute": 1.0,
    "charging_time_below_idle_range_minute": 2.0,
    "deep_discharge_events": 3.0,
    "overcharge_events": 0.0,
    "state_of_charge_percent": 50.0,
    "round_trip_efficiency_fade_percent": 1.05263,
    "self_discharge_percent_per_month": 2.5,
    "self_discharge_increase_percent": 25.0,
    "power_at_80_percent_charge_watt": 27.0,
    "power_at_20_percent_charge_watt": 17.0,
    "power_fade_percent": 10.0,
}


def condition(ratings: Ratings = RATINGS, **changes: object):
    return condition_from_aggregates({**COMPLETE, **changes}, ratings)


def test_every_metric_follows_its_formula():
    assert {name: value.value for name, value in condition().values.items()} == EXPECTED
    assert condition().absent == {}
    assert set(EXPECTED) == set(METRICS)


def test_every_metric_is_either_there_or_absent_with_a_reason():
    nothing = {name: None for name in COMPLETE} | {"battery_id": "cell", "as_of": NOW, "spectra": 1}
    result = condition_from_aggregates(nothing, RATINGS)
    assert result.values == {}
    assert set(result.absent) == set(METRICS)
    assert result.absent["ohmic_resistance_ohm"] == "no spectrum passed the Kramers-Kronig check"
    assert result.absent["capacity_throughput_ah"] == "no cycling data"


def test_values_keep_the_time_and_the_files_of_their_own_measurement():
    values = condition().values
    assert (values["remaining_capacity_ah"].as_of, values["remaining_capacity_ah"].source_sha256) == (
        EARLIER,
        ("c" * 64,),
    )
    assert (values["energy_throughput_kwh"].as_of, values["energy_throughput_kwh"].source_sha256) == (
        NOW,
        tuple(FILES),
    )
    assert values["ohmic_resistance_ohm"].as_of == EARLIER


def test_uncertainty_follows_the_standard_error():
    values = condition().values
    assert values["remaining_capacity_ah"].uncertainty == 0.01
    assert values["capacity_fade_percent"].uncertainty == 0.5
    assert values["state_of_certified_energy_percent"].uncertainty == 0.5
    assert values["remaining_capacity_ah"].method == "mean of 3 full discharges"
    single = condition(capacity_error_ah=np.nan, capacity_error_wh=np.nan, capacity_measurements=1).values
    assert single["remaining_capacity_ah"].uncertainty is None
    assert single["remaining_capacity_ah"].method == "full discharge"


def test_an_impedance_tells_its_definition_frequency_temperature_and_state_of_charge():
    values = condition().values
    where = ", at 25 °C, at 50 % state of charge, valid from 0.01 to 1e+04 Hz"
    assert values["ac_resistance_ohm"].method == f"impedance spectrum, real part at 1 kHz{where}"
    assert values["ohmic_resistance_ohm"].method == f"impedance spectrum, high-frequency intercept at 812 Hz{where}"
    assert values["polarisation_resistance_ohm"].method == f"impedance spectrum, arcs of L0-R0-p(R1,CPE1){where}"
    assert values["polarisation_resistance_ohm"].uncertainty == 0.002
    unknown = dict.fromkeys(("ohmic_frequency_hertz", "impedance_temperature_celsius", "trusted_minimum_hertz"))
    fitted = condition(**unknown, impedance_state_of_charge_percent=None).values["ohmic_resistance_ohm"]
    assert fitted.method == "impedance spectrum, series resistance of L0-R0-p(R1,CPE1)"


@given(st.floats(0.1, 1000))
def test_fade_is_zero_at_the_rated_capacity(rated):
    ratings = RATINGS.model_copy(update={"rated_capacity_ah": rated})
    assert condition(ratings, capacity_ah=rated).values["capacity_fade_percent"].value == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(
    ("rating", "metric", "reason"),
    [
        ("certified_energy_kwh", "state_of_certified_energy_percent", "certified energy not stated"),
        ("idle_temperature_maximum_celsius", "time_above_idle_range_minute", "idle temperature range not stated"),
        (
            "idle_temperature_minimum_celsius",
            "charging_time_below_idle_range_minute",
            "idle temperature range not stated",
        ),
    ],
)
def test_a_rating_that_is_not_stated_is_the_reason(rating, metric, reason):
    columns = {"time_above_idle_minute": None, "charging_time_below_idle_minute": None}
    result = condition(RATINGS.model_copy(update={rating: None}), **columns)
    assert result.absent[metric] == reason


def test_increase_falls_back_to_the_first_measured_resistance():
    ratings = RATINGS.model_copy(update={"initial_cell_resistance_ohm": None})
    increase = condition(ratings).values["resistance_increase_percent"]
    assert increase.value == 50.0
    assert increase.method == "current step, 10 s, against first measured resistance"
    only_one = condition(ratings, first_dc_resistance_as_of=NOW)
    assert "only one resistance" in only_one.absent["resistance_increase_percent"]


@pytest.mark.parametrize(
    ("net", "capacity", "expected"),
    [
        (-0.01, 1.8, 0.0),
        (1.85, 1.8, 100.0),
        (3.6, 1.8, "200 %"),
        (None, 1.8, "not seen empty"),
        (0.9, None, "not known"),
    ],
)
def test_state_of_charge_is_clipped_within_drift_and_refused_beyond(net, capacity, expected):
    result = condition(net_ah_since_empty=net, capacity_ah=capacity, state_of_charge_percent=None)
    if isinstance(expected, float):
        assert result.values["state_of_charge_percent"].value == expected
    else:
        assert expected in result.absent["state_of_charge_percent"]


def test_values_are_rounded_so_that_engines_agree():
    assert condition(charge_ah=np.nextafter(210.0, 211)) == condition()
    assert condition(capacity_ah=1.23456789).values["remaining_capacity_ah"].value == 1.23457


def test_null_may_be_written_in_any_way():
    for null in (None, np.nan, pd.NA, pd.NaT):
        assert "dc_resistance_ohm" in condition(dc_resistance_ohm=null).absent


def test_times_are_utc_to_the_microsecond():
    stamp = pd.Timestamp("2025-03-12T01:00:00.123456789+01:00")
    assert condition(as_of=stamp).as_of == datetime(2025, 3, 12, 0, 0, 0, 123456, tzinfo=UTC)
    assert condition(as_of=datetime(2025, 3, 12)).as_of == NOW  # noqa: DTZ001 - a time without a zone is UTC
    assert condition(as_of=NOW.astimezone(timezone(timedelta(hours=5)))).as_of == NOW


def test_a_battery_without_any_time_is_refused():
    with pytest.raises(AnalysisError, match="aggregates of battery cell: battery_id and as_of must be known"):
        condition(as_of=None)


def test_resistances_after_unlike_delays_are_not_compared():
    ratings = RATINGS.model_copy(update={"initial_cell_resistance_ohm": None})
    result = condition(ratings, first_dc_resistance_delay_second=1.0)
    assert (
        result.absent["resistance_increase_percent"] == "the first resistance, 1 s after the step, is not comparable"
    )
    assert condition(ratings).values["resistance_increase_percent"].value == 50


def test_gaps_in_the_logs_are_told_with_the_throughput():
    method = condition(gap_second=9000.0).values["capacity_throughput_ah"].method
    assert method == "integration of current, without 2.5 h of gaps in the logs"


def test_a_log_gives_the_condition_that_one_calculates_by_hand():
    """One log with several traps: leakage at rest, temperature missing in a part, shuffled rows."""
    # Charge 2 A at 4.1 V for an hour and 0.3 A at 4.2 V, rest with 1 mA of leakage, discharge 2 A at 3.7 V to 2.6 V.
    program = [(2.0, 4.1)] * 61 + [(0.3, 4.2)] + [(-0.001, 4.15)] * 10 + [(-2.0, 3.7)] * 57 + [(-2.0, 2.6)]
    ampere, volt = np.array(program).T
    time = 60.0 * np.arange(ampere.size)
    log = pd.DataFrame(
        {
            "battery_id": "cell",
            "source_sha256": "a" * 64,
            "measured_at": pd.Timestamp(EARLIER) + pd.to_timedelta(time, unit="s"),
            "test_time_second": time,
            "voltage_volt": volt,
            "current_ampere": ampere,
            "temperature_t1_celsius": np.where(time < 3600, 45.0, np.nan),
        }
    ).sample(frac=1, random_state=0)
    table = aggregate_cycles(summarise_cycles(log, RATINGS), EARLIER, NOW)
    result = condition_from_aggregates(table.iloc[0].to_dict(), RATINGS)
    values = {name: one.value for name, one in result.values.items()}
    # Trapezoids: 60 intervals of 2 A, one from 2 to 0.3 A, one that falls through zero; then 9 of leakage.
    charged = (60 * 2 + 1.15 + 0.3 * (0.3 / 0.301) / 2) / 60
    # From leakage to 2 A, then 56 intervals of 2 A and the one that crosses the minimum voltage.
    capacity = ((0.001 + 2) / 2 + 57 * 2) / 60
    leaked = (9 * 0.001 + 0.001 * (0.001 / 0.301) / 2) / 60
    delivered_wh = ((0.00415 + 7.4) / 2 + 56 * 7.4 + (7.4 + 5.2) / 2) / 60
    assert values["remaining_capacity_ah"] == pytest.approx(capacity, rel=1e-5)
    assert values["capacity_fade_percent"] == pytest.approx(100 * (1 - capacity / 2), rel=1e-4)
    assert values["remaining_energy_kwh"] == pytest.approx(delivered_wh / 1000, rel=1e-5)
    assert values["state_of_certified_energy_percent"] == pytest.approx(delivered_wh / 0.08, rel=1e-5)
    assert values["capacity_throughput_ah"] == pytest.approx(charged + leaked + capacity, rel=1e-5)
    assert values["full_equivalent_cycles"] == pytest.approx((charged + leaked + capacity) / 4, rel=1e-5)
    # 59 minutes with a temperature at both ends, above 40 °C while charging.
    assert values["time_above_idle_range_minute"] == values["charging_time_above_idle_range_minute"] == 59
    assert (values["deep_discharge_events"], values["overcharge_events"]) == (0, 0)
    assert result.values["remaining_capacity_ah"].source_sha256 == ("a" * 64,)
    assert "round_trip_efficiency_percent" in result.absent
    assert "self_discharge_percent_per_month" in result.absent


def test_power_fade_falls_back_to_20_percent_charge():
    result = condition(power_at_80_percent_watt=None)
    assert result.values["power_fade_percent"].value == 15
    assert "20 % state of charge" in result.values["power_fade_percent"].method
    assert "near 80 %" in result.absent["power_at_80_percent_charge_watt"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"retained_ah": None}, "no full discharge after a day or more of storage"),
        ({"capacity_before_storage_ah": None}, "no capacity measured before the storage"),
        ({"retained_ah": 1.9}, "not comparable"),
    ],
)
def test_self_discharge_needs_a_storage_and_a_capacity_before_it(changes, reason):
    result = condition(**changes)
    for metric in ("self_discharge_percent_per_month", "self_discharge_increase_percent"):
        assert reason in result.absent[metric]


def test_reported_charge_stands_in_where_the_battery_was_never_seen_empty():
    reported = condition(net_ah_since_empty=None).values["state_of_charge_percent"]
    assert reported.value == 61
    assert reported.method == "reported by the battery or the instrument"
    assert condition(net_ah_since_empty=None, state_of_charge_percent=None).absent["state_of_charge_percent"]


def test_aggregates_of_an_older_run_without_the_newer_columns_still_give_a_condition():
    older = {
        name: value for name, value in COMPLETE.items() if not name.startswith(("power", "retained", "measured"))
    }
    result = condition_from_aggregates(older, RATINGS)
    assert result.values["remaining_capacity_ah"].value == 1.8
    assert "power_fade_percent" in result.absent
