"""CAN logs with a DBC: pack voltage, current, temperature and state of charge from the frames of a vehicle's bus.

The DBC is the one that the mapping file names (:mod:`~battery_pilot.measurements.field.mapping`), else the only ``*.dbc``
beside the log. The mapping names the signals too; without it they are found by names and units in the DBC, each with a
warning, and several that fit are refused with their names. A row is a frame with the current; the other quantities
have in it the last value that was sent before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.measurements.field.asc import is_asc, read_asc
from battery_pilot.measurements.field.beside import MAPPING_FILE, mapping_of, signals_of
from battery_pilot.measurements.field.blf import is_blf, read_blf
from battery_pilot.measurements.field.busmaster import is_busmaster, read_busmaster
from battery_pilot.measurements.field.can_csv import is_can_csv, read_can_csv
from battery_pilot.measurements.field.candump import is_candump, read_candump
from battery_pilot.measurements.field.crtd import is_crtd, read_crtd
from battery_pilot.measurements.field.dbc import belongs, bytes_needed, is_available, present, values
from battery_pilot.measurements.field.direction import charge_sign
from battery_pilot.measurements.field.signals import choose_signals
from battery_pilot.measurements.field.trc import is_trc, read_trc
from battery_pilot.measurements.tables import cycling_measurement

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from battery_pilot.measurements.field.dbc import Signal
    from battery_pilot.measurements.field.frames import Frames
    from battery_pilot.measurements.field.mapping import ColumnMapping
    from battery_pilot.measurements.field.signals import Chosen
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

_OLD_SECOND = 10.0


class CanLogReader:
    """Reads one form of CAN log.

    :param name: short name of the format.
    :param suffixes: usual endings of the file name.
    :param expects: words for messages.
    :param certainty: what :meth:`sniff` returns for a file of this form.
    :param fits: tells from its beginning whether a file has this form.
    :param read_frames: returns the data frames of a file and adds to a list of warnings.
    """

    kinds: tuple[Kind, ...] = ("field",)

    def __init__(
        self,
        name: str,
        suffixes: tuple[str, ...],
        expects: str,
        certainty: int,
        fits: Callable[[Source], bool],
        read_frames: Callable[[Source, list[str]], Frames],
    ) -> None:
        self.name = name
        self.suffixes = suffixes
        self.expects = expects
        self._certainty = certainty
        self._fits = fits
        self._read_frames = read_frames

    def sniff(self, source: Source) -> int:
        """Return the certainty of this form, or 0."""
        return self._certainty if self._fits(source) else 0

    def read(self, source: Source) -> Measurement:
        """Read the signals of the battery.

        :raises MeasurementError: for a damaged log, a missing DBC, no or several signals that fit, and a current
            whose direction cannot be told.
        """
        warnings: list[str] = []
        mapping = mapping_of(source)
        signals = signals_of(source, mapping)
        frames = self._read_frames(source, warnings)
        if mapping is not None and mapping.channel is not None:
            frames = _of_channel(source, frames, mapping.channel)
        sent = np.unique(frames.identifiers)
        there = {name: signal for name, signal in signals.items() if belongs(signal, sent).any()}
        chosen = choose_signals(source, mapping, there, warnings)
        series = {column: _series(source, column, one, frames, signals, warnings) for column, one in chosen.items()}
        columns = _rows(source, series, warnings)
        sign = _sign(source, mapping, columns, warnings)
        columns["current_ampere"] = columns["current_ampere"] * sign
        facts = dict(frames.facts)
        if mapping is not None and mapping.battery_id is not None:
            facts["battery_id"] = mapping.battery_id
        return cycling_measurement(source, self.name, columns, kind="field", facts=facts, warnings=warnings)


CAN_READERS = (
    CanLogReader("candump", (".log",), "candump log", 90, is_candump, read_candump),
    CanLogReader("vector-asc", (".asc",), "Vector ASC log", 90, is_asc, read_asc),
    CanLogReader("vector-blf", (".blf",), "Vector BLF log", 99, is_blf, read_blf),
    CanLogReader("peak-trc", (".trc",), "PEAK CAN trace", 95, is_trc, read_trc),
    CanLogReader("busmaster", (".log",), "BUSMASTER log", 95, is_busmaster, read_busmaster),
    CanLogReader("crtd", (".crtd", ".log"), "CRTD log", 90, is_crtd, read_crtd),
    CanLogReader("can-csv", (".csv",), "CAN frames as CSV", 75, is_can_csv, read_can_csv),
)


def _of_channel(source: Source, frames: Frames, channel: str) -> Frames:
    known = {str(one): one for one in np.unique(frames.channels).tolist()}
    if channel not in known:
        problem = f"no frame of channel {channel!r}, which {MAPPING_FILE} names; found {', '.join(known)}"
        raise source.error("log", problem)
    return frames.where(frames.channels == known[channel])


def _series(
    source: Source,
    column: str,
    chosen: Chosen,
    frames: Frames,
    signals: Mapping[str, Signal],
    warnings: list[str],
) -> tuple[FloatArray, FloatArray]:
    """Return times, in order, and values of a signal in the unit of its column."""
    signal = chosen.signal
    own = frames.where(belongs(signal, frames.identifiers))
    channels = np.unique(own.channels).tolist()
    if len(channels) > 1:
        problem = (
            f"message {signal.message} came over the channels {', '.join(map(str, channels))}; say which one counts: "
            f'channel = "{channels[0]}" in {MAPPING_FILE}'
        )
        raise source.error("log", problem)
    switches = [other for name, other in signals.items() if other.message == signal.message and other.is_multiplexer]
    whole = own.where(own.lengths >= max(map(bytes_needed, (signal, *switches))))
    if len(whole.lengths) < len(own.lengths):
        missing = len(own.lengths) - len(whole.lengths)
        warnings.append(f"{missing} frames of message {signal.message} are too short for the DBC and were left out.")
    holding = whole.where(present(signal, whole.data, signals))
    numbers = values(signal, holding.data) * chosen.factor + chosen.offset
    known = np.isfinite(numbers) & is_available(signal, holding.data)
    if not known.all():
        warnings.append(
            f"{np.count_nonzero(~known)} values of {column} are marked as not available and were left out."
        )
    order = np.argsort(holding.time_second[known], kind="stable")
    return holding.time_second[known][order], numbers[known][order]


def _rows(
    source: Source, series: Mapping[str, tuple[FloatArray, FloatArray]], warnings: list[str]
) -> dict[str, FloatArray]:
    """Return the columns of the table: at each time of the current the last known value of everything else."""
    time, current = series["current_ampere"]
    columns = {"test_time_second": time, "current_ampere": current}
    for name, (times, numbers) in series.items():
        if name not in columns:
            last = np.searchsorted(times, time, side="right") - 1
            columns[name] = np.where(last >= 0, np.append(numbers, np.nan)[last], np.nan)
            _tell_age(name, time, np.append(times, np.nan)[last], last >= 0, warnings)
    known = np.isfinite(columns["voltage_volt"])
    if not known.any():
        raise source.error("log", "no frame with the current after one with the voltage")
    if not known.all():
        warnings.append(f"{np.count_nonzero(~known)} rows before the first voltage were left out.")
    return {name: column[known] for name, column in columns.items()}


def _tell_age(
    name: str,
    time: FloatArray,
    sent: FloatArray,
    known: np.ndarray[tuple[int], np.dtype[np.bool_]],
    warnings: list[str],
) -> None:
    old = known & (time - sent > _OLD_SECOND)
    if old.any():
        warnings.append(
            f"{np.count_nonzero(old)} rows have a {name} that was sent more than {_OLD_SECOND:g} s before."
        )


def _sign(
    source: Source, mapping: ColumnMapping | None, columns: Mapping[str, FloatArray], warnings: list[str]
) -> float:
    """Return the factor that makes charging current positive."""
    if mapping is not None and mapping.current.positive is not None:
        return 1.0 if mapping.current.positive == "charge" else -1.0
    sign, reason = charge_sign(
        source,
        columns["test_time_second"],
        columns["current_ampere"],
        columns["voltage_volt"],
        columns.get("state_of_charge_percent"),
    )
    warnings.append(reason)
    return sign
