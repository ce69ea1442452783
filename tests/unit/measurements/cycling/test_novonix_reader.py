from __future__ import annotations

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


def test_the_summary_becomes_metadata(samples: dict[str, str]) -> None:
    assert read_bytes(samples["novonix.csv"].encode(), "a.csv").metadata.known() == {
        "cell_id": "CELL-14",
        "channel": "01",
        "columns_left_out": ["Capacity (Ah)"],
        "instrument_software": "Novonix 2.13.0",
        "nominal_capacity_ah": 5.0,
        "started_at": "2026-03-31T16:00:00+00:00",
        "time_zone": "assumed UTC",
    }


def test_a_cell_id_counts_more_than_the_name_of_the_file(samples: dict[str, str]) -> None:
    text = samples["novonix.csv"].replace("Capacity (Ah): 5", "CellID: A7\nCapacity (Ah): ****")
    metadata = read_bytes(text.encode(), "a.csv").metadata
    assert (metadata.cell_id, metadata.nominal_capacity_ah) == ("A7", None)


def test_rows_that_are_quoted_as_one_cell_are_read(samples: dict[str, str]) -> None:
    header, _, rows = samples["novonix.csv"].partition("[Data]\n")
    quoted = "".join(f'"{row}"\n' for row in rows.split("\n") if row)
    expected = read_bytes(samples["novonix.csv"].encode(), "a.csv").table.drop_columns("source_sha256")
    found = read_bytes(f"{header}[Data]\n{quoted}".encode(), "a.csv").table.drop_columns("source_sha256")
    assert found == expected


def test_runs_one_after_the_other_are_joined(samples: dict[str, str]) -> None:
    text = samples["novonix.csv"]
    measurement = read_bytes((text + text).encode(), "a.csv")
    time = measurement.table["test_time_second"].to_pylist()
    assert len(time) == 32
    assert time[15:18] == pytest.approx([150.0, 150.0, 160.0])
    assert any("2 runs" in warning for warning in measurement.warnings)


def test_runs_with_other_columns_are_refused(samples: dict[str, str]) -> None:
    text = samples["novonix.csv"]
    with pytest.raises(MeasurementError, match="line 40: other headings than in the run before"):
        read_bytes((text + text.replace("Cycle Number,", "")).encode(), "a.csv")


def test_a_file_that_ends_in_its_protocol_is_refused(samples: dict[str, str]) -> None:
    with pytest.raises(MeasurementError, match=r"expected a section \[Data\]"):
        read_bytes(samples["novonix.csv"].partition("[Data]")[0].encode(), "a.csv")
