"""Workload of the cycle summaries: ten million rows of real discharges, by our engines and by polars.

The functions write the file and measure one run each; :mod:`tests.benchmarks.run` puts the figures into a table.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from battery_pilot.electrochemistry.condition import Ratings
from battery_pilot.electrochemistry.cycles import summarise_cycles
from battery_pilot.electrochemistry.cycles_sql import RATING_COLUMNS, ROW_COLUMNS, cycle_summary_sql
from tests.benchmarks.workloads import PEERS, SHARED, WORK

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS = 10_000_000
RATINGS = Ratings(
    rated_capacity_ah=2,
    minimum_voltage_volt=2.7,
    maximum_voltage_volt=4.2,
    idle_temperature_minimum_celsius=10,
    idle_temperature_maximum_celsius=33,
)
PEER = PEERS / "polars_cycles.py"
"""The same sums in polars, run by an interpreter that has polars."""

ROUNDS = 5
"""Until Java has compiled what it will compile."""


def cycle_rows() -> Path:
    """Return a Parquet file with the discharges of the NASA cells, each cell copied until there are ten million rows."""
    target = WORK / "cycles.parquet"
    if not target.exists():
        half = target.with_suffix(".part")
        half.parent.mkdir(parents=True, exist_ok=True)
        cells, rows, copies = _nasa_cells(), 0, 0
        with pq.ParquetWriter(half, _as_file(*cells[0], 0).schema) as writer:
            while rows < ROWS:
                tables = [_as_file(name, cell, copies) for name, cell in cells]
                writer.write_table(pa.concat_tables(tables))
                rows, copies = rows + sum(table.num_rows for table in tables), copies + 1
        half.rename(target)
    return target


def _nasa_cells() -> list[tuple[str, pd.DataFrame]]:
    """Read the discharge tests of each cell, one after the other, an hour apart, each a cycle."""
    folder = SHARED / "ageing" / "nasa-pcoe"
    tests = pd.read_csv(folder / "metadata.csv").query("type == 'discharge'").set_index("filename")
    found: dict[str, list[tuple[int, pd.DataFrame]]] = {}
    with tarfile.open(folder / "cells.tar.xz") as archive:
        for member in archive:
            name = Path(member.name).name
            if name in tests.index:
                content = archive.extractfile(member)
                assert content is not None
                battery, number = str(tests.loc[name, "battery_id"]), int(str(tests.loc[name, "test_id"]))
                found.setdefault(battery, []).append((number, pd.read_csv(content)))
    return [(battery, _one_after_the_other(parts)) for battery, parts in sorted(found.items())]


def _one_after_the_other(parts: list[tuple[int, pd.DataFrame]]) -> pd.DataFrame:
    frames, start = [], 0.0
    for cycle, (_, table) in enumerate(sorted(parts, key=lambda part: part[0]), 1):
        frame = {
            "test_time_second": table["Time"] + start,
            "voltage_volt": table["Voltage_measured"],
            "current_ampere": table["Current_measured"],
            "cycle_count": np.full(len(table), cycle),
            "temperature_t1_celsius": table["Temperature_measured"],
        }
        frames.append(pd.DataFrame(frame))
        start += table["Time"].iloc[-1] + 3600
    return pd.concat(frames, ignore_index=True)


def _as_file(battery: str, rows: pd.DataFrame, copy: int) -> pa.Table:
    name = f"{battery}-{copy:03d}"
    times = pd.Timestamp("2008-04-02", tz="UTC") + pd.to_timedelta(rows["test_time_second"], unit="s")
    table = rows.assign(
        battery_id=name,
        source_sha256=hashlib.sha256(name.encode()).hexdigest(),
        measured_at=times.astype("datetime64[us, UTC]"),
    )
    return pa.Table.from_pandas(table, preserve_index=False)


def ours_second(path: Path) -> float:
    """Read and summarise a file in one process; return the seconds of the second, warm run."""
    return [_timed(path) for _ in range(2)][-1]


def _timed(path: Path) -> float:
    start = time.perf_counter()
    table = pq.read_table(path, read_dictionary=["battery_id", "source_sha256"])
    summarise_cycles(table, RATINGS)
    return time.perf_counter() - start


def polars_second(path: Path, python: Path) -> float:
    """Let polars sum up the same file; return the seconds of the second, warm run.

    :param python: interpreter of an environment with polars.
    """
    answer = subprocess.run([python, PEER, path], check=True, capture_output=True, text=True)
    seconds: list[float] = json.loads(answer.stdout)
    return seconds[-1]


def spark_second(path: Path, cores: int, rounds: int = ROUNDS) -> float:
    """Summarise a file with Spark in a process of its own, with the session of the jobs; return the seconds of the last run."""
    command = [sys.executable, "-m", "tests.benchmarks.cycles", str(path), str(rounds)]
    options = {
        "spark.driver.memory": "6g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "ERROR",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    listed = " ".join(f"--conf {name}={value}" for name, value in options.items())
    environment = {
        "PYSPARK_SUBMIT_ARGS": f"--master local[{cores}] {listed} pyspark-shell",
        "PYTHONPATH": str(Path(__file__).resolve().parents[2] / "jobs"),
    }
    answer = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | environment)
    seconds: list[float] = json.loads(answer.stdout.splitlines()[-1])
    return seconds[-1]


def _spark_rounds(session: SparkSession, path: Path, rounds: int) -> list[float]:
    rows = session.read.parquet(str(path))
    missing = [f"CAST(NULL AS DOUBLE) AS {name}" for name in ROW_COLUMNS if name not in rows.columns]
    rows.selectExpr("*", *missing).createOrReplaceTempView("cycle_rows")
    ratings = [
        f"{value!r}D AS {name}" for name in RATING_COLUMNS[1:] if (value := getattr(RATINGS, name)) is not None
    ]
    batteries = sorted(set(pq.read_table(path, columns=["battery_id"])["battery_id"].unique().to_pylist()))
    values = session.createDataFrame([(battery,) for battery in batteries], "battery_id string")
    values.selectExpr("battery_id", *ratings).createOrReplaceTempView("cycle_ratings")
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        summary = session.sql(cycle_summary_sql("cycle_rows", "cycle_ratings"))
        summary.write.format("noop").mode("overwrite").save()
        seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    """Print the seconds of each round with Spark as JSON: FILE ROUNDS."""
    from spark_session import spark_session

    with spark_session("cycles") as session:
        print(json.dumps(_spark_rounds(session, Path(sys.argv[1]), int(sys.argv[2]))))


if __name__ == "__main__":
    main()
