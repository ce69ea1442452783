"""From landing files to the tables that passports are built from, on Spark."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from battery_pilot.electrochemistry.aggregates import AGGREGATE_COLUMNS, TOTALS
from battery_pilot.electrochemistry.definitions import OPTIONAL_COLUMNS
from battery_pilot.lake import Lake, Window, read_json, read_lines
from battery_pilot.pipeline.build import build, check_rejects, quarantine_file
from battery_pilot.pipeline.discover import discover
from battery_pilot.pipeline.evidence import EVIDENCE_COLUMNS
from battery_pilot.pipeline.parse import schema
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
TABLES = ("measurements", "cycles", "spectra", "checkups", "pulses", "aggregates", "files")
BATTERIES = ["BP-0001", "BP-0002", "BP-0003"]
CYCLES_PER_MONTH = 3

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two months of a small fleet; January brought a manual and two files more that are of no use."""
    found = tmp_path_factory.mktemp("provider")
    simulate_fleet(found, batteries=3, months=2, seed=3, cycles_per_month=CYCLES_PER_MONTH)
    january = found / "landing" / "2026-01-31"
    (january / "BP-0001_broken.csv").write_bytes(b"\x7fELF\x02\x01\x00")
    (january / "BP-0002_manual.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")
    (january / "stranger.csv").write_text("Test Time / s,Voltage / V,Current / A\n0,3.6,1\n10,3.6,1\n")
    return found


@pytest.fixture(scope="module")
def lake(folder: Path) -> Lake:
    return Lake(folder / "lake")


@pytest.fixture(scope="module")
def run(spark: SparkSession, job: Callable[[str], ModuleType], folder: Path, lake: Lake) -> Callable[..., Any]:
    """Discover and process a window and return the job's exit code and result."""

    def process(window: Window, master: str = "master") -> tuple[int, dict[str, Any]]:
        discover(lake, folder / "landing", window)
        result = folder / "result.json"
        arguments = ["--lake", str(lake.root), "--window", window.key, "--master", str(folder / master)]
        code = job("process_measurements").main([*arguments, "--result", str(result)])
        return code, read_json(result)

    return process


@pytest.fixture(scope="module")
def results(run: Callable[..., Any]) -> dict[Window, dict[str, Any]]:
    """Both months, processed in order."""
    found = {}
    for window in (JANUARY, FEBRUARY):
        code, found[window] = run(window)
        assert code == 0, found[window]
    return found


def rows_of(lake: Lake, table: str, window: Window) -> Rows:
    """All rows of a partition, in an order that does not depend on how they were written."""
    if table == "files":
        return list(read_lines(lake.current(table, window) / "files.jsonl"))
    rows = ds.dataset(lake.current(table, window), format="parquet", partitioning="hive").to_table().to_pylist()
    return sorted(rows, key=repr)


def everything(lake: Lake, window: Window) -> dict[str, Rows]:
    return {table: rows_of(lake, table, window) for table in TABLES}


def test_the_result_counts_files_rejects_and_batteries(results: dict[Window, dict[str, Any]]) -> None:
    common = {"job": "process_measurements", "status": "succeeded", "batteries": 3, "cycles_off_counter": 0}
    assert results[JANUARY] == common | {"files_read": 9, "files_rejected": 2, "documents": 1}
    assert results[FEBRUARY] == common | {"files_read": 6, "files_rejected": 0, "documents": 0}


def test_a_document_is_kept_with_its_owner_and_type(results: dict[Window, dict[str, Any]], lake: Lake) -> None:
    (record,) = read_lines(lake.current("documents", JANUARY) / "documents.jsonl")
    assert (record["battery_id"], record["content_type"]) == ("BP-0002", "application/pdf")
    assert (lake.root / record["kept_as"]).read_bytes().startswith(b"%PDF-1.7")


def test_rejects_are_listed_with_their_reasons_and_cost_nothing_else(
    results: dict[Window, dict[str, Any]], lake: Lake, folder: Path
) -> None:
    broken, stranger = read_lines(quarantine_file(lake, JANUARY))
    landing = folder / "landing" / "2026-01-31"
    assert broken["file"] == str(landing / "BP-0001_broken.csv")
    assert "binary content" in broken["reason"]
    assert stranger["file"] == str(landing / "stranger.csv")
    assert "unknown battery" in stranger["reason"]
    assert list(read_lines(quarantine_file(lake, FEBRUARY))) == []
    assert check_rejects(lake, JANUARY, 25) == {"files_read": 9, "files_rejected": 2}


