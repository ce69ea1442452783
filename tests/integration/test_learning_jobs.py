"""The training and the scoring of the health model on Spark, with a fleet whose resistance tells how fast it fades."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.ml import PipelineModel

from battery_pilot.learning import evaluation, features, model_store, split

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

START = datetime(2024, 1, 1, tzinfo=UTC)
TIMESTAMP = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [("battery_id", pa.string()), ("as_of", TIMESTAMP)]
    + [(name, pa.float64()) for name in features.HISTORY_COLUMNS if name not in ("battery_id", "as_of")]
)

Rows = list[dict[str, Any]]


def fleet(batteries: int = 16, checkups: int = 7, seed: int = 1) -> Rows:
    """Batteries that each lose health at a rate of their own, with resistances that grow as the health goes."""
    random = np.random.default_rng(seed)
    rows: Rows = []
    for number in range(batteries):
        loss_percent_per_day = random.uniform(0.2, 1.5) / 30
        first_resistance_ohm = random.uniform(0.8e-3, 1.6e-3)
        days = 0.0
        for _ in range(checkups):
            lost_percent = loss_percent_per_day * days
            growth = (1 + 0.03 * lost_percent) * (1 + random.normal(0, 0.002))
            remaining_ah = 60 * (100 - lost_percent + random.normal(0, 0.05)) / 100
            rows.append(
                {
                    "battery_id": f"BAT-{number:03d}",
                    "as_of": START + timedelta(days=days),
                    "rated_capacity_ah": 60.0,
                    "remaining_capacity_ah": remaining_ah,
                    "state_of_health_percent": remaining_ah / 60 * 100,
                    "full_equivalent_cycles": days * 0.5,
                    "energy_throughput_kwh": days * 0.4,
                    "dc_resistance_ohm": first_resistance_ohm * growth,
                    "ohmic_resistance_ohm": first_resistance_ohm * 0.6 * growth if number % 4 else None,
                    "polarisation_resistance_ohm": None,
                    "mean_temperature_celsius": random.normal(25, 3),
                }
            )
            days += random.uniform(25, 35)
    return rows


@pytest.fixture(scope="module")
def run(spark: SparkSession, job: Callable[[str], ModuleType]) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Write a history, run a job on it and return its exit code and its result."""

    def run_job(name: str, rows: Rows, folder: Path, *more: str) -> tuple[int, dict[str, Any]]:
        folder.mkdir(parents=True, exist_ok=True)
        history, result = folder / "history.parquet", folder / f"{name}.json"
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), history)
        arguments = ["--history", str(history), "--models", str(folder / "models"), "--result", str(result), *more]
        if name == "score_health":
            arguments += ["--output", str(folder / "scores" / "predictions")]
        code = job(name).main(arguments)
        return code, json.loads(result.read_text())

    return run_job


@pytest.fixture(scope="module")
def trained(run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("trained")
    code, result = run("train_health_model", fleet(), folder)
    assert code == 0, result
    return folder, result


def parameters_of(folder: Path) -> dict[str, Any]:
    """What the model learnt: medians, means, deviations and coefficients."""
    imputer, _, scaler, regression = PipelineModel.load(str(card_file_of(folder).parent / "pipeline")).stages
    return {
        "medians": imputer.surrogateDF.first().asDict(),
        "mean": scaler.mean.toArray().tolist(),
        "deviation": scaler.std.toArray().tolist(),
        "coefficients": regression.coefficients.toArray().tolist(),
        "intercept": regression.intercept,
    }


def card_file_of(folder: Path) -> Path:
    (path,) = (folder / "models").glob("*/model_card.json")
    return path


def card_of(folder: Path) -> dict[str, Any]:
    return json.loads(card_file_of(folder).read_text())


def write_history(rows: Rows, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


def derived(spark: SparkSession, rows: Rows, path: Path) -> dict[tuple[str, datetime], dict[str, Any]]:
    """The features of every check-up."""
    spark.read.parquet(str(write_history(rows, path))).createOrReplaceTempView("given_history")
    spark.sql(features.features_sql("given_history")).write.mode("overwrite").parquet(str(path) + ".features")
    return {(row["battery_id"], row["as_of"]): row for row in pq.read_table(str(path) + ".features").to_pylist()}


def predictions_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "scores" / "predictions.jsonl").read_text().splitlines()]


