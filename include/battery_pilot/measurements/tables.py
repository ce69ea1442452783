"""Build the canonical table of a measurement from what a reader found."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa

from battery_pilot.measurements.consistency import contradictions, without_zero_times
from battery_pilot.measurements.model import (
    CYCLING_COLUMNS,
    IDENTITY_COLUMNS,
    IMPEDANCE_COLUMNS,
    Measurement,
    Metadata,
    Spectrum,
)
from battery_pilot.measurements.text import shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.source import Source

FloatArray = np.ndarray[Any, np.dtype[np.float64]]
BoolArray = np.ndarray[Any, np.dtype[np.bool_]]
ComplexArray = np.ndarray[Any, np.dtype[np.complex128]]
Facts = Mapping[str, Any] | Callable[[list[str]], Mapping[str, Any]]
"""Instrument and fields of :class:`Metadata`, or what finds them when they are asked for and adds its warnings."""

COUNTERS = ("cycle_count", "step_count", "step_index")
"""Columns of whole numbers."""
_TIMESTAMP = pa.timestamp("us", tz="UTC")
_PLACE_OF_TEXT = pa.int8()
_REPEATED_TEXT = pa.dictionary(_PLACE_OF_TEXT, pa.string())
_NUMBER = pa.float64()
_TEXT = pa.string()
_WHOLE_NUMBER = pa.int32()
_FIRST_LETTER = bytes(4)
_MOST_BYTES_KEPT = 1 << 16
# The methods of arrays spend half of the time for a short array on finding these.
_least, _all = np.minimum.reduce, np.logical_and.reduce
_SHORT_ROWS = 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Half of the range of 64-bit microseconds, so that start plus test time cannot overflow.
_LONGEST_TEST_SECOND = 4e12


class Points(NamedTuple):
    """The points of a file's spectra, column by column in the file's order.

    :param frequency_hertz: one a point.
    :param real_ohm: real part of the impedance.
    :param imaginary_ohm: imaginary part with its sign.
    :param spectrum: any value that is equal within a spectrum and changes from one to the next; ``None`` for one spectrum.
    :param places: where in the file each point stands, as a line number, for messages; ``None`` names the point's number.
    :param sheets: the sheet of each point in a workbook; its places are rows.
    """

    frequency_hertz: Sequence[float] | FloatArray
    real_ohm: Sequence[float] | FloatArray
    imaginary_ohm: Sequence[float] | FloatArray
    spectrum: Sequence[Any] | np.ndarray[Any, Any] | None = None
    places: Sequence[int] | None = None
    sheets: Sequence[str] | None = None

    def place(self, index: int) -> str:
        """Return where a point stands in the file.

        :param index: number of the point from 0.
        """
        if self.sheets is not None:
            row = "" if self.places is None else f", row {self.places[index]}"
            return f"sheet {shown(self.sheets[index])}{row}"
        return f"point {index + 1}" if self.places is None else f"line {self.places[index]}"


def are_finite(values: FloatArray | ComplexArray) -> bool:
    """Tell whether all numbers are finite."""
    return bool(_all(np.isfinite(values)))


def impedance_measurement(
    source: Source,
    format_name: str,
    points: Points,
    *,
    moments: pa.Array | None = None,
    instrument: str | None = None,
    facts: Facts | None = None,
    warnings: Sequence[str] = (),
) -> Measurement:
    """Return the impedance measurement of a file.

    Points keep the file's order; spectra are numbered from 0 in order of appearance. Rows with frequency and
    impedance 0 are direct-current rows that some instruments write into the table; they are left out with a warning.

    :param source: the file.
    :param format_name: short name of the format.
    :param points: rows of the file.
    :param moments: time of each row in UTC; by default ``started_at``, where the start is known.
    :param instrument: maker and model, if known.
    :param facts: of the file's header; ``started_at`` becomes ``measured_at`` of all points.
    :param warnings: sentences from the reader.
    :raises MeasurementError: when no point remains, a frequency is not positive or a value not finite.
    """
    notes = list(warnings)
    frequency = np.array(points.frequency_hertz, np.float64)
    impedance = np.empty(len(frequency), dtype=np.complex128)
    impedance.real, impedance.imag = points.real_ohm, points.imaginary_ohm
    spectrum = points.spectrum
    if not (len(frequency) and _least(frequency) > 0 and are_finite(frequency) and are_finite(impedance)):
        kept: BoolArray = (frequency != 0) | (impedance != 0)
        if not kept.all():
            notes.append(f"{np.count_nonzero(~kept)} rows without alternating current (frequency 0) were left out.")
            frequency, impedance = frequency[kept], impedance[kept]
            spectrum = None if spectrum is None else np.asarray(spectrum)[kept]
            moments = None if moments is None else moments.filter(pa.array(kept))
        if not len(frequency):
            raise source.error("table", "no data rows with a frequency; the file is truncated or empty")
        _demand_spectrum(source, points, frequency, impedance, kept)
    return Measurement(
        kind="impedance",
        format=format_name,
        digest=_digest(source),
        describe=partial(_described, instrument, facts or {}, notes),
        arrange=_impedance_table if moments is None else partial(_impedance_table, moments=moments),
        spectra=_spectra(frequency, impedance, spectrum),
    )


def _digest(source: Source) -> Callable[[], str]:
    """Return what tells the digest of a file: it is only left for later where that keeps few bytes in memory."""
    stored = source.data if source.packed is None else source.packed
    if len(stored) > _MOST_BYTES_KEPT:
        return partial(str, source.sha256)
    return lambda: sha256(stored).hexdigest()


def _described(
    instrument: str | None, facts: Facts, notes: list[str]
) -> tuple[str | None, Metadata, tuple[str, ...]]:
    warnings = [*notes]
    known = dict(facts(warnings) if callable(facts) else facts)
    instrument = known.pop("instrument", instrument)
    return instrument, Metadata(**known), tuple(dict.fromkeys(warnings))


def _spectra(frequency: FloatArray, impedance: ComplexArray, spectrum: Any) -> tuple[Spectrum, ...]:
    """Split points where the value changes that is equal within a spectrum."""
    if spectrum is None:
        return (Spectrum(frequency, impedance),)
    marks = np.asarray(spectrum)
    begins = [0, *(np.flatnonzero(marks[1:] != marks[:-1]) + 1).tolist(), len(frequency)]
    return tuple(Spectrum(frequency[a:b], impedance[a:b]) for a, b in pairwise(begins))


def _impedance_table(measurement: Measurement, moments: pa.Array | None = None) -> pa.Table:
    """Return the canonical table of spectra."""
    spectra = measurement.spectra
    if len(spectra) == 1:
        frequency, impedance = spectra[0]
        numbers = _zeros(len(frequency))
    else:
        frequency, impedance = (np.concatenate(parts) for parts in zip(*spectra, strict=True))
        sizes = [len(one.frequency_hertz) for one in spectra]
        numbers = _column(np.repeat(np.arange(len(spectra), dtype=np.int32), sizes), _WHOLE_NUMBER)
    quantities = map(_numbers, (frequency, impedance.real, impedance.imag))
    columns = dict(zip(IMPEDANCE_COLUMNS, [numbers, *quantities], strict=True))
    if moments is None:
        moments = _start_of_all(measurement.metadata.started_at, len(frequency))
    return _with_identity(columns, measurement.metadata, measurement.source_sha256, moments.cast(_TIMESTAMP))


def _column(values: np.ndarray[Any, Any], kind: pa.DataType) -> pa.Array:
    """Return numbers as a column that shares their memory; in small tables that takes a third of pyarrow.array's time.

    :param values: contiguous numbers, as wide as those of the kind.
    :param kind: type of the column.
    """
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _numbers(values: FloatArray) -> pa.Array:
    """Return a column of numbers without gaps."""
    return _column(np.ascontiguousarray(values, dtype=np.float64), _NUMBER)


def _shared(make: Callable[[int], pa.Array]) -> Callable[[int], pa.Array]:
    """Let short tables share a column: many have the same number of rows, and arrays never change.

    :param make: returns the column for a number of rows.
    """
    of_short = lru_cache(maxsize=64)(make)
    return lambda rows: of_short(rows) if rows <= _SHORT_ROWS else make(rows)


@_shared
def _zeros(rows: int) -> pa.Array:
    return _column(np.zeros(rows, dtype=np.int32), _WHOLE_NUMBER)


@_shared
def _first_text(rows: int) -> pa.Array:
    return _column(np.zeros(rows, dtype=np.int8), _PLACE_OF_TEXT)


@_shared
def _no_text(rows: int) -> pa.Array:
    return pa.nulls(rows, _REPEATED_TEXT)


def _demand_spectrum(
    source: Source, points: Points, frequency: FloatArray, impedance: ComplexArray, kept: BoolArray
) -> None:
    """Refuse frequencies that are not positive and values that are not finite."""
    broken = ~((frequency > 0) & np.isfinite(frequency) & np.isfinite(impedance))
    if not broken.any():
        return
    index = int(np.flatnonzero(kept)[broken][0])
    problem = "a value is too large for a number of 64 bits, or no number"
    if points.frequency_hertz[index] <= 0:
        problem = f"expected a frequency above 0 Hz, found {float(points.frequency_hertz[index]):g}"
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
    notes = list(warnings)
    time = columns["test_time_second"]
    if not len(time):
        raise source.error("table", "no data rows; the file is truncated or empty")
    time, zeros = without_zero_times(time)
    if zeros:
        notes.append(f"{zeros} rows with test time 0 between later rows got the time of the row after them.")
        columns = {**columns, "test_time_second": time}
    backwards = np.flatnonzero(time[1:] < time[:-1])
    if len(backwards):
        notes.append(f"Test time runs backwards {len(backwards)} times, first after data row {backwards[0] + 1}.")
    notes += contradictions(columns)
    arrays: dict[str, pa.Array] = {name: _numbers(columns[name]) for name in CYCLING_COLUMNS}
    for name, values in columns.items():
        if name not in CYCLING_COLUMNS:
            array = _optional(name, values, notes)
            if array is not None:
                arrays[name] = array
    instrument, metadata, sentences = _described(instrument, facts or {}, notes)
    moments = _row_times(time, metadata.started_at) if moments is None else moments.cast(_TIMESTAMP)
    table = _with_identity(arrays, metadata, source.sha256, moments)
    return Measurement(
        kind=kind,
        format=format_name,
        digest=partial(str, source.sha256),
        describe=lambda: (instrument, metadata, sentences),
        arrange=lambda _: table,
    )


def _optional(name: str, values: FloatArray, notes: list[str]) -> pa.Array | None:
    """Return an optional column with its gaps, or ``None`` when it holds nothing or cannot be what its name says."""
    known = np.isfinite(values)
    if name.endswith("resistance_ohm"):
        known &= values != 0
    if not known.any():
        return None
    gaps = None if known.all() else ~known
    if name not in COUNTERS:
        return _numbers(values) if gaps is None else pa.array(values, pa.float64(), mask=gaps)
    whole = values if gaps is None else np.where(known, values, 0.0)
    if (whole != np.rint(whole)).any() or (np.abs(whole) > 2**53).any():
        notes.append(f"{name} was left out: it holds values that are not whole numbers.")
        return None
    return pa.array(whole.astype(np.int64), pa.int64(), mask=gaps)


def _start(started_at: str | None) -> datetime | None:
    if started_at is None:
        return None
    start = datetime.fromisoformat(started_at)
    return start if start.tzinfo else start.replace(tzinfo=UTC)


def _row_times(time: FloatArray, started_at: str | None) -> pa.Array:
    start = _start(started_at)
    if start is None:
        return pa.nulls(len(time), _TIMESTAMP)
    known = np.abs(time) < _LONGEST_TEST_SECOND
    gaps = None if known.all() else ~known
    elapsed = np.rint((time if gaps is None else np.where(known, time, 0.0)) * 1e6).astype(np.int64)
    elapsed += _microseconds(start)
    return pa.array(elapsed, pa.int64(), mask=gaps).cast(_TIMESTAMP)


def _start_of_all(started_at: str | None, rows: int) -> pa.Array:
    start = _start(started_at)
    if start is None:
        return pa.nulls(rows, _TIMESTAMP)
    return _column(np.full(rows, _microseconds(start), dtype=np.int64), _TIMESTAMP)


def _microseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _repeated(text: str | None, rows: int) -> pa.Array:
    """Return a column of one text, held once: a digest in every row would be longer than the row itself."""
    if text is None:
        return _no_text(rows)
    letters = text.encode(errors="replace")
    ends = _FIRST_LETTER + len(letters).to_bytes(4, sys.byteorder)
    single = pa.Array.from_buffers(_TEXT, 1, [None, pa.py_buffer(ends), pa.py_buffer(letters)])
    return pa.DictionaryArray.from_arrays(_first_text(rows), single, safe=False)


def _with_identity(
    columns: Mapping[str, pa.Array], metadata: Metadata, source_sha256: str, moments: pa.Array
) -> pa.Table:
    rows = len(moments)
    battery = _repeated(metadata.battery_id or metadata.cell_id, rows)
    arrays = [*columns.values(), battery, _repeated(source_sha256, rows), moments]
    return pa.Table.from_arrays(arrays, [*columns, *IDENTITY_COLUMNS])
