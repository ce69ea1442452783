from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from battery_pilot.electrochemistry.aggregates import AGGREGATE_COLUMNS, SPECTRUM_COLUMNS, aggregate_cycles
from battery_pilot.electrochemistry.cycles import SUMMARY_COLUMNS
from battery_pilot.errors import AnalysisError

START, END = datetime(2025, 3, 10, tzinfo=UTC), datetime(2025, 3, 20, tzinfo=UTC)


def cycle(day: float, source: str = "a", **values: object) -> dict[str, object]:
    ended = pd.Timestamp("2025-03-01", tz="UTC") + pd.Timedelta(day - 1, unit="D")
    defaults = dict.fromkeys(SUMMARY_COLUMNS, np.nan)
    known = {
        "battery_id": "cell",
        "source_sha256": source * 64,
        "cycle_count": 1,
        "started_at": ended,
        "ended_at": ended,
        "duration_second": 3600.0,
        "charge_ah": 2.0,
        "discharge_ah": 1.0,
        "charge_wh": 8.0,
        "discharge_wh": 3.5,
        "is_full_cycle": False,
    }
    return {**defaults, **known, **values}


def aggregate(*cycles: dict[str, object], spectra: pd.DataFrame | None = None) -> pd.Series:
    table = aggregate_cycles(pd.DataFrame(list(cycles), columns=list(SUMMARY_COLUMNS)), START, END, spectra)
    assert list(table.columns) == list(AGGREGATE_COLUMNS)
    assert len(table) == 1
    return table.iloc[0]


def spectrum(day: int, ohmic: float, *, valid: bool = True, battery: str = "cell") -> dict[str, object]:
    return {
        **dict.fromkeys(SPECTRUM_COLUMNS, 0.02),
        "battery_id": battery,
        "measured_at": pd.Timestamp(2025, 3, day, tz="UTC"),
        "source_sha256": "e" * 64,
        "ohmic_resistance_ohm": ohmic,
        "temperature_celsius": 20.0 + day,
        "circuit": "R0-p(R1,CPE1)",
        "kramers_kronig_valid": valid,
    }


def test_totals_cover_the_life_before_the_end_of_the_interval():
    row = aggregate(cycle(2, "a", overcharge_events=2), cycle(12, "b", overcharge_events=1), cycle(20, "c"))
    assert row["charge_ah"] == 4
    assert row["discharge_wh"] == 7
    assert row["overcharge_events"] == 3
    assert np.isnan(row["time_above_idle_minute"])
    assert row["as_of"] == pd.Timestamp("2025-03-12", tz="UTC")


def test_sources_are_those_of_the_interval():
    assert aggregate(cycle(2, "a"), cycle(12, "c"), cycle(13, "b"))["source_sha256"] == ["b" * 64, "c" * 64]


def test_sources_are_the_newest_file_when_the_interval_is_empty():
    assert aggregate(cycle(2, "a"), cycle(3, "b"))["source_sha256"] == ["b" * 64]


def test_a_summary_that_occurs_twice_counts_once():
    assert aggregate(cycle(12), cycle(12))["charge_ah"] == 2


def test_a_cycle_that_is_in_a_partial_and_in_a_whole_log_counts_once():
    partial = [cycle(3, "partial", cycle_count=1), cycle(4, "partial", cycle_count=2)]
    whole = [cycle(3, "whole", cycle_count=1), cycle(4, "whole", cycle_count=2), cycle(5, "whole", cycle_count=3)]
    row = aggregate(*partial, *whole)
    assert row["charge_ah"] == pytest.approx(3 * whole[0]["charge_ah"])


def test_cycles_at_the_same_time_with_other_charge_are_different_tests():
    both = [cycle(3, "a", cycle_count=1), cycle(3, "b", cycle_count=1, charge_ah=1.7)]
    assert aggregate(*both)["charge_ah"] == pytest.approx(both[0]["charge_ah"] + 1.7)


def test_capacity_is_the_mean_of_the_newest_three_of_the_interval():
    values = {11: 1.0, 12: 1.9, 13: 1.8, 14: 1.7}
    row = aggregate(*[cycle(day, f"{day % 10}", capacity_ah=ah, capacity_wh=4 * ah) for day, ah in values.items()])
    assert row["capacity_ah"] == pytest.approx(1.8)
    assert row["capacity_wh"] == pytest.approx(7.2)
    assert row["capacity_error_ah"] == pytest.approx(0.1 / np.sqrt(3))
    assert row["capacity_measurements"] == 3
    assert row["capacity_as_of"] == pd.Timestamp("2025-03-14", tz="UTC")
    assert row["capacity_source_sha256"] == ["2" * 64, "3" * 64, "4" * 64]


