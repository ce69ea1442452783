"""Find where a log contradicts itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.measurements.tables import FloatArray

_COUNTERS = {"charging_capacity_ah": ("charge", 1.0), "discharging_capacity_ah": ("discharge", -1.0)}
_TOLERATED = 0.01
# A counter that begins anew falls to about 0; one that falls by less counts back what flows in the other direction.
_LEAST_FALL = 0.5
# A direction in which next to nothing flows, such as the rest after a charge, is measured by noise.
_NEGLIGIBLE = 0.001
_YEAR_SECOND = 365.25 * 86400
_LONGEST_TEST_YEARS = 5


def contradictions(columns: Mapping[str, FloatArray]) -> list[str]:
    """Return a sentence for each way in which a log does not agree with itself.

    The integral of the current is compared with the cycler's own counters of charge, and the length of the test with
    that of a life.

    :param columns: canonical name to values.
    """
    time = columns["test_time_second"]
    sentences = [*_charge_contradictions(columns)]
    years = (time.max() - time.min()) / _YEAR_SECOND
    if years > _LONGEST_TEST_YEARS:
        apart = float(np.median(np.abs(np.diff(time))))
        sentences.append(
            f"The test lasts {years:.1f} years, with rows {apart:.6g} s apart: the unit of the test time is probably wrong."
        )
    return sentences


def _charge_contradictions(columns: Mapping[str, FloatArray]) -> list[str]:
    counted = {name: _growth(columns[name]) for name in _COUNTERS if name in columns}
    throughput = sum(counted.values())
    if not throughput:
        return []  # Nothing was counted.
    sentences = []
    for name, total in counted.items():
        direction, sign = _COUNTERS[name]
        flown = moved_charge_ah(columns, sign)
        if abs(flown - total) > max(_TOLERATED * total, _NEGLIGIBLE * throughput):
            difference = f", {100 * (flown / total - 1):+.3g} %" if total else ""
            sentences.append(
                f"The current adds up to {flown:.6g} Ah of {direction}, the counter of the cycler to {total:.6g} Ah"
                f"{difference}: rows are missing or far apart, or the time, the current or the counter is coarse or in "
                "another unit."
            )
    return sentences


def moved_charge_ah(columns: Mapping[str, FloatArray], sign: float) -> float:
    """Return the charge that the current has moved in one direction, in ampere hour.

    The current changes linearly between the rows of a step. At the begin of a step it jumps: the interval before its
    first row belongs to the step already, as cyclers write a row when a step ends and the next one when it has run.

    :param columns: canonical name to values.
    :param sign: 1 for charge, -1 for discharge.
    """
    time, current = columns["test_time_second"], columns["current_ampere"]
    flowing = np.maximum(sign * current, 0.0)
    # In place: logs may be much larger than their packed files.
    moved = flowing[1:] + flowing[:-1]
    moved /= 2
    step = columns.get("step_index")
    if step is not None:
        begins = step[1:] != step[:-1]
        moved[begins] = flowing[1:][begins]
    del flowing
    moved *= np.diff(time)
    # Not a dot product: BLAS divides it among threads, which wait for each other on a busy machine.
    return float(moved.sum()) / 3600


def _growth(counter: FloatArray) -> float:
    """Return by how much a counter grows over all its runs; where a run begins anew it loses most of its count."""
    is_known = np.isfinite(counter)
    known = counter if is_known.all() else counter[is_known]
    change = np.diff(known)
    begins_anew = change < -_LEAST_FALL * np.abs(known[:-1])
    change[begins_anew] = known[1:][begins_anew]
    return float(change.sum())


def without_zero_times(time: FloatArray) -> tuple[FloatArray, int]:
    """Return test times without the zeros that some exports write into the first row of a step, and their number.

    Such a row gets the time of the row after it; a test that begins anew does not go on from where it was.

    :param time: test time in second.
    """
    zeros = np.flatnonzero(time[1:-1] == 0) + 1
    faulty = zeros[(time[zeros - 1] > 0) & (time[zeros + 1] >= time[zeros - 1])]
    if len(faulty):
        time = time.copy()
        time[faulty] = time[faulty + 1]
    return time, len(faulty)
