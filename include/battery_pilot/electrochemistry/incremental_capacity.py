"""Incremental capacity, dQ/dV: how much charge a battery takes or gives per volt, and where that peaks.

Phase transitions of the electrodes show as peaks; their loss and shift tell which of them ages (Dubarry et al. 2012,
10.1016/j.jpowsour.2012.07.016). A slow constant current (C/5 or less) is needed for the peaks to mean anything.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks, savgol_filter

from battery_pilot.errors import AnalysisError

Array = NDArray[np.float64]

STEP_VOLT = 0.002
"""Distance of the voltages at which the curve is given."""

WINDOW_VOLT = 0.03
"""Width of the smoothing window; peaks that are closer together merge."""

PEAK_PROMINENCE_FRACTION = 0.05
"""A peak stands out from its surroundings by at least this share of the highest value."""

_POLYNOMIAL_ORDER = 3


class Peak(NamedTuple):
    """A peak of the curve.

    :param voltage_volt: its position.
    :param height_ah_per_volt: its height.
    :param prominence_ah_per_volt: how far it stands out from its surroundings.
    """

    voltage_volt: float
    height_ah_per_volt: float
    prominence_ah_per_volt: float


class IncrementalCapacity(NamedTuple):
    """The curve of one charge or discharge.

    :param voltage_volt: evenly spaced, rising.
    :param incremental_capacity_ah_per_volt: derivative of the charge by the voltage, positive for either direction.
    :param peaks: by voltage.
    """

    voltage_volt: Array
    incremental_capacity_ah_per_volt: Array
    peaks: tuple[Peak, ...]


def incremental_capacity(
    voltage_volt: Array,
    charge_ah: Array,
    *,
    window_volt: float = WINDOW_VOLT,
    step_volt: float = STEP_VOLT,
) -> IncrementalCapacity:
    """Differentiate the charge of one charge or discharge by its voltage.

    The charge is averaged over the rows of equal voltage, made a function of the voltage by interpolation, and
    differentiated by a Savitzky-Golay filter of third order, which keeps position and height of a peak that is wider than
    the window. Rows where the voltage runs back, as noise makes it do, are put in order and not left out.

    :param voltage_volt: voltage of each row, in order of time, of one direction of current only.
    :param charge_ah: charge up to each row, in order of time, counted from any start and in either sign.
    :param window_volt: width of the smoothing window.
    :param step_volt: distance of the voltages of the result.
    :raises AnalysisError: the voltage spans less than five windows or has too few rows for the window.
    """
    known = np.isfinite(voltage_volt) & np.isfinite(charge_ah)
    voltage, charge = np.asarray(voltage_volt)[known], np.asarray(charge_ah)[known]
    length = 2 * round(window_volt / step_volt / 2) + 1
    span = float(np.ptp(voltage)) if voltage.size else 0.0
    if length <= _POLYNOMIAL_ORDER + 1 or span < 5 * window_volt:
        raise AnalysisError(
            f"incremental capacity: {voltage.size} rows over {span:.3g} V with a window of {window_volt:g} V and a step "
            f"of {step_volt:g} V; expected a span of at least 5 windows and a window of at least 5 steps"
        )
    # Charge at a voltage: sorted voltages and sorted charges belong together, as both run one way but for noise.
    ordered, amount = np.sort(voltage), np.sort(np.abs(charge - charge[0]))
    if voltage[-1] < voltage[0]:
        amount = amount[-1] - amount[::-1]
    levels, first, counts = np.unique(ordered, return_index=True, return_counts=True)
    mean_charge = np.add.reduceat(amount, first) / counts
    widest = float(np.diff(levels).max())
    if widest > window_volt:
        raise AnalysisError(
            f"incremental capacity: rows are up to {widest:.3g} V apart, expected at most the window of {window_volt:g} V; "
            "log more often or widen the window"
        )
    grid = np.arange(levels[0], levels[-1], step_volt)
    smooth = savgol_filter(np.interp(grid, levels, mean_charge), length, _POLYNOMIAL_ORDER, deriv=1, delta=step_volt)
    return IncrementalCapacity(grid, smooth, _peaks(grid, smooth, length))


def _peaks(voltage: Array, curve: Array, length: int) -> tuple[Peak, ...]:
    """Find the peaks that are at least half a window away from the ends, where the filter extrapolates."""
    margin = length // 2
    positions, facts = find_peaks(curve, prominence=PEAK_PROMINENCE_FRACTION * float(curve.max()), distance=margin)
    inner = (positions >= margin) & (positions < curve.size - margin)
    return tuple(
        Peak(float(voltage[at]), float(curve[at]), float(prominence))
        for at, prominence in zip(positions[inner], facts["prominences"][inner], strict=True)
    )
