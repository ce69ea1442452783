"""The condition of a battery, the passport's dynamic part.

Two steps: :func:`aggregate_cycles`, or :func:`aggregate_cycles_sql` for Spark, brings all cycles and spectra of a battery
into one row; :func:`condition_from_aggregates` turns that row into metrics.

Formulas: DIN DKE SPEC 99100:2025-02, clauses 6.7.2 to 6.7.8; Regulation (EU) 2023/1542, Annex VII.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pandas as pd

from battery_pilot.electrochemistry.aggregates import aggregate_cycles
from battery_pilot.electrochemistry.aggregates_sql import aggregate_cycles_sql
from battery_pilot.electrochemistry.condition import Condition, MeasuredValue, Ratings
from battery_pilot.errors import AnalysisError

__all__ = ["aggregate_cycles", "aggregate_cycles_sql", "condition_from_aggregates"]

SIGNIFICANT_DIGITS = 6
"""Values are rounded to this many, so that two engines, which add in different orders, give the same passport."""

CHARGE_TOLERANCE_PERCENT = 5.0
"""A state of charge that leaves 0..100 % by no more than this is the drift of the integration and is clipped."""

LARGEST_DELAY_RATIO = 2.0
"""The resistance of a cell grows by some percent with every doubling of the time after the step."""

SECONDS_A_MONTH = 30.4375 * 86400

PULSE_METHOD = "10 s discharge pulse, extrapolated to the minimum voltage"

Finding = MeasuredValue | str
"""A value, or the reason why there is none."""


def condition_from_aggregates(row: Mapping[str, object], ratings: Ratings) -> Condition:
    """Turn the aggregates of one battery into its condition.

    :param row: one row of the aggregates by column name; null is ``None``, NaN or NaT. Times without a zone are UTC.
    :param ratings: rated values of the battery.
    :returns: every metric of :data:`~battery_pilot.electrochemistry.condition.METRICS`, either with a value or with the
        reason why there is none. Each value carries the time of its own newest measurement.
    :raises AnalysisError: the row has no battery or no time.
    """
    facts = defaultdict(lambda: None, ((name, _plain(value)) for name, value in row.items()))
    if facts.get("battery_id") is None or facts.get("as_of") is None:
        raise AnalysisError(
            f"aggregates of battery {facts.get('battery_id')}: battery_id and as_of must be known; "
            "give the measurements a time (measured_at)"
        )
    findings: dict[str, Finding] = {
        **_capacity(facts, ratings),
        **_throughput(facts, ratings),
        **_history(facts, ratings),
        **_efficiency(facts, ratings),
        **_self_discharge(facts, ratings),
        **_power(facts, ratings),
        **_dc_resistance(facts, ratings),
        **_impedance(facts),
        "state_of_charge_percent": _state_of_charge(facts),
    }
    return Condition(
        battery_id=str(facts["battery_id"]),
        as_of=facts["as_of"],
        values={name: found for name, found in findings.items() if isinstance(found, MeasuredValue)},
        absent={name: found for name, found in findings.items() if isinstance(found, str)},
    )


def _plain(value: Any) -> Any:
    """Return ``None`` for null, times in UTC, and everything else as it is."""
    if value is None or (isinstance(value, Sequence) and not isinstance(value, str)):
        return value
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if isinstance(value, datetime):
        moment = value.floor("us").to_pydatetime() if isinstance(value, pd.Timestamp) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return value


def _rounded(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def _measured(
    facts: Mapping[str, Any], kind: str, value: float, method: str, uncertainty: float | None = None
) -> MeasuredValue:
    """Attach to a value the time and the files of its kind of measurement (cycles, capacity, impedance…)."""
    files = facts["source_sha256" if kind == "cycles" else f"{kind}_source_sha256"]
    return MeasuredValue(
        value=_rounded(value),
        as_of=facts[f"{kind}_as_of"],
        method=method,
        source_sha256=tuple(files),
        uncertainty=None if uncertainty is None else _rounded(uncertainty),
    )


def _capacity(facts: Mapping[str, Any], ratings: Ratings) -> dict[str, Finding]:
    capacity, energy = facts["capacity_ah"], facts["capacity_wh"]
    certified = ratings.certified_energy_kwh
    if capacity is None:
        reason = "no full discharge to the minimum voltage so far"
        names = ("remaining_capacity_ah", "capacity_fade_percent", "remaining_energy_kwh")
        return {**dict.fromkeys(names, reason), "state_of_certified_energy_percent": reason}
    count = int(facts["capacity_measurements"])
    method = "full discharge" if count == 1 else f"mean of {count} full discharges"
    error, energy_error = facts["capacity_error_ah"], facts["capacity_error_wh"]

    def found(value: float, how: str, unit_error: float | None, factor: float) -> MeasuredValue:
        uncertainty = None if unit_error is None else unit_error * factor
        return _measured(facts, "capacity", value, how, uncertainty)

    per_rated = 100 / ratings.rated_capacity_ah
    result: dict[str, Finding] = {
        "remaining_capacity_ah": found(capacity, method, error, 1),
        "capacity_fade_percent": found(
            100 - capacity * per_rated, f"{method}, against rated capacity", error, per_rated
        ),
        "remaining_energy_kwh": found(energy / 1000, method, energy_error, 1e-3),
        "state_of_certified_energy_percent": "certified energy not stated",
    }
    if certified is not None:
        per_certified = 100 / (1000 * certified)
        result["state_of_certified_energy_percent"] = found(
            energy * per_certified, f"{method}, against certified energy", energy_error, per_certified
        )
    return result


def _throughput(facts: Mapping[str, Any], ratings: Ratings) -> dict[str, Finding]:
    names = ("full_equivalent_cycles", "energy_throughput_kwh", "capacity_throughput_ah")
    if facts["cycles_as_of"] is None:
        return dict.fromkeys(names, "no cycling data")
    charge = facts["charge_ah"] + facts["discharge_ah"]
    energy = (facts["charge_wh"] + facts["discharge_wh"]) / 1000
    gaps = f", without {facts['gap_second'] / 3600:.3g} h of gaps in the logs" if facts["gap_second"] else ""
    cycles = charge / (2 * ratings.rated_capacity_ah)
    method = "capacity throughput / (2 x rated capacity)"
    return {
        "full_equivalent_cycles": _measured(facts, "cycles", cycles, method + gaps),
        "energy_throughput_kwh": _measured(facts, "cycles", energy, "integration of power" + gaps),
        "capacity_throughput_ah": _measured(facts, "cycles", charge, "integration of current" + gaps),
    }


def _history(facts: Mapping[str, Any], ratings: Ratings) -> dict[str, Finding]:
    """Temperatures and events."""
    limits = {"above": ratings.idle_temperature_maximum_celsius, "below": ratings.idle_temperature_minimum_celsius}
    sources = {
        "mean_temperature_celsius": (
            "mean_temperature_celsius",
            "time-weighted mean",
            "no temperature in this interval",
        ),
        "deep_discharge_events": (
            "deep_discharge_events",
            "voltage below limit",
            "voltage was not compared with limits",
        ),
        "overcharge_events": ("overcharge_events", "voltage above limit", "voltage was not compared with limits"),
    }
    for side, limit in limits.items():
        missing = "idle temperature range not stated" if limit is None else "no temperature measured"
        for name in (f"time_{side}_idle", f"charging_time_{side}_idle"):
            sources[f"{name}_range_minute"] = (f"{name}_minute", "surface temperature against idle range", missing)
    return {
        metric: missing if facts[column] is None else _measured(facts, "cycles", facts[column], method)
        for metric, (column, method, missing) in sources.items()
    }


def _efficiency(facts: Mapping[str, Any], ratings: Ratings) -> dict[str, Finding]:
    name, fade = "round_trip_efficiency_percent", "round_trip_efficiency_fade_percent"
    efficiency, initial = facts["efficiency_percent"], ratings.initial_round_trip_efficiency_percent
    if efficiency is None:
        return dict.fromkeys((name, fade), "no full cycle whose charge restores the discharge")
    method = "discharged / charged energy of full cycles"
    result: dict[str, Finding] = {name: _measured(facts, "efficiency", efficiency, method)}
    if initial is None:
        return {**result, fade: "initial round-trip efficiency not stated"}
    percent = 100 * (1 - efficiency / initial)
    return {**result, fade: _measured(facts, "efficiency", percent, f"{method}, against stated initial efficiency")}


def _self_discharge(facts: Mapping[str, Any], ratings: Ratings) -> dict[str, Finding]:
    """Charge lost in the newest storage, against the capacity measured before it."""
    name, increase = "self_discharge_percent_per_month", "self_discharge_increase_percent"
    retained, before = facts["retained_ah"], facts["capacity_before_storage_ah"]
    initial = ratings.initial_self_discharge_percent_per_month
    if retained is None:
        return dict.fromkeys((name, increase), "no full discharge after a day or more of storage at full charge")
    if before is None:
        return dict.fromkeys((name, increase), "no capacity measured before the storage")
    months = facts["storage_second"] / SECONDS_A_MONTH
    rate = 100 * (1 - retained / before) / months
    if rate < 0:
        reason = f"storage gave {-rate:.3g} % per month more charge than before it: the capacities are not comparable"
        return dict.fromkeys((name, increase), reason)
    method = f"charge retained after {facts['storage_second'] / 86400:.3g} days / capacity before"
    result: dict[str, Finding] = {name: _measured(facts, "retained", rate, method)}
    if not initial:
        return {**result, increase: "initial self-discharge not stated, or stated as none"}
    percent = 100 * (rate - initial) / initial
    return {**result, increase: _measured(facts, "retained", percent, f"{method}, against stated initial rate")}


def _power(facts: Mapping[str, Any], ratings: Ratings) -> dict[str, Finding]:
    """Power capability near two states of charge, and the fade at the first that was measured and has a rating."""
    result: dict[str, Finding] = {}
    fades: list[MeasuredValue] = []
    for percent, original in (
        (80, ratings.original_power_watt_at_80_percent_soc),
        (20, ratings.original_power_watt_at_20_percent_soc),
    ):
        name, kind = f"power_at_{percent}_percent_charge_watt", f"power_at_{percent}_percent"
        power = facts[f"{kind}_watt"]
        if power is None:
            result[name] = (
                f"no 10 s discharge pulse near {percent} % state of charge between a full and an empty state"
            )
            continue
        result[name] = _measured(facts, kind, power, PULSE_METHOD)
        if original is not None:
            method = f"{PULSE_METHOD}, against original power at {percent} % state of charge"
            fades.append(_measured(facts, kind, 100 * (1 - power / original), method))
    measured = any(isinstance(found, MeasuredValue) for found in result.values())
    reason = "original power not stated" if measured else "power capability not measured"
    return {**result, "power_fade_percent": fades[0] if fades else reason}


def _dc_resistance(facts: Mapping[str, Any], ratings: Ratings) -> dict[str, Finding]:
    resistance, first = facts["dc_resistance_ohm"], facts["first_dc_resistance_ohm"]
    increase = "resistance_increase_percent"
    if resistance is None:
        return dict.fromkeys(("dc_resistance_ohm", increase), "no current step from rest")
    method = f"current step, {facts['dc_resistance_delay_second']:.3g} s"
    result: dict[str, Finding] = {"dc_resistance_ohm": _measured(facts, "dc_resistance", resistance, method)}
    if ratings.initial_cell_resistance_ohm is not None:
        initial, origin = ratings.initial_cell_resistance_ohm, "stated initial resistance"
    elif facts["first_dc_resistance_as_of"] == facts["dc_resistance_as_of"]:
        return {**result, increase: "initial resistance not stated and only one resistance measured"}
    elif not _alike(facts["first_dc_resistance_delay_second"], facts["dc_resistance_delay_second"]):
        earlier = facts["first_dc_resistance_delay_second"]
        return {**result, increase: f"the first resistance, {earlier:.3g} s after the step, is not comparable"}
    else:
        initial, origin = first, "first measured resistance"
    percent = 100 * (resistance - initial) / initial
    return {**result, increase: _measured(facts, "dc_resistance", percent, f"{method}, against {origin}")}


def _alike(first_second: float | None, second: float) -> bool:
    """Tell whether two delays give comparable resistances; an older run did not keep the first one."""
    return first_second is None or max(first_second, second) <= LARGEST_DELAY_RATIO * min(first_second, second)


def _impedance(facts: Mapping[str, Any]) -> dict[str, Finding]:
    """Resistances of the newest valid spectrum; the method says where it was measured, as far as that is known."""
    crossing, circuit = facts["ohmic_frequency_hertz"], facts["circuit"]
    ohmic = "high-frequency intercept"
    if crossing is not None:
        ohmic += f" at {crossing:.3g} Hz"
    elif circuit is not None:
        ohmic = f"series resistance of {circuit}"
    methods = {
        "ac_resistance_ohm": "real part at 1 kHz",
        "ohmic_resistance_ohm": ohmic,
        "ohmic_frequency_hertz": "crossing of the real axis",
        "trusted_minimum_hertz": "Kramers-Kronig check",
        "trusted_maximum_hertz": "Kramers-Kronig check",
        "circuit_aic": f"fit of {circuit or 'the fitted circuit'}",
        "polarisation_resistance_ohm": f"arcs of {circuit or 'the fitted circuit'}",
    }
    if facts["impedance_as_of"] is None:
        reason = "no impedance spectrum" if not facts["spectra"] else "no spectrum passed the Kramers-Kronig check"
        return dict.fromkeys(methods, reason)
    missing, where = "the newest valid spectrum does not give it", _circumstances(facts)
    result: dict[str, Finding] = {}
    for name, method in methods.items():
        value, error = facts[name], facts[f"{name.removesuffix('_ohm')}_error_ohm"]
        how = f"impedance spectrum, {method}{where}"
        result[name] = missing if value is None else _measured(facts, "impedance", value, how, error)
    return result


def _circumstances(facts: Mapping[str, Any]) -> str:
    """Return temperature, state of charge and valid range of a spectrum, as far as they are known."""
    celsius, charge = facts["impedance_temperature_celsius"], facts["impedance_state_of_charge_percent"]
    lowest, highest = facts["trusted_minimum_hertz"], facts["trusted_maximum_hertz"]
    known = (
        "" if celsius is None else f", at {celsius:.3g} °C",
        "" if charge is None else f", at {charge:.3g} % state of charge",
        "" if lowest is None else f", valid from {lowest:.3g} to {highest:.3g} Hz",
    )
    return "".join(known)


def _state_of_charge(facts: Mapping[str, Any]) -> Finding:
    """Charge since the battery was last empty, relative to the remaining capacity; else what the battery reported."""
    balance = _charge_balance(facts)
    reported = facts["state_of_charge_percent"]
    if isinstance(balance, str) and reported is not None and 0 <= reported <= 100:
        return _measured(facts, "measured_charge", reported, "reported by the battery or the instrument")
    return balance


def _charge_balance(facts: Mapping[str, Any]) -> Finding:
    net, capacity = facts["net_ah_since_empty"], facts["capacity_ah"]
    if capacity is None:
        return "remaining capacity not known"
    if net is None:
        return "the battery was not seen empty"
    percent = 100 * net / capacity
    if not -CHARGE_TOLERANCE_PERCENT <= percent <= 100 + CHARGE_TOLERANCE_PERCENT:
        return f"the charge balance since empty gives {percent:.0f} %: data are missing in between"
    return _measured(facts, "cycles", min(max(percent, 0.0), 100.0), "charge since empty / remaining capacity")
