"""Provider, stage 2b: one landing file becomes records of the lake. The Spark job calls this for every file."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import AnalysisError, InputError, MeasurementError
from battery_pilot.measurements.model import IMPEDANCE_COLUMNS, OPTIONAL_CYCLING_COLUMNS
from battery_pilot.pipeline.checkups import PEAK_LISTS, PULSE_NUMBERS, TEST_NUMBERS, check_up_records

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import pyarrow as pa

    from battery_pilot.documents import Document
    from battery_pilot.electrochemistry.condition import Ratings
    from battery_pilot.lake import Window
    from battery_pilot.measurements.model import Measurement
    from battery_pilot.passport.life import Closure

log = logging.getLogger(__name__)

CHUNK_ROWS = 50_000
"""Rows of one record batch: bounds a worker's memory whatever the size of a file."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""Nothing was measured before; an instrument whose clock was never set begins to count here."""

LONGEST_TEST_SECOND = 100 * 365.25 * 86400
"""A longer test time is a wrong number; far beyond, it would not even fit into a time."""


def schema() -> pa.Schema:
    """Return the columns of the lake's ``measurements`` table: one table for all kinds of records.

    ``kind`` tells them apart: ``file`` (one per landing file, with ``reason`` set if it was rejected), ``cycling``
    (rows of cyclers and field logs), ``impedance`` (points of spectra), ``spectrum`` (what the analysis of a spectrum
    found), ``checkup`` and ``pulse`` (check-ups in a log and their pulses) and ``document`` (a document or drawing of a
    battery or of a model).
    """
    import pyarrow as pa

    text, number, whole = pa.string(), pa.float64(), pa.int64()
    times = pa.timestamp("us", tz="UTC")
    cycling = {name: whole if name.endswith(("_count", "_index")) else number for name in OPTIONAL_CYCLING_COLUMNS}
    columns: dict[str, pa.DataType] = {
        "kind": text,
        "battery_id": text,
        "model_id": text,
        "source_sha256": text,
        "source_path": text,
        "format": text,
        "reason": text,
        "warnings": pa.list_(text),
        "measured_at": times,
        "test_time_second": number,
        "voltage_volt": number,
        "current_ampere": number,
        **cycling,
        **{name: number for name in IMPEDANCE_COLUMNS},
        "spectrum_index": pa.int32(),
        "kramers_kronig_valid": pa.bool_(),
        "kramers_kronig_residual_percent": number,
        "kramers_kronig_elements": whole,
        "kramers_kronig_mu": number,
        "point_count": whole,
        "minimum_frequency_hertz": number,
        "maximum_frequency_hertz": number,
        "dc_bias_volt": number,
        "drt_peaks": text,
        "trusted_minimum_hertz": number,
        "trusted_maximum_hertz": number,
        "ohmic_resistance_ohm": number,
        "ohmic_resistance_method": text,
        "ohmic_resistance_error_ohm": number,
        "ohmic_frequency_hertz": number,
        "polarisation_resistance_ohm": number,
        "polarisation_resistance_error_ohm": number,
        "ac_resistance_ohm": number,
        "circuit": text,
        "circuit_parameters": text,
        "circuit_relative_rmse": number,
        "circuit_aic": number,
        "temperature_celsius": number,
        "state_of_charge_percent": number,
        "check_up_index": pa.int32(),
        "started_at": times,
        **{name: number for name in (*TEST_NUMBERS, *PULSE_NUMBERS)},
        **{name: pa.list_(number) for name in PEAK_LISTS},
        "pulse_count": whole,
        "content_type": text,
        "title": text,
        "byte_count": whole,
    }
    return pa.schema(list(columns.items()))


def latest_time(window: Window) -> datetime:
    """Return the time from which on nothing in a window's files can have been measured.

    Times without a zone are taken for UTC, so up to 14 hours beyond the window's end are the far side of the Pacific;
    anything later is a wrong clock or a wrong landing folder.
    """
    return window.end + timedelta(hours=14)


