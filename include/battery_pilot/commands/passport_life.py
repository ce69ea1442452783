"""Commands about a battery itself: passport event, passport code."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.commands.output import print_fields, print_json
from battery_pilot.errors import InputError

if TYPE_CHECKING:
    import argparse

    from battery_pilot.passport.master import MasterData
    from battery_pilot.passport.model import BatteryItem

TABLE = "events.csv"
# Written out, because importing the models costs every command a second.
EVENTS = ("placed_on_market", "put_into_service", "accident", "reused", "repurposed", "remanufactured", "waste")
FORMS = ("qr", "datamatrix")


def register(actions: Any) -> None:
    """Add the commands to the actions of ``passport``."""
    event = actions.add_parser("event", help="add a life event to the table events of the master data")
    event.add_argument("battery", metavar="SERIAL", help="battery id or serial number")
    event.add_argument("event", choices=EVENTS)
    event.add_argument("--on", required=True, metavar="DAY", help="when it happened, for example 2031-05-04 (UTC)")
    event.add_argument("--operator", help="identifier of the economic operator who answers for it")
    event.add_argument("--successor", help="repurposed or remanufactured: id of the battery that it became")
    event.add_argument("--successor-serial", help="its serial number")
    event.add_argument("--successor-model", help="its model, unless it is the same")
    event.add_argument("--document", help="document identifier of a report")
    event.add_argument("--remark", help="what happened, in a few words")
    event.set_defaults(run=_event)

    code = actions.add_parser("code", help="write the battery's identification link as QR code or Data Matrix")
    code.add_argument("battery", metavar="SERIAL", help="battery id or serial number")
    code.add_argument("--form", choices=FORMS, default="qr")
    code.add_argument("--out", type=Path, required=True, help="file to write, .svg or .png")
    code.add_argument("--base", help="prefix of all identifiers (the configured one)")
    code.set_defaults(run=_code)

    for one in (event, code):
        one.add_argument("--master", type=Path, help="folder with the master data (the configured one)")
        one.add_argument("--json", action="store_true", help="print one JSON object")


def find_battery(master: MasterData, name: str) -> BatteryItem:
    """Return the battery with an id, or else with a serial number.

    :raises InputError: there is none, or several have that serial number.
    """
    if name in master.batteries:
        return master.batteries[name]
    found = [item for item in master.batteries.values() if item.serial_number == name]
    if len(found) > 1:
        names = ", ".join(item.battery_id for item in found)
        raise InputError(f"serial number {name} is that of batteries {names}: name one of them")
    if not found:
        close = get_close_matches(name, master.batteries, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"the master data have no battery {name}{hint}")
    return found[0]


def _event(chosen: argparse.Namespace) -> int:
    from battery_pilot.passport.life_table import add_event
    from battery_pilot.passport.master import read_master
    from battery_pilot.settings import load

    folder = chosen.master or load().master
    master = read_master(folder)
    facts = {
        "battery_id": find_battery(master, chosen.battery).battery_id,
        "event": chosen.event,
        "occurred_on": chosen.on,
        "operator_id": chosen.operator,
        "successor_battery_id": chosen.successor,
        "successor_serial_number": chosen.successor_serial,
        "successor_model_id": chosen.successor_model,
        "document_id": chosen.document,
        "remark": chosen.remark,
    }
    is_new = add_event(folder / TABLE, master.models, master.batteries, master.events, facts)
    content = {name: value for name, value in facts.items() if value} | {
        "added": is_new,
        "table": str(folder / TABLE),
    }
    (print_json if chosen.json else print_fields)(content)
    if is_new and not chosen.json:
        print("\nIt enters the passports with the next run of provide_passports whose window ends after that day.")
    return 0


def _code(chosen: argparse.Namespace) -> int:
    from battery_pilot.passport.identification import modules, png, svg
    from battery_pilot.passport.identifiers import derive_identifiers
    from battery_pilot.passport.master import read_master
    from battery_pilot.settings import load

    master = read_master(chosen.master or load().master)
    item = find_battery(master, chosen.battery)
    link = derive_identifiers(chosen.base or load().base_iri, master.models[item.model_id], item).asset
    symbol = modules(link, chosen.form)
    if chosen.out.suffix not in {".svg", ".png"}:
        raise InputError(f"{chosen.out}: the code is written as .svg or .png")
    chosen.out.write_bytes(svg(symbol, link) if chosen.out.suffix == ".svg" else png(symbol))
    content = {
        "battery_id": item.battery_id,
        "link": link,
        "is_iec_61406": link.startswith("https://"),
        "form": chosen.form,
        "modules": len(symbol),
        "file": str(chosen.out),
    }
    (print_json if chosen.json else print_fields)(content)
    return 0
