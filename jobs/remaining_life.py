"""The second model of the training and scoring jobs: how many full equivalent cycles a battery has left.

The jobs make the views ``features`` first; see :mod:`battery_pilot.learning.remaining_life` for what is learnt.
"""

from __future__ import annotations

import logging
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.feature import Imputer, SQLTransformer, StandardScaler, VectorAssembler
from pyspark.ml.regression import LinearRegression, RandomForestRegressor
from pyspark.ml.tuning import CrossValidator, CrossValidatorModel
from pyspark.sql import DataFrame, Row, SparkSession

from battery_pilot.errors import AnalysisError, InputError
from battery_pilot.learning import card_page, evaluation, model_store, remaining_life, split, training
from battery_pilot.learning.comparison import compare
from battery_pilot.learning.life_card import FOLDER, LifeCard, LifeInterval, LifeMetrics, write_life_card

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

PREDICTED = "predicted_remaining_cycles"


def train(spark: SparkSession, models: Path, end_of_life_percent: float, seed: int) -> dict[str, Any]:
    """Train and publish the model from the view ``features``, release it if it is good enough; return the result.

    A history in which too few batteries have reached the end of life gives no model and is no failure: ``released`` is
    false and ``reason`` tells why.
    """
    folder = models / FOLDER
    life_features(spark, end_of_life_percent)
    spark.sql(remaining_life.examples_sql("life_features")).createOrReplaceTempView("life_examples")
    lives = spark.sql(remaining_life.lives_summary_sql("life_examples")).first()
    result = {"ended_batteries": lives.ended, "censored_batteries": lives.censored}
    try:
        sizes = split.split_sizes(
            lives.ended, f"have cycles and reached {end_of_life_percent:g} % of their rated capacity"
        )
        card, reused = trained_card(spark, folder, sizes, lives.censored, end_of_life_percent, seed)
    except AnalysisError as error:
        return result | {"released": False, "reason": str(error)}
    if card.is_good_enough:
        model_store.set_current(folder, card.version)
    else:
        log.warning("model %s of the remaining life is not released: not better than its baselines", card.version)
    return result | {
        "version": card.version,
        "reused": reused,
        "released": card.is_good_enough,
        "learner": card.learner,
        **card.metrics.model_dump(exclude={"count"}),
        "comparisons": {name: one.model_dump() for name, one in card.comparisons.items()},
        "training_batteries": card.training.count,
        "test_batteries": card.test.count,
        "model_card": str(folder / card.version / "model_card.json"),
    }


def life_features(spark: SparkSession, end_of_life_percent: float) -> None:
    """Make the view ``life_features``."""
    query = remaining_life.life_features_sql("features", end_of_life_percent)
    spark.sql(query).createOrReplaceTempView("life_features")


def trained_card(
    spark: SparkSession, folder: Path, sizes: split.SplitSizes, censored: int, end_of_life_percent: float, seed: int
) -> tuple[LifeCard, bool]:
    """Return the card of the model that the view ``life_examples`` gives, and whether it was there before."""
    examples = spark.sql(split.split_sql("life_examples", sizes, seed, "remaining_cycles")).localCheckpoint()
    examples.createOrReplaceTempView("examples")
    summary = spark.sql(remaining_life.examples_summary_sql("examples")).first()
    parameters = remaining_life.parameters(end_of_life_percent, seed) | {"censored": censored}
    version = model_store.model_version(summary.digest, parameters)
    card = model_store.read_card(folder, version, LifeCard)
    if card is not None:
        return card, True
    names = training.usable_features(summary.folds, remaining_life.FEATURES)
    model, facts = fit(examples, names, sizes, summary, seed)
    card = LifeCard(
        version=version,
        data_digest=summary.digest,
        spark_version=spark.version,
        end_of_life_percent=end_of_life_percent,
        censored_batteries=censored,
        first_as_of=summary.first_as_of,
        last_as_of=summary.last_as_of,
        features=names,
        features_left_out=tuple(name for name in remaining_life.FEATURES if name not in names),
        imputed={name: summary.missing[name] for name in names if summary.missing[name]},
        seed=seed,
        **facts,
    )
    model_store.publish(folder, card, lambda place: save(spark, model, examples, card, place))
    return card, False


