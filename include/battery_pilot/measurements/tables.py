"""Build the canonical table of a measurement from what a reader found."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from battery_pilot.errors import ReadError
from battery_pilot.measurements.model import CYCLING_COLUMNS, Measurement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FloatArray = np.ndarray[Any, np.dtype[np.float64]]

COUNTERS = ("cycle_count", "step_count", "step_index")
"""Columns of whole numbers."""
_TIMESTAMP = pa.timestamp("us", tz="UTC")
# Half of the range of 64-bit microseconds, so that start plus test time cannot overflow.
_LONGEST_TEST_SECOND = 4e12


class Point(NamedTuple):
    """One frequency of a spectrum.

    :param line: line in the file, for messages.
    :param spectrum: any value that is equal within a spectrum.
    :param frequency: in hertz.
    :param real: in ohm.
    :param imaginary: in ohm, with its sign.
    """

    line: int
    spectrum: float
    frequency: float
    real: float
    imaginary: float


def impedance_measurement(
    data: bytes,
    file_name: str,
    format_name: str,
    points: Sequence[Point],
    *,
    instrument: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> Measurement:
    """Return the impedance measurement of a file.

    Points keep the file's order; spectra are numbered from 0 in order of appearance. Rows with frequency and
    impedance 0 are direct-current rows that some instruments write into the table; they are left out with a warning.

    :param data: content of the file.
    :param file_name: name for error messages.
    :param format_name: short name of the format.
    :param points: rows of the file.
    :param instrument: maker and model, if known.
    :param metadata: further facts; ``started_at`` becomes ``measured_at`` of all points.
    :param warnings: sentences from the reader.
    :raises ReadError: when no point remains or a frequency is not positive.
    """
    facts, notes = dict(metadata or {}), list(warnings)
    kept = [point for point in points if point.frequency != 0 or point.real != 0 or point.imaginary != 0]
    if len(kept) < len(points):
        notes.append(f"{len(points) - len(kept)} rows without alternating current (frequency 0) were left out.")
    if not kept:
        raise ReadError(file_name, "table", "no data rows with a frequency; the file is truncated or empty")
    for point in kept:
        if point.frequency <= 0:
            problem = f"expected a frequency above 0 Hz, found {point.frequency:g}"
            raise ReadError(file_name, f"line {point.line}", problem)
        if not np.isfinite([point.frequency, point.real, point.imaginary]).all():
            raise ReadError(file_name, f"line {point.line}", "a value is too large for a number of 64 bits")
    changes = [0, *(int(now.spectrum != before.spectrum) for before, now in zip(kept, kept[1:], strict=False))]
    columns = {
        "spectrum_index": pa.array(np.cumsum(changes), pa.int32()),
        "frequency_hertz": pa.array([point.frequency for point in kept], pa.float64()),
        "real_impedance_ohm": pa.array([point.real for point in kept], pa.float64()),
        "imaginary_impedance_ohm": pa.array([point.imaginary for point in kept], pa.float64()),
        "measured_at": pa.repeat(pa.scalar(_start(facts), _TIMESTAMP), len(kept)),
    }
    return _measurement("impedance", data, format_name, columns, instrument, facts, notes)


def cycling_measurement(
    data: bytes,
    file_name: str,
    format_name: str,
    columns: Mapping[str, FloatArray],
    *,
    moments: pa.Array | None = None,
    instrument: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> Measurement:
    """Return the cycling measurement of a file.

    :param data: content of the file.
    :param file_name: name for error messages.
    :param format_name: short name of the format.
    :param columns: BDF machine name to values, missing as NaN; the required ones without NaN. Optional columns
        without any value are left out. Resistances of 0 are missing: cyclers write 0 where nothing was measured.
    :param moments: time of each row in UTC; by default ``started_at`` plus test time, where the start is known.
    :param instrument: maker and model, if known.
    :param metadata: further facts.
    :param warnings: sentences from the reader.
    :raises ReadError: when there is no row.
    """
    facts, notes = dict(metadata or {}), list(warnings)
    time = columns["test_time_second"]
    if not len(time):
        raise ReadError(file_name, "table", "no data rows; the file is truncated or empty")
    backwards = np.flatnonzero(np.diff(time) < 0)
    if len(backwards):
        notes.append(f"Test time runs backwards {len(backwards)} times, first after data row {backwards[0] + 1}.")
    arrays: dict[str, pa.Array] = {name: pa.array(columns[name], pa.float64()) for name in CYCLING_COLUMNS}
    for name, values in columns.items():
        if name in CYCLING_COLUMNS:
            continue
        known = np.isfinite(values)
        if name.endswith("resistance_ohm"):
            known &= values != 0
        if known.any():
            arrays[name] = _optional(name, values, known, notes)
    arrays = {name: array for name, array in arrays.items() if array is not None}
    arrays["measured_at"] = _row_times(time, facts) if moments is None else moments.cast(_TIMESTAMP)
    return _measurement("cycling", data, format_name, arrays, instrument, facts, notes)


def _optional(name: str, values: FloatArray, known: np.ndarray[Any, Any], notes: list[str]) -> pa.Array | None:
    if name not in COUNTERS:
        return pa.array(values, pa.float64(), mask=~known)
    whole = np.where(known, values, 0.0)
    if (whole != np.round(whole)).any() or (np.abs(whole) > 2**53).any():
        notes.append(f"{name} was left out: it holds values that are not whole numbers.")
        return None
    return pa.array(whole.astype(np.int64), pa.int64(), mask=~known)


def _start(facts: Mapping[str, Any]) -> datetime | None:
    started_at = facts.get("started_at")
    return None if started_at is None else datetime.fromisoformat(started_at)


def _row_times(time: FloatArray, facts: Mapping[str, Any]) -> pa.Array:
    start = _start(facts)
    if start is None:
        return pa.repeat(pa.scalar(None, _TIMESTAMP), len(time))
    known = np.abs(time) < _LONGEST_TEST_SECOND
    elapsed = np.round(np.where(known, time, 0.0) * 1e6).astype(np.int64)
    return pa.array(pa.scalar(start, _TIMESTAMP).value + elapsed, pa.int64(), mask=~known).cast(_TIMESTAMP)


def _measurement(
    kind: Any,
    data: bytes,
    format_name: str,
    columns: dict[str, pa.Array],
    instrument: str | None,
    metadata: Mapping[str, Any],
    warnings: Sequence[str],
) -> Measurement:
    digest = hashlib.sha256(data).hexdigest()
    moments = columns.pop("measured_at")
    rows = len(moments)
    battery = metadata.get("battery_id", metadata.get("cell_id"))
    identity = {
        "battery_id": pa.repeat(pa.scalar(battery, pa.string()), rows),
        "source_sha256": pa.repeat(pa.scalar(digest, pa.string()), rows),
        "measured_at": moments,
    }
    return Measurement(
        kind=kind,
        format=format_name,
        instrument=instrument,
        table=pa.table({**columns, **identity}),
        source_sha256=digest,
        metadata=metadata,
        warnings=tuple(dict.fromkeys(warnings)),
    )
