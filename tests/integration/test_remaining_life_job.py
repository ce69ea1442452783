"""Remaining useful life on Spark, with a fleet that fades faster and faster and whose resistance foretells it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.ml import PipelineModel

from battery_pilot.learning import features, model_store, remaining_life

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import ModuleType

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

START = datetime(2022, 1, 1, tzinfo=UTC)
SCHEMA = pa.schema(
    [("battery_id", pa.string()), ("as_of", pa.timestamp("us", tz="UTC"))]
    + [(name, pa.float64()) for name in features.HISTORY_COLUMNS if name not in ("battery_id", "as_of")]
)

Rows = list[dict[str, Any]]


def row(battery: str, days: float, cycles: float | None, health: float, **more: float | None) -> dict[str, Any]:
    known = {"battery_id": battery, "as_of": START + timedelta(days=days), "rated_capacity_ah": 60.0}
    measured = {"remaining_capacity_ah": 0.6 * health, "full_equivalent_cycles": cycles}
    return dict.fromkeys(SCHEMA.names) | known | measured | more


def ageing_fleet(ended: int = 24, censored: int = 3, seed: int = 4) -> Rows:
    """Batteries that lose ``(cycles / life) ** 1.6`` of 20 %; the last ones are young."""
    random = np.random.default_rng(seed)
    rows: Rows = []
    for number in range(ended + censored):
        life = random.uniform(400, 1600)
        last = 1.15 if number < ended else 0.5
        for cycles in np.arange(0, last * life + 80, 80) + random.uniform(0, 20):
            used = cycles / life
            health = 100 - 20 * used**1.6 + random.normal(0, 0.05)
            rows.append(
                row(
                    f"L-{number:02d}",
                    cycles / 2,
                    cycles,
                    health,
                    ohmic_resistance_ohm=0.001 * (1 + 0.5 * used) * (1 + random.normal(0, 0.002)),
                    polarisation_resistance_ohm=0.002 * (1 + used) * (1 + random.normal(0, 0.004)),
                    mean_temperature_celsius=random.normal(25, 2),
                )
            )
    return rows


def write(rows: Rows, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
    return path


@pytest.fixture(scope="module", autouse=True)
def small_forest() -> Iterator[None]:
    """Seconds instead of minutes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(remaining_life.FOREST, "numTrees", 5)
        patch.setattr(remaining_life, "RIDGES", (0.001, 0.1))
        yield


@pytest.fixture(scope="module")
def run(spark: SparkSession, job: Callable[[str], ModuleType]) -> Callable[..., dict[str, Any]]:
    """Write a history, run a job on it and return its result."""

    def run_job(name: str, rows: Rows, folder: Path, *more: str) -> dict[str, Any]:
        history, result = write(rows, folder / "history.parquet"), folder / f"{name}.json"
        arguments = ["--history", str(history), "--models", str(folder / "models"), "--result", str(result), *more]
        if name == "score_health":
            arguments += ["--output", str(folder / "scores" / "predictions")]
        assert job(name).main(arguments) == 0, result.read_text()
        return json.loads(result.read_text())

    return run_job