def test_every_table_has_a_partition_of_each_month(results: dict[Window, dict[str, Any]], lake: Lake) -> None:
    for table in TABLES:
        assert lake.windows(table) == [JANUARY, FEBRUARY]
    assert list((lake.root / "_staging").iterdir()) == []


def test_the_measurements_hold_every_kind_of_record(results: dict[Window, dict[str, Any]], lake: Lake) -> None:
    rows = rows_of(lake, "measurements", JANUARY)
    kinds = {kind: [row for row in rows if row["kind"] == kind] for kind in {row["kind"] for row in rows}}
    assert {kind: len(found) for kind, found in kinds.items() if kind in ("file", "spectrum")} == {
        "file": 9,
        "spectrum": 3,
    }
    for kind in ("cycling", "impedance", "spectrum"):
        assert sorted({row["battery_id"] for row in kinds[kind]}) == BATTERIES
        assert all(JANUARY.start <= row["measured_at"] < JANUARY.end for row in kinds[kind])
    assert set(rows[0]) == set(schema().names)


def test_cycles_and_spectra_are_those_of_their_month(results: dict[Window, dict[str, Any]], lake: Lake) -> None:
    for window in (JANUARY, FEBRUARY):
        keys = ("battery_id", "source_sha256", "cycle_count")
        measured = [row for row in rows_of(lake, "measurements", window) if row["kind"] == "cycling"]
        summarised = sorted(tuple(row[key] for key in keys) for row in rows_of(lake, "cycles", window))
        assert summarised == sorted({tuple(row[key] for key in keys) for row in measured})
        assert len(summarised) > 3 * CYCLES_PER_MONTH
        assert len(rows_of(lake, "spectra", window)) == 3
        check_ups = rows_of(lake, "checkups", window)
        assert sorted({row["battery_id"] for row in check_ups}) == BATTERIES
        assert all(row["discharge_test_ah"] > 0 for row in check_ups)
        assert len(rows_of(lake, "pulses", window)) == sum(row["pulse_count"] for row in check_ups)


def test_the_aggregates_have_one_complete_row_a_battery(results: dict[Window, dict[str, Any]], lake: Lake) -> None:
    for window in (JANUARY, FEBRUARY):
        rows = rows_of(lake, "aggregates", window)
        assert sorted(row["battery_id"] for row in rows) == BATTERIES
        for row in rows:
            assert tuple(row) == (*AGGREGATE_COLUMNS, *EVIDENCE_COLUMNS)
            assert window.start <= row["as_of"] < window.end
            for name in ("capacity_ah", "dc_resistance_ohm", "ohmic_resistance_ohm", "polarisation_resistance_ohm"):
                assert row[name] > 0, name


def test_sums_since_begin_of_life_contain_the_months_before(
    results: dict[Window, dict[str, Any]], lake: Lake
) -> None:
    cycles = {window: rows_of(lake, "cycles", window) for window in (JANUARY, FEBRUARY)}
    for battery in BATTERIES:
        (first,) = (row for row in rows_of(lake, "aggregates", JANUARY) if row["battery_id"] == battery)
        (second,) = (row for row in rows_of(lake, "aggregates", FEBRUARY) if row["battery_id"] == battery)
        for total in TOTALS:
            added = [
                [row[total] for row in cycles[window] if row["battery_id"] == battery and row[total] is not None]
                for window in (JANUARY, FEBRUARY)
            ]
            if first[total] is not None:
                assert first[total] == pytest.approx(sum(added[0]))
                assert second[total] == pytest.approx(sum(added[0]) + sum(added[1]))
        assert second["discharge_ah"] > 1.5 * first["discharge_ah"] > 0
        assert second["first_dc_resistance_as_of"] == first["first_dc_resistance_as_of"]
        assert second["as_of"] > first["as_of"]


def test_a_second_run_gives_the_same_content(
    results: dict[Window, dict[str, Any]], run: Callable[..., Any], lake: Lake
) -> None:
    before = everything(lake, FEBRUARY)
    assert run(FEBRUARY) == (0, results[FEBRUARY])
    assert everything(lake, FEBRUARY) == before


