from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from battery_pilot.errors import InputError
from battery_pilot.learning import model_store
from battery_pilot.learning.comparison import Comparison
from battery_pilot.learning.evaluation import Interval
from battery_pilot.learning.model_store import BatterySet, Metrics, ModelCard

if TYPE_CHECKING:
    from pathlib import Path


def card(version: str = "0123456789ab") -> ModelCard:
    return ModelCard.model_validate(
        {
            "version": version,
            "data_digest": "66-1-2-3-4",
            "spark_version": "4.2.0",
            "target": "rate",
            "first_as_of": "2024-01-01T00:00:00Z",
            "last_as_of": "2024-06-01T00:00:00Z",
            "training": BatterySet(count=2, pairs=4, battery_ids=("A", "B")),
            "test": BatterySet(count=1, pairs=2, battery_ids=("C",)),
            "features": ("a",),
            "features_left_out": (),
            "imputed": {"a": 1},
            "seed": 0,
            "ridge": 0.1,
            "cross_validated_mae": {"0.1": 0.3},
            "intercept": -0.5,
            "coefficients": {"a": 0.2},
            "metrics": Metrics(count=2, mae=0.2, baseline_mae=0.4, linear_fade_mae=0.3, interval_coverage=1.0),
            "interval": Interval(lower_offset=-0.4, upper_offset=0.3, reference_days=30),
        }
    )


def save(folder: Path) -> None:
    (folder / model_store.PIPELINE).mkdir()


def fail(folder: Path) -> None:
    save(folder)
    raise OSError("disk full")


def test_version_is_short_and_depends_on_data_and_parameters_only() -> None:
    version = model_store.model_version("d1", {"seed": 0, "ridges": [1.0]})
    assert version == model_store.model_version("d1", {"ridges": [1.0], "seed": 0})
    assert len(version) == 12
    assert int(version, 16) >= 0
    assert version != model_store.model_version("d2", {"seed": 0, "ridges": [1.0]})
    assert version != model_store.model_version("d1", {"seed": 1, "ridges": [1.0]})


def test_published_model_is_found_with_its_card(tmp_path: Path) -> None:
    model_store.publish(tmp_path / "models", card(), save)
    model_store.set_current(tmp_path / "models", "0123456789ab")

    assert model_store.current_card(tmp_path / "models", ModelCard) == card()
    assert json.loads((tmp_path / "models" / "current.json").read_text()) == {"version": "0123456789ab"}
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["0123456789ab", "current.json"]


def test_failed_save_leaves_no_model_and_no_remains(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="disk full"):
        model_store.publish(tmp_path, card(), fail)
    assert list(tmp_path.iterdir()) == []
    assert model_store.read_card(tmp_path, card().version, ModelCard) is None


def test_second_publication_of_a_version_keeps_the_first(tmp_path: Path) -> None:
    model_store.publish(tmp_path, card(), save)
    marker = tmp_path / card().version / "first"
    marker.touch()

    model_store.publish(tmp_path, card(), save)

    assert marker.exists()
    assert [path.name for path in tmp_path.iterdir()] == [card().version]


def test_current_version_is_written_only_when_it_changes(tmp_path: Path) -> None:
    model_store.set_current(tmp_path, "a")
    written = (tmp_path / "current.json").stat()
    model_store.set_current(tmp_path, "a")
    assert (tmp_path / "current.json").stat().st_ino == written.st_ino
    model_store.set_current(tmp_path, "b")
    assert json.loads((tmp_path / "current.json").read_text()) == {"version": "b"}


def test_missing_model_names_the_job_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"current\.json not found: no model was released yet; run jobs/train_health_model\.py"
    ):
        model_store.current_card(tmp_path, ModelCard)


def test_current_version_without_a_model_is_reported(tmp_path: Path) -> None:
    model_store.set_current(tmp_path, "gone")
    with pytest.raises(InputError, match=r"gone/model_card\.json not found.*train again"):
        model_store.current_card(tmp_path, ModelCard)


@pytest.mark.parametrize("text", ["", "[]", "{}", "{"])
def test_damaged_pointer_is_reported_with_its_path(tmp_path: Path, text: str) -> None:
    (tmp_path / "current.json").write_text(text)
    with pytest.raises(InputError, match=r"current\.json: expected"):
        model_store.current_card(tmp_path, ModelCard)


def test_card_with_an_unknown_field_is_refused(tmp_path: Path) -> None:
    model_store.publish(tmp_path, card(), save)
    path = tmp_path / card().version / "model_card.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"surprise": 1}))
    with pytest.raises(InputError, match=r"model_card\.json: not a model card"):
        model_store.read_card(tmp_path, card().version, ModelCard)


@pytest.mark.parametrize(
    ("baseline", "fade", "better"), [(0.4, 0.3, True), (0.4, 0.2, False), (0.2, 0.3, False), (0.4, 0.1, False)]
)
def test_model_is_good_enough_only_if_it_beats_both_baselines(baseline: float, fade: float, better: bool) -> None:
    metrics = Metrics(count=2, mae=0.2, baseline_mae=baseline, linear_fade_mae=fade, interval_coverage=1.0)
    assert metrics.beats_baselines is better
    assert card().model_copy(update={"metrics": metrics}).is_good_enough is better


def test_model_that_was_lucky_on_one_battery_is_not_good_enough() -> None:
    lucky = Comparison(batteries=8, better=1, mean_advantage=0.9, p_value=0.5)
    proven = Comparison(batteries=8, better=8, mean_advantage=0.2, p_value=1 / 256)
    assert card().model_copy(update={"comparisons": {"last_value": proven, "linear_fade": proven}}).is_good_enough
    assert not card().model_copy(update={"comparisons": {"last_value": proven, "linear_fade": lucky}}).is_good_enough


def test_card_of_the_version_before_is_still_read(tmp_path: Path) -> None:
    model_store.publish(tmp_path, card(), save)
    path = tmp_path / card().version / "model_card.json"
    fields = json.loads(path.read_text())
    del fields["comparisons"]
    path.write_text(json.dumps(fields))
    assert model_store.read_card(tmp_path, card().version, ModelCard) == card()