def fit(
    examples: DataFrame, names: tuple[str, ...], sizes: split.SplitSizes, summary: Row, seed: int
) -> tuple[PipelineModel, dict[str, Any]]:
    """Choose by cross-validation, fit on the training batteries, test on the others; return pipeline and its figures."""
    spark = examples.sparkSession
    known, unseen = examples.where("NOT is_test"), examples.where("is_test")
    candidates = pipelines(names, seed)
    chosen = cross_validated(known, candidates, sizes.folds)
    errors = dict(zip(candidates, chosen.avgMetrics, strict=True))
    best = min(errors, key=errors.__getitem__)
    place = list(candidates).index(best)
    left_out = reduce(
        DataFrame.unionAll,
        (models[place].transform(known.where(f"fold = {fold}")) for fold, models in enumerate(chosen.subModels)),
    )
    left_out.createOrReplaceTempView("left_out_lives")
    chosen.bestModel.transform(unseen).createOrReplaceTempView("predicted_lives")
    ends = spark.sql(evaluation.interval_sql(remaining_life.residuals_sql("left_out_lives"), "candidate")).first()
    interval = LifeInterval(lower_offset=min(0.0, ends.lower), upper_offset=max(0.0, ends.upper))
    ids = {side: battery_ids(examples, side, sizes) for side in (False, True)}
    return chosen.bestModel, {
        "training": model_store.BatterySet(
            count=sizes.training, pairs=summary.training_pairs, battery_ids=ids[False]
        ),
        "test": model_store.BatterySet(count=sizes.test, pairs=summary.test_pairs, battery_ids=ids[True]),
        "learner": best,
        "cross_validated_mae": errors,
        "importance": importance(chosen.bestModel, names),
        "interval": interval,
        **tested(spark, interval, summary),
    }


def pipelines(names: tuple[str, ...], seed: int) -> dict[str, Pipeline]:
    """Return what is compared: name to pipeline, from check-up to cycles."""
    filled = [f"{name}_filled" for name in names]
    columns = {"featuresCol": "scaled_features", "labelCol": remaining_life.LABEL, "weightCol": "weight"}
    preparation = [
        Imputer(strategy="median", inputCols=list(names), outputCols=filled),
        VectorAssembler(inputCols=filled, outputCol="raw_features"),
        StandardScaler(inputCol="raw_features", outputCol="scaled_features", withMean=True),
    ]
    learners = {
        f"ridge regression {ridge:g}": LinearRegression(
            regParam=ridge, standardization=False, solver="normal", **columns
        )
        for ridge in remaining_life.RIDGES
    } | {"random forest": RandomForestRegressor(seed=seed, **remaining_life.FOREST, **columns)}
    cycles = f"SELECT *, {remaining_life.BACK_TO_CYCLES} AS {PREDICTED} FROM __THIS__"  # noqa: S608 -- constants only
    to_cycles = SQLTransformer(statement=cycles)
    return {name: Pipeline(stages=[*preparation, learner, to_cycles]) for name, learner in learners.items()}


def cross_validated(known: DataFrame, candidates: dict[str, Pipeline], folds: int) -> CrossValidatorModel:
    """Compare the candidates on left-out batteries; every scale and median comes from the other folds."""
    pipeline = Pipeline(stages=[])  # each candidate brings all of its stages
    return CrossValidator(
        estimator=pipeline,
        estimatorParamMaps=[{pipeline.stages: one.getStages()} for one in candidates.values()],
        evaluator=RegressionEvaluator(
            labelCol="remaining_cycles", predictionCol=PREDICTED, weightCol="weight", metricName="mae"
        ),
        numFolds=folds,
        foldCol="fold",
        collectSubModels=True,
        parallelism=2,
    ).fit(known)


