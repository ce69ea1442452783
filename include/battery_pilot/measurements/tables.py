"""Build the canonical table of a measurement from what a reader found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from battery_pilot.measurements.model import CYCLING_COLUMNS, Measurement, Metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from battery_pilot.measurements.source import Source

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]

COUNTERS = ("cycle_count", "step_count", "step_index")
"""Columns of whole numbers."""
_TIMESTAMP = pa.timestamp("us", tz="UTC")
# Half of the range of 64-bit microseconds, so that start plus test time cannot overflow.
_LONGEST_TEST_SECOND = 4e12


@dataclass(frozen=True)
class Points:
    """The points of a file's spectra, column by column in the file's order.

    :param frequency_hertz: one a point.
    :param real_ohm: real part of the impedance.
    :param imaginary_ohm: imaginary part with its sign.
    :param spectrum: any value that is equal within a spectrum and changes from one to the next; ``None`` for one spectrum.
    :param places: where in the file each point stands, as a line number, for messages; ``None`` names the point's number.
    """

    frequency_hertz: Sequence[float] | FloatArray
    real_ohm: Sequence[float] | FloatArray
    imaginary_ohm: Sequence[float] | FloatArray
    spectrum: Sequence[Any] | FloatArray | None = None
    places: Sequence[int] | None = None

    def place(self, index: int) -> str:
        """Return where a point stands in the file.

        :param index: number of the point from 0.
        """
        return f"point {index + 1}" if self.places is None else f"line {self.places[index]}"


def impedance_measurement(
    source: Source,
    format_name: str,
    points: Points,
    *,
    instrument: str | None = None,
    facts: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> Measurement:
    """Return the impedance measurement of a file.

    Points keep the file's order; spectra are numbered from 0 in order of appearance. Rows with frequency and
    impedance 0 are direct-current rows that some instruments write into the table; they are left out with a warning.

    :param source: the file.
    :param format_name: short name of the format.
    :param points: rows of the file.
    :param instrument: maker and model, if known.
    :param facts: values for the fields of :class:`Metadata`; ``started_at`` becomes ``measured_at`` of all points.
    :param warnings: sentences from the reader.
    :raises MeasurementError: when no point remains, a frequency is not positive or a value not finite.
    """
    notes = list(warnings)
    values = np.array((points.frequency_hertz, points.real_ohm, points.imaginary_ohm), dtype=np.float64)
    kept: BoolArray = np.any(values != 0, axis=0)
    numbers = _spectrum_numbers(points.spectrum, kept)
    if not kept.all():
        notes.append(f"{np.count_nonzero(~kept)} rows without alternating current (frequency 0) were left out.")
        values = values[:, kept]
    if not values.shape[1]:
        raise source.error("table", "no data rows with a frequency; the file is truncated or empty")
    _demand_spectrum(source, points, values, kept)
    columns = {
        "spectrum_index": pa.array(numbers, pa.int32()),
        "frequency_hertz": pa.array(values[0]),
        "real_impedance_ohm": pa.array(values[1]),
        "imaginary_impedance_ohm": pa.array(values[2]),
    }
    moments = _constant(_start(facts or {}), _TIMESTAMP, values.shape[1])
    return _measurement("impedance", source, format_name, columns, moments, instrument, facts or {}, notes)


def _spectrum_numbers(spectrum: Any, kept: BoolArray) -> np.ndarray[Any, Any]:
    """Return the number, from 0, of the spectrum of each point that is kept."""
    if spectrum is None:
        return np.zeros(np.count_nonzero(kept), dtype=np.int32)
    marks = np.asarray(spectrum)[kept]
    changes = np.zeros(len(marks), dtype=np.int32)
    changes[1:] = marks[1:] != marks[:-1]
    return np.cumsum(changes, dtype=np.int32)


def _demand_spectrum(source: Source, points: Points, values: FloatArray, kept: BoolArray) -> None:
    """Refuse frequencies that are not positive and values that are not finite."""
    broken = (values[0] <= 0) | ~np.isfinite(values).all(axis=0)
    if not broken.any():
        return
    index = int(np.flatnonzero(kept)[broken][0])
    frequency = float(points.frequency_hertz[index])
    problem = "a value is too large for a number of 64 bits, or no number"
    if frequency <= 0:
        problem = f"expected a frequency above 0 Hz, found {frequency:g}"
    raise source.error(points.place(index), problem)


def cycling_measurement(
    source: Source,
    format_name: str,
    columns: Mapping[str, FloatArray],
    *,
    kind: Literal["cycling", "field"] = "cycling",
    moments: pa.Array | None = None,
    instrument: str | None = None,
    facts: Mapping[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> Measurement:
    """Return the cycling or field measurement of a file.

    :param source: the file.
    :param format_name: short name of the format.
    :param columns: BDF machine name to values, missing as NaN; the required ones without NaN. Optional columns
        without any value are left out. Resistances of 0 are missing: cyclers write 0 where nothing was measured.
    :param kind: ``field`` for what was logged in use.
    :param moments: time of each row in UTC; by default ``started_at`` plus test time, where the start is known.
    :param instrument: maker and model, if known.
    :param facts: values for the fields of :class:`Metadata`.
    :param warnings: sentences from the reader.
    :raises MeasurementError: when there is no row.
    """
    known_facts, notes = facts or {}, list(warnings)
    time = columns["test_time_second"]
    if not len(time):
        raise source.error("table", "no data rows; the file is truncated or empty")
    backwards = np.flatnonzero(time[1:] < time[:-1])
    if len(backwards):
        notes.append(f"Test time runs backwards {len(backwards)} times, first after data row {backwards[0] + 1}.")
    arrays: dict[str, pa.Array] = {name: pa.array(columns[name], pa.float64()) for name in CYCLING_COLUMNS}
    for name, values in columns.items():
        if name not in CYCLING_COLUMNS:
            array = _optional(name, values, notes)
            if array is not None:
                arrays[name] = array
    moments = _row_times(time, known_facts) if moments is None else moments.cast(_TIMESTAMP)
    return _measurement(kind, source, format_name, arrays, moments, instrument, known_facts, notes)


def _optional(name: str, values: FloatArray, notes: list[str]) -> pa.Array | None:
    """Return an optional column with its gaps, or ``None`` when it holds nothing or cannot be what its name says."""
    known = np.isfinite(values)
    if name.endswith("resistance_ohm"):
        known &= values != 0
    if not known.any():
        return None
    gaps = None if known.all() else ~known
    if name not in COUNTERS:
        return pa.array(values, pa.float64(), mask=gaps)
    whole = values if gaps is None else np.where(known, values, 0.0)
    if (whole != np.rint(whole)).any() or (np.abs(whole) > 2**53).any():
        notes.append(f"{name} was left out: it holds values that are not whole numbers.")
        return None
    return pa.array(whole.astype(np.int64), pa.int64(), mask=gaps)


def _start(facts: Mapping[str, Any]) -> datetime | None:
    started_at = facts.get("started_at")
    return None if started_at is None else datetime.fromisoformat(started_at)


def _row_times(time: FloatArray, facts: Mapping[str, Any]) -> pa.Array:
    start = _start(facts)
    if start is None:
        return pa.nulls(len(time), _TIMESTAMP)
    known = np.abs(time) < _LONGEST_TEST_SECOND
    gaps = None if known.all() else ~known
    elapsed = np.rint((time if gaps is None else np.where(known, time, 0.0)) * 1e6).astype(np.int64)
    elapsed += pa.scalar(start, _TIMESTAMP).value
    return pa.array(elapsed, pa.int64(), mask=gaps).cast(_TIMESTAMP)


def _constant(value: Any, kind: pa.DataType, rows: int) -> pa.Array:
    return pa.nulls(rows, kind) if value is None else pa.repeat(pa.scalar(value, kind), rows)


def _repeated(text: str | None, rows: int) -> pa.Array:
    """Return a column of one text, held once: a digest in every row would be longer than the row itself."""
    if text is None:
        return pa.nulls(rows, pa.dictionary(pa.int32(), pa.string()))
    return pa.DictionaryArray.from_arrays(np.zeros(rows, dtype=np.int32), pa.array([text]))


def _measurement(
    kind: Any,
    source: Source,
    format_name: str,
    columns: dict[str, pa.Array],
    moments: pa.Array,
    instrument: str | None,
    facts: Mapping[str, Any],
    warnings: Sequence[str],
) -> Measurement:
    metadata = Metadata(**facts)
    rows = len(moments)
    identity = {
        "battery_id": _repeated(metadata.battery_id or metadata.cell_id, rows),
        "source_sha256": _repeated(source.sha256, rows),
        "measured_at": moments,
    }
    return Measurement(
        kind=kind,
        format=format_name,
        instrument=instrument,
        table=pa.table({**columns, **identity}),
        source_sha256=source.sha256,
        metadata=metadata,
        warnings=tuple(dict.fromkeys(warnings)),
    )
