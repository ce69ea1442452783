"""Cycling logs as the files that cyclers write."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from battery_pilot.simulate.cycling import CyclingLog

_Columns = dict[str, tuple[str, Sequence[object] | NDArray[Any]]]
"""Header of a column to how its cells are written and their values."""


@dataclass(frozen=True)
class CyclerFormat:
    """One kind of cycler file.

    :param suffix: ending of the file name.
    :param encode: makes the file's bytes from a log, the battery's id and the time of the first record in UTC.
    """

    suffix: str
    encode: Callable[[CyclingLog, str, datetime], bytes]


def bdf_csv(log: CyclingLog, battery_id: str, start: datetime) -> bytes:
    """Return a Battery Data Format table; its counters run through the whole test."""
    columns: _Columns = {
        "test_time_second": ("%.3f", log.test_time_second),
        "unix_time_second": ("%.3f", start.timestamp() + log.test_time_second),
        "voltage_volt": ("%.5f", log.voltage_volt),
        "current_ampere": ("%.6f", log.current_ampere),
        "cycle_count": ("%d", log.cycle),
        "step_count": ("%d", log.step_count),
        "step_index": ("%d", log.step_index),
        "temperature_t1_celsius": ("%.2f", log.temperature_celsius),
        "ambient_temperature_celsius": ("%.2f", log.ambient_celsius),
        "charging_capacity_ah": ("%.6f", _total(log, log.step_capacity_ah, charging=True)),
        "discharging_capacity_ah": ("%.6f", _total(log, log.step_capacity_ah, charging=False)),
        "charging_energy_wh": ("%.6f", _total(log, log.step_energy_wh, charging=True)),
        "discharging_energy_wh": ("%.6f", _total(log, log.step_energy_wh, charging=False)),
    }
    head = (f"# battery_id={battery_id}", f"# started_at={start:%Y-%m-%dT%H:%M:%SZ}", ",".join(columns))
    return _lines(head, _rows(",", columns), "\n")


def arbin_csv(log: CyclingLog, battery_id: str, start: datetime) -> bytes:
    """Return an Arbin export; its counters start anew in each cycle, and only the file name tells the battery."""
    del battery_id
    columns: _Columns = {
        "Data_Point": ("%d", np.arange(1, len(log.cycle) + 1)),
        "Test_Time": ("%.4f", log.test_time_second),
        "DateTime": ("%.4f", start.timestamp() + log.test_time_second),
        "Step_Time": ("%.4f", log.step_time_second),
        "Step_Index": ("%d", log.step_index),
        "Cycle_Index": ("%d", log.cycle),
        "Current": ("%.7g", log.current_ampere),
        "Voltage": ("%.7g", log.voltage_volt),
        "Charge_Capacity": ("%.8g", _in_cycle(log, _total(log, log.step_capacity_ah, charging=True))),
        "Discharge_Capacity": ("%.8g", _in_cycle(log, _total(log, log.step_capacity_ah, charging=False))),
        "Charge_Energy": ("%.8g", _in_cycle(log, _total(log, log.step_energy_wh, charging=True))),
        "Discharge_Energy": ("%.8g", _in_cycle(log, _total(log, log.step_energy_wh, charging=False))),
        "dV/dt": ("%.6g", np.gradient(log.voltage_volt, log.test_time_second)),
        "Internal_Resistance": ("%.8g", log.resistance_ohm),
        "Temperature": ("%.5f", log.temperature_celsius),
    }
    return _lines((",".join(columns),), _rows(",", columns), "\r\n")


def maccor_text(log: CyclingLog, battery_id: str, start: datetime) -> bytes:
    """Return a Maccor text export: unsigned currents with a letter for the state, counters that start with each step."""
    seconds = start.timestamp() + log.test_time_second
    clock = [datetime.fromtimestamp(round(second), UTC) for second in seconds.tolist()]
    state = np.where(log.current_ampere > 0, "C", np.where(log.current_ampere < 0, "D", "R"))
    first = np.diff(log.step_count, prepend=0) > 0
    columns: _Columns = {
        "Rec#": ("%d", np.arange(1, len(log.cycle) + 1)),
        "Cyc#": ("%d", log.cycle),
        "Step": ("%d", log.step_index),
        "Test (Sec)": ("%.4f", log.test_time_second),
        "Step (Sec)": ("%.4f", log.step_time_second),
        "Amp-hr": ("%.10f", log.step_capacity_ah),
        "Watt-hr": ("%.10f", log.step_energy_wh),
        "Amps": ("%.10f", np.abs(log.current_ampere)),
        "Volts": ("%.8f", log.voltage_volt),
        "State": ("%s", state),
        "ES": ("%d", np.where(first, 0, 1)),
        "DPt Time": ("%s", [f"{moment:%m/%d/%Y %H:%M:%S}" for moment in clock]),
        "Temp 1": ("%.4f", log.temperature_celsius),
    }
    head = (
        f"Today's Date {clock[-1]:%m/%d/%Y}  Date of Test:\t{start:%m/%d/%Y}\t Filename:\tC:\\Data\\{battery_id}.001"
        f" Procedure: monthly-ageing.000\tComment/Barcode: {battery_id}",
        "\t".join(columns),
    )
    return _lines(head, _rows("\t", columns), "\r\n")


CYCLER_FORMATS = (
    CyclerFormat(".csv", bdf_csv),
    CyclerFormat(".csv", arbin_csv),
    CyclerFormat(".001", maccor_text),
)
"""The formats in the order in which batteries are dealt to the cyclers."""


def _total(log: CyclingLog, step_counter: NDArray[np.float64], *, charging: bool) -> NDArray[np.float64]:
    """Turn a counter that starts with each step into one that runs through the test, for one direction."""
    direction = log.current_ampere > 0 if charging else log.current_ampere < 0
    counted = np.where(direction, step_counter, 0.0)
    starts = np.flatnonzero(np.diff(log.step_count, prepend=0))
    ends = np.append(starts[1:], len(counted)) - 1
    done_before = np.concatenate(([0.0], np.cumsum(counted[ends])[:-1]))
    return np.asarray(counted + np.repeat(done_before, np.diff(np.append(starts, len(counted)))))


def _in_cycle(log: CyclingLog, total: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn a counter that runs through the test into one that starts with each cycle."""
    starts = np.flatnonzero(np.diff(log.cycle, prepend=-1))
    at_start = np.where(starts > 0, total[starts - 1], 0.0)
    return np.asarray(total - np.repeat(at_start, np.diff(np.append(starts, len(total)))))


def _rows(separator: str, columns: _Columns) -> Iterable[str]:
    formats, values = zip(*columns.values(), strict=True)
    row = separator.join(formats)
    plain = (column.tolist() if isinstance(column, np.ndarray) else column for column in values)
    return (row % cells for cells in zip(*plain, strict=True))


def _lines(head: Iterable[str], rows: Iterable[str], end: str) -> bytes:
    return "".join(line + end for line in (*head, *rows)).encode("utf-8")
