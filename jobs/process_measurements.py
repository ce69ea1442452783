"""Read the landing files of a window and derive what the passports need, in one Spark application.

    spark-submit jobs/process_measurements.py --lake LAKE --window WINDOW --master MASTER --result RESULT.json

Every file is parsed once; rows, spectra and rejects go to the lake's table ``measurements``. Cycles are summarised with SQL
windows, and the sums since begin of life are taken over the cycles of all windows that end no later than this one.
"""

from __future__ import annotations

import logging
import shutil
import sys
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyspark.sql.functions import lit
from pyspark.sql.pandas.types import from_arrow_schema
from spark_session import job_parser, run_job

from battery_pilot.electrochemistry.aggregates import SPECTRUM_COLUMNS
from battery_pilot.electrochemistry.aggregates_sql import aggregate_cycles_sql
from battery_pilot.electrochemistry.condition import Ratings
from battery_pilot.electrochemistry.cycles import COUNTER_TOLERANCE_PERCENT
from battery_pilot.electrochemistry.cycles_sql import cycle_summary_sql
from battery_pilot.electrochemistry.definitions import OPTIONAL_COLUMNS
from battery_pilot.lake import Lake, Window, write_json, write_lines
from battery_pilot.passport.life import closures
from battery_pilot.passport.master import MasterData, read_master
from battery_pilot.pipeline.build import quarantine_file
from battery_pilot.pipeline.checkups import CHECK_UP_COLUMNS, PULSE_COLUMNS
from battery_pilot.pipeline.discover import manifest_of
from battery_pilot.pipeline.documents import DOCUMENT_COLUMNS, keep_documents
from battery_pilot.pipeline.evidence import evidence_sql, series_sql
from battery_pilot.pipeline.parse import Known, latest_time, parse, schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

FILES_A_TASK = 128
RATINGS_AT_ONCE = 20_000
TABLES = ("measurements", "cycles", "spectra", "series", "checkups", "pulses", "aggregates", "files", "documents")


def main(argv: list[str] | None = None) -> int:
    """Run the job and return its exit code: 0, or 1 with the reason in the result.

    :param argv: command line without the program's name; ``None`` takes the process's own.
    """
    parser = job_parser(__doc__.splitlines()[0])
    parser.add_argument("--lake", type=Path, required=True, help="the provider's lake")
    parser.add_argument("--window", type=Window.parse, required=True, help="20260101T000000Z_20260201T000000Z")
    parser.add_argument("--master", type=Path, required=True, help="folder with the master-data tables")
    arguments = parser.parse_args(argv)
    return run_job(
        "process_measurements",
        arguments.result,
        lambda spark: process(spark, Lake(arguments.lake), arguments.window, read_master(arguments.master, ())),
    )


def process(spark: SparkSession, lake: Lake, window: Window, master: MasterData) -> dict[str, Any]:
    """Write the window's partitions of all tables and return the job's result."""
    staged = lake.staging()
    try:
        write_measurements(spark, lake, window, master, staged / "measurements")
        measured = spark.read.schema(from_arrow_schema(schema())).parquet(str(staged / "measurements"))
        counts = write_files(measured, lake, window, staged / "files")
        counts["documents"] = keep_documents(
            (row.asDict() for row in measured.where("kind = 'document'").select(*DOCUMENT_COLUMNS).toLocalIterator()),
            lake,
            staged / "documents",
        )
        write_ratings(master, staged / "ratings.parquet")
        spark.read.parquet(str(staged / "ratings.parquet")).createOrReplaceTempView("ratings")
        # A null that is written in a query reaches no shuffle and no window; one in a column goes through all of them.
        absent = absent_columns(staged / "measurements" / "kind=cycling")
        nulls = {name: lit(None).cast(measured.schema[name].dataType) for name in absent}
        measured.where("kind = 'cycling'").withColumns(nulls).createOrReplaceTempView("cycling_rows")
        spark.sql(cycle_summary_sql("cycling_rows", "ratings")).write.parquet(str(staged / "cycles"))
        counts["cycles_off_counter"] = count_off_counter(staged / "cycles")
        spark.sql(series_sql("cycling_rows")).write.parquet(str(staged / "series"))
        measured.where("kind = 'spectrum'").select(*SPECTRUM_COLUMNS).write.parquet(str(staged / "spectra"))
        measured.where("kind = 'checkup'").select(*CHECK_UP_COLUMNS).write.parquet(str(staged / "checkups"))
        measured.where("kind = 'pulse'").select(*PULSE_COLUMNS).write.parquet(str(staged / "pulses"))
        counts["batteries"] = write_aggregates(spark, lake, window, staged)
        for table in TABLES:
            lake.publish(table, window, staged / table)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return counts


