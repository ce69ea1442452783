from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq

from battery_pilot.measurements import read_bytes
from battery_pilot.measurements.writing import DESCRIPTION, write_table


def test_a_written_table_keeps_rows_digest_metadata_and_warnings(tmp_path: Path, samples: dict[str, str]) -> None:
    measurement = read_bytes(samples["gamry.dta"].encode(), "cell.dta")
    target = tmp_path / "cell.parquet"
    write_table(measurement, target)
    table = pq.read_table(target)
    assert table.equals(measurement.table.cast(table.schema))
    assert set(table["source_sha256"].to_pylist()) == {measurement.source_sha256}
    description = json.loads(table.schema.metadata[DESCRIPTION])
    assert description["format"] == "gamry-dta"
    assert description["metadata"] == json.loads(json.dumps(measurement.metadata.known()))
    assert description["warnings"] == list(measurement.warnings)
    assert [path.name for path in tmp_path.iterdir()] == ["cell.parquet"]