def test_features_are_what_a_hand_calculation_gives(spark: SparkSession, tmp_path: Path) -> None:
    first = dict.fromkeys(SCHEMA.names) | {
        "battery_id": "A",
        "as_of": START,
        "rated_capacity_ah": 50.0,
        "remaining_capacity_ah": 50.0,
        "energy_throughput_kwh": 10.0,
        "mean_temperature_celsius": float("nan"),
    }
    second = first | {
        "as_of": START + timedelta(days=15),
        "remaining_capacity_ah": 49.0,
        "energy_throughput_kwh": 35.0,
        "dc_resistance_ohm": 0.002,
    }
    third = second | {
        "as_of": START + timedelta(days=60),
        "remaining_capacity_ah": 48.5,
        "dc_resistance_ohm": 0.0023,
        "full_equivalent_cycles": 80.0,
    }
    found = derived(spark, [first, second, third], tmp_path / "history.parquet")

    at_first, at_second, at_third = (found["A", row["as_of"]] for row in (first, second, third))
    assert at_first["state_of_health_percent"] == 100
    assert {name for name in features.FEATURES if at_first[name] is not None} == {"state_of_health_percent"}
    assert at_second["state_of_health_change_since_last_percent_per_30_days"] == pytest.approx(-2 / 15 * 30)
    assert at_second["energy_throughput_kwh_per_ah_per_30_days"] == pytest.approx(25 / 50 / 15 * 30)
    assert at_second["dc_resistance_ratio"] == 1
    assert at_second["dc_resistance_ratio_change_per_30_days"] is None
    assert at_third["state_of_health_change_since_first_percent_per_30_days"] == pytest.approx(-3 / 60 * 30)
    assert at_third["state_of_health_change_since_last_percent_per_30_days"] == pytest.approx(-1 / 45 * 30)
    assert at_third["dc_resistance_ratio"] == pytest.approx(1.15)
    assert at_third["dc_resistance_ratio_change_per_30_days"] == pytest.approx(0.15 / 45 * 30)
    assert at_third["full_equivalent_cycles"] == 80


def test_altered_future_changes_no_feature_of_the_past(spark: SparkSession, tmp_path: Path) -> None:
    rows = fleet(batteries=8)
    random = np.random.default_rng(2)
    cuts = {f"BAT-{number:03d}": START + timedelta(days=float(random.uniform(20, 160))) for number in range(8)}
    altered = []
    for row in random.permutation(np.array(rows, dtype=object)):
        if row["as_of"] <= cuts[row["battery_id"]]:
            altered.append(row)
        elif random.random() < 0.7:  # the others vanish
            factor = float(random.uniform(0.3, 3))
            numbers = {name: value * factor for name, value in row.items() if isinstance(value, float)}
            altered.append(row | numbers | {"ohmic_resistance_ohm": None})

    before, after = (derived(spark, given, tmp_path / "history.parquet") for given in (rows, altered))

    past = [key for key in before if key[1] <= cuts[key[0]]]
    assert len(past) > 16
    assert [after[key] for key in past] == [before[key] for key in past]
    assert after != before


@pytest.mark.parametrize(("batteries", "ends"), [(5, (1, 5)), (18, (1, 18)), (19, (1, 19)), (39, (2, 38))])
def test_interval_counts_batteries_and_not_checkups(
    spark: SparkSession, batteries: int, ends: tuple[int, int]
) -> None:
    """One residual a battery gives the ranks of split conformal prediction; many of one battery change nothing."""
    one_each = f"SELECT 0.1D AS ridge, concat('B', id) AS battery_id, id + 1D AS next_value FROM range({batteries})"
    repeats = f"SELECT 0.1D, 'B{batteries // 2}', {batteries // 2 + 1}D FROM range(500)"
    for name, rows in (("single", one_each), ("repeated", f"{one_each} UNION ALL {repeats}")):
        spark.sql(
            "SELECT ridge, battery_id, next_value AS next_state_of_health_percent, 0D AS state_of_health_percent, "
            f"0D AS prediction, 10D AS days_to_next FROM ({rows})"
        ).createOrReplaceTempView(name)
        found = spark.sql(evaluation.cross_validation_sql(name, reference_days=30)).first()
        assert (found.lower, found.upper) == ends