@dataclass(frozen=True)
class Known:
    """Ids of the master data.

    :param batteries: battery ids; measurements belong to these.
    :param models: model ids; a document belongs to a battery or to a model.
    :param ratings: battery id to rated values.
    :param closed: batteries whose passport is closed; what is measured afterwards belongs to their successors.
    """

    batteries: frozenset[str]
    models: frozenset[str] = frozenset()
    closed: Mapping[str, Closure] = field(default_factory=dict)
    ratings: Mapping[str, Ratings] = field(default_factory=dict)


def parse(path: Path, arrived_on: datetime, known: Known, not_after: datetime) -> Iterator[pa.RecordBatch]:
    """Yield all records of one landing file; a file that cannot be used yields one record with the reason.

    :param path: the file.
    :param arrived_on: day of its landing folder; stands in for the time of measurement where the file has none.
    :param known: ids of the master data.
    :param not_after: result of :func:`latest_time`.
    """
    try:
        yield from _accept(path, arrived_on, known, not_after)
    except (MeasurementError, InputError) as error:
        yield rejected(path, str(error).removeprefix(f"{path}: "))
    except Exception as error:  # a fault of ours in one file must not cost the batch; it is told, not hidden
        log.exception("reading %s failed", path)
        yield rejected(path, f"the reader failed ({type(error).__name__}: {error}): please report the file")


def rejected(path: Path, reason: str) -> pa.RecordBatch:
    """Return the record of a file that cannot be used."""
    return _records([{"kind": "file", "source_path": _writable(str(path)), "reason": _writable(reason)}])


def _writable(text: str) -> str:
    """Return a text that can be written as UTF-8: not every file name is."""
    return text.encode("utf-8", "backslashreplace").decode()


def _accept(path: Path, arrived_on: datetime, known: Known, not_after: datetime) -> list[pa.RecordBatch]:
    """Return all records of a file that can be used; complete before the first leaves, so that none is half accepted."""
    from battery_pilot.documents import recognise
    from battery_pilot.measurements import load, read_bytes

    data = load(path)
    document = recognise(data, str(path))
    if document is not None:
        return _document(path, document, known)
    return _measured(path, read_bytes(data, str(path)), arrived_on, known, not_after)


def _document(path: Path, document: Document, known: Known) -> list[pa.RecordBatch]:
    """Return the records of a document: it belongs to the battery that its path names, else to the model."""
    from battery_pilot.pipeline.identify import named_in

    battery_id = named_in(path, known.batteries)
    model_id = None if battery_id else named_in(path, known.models)
    if battery_id is None and model_id is None:
        raise InputError(
            "a document of an unknown owner: no battery and no model of the master data is named in it: put the id into "
            "the file's name or folder"
        )
    common = {
        "battery_id": battery_id,
        "model_id": model_id,
        "source_path": _writable(str(path)),
        "source_sha256": document.sha256,
        "format": document.format,
        "warnings": list(document.warnings),
    }
    facts = {"content_type": document.content_type, "title": document.title, "byte_count": document.byte_count}
    return [_records([{**common, "kind": "file"}]), _records([{**common, **facts, "kind": "document"}])]


