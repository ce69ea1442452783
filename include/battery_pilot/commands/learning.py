"""Commands that learn: evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.commands.output import print_fields, print_json

if TYPE_CHECKING:
    import argparse

    from battery_pilot.learning.assessment import Assessment


def register(commands: Any) -> None:
    """Add the commands to a parser."""
    evaluate = commands.add_parser(
        "evaluate",
        help="learn a battery's health from one table and test it on another",
        description="Chooses a model by cross-validation that leaves out whole batteries of the training table, fits it, "
        "and measures it once on the test table. Both are .parquet or .csv with battery_id, the target and features: "
        "numbers; impedance as pairs of columns whose names differ in real/imag, as text columns with complex numbers "
        "or as columns of lists.",
    )
    evaluate.add_argument("--train", type=Path, required=True, metavar="FILE", help="table to learn from")
    evaluate.add_argument("--test", type=Path, required=True, metavar="FILE", help="table of other batteries")
    evaluate.add_argument("--target", required=True, metavar="COLUMN", help="column to predict: capacity_fraction")
    evaluate.add_argument(
        "--exclude", action="append", default=[], metavar="COLUMN", help="a column that is no feature; repeatable"
    )
    evaluate.add_argument("--seed", type=int, default=0, help="of the cross-validation's folds (default 0)")
    evaluate.add_argument("--report", type=Path, metavar="OUT.html", help="write a model card")
    evaluate.add_argument("--json", action="store_true", help="print one JSON object")
    evaluate.set_defaults(run=_evaluate)


def _evaluate(chosen: argparse.Namespace) -> int:
    from battery_pilot.learning.assessment import assess
    from battery_pilot.learning.feature_table import read_table

    train = read_table(chosen.train, chosen.target, chosen.exclude)
    test = read_table(chosen.test, chosen.target, chosen.exclude)
    found = assess(train, test, chosen.target, chosen.seed)
    if chosen.report:
        _write_card(chosen.report, found, chosen.seed)
    (print_json if chosen.json else print_fields)(found.summary())
    return 0


def _write_card(path: Path, found: Assessment, seed: int) -> None:
    from battery_pilot.learning.card_page import Predictions, write_card
    from battery_pilot.learning.conformal import PROBABILITY

    summary = found.summary()
    errors = {name: baseline["mae"] for name, baseline in found.baselines.items()}
    members = {f"{one['learner']}, {one['view']}": one["cross_validated_mae"] for one in summary["model"]["members"]}
    write_card(
        path,
        title=f"Model card: {found.target}",
        quantity=found.target,
        verdict="On unseen batteries the model is "
        + (
            "better than every baseline."
            if found.beats_baselines
            else "not better than every baseline: do not use it."
        ),
        tested=Predictions(
            found.test.battery.tolist(),
            found.test.target,
            found.predicted,
            found.predicted - found.radius,
            found.predicted + found.radius,
            PROBABILITY,
        ),
        importance=found.importance,
        importance_means="Rise of the mean absolute error when the feature is shuffled among the rows",
        facts={
            "Errors on the test batteries": found.metrics,
            "Mean absolute error of the baselines": errors,
            "Members and their cross-validated mean absolute error": members,
            "Data": {
                "training rows": summary["train"]["rows"],
                "training batteries": summary["train"]["batteries"],
                "test rows": summary["test"]["rows"],
                "test batteries": summary["test"]["batteries"],
                "features": summary["features"],
                "seed": seed,
            },
            "Mean absolute error by battery": summary["mae_by_battery"],
        },
        warnings=found.warnings,
    )
