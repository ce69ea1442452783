"""Cycle lives of Severson et al. 2019: two published models again, and the one that cross-validation chooses."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import pytest

from battery_pilot.learning import early_life

if TYPE_CHECKING:
    from pathlib import Path

SETS = {"train": 41, "test1": 43, "test2": 40}


class Cells(NamedTuple):
    curves: np.ndarray
    life: np.ndarray


@pytest.fixture(scope="module")
def cells(shared_data: Path) -> dict[str, Cells]:
    folder = shared_data / "ageing" / "severson2019"
    curves: dict[str, np.ndarray] = {name: np.empty((count, 1000, 99)) for name, count in SETS.items()}
    with tarfile.open(folder / "qv_matrices_train_test1_test2.tar.xz") as archive:
        for member in archive:
            if member.isfile():
                _, name, file = member.name.rsplit("/", 2)
                number = int(file.removeprefix("cell").removesuffix(".csv"))
                curves[name][number - 1] = pd.read_csv(archive.extractfile(member), header=None).to_numpy()
    lives = {name: np.loadtxt(folder / "data" / "cycle_lives" / f"{name}_cycle_lives.csv") for name in SETS}
    return {name: Cells(curves[name], lives[name]) for name in SETS}


def rmse(predicted: np.ndarray, truth: np.ndarray) -> float:
    return float(np.sqrt(np.mean((predicted - truth) ** 2)))


def test_variance_model_has_its_published_errors(cells: dict[str, Cells]) -> None:
    predict = early_life.fit_variance_model(*cells["train"])
    errors = {name: rmse(predict(one.curves), one.life) for name, one in cells.items()}
    # The authors' notebook printed 103.62, 138.42 and 196.00.
    assert errors == pytest.approx({"train": 103.62, "test1": 138.42, "test2": 196.0}, abs=0.6)
    percent = {name: 100 * np.mean(np.abs(predict(one.curves) - one.life) / one.life) for name, one in cells.items()}
    assert percent == pytest.approx({"train": 14.1, "test1": 14.7, "test2": 11.4}, abs=0.06)


def test_chosen_model_has_the_errors_that_the_documentation_tells(cells: dict[str, Cells]) -> None:
    train = cells["train"]
    committee = early_life.choose_life_model(*train, cells=[str(number) for number in range(41)], batches=BATCHES)
    predict = early_life.fit_life_model(committee, *train)
    errors = {name: rmse(predict(one.curves), one.life) for name, one in cells.items()}

    assert committee.error < 0.62, "relative to the variance model, inside the training cells"
    assert errors["test1"] <= 90
    # The published best of 181 is not reached on test 2; see docs/accuracy.md.
    assert errors == pytest.approx(DOCUMENTED, abs=1.0)


def test_discharge_model_is_near_its_published_errors(cells: dict[str, Cells]) -> None:
    train = cells["train"]
    chosen = early_life.choose_discharge_model(*train, cells=[str(number) for number in range(41)])
    predict = early_life.fit_discharge_model(chosen, *train)
    errors = {name: rmse(predict(one.curves), one.life) for name, one in cells.items()}
    # The paper prints 76, 91 and 173; see docs/accuracy.md for what differs.
    assert errors == pytest.approx({"train": 62.5, "test1": 96.4, "test2": 189.0}, abs=1.0)


BATCHES = ["2017-05-12"] * 20 + ["2017-06-30"] * 21
"""The authors took every second cell of their first two batches, in order."""

DOCUMENTED = {"train": 56.1, "test1": 66.7, "test2": 193.4}
