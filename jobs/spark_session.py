"""What all Spark jobs share: the session, the history and how a job tells its result."""

from __future__ import annotations

import argparse
import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from py4j.protocol import Py4JJavaError
from pyspark.errors import AnalysisException
from pyspark.sql import DataFrame, SparkSession

from battery_pilot.errors import BatteryPilotError, InputError, TransientError
from battery_pilot.lake import write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WINDOW_ROWS_IN_MEMORY = 100_000
LOCAL_SHUFFLE_PARTITIONS = 4
GENERATED_CLASSES = 1000
"""How many compiled classes Spark keeps. The cycle summary alone has more than the default of 100: each would be compiled
again, by Spark and by Java, whenever it is needed again."""

_UNREADABLE = re.compile(r"\[(PATH_NOT_FOUND|UNABLE_TO_INFER_SCHEMA|PARQUET_TYPE_ILLEGAL|FAILED_READ_FILE)\b[^\n]*")


@contextmanager
def spark_session(name: str) -> Iterator[SparkSession]:
    """Yield a session whose times are in UTC, written to Parquet too; one that was open before stays open.

    Everything else (master, memory, log level) is the business of ``spark-submit``.

    :param name: name of the application.
    """
    already_open = SparkSession.getActiveSession() is not None
    builder = SparkSession.builder.appName(name).config("spark.sql.codegen.cache.maxEntries", GENERATED_CLASSES)
    spark = builder.getOrCreate()
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    # The default, INT96, is read by other programs as a time without a zone.
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    # Windows over the rows of a log: from the default of 4,096 rows on Spark would move them into a slower buffer.
    spark.conf.set("spark.sql.windowExec.buffer.in.memory.threshold", WINDOW_ROWS_IN_MEMORY)
    if (spark.conf.get("spark.master") or "").startswith("local"):
        spark.conf.set("spark.sql.shuffle.partitions", LOCAL_SHUFFLE_PARTITIONS)
    try:
        yield spark
    finally:
        if not already_open:
            spark.stop()


def job_parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the argument that every job has: ``--result``."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--result",
        type=Path,
        required=True,
        help="file for the result, a JSON object; also printed as a line RESULT {…}",
    )
    return parser


def run_job(name: str, result_file: Path, work: Callable[[SparkSession], dict[str, Any]]) -> int:
    """Run the work of a job, tell its result and return the exit code.

    The result is a JSON object in the file and on one line of the output. It has ``job`` and ``status``, ``succeeded``
    with what the work returned or ``failed`` with ``error`` (one sentence) and ``retry`` (whether trying again can help).
    An error that nobody foresaw is not caught: then there is a traceback and no result file.

    :param name: name of the job.
    :param result_file: removed at the start, so that it never holds the result of another run.
    :param work: gets the session and returns JSON values.
    :return: 0, or 1 when the work failed with an error of Battery Pilot.
    """
    result_file.unlink(missing_ok=True)
    result: dict[str, Any] = {"job": name}
    try:
        with spark_session(name) as spark:
            result |= {"status": "succeeded"} | work(spark)
    except BatteryPilotError as error:
        result |= {"status": "failed", "error": str(error), "retry": isinstance(error, TransientError)}
    write_json(result_file, result)
    print(
        "RESULT", json.dumps(result, ensure_ascii=False, allow_nan=False), flush=True
    )  # the contract with the caller
    return 0 if result["status"] == "succeeded" else 1


def read_parquet(spark: SparkSession, path: Path, columns: tuple[str, ...]) -> DataFrame:
    """Return the columns of a Parquet file or folder.

    :param spark: the session.
    :param path: file or folder.
    :param columns: which columns it must have.
    :raises InputError: if it cannot be read or a column is missing.
    """
    try:
        table = spark.read.parquet(str(path))
    except (AnalysisException, Py4JJavaError) as error:
        reason = _UNREADABLE.search(str(error))
        if reason is None:
            raise
        raise InputError(
            f"{path}: expected a Parquet file or folder with times in microseconds: {reason[0]}"
        ) from error
    missing = [column for column in columns if column not in table.columns]
    if missing:
        raise InputError(f"{path}: column {', '.join(missing)} is missing; expected {', '.join(columns)}")
    return table.select(*columns)
