"""Summarise a measurement as a JSON object, for people and for task logs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from battery_pilot.measurements.model import IDENTITY_COLUMNS, Measurement

if TYPE_CHECKING:
    from battery_pilot.documents import Document
    from battery_pilot.measurements.tables import ComplexArray, FloatArray


def summarise(measurement: Measurement) -> dict[str, object]:
    """Return the main figures of a measurement.

    :param measurement: any measurement with at least one row.
    :returns: JSON object with ``kind``, ``format``, ``instrument``, ``metadata`` and ``warnings``; for impedance
        ``spectra``, a list of ``points``, ``frequency_max_hertz``, ``frequency_min_hertz``, and the impedance at both
        as ``[real, imaginary]`` in ohm; otherwise ``rows``, ``duration_second`` and ``columns``.
    """
    figures: dict[str, object]
    if measurement.kind == "impedance":
        figures = {"spectra": [_points(*spectrum) for spectrum in measurement.spectra]}
    else:
        table = measurement.table
        time = table["test_time_second"].to_numpy()
        figures = {
            "rows": table.num_rows,
            "duration_second": float(time.max() - time.min()),
            "columns": [name for name in table.column_names if name not in IDENTITY_COLUMNS],
        }
    return {
        "kind": measurement.kind,
        "format": measurement.format,
        "instrument": measurement.instrument,
        **figures,
        "metadata": measurement.metadata.known(),
        "warnings": list(measurement.warnings),
    }


def summarise_document(document: Document) -> dict[str, object]:
    """Return what is known of a document in the form of :func:`summarise`.

    :param document: any document or drawing.
    :returns: JSON object with ``kind`` (``document``), ``format``, ``instrument`` (always ``None``), ``metadata`` and
        ``warnings``.
    """
    facts = asdict(document)
    warnings, format_name = facts.pop("warnings"), facts.pop("format")
    metadata = {name: value for name, value in facts.items() if value is not None}
    return {
        "kind": "document",
        "format": format_name,
        "instrument": None,
        "metadata": metadata,
        "warnings": list(warnings),
    }


def _points(frequency_hertz: FloatArray, impedance_ohm: ComplexArray) -> dict[str, object]:
    highest, lowest = int(frequency_hertz.argmax()), int(frequency_hertz.argmin())
    at_highest, at_lowest = complex(impedance_ohm[highest]), complex(impedance_ohm[lowest])
    return {
        "points": len(frequency_hertz),
        "frequency_max_hertz": float(frequency_hertz[highest]),
        "frequency_min_hertz": float(frequency_hertz[lowest]),
        "impedance_at_max_ohm": [at_highest.real, at_highest.imag],
        "impedance_at_min_ohm": [at_lowest.real, at_lowest.imag],
    }
