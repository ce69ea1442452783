from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.electrochemistry.rules import CATEGORIES, RULES, STATE_OF_HEALTH, Demand, coverage, demand
from battery_pilot.errors import InputError

NOW = datetime(2025, 3, 12, tzinfo=UTC)


def test_every_metric_has_a_rule_and_every_rule_a_metric():
    assert set(RULES) == set(METRICS)


def test_every_category_has_its_state_of_health():
    assert set(STATE_OF_HEALTH) == set(CATEGORIES)
    assert all(set(metrics) <= set(METRICS) for metrics in STATE_OF_HEALTH.values())
    assert STATE_OF_HEALTH["ev"] == ("state_of_certified_energy_percent",)


@pytest.mark.parametrize(
    ("metric", "category", "expected"),
    [
        ("state_of_certified_energy_percent", "ev", Demand.MANDATORY),
        ("state_of_certified_energy_percent", "stationary", Demand.VOLUNTARY),
        ("remaining_capacity_ah", "lmt", Demand.MANDATORY),
        ("remaining_capacity_ah", "ev", Demand.RECOMMENDED),
        ("power_at_80_percent_charge_watt", "stationary", Demand.WHERE_POSSIBLE),
        ("energy_throughput_kwh", "industrial", Demand.VOLUNTARY),
        ("full_equivalent_cycles", "industrial", Demand.MANDATORY),
    ],
)
def test_demands_differ_by_category(metric, category, expected):
    assert demand(metric, category) is expected


def test_unknown_category_is_refused():
    with pytest.raises(InputError, match="category 'toy'"):
        demand("remaining_capacity_ah", "toy")


def test_coverage_counts_what_is_stated_and_gives_the_most_frequent_reason():
    value = MeasuredValue(value=1.0, as_of=NOW, method="m", source_sha256=())
    reason = {"state_of_certified_energy_percent": "certified energy not stated"}
    batteries = [
        ("ev", Condition(battery_id="a", as_of=NOW, values={"full_equivalent_cycles": value}, absent=reason)),
        ("ev", Condition(battery_id="b", as_of=NOW, values={"full_equivalent_cycles": value}, absent=reason)),
        ("ev", Condition(battery_id="c", as_of=NOW, values={"state_of_certified_energy_percent": value}, absent={})),
        ("lmt", Condition(battery_id="d", as_of=NOW, values={}, absent={})),
    ]
    found = {(one.category, one.metric): one for one in coverage(batteries)}
    energy = found["ev", "state_of_certified_energy_percent"]
    assert (energy.demand, energy.clause) == (Demand.MANDATORY, "6.7.2.7")
    assert (energy.stated, energy.batteries, energy.reason) == (1, 3, "certified energy not stated")
    assert found["ev", "full_equivalent_cycles"].reason == "no measurement gives it"
    assert found["lmt", "remaining_capacity_ah"].stated == 0
    assert ("ev", "dc_resistance_ohm") not in found
    assert ("lmt", "state_of_certified_energy_percent") not in found


def test_nothing_is_asked_where_there_is_no_battery():
    assert coverage([]) == []
    with pytest.raises(InputError, match="category 'toy'"):
        coverage([("toy", Condition(battery_id="a", as_of=NOW, values={}, absent={}))])
