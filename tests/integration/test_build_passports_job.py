"""Passports of a window built on Spark: the same files as without it, and one sentence where it fails."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.lake import Lake, Window, read_json
from battery_pilot.passport.life import LifeEvent
from battery_pilot.pipeline.build import build
from battery_pilot.pipeline.discover import discover
from battery_pilot.pipeline.subjects import TABLE
from battery_pilot.simulate import simulate_fleet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

JANUARY = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
FEBRUARY = Window(datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC))
BASE = "https://example.com/dbp"
REPURPOSED = {
    "battery_id": "BP-0002",
    "event": "repurposed",
    "occurred_on": "2026-02-10",
    "successor_battery_id": "A-HOME",
    "successor_serial_number": "2L-1",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of a small fleet with a manual; in the second month one battery became another and was not measured."""
    found = tmp_path_factory.mktemp("provider")
    simulate_fleet(found, batteries=5, months=2, seed=3, cycles_per_month=2)
    (found / "landing" / "2026-01-31" / "BP-0003_accident_report.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")
    for path in (found / "landing").glob("2026-02-*/BP-0002*"):
        path.unlink()
    with (found / "master" / "events.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, LifeEvent.model_fields)
        table.writeheader()
        table.writerow(REPURPOSED)
    return found


@pytest.fixture(scope="module")
def lake(spark: SparkSession, job: Callable[[str], ModuleType], folder: Path) -> Lake:
    """The lake with both months processed and the first one built."""
    found = Lake(folder / "lake")
    for window in (JANUARY, FEBRUARY):
        discover(found, folder / "landing", window)
        result, master = folder / "processed.json", folder / "master"
        words = ["--lake", str(found.root), "--window", window.key, "--master", str(master), "--result", str(result)]
        assert job("process_measurements").main(words) == 0, read_json(result)
    build(found, folder / "master", JANUARY, BASE)
    return found


@pytest.fixture
def run(
    job: Callable[[str], ModuleType], folder: Path, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Build a window on Spark, in several tasks, and return the exit code and the result."""

    def start(window: Window, base: str = BASE) -> tuple[int, dict[str, Any]]:
        module = job("build_passports")
        monkeypatch.setattr(module, "BATTERIES_A_TASK", 2)
        words = ["--lake", lake.root, "--window", window.key, "--master", folder / "master", "--base-iri", base]
        code = module.main([*map(str, words), "--result", str(folder / "result.json")])
        return code, read_json(folder / "result.json")

    return start


def content_of(lake: Lake, window: Window) -> dict[str, bytes]:
    top = lake.current(TABLE, window)
    assert top is not None
    return {path.relative_to(top).as_posix(): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.mark.parametrize("window", [JANUARY, FEBRUARY], ids=["January", "February"])
def test_spark_leaves_the_same_files_and_counts_as_one_process(lake, folder, run, window) -> None:
    counts = build(lake, folder / "master", window, BASE)
    alone = content_of(lake, window)
    code, result = run(window)
    assert code == 0, result
    assert {name: result[name] for name in counts} == counts
    assert counts["passports"] == {JANUARY: 5, FEBRUARY: 6}[window]
    assert content_of(lake, window) == alone
    assert list((lake.root / "_staging").iterdir()) == []


def test_a_fault_in_a_task_is_the_jobs_sentence_and_leaves_the_former_passports(lake, run) -> None:
    run(JANUARY)
    before = content_of(lake, JANUARY)
    code, result = run(JANUARY, base="nowhere")
    assert (code, result["retry"]) == (1, False)
    assert result["error"].startswith("identifier base 'nowhere' is no absolute IRI")
    assert content_of(lake, JANUARY) == before
    assert list((lake.root / "_staging").iterdir()) == []
