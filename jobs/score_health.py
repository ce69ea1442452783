"""Score the newest check-up of every battery with the released models, and test the health model on unseen batteries.

    spark-submit jobs/score_health.py --history HISTORY --models MODELS --output PREDICTIONS --result RESULT.json

The predictions go to the Parquet folder OUTPUT and, one JSON object a line, to ``predictions.jsonl`` next to it.
"""

from __future__ import annotations

import sys
from functools import reduce
from pathlib import Path
from typing import Any

import remaining_life
from pyspark.ml import PipelineModel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import date_format
from spark_session import job_parser, read_parquet, run_job

from battery_pilot.errors import InputError
from battery_pilot.lake import write_lines
from battery_pilot.learning import evaluation, features, model_store, training


def main(argv: list[str] | None = None) -> int:
    """Run the job and return its exit code: 0, or 1 with the reason in the result.

    :param argv: command line without the program's name; ``None`` takes the process's own.
    """
    parser = job_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--history", type=Path, required=True, help="Parquet with one row for each battery and check-up"
    )
    parser.add_argument("--models", type=Path, required=True, help="folder that train_health_model wrote")
    parser.add_argument("--output", type=Path, required=True, help="Parquet folder for the predictions; replaced")
    parser.add_argument("--horizon-days", type=float, default=30.0, help="how far to predict, days (default: 30)")
    arguments = parser.parse_args(argv)
    if not 0 < arguments.horizon_days <= 3660:
        parser.error("--horizon-days: expected a number above 0 and up to 3660")
    return run_job(
        "score_health",
        arguments.result,
        lambda spark: score(spark, arguments.history, arguments.models, arguments.output, arguments.horizon_days),
    )


def score(spark: SparkSession, history: Path, models: Path, output: Path, horizon_days: float) -> dict[str, Any]:
    """Write the predictions and return the job's result.

    ``predictions`` is their number; ``count``, ``mae``, ``baseline_mae`` and ``interval_coverage`` are of the back-test, and
    null with a ``reason`` where there is nothing to test on.

    :raises TerminalError: if there is no model or the history cannot be used.
    """
    read_parquet(spark, history, features.HISTORY_COLUMNS).createOrReplaceTempView("history")
    found = spark.sql(features.history_summary_sql("history")).first()
    training.refuse_repeated(found.repeated_battery, history)
    spark.sql(features.features_sql("history")).createOrReplaceTempView("features")
    life = remaining_life.predictions(spark, models)
    if life is not None and not model_store.is_released(models):
        health, told = None, {"model_version": None, "reason": "no model of the next state of health is released"}
    else:
        health, told = score_health(spark, models, horizon_days)
    tables = [table for table in (health, life and life[0]) if table is not None]
    lines, count = write_predictions(reduce(DataFrame.unionAll, tables).sort("battery_id", "metric"), output)
    return {
        "horizon_days": horizon_days,
        "predictions": count,
        "remaining_life_model_version": life and life[1],
        "ignored_rows": found.ignored_rows,
        **told,
        "output": str(output),
        "lines": str(lines),
    }


def score_health(spark: SparkSession, models: Path, horizon_days: float) -> tuple[DataFrame, dict[str, Any]]:
    """Return the predictions of the next state of health and what is told about their model."""
    card = model_store.current_card(models, model_store.ModelCard)
    model = load(models / card.version, card)
    predicted = model.transform(checkups_to_score(spark, models / card.version)).localCheckpoint()
    predicted.createOrReplaceTempView("predicted")
    errors = spark.sql(evaluation.evaluation_sql("predicted", card.interval)).first().asDict()
    missing = predicted.selectExpr(features.missing_sql(card.features, "days_to_next IS NULL")).first()[0]
    if not errors["count"]:
        errors["reason"] = "no battery outside the training set has two check-ups or more"
    told = {
        "model_version": card.version,
        "imputed": {name: number for name, number in missing.items() if number},
        **errors,
    }
    return spark.sql(evaluation.predictions_sql("predicted", card.interval, horizon_days, card.version)), told


def load(folder: Path, card: model_store.ModelCard) -> PipelineModel:
    """Return the pipeline of a published model.

    :raises InputError: if this version of Battery Pilot does not derive what the model sees.
    """
    unknown = [name for name in card.features if name not in features.FEATURES]
    if unknown:
        raise InputError(
            f"{folder}: the model sees {', '.join(unknown)}, which this version of Battery Pilot does not derive; train again"
        )
    return PipelineModel.load(str(folder / model_store.PIPELINE))


def checkups_to_score(spark: SparkSession, model_folder: Path) -> DataFrame:
    """Return every battery's newest check-up and, of batteries that the model never saw, the earlier ones too."""
    spark.sql(features.next_checkup_sql("features")).createOrReplaceTempView("checkups")
    spark.read.parquet(str(model_folder / model_store.TRAINING_BATTERIES)).createOrReplaceTempView(
        "training_batteries"
    )
    return spark.sql("""
        SELECT checkups.*, training_batteries.battery_id IS NOT NULL AS trained_on
        FROM checkups LEFT JOIN training_batteries USING (battery_id)
        WHERE days_to_next IS NULL OR training_batteries.battery_id IS NULL""")


def write_predictions(predictions: DataFrame, output: Path) -> tuple[Path, int]:
    """Write the predictions as Parquet and as JSON lines; return the path of the lines and their number.

    The lines are streamed partition by partition, so that a fleet never has to fit into the driver's memory.
    """
    predictions.write.mode("overwrite").parquet(str(output))
    # Rendered by Spark: as a Python datetime it would come in the time zone of the driver's machine.
    rendered = predictions.withColumn("for_time", date_format("for_time", "yyyy-MM-dd'T'HH:mm:ss.SSSSSS'Z'"))
    lines = output.parent / "predictions.jsonl"
    return lines, write_lines(lines, (row.asDict() for row in rendered.toLocalIterator()))


if __name__ == "__main__":
    sys.exit(main())
