"""Check-ups as records of the lake: one for each check-up, one for each of its pulses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.electrochemistry.pulses import READINGS_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from battery_pilot.electrochemistry.capacity_tests import CapacityTest
    from battery_pilot.electrochemistry.checkups import CheckUp
    from battery_pilot.electrochemistry.pulses import Pulse

DIRECTIONS = ("discharge", "charge")

TEST_NUMBERS = tuple(
    f"{direction}_{name}"
    for direction in DIRECTIONS
    for name in (
        "test_ah",
        "test_wh",
        "test_c_rate",
        "test_celsius",
        "power_at_80_percent_watt",
        "power_at_20_percent_watt",
    )
)
"""What the slowest full discharge and charge of a check-up gave, and the power that its pulses show."""

PEAK_LISTS = tuple(
    f"{direction}_{name}"
    for direction in DIRECTIONS
    for name in ("peaks_volt", "peaks_ah_per_volt", "peaks_prominence_ah_per_volt")
)
"""Voltage and height of the peaks of dQ/dV of the same tests, lists of one length."""

PULSE_NUMBERS = (
    "pulse_second",
    "rest_second",
    "rest_volt",
    "immediate_resistance_ohm",
    "immediate_second",
    "end_resistance_ohm",
    *(f"resistance_{second}_second_ohm" for second in READINGS_SECOND),
)
"""Numbers of a pulse, besides ``current_ampere``, ``state_of_charge_percent`` and ``temperature_celsius``."""

_ORIGIN = ("battery_id", "source_sha256", "check_up_index")

CHECK_UP_COLUMNS = (*_ORIGIN, "started_at", "measured_at", *TEST_NUMBERS, *PEAK_LISTS, "pulse_count")
"""Columns of the lake's table ``checkups``; ``measured_at`` is the end."""

PULSE_COLUMNS = (
    *_ORIGIN,
    "measured_at",
    "state_of_charge_percent",
    "current_ampere",
    "temperature_celsius",
    *PULSE_NUMBERS,
)
"""Columns of the lake's table ``pulses``; ``current_ampere`` is above 0 for a charging pulse."""


def check_up_records(found: Iterable[CheckUp]) -> Iterator[dict[str, Any]]:
    """Yield the records of the check-ups of one log."""
    for index, one in enumerate(found):
        own = {"check_up_index": index}
        tests: dict[str, Any] = {}
        for direction in DIRECTIONS:
            test = one.slowest(charging=direction == "charge")
            if test is not None:
                tests |= {f"{direction}_{name}": value for name, value in _test(test).items()}
        yield {
            **own,
            "kind": "checkup",
            "started_at": one.started_at,
            "measured_at": one.ended_at,
            "pulse_count": len(one.pulses),
            **tests,
            **one.power_watt,
        }
        yield from ({**own, "kind": "pulse", **_pulse(pulse)} for pulse in one.pulses)


def _test(test: CapacityTest) -> dict[str, Any]:
    return {
        "test_ah": test.capacity_ah,
        "test_wh": test.energy_wh,
        "test_c_rate": test.c_rate,
        "test_celsius": test.temperature_celsius,
        "peaks_volt": [peak.voltage_volt for peak in test.peaks],
        "peaks_ah_per_volt": [peak.height_ah_per_volt for peak in test.peaks],
        "peaks_prominence_ah_per_volt": [peak.prominence_ah_per_volt for peak in test.peaks],
    }


def _pulse(pulse: Pulse) -> dict[str, Any]:
    return {
        "measured_at": pulse.began_at,
        "state_of_charge_percent": pulse.state_of_charge_percent,
        "current_ampere": pulse.current_ampere,
        "temperature_celsius": pulse.temperature_celsius,
        "pulse_second": pulse.duration_second,
        "rest_second": pulse.rest_second,
        "rest_volt": pulse.rest_voltage_volt,
        "immediate_resistance_ohm": pulse.immediate_resistance_ohm,
        "immediate_second": pulse.immediate_delay_second,
        "end_resistance_ohm": pulse.end_resistance_ohm,
        **{f"resistance_{second}_second_ohm": ohm for second, ohm in pulse.resistance_ohm.items()},
    }
