"""Life events through the provider's Spark job: a window that brought nothing else, and files of a closed battery."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from battery_pilot.lake import Lake, Window, read_json
from battery_pilot.passport.life import LifeEvent
from battery_pilot.pipeline.build import build
from battery_pilot.pipeline.discover import discover
from battery_pilot.pipeline.subjects import subjects
from battery_pilot.simulate import simulate_fleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

JANUARY = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
FEBRUARY = Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
MARCH = Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def batteries(
    spark: SparkSession, job: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory
) -> dict[Window, dict[str, tuple[str, bool]]]:
    """Window to battery to its status and whether it was measured, of a fleet whose files of February never came."""
    folder = tmp_path_factory.mktemp("provider")
    simulate_fleet(folder, batteries=2, months=3, seed=3, cycles_per_month=2)
    for path in sorted((folder / "landing").glob("2026-02-*/*")):
        path.unlink()
    lake = Lake(folder / "lake")
    event = {
        "battery_id": "BP-0001",
        "event": "repurposed",
        "occurred_on": "2026-02-10",
        "successor_battery_id": "HOME-1",
        "successor_serial_number": "2L-1",
    }
    with (folder / "master" / "events.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, LifeEvent.model_fields)
        table.writeheader()
        table.writerow(event)
    return {window: process(job, folder, lake, window) for window in (JANUARY, FEBRUARY, MARCH)}


def process(
    job: Callable[[str], ModuleType], folder: Path, lake: Lake, window: Window
) -> dict[str, tuple[str, bool]]:
    discover(lake, folder / "landing", window)
    result, master = folder / "result.json", folder / "master"
    words = ["--lake", str(lake.root), "--window", window.key, "--master", str(master), "--result", str(result)]
    assert job("process_measurements").main(words) == 0, read_json(result)
    build(lake, master, window, "https://example.com")
    return {
        one.item.battery_id: (one.life.passport_status, "remaining_capacity_ah" in one.condition.values)
        for one in subjects(lake, window)
    }


def test_before_the_event_everything_is_as_without_it(batteries) -> None:
    assert batteries[JANUARY] == {"BP-0001": ("Active", True), "BP-0002": ("Active", True)}


def test_a_window_without_files_brings_the_events(batteries) -> None:
    assert batteries[FEBRUARY] == {"BP-0001": ("Inactive", True), "HOME-1": ("Active", False)}


def test_files_of_the_closed_battery_belong_to_its_successor(batteries) -> None:
    assert batteries[MARCH] == {"BP-0002": ("Active", True), "HOME-1": ("Active", True)}
