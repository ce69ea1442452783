"""Summarise a measurement as a JSON object, for people and for task logs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from battery_pilot.measurements.model import IDENTITY_COLUMNS, Measurement

if TYPE_CHECKING:
    from battery_pilot.documents import Document


def summarise(measurement: Measurement) -> dict[str, object]:
    """Return the main figures of a measurement.

    :param measurement: any measurement with at least one row.
    :returns: JSON object with ``kind``, ``format``, ``instrument``, ``metadata`` and ``warnings``; for impedance
        ``spectra``, a list of ``points``, ``frequency_max_hertz``, ``frequency_min_hertz``, and the impedance at both
        as ``[real, imaginary]`` in ohm; otherwise ``rows``, ``duration_second`` and ``columns``.
    """
    table = measurement.table
    figures: dict[str, object]
    if measurement.kind == "impedance":
        index = table["spectrum_index"].to_numpy()
        figures = {"spectra": [_spectrum(table.filter(pa.array(index == number))) for number in np.unique(index)]}
    else:
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


def _spectrum(table: pa.Table) -> dict[str, object]:
    frequency = table["frequency_hertz"].to_numpy()
    parts = (table["real_impedance_ohm"].to_numpy(), table["imaginary_impedance_ohm"].to_numpy())
    highest, lowest = int(frequency.argmax()), int(frequency.argmin())
    return {
        "points": table.num_rows,
        "frequency_max_hertz": float(frequency[highest]),
        "frequency_min_hertz": float(frequency[lowest]),
        "impedance_at_max_ohm": [float(part[highest]) for part in parts],
        "impedance_at_min_ohm": [float(part[lowest]) for part in parts],
    }
