from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta

from battery_pilot.passport.evidence import NEWEST_SERIES, NEWEST_SPECTRA, Evidence
from battery_pilot.pipeline.evidence import EVIDENCE_COLUMNS, evidence_of, evidence_sql

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def spectrum(number: int, **changes: object) -> dict[str, object]:
    row = {
        "source_sha256": f"{number:064x}",
        "file_path": f"/laboratory/of/anna/BP-1_{number}.mpt",
        "file_format": "biologic-mpt",
        "spectrum_index": 0,
        "measured_at": DAY + timedelta(days=number),
        "kramers_kronig_valid": True,
        "circuit": "R0",
        "circuit_parameters": json.dumps({"R0": {"value": 0.1, "unit": "ohm", "standard_error": None}}),
        "drt_peaks": None,
        "circuit_aic": math.nan,
    }
    return {**row, **changes}


def test_row_without_evidence_gives_none() -> None:
    assert evidence_of({"battery_id": "BP-1"}) == Evidence()
    assert evidence_of(dict.fromkeys(EVIDENCE_COLUMNS)) == Evidence()


def test_spectra_come_newest_first_with_the_name_of_their_file_and_not_its_folders() -> None:
    found = evidence_of({"spectra_named": [spectrum(1), spectrum(3), spectrum(2)], "spectra_counted": 9})
    assert [one.name for one in found.spectra] == ["BP-1_3.mpt", "BP-1_2.mpt", "BP-1_1.mpt"]
    assert found.spectrum_count == 9
    first = found.spectra[0]
    assert (first.circuit_parameters[0].name, first.circuit_parameters[0].standard_error) == ("R0", None)
    assert first.circuit_aic is None


def test_peaks_of_relaxation_times_are_read() -> None:
    peaks = json.dumps([{"time_constant_second": 0.01, "resistance_ohm": 0.002}])
    found = evidence_of({"spectra_named": [spectrum(1, drt_peaks=peaks)]})
    assert found.spectra[0].drt_peaks[0].resistance_ohm == 0.002


def test_usage_files_come_newest_first_with_their_columns() -> None:
    rows = [
        {
            "source_sha256": f"{number:064x}",
            "file_path": f"x/{number}.csv",
            "file_format": "csv",
            "record_count": 10,
            "started_at": DAY,
            "ended_at": DAY + timedelta(days=number),
            "columns": ["voltage_volt"],
        }
        for number in (1, 2)
    ]
    found = evidence_of({"series_named": rows, "series_counted": 2})
    assert [one.name for one in found.time_series] == ["2.csv", "1.csv"]
    assert found.time_series[0].duration == "PT172800S"
    assert found.time_series[0].described_columns[0].unit == "V"


def test_query_bounds_the_lists_and_takes_only_columns_that_there_are() -> None:
    query = evidence_sql("a", "b", "c", ["measured_at", "circuit", "kramers_kronig_valid"])
    assert f"place <= {NEWEST_SPECTRA}" in query
    assert f"place <= {NEWEST_SERIES}" in query
    assert "drt_peaks" not in query
