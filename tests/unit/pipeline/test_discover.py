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


def test_what_only_explains_logs_is_no_delivery(tmp_path, landing):
    before = discover(Lake(tmp_path / "lake"), landing, JANUARY)["files"]
    (landing / "2026-01-31" / "battery-pilot-columns.toml").write_text("")
    (landing / "2026-01-31" / "vehicle.dbc").write_text("")
    assert discover(Lake(tmp_path / "lake"), landing, JANUARY)["files"] == before


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


def test_links_that_lead_out_of_the_landing_folder_are_left_out_and_told(tmp_path, landing):
    (tmp_path / "secret.txt").write_text("x")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "d.csv").write_text("x")
    (landing / "2026-01-01" / "b.csv").symlink_to(tmp_path / "secret.txt")
    (landing / "2026-01-01" / "c.csv").symlink_to(landing / "2026-01-01" / "a.csv")
    (landing / "2026-01-15").symlink_to(tmp_path / "elsewhere")
    lake = Lake(tmp_path / "lake")
    found = discover(lake, landing, JANUARY)
    names = [Path(record["path"]).name for record in read_lines(Path(found["manifest"]))]
    assert names == ["month.csv", "a.csv", "c.csv", "b.DTA"]
    assert found["warnings"][0] == (
        f"2 files were left out because they are links to outside of {landing}, the first is "
        f"{landing / '2026-01-01' / 'b.csv'}: copy them there"
    )


def test_a_landing_folder_that_is_a_link_itself_is_read(tmp_path, landing):
    (tmp_path / "link").symlink_to(landing)
    assert discover(Lake(tmp_path / "lake"), tmp_path / "link", JANUARY)["files"] == 3


@pytest.mark.parametrize(
    ("start", "end"),
    [("2026-01-31", "2026-02-01"), ("2025-12-01", "2026-01-02"), ("2025-01-01", "2027-01-01"), ("2026-01-05", "2026-01-06")],
)  # fmt: skip
def test_a_window_that_overlaps_a_processed_one_is_told(tmp_path, landing, start, end):
    lake = Lake(tmp_path / "lake")
    other = Window(*(datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (start, end)))
    lake.publish("cycles", other, lake.staging())
    found = discover(lake, landing, JANUARY)
    assert found["files"] == 3
    assert any(
        f"shares days with 1 processed windows, the first is {other.key}" in text for text in found["warnings"]
    )


def test_a_window_is_found_again_and_so_are_those_beside_it(tmp_path, landing):
    lake = Lake(tmp_path / "lake")
    for start, end in (((2025, 12), (2026, 1)), ((2026, 1), (2026, 2)), ((2026, 2), (2026, 3))):
        lake.publish("cycles", Window(*(datetime(*month, 1, tzinfo=UTC) for month in (start, end))), lake.staging())
    assert discover(lake, landing, JANUARY)["files"] == 3


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
