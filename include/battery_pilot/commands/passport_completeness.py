"""The command ``passport completeness``: which mandatory elements a passport has, and who owes the others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.commands.output import print_json

if TYPE_CHECKING:
    import argparse


def register(actions: Any) -> None:
    """Add the command to the parser of ``passport``."""
    command = actions.add_parser("completeness", help="percent of mandatory elements, what is missing, who owes it")
    command.add_argument("file", type=Path, help=".aasx or .json")
    command.add_argument(
        "--tier",
        default="authority",
        choices=("public", "legitimate_interest", "authority"),
        help="whose view the file is; elements that this tier does not see are not counted (default: authority)",
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.set_defaults(run=_completeness)


def _completeness(chosen: argparse.Namespace) -> int:
    from battery_pilot.passport.completeness import CATEGORY_PATH, completeness
    from battery_pilot.passport.model import Tier
    from battery_pilot.passport.reading import read_file

    values = read_file(chosen.file).values
    found = completeness(list(values), str(values.get(CATEGORY_PATH, "")), Tier(chosen.tier))
    if chosen.json:
        missing = [{"path": one.path, "supplier": one.supplier, "reason": one.reason} for one in found.missing]
        print_json(
            {
                "category": found.category,
                "tier": found.tier.value,
                "percent": round(found.percent, 1),
                "mandatory": found.mandatory,
                "present": found.present,
                "by_supplier": found.by_supplier,
                "missing": missing,
            }
        )
        return 0
    for one in found.missing:
        print(f"{one.supplier:<12}{one.path}")
    print(f"{chosen.file}: {found.present} of {found.mandatory} mandatory elements, {found.percent:.1f} %")
    return 0
