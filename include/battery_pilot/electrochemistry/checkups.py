"""Check-ups (reference performance tests) in the log of a cycler: what is measured, as opposed to what is cycled.

A check-up is made of capacity tests (:mod:`.capacity_tests`) and pulses (:mod:`.pulses`). It begins with the first of them,
and ends before the one that comes after ordinary use: after more than four times the capacity went through the battery
outside the tests, or after three days. It ends as well where a test of the same direction and rate comes again. Pulses alone
are a check-up from two on.

Without ratings, what a state of charge needs stays absent.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.electrochemistry.capacity_tests import CapacityTest, Course, capacity_tests, course_of, moment
from battery_pilot.electrochemistry.definitions import limits_of
from battery_pilot.electrochemistry.discharges import states
from battery_pilot.electrochemistry.integrals import intervals
from battery_pilot.electrochemistry.pulses import Pulse, find_pulses, power_capability
from battery_pilot.electrochemistry.rows import Array, numbered
from battery_pilot.electrochemistry.steps import states_of_charge, topped
from battery_pilot.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    import pyarrow as pa

    from battery_pilot.electrochemistry.condition import Ratings

DRIFT_PERCENT = 2.0
"""A state of charge that leaves 0..100 % by no more than this is the drift of the integration and is clipped."""

ORDINARY_USE_CAPACITIES = 4.0
ORDINARY_USE_SECOND = 3 * 86400.0
SAME_RATE_FRACTION = 0.2


@dataclass(frozen=True)
class CheckUp:
    """One check-up.

    :param started_at: begin of its first test or pulse, UTC; ``None`` where the log has no time of day.
    :param ended_at: end of its last one.
    :param tests: by time.
    :param pulses: by time.
    :param power_watt: see :func:`~battery_pilot.electrochemistry.pulses.power_capability`.
    """

    started_at: datetime | None
    ended_at: datetime | None
    tests: tuple[CapacityTest, ...]
    pulses: tuple[Pulse, ...]
    power_watt: dict[str, float] = field(default_factory=dict)

    def slowest(self, *, charging: bool) -> CapacityTest | None:
        """Return the test of one direction that was least disturbed by overvoltage."""
        return min(
            (test for test in self.tests if test.charging is charging), key=lambda one: one.c_rate, default=None
        )


def check_ups(table: pa.Table, ratings: Ratings | None = None) -> list[CheckUp]:
    """Find the check-ups in the log of one battery.

    :param table: canonical rows of one file, columns :data:`~.definitions.REQUIRED_COLUMNS` and, where it was measured,
        ``temperature_t1_celsius``; in any order. Rows without voltage or current are left out.
    :param ratings: rated values of the battery.
    :returns: by time.
    :raises AnalysisError: a required column is missing, or there are rows of several files.
    """
    import pyarrow.compute as pc

    for name in ("voltage_volt", "current_ampere"):
        if name in table.column_names:
            table = table.filter(pc.is_finite(pc.cast(table[name], "float64")))
    # A test may run on where the cycler begins to count a new cycle.
    counters = [name for name in ("cycle_count", "step_count") if name in table.column_names]
    blocks = list(numbered(table.drop_columns(counters)).blocks())
    if not blocks:
        return []
    if len(blocks) > 1 or blocks[0].file[0] != blocks[0].file[-1]:
        raise AnalysisError("check-ups: rows of several files; give one log at a time")
    course = course_of(blocks[0], ratings)
    if course is None:
        return []
    tests = list(capacity_tests(course))
    pulses = list(find_pulses(course.log, course.direction, course.ratings.rated_capacity_ah))
    groups = _groups(course, tests, _charged(course, pulses, tests) if course.rated else pulses)
    return [_summary(course, group) for group in groups]


def _charged(course: Course, pulses: list[Pulse], tests: list[CapacityTest]) -> list[Pulse]:
    """Put the state of charge before each pulse: between the full and the empty state around it, else by capacity."""
    log, limits = course.log, limits_of(course.ratings)
    flows = intervals(log, limits)
    state = states(log, limits, flows)
    at = np.array([pulse.row for pulse in pulses], dtype=int)
    percents = states_of_charge(log, state, flows, at)
    discharges = [test for test in tests if not test.charging]
    if discharges:
        by_capacity = _by_capacity(course, at, discharges, topped(log, state), state.emptied)
        percents = np.where(np.isnan(percents), by_capacity, percents)
    return [
        replace(pulse, state_of_charge_percent=float(percent)) if np.isfinite(percent) else pulse
        for pulse, percent in zip(pulses, percents, strict=True)
    ]


def _by_capacity(course: Course, at: Array, discharges: list[CapacityTest], full: Array, empty: Array) -> Array:
    """Return the state of charge from the last full or empty state and the capacity of the nearest discharge, percent."""
    middles = np.array([(one.begin_second + one.end_second) / 2 for one in discharges])
    nearest = np.abs(course.log.time[at][:, None] - middles).argmin(axis=1)
    capacity = np.array([one.capacity_ah for one in discharges])[nearest]
    last_full, last_empty = course.log.newest(full, at), course.log.newest(empty, at)
    reference = np.maximum(last_full, last_empty)
    start = np.where(last_full > last_empty, 100.0, 0.0)
    unbroken = (reference >= 0) & (course.gaps[at] == course.gaps[reference])
    percent = start + 100 * (course.ah[at] - course.ah[reference]) / capacity
    likely = unbroken & (np.abs(percent - 50) <= 50 + DRIFT_PERCENT)
    found: Array = np.where(likely, np.clip(percent, 0, 100), np.nan)
    return found


def _groups(
    course: Course, tests: list[CapacityTest], pulses: list[Pulse]
) -> Iterator[tuple[list[CapacityTest], list[Pulse]]]:
    """Put tests and pulses that belong together into check-ups."""
    found: list[tuple[list[CapacityTest], list[Pulse]]] = []
    begin_ah, end_second = 0.0, 0.0
    events: list[CapacityTest | Pulse] = sorted([*tests, *pulses], key=lambda event: event.begin_second)
    used_ah = _used_ah(course, tests, np.array([one.begin_second for one in events])).tolist()
    for one, used in zip(events, used_ah, strict=True):
        if (
            not found
            or used - begin_ah > ORDINARY_USE_CAPACITIES * course.ratings.rated_capacity_ah
            or one.begin_second - end_second > ORDINARY_USE_SECOND
            or (isinstance(one, CapacityTest) and any(_is_repeated(one, other) for other in found[-1][0]))
        ):
            found.append(([], []))
            begin_ah = used
        if isinstance(one, CapacityTest):
            found[-1][0].append(one)
        else:
            found[-1][1].append(one)
        end_second = one.end_second
    # One pulse alone is a start of the load.
    return (group for group in found if group[0] or len(group[1]) > 1)


def _used_ah(course: Course, tests: list[CapacityTest], second: Array) -> Array:
    """Return the throughput up to some times without that of the tests before them."""
    rows = np.minimum(np.searchsorted(course.log.time, second), course.log.time.size - 1)
    ends = np.array([test.end_second for test in tests])
    tested = np.cumsum([0.0, *(test.capacity_ah for test in tests)])
    used: Array = course.passed_ah[rows] - tested[np.searchsorted(ends, second, side="right")]
    return used


def _is_repeated(one: CapacityTest, other: CapacityTest) -> bool:
    alike = abs(one.c_rate - other.c_rate) <= SAME_RATE_FRACTION * other.c_rate
    return one.charging is other.charging and alike


def _summary(course: Course, group: tuple[list[CapacityTest], list[Pulse]]) -> CheckUp:
    tests, pulses = group
    events: list[CapacityTest | Pulse] = [*tests, *pulses]
    begin, end = min(one.begin_second for one in events), max(one.end_second for one in events)
    return CheckUp(
        started_at=moment(course.log, _row(course, begin)),
        ended_at=moment(course.log, _row(course, end)),
        tests=tuple(tests),
        pulses=tuple(pulses),
        power_watt=power_capability(pulses, course.ratings) if course.rated else {},
    )


def _row(course: Course, second: float) -> int:
    """Return the position of the row of a test time."""
    return min(int(np.searchsorted(course.log.time, second)), course.log.time.size - 1)
