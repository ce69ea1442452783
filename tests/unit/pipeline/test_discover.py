from __future__ import annotations

from datetime import UTC, datetime

import pytest

from battery_pilot.errors import InputError
from battery_pilot.lake import Lake, Window, read_lines
from battery_pilot.pipeline.discover import discover

JANUARY = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))


@pytest.fixture
def landing(tmp_path):
    for name in (
        "2025-12-31/late.csv",
        "2026-01-01/a.csv",
        "2026-01-31/deep/er/b.DTA",
        "2026-01-31/.hidden",
        "2026-02-01/c.csv",
        "2026-01/month.csv",
        "2026-13-01/no-month.csv",
        "notes/readme.txt",
    ):
        path = tmp_path / "landing" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path / "landing"


def test_only_the_folders_of_the_window_count_and_its_end_is_outside(tmp_path, landing):
    found = discover(Lake(tmp_path / "lake"), landing, JANUARY)
    records = list(read_lines(tmp_path / "lake" / "manifests" / "files" / f"{JANUARY.key}.jsonl"))
    names = [record["path"].removeprefix(f"{landing}/") for record in records]
    assert names == ["2026-01/month.csv", "2026-01-01/a.csv", "2026-01-31/deep/er/b.DTA"]
    assert records[-1]["arrived_on"] == "2026-01-31T00:00:00+00:00"
    assert found["files"] == 3


def test_earlier_folders_that_nobody_processed_are_told(tmp_path, landing):
    found = discover(Lake(tmp_path / "lake"), landing, JANUARY)
    assert found["warnings"] == [
        "1 earlier landing folders (2025-12-31 to 2025-12-31) have not been processed: throughput and cycle counts of "
        "this window do not contain them; backfill them and run this window again"
    ]


def test_a_missing_landing_folder_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not exist: create it or set BATTERY_PILOT_LANDING"):
        discover(Lake(tmp_path / "lake"), tmp_path / "nowhere", JANUARY)
