"""Commands that work on passports: passport validate, passport show; see also :mod:`passport_forms`."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.commands import passport_completeness, passport_forms, passport_history, passport_life
from battery_pilot.commands.output import print_fields, print_json
from battery_pilot.errors import PassportError

if TYPE_CHECKING:
    import argparse


def register(commands: Any) -> None:
    """Add the commands to a parser."""
    passport = commands.add_parser("passport", help="validate or show a passport file")
    actions = passport.add_subparsers(metavar="ACTION", required=True)

    validate = actions.add_parser("validate", help="check an .aasx, .json or .xml file; exit code 1 if it has errors")
    validate.add_argument("file", type=Path)
    validate.add_argument(
        "--category",
        choices=("ev", "lmt", "industrial", "stationary"),
        help="what is mandatory depends on it; default: as the passport states",
    )
    validate.add_argument("--json", action="store_true", help="print one JSON object")
    validate.set_defaults(run=_validate)

    passport_forms.register(actions)
    passport_completeness.register(actions)

    show = actions.add_parser("show", help="print the values of a passport")
    show.add_argument("file", type=Path)
    show.add_argument("--json", action="store_true", help="print one JSON object")
    show.set_defaults(run=_show)

    passport_history.register(actions)
    passport_life.register(actions)


def _validate(chosen: argparse.Namespace) -> int:
    from battery_pilot.passport.validation import validate_file

    findings = [
        asdict(one) if is_dataclass(one) else one.model_dump()
        for one in validate_file(chosen.file, category=chosen.category)
    ]
    if chosen.json:
        print_json({"findings": findings})
    else:
        for one in findings:
            print(f"{one['severity']:<8} {one['rule']:<28} {one['path']}: {one['message']}")
        errors = sum(one["severity"] == "error" for one in findings)
        print(f"{chosen.file}: {errors} errors, {len(findings) - errors} warnings")
    return int(any(one["severity"] == "error" for one in findings))


def _show(chosen: argparse.Namespace) -> int:
    from battery_pilot.passport.reading import read_file

    try:
        passport = read_file(chosen.file)
    except PassportError as error:
        raise PassportError(f"{chosen.file}: {str(error).removeprefix(f'{chosen.file}: ')}") from error
    content = {"battery_id": passport.battery_id, "as_of": passport.as_of.isoformat(), "values": passport.values}
    (print_json if chosen.json else print_fields)(content)
    return 0
