"""Build the passports of a window, in one Spark application.

    spark-submit jobs/build_passports.py --lake LAKE --window WINDOW --master MASTER --base-iri IRI --result RESULT.json

The batteries of the master data are joined with their aggregates; each task builds and writes the passports of a few hundred
batteries, and only counts come back. The files are those that :func:`battery_pilot.pipeline.build.build` leaves.
"""

from __future__ import annotations

import sys
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
from pyspark import TaskContext
from pyspark.errors import PythonException
from pyspark.sql.functions import sum as total
from spark_session import job_parser, run_job

from battery_pilot.errors import BatteryPilotError, PassportError
from battery_pilot.lake import Lake, Window, read_json, write_json
from battery_pilot.passport.completeness import Tally
from battery_pilot.passport.key_table import KeyTable
from battery_pilot.pipeline.build import (
    WANTED,
    Made,
    aggregates_of,
    join_parts,
    publish_passports,
    stage_wanted,
    write_part,
)
from battery_pilot.pipeline.wanted import subjects_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import SparkSession


BATTERIES_A_TASK = 500
FAULT = "fault.json"
COUNTS = ("passports", "mandatory", "present", "incomplete")


def main(argv: list[str] | None = None) -> int:
    """Run the job and return its exit code: 0, or 1 with the reason in the result.

    :param argv: command line without the program's name; ``None`` takes the process's own.
    """
    parser = job_parser(__doc__.splitlines()[0])
    parser.add_argument("--lake", type=Path, required=True, help="the provider's lake")
    parser.add_argument("--window", type=Window.parse, required=True, help="20260101T000000Z_20260201T000000Z")
    parser.add_argument("--master", type=Path, required=True, help="folder with the master-data tables")
    parser.add_argument("--base-iri", required=True, help="prefix of all identifiers")
    chosen = parser.parse_args(argv)
    lake = Lake(chosen.lake)

    def work(spark: SparkSession) -> dict[str, Any]:
        make = partial(make_passports, spark, lake, chosen.window, chosen.master, chosen.base_iri)
        return publish_passports(lake, chosen.window, make)

    return run_job("build_passports", chosen.result, work)


def make_passports(
    spark: SparkSession, lake: Lake, window: Window, master: Path, base_iri: str, staged: Path
) -> Made:
    """Write the window's passports into a staged folder that all executors see."""
    folder = aggregates_of(lake, window)
    shared, count = stage_wanted(lake, master, window, base_iri, _measured(folder), staged)
    batteries = spark.read.parquet(str(staged / WANTED))
    rows = batteries.join(spark.read.parquet(str(folder)), "battery_id", "left")
    tasks = max(spark.sparkContext.defaultParallelism, -(-count // BATTERIES_A_TASK))
    # By name, so that the parts joined have the order of the names, as without Spark.
    parts = rows.repartitionByRange(tasks, "battery_id").sortWithinPartitions("battery_id")
    write = task(spark.sparkContext.broadcast(shared), lake, base_iri, staged)
    made = parts.mapInArrow(write, ", ".join(f"{name} long" for name in COUNTS))
    try:
        counts = made.agg(*(total(name).alias(name) for name in COUNTS)).first()
    except PythonException as error:
        if (staged / FAULT).exists():
            raise PassportError(read_json(staged / FAULT)["error"]) from error
        raise
    join_parts(staged)
    passports, *tally = (counts[name] or 0 for name in COUNTS)
    return Made(passports, Tally(*tally))


def _measured(aggregates: Path) -> KeyTable:
    """Return the names of the batteries that were measured; the driver holds none of them."""
    batches = ds.dataset(aggregates, format="parquet").to_batches(columns=["battery_id"])
    return KeyTable((name, "") for batch in batches for name in batch["battery_id"].to_pylist())


def task(
    shared: Any, lake: Lake, base_iri: str, staged: Path
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """Return what one task does: build and write the passports of its rows, and yield one row of counts.

    :param shared: broadcast of what batteries share.
    """

    def write(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        name = f"{TaskContext.get().partitionId():08d}"
        subjects = chain.from_iterable(subjects_in(batch, shared.value) for batch in batches)
        try:
            made = write_part(subjects, lake, base_iri, staged, name)
        except BatteryPilotError as error:
            # Spark hands on a traceback; this is the sentence for the reader.
            write_json(staged / FAULT, {"error": str(error)})
            raise
        tally = made.tally
        counts = (made.passports, tally.mandatory, tally.present, tally.incomplete)
        yield pa.RecordBatch.from_pylist([dict(zip(COUNTS, counts, strict=True))])

    return write


if __name__ == "__main__":
    sys.exit(main())
