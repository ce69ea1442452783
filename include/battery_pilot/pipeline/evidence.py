"""Provider, between stages 2 and 3: which spectra and usage files a battery's passport names."""

from __future__ import annotations

import json
import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.model import OPTIONAL_CYCLING_COLUMNS
from battery_pilot.passport.evidence import NEWEST_SERIES, NEWEST_SPECTRA, Evidence, Spectrum, TimeSeries

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

EVIDENCE_COLUMNS = ("spectra_named", "spectra_counted", "spectra_valid", "series_named", "series_counted")
"""What :func:`evidence_sql` adds to a battery's row of the aggregates."""

_SERIES_COLUMNS = ("test_time_second", "voltage_volt", "current_ampere", *OPTIONAL_CYCLING_COLUMNS)
_SPECTRUM_FACTS = tuple(
    name for name in Spectrum.model_fields if name not in {"source_sha256", "name", "format", "spectrum_index"}
)


def series_sql(rows: str) -> str:
    """Return the Spark SQL for one row a usage file: how many records, of which time, with which columns.

    :param rows: view of the canonical rows of cyclers and field logs.
    """
    present = ", ".join(f"CASE WHEN count({name}) > 0 THEN '{name}' END" for name in _SERIES_COLUMNS)
    return f"""SELECT battery_id, source_sha256, count(*) AS record_count, min(measured_at) AS started_at,
  max(measured_at) AS ended_at, array_compact(array({present})) AS columns
FROM {rows} WHERE measured_at IS NOT NULL GROUP BY battery_id, source_sha256"""  # noqa: S608


def evidence_sql(spectra: str, series: str, files: str, spectrum_columns: Iterable[str]) -> str:
    """Return the Spark SQL for one row a battery: its newest valid spectra and newest usage files, and how many there are.

    What several windows have counts once. The lists are bounded, however many files a battery has.

    :param spectra: view of the analysed spectra, of the whole life.
    :param series: view of the rows of :func:`series_sql`, of the whole life.
    :param files: view of the landing files: ``source_sha256``, ``source_path`` and ``format``.
    :param spectrum_columns: columns that the view of spectra has; what a passport can state of them is taken.
    """
    facts = ", ".join(name for name in _SPECTRUM_FACTS if name in set(spectrum_columns))
    return f"""WITH known AS (
  SELECT source_sha256 AS file_sha256, min(source_path) AS file_path, min(format) AS file_format
  FROM {files} WHERE source_sha256 IS NOT NULL GROUP BY source_sha256
), spectra_once AS (
  SELECT *, row_number() OVER (PARTITION BY battery_id, source_sha256, spectrum_index ORDER BY measured_at) AS copy
  FROM {spectra}
), spectra_ranked AS (
  SELECT *, row_number() OVER (
    PARTITION BY battery_id ORDER BY kramers_kronig_valid DESC, measured_at DESC, source_sha256, spectrum_index) AS place
  FROM spectra_once WHERE copy = 1
), spectra_of AS (
  SELECT battery_id, count(*) AS spectra_counted, count_if(kramers_kronig_valid) AS spectra_valid,
    collect_list(CASE WHEN place <= {NEWEST_SPECTRA} AND kramers_kronig_valid
      THEN struct(source_sha256, file_path, file_format, spectrum_index, {facts}) END) AS spectra_named
  FROM spectra_ranked LEFT JOIN known ON file_sha256 = source_sha256 GROUP BY battery_id
), series_once AS (
  SELECT *, row_number() OVER (PARTITION BY battery_id, source_sha256 ORDER BY ended_at DESC) AS copy FROM {series}
), series_ranked AS (
  SELECT *, row_number() OVER (PARTITION BY battery_id ORDER BY ended_at DESC, source_sha256) AS place
  FROM series_once WHERE copy = 1
), series_of AS (
  SELECT battery_id, count(*) AS series_counted,
    collect_list(CASE WHEN place <= {NEWEST_SERIES} THEN struct(source_sha256, file_path, file_format,
      record_count, started_at, ended_at, columns) END) AS series_named
  FROM series_ranked LEFT JOIN known ON file_sha256 = source_sha256 GROUP BY battery_id
)
SELECT battery_id, {", ".join(EVIDENCE_COLUMNS)}
FROM spectra_of FULL OUTER JOIN series_of USING (battery_id)"""  # noqa: S608


def evidence_of(row: Mapping[str, Any]) -> Evidence:
    """Return the evidence in a battery's row of the aggregates; without its documents.

    :param row: with :data:`EVIDENCE_COLUMNS`, each of which may be missing or ``None``.
    """
    spectra = [_spectrum(one) for one in row.get("spectra_named") or ()]
    series = [_series(one) for one in row.get("series_named") or ()]
    return Evidence(
        spectra=tuple(sorted(spectra, key=_newest_spectrum_first)),
        spectrum_count=row.get("spectra_counted") or 0,
        valid_spectrum_count=row.get("spectra_valid") or 0,
        time_series=tuple(sorted(series, key=_newest_series_first)),
        time_series_count=row.get("series_counted") or 0,
    )


def _newest_spectrum_first(one: Spectrum) -> tuple[float, str, int]:
    return (-one.measured_at.timestamp(), one.source_sha256, one.spectrum_index)


def _newest_series_first(one: TimeSeries) -> tuple[float, str]:
    return (-one.ended_at.timestamp(), one.source_sha256)


def _spectrum(row: Mapping[str, Any]) -> Spectrum:
    facts = _known(row)
    parameters = json.loads(facts.pop("circuit_parameters", None) or "{}")
    peaks = json.loads(facts.pop("drt_peaks", None) or "[]")
    return Spectrum(
        **facts,
        circuit_parameters=tuple(_finite({"name": name, **fit}) for name, fit in parameters.items()),
        drt_peaks=tuple(peaks),
    )


def _series(row: Mapping[str, Any]) -> TimeSeries:
    facts = _known(row)
    return TimeSeries(**{**facts, "columns": tuple(facts.get("columns") or ())})


def _known(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is known of a file, with the name of the file instead of its path, which is the laboratory's."""
    facts = _finite(row)
    path = facts.pop("file_path", None)
    return {"format": facts.pop("file_format", None), "name": PurePosixPath(path).name if path else None, **facts}


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value
        for name, value in row.items()
        if value is not None and not (isinstance(value, float) and not math.isfinite(value))
    }
