"""The command negotiations: what was said with a counterparty about a passport."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from battery_pilot.commands.output import print_fields, print_json

LONGEST_BODY = 2000
"""Characters of a body that are printed; ``--json`` prints all."""


def register(commands: Any) -> None:
    """Add the command to a parser."""
    negotiations = commands.add_parser("negotiations", help="what was said with other connectors")
    actions = negotiations.add_subparsers(metavar="ACTION", required=True)
    show = actions.add_parser(
        "show", help="print the whole story of a negotiation: every request and answer, without secrets"
    )
    show.add_argument("identifier", metavar="ID", help="negotiation, agreement, transfer, asset or battery")
    show.add_argument("--lake", type=Path, help="a party's part of the lake (the consumer's of the configured one)")
    show.add_argument("--json", action="store_true", help="print one JSON object")
    show.set_defaults(run=_show)


def _show(chosen: argparse.Namespace) -> int:
    from battery_pilot.lake import Lake
    from battery_pilot.pipeline.negotiations import story
    from battery_pilot.settings import load

    found = story(Lake(chosen.lake or load().lake / "consumer"), chosen.identifier)
    if chosen.json:
        print_json(found)
        return 0
    for contract in found["contracts"]:
        print_fields({name: value for name, value in contract.items() if value is not None})
    for exchange in found["exchanges"]:
        _print_exchange(exchange)
    return 0


def _print_exchange(exchange: dict[str, Any]) -> None:
    outcome = "no answer" if exchange["status"] is None else exchange["status"]
    often = f"  ({exchange['times']} times, the last at {exchange['last_at']})" if exchange["times"] > 1 else ""
    print(f"\n{exchange['first_at']}  {exchange['method']} {exchange['url']}  {outcome}{often}")
    for name in ("sent", "received"):
        if exchange[name] is not None:
            print(f"  {name:<8}  {_body(exchange[name])}")


def _body(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_BODY else f"{text[:LONGEST_BODY]}… ({len(text)} characters)"
