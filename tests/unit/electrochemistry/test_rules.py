from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.electrochemistry.rules import CATEGORIES, RULES, STATE_OF_HEALTH, Demand, demand, unmet
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


def test_unmet_demands_come_with_their_reasons():
    value = MeasuredValue(value=1.0, as_of=NOW, method="m", source_sha256=())
    absent = {"state_of_certified_energy_percent": "certified energy not stated"}
    condition = Condition(battery_id="b", as_of=NOW, values={"full_equivalent_cycles": value}, absent=absent)
    missing = unmet(condition, "ev")
    assert missing["state_of_certified_energy_percent"] == "certified energy not stated"
    assert "full_equivalent_cycles" not in missing
    assert "remaining_capacity_ah" not in missing