def _measured(
    path: Path, measurement: Measurement, arrived_on: datetime, known: Known, not_after: datetime
) -> list[pa.RecordBatch]:
    from battery_pilot.pipeline.identify import identify

    if measurement.half_written:
        # The whole file will come with another digest: then the rows of this one would count twice.
        raise InputError(f"{measurement.half_written} Deliver the whole file: half of one is not counted.")
    stated = measurement.metadata.battery_id or measurement.metadata.cell_id
    found = identify(path, str(stated) if stated else None, known.batteries)
    _demand_test_time(measurement.table)
    table, time_warning = _with_time(measurement.table, arrived_on)
    _demand_past(table, not_after)
    battery_id, owner_warning = _owner(found.battery_id, table, known)
    table = _with_battery(table, battery_id)
    if measurement.kind == "impedance":
        results, result_warnings = _spectra(measurement, table)
    else:
        results, result_warnings = _check_ups(table, known.ratings.get(battery_id))
    warnings = [
        *measurement.warnings,
        *filter(None, (found.warning, owner_warning, time_warning)),
        *result_warnings,
    ]
    common = {
        "source_path": _writable(str(path)),
        "source_sha256": measurement.source_sha256,
        "battery_id": battery_id,
    }
    batches = [_records([{**common, "kind": "file", "format": measurement.format, "warnings": warnings}])]
    batches.extend(_rows(table, measurement))
    if results:
        batches.append(_records([{**common, **result} for result in results]))
    return batches


def _owner(battery_id: str, table: pa.Table, known: Known) -> tuple[str, str | None]:
    """Return the battery that a measurement belongs to: the one that is named, or what it became before."""
    if battery_id not in known.closed:
        return battery_id, None
    import pyarrow.compute as pc

    from battery_pilot.passport.life import owner_at

    owner = owner_at(battery_id, pc.min(table["measured_at"]).as_py(), known.closed)
    if owner == battery_id:
        return owner, None
    return owner, f"battery {battery_id} had become {owner} before this was measured: it belongs to {owner}"


def _with_battery(table: pa.Table, battery_id: str) -> pa.Table:
    """Put the battery's id on every row."""
    import pyarrow as pa

    index = table.schema.get_field_index("battery_id")
    return table.set_column(index, "battery_id", pa.repeat(pa.scalar(battery_id), table.num_rows))