def test_capacities_before_the_interval_are_not_mixed_in():
    row = aggregate(cycle(8, "a", capacity_ah=2.0, capacity_wh=8.0), cycle(12, "b", capacity_ah=1.8, capacity_wh=7.0))
    assert row["capacity_ah"] == 1.8
    assert np.isnan(row["capacity_error_ah"])


def test_last_known_capacity_keeps_its_own_time():
    row = aggregate(
        cycle(7, "a", capacity_ah=1.9, capacity_wh=7.0),
        cycle(8, "b", capacity_ah=1.8, capacity_wh=7.0),
        cycle(12, "c"),
    )
    assert row["capacity_ah"] == 1.8
    assert row["capacity_as_of"] == pd.Timestamp("2025-03-08", tz="UTC")
    assert row["as_of"] == pd.Timestamp("2025-03-12", tz="UTC")


def test_efficiency_comes_from_full_cycles():
    full = cycle(12, "a", is_full_cycle=True, charge_wh=8.0, discharge_wh=7.6)
    assert aggregate(full, cycle(13, "b"))["efficiency_percent"] == pytest.approx(95)


def test_newest_and_first_resistance():
    row = aggregate(
        cycle(2, "a", dc_resistance_ohm=0.1, dc_resistance_delay_second=10.0),
        cycle(12, "b", dc_resistance_ohm=0.12, dc_resistance_delay_second=9.0),
        cycle(13, "c"),
    )
    assert (row["dc_resistance_ohm"], row["first_dc_resistance_ohm"]) == (0.12, 0.1)
    assert row["dc_resistance_delay_second"] == 9
    assert row["dc_resistance_source_sha256"] == ["b" * 64]


def test_mean_temperature_is_that_of_the_interval():
    row = aggregate(
        cycle(2, "a", mean_temperature_celsius=99.0),
        cycle(12, "b", mean_temperature_celsius=20.0, duration_second=100.0),
        cycle(13, "c", mean_temperature_celsius=30.0, duration_second=300.0),
        cycle(14, "d"),
    )
    assert row["mean_temperature_celsius"] == pytest.approx(27.5)


def test_net_charge_since_empty_adds_the_later_cycles():
    row = aggregate(
        cycle(2, "a", net_ah_since_empty=9.0),
        cycle(12, "b", net_ah_since_empty=0.5),
        cycle(13, "c"),
        cycle(14, "d", discharge_ah=2.5),
    )
    assert row["net_ah_since_empty"] == pytest.approx(0.5 + 1.0 - 0.5)


def test_newest_valid_spectrum_counts():
    rows = [spectrum(3, 0.01), spectrum(12, 0.02), spectrum(14, 0.9, valid=False), spectrum(21, 0.5)]
    row = aggregate(cycle(12), spectra=pd.DataFrame(rows, columns=list(SPECTRUM_COLUMNS)))
    assert row["ohmic_resistance_ohm"] == 0.02
    assert (row["impedance_temperature_celsius"], row["circuit"]) == (32.0, "R0-p(R1,CPE1)")
    assert row["impedance_as_of"] == pd.Timestamp("2025-03-12", tz="UTC")
    assert row["spectra"] == 3
    assert row["as_of"] == pd.Timestamp("2025-03-14", tz="UTC")


def test_battery_with_spectra_only_has_a_row():
    spectra = pd.DataFrame([spectrum(12, 0.02)], columns=list(SPECTRUM_COLUMNS))
    row = aggregate(spectra=spectra)
    assert row["battery_id"] == "cell"
    assert row["as_of"] == pd.Timestamp("2025-03-12", tz="UTC")
    assert np.isnan(row["charge_ah"])


def test_rows_without_battery_or_time_are_left_out():
    row = aggregate(cycle(12), cycle(13, "b", battery_id=None), cycle(13, "c", ended_at=pd.NaT))
    assert row["charge_ah"] == 2


def test_interval_without_time_zone_is_refused():
    with pytest.raises(AnalysisError, match="2025-03-10T00:00:00 has no time zone"):
        aggregate_cycles(pd.DataFrame([cycle(12)]), START.replace(tzinfo=None), END)
