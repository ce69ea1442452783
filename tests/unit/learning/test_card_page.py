from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.learning.card_page import Predictions, write_card

if TYPE_CHECKING:
    from pathlib import Path


def page(folder: Path, tested: Predictions, **more: object) -> str:
    given = {
        "title": "Model <1>",
        "quantity": "state of health (%)",
        "verdict": "Better than every baseline.",
        "importance": {"dc_resistance_ratio": 0.4, "$x$ & <y>": 0.1},
        "importance_means": "Rise of the error",
        "facts": {"Data": {"training batteries": 11, "penalty": 0.1, "absent": None}},
    }
    write_card(folder / "card.html", tested=tested, **(given | more))
    return (folder / "card.html").read_text()


def some(rows: int = 40) -> Predictions:
    truth = np.linspace(80, 100, rows)
    predicted = truth + np.where(np.arange(rows) % 10 == 0, 3.0, 0.5)
    return Predictions([f"B{row % 4}" for row in range(rows)], truth, predicted, predicted - 1, predicted + 2, 0.9)


def test_page_has_four_figures_and_needs_no_network(tmp_path: Path) -> None:
    found = page(tmp_path, some())
    assert found.count("<svg") == 4
    assert "src=" not in found
    assert "<script" not in found
    assert "https://" not in found


def test_coverage_that_was_measured_is_told(tmp_path: Path) -> None:
    # Predictions are too high by 0.5 or 3, and the interval reaches down by 1 and up by 2.
    assert "90.0 % of the truths lie inside the interval, which is meant to cover 90 %" in page(tmp_path, some())


def test_texts_are_escaped_and_warnings_come_first(tmp_path: Path) -> None:
    found = page(tmp_path, some(), warnings=["a < b"])
    assert "Model &lt;1&gt;" in found
    assert "<y>" not in found
    assert found.index("a &lt; b") < found.index("<svg")


def test_one_row_without_error_can_be_drawn(tmp_path: Path) -> None:
    one = np.array([90.0])
    assert "100.0 % of the truths" in page(tmp_path, Predictions(["B"], one, one, one, one, 0.9), importance={})


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    assert page(tmp_path, some()) == page(tmp_path, some())
