from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

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


def test_a_file_whose_name_is_no_text_is_left_out_and_told(tmp_path, landing):
    try:
        (landing / "2026-01-01" / os.fsdecode(b"BP_\xff.csv")).write_text("x")
    except OSError:
        pytest.skip("this file system takes only names that are UTF-8")
    found = discover(Lake(tmp_path / "lake"), landing, JANUARY)
    assert found["files"] == 3
    assert found["warnings"][0].startswith("1 files were left out because their names are not UTF-8, the first is ")
    assert found["warnings"][0].endswith("BP_\\udcff.csv: rename them")


def test_a_second_look_gives_the_same_manifest(tmp_path, landing):
    lake = Lake(tmp_path / "lake")
    manifests = [Path(discover(lake, landing, JANUARY)["manifest"]).read_bytes() for _ in range(2)]
    assert manifests[0] == manifests[1]


def test_a_window_without_files_has_an_empty_manifest(tmp_path, landing):
    found = discover(
        Lake(tmp_path / "lake"), landing, Window(datetime(2027, 1, 1, tzinfo=UTC), datetime(2027, 1, 2, tzinfo=UTC))
    )
    assert found["files"] == 0
    assert Path(found["manifest"]).read_bytes() == b""


def test_folders_whose_window_was_processed_are_not_told(tmp_path, landing):
    lake = Lake(tmp_path / "lake")
    lake.publish(
        "cycles", Window(datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)), lake.staging()
    )
    assert discover(lake, landing, JANUARY)["warnings"] == []
