"""Which metric of a battery's condition which category must, should or may state, and where that is laid down.

Regulation (EU) 2023/1542, Annex VII (state of health and expected lifetime of stationary systems and light means of
transport), Article 14 and Annex XIII; DIN DKE SPEC 99100:2025-02, clauses 6.7.2 to 6.7.8.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from battery_pilot.electrochemistry.condition import Condition

CATEGORIES = ("ev", "lmt", "industrial", "stationary")


class Demand(StrEnum):
    """How strongly a category asks for a metric."""

    MANDATORY = "mandatory"
    WHERE_POSSIBLE = "mandatory where possible"
    RECOMMENDED = "recommended"
    VOLUNTARY = "voluntary"


class Rule(NamedTuple):
    """What is asked of one metric.

    :param clause: clause of DIN DKE SPEC 99100:2025-02, empty for a metric of our own.
    :param demands: category to demand; a category that is not named may state it.
    """

    clause: str
    demands: Mapping[str, Demand]


def _rule(clause: str, *, mandatory: str = "", where_possible: str = "", recommended: str = "") -> Rule:
    words = {Demand.MANDATORY: mandatory, Demand.WHERE_POSSIBLE: where_possible, Demand.RECOMMENDED: recommended}
    return Rule(clause, {category: demand for demand, names in words.items() for category in names.split()})


_ALL = " ".join(CATEGORIES)
_FADES = {"mandatory": _ALL}
_TEMPERATURE = {"mandatory": "lmt stationary"}

RULES: dict[str, Rule] = {
    "remaining_capacity_ah": _rule("6.7.2.3", mandatory="lmt stationary", recommended="ev industrial"),
    "capacity_fade_percent": _rule("6.7.2.4", **_FADES),
    "remaining_energy_kwh": _rule("6.7.2.6", recommended="ev"),
    "state_of_certified_energy_percent": _rule("6.7.2.7", mandatory="ev"),
    "state_of_charge_percent": _rule("6.7.2.8", mandatory=_ALL),
    "power_at_80_percent_charge_watt": _rule("6.7.3.3", where_possible="lmt stationary", recommended="ev industrial"),
    "power_at_20_percent_charge_watt": _rule("6.7.3.3", where_possible="lmt stationary", recommended="ev industrial"),
    "power_fade_percent": _rule("6.7.3.4", **_FADES),
    "round_trip_efficiency_percent": _rule("6.7.4.4", where_possible="lmt stationary"),
    "round_trip_efficiency_fade_percent": _rule("6.7.4.5", **_FADES),
    "self_discharge_percent_per_month": _rule("6.7.4.7", recommended="lmt stationary"),
    "self_discharge_increase_percent": _rule("6.7.4.8", mandatory="lmt stationary"),
    "dc_resistance_ohm": _rule("6.7.5.2"),
    "ac_resistance_ohm": _rule("6.7.5.2"),
    "ohmic_resistance_ohm": _rule("6.7.5.2", where_possible="lmt stationary"),
    "polarisation_resistance_ohm": _rule("6.7.5.2"),
    "ohmic_frequency_hertz": _rule("6.7.5.2"),
    "trusted_minimum_hertz": _rule("6.7.5.2"),
    "trusted_maximum_hertz": _rule("6.7.5.2"),
    "circuit_aic": _rule(""),
    "resistance_increase_percent": _rule("6.7.5.3", **_FADES),
    "full_equivalent_cycles": _rule("6.7.6.4", mandatory=_ALL),
    "energy_throughput_kwh": _rule("6.7.6.7", mandatory="lmt stationary"),
    "capacity_throughput_ah": _rule("6.7.6.8", mandatory="lmt stationary"),
    "mean_temperature_celsius": _rule("6.7.7.2", mandatory=_ALL),
    "time_above_idle_range_minute": _rule("6.7.7.5", **_TEMPERATURE),
    "time_below_idle_range_minute": _rule("6.7.7.6", **_TEMPERATURE),
    "charging_time_above_idle_range_minute": _rule("6.7.7.7", **_TEMPERATURE),
    "charging_time_below_idle_range_minute": _rule("6.7.7.8", **_TEMPERATURE),
    "deep_discharge_events": _rule("6.7.8.2", mandatory="lmt stationary", recommended="ev industrial"),
    "overcharge_events": _rule("6.7.8.3", recommended=_ALL),
}
"""Metric to its rule; every one of :data:`~battery_pilot.electrochemistry.condition.METRICS` has one."""

STATE_OF_HEALTH: dict[str, tuple[str, ...]] = {
    "ev": ("state_of_certified_energy_percent",),
    "lmt": (
        "remaining_capacity_ah",
        "power_at_80_percent_charge_watt",
        "power_at_20_percent_charge_watt",
        "round_trip_efficiency_percent",
        "ohmic_resistance_ohm",
        "self_discharge_increase_percent",
    ),
    "industrial": (),
}
"""Category to the metrics that are its state of health by law; none is laid down for other industrial batteries."""

STATE_OF_HEALTH["stationary"] = STATE_OF_HEALTH["lmt"]


def demand(metric: str, category: str) -> Demand:
    """Return how strongly a category asks for a metric.

    :param metric: one of :data:`~battery_pilot.electrochemistry.condition.METRICS`.
    :param category: one of :data:`CATEGORIES`.
    :raises InputError: for another metric or category.
    """
    if metric not in RULES or category not in CATEGORIES:
        raise InputError(f"metric {metric!r} of category {category!r}: expected a metric and one of {_ALL}")
    return RULES[metric].demands.get(category, Demand.VOLUNTARY)


class Coverage(NamedTuple):
    """How far the batteries of a category meet what is asked of them.

    :param stated: how many batteries have the metric.
    :param batteries: how many there are.
    :param reason: the most frequent reason why the others have it not; empty where all have it.
    """

    category: str
    metric: str
    demand: Demand
    clause: str
    stated: int
    batteries: int
    reason: str


def coverage(conditions: Iterable[tuple[str, Condition]]) -> list[Coverage]:
    """Compare conditions with what is asked of them.

    :param conditions: category and condition of each battery.
    :returns: by category and by metric in the order of :data:`RULES`, without what is voluntary.
    :raises InputError: for a category that is none of :data:`CATEGORIES`.
    """
    by_category: dict[str, list[Condition]] = defaultdict(list)
    for category, condition in conditions:
        by_category[category].append(condition)
    found = []
    for category in sorted(by_category):
        batteries = by_category[category]
        for metric, rule in RULES.items():
            asked = demand(metric, category)
            if asked is Demand.VOLUNTARY:
                continue
            without = [one for one in batteries if metric not in one.values]
            reasons = Counter(one.absent.get(metric, "no measurement gives it") for one in without)
            reason = max(reasons, key=lambda text: (reasons[text], text), default="")
            stated = len(batteries) - len(without)
            found.append(Coverage(category, metric, asked, rule.clause, stated, len(batteries), reason))
    return found
