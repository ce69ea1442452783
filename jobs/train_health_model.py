"""Train the health model: the state of health at a battery's next check-up and its remaining life, from its own past.

    spark-submit jobs/train_health_model.py --history HISTORY --models MODELS --result RESULT.json

Batteries, not check-ups, are split into training and test set. The model is published with the errors that it made on the
test set. It is released, which means used for scoring, only if it beats the last known value and the linear fade there
and if, battery by battery, that is more than luck; otherwise the model that was released before stays, or none. The same
history gives the same version; then nothing is written again.

The remaining useful life is a model of its own in the same run, from the batteries that have reached the end of life; see
``remaining_life.py``.
"""

from __future__ import annotations

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import reduce
from pathlib import Path
from typing import Any

import remaining_life
from pyspark import inheritable_thread_target
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import Imputer, StandardScaler, VectorAssembler
from pyspark.ml.regression import LinearRegression
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql.functions import lit
from spark_session import job_parser, read_parquet, run_job

from battery_pilot.learning import card_page, evaluation, features, model_store, split, training
from battery_pilot.learning.comparison import Comparison, compare
from battery_pilot.learning.health_card import write_health_card
from battery_pilot.learning.remaining_life import END_OF_LIFE_PERCENT

log = logging.getLogger(__name__)


def main(argv: list[str] | None = None) -> int:
    """Run the job and return its exit code: 0, or 1 with the reason in the result.

    :param argv: command line without the program's name; ``None`` takes the process's own.
    """
    parser = job_parser(__doc__.splitlines()[0])
    parser.add_argument(
        "--history", type=Path, required=True, help="Parquet with one row for each battery and check-up"
    )
    parser.add_argument(
        "--models", type=Path, required=True, help="folder for models, seen by driver and workers alike"
    )
    parser.add_argument("--seed", type=int, default=0, help="another seed, another split by battery (default: 0)")
    parser.add_argument(
        "--end-of-life-percent",
        type=float,
        default=END_OF_LIFE_PERCENT,
        help="state of health at which a useful life ends, %% of the rated capacity (default: 80)",
    )
    arguments = parser.parse_args(argv)
    if not 0 < arguments.end_of_life_percent < 100:
        parser.error("--end-of-life-percent: expected a number above 0 and below 100")

    def work(spark: SparkSession) -> dict[str, Any]:
        health = train(spark, arguments.history, arguments.models, arguments.seed)
        life = remaining_life.train(spark, arguments.models, arguments.end_of_life_percent, arguments.seed)
        return health | {"remaining_life": life}

    return run_job("train_health_model", arguments.result, work)


def train(spark: SparkSession, history: Path, models: Path, seed: int) -> dict[str, Any]:
    """Train and publish the model that a history gives, release it if it is good enough; return the job's result.

    :raises TerminalError: if the history cannot be used or is too small.
    """
    read_parquet(spark, history, features.HISTORY_COLUMNS).createOrReplaceTempView("history")
    found = spark.sql(features.history_summary_sql("history")).first()
    training.refuse_repeated(found.repeated_battery, history)
    spark.sql(features.features_sql("history")).createOrReplaceTempView("features")
    spark.sql(features.next_checkup_sql("features")).createOrReplaceTempView("checkups")
    sizes = split.split_sizes(found.batteries_with_next)
    # A checkpoint rather than a cache: a fit on tiny data costs what planning costs, and this cuts the plan short.
    pairs = spark.sql(split.split_sql("checkups", sizes, seed)).localCheckpoint()
    pairs.createOrReplaceTempView("pairs")
    summary = spark.sql(training.pairs_summary_sql("pairs")).first()
    version = model_store.model_version(summary.digest, training.training_parameters(seed))
    card = model_store.read_card(models, version, model_store.ModelCard)
    reused = card is not None
    if card is None:
        card, model = fit(spark, pairs, sizes, summary, version, seed)
        model_store.publish(models, card, lambda folder: save(spark, model, pairs, card, folder))
    released = card.is_good_enough
    if released:
        model_store.set_current(models, version)
    else:
        log.warning("model %s is not released: on unseen batteries it is not better than its baselines", version)
    return {
        "version": version,
        "reused": reused,
        "released": released,
        **card.metrics.model_dump(exclude={"count"}),
        "comparisons": {name: one.model_dump() for name, one in card.comparisons.items()},
        "training_batteries": card.training.count,
        "training_pairs": card.training.pairs,
        "test_batteries": card.test.count,
        "test_pairs": card.test.pairs,
        "batteries_without_next_checkup": found.batteries - found.batteries_with_next,
        "ignored_rows": found.ignored_rows,
        "imputed": card.imputed,
        "features_left_out": list(card.features_left_out),
        "model_card": str(models / version / "model_card.json"),
    }


