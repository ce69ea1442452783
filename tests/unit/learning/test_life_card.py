from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
import pytest

from battery_pilot.learning import model_store
from battery_pilot.learning.comparison import Comparison
from battery_pilot.learning.life_card import LifeCard, LifeInterval, LifeMetrics, write_life_card
from battery_pilot.learning.model_store import BatterySet

if TYPE_CHECKING:
    from pathlib import Path

PROVEN = Comparison(batteries=8, better=8, mean_advantage=40.0, p_value=1 / 256)
LUCKY = Comparison(batteries=8, better=2, mean_advantage=40.0, p_value=0.25)


def card(mae: float = 30.0, fade: Comparison = PROVEN, censored: int = 4) -> LifeCard:
    return LifeCard.model_validate(
        {
            "version": "0123456789ab",
            "data_digest": "66-1-2-3-4",
            "spark_version": "4.2.0",
            "end_of_life_percent": 80,
            "censored_batteries": censored,
            "first_as_of": "2024-01-01T00:00:00Z",
            "last_as_of": "2024-06-01T00:00:00Z",
            "training": BatterySet(count=6, pairs=40, battery_ids=None),
            "test": BatterySet(count=2, pairs=9, battery_ids=("A", "B")),
            "features": ("log_margin",),
            "features_left_out": (),
            "imputed": {},
            "seed": 0,
            "learner": "random forest",
            "cross_validated_mae": {"random forest": 33.0},
            "importance": {"log_margin": 1.0},
            "metrics": LifeMetrics(count=9, mae=mae, mean_life_mae=200, linear_fade_mae=70, interval_coverage=0.9),
            "comparisons": {"mean_life": PROVEN, "linear_fade": fade},
            "interval": LifeInterval(lower_offset=-0.3, upper_offset=0.2),
        }
    )


@pytest.mark.parametrize(("given", "good"), [(card(), True), (card(mae=80), False), (card(fade=LUCKY), False)])
def test_model_needs_lower_errors_than_both_baselines_and_not_by_luck(given: LifeCard, good: bool) -> None:
    assert given.is_good_enough is good


def test_card_is_kept_beside_the_health_model_and_read_again(tmp_path: Path) -> None:
    model_store.publish(tmp_path, card(), lambda folder: (folder / model_store.PIPELINE).mkdir())
    assert not model_store.is_released(tmp_path)
    model_store.set_current(tmp_path, card().version)
    assert model_store.is_released(tmp_path)
    assert model_store.current_card(tmp_path, LifeCard) == card()


def test_page_tells_verdict_comparison_and_what_was_left_out(tmp_path: Path) -> None:
    rows = pd.DataFrame({"battery_id": ["A", "A", "B"], "truth": [100.0, 50, 80], "value": [90.0, 55, 85]})
    tested = rows.assign(lower=rows["value"] - 20, upper=rows["value"] + 20)
    write_life_card(tmp_path / "card.html", card(fade=LUCKY), tested)
    page = (tmp_path / "card.html").read_text()
    assert "Not released" in page
    assert "4 batteries have not reached 80 %" in page
    assert "Battery by battery against linear fade" in page
    write_life_card(tmp_path / "card.html", card(censored=0), tested)
    page = (tmp_path / "card.html").read_text()
    assert "Released: on unseen" in page
    assert "have not reached" not in page