@pytest.mark.parametrize("batteries", [3, 4, 7, 10, 33])
def test_split_is_by_battery_and_depends_on_the_ids_only(spark: SparkSession, batteries: int) -> None:
    sizes = split.split_sizes(batteries)

    def assignment(order: str, seed: int) -> set[tuple[str, bool, int | None]]:
        spark.sql(
            f"SELECT concat('B', id % {batteries}) AS battery_id, 30D AS days_to_next FROM range({3 * batteries}) "
            f"UNION ALL SELECT 'newcomer', NULL ORDER BY {order}"
        ).createOrReplaceTempView("given_checkups")
        rows = spark.sql(split.split_sql("given_checkups", sizes, seed)).collect()
        assert len(rows) == 3 * batteries
        return {(row.battery_id, row.is_test, row.fold) for row in rows}

    found = assignment("battery_id", 0)

    assert len(found) == batteries, "a battery is on both sides or in two folds"
    assert sum(is_test for _, is_test, _ in found) == sizes.test
    assert {fold for _, is_test, fold in found if not is_test} == set(range(sizes.folds))
    assert all(fold is None for _, is_test, fold in found if is_test)
    assert assignment("battery_id DESC", 0) == found
    if batteries > 10:
        assert assignment("battery_id", 1) != found


def test_model_beats_the_last_known_value_on_batteries_it_never_saw(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, result = trained
    card = card_of(folder)

    assert result["status"] == "succeeded"
    assert result["mae"] < 0.5 * result["baseline_mae"]
    assert result["mae"] < result["linear_fade_mae"]
    assert result["released"] is True
    assert card["version"] == result["version"]
    assert card["metrics"]["mae"] == result["mae"]
    assert not set(card["training"]["battery_ids"]) & set(card["test"]["battery_ids"])
    assert (card["training"]["count"], card["test"]["count"]) == (11, 5)
    assert (card["training"]["pairs"], card["test"]["pairs"]) == (66, 30)
    assert card["interval"]["lower_offset"] < 0 < card["interval"]["upper_offset"]
    assert "polarisation_resistance_ratio" in card["features_left_out"]
    assert card["imputed"]["state_of_health_change_since_last_percent_per_30_days"] == 11


def test_card_tells_data_digest_spark_version_and_comes_as_a_page(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, result = trained
    card = card_of(folder)
    page = (folder / "models" / result["version"] / "model_card.html").read_text()

    assert card["data_digest"].startswith("96-")
    assert card["spark_version"].split(".")[0] == "4"
    assert page.count("<svg") == 4
    assert "better than both baselines" in page
    assert all(
        name in page for name in ("Parity", "Residuals", "Coverage of the intervals", "What the model looks at")
    )
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


def test_only_a_model_that_beats_its_baselines_is_released(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, good = trained
    unseen = card_of(folder)["test"]["battery_ids"]
    # What the training batteries teach does not hold for the others: there the last known value is right.
    misleading = [row | {"state_of_health_percent": 80.0} if row["battery_id"] in unseen else row for row in fleet()]

    code, result = run("train_health_model", misleading, tmp_path)

    assert code == 0
    assert result["baseline_mae"] == 0
    assert result["released"] is False
    assert "Not released" in (tmp_path / "models" / result["version"] / "model_card.html").read_text()
    assert not (tmp_path / "models" / "current.json").exists()
    code, score = run("score_health", misleading, tmp_path)
    assert code == 1
    assert "no model was released" in score["error"]

    model_store.set_current(tmp_path / "models", good["version"])
    again = run("train_health_model", misleading, tmp_path)[1]
    assert (again["released"], again["reused"]) == (False, True)
    current = json.loads((tmp_path / "models" / "current.json").read_text())
    assert current == {"version": good["version"]}, "the model that was released before stays"


def test_same_history_in_another_order_gives_the_same_version_and_writes_nothing(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]]
) -> None:
    folder, first = trained
    before = {path: path.stat().st_mtime_ns for path in (folder / "models").rglob("*")}

    code, again = run("train_health_model", fleet()[::-1], folder)

    assert code == 0
    assert again == first | {"reused": True}
    assert {path: path.stat().st_mtime_ns for path in (folder / "models").rglob("*")} == before


def test_changed_test_batteries_change_nothing_that_was_learnt(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, first = trained
    held_out = card_of(folder)["test"]["battery_ids"]
    changed = [
        row | {"dc_resistance_ohm": 7.0, "state_of_health_percent": row["state_of_health_percent"] ** 2 / 100}
        if row["battery_id"] in held_out
        else row
        for row in fleet()
    ]

    code, result = run("train_health_model", changed, tmp_path)

    assert code == 0
    assert card_of(tmp_path)["test"]["battery_ids"] == held_out
    assert result["mae"] != first["mae"]
    assert result["version"] != first["version"]
    assert parameters_of(tmp_path) == parameters_of(folder)
    assert card_of(tmp_path)["interval"] == card_of(folder)["interval"]


def test_predictions_carry_version_interval_and_time(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]]
) -> None:
    folder, training = trained
    code, result = run("score_health", fleet(), folder, "--horizon-days", "45")
    predictions = predictions_of(folder)
    newest = {row["battery_id"]: row for row in fleet()}

    assert code == 0
    assert result["predictions"] == 16
    assert [prediction["battery_id"] for prediction in predictions] == sorted(newest)
    seen = set(card_of(folder)["training"]["battery_ids"])
    for prediction in predictions:
        row = newest[prediction["battery_id"]]
        assert prediction["metric"] == "state_of_health_percent"
        assert prediction["lower"] < prediction["value"] < prediction["upper"]
        assert prediction["value"] == pytest.approx(row["state_of_health_percent"], abs=5)
        assert datetime.fromisoformat(prediction["for_time"]) == row["as_of"] + timedelta(days=45)
        assert prediction["model_version"] == training["version"]
        assert prediction["trained_on"] is (prediction["battery_id"] in seen)
    table = pq.read_table(folder / "scores" / "predictions").to_pylist()
    assert [row | {"for_time": None} for row in table] == [row | {"for_time": None} for row in predictions]
    assert [row["for_time"] for row in table] == [datetime.fromisoformat(row["for_time"]) for row in predictions]