def fit(
    spark: SparkSession, pairs: DataFrame, sizes: split.SplitSizes, summary: Row, version: str, seed: int
) -> tuple[model_store.ModelCard, PipelineModel]:
    """Fit the model on the training batteries and test it on the others; return its card and the fitted pipeline."""
    names = training.usable_features(summary.folds)
    known, unseen = pairs.where("NOT is_test"), pairs.where("is_test")
    ridge, errors, interval = cross_validate(spark, known, names, sizes.folds, summary)
    model = Pipeline(stages=[*preparation(names), regression(ridge)]).fit(known)
    model.transform(unseen).createOrReplaceTempView("predicted")
    metrics = spark.sql(evaluation.evaluation_sql("predicted", interval)).first()
    fitted = model.stages[-1]
    ids = battery_ids(pairs, sizes)
    card = model_store.ModelCard(
        version=version,
        data_digest=summary.digest,
        spark_version=spark.version,
        target=features.TARGET,
        first_as_of=summary.first_as_of,
        last_as_of=summary.last_as_of,
        training=model_store.BatterySet(count=sizes.training, pairs=summary.training_pairs, battery_ids=ids[False]),
        test=model_store.BatterySet(count=sizes.test, pairs=summary.test_pairs, battery_ids=ids[True]),
        features=names,
        features_left_out=tuple(name for name in features.FEATURES if name not in names),
        imputed={name: summary.missing[name] for name in names if summary.missing[name]},
        seed=seed,
        ridge=ridge,
        cross_validated_mae=errors,
        intercept=fitted.intercept,
        coefficients=dict(zip(names, fitted.coefficients.toArray().tolist(), strict=True)),
        metrics=model_store.Metrics(**metrics.asDict()),
        comparisons=comparisons(spark, ridge),
        interval=interval,
    )
    return card, model


def comparisons(spark: SparkSession, ridge: float) -> dict[str, Comparison]:
    """Compare with the baselines battery by battery, each predicted by a model that had not seen it."""
    left_out = spark.table("left_out").where(f"ridge = {ridge}D").drop("ridge")
    spark.table("predicted").unionByName(left_out).createOrReplaceTempView("never_seen")
    errors = spark.sql(evaluation.battery_errors_sql("never_seen")).toPandas()
    return {name: compare(errors["model"], errors[name]) for name in ("last_value", "linear_fade")}


def preparation(names: tuple[str, ...]) -> list[Imputer | VectorAssembler | StandardScaler]:
    """Return the stages before the regression: medians for what is missing, then mean 0 and standard deviation 1."""
    filled = [f"{name}_filled" for name in names]
    return [
        Imputer(strategy="median", inputCols=list(names), outputCols=filled),
        VectorAssembler(inputCols=filled, outputCol="raw_features"),
        StandardScaler(inputCol="raw_features", outputCol="scaled_features", withMean=True),
    ]


def regression(ridge: float) -> LinearRegression:
    """Return a weighted ridge regression that is solved in closed form."""
    return LinearRegression(
        featuresCol="scaled_features",
        labelCol=features.TARGET,
        weightCol="weight",
        regParam=ridge,
        standardization=False,
        solver="normal",
    )


def cross_validate(
    spark: SparkSession, known: DataFrame, names: tuple[str, ...], folds: int, summary: Row
) -> tuple[float, dict[str, float], evaluation.Interval]:
    """Return the best ridge, the error of each one and the prediction interval, all from left-out training batteries."""

    @inheritable_thread_target(spark)
    def predict_left_out(fold: int) -> DataFrame:
        rest = known.where(f"fold <> {fold}")
        prepare = Pipeline(stages=preparation(names)).fit(rest)
        prepared, left_out = prepare.transform(rest), prepare.transform(known.where(f"fold = {fold}"))
        models = ((ridge, regression(ridge).fit(prepared)) for ridge in training.RIDGES)
        return reduce(
            DataFrame.unionAll, (model.transform(left_out).withColumn("ridge", lit(ridge)) for ridge, model in models)
        )

    with ThreadPoolExecutor(folds) as pool:  # the driver, not the cluster, is what small fits wait for
        reduce(DataFrame.unionAll, pool.map(predict_left_out, range(folds))).createOrReplaceTempView("left_out")
    query = evaluation.cross_validation_sql("left_out", summary.reference_days)
    rows = {row.ridge: row for row in spark.sql(query).toLocalIterator()}
    best = min(training.RIDGES, key=lambda ridge: (rows[ridge].mae, -ridge))
    interval = evaluation.Interval(
        lower_offset=min(0.0, rows[best].lower),
        upper_offset=max(0.0, rows[best].upper),
        reference_days=summary.reference_days,
    )
    return best, {str(ridge): rows[ridge].mae for ridge in training.RIDGES}, interval


def battery_ids(pairs: DataFrame, sizes: split.SplitSizes) -> dict[bool, tuple[str, ...] | None]:
    """Return the ids of the training (``False``) and the test batteries (``True``) where there are few enough to list."""
    if max(sizes.training, sizes.test) >= model_store.LISTED_BATTERIES:
        return {False: None, True: None}
    rows = list(pairs.select("battery_id", "is_test").distinct().sort("battery_id").toLocalIterator())
    return {is_test: tuple(row.battery_id for row in rows if row.is_test is is_test) for is_test in (False, True)}


def save(
    spark: SparkSession, model: PipelineModel, pairs: DataFrame, card: model_store.ModelCard, folder: Path
) -> None:
    """Write the pipeline, the ids of the training batteries and the card's page."""
    model.write().save(str(folder / model_store.PIPELINE))
    batteries = pairs.where("NOT is_test").select("battery_id").distinct()
    batteries.write.parquet(str(folder / model_store.TRAINING_BATTERIES))
    query = evaluation.tested_rows_sql("predicted", card.interval, card_page.MOST_POINTS)
    write_health_card(folder / "model_card.html", card, spark.sql(query).toPandas())


if __name__ == "__main__":
    sys.exit(main())
