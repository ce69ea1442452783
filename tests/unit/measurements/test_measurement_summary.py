from __future__ import annotations

import json

import pytest

from battery_pilot.measurements import read_bytes
from battery_pilot.measurements.summary import summarise


def test_an_impedance_measurement_is_summarised_per_spectrum(
    samples: dict[str, str], spectrum: list[tuple[float, complex]]
) -> None:
    summary = summarise(read_bytes(samples["biologic.mpt"].encode(), "a.mpt"))
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["kind"], summary["format"], summary["instrument"]) == (
        "impedance",
        "biologic-mpt",
        "BioLogic SP-150",
    )
    (first, second) = summary["spectra"]
    assert first == second
    assert first["points"] == 16
    assert first["frequency_max_hertz"] == pytest.approx(1e4)
    assert first["frequency_min_hertz"] == pytest.approx(spectrum[-1][0])
    lowest = spectrum[-1][1]
    assert first["impedance_at_min_ohm"] == pytest.approx([lowest.real, lowest.imag])


def test_a_cycler_log_is_summarised_by_rows_and_duration(samples: dict[str, str]) -> None:
    summary = summarise(read_bytes(samples["log.bdf.csv"].encode(), "a.csv"))
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["rows"], summary["duration_second"]) == (16, 150.0)
    assert summary["columns"] == ["test_time_second", "voltage_volt", "current_ampere", "cycle_count"]
    assert summary["metadata"] == {}
    assert summary["warnings"] == []