@pytest.fixture(scope="module")
def trained(run: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("lives")
    return folder, run("train_health_model", ageing_fleet(), folder)["remaining_life"]


def card_of(folder: Path, version: str) -> dict[str, Any]:
    return json.loads((folder / "models" / "remaining_life" / version / "model_card.json").read_text())


def examples(spark: SparkSession, rows: Rows, path: Path) -> dict[tuple[str, datetime], dict[str, Any]]:
    spark.read.parquet(str(write(rows, path))).createOrReplaceTempView("given_history")
    spark.sql(features.features_sql("given_history")).createOrReplaceTempView("given_features")
    spark.sql(remaining_life.life_features_sql("given_features", 80)).createOrReplaceTempView("given_lives")
    spark.sql(remaining_life.examples_sql("given_lives")).write.mode("overwrite").parquet(str(path) + ".out")
    return {(one["battery_id"], one["as_of"]): one for one in pq.read_table(str(path) + ".out").to_pylist()}


def test_life_ends_on_the_line_between_checkups_and_features_are_a_hand_calculation(
    spark: SparkSession, tmp_path: Path
) -> None:
    rows = [
        row("A", 0, 0, 100),
        row("A", 50, 100, 90, ohmic_resistance_ohm=0.001),
        row("A", 80, 160, 84, ohmic_resistance_ohm=0.0012),
        row("A", 99, 200, 76),
        row("A", 120, 220, 81),  # recovered: the life has ended all the same
        row("young", 0, 0, 100),
        row("young", 30, 60, 97),
        row("uncounted", 0, None, 90),
    ]
    found = examples(spark, rows, tmp_path / "history.parquet")
    first, second, third, ended, recovered = (found["A", one["as_of"]] for one in rows[:5])

    assert [one["remaining_cycles"] for one in (first, second, third)] == pytest.approx([180, 80, 20])
    assert (ended["remaining_cycles"], recovered["remaining_cycles"]) == (None, None)
    assert {one["weight"] for one in (first, second, third)} == {1 / 3}
    assert first["log_fade_per_cycle_since_first"] is None
    assert first["log_margin"] == pytest.approx(np.log(20))
    assert third["log_fade_per_cycle_since_first"] == pytest.approx(np.log(16 / 160))
    assert third["log_fade_per_cycle_since_last"] == pytest.approx(np.log(6 / 60))
    assert third["log_cycles"] == pytest.approx(np.log(161))
    assert third["ohmic_resistance_ratio"] == pytest.approx(1.2)
    assert all(one["remaining_cycles"] is None for (name, _), one in found.items() if name == "young")
    assert not any(name == "uncounted" for name, _ in found)


def test_altered_future_changes_no_feature_of_the_past(spark: SparkSession, tmp_path: Path) -> None:
    rows = ageing_fleet(ended=6, censored=1)
    random = np.random.default_rng(2)
    cut = START + timedelta(days=150)
    future = [one for one in rows if one["as_of"] > cut]
    values = [{name: one[name] for name in SCHEMA.names[2:]} for one in future]
    random.shuffle(values)
    altered = [one for one in rows if one["as_of"] <= cut]
    altered += [one | value for one, value in zip(future, values, strict=True)]
    before, after = (examples(spark, given, tmp_path / "history.parquet") for given in (rows, altered))

    past = [key for key in before if key[1] <= cut]
    assert len(past) > 20
    assert all(after[key][name] == before[key][name] for key in past for name in remaining_life.FEATURES)
    assert any(after[key]["remaining_cycles"] != before[key]["remaining_cycles"] for key in past), (
        "the future differs"
    )


def test_model_beats_mean_life_and_linear_fade_on_unseen_batteries(trained: tuple[Path, dict[str, Any]]) -> None:
    folder, result = trained
    card = card_of(folder, result["version"])

    assert result["released"] is True
    assert (result["ended_batteries"], result["censored_batteries"]) == (24, 3)
    assert result["mae"] < 0.5 * min(result["mean_life_mae"], result["linear_fade_mae"])
    assert not set(card["training"]["battery_ids"]) & set(card["test"]["battery_ids"])
    assert {"ohmic_resistance_ratio", "polarisation_resistance_ratio"} <= set(card["features"])
    assert set(card["cross_validated_mae"]) == {*(f"ridge regression {one:g}" for one in remaining_life.RIDGES), "random forest"}  # fmt: skip
    assert card["learner"] == min(card["cross_validated_mae"], key=card["cross_validated_mae"].__getitem__)
    for comparison in result["comparisons"].values():
        assert comparison["batteries"] == 24
        assert comparison["p_value"] <= 0.05
    assert result["interval_coverage"] >= 0.7
    page = (folder / "models" / "remaining_life" / result["version"] / "model_card.html").read_text()
    assert page.count("<svg") == 4
    assert "3 batteries have not reached 80 %" in page
    assert "sign-flip" in page


def test_scores_carry_version_interval_and_the_time_they_count_from(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]]
) -> None:
    folder, life = trained
    model_store.set_current(
        folder / "models", json.loads((folder / "train_health_model.json").read_text())["version"]
    )
    rows = ageing_fleet()
    result = run("score_health", rows, folder)
    lines = [json.loads(line) for line in (folder / "scores" / "predictions.jsonl").read_text().splitlines()]
    lives = [line for line in lines if line["metric"] == "remaining_useful_life_cycles"]

    assert result["remaining_life_model_version"] == life["version"]
    assert result["predictions"] == len(lines) == 27 + 3
    assert [line["battery_id"] for line in lives] == ["L-24", "L-25", "L-26"], "the others are at their end"
    newest = {one["battery_id"]: one["as_of"] for one in rows}
    for line in lives:
        assert 0 <= line["lower"] < line["value"] < line["upper"]
        assert line["model_version"] == life["version"]
        assert line["trained_on"] is False
        assert datetime.fromisoformat(line["for_time"]) == newest[line["battery_id"]]


def test_remaining_life_is_scored_without_a_released_health_model(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]]
) -> None:
    folder, _ = trained
    current = folder / "models" / "current.json"
    current.unlink(missing_ok=True)
    result = run("score_health", ageing_fleet(), folder)
    assert result["predictions"] == 3
    assert result["model_version"] is None
    assert "no model of the next state of health" in result["reason"]


def test_changed_test_batteries_change_nothing_that_was_learnt(
    run: Callable[..., Any], trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, first = trained
    card = card_of(folder, first["version"])
    unseen = card["test"]["battery_ids"]
    changed = [
        one | {"full_equivalent_cycles": 3 * one["full_equivalent_cycles"], "ohmic_resistance_ohm": 7.0}
        if one["battery_id"] in unseen
        else one
        for one in ageing_fleet()
    ]
    second = run("train_health_model", changed, tmp_path)["remaining_life"]
    other = card_of(tmp_path, second["version"])

    assert second["version"] != first["version"]
    assert other["test"]["battery_ids"] == unseen
    assert [other[name] for name in ("learner", "cross_validated_mae", "importance", "interval")] == [
        card[name] for name in ("learner", "cross_validated_mae", "importance", "interval")
    ]
    one, two = (
        PipelineModel.load(str(place / "models" / "remaining_life" / version / "pipeline")).stages[2]
        for place, version in ((folder, first["version"]), (tmp_path, second["version"]))
    )
    assert (one.mean, one.std) == (two.mean, two.std)


def test_fleet_that_is_still_young_gives_no_model_and_says_why(run: Callable[..., Any], tmp_path: Path) -> None:
    result = run("train_health_model", ageing_fleet(ended=2, censored=6), tmp_path)
    life = result["remaining_life"]
    assert result["status"] == "succeeded"
    assert life["released"] is False
    assert "2 batteries have cycles and reached 80 %" in life["reason"]
    assert life["censored_batteries"] == 6
    assert not (tmp_path / "models" / "remaining_life").exists()