def _with_time(table: pa.Table, arrived_on: datetime) -> tuple[pa.Table, str | None]:
    """Put a time on every row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if table["measured_at"].null_count == 0:
        return table, None
    start = pa.scalar(arrived_on, pa.timestamp("us", tz="UTC"))
    if "test_time_second" in table.column_names:
        elapsed = pc.cast(pc.round(pc.multiply(table["test_time_second"], 1e6)), pa.int64())
        assumed = pc.add(start, pc.cast(elapsed, pa.duration("us")))
    else:
        assumed = pa.repeat(start, table.num_rows)
    filled = pc.coalesce(table["measured_at"], assumed)
    index = table.schema.get_field_index("measured_at")
    warning = f"no time of measurement in the file: the landing day {arrived_on.date().isoformat()} is taken"
    return table.set_column(index, "measured_at", filled), warning


def _demand_test_time(table: pa.Table) -> None:
    import pyarrow.compute as pc

    if "test_time_second" not in table.column_names:
        return
    longest = pc.max(pc.abs(table["test_time_second"])).as_py()
    if longest > LONGEST_TEST_SECOND:
        raise InputError(f"a test time of {longest:g} s is more than a hundred years: check the unit of the column")


def _demand_past(table: pa.Table, not_after: datetime) -> None:
    import numpy as np
    import pyarrow.compute as pc

    # NumPy's times compare and print even where the year has five digits.
    found = pc.min_max(table["measured_at"])
    oldest, newest = (found[key].cast("int64").as_py() for key in ("min", "max"))
    oldest, newest = (np.datetime64(moment, "us") for moment in (oldest, newest))
    if newest >= np.datetime64(not_after.astimezone(UTC).replace(tzinfo=None), "us"):
        raise InputError(
            f"measured at {newest} UTC, after the end of its landing window: check the instrument's clock, or put the "
            "file into the landing folder of its day"
        )
    if oldest < np.datetime64(EARLIEST.replace(tzinfo=None), "us"):
        raise InputError(f"measured at {oldest} UTC, before {EARLIEST:%Y}: check the instrument's clock")


def _rows(table: pa.Table, measurement: Measurement) -> Iterator[pa.RecordBatch]:
    """Yield a measurement's own rows in the lake's columns."""
    from battery_pilot.measurements.writing import conform

    kind = "impedance" if measurement.kind == "impedance" else "cycling"
    yield from conform(table, schema(), {"kind": kind}).to_batches(max_chunksize=CHUNK_ROWS)


def _spectra(measurement: Measurement, table: pa.Table) -> tuple[list[dict[str, Any]], list[str]]:
    """Analyse every spectrum of a file; one that cannot be analysed becomes a warning."""
    from battery_pilot.electrochemistry.impedance.batch import analyse_all
    from battery_pilot.pipeline.relaxation import relaxation_peaks

    spectra = dict(list(table.to_pandas().groupby("spectrum_index", sort=True)))
    points = {
        index: (
            one["frequency_hertz"].to_numpy(),
            one["real_impedance_ohm"].to_numpy() + 1j * one["imaginary_impedance_ohm"].to_numpy(),
        )
        for index, one in spectra.items()
    }
    outcomes = dict(zip(points, analyse_all(points.values()), strict=True))
    valid = {
        index: points[index]
        for index, one in outcomes.items()
        if not isinstance(one, AnalysisError) and one.validity.valid
    }
    peaks = relaxation_peaks(valid)
    found, warnings = [], []
    for index, analysis in outcomes.items():
        spectrum, (frequency, _) = spectra[index], points[index]
        if isinstance(analysis, AnalysisError):
            warnings.append(f"spectrum {index} was not analysed: {analysis}")
            continue
        parameters = {
            name: {"value": one.value, "unit": one.unit, "standard_error": one.standard_error}
            for name, one in analysis.fit.parameters.items()
        }
        lowest, highest = analysis.validity.trusted_hertz or (None, None)
        found.append(
            {
                "kind": "spectrum",
                "spectrum_index": index,
                "measured_at": spectrum["measured_at"].min(),
                "kramers_kronig_valid": analysis.validity.valid,
                "kramers_kronig_residual_percent": analysis.validity.max_residual_percent,
                "kramers_kronig_elements": analysis.validity.elements,
                "kramers_kronig_mu": analysis.validity.mu,
                "point_count": len(frequency),
                "minimum_frequency_hertz": float(frequency.min()),
                "maximum_frequency_hertz": float(frequency.max()),
                "dc_bias_volt": measurement.metadata.dc_bias_volt,
                "drt_peaks": peaks.get(index),
                "trusted_minimum_hertz": lowest,
                "trusted_maximum_hertz": highest,
                "ohmic_resistance_ohm": analysis.ohmic_resistance_ohm,
                "ohmic_resistance_method": analysis.ohmic_resistance_method,
                "ohmic_resistance_error_ohm": analysis.ohmic_resistance_error_ohm,
                "ohmic_frequency_hertz": analysis.ohmic_frequency_hertz,
                "polarisation_resistance_ohm": analysis.polarisation_resistance_ohm,
                "polarisation_resistance_error_ohm": analysis.polarisation_resistance_error_ohm,
                "ac_resistance_ohm": analysis.ac_resistance_ohm,
                "circuit": analysis.fit.circuit,
                "circuit_parameters": json.dumps(parameters, sort_keys=True),
                "circuit_relative_rmse": analysis.fit.relative_rmse,
                "circuit_aic": analysis.fit.aic,
                "temperature_celsius": measurement.metadata.temperature_celsius,
                "state_of_charge_percent": measurement.metadata.state_of_charge_percent,
            }
        )
    return found, warnings


def _check_ups(table: pa.Table, ratings: Ratings | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Find the check-ups in a log."""
    from battery_pilot.electrochemistry.checkups import check_ups

    try:
        return list(check_up_records(check_ups(table, ratings))), []
    except AnalysisError as error:
        return [], [f"the log was not searched for check-ups: {error}"]


def _records(records: list[dict[str, Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pylist(records, schema=schema())
