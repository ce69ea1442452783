from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import folder as reading
from battery_pilot.measurements import read, read_bytes
from battery_pilot.measurements.folder import FILES_A_TASK, files_below, read_files
from battery_pilot.measurements.writing import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def laboratory(tmp_path: Path, samples: dict[str, str]) -> Path:
    """A folder with more files than one task takes, one of them broken and one hidden."""
    top = tmp_path / "laboratory"
    (top / "deep").mkdir(parents=True)
    for number in range(2 * FILES_A_TASK):
        name = ["gamry.dta", "arbin.csv", "maccor.001"][number % 3]
        (top / "deep" / f"{number:03d}-{name}").write_text(samples[name])
    (top / "notes.txt").write_text("nothing to see")
    (top / ".hidden.csv").write_text(samples["arbin.csv"])
    return top


def test_hidden_files_are_left_alone(laboratory: Path) -> None:
    assert {path.name for path in files_below(laboratory)} >= {"notes.txt", "000-gamry.dta"}
    assert not any(path.name.startswith(".") for path in files_below(laboratory))


def test_what_cannot_be_looked_at_is_a_reject_and_pipes_are_left_alone(
    laboratory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(laboratory / "pipe.csv")
    (laboratory / "loop").symlink_to(laboratory)
    (laboratory / "broken.csv").symlink_to(laboratory / "gone.csv")
    (laboratory / "closed").mkdir()
    scan = os.scandir

    def scan_or_refuse(folder: str) -> object:
        if os.fspath(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(folder))
        return scan(folder)

    with monkeypatch.context() as patched:
        patched.setattr(os, "scandir", scan_or_refuse)
        paths = files_below(laboratory)
    assert {"broken.csv", "closed"} <= {path.name for path in paths}
    assert {"pipe.csv", "loop"}.isdisjoint(path.name for path in paths)
    rejected = {
        Path(report.path).name: str(report.reason) for report in read_files(paths, processes=1) if report.reason
    }
    assert rejected.keys() == {"notes.txt", "broken.csv", "closed"}
    assert "cannot be opened" in rejected["closed"]


@pytest.mark.parametrize("processes", [1, 2])
def test_every_file_is_reported_in_order_whatever_the_number_of_processes(laboratory: Path, processes: int) -> None:
    paths = files_below(laboratory)
    reports = list(read_files(paths, processes=processes))
    assert [report.path for report in reports] == [str(path) for path in paths]
    rejected = [report for report in reports if report.reason]
    assert [Path(report.path).name for report in rejected] == ["notes.txt"]
    assert "unknown format" in str(rejected[0].reason)
    assert {report.format for report in reports if not report.reason} == {"gamry-dta", "arbin-csv", "maccor-text"}


@pytest.mark.parametrize("processes", [1, 2])
def test_tables_of_a_folder_have_one_schema_and_a_row_group_a_file(
    laboratory: Path, tmp_path: Path, processes: int
) -> None:
    paths = files_below(laboratory)
    reports = list(read_files(paths, processes=processes, out=tmp_path / "out"))
    table = pq.read_table(tmp_path / "out")
    assert table.schema.names == SCHEMA.names
    assert table.num_rows == sum(report.rows for report in reports)
    for part in (tmp_path / "out").iterdir():
        file = pq.ParquetFile(part)
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group, columns=["source_path", "source_sha256"])
            (path,) = set(rows["source_path"].to_pylist())
            assert set(rows["source_sha256"].to_pylist()) == {read(Path(path)).source_sha256}


def test_a_file_that_ends_its_process_is_a_reject_and_costs_no_other_file(
    laboratory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = laboratory / "deep" / "007-arbin.csv"

    def read_or_die(data: bytes, name: str) -> object:
        if name == str(deadly):
            os.kill(os.getpid(), signal.SIGKILL)
        return read_bytes(data, name)

    monkeypatch.setattr(reading, "read_bytes", read_or_die)
    paths = files_below(laboratory)
    reports = list(read_files(paths, processes=2, out=tmp_path / "out"))
    assert [report.path for report in reports] == [str(path) for path in paths]
    assert not any(part.name.startswith(".") for part in (tmp_path / "out").iterdir())
    assert pq.read_table(tmp_path / "out").num_rows == sum(report.rows for report in reports)
    rejected = {Path(report.path).name: report.reason for report in reports if report.reason}
    assert rejected.keys() == {"notes.txt", deadly.name}
    assert "ended" in str(rejected[deadly.name])


def test_the_processes_end_with_the_one_that_started_them(
    laboratory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers = tmp_path / "workers"
    workers.mkdir()

    def read_forever(data: bytes, name: str) -> None:
        (workers / str(os.getpid())).touch()
        time.sleep(60)

    monkeypatch.setattr(reading, "read_bytes", read_forever)
    paths = files_below(laboratory)
    reader = multiprocessing.get_context("fork").Process(target=lambda: list(read_files(paths, processes=2)))
    reader.start()
    assert _becomes(lambda: len(list(workers.iterdir())) == 2)
    reader.kill()
    reader.join()
    assert _becomes(lambda: not any(_runs(worker.name) for worker in workers.iterdir()))


def _becomes(condition: Callable[[], bool]) -> bool:
    """Wait up to ten seconds for a condition."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def _runs(process: str) -> bool:
    try:
        return Path("/proc", process, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_columns_without_a_place_in_the_common_schema_are_named(tmp_path: Path) -> None:
    log = tmp_path / "log.bdf.csv"
    log.write_text("test_time_second,voltage_volt,current_ampere,power_watt\n0,3.7,1,3.7\n1,3.7,1,3.7\n")
    (report,) = read_files([log], processes=1, out=tmp_path / "out")
    assert any("power_watt" in warning for warning in report.warnings)
    assert pq.read_table(tmp_path / "out").num_rows == 2


def test_a_missing_file_is_a_reject(tmp_path: Path) -> None:
    (report,) = read_files([tmp_path / "gone.csv"], processes=1)
    assert "cannot be opened" in str(report.reason)
    with pytest.raises(MeasurementError):
        read(tmp_path / "gone.csv")


def test_a_document_is_reported_as_such(tmp_path: Path) -> None:
    (tmp_path / "manual.pdf").write_bytes(b"%PDF-1.7\n%%EOF\n")
    (report,) = read_files(files_below(tmp_path), processes=1)
    assert (report.kind, report.format, report.rows, report.reason) == ("document", "pdf", 0, None)
