"""Commands around servers: sandbox, up, down, demo, pull-twins."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path
from typing import Any

from battery_pilot.commands.output import print_fields, print_json

STACK_FOLDER = Path("var/stack")
_ENDS = (signal.SIGINT, signal.SIGTERM)


def register(commands: Any) -> None:
    """Add the commands to a parser."""
    sandbox = commands.add_parser("sandbox", help="local stand-ins for the AASX Server, Orion and the connectors")
    actions = sandbox.add_subparsers(metavar="ACTION", required=True)
    for name, text, run in (("up", "start them", _sandbox_up), ("down", "stop them", _sandbox_down)):
        action = actions.add_parser(name, help=text)
        action.add_argument("--folder", type=Path, default=Path("var/sandbox"), help="where their state is kept")
        action.add_argument("--json", action="store_true", help="print one JSON object")
        action.set_defaults(run=run)

    up = commands.add_parser("up", help="start the whole stack on this machine and keep it running")
    up.add_argument("--folder", type=Path, default=STACK_FOLDER, help="where all its files lie (var/stack)")
    up.add_argument("--port", type=_port, default=8080, help="port of Airflow's web UI (8080)")
    up.set_defaults(run=_up)

    down = commands.add_parser("down", help="stop what `up` started")
    down.add_argument("--folder", type=Path, default=STACK_FOLDER, help="the folder that was given to `up`")
    down.set_defaults(run=_down)

    demo = commands.add_parser("demo", help="the whole way once, on a simulated fleet")
    demo.add_argument("--folder", type=Path, default=Path("var/demo"), help="where everything lands (var/demo)")
    demo.add_argument("--batteries", type=_count, default=12)
    demo.add_argument("--months", type=_count, default=3)
    demo.add_argument("--seed", type=int, default=7)
    demo.set_defaults(run=_demo)

    pull = commands.add_parser(
        "pull-twins", help="fetch shells, submodels and files from an AAS server into a folder"
    )
    pull.add_argument("server", help="address of the server")
    pull.add_argument("folder", type=Path, help="where each twin gets a folder")
    pull.add_argument("--shell", action="append", default=[], metavar="ID", help="only this shell; may be repeated")
    pull.add_argument("--json", action="store_true", help="print one JSON object")
    pull.set_defaults(run=_pull_twins)


def _pull_twins(chosen: argparse.Namespace) -> int:
    from battery_pilot.pipeline.pulled_twins import pull_twins
    from battery_pilot.services.aas_server import AasServer

    counts = pull_twins(AasServer(chosen.server), chosen.folder, chosen.shell)
    (print_json if chosen.json else print_fields)(counts)
    return 0


def _count(text: str) -> int:
    return _number(text, 1, 1_000_000)


def _port(text: str) -> int:
    return _number(text, 1, 65535)


def _number(text: str, least: int, most: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to {most}")
    return number


def _sandbox_up(chosen: argparse.Namespace) -> int:
    from dataclasses import asdict

    from battery_pilot.sandbox.server import up

    content = asdict(up(chosen.folder.absolute()))
    (print_json if chosen.json else print_fields)(content)
    return 0


def _sandbox_down(chosen: argparse.Namespace) -> int:
    from battery_pilot.sandbox.server import down

    stopped = bool(down(chosen.folder.absolute()))
    if chosen.json:
        print_json({"stopped": stopped})
    else:
        print("stopped" if stopped else "nothing was running")
    return 0


def _up(chosen: argparse.Namespace) -> int:
    from battery_pilot.stack.runtime import Folders, summary, up

    print("starting PostgreSQL, the sandbox servers and Airflow", flush=True)
    folders = Folders(chosen.folder.absolute())
    print_fields(summary(up(folders, port=chosen.port)))
    print(f"\nPut files into {folders.landing}/<YYYY-MM-DD>/ and the tables models.csv and batteries.csv into")
    print(f"{folders.master}, then trigger provide_passports. Stop with `make down`.")
    return 0


def _down(chosen: argparse.Namespace) -> int:
    from battery_pilot.stack.runtime import Folders, down

    print("stopped" if down(Folders(chosen.folder.absolute())) else "nothing was running")
    return 0


def _end(*_: object) -> None:
    """Let the block of the running stack stop it; an impatient second signal must not cut that short."""
    for number in _ENDS:
        signal.signal(number, signal.SIG_IGN)
    print("stopping what was started: this takes up to half a minute", flush=True)
    raise KeyboardInterrupt


def _demo(chosen: argparse.Namespace) -> int:
    from battery_pilot.stack.demo import Fleet, demo

    # Whoever ends it, with Ctrl-C or with a signal, finds nothing left running.
    before = {number: signal.signal(number, _end) for number in _ENDS}
    try:
        return demo(chosen.folder.absolute(), Fleet(chosen.batteries, chosen.months, chosen.seed))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
