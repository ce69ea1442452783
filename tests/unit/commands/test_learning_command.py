from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from battery_pilot.learning import assessment


@pytest.fixture
def tables(tmp_path, monkeypatch):
    """Two small tables of cells whose resistance tells their capacity."""
    monkeypatch.setattr(assessment, "_TREES", 2)
    random = np.random.default_rng(0)
    for name, ids in (("train", range(6)), ("test", range(6, 9))):
        capacity = random.uniform(0.8, 1, 5 * len(ids))
        resistance = 0.03 - 0.01 * capacity
        columns = {"battery_id": np.repeat(list(ids), 5), "capacity_fraction": capacity}
        pd.DataFrame(columns | {"1000_real": resistance, "1000_imag": -resistance / 4}).to_parquet(
            tmp_path / f"{name}.parquet"
        )
    return [
        "evaluate",
        "--train",
        tmp_path / "train.parquet",
        "--test",
        tmp_path / "test.parquet",
        "--target",
        "capacity_fraction",
    ]


def test_evaluate_prints_errors_baselines_interval_and_model(run, tables):
    answer = run(*tables, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert list(answer.json["metrics"]) == ["mae", "rmse", "mape_percent", "max_error", "interval_coverage"]
    assert answer.json["metrics"]["mae"] < 0.1 * answer.json["baselines"]["mean"]["mae"]
    assert answer.json["beats_baselines"] is True
    assert answer.json["test"] == {"rows": 15, "batteries": 3}
    assert answer.json["interval"]["probability"] == 0.9


def test_evaluate_writes_a_card_and_prints_the_same_for_people(run, tables, tmp_path):
    answer = run(*tables, "--report", tmp_path / "out" / "card.html")
    assert answer.code == 0
    assert "beats_baselines  True" in answer.out
    page = (tmp_path / "out" / "card.html").read_text()
    assert page.count("<svg") == 4
    assert "better than every baseline" in page


def test_evaluate_names_the_missing_column(run, tables):
    tables[-1] = "soh"
    answer = run(*tables)
    assert answer.code == 1
    assert "no column 'soh'" in answer.err