def write_measurements(spark: SparkSession, lake: Lake, window: Window, master: MasterData, target: Path) -> None:
    """Parse the files of the window's manifest, in parallel, into one Parquet folder by kind of record."""
    manifest = manifest_of(lake, window)
    of_model = {model_id: model.ratings() for model_id, model in master.models.items()}
    ratings = {battery_id: of_model[model_id] for battery_id, model_id in master.model_of.items()}
    known = spark.sparkContext.broadcast(
        Known(frozenset(ratings), frozenset(master.models), closures(master.events), ratings)
    )
    not_after = latest_time(window)

    def parse_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for file in batch.to_pylist():
                arrived_on = datetime.fromisoformat(file["arrived_on"])
                yield from parse(Path(file["path"]), arrived_on, known.value, not_after)

    files = spark.read.schema("path string, arrived_on string").json(str(manifest))
    tasks = max(spark.sparkContext.defaultParallelism, count_lines(manifest) // FILES_A_TASK)
    parsed = files.repartition(tasks, "path").mapInArrow(parse_batches, from_arrow_schema(schema()))
    parsed.write.partitionBy("kind").parquet(str(target))


def write_files(measured: DataFrame, lake: Lake, window: Window, target: Path) -> dict[str, int]:
    """Write one record a file, the quarantine list and the counts; return the counts."""
    columns = ("source_path", "source_sha256", "format", "battery_id", "reason", "warnings")
    files = measured.where("kind = 'file'").select(*columns).toLocalIterator()
    rejects: list[dict[str, str]] = []

    def records() -> Iterator[dict[str, Any]]:
        for row in files:
            if row.reason is not None:
                rejects.append({"file": row.source_path, "reason": row.reason})
            yield row.asDict()

    read = write_lines(target / "files.jsonl", records())
    counts = {"files_read": read, "files_rejected": len(rejects)}
    write_json(target / "counts.json", counts)
    write_lines(quarantine_file(lake, window), sorted(rejects, key=lambda one: one["file"]))
    return counts


def write_ratings(master: MasterData, target: Path) -> None:
    """Write the rated values of every battery, a few at a time."""
    ratings = {model_id: model.ratings().model_dump() for model_id, model in master.models.items()}
    columns = pa.schema([("battery_id", pa.string()), *((name, pa.float64()) for name in Ratings.model_fields)])
    batteries = iter(master.model_of.items())
    with pq.ParquetWriter(target, columns) as table:
        while block := list(islice(batteries, RATINGS_AT_ONCE)):
            rows = [{"battery_id": battery_id, **ratings[model_id]} for battery_id, model_id in block]
            table.write_table(pa.Table.from_pylist(rows, schema=columns))


def absent_columns(rows: Path) -> set[str]:
    """Return the optional columns that are null in every row, as far as the statistics of the Parquet files tell.

    :param rows: folder of the files; without it there are no rows.
    """
    present: set[str] = set()
    for path in rows.glob("*.parquet"):
        metadata = pq.read_metadata(path)
        for group in map(metadata.row_group, range(metadata.num_row_groups)):
            for column in map(group.column, range(group.num_columns)):
                facts = column.statistics
                if facts is None or not facts.has_null_count or facts.null_count < column.num_values:
                    present.add(column.path_in_schema)
    return set(OPTIONAL_COLUMNS) - present


def write_aggregates(spark: SparkSession, lake: Lake, window: Window, staged: Path) -> int:
    """Bring all that is known of the window's batteries into one row each; return how many there are."""
    before = [other for other in lake.windows("cycles") if other.end <= window.end and other != window]
    for table in ("cycles", "spectra"):
        paths = [str(path) for other in before if (path := lake.current(table, other))]
        new = spark.read.parquet(str(staged / table))
        new.createOrReplaceTempView(f"new_{table}")
        spark.read.schema(new.schema).parquet(*paths, str(staged / table)).createOrReplaceTempView(f"all_{table}")
    seen = spark.sql("SELECT battery_id FROM new_cycles UNION SELECT battery_id FROM new_spectra")
    aggregates = spark.sql(aggregate_cycles_sql("all_cycles", "all_spectra", window.start, latest_time(window)))
    evidence = named_files(spark, lake, before, staged)
    aggregates = aggregates.join(seen, "battery_id", "left_semi").join(evidence, "battery_id", "left")
    aggregates.write.parquet(str(staged / "aggregates"))
    return int(ds.dataset(staged / "aggregates", format="parquet").count_rows())


def named_files(spark: SparkSession, lake: Lake, before: list[Window], staged: Path) -> DataFrame:
    """Return the spectra and usage files that each battery's passport names: the newest of all windows."""
    folders = [path for other in before if (path := lake.current("measurements", other))] + [staged / "measurements"]
    for kind, view in (("file", "known_files"), ("spectrum", "named_spectra")):
        rows_of_kind(spark, folders, kind).createOrReplaceTempView(view)
    new = spark.read.parquet(str(staged / "series"))
    # Windows that an earlier release has processed have no such table.
    series = [str(path) for other in before if (path := lake.current("series", other))]
    spark.read.schema(new.schema).parquet(*series, str(staged / "series")).createOrReplaceTempView("all_series")
    return spark.sql(evidence_sql("named_spectra", "all_series", "known_files", schema().names))


def rows_of_kind(spark: SparkSession, folders: list[Path], kind: str) -> DataFrame:
    """Return the records of one kind from the ``measurements`` of several windows; a kind without records has no folder."""
    columns = from_arrow_schema(schema())
    paths = [str(path) for folder in folders if (path := folder / f"kind={kind}").is_dir()]
    return spark.read.schema(columns).parquet(*paths) if paths else spark.createDataFrame([], columns)


def count_off_counter(cycles: Path) -> int:
    """Return in how many cycles the integrated charge and the cycler's own counters disagree, and say so."""
    table = ds.dataset(cycles, format="parquet")
    count = int(table.count_rows(filter=ds.field("counter_disagreement_percent") > COUNTER_TOLERANCE_PERCENT))
    if count:
        log.warning("%d cycles differ by more than %g %% from their counters", count, COUNTER_TOLERANCE_PERCENT)
    return count


def count_lines(path: Path) -> int:
    """Return the number of lines of a file."""
    with path.open("rb") as file:
        return sum(1 for _ in file)


if __name__ == "__main__":
    sys.exit(main())