def test_processing_the_past_again_does_not_see_the_future(
    results: dict[Window, dict[str, Any]], run: Callable[..., Any], lake: Lake
) -> None:
    before = everything(lake, JANUARY)
    assert run(JANUARY) == (0, results[JANUARY])
    assert everything(lake, JANUARY) == before


def test_passports_are_built_of_what_was_processed(
    results: dict[Window, dict[str, Any]], lake: Lake, folder: Path
) -> None:
    assert build(lake, folder / "master", FEBRUARY, "https://example.com")["passports"] == 3
    for subject in subjects(lake, FEBRUARY):
        values = subject.condition.values
        assert 0.8 < values["remaining_capacity_ah"].value / subject.model.rated_capacity_ah < 1.1
        assert values["full_equivalent_cycles"].value > 2 * CYCLES_PER_MONTH
        assert len(values["remaining_capacity_ah"].source_sha256[0]) == 64
        evidence = subject.evidence
        assert (evidence.spectrum_count, evidence.time_series_count) == (2, 2)
        assert [one.measured_at.month for one in evidence.spectra] == [2, 1][: evidence.valid_spectrum_count]
        assert [one.ended_at.month for one in evidence.time_series] == [2, 1]
        assert all(one.record_count > 100 and "voltage_volt" in one.columns for one in evidence.time_series)
        assert all(one.circuit and one.circuit_parameters and one.name for one in evidence.spectra)


def test_a_job_that_dies_in_the_middle_leaves_the_former_partitions(
    results: dict[Window, dict[str, Any]],
    run: Callable[..., Any],
    job: Callable[[str], ModuleType],
    lake: Lake,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def die(*_: object) -> int:
        raise RuntimeError("killed")

    before = {table: lake.current(table, FEBRUARY) for table in TABLES}
    with monkeypatch.context() as patch:
        patch.setattr(job("process_measurements"), "write_aggregates", die)
        with pytest.raises(RuntimeError, match="killed"):
            run(FEBRUARY)
    assert {table: lake.current(table, FEBRUARY) for table in TABLES} == before
    assert all(path.is_dir() for path in before.values())
    assert list((lake.root / "_staging").iterdir()) == []
    assert not (folder / "result.json").exists()


def test_a_broken_master_table_is_told_and_trying_again_would_not_help(
    results: dict[Window, dict[str, Any]],
    run: Callable[..., Any],
    lake: Lake,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = folder / "broken"
    broken.mkdir()
    for name in ("models.csv", "batteries.csv"):
        (broken / name).write_text((folder / "master" / name).read_text().replace("rated_capacity_ah", "capacity"))
    before = {table: lake.current(table, FEBRUARY) for table in TABLES}
    code, result = run(FEBRUARY, "broken")
    assert code == 1
    assert (result["status"], result["retry"]) == ("failed", False)
    assert "models.csv, line 1: unknown column capacity" in result["error"]
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("RESULT "))
    assert json.loads(line.removeprefix("RESULT ")) == result
    assert {table: lake.current(table, FEBRUARY) for table in TABLES} == before


def test_a_window_without_files_gives_empty_partitions(
    results: dict[Window, dict[str, Any]], run: Callable[..., Any], lake: Lake
) -> None:
    march = Window(FEBRUARY.end, datetime(2026, 4, 1, tzinfo=UTC))
    code, result = run(march)
    assert (code, result["files_read"], result["batteries"]) == (0, 0, 0)
    assert rows_of(lake, "aggregates", march) == []


def test_columns_without_any_value_are_known_from_the_statistics_of_the_files(
    job: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    columns = {name: pa.nulls(2, pa.float64()) for name in OPTIONAL_COLUMNS}
    first, second = columns | {"cycle_count": pa.array([1.0, None])}, columns | {"step_count": pa.array([1.0, 2.0])}
    for number, one in enumerate((first, second)):
        pq.write_table(pa.table(one), tmp_path / f"{number}.parquet", row_group_size=1)
    found = job("process_measurements").absent_columns(tmp_path)
    assert found == {*OPTIONAL_COLUMNS} - {"cycle_count", "step_count"}
