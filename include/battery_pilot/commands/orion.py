"""Commands about FIWARE Orion: orion indexes, subscribe, receive, export, agent-config."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.commands.output import print_fields, print_json

if TYPE_CHECKING:
    import argparse

    from battery_pilot.services.orion import Orion

DESCRIPTION = "battery-pilot"


def register(commands: Any) -> None:
    """Add the commands to a parser."""
    orion = commands.add_parser("orion", help="the context broker: indexes, subscriptions, notifications, tables")
    actions = orion.add_subparsers(metavar="ACTION", required=True)

    indexes = actions.add_parser("indexes", help="make the indexes that a large fleet needs in Orion's MongoDB")
    indexes.add_argument("uri", help="connection string of the MongoDB, for example mongodb://localhost:27017")
    indexes.add_argument("--service", action="append", default=[], help="tenant; may come several times")
    indexes.add_argument("--database", default="orion", help="Orion's -db (orion)")
    indexes.set_defaults(run=_indexes)

    subscribe = actions.add_parser("subscribe", help="create or change the subscription to batteries")
    _add_broker(subscribe)
    subscribe.add_argument("notify_url", help="where Orion posts to: the address of `orion receive` with /notify")
    subscribe.add_argument("--attribute", action="append", default=[], help="watch this one; default: all")
    subscribe.add_argument("--type", default="Battery", help="type of the entities (Battery)")
    subscribe.add_argument("--description", default=DESCRIPTION, help="identifies the subscription (battery-pilot)")
    subscribe.set_defaults(run=_subscribe)

    receive = actions.add_parser(
        "receive", help="take notifications and write them as JSON lines, until it is stopped"
    )
    receive.add_argument("folder", type=Path, help="gets a folder for each day")
    receive.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    receive.add_argument("--port", type=int, default=7777, help="port to listen on (7777)")
    receive.set_defaults(run=_receive)

    export = actions.add_parser("export", help="write all entities as a Parquet file, for Spark or pandas")
    _add_broker(export)
    export.add_argument("file", type=Path)
    export.add_argument("--type", default="Battery", choices=("Battery", "BatteryModel"))
    export.add_argument("--ld", action="store_true", help="write NGSI-LD, one entity a line, for Orion-LD")
    export.set_defaults(run=_export)
    config = actions.add_parser("agent-config", help="print what the FIWARE AAS Agent needs to know, as JSON")
    config.add_argument(
        "--mark",
        nargs=2,
        type=Path,
        metavar=("PASSPORT", "OUTPUT"),
        help="also write a passport as AAS JSON whose mapped elements carry the qualifier NGSIActive",
    )
    config.set_defaults(run=_agent_config)
    for action in (indexes, subscribe, export):
        action.add_argument("--json", action="store_true", help="print one JSON object")


def _add_broker(action: argparse.ArgumentParser) -> None:
    action.add_argument("url", help="Orion's address without /v2, for example http://localhost:1026")
    action.add_argument("--service", help="tenant (Fiware-Service)")
    action.add_argument("--service-path", default="/", help="Fiware-ServicePath (/)")


def _broker(chosen: argparse.Namespace) -> Orion:
    from battery_pilot.services.orion import Orion

    return Orion(chosen.url, service=chosen.service, service_path=chosen.service_path)


def _indexes(chosen: argparse.Namespace) -> int:
    from battery_pilot.services.orion_indexes import create_indexes

    _print(chosen, create_indexes(chosen.uri, chosen.service, database=chosen.database))
    return 0


def _subscribe(chosen: argparse.Namespace) -> int:
    identifier = _broker(chosen).subscribe(
        chosen.description, entity_type=chosen.type, notify_url=chosen.notify_url, attributes=chosen.attribute
    )
    _print(chosen, {"subscription": identifier})
    return 0


def _receive(chosen: argparse.Namespace) -> int:
    import uvicorn

    from battery_pilot.services.notifications import PATH, create_app

    print(f"http://{chosen.host}:{chosen.port}{PATH} writes to {chosen.folder}", flush=True)
    uvicorn.run(create_app(chosen.folder), host=chosen.host, port=chosen.port, log_level="warning")
    return 0


def _export(chosen: argparse.Namespace) -> int:
    from battery_pilot.lake import write_lines
    from battery_pilot.pipeline.entities_ld import ld_entity
    from battery_pilot.pipeline.entity_reader import write_parquet

    broker = _broker(chosen)
    if chosen.ld:
        count = write_lines(chosen.file, map(ld_entity, broker.entities(chosen.type)))
    else:
        count = write_parquet(broker, chosen.file, chosen.type)
    _print(chosen, {"entities": count, "file": str(chosen.file)})
    return 0


def _agent_config(chosen: argparse.Namespace) -> int:
    from battery_pilot.lake import write_json
    from battery_pilot.passport.reading import read_environment
    from battery_pilot.pipeline.agent_config import agent_configuration, mark_active

    if chosen.mark:
        passport, output = chosen.mark
        content = read_environment(passport).content
        write_json(output, {**content, "submodels": mark_active(content.get("submodels", []))})
    print_json(agent_configuration())
    return 0


def _print(chosen: argparse.Namespace, content: dict[str, Any]) -> None:
    (print_json if chosen.json else print_fields)(content)