def test_interval_grows_with_a_longer_look_ahead(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]]
) -> None:
    folder, _ = trained
    widths = []
    for horizon in ("10", "300"):
        assert run("score_health", fleet(), folder, "--horizon-days", horizon)[0] == 0
        prediction = predictions_of(folder)[0]
        widths.append(prediction["upper"] - prediction["lower"])
    assert widths[1] > 5 * widths[0]


def test_back_test_uses_only_batteries_outside_the_training_set(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]]
) -> None:
    folder, training = trained
    newcomer = [row | {"battery_id": "NEW"} for row in fleet(batteries=1, checkups=4, seed=9)]

    code, result = run("score_health", fleet(), folder)
    assert code == 0
    assert result["count"] == training["test_pairs"]
    assert result["mae"] == pytest.approx(training["mae"])
    assert result["baseline_mae"] == pytest.approx(training["baseline_mae"])

    code, result = run("score_health", fleet() + newcomer, folder)
    assert code == 0
    assert result["count"] == training["test_pairs"] + 3


def test_without_held_out_battery_errors_are_null_with_a_reason(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]]
) -> None:
    folder, _ = trained
    seen = card_of(folder)["training"]["battery_ids"]
    code, result = run("score_health", [row for row in fleet() if row["battery_id"] in seen], folder)

    assert code == 0
    assert result["predictions"] == len(seen)
    assert result["count"] == 0
    assert result["mae"] is None
    assert result["baseline_mae"] is None
    assert "outside the training set" in result["reason"]


def test_smallest_history_gives_a_model_that_too_few_batteries_speak_for(
    run: Callable[..., Any], tmp_path: Path
) -> None:
    rows = fleet(batteries=3, checkups=2)
    code, result = run("train_health_model", rows, tmp_path)
    assert code == 0
    assert result["released"] is False
    assert {one["p_value"] for one in result["comparisons"].values()} <= {n / 8 for n in range(1, 9)}

    model_store.set_current(tmp_path / "models", result["version"])  # what a person may decide
    assert run("score_health", rows, tmp_path)[0] == 0
    assert all(row["lower"] <= row["value"] <= row["upper"] for row in predictions_of(tmp_path))


def test_model_is_compared_battery_by_battery_on_all_that_it_had_not_seen(
    trained: tuple[Path, dict[str, Any]],
) -> None:
    folder, result = trained
    comparisons = card_of(folder)["comparisons"]
    assert comparisons == result["comparisons"]
    assert set(comparisons) == {"last_value", "linear_fade"}
    assert all(one["batteries"] == 16 and one["p_value"] <= 0.05 for one in comparisons.values())
    assert result["remaining_life"]["released"] is False, "nobody has reached the end of life"


