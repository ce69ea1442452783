"""Read new notifications of the context broker into a Parquet table, each once (Spark Structured Streaming).

    spark-submit jobs/read_notifications.py --notifications FOLDER --output TABLE --checkpoint FOLDER --result RESULT.json

``--notifications`` is the folder that `battery-pilot orion receive` writes to. The job takes what is there and ends; run
again it goes on where it stopped.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spark_session import job_parser, run_job

from battery_pilot.errors import InputError
from battery_pilot.services.notifications import SPARK_SCHEMA

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def main(argv: list[str] | None = None) -> int:
    """Run the job and return its exit code: 0, or 1 with the reason in the result.

    :param argv: command line without the program's name; ``None`` takes the process's own.
    """
    parser = job_parser(__doc__.splitlines()[0])
    parser.add_argument("--notifications", type=Path, required=True, help="folder with the received JSON lines")
    parser.add_argument("--output", type=Path, required=True, help="Parquet table, by day; added to")
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder where Spark keeps what it has read")
    arguments = parser.parse_args(argv)
    return run_job(
        "read_notifications",
        arguments.result,
        lambda spark: read(spark, arguments.notifications, arguments.output, arguments.checkpoint),
    )


def read(spark: SparkSession, notifications: Path, output: Path, checkpoint: Path) -> dict[str, Any]:
    """Add the values that are new and return how many there were.

    :raises InputError: there is no such folder.
    """
    if not notifications.is_dir():
        raise InputError(f"{notifications}: no such folder; start `battery-pilot orion receive` first")
    lines = spark.readStream.schema(f"{SPARK_SCHEMA}, date date").json(str(notifications))
    query = (
        lines.writeStream.format("parquet")
        .option("path", str(output))
        .option("checkpointLocation", str(checkpoint))
        .partitionBy("date")
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    count = sum(progress["numInputRows"] for progress in query.recentProgress)
    return {"values": count, "output": str(output)}


if __name__ == "__main__":
    sys.exit(main())
