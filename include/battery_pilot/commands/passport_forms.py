"""Commands that exchange passports with others: passport export, passport import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    import argparse

    from battery_pilot.passport.building import Passport


def register(actions: Any) -> None:
    """Add the commands to the actions of ``passport``."""
    export = actions.add_parser("export", help="write a passport file in another form")
    export.add_argument(
        "file",
        type=Path,
        help=".aasx, .json or .xml; without --tier it is exported as it is, whichever tier it is of",
    )
    export.add_argument(
        "--form", required=True, choices=("value-only", "batterypass", "catena-x", "json", "xml", "aasx")
    )
    export.add_argument(
        "--tier",
        choices=("public", "legitimate_interest", "authority"),
        help="narrow it to the view of this tier; documents stay out, because a file does not say who may see them",
    )
    export.add_argument("--out", type=Path, required=True, help="the file to write")
    export.set_defaults(run=_export)

    take_in = actions.add_parser("import", help="master data and condition from a passport of somebody else")
    take_in.add_argument(
        "file",
        type=Path,
        help="AASX, AAS JSON or XML, BatteryPass JSON or value-only JSON; or the folder of an import, filled in",
    )
    take_in.add_argument("--out", type=Path, help="folder for the master tables and condition.json")
    take_in.add_argument("--passport", type=Path, help="a passport in our form, .json or .aasx")
    take_in.add_argument("--base", default="https://example.com/dbp", help="identifier base of --passport")
    take_in.add_argument("--battery-id", help="your name of the battery; default: its serial number")
    take_in.add_argument("--model-id", help="your name of the model; BatteryPass has none")
    take_in.set_defaults(run=_import)


def _export(chosen: argparse.Namespace) -> int:
    from battery_pilot.passport.exports import export_file
    from battery_pilot.passport.model import Tier

    tier = Tier(chosen.tier) if chosen.tier else None
    written = export_file(_existing(chosen.file), chosen.form, chosen.out, tier)
    for one in written.missing:
        print(f"missing  {one.path}: {one.reason}")
    print(f"{chosen.out}: {chosen.form}, {len(written.missing)} places that the form demands are missing")
    return 0


def _import(chosen: argparse.Namespace) -> int:
    from battery_pilot.passport.imports import (
        build_filled_in,
        build_imported,
        import_file,
        missing_columns,
        write_records,
    )

    if chosen.out is None and chosen.passport is None:
        raise InputError("say where to: --out FOLDER for master data, --passport FILE for a passport, or both")
    if chosen.file.is_dir() and chosen.passport is not None and chosen.out is None:
        return _write(build_filled_in(chosen.file, chosen.base), chosen.passport)
    taken = import_file(_existing(chosen.file), battery_id=chosen.battery_id, model_id=chosen.model_id)
    for note in taken.notes:
        print(f"note     {note}")
    if chosen.out is not None:
        for column in missing_columns(taken.records):
            print(f"missing  {column}: fill it in, the file does not carry it")
        for path in write_records(taken.records, chosen.out):
            print(path)
    if chosen.passport is not None:
        return _write(build_imported(taken.records, chosen.base), chosen.passport)
    return 0


def _write(passport: Passport, path: Path) -> int:
    from battery_pilot.passport.aas import write_json
    from battery_pilot.passport.aasx import write_aasx

    (write_aasx if path.suffix.lower() == ".aasx" else write_json)(passport, path)
    print(path)
    return 0


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    return path