def test_impedance_is_among_what_the_model_learns_from(run: Callable[..., Any], tmp_path: Path) -> None:
    """The fade until now says nothing here: what comes is told by the polarisation resistance alone."""
    random = np.random.default_rng(5)
    rows: Rows = []
    for number in range(12):
        health, growth = 100.0, 1.0
        for checkup in range(8):
            rows.append(
                dict.fromkeys(SCHEMA.names)
                | {
                    "battery_id": f"Z-{number:02d}",
                    "as_of": START + timedelta(days=30 * checkup),
                    "rated_capacity_ah": 60.0,
                    "remaining_capacity_ah": 0.6 * health,
                    "ohmic_resistance_ohm": 0.001,
                    "polarisation_resistance_ohm": 0.002 * growth,
                }
            )
            health -= 2 * (growth - 1)
            growth = 1 + random.uniform(0, 1)
    code, result = run("train_health_model", rows, tmp_path)
    card = card_of(tmp_path)

    assert code == 0
    assert result["released"] is True
    assert max(card["coefficients"], key=lambda name: abs(card["coefficients"][name])).startswith("polarisation")


def test_too_few_batteries_are_refused_with_what_is_missing(run: Callable[..., Any], tmp_path: Path) -> None:
    single_checkups = [row | {"battery_id": f"{row['battery_id']}-once"} for row in fleet(batteries=5, checkups=1)]
    code, result = run("train_health_model", fleet(batteries=2) + single_checkups, tmp_path)

    assert code == 1
    assert result["status"] == "failed"
    assert "2 batteries have two check-ups" in result["error"]
    assert "at least 3" in result["error"]
    assert result["retry"] is False
    assert not (tmp_path / "models").exists()


def test_fleet_without_any_difference_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    names = ("battery_id", "as_of", "rated_capacity_ah")
    rows = [
        dict.fromkeys(SCHEMA.names) | {name: row[name] for name in names} | {"remaining_capacity_ah": 60.0}
        for row in fleet(batteries=3, checkups=2)
    ]
    code, result = run("train_health_model", rows, tmp_path)
    assert code == 1
    assert "no feature differs" in result["error"]


def test_scoring_without_a_model_names_the_remedy(run: Callable[..., Any], tmp_path: Path) -> None:
    code, result = run("score_health", fleet(batteries=1), tmp_path)
    assert code == 1
    assert "train_health_model" in result["error"]


def test_repeated_checkup_is_refused(run: Callable[..., Any], tmp_path: Path) -> None:
    rows = fleet(batteries=3)
    code, result = run("train_health_model", [*rows, rows[0]], tmp_path)
    assert code == 1
    assert "'BAT-000'" in result["error"]


def test_rows_that_are_no_checkup_are_counted_and_ignored(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    row = fleet()[0]
    bad = [row | {"remaining_capacity_ah": float("nan")}, row | {"rated_capacity_ah": 0.0}, row | {"as_of": None}]
    code, result = run("train_health_model", fleet() + bad, tmp_path)
    assert code == 0
    assert result["ignored_rows"] == 3
    assert result["version"] == trained[1]["version"]


@pytest.mark.parametrize("kind", ["absent", "empty folder", "no Parquet", "column missing", "nanoseconds"])
def test_unusable_history_is_refused_with_its_path(
    job: Callable[[str], ModuleType], spark: SparkSession, tmp_path: Path, kind: str
) -> None:
    history, result = tmp_path / "history.parquet", tmp_path / "result.json"
    table = pa.Table.from_pylist(fleet(batteries=3), schema=SCHEMA)
    if kind == "empty folder":
        history.mkdir()
    elif kind == "no Parquet":
        history.write_text("battery_id,as_of\n")
    elif kind == "column missing":
        pq.write_table(table.drop_columns(["rated_capacity_ah"]), history)
    elif kind == "nanoseconds":
        pq.write_table(table.set_column(1, "as_of", table["as_of"].cast(pa.timestamp("ns", tz="UTC"))), history)
    result.write_text("of another run")

    code = job("train_health_model").main(
        ["--history", str(history), "--models", str(tmp_path / "models"), "--result", str(result)]
    )

    assert code == 1
    assert str(history) in json.loads(result.read_text())["error"]
