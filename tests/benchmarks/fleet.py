"""Passports of fleets of several sizes through the Spark job: processor time must be in proportion, memory the same.

``make bench ARGS="--only fleet --batteries 1000"`` measures one size; :mod:`tests.benchmarks.run` takes :func:`table`. A
small simulated fleet goes through the job ``process_measurements``; its aggregates, with the files they name, are repeated
under other names. 100,000 batteries need 4 GB of disk, which are free again at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from battery_pilot.lake import Lake, Window, read_json
from battery_pilot.passport.master import MasterData, read_master, write_master
from battery_pilot.pipeline.discover import discover
from battery_pilot.pipeline.subjects import TABLE
from battery_pilot.simulate import simulate_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
WINDOW = Window(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC))
SIMULATED = 5
PROCESSES = 2
BLOCK = 20_000
SIZES = (1_000, 10_000, 100_000)
KINDS = ("driver", "java", "worker")
"""Python of the driver, Java of the driver, and the Python processes that build."""


def run(count: int, folder: Path) -> dict[str, float]:
    """Build the passports of a fleet and return what it took.

    :param count: number of batteries.
    :param folder: the simulated fleet of :func:`prepare`.
    :return: name with its unit to value; processor time is that of all processes.
    """
    target = folder / "large"
    try:
        repeat(folder, target, count)
        words = ["--lake", target / "lake", "--window", WINDOW.key, "--master", target / "master"]
        words += ["--base-iri", "https://example.com/dbp"]
        started = time.perf_counter()
        result, seconds, megabytes = submit("build_passports", words, target / "result.json")
        wall = time.perf_counter() - started
        if result["passports"] != count:
            raise SystemExit(f"{result['passports']} passports of {count} batteries")
        return {
            "batteries": count,
            "wall_seconds": wall,
            "bytes": sum(path.stat().st_size for path in _built(target / "lake").rglob("*") if path.is_file()),
            **{f"{kind}_cpu_seconds": seconds[kind] for kind in KINDS},
            **{f"{kind}_megabytes": megabytes[kind] for kind in KINDS},
        }
    finally:
        shutil.rmtree(target, ignore_errors=True)


def _built(root: Path) -> Path:
    found = Lake(root).current(TABLE, WINDOW)
    if found is None:
        raise SystemExit(f"{root}: the job left no passports")
    return found


def prepare(folder: Path) -> None:
    """Simulate a small fleet with a month of logs and spectra, and process it."""
    simulate_fleet(folder, batteries=SIMULATED, months=1, seed=5, cycles_per_month=3)
    lake = Lake(folder / "lake")
    discover(lake, folder / "landing", WINDOW)
    words = ["--lake", lake.root, "--window", WINDOW.key, "--master", folder / "master"]
    submit("process_measurements", words, folder / "result.json")


def repeat(folder: Path, target: Path, count: int) -> None:
    """Make master data and aggregates of a fleet out of those of a small one."""
    few = read_master(folder / "master")
    items = list(few.batteries.values())
    names = [f"PACK-{number:07d}" for number in range(count)]
    many = {
        name: items[number % len(items)].model_copy(update={"battery_id": name, "serial_number": f"SN-{number}"})
        for number, name in enumerate(names)
    }
    write_master(target / "master", MasterData(few.models, many, facts=few.facts, operators=few.operators))
    source = Lake(folder / "lake").current("aggregates", WINDOW)
    rows = ds.dataset(source, format="parquet").to_table().sort_by("battery_id")
    lake = Lake(target / "lake")
    staged = lake.staging()
    with pq.ParquetWriter(staged / "part-0.parquet", rows.schema) as table:
        for start in range(0, count, BLOCK):
            block = names[start : start + BLOCK]
            taken = rows.take([number % rows.num_rows for number in range(start, start + len(block))])
            table.write_table(
                taken.set_column(rows.schema.get_field_index("battery_id"), "battery_id", pa.array(block))
            )
    lake.publish("aggregates", WINDOW, staged)


def submit(
    job: str, words: list[object], result: Path
) -> tuple[dict[str, float], dict[str, float], dict[str, float]]:
    """Run a job as Airflow would, and return its result, and processor time and peak memory of its processes by kind.

    :raises SystemExit: the job failed.
    """
    script = ROOT / "jobs" / f"{job}.py"
    options = ["--master", f"local[{PROCESSES}]", "--driver-memory", "1g", "--conf", "spark.ui.enabled=false"]
    command = [Path(sys.executable).parent / "spark-submit", *options, script, *words, "--result", result]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(list(map(str, command)), stdout=log, stderr=log, env=environment)
        seconds: dict[tuple[str, int], float] = {}
        peaks: dict[str, float] = defaultdict(float)
        while process.poll() is None:
            for kind, pid, used, megabytes in _family(process.pid):
                seconds[kind, pid] = used
                peaks[kind] = max(peaks[kind], megabytes)
            time.sleep(1)
        if process.returncode:
            log.seek(0)
            raise SystemExit(f"{job} failed:\n{log.read()[-3000:]}")
    total = {kind: sum(used for (of, _), used in seconds.items() if of == kind) for kind in KINDS}
    return read_json(result), total, dict(peaks)


def _family(ancestor: int) -> Iterator[tuple[str, int, float, float]]:
    """Yield kind, process id, processor time in seconds and peak memory in MB of a process and all it started."""
    parents, ticks = {}, os.sysconf("SC_CLK_TCK")
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            status = (path / "status").read_text()
            command = (path / "cmdline").read_bytes()
        except OSError:  # ended meanwhile
            continue
        if not command:  # ended, and nobody has asked for its exit code yet
            continue
        peak = next((int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0)
        kind = (
            "java" if b"java" in command.split(b"\0")[0] else "worker" if b"pyspark.daemon" in command else "driver"
        )
        parents[int(path.name)] = (int(fields[1]), kind, (int(fields[11]) + int(fields[12])) / ticks, peak)
    for pid, (_, kind, used, peak) in parents.items():
        above = pid
        while above in parents and above != ancestor:
            above = parents[above][0]
        if above == ancestor:
            yield kind, pid, used, peak


def table(counts: Sequence[int], folder: Path) -> list[str]:
    """Build fleets of several sizes and return a table in Markdown.

    :param counts: numbers of batteries.
    :param folder: scratch; it is removed, also what a run that was killed has left.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    lines = [
        "| batteries | processor time each, ms | driver, Java, workers, s | wall, s | peak memory of driver, Java, one worker, MB "
        "| disk each, kB |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    try:
        prepare(folder)
        for count in counts:
            found = run(count, folder)
            print(json.dumps(found), file=sys.stderr, flush=True)
            lines.append(_row(found))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return lines


def _row(found: Mapping[str, float]) -> str:
    count = int(found["batteries"])
    seconds, megabytes = ([found[f"{kind}_{unit}"] for kind in KINDS] for unit in ("cpu_seconds", "megabytes"))
    cells = [
        f"{count:,}",
        f"{1000 * sum(seconds) / count:.1f}",
        ", ".join(f"{one:.0f}" for one in seconds),
        f"{found['wall_seconds']:.0f}",
        ", ".join(f"{one:.0f}" for one in megabytes),
        f"{found['bytes'] / count / 1000:.1f}",
    ]
    return f"| {' | '.join(cells)} |"