def tested(spark: SparkSession, interval: LifeInterval, summary: Row) -> dict[str, Any]:
    """Return the errors on the test batteries and the comparisons battery by battery."""
    names = ("model", "mean_life", "linear_fade")
    errors = {}
    for table in ("predicted_lives", "left_out_lives"):
        query = remaining_life.battery_errors_sql(table, summary.mean_life, summary.longest_life)
        errors[table] = spark.sql(query).toPandas()[list(names)]
    ends = (interval.lower_offset, interval.upper_offset)
    coverage = spark.sql(remaining_life.coverage_sql("predicted_lives", *ends)).first()
    means = errors["predicted_lives"].mean()
    together = {name: [*errors["predicted_lives"][name], *errors["left_out_lives"][name]] for name in names}
    return {
        "metrics": LifeMetrics(
            mae=means["model"],
            mean_life_mae=means["mean_life"],
            linear_fade_mae=means["linear_fade"],
            **coverage.asDict(),
        ),
        "comparisons": {name: compare(together["model"], together[name]) for name in names[1:]},
    }


def importance(model: PipelineModel, names: tuple[str, ...]) -> dict[str, float]:
    """Return the size of each coefficient or, of a forest, each feature's share."""
    learner = model.stages[-2]
    linear = hasattr(learner, "coefficients")
    values = (learner.coefficients if linear else learner.featureImportances).toArray()
    return {name: abs(float(value)) for name, value in zip(names, values, strict=True)}


def battery_ids(examples: DataFrame, is_test: bool, sizes: split.SplitSizes) -> tuple[str, ...] | None:
    """Return the ids of one side of the split where there are few enough to list."""
    if max(sizes.training, sizes.test) >= model_store.LISTED_BATTERIES:
        return None
    rows = examples.where(f"is_test = {is_test}").select("battery_id").distinct().sort("battery_id")
    return tuple(row.battery_id for row in rows.toLocalIterator())


def save(spark: SparkSession, model: PipelineModel, examples: DataFrame, card: LifeCard, folder: Path) -> None:
    """Write the pipeline, the ids of the training batteries and the card's page."""
    model.write().save(str(folder / model_store.PIPELINE))
    batteries = examples.where("NOT is_test").select("battery_id").distinct()
    batteries.write.parquet(str(folder / model_store.TRAINING_BATTERIES))
    ends = (card.interval.lower_offset, card.interval.upper_offset)
    query = remaining_life.tested_rows_sql("predicted_lives", *ends, card_page.MOST_POINTS)
    write_life_card(folder / "model_card.html", card, spark.sql(query).toPandas())


def predictions(spark: SparkSession, models: Path) -> tuple[DataFrame, str] | None:
    """Return the predictions for the newest check-ups of the view ``features`` and the model's version.

    Batteries at their end of life or without cycles get none.

    :return: ``None`` where no model is released.
    :raises InputError: if this version of Battery Pilot does not derive what the model sees.
    """
    folder = models / FOLDER
    if not model_store.is_released(folder):
        return None
    card = model_store.current_card(folder, LifeCard)
    if unknown := [name for name in card.features if name not in remaining_life.FEATURES]:
        raise InputError(
            f"{folder / card.version}: the model sees {', '.join(unknown)}, which this version of Battery Pilot does not "
            "derive; train again"
        )
    life_features(spark, card.end_of_life_percent)
    known = spark.read.parquet(str(folder / card.version / model_store.TRAINING_BATTERIES))
    known.createOrReplaceTempView("life_training_batteries")
    newest = spark.sql("""
        SELECT newest.*, life_training_batteries.battery_id IS NOT NULL AS trained_on
        FROM (SELECT *, row_number() OVER (PARTITION BY battery_id ORDER BY as_of DESC) AS place FROM life_features) AS newest
        LEFT JOIN life_training_batteries USING (battery_id)
        WHERE place = 1 AND margin_percent > 0""")
    pipeline = PipelineModel.load(str(folder / card.version / model_store.PIPELINE))
    pipeline.transform(newest).createOrReplaceTempView("scored_lives")
    ends = (card.interval.lower_offset, card.interval.upper_offset)
    return spark.sql(remaining_life.predictions_sql("scored_lives", *ends, card.version)), card.version
