"""The command passport history: the versions of a battery's passport, its health over time, and whether all is whole."""

from __future__ import annotations

import argparse
import os
from collections import deque
from dataclasses import asdict
from datetime import UTC, datetime, time, timedelta
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.commands.output import print_fields, print_json
from battery_pilot.errors import InputError, PassportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.passport.history import DisclosedEntry, HistoryEntry, HistoryStore
    from battery_pilot.passport.timeline import Health, Version
    from battery_pilot.pipeline.holdings import Holdings

URI_VARIABLE = "BATTERY_PILOT_HISTORY_URI"
SERIAL_NUMBER = "BatteryNameplate.SerialNumber"
HEADS_AT_ONCE = 1000


def register(actions: Any) -> None:
    """Add the command to the actions of ``passport``."""
    history = actions.add_parser(
        "history",
        help="show a battery's versions and health over time; history verify: check that no version was changed",
        description="Show the versions of a battery's passport and its health over time, or check that they are whole.",
        epilog=f"The history is the provider's: a file, or the MongoDB that {URI_VARIABLE} names "
        "(mongodb://user:password@host/database). A consumer's is what came with the passport; with it are shown the "
        "contracts under which it is held.",
    )
    history.add_argument(
        "words",
        nargs="+",
        metavar="[verify] SERIAL|FILE",
        help="battery id or serial number; after `verify` also a bundle that was received",
    )
    history.add_argument("--recorded-at", type=_moment, metavar="TIME", help="what was said at that time")
    history.add_argument("--as-of", type=_moment, metavar="TIME", help="about the battery's state at that time")
    history.add_argument("--store", type=Path, help="SQLite file (history.sqlite in the provider's lake)")
    history.add_argument("--lake", type=Path, help="a consumer's part of the lake (that of the configured one)")
    history.add_argument("--keys", type=Path, help="verify: key set (JWKS) of the provider, for a signed bundle")
    history.add_argument("--plot", type=Path, help="write the health over time as .svg or .png")
    history.add_argument("--json", action="store_true", help="print one JSON object")
    history.set_defaults(run=_run)


def _run(chosen: argparse.Namespace) -> int:
    if len(chosen.words) == 1:
        return _show(chosen, chosen.words[0])
    if len(chosen.words) == 2 and chosen.words[0] == "verify":
        return _verify(chosen, chosen.words[1])
    raise InputError(f"passport history: {' '.join(chosen.words)!r} is no battery; quote a name that has spaces")


def _moment(text: str) -> datetime:
    """Return a time with a zone; a day alone stands for its last moment, UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 2026-03-31 or 2026-03-31T12:00:00Z") from None
    if moment.tzinfo is None:
        if moment.time() != time.min or "T" in text or ":" in text:
            raise argparse.ArgumentTypeError(f"{text!r} has no time zone; write {text}Z for UTC")
        moment = moment.replace(tzinfo=UTC) + timedelta(days=1, microseconds=-1)
    return moment


def open_store(path: Path | None) -> HistoryStore:
    """Open the history that a command reads; none is made.

    :param path: SQLite file; ``None`` for the MongoDB of the environment, else the file in the provider's lake.
    :raises InputError: there is none.
    """
    from battery_pilot.passport.history import SqliteHistory
    from battery_pilot.settings import load

    uri = os.environ.get(URI_VARIABLE)
    if path is None and uri:
        from pymongo.uri_parser import parse_uri

        from battery_pilot.services.history_mongo import MongoHistory

        return MongoHistory(uri, parse_uri(uri).get("database") or "battery_pilot")
    path = path or load().lake / "provider" / "history.sqlite"
    if not path.is_file():
        raise InputError(f"{path}: no history there; name the file with --store or a MongoDB with {URI_VARIABLE}")
    return SqliteHistory(path)


def find_entries(store: HistoryStore, name: str) -> Sequence[HistoryEntry]:
    """Return the history of a battery that is named by its id or its serial number.

    :raises InputError: no battery has that name, or several have that serial number.
    """
    from battery_pilot.passport.model import Tier

    entries = store.entries(name)
    if entries:
        return entries
    ids = iter(known := list(store.battery_ids()))
    found: list[str] = []
    while chunk := list(islice(ids, HEADS_AT_ONCE)):
        heads = store.heads(chunk)
        found += [one for one in chunk if heads[one].values[Tier.PUBLIC].get(SERIAL_NUMBER) == name]
    if len(found) > 1:
        raise InputError(f"serial number {name} is that of batteries {', '.join(found)}: name one of them")
    if not found:
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(f"the history has no battery {name}{hint}")
    return store.entries(found[0])


def _show(chosen: argparse.Namespace, name: str) -> int:
    from battery_pilot.passport.timeline import health_timeline, versions
    from battery_pilot.pipeline.health_history import value_paths

    entries, held = _known(chosen, name)
    if not entries and held:
        return _show_removed(chosen, held)
    if chosen.recorded_at or chosen.as_of:
        return _said(chosen, entries)
    timeline = health_timeline(entries, value_paths())
    if chosen.plot:
        from battery_pilot.figures.health_timeline import draw

        draw(chosen.plot, entries[0].battery_id, [(one.as_of, one.state_of_health_percent) for one in timeline])
    shown = versions(entries)
    if chosen.json:
        print_json(
            {
                "battery_id": entries[0].battery_id,
                "health": [_times(asdict(one)) for one in timeline],
                "versions": [_times(asdict(one)) for one in shown],
                "receipts": _receipts(held),
            }
        )
    else:
        _print_health(entries[0].battery_id, timeline)
        for one in shown:
            _print_version(one)
        _print_receipts(held)
    return 0


def _known(chosen: argparse.Namespace, name: str) -> tuple[Sequence[DisclosedEntry], Holdings | None]:
    """Return a battery's history, the provider's or else what a consumer got of it, and what a consumer holds."""
    held = _held(chosen, name)
    try:
        return find_entries(open_store(chosen.store), name), held
    except InputError:
        if held is None or chosen.store:
            raise
        return held.bundle.entries if held.bundle else (), held


def _held(chosen: argparse.Namespace, name: str) -> Holdings | None:
    from battery_pilot.lake import Lake
    from battery_pilot.pipeline.holdings import holdings
    from battery_pilot.settings import load

    return holdings(Lake(chosen.lake or load().lake / "consumer"), name)


def _show_removed(chosen: argparse.Namespace, held: Holdings) -> int:
    if chosen.json:
        print_json({"battery_id": held.battery_id, "health": [], "versions": [], "receipts": _receipts(held)})
    else:
        print(f"battery {held.battery_id}: what was received of it has been removed")
        _print_receipts(held)
    return 0


def _receipts(held: Holdings | None) -> list[dict[str, Any]]:
    return [one.model_dump(mode="json") for one in held.entries] if held else []


def _print_receipts(held: Holdings | None) -> None:
    for one in held.entries if held else ():
        what = f"version {one.version}, tier {one.tier}, " if one.version else ""
        until = (
            f", to be held until {one.expires_at.isoformat()}" if one.kind == "received" and one.expires_at else ""
        )
        print(f"\n{one.kind} {one.at.isoformat()}: {what}sha256 {one.sha256}")
        print(f"  agreement {one.agreement_id} with {one.counterparty_id} on {one.asset_id}{until}")
        print(f"  policy sha256 {one.policy_sha256}; receipt {one.entry_hash}")


def _said(chosen: argparse.Namespace, entries: Sequence[DisclosedEntry]) -> int:
    from battery_pilot.passport.timeline import said

    found = said(entries, recorded_by=chosen.recorded_at, about=chosen.as_of)
    if found is None:
        first = min(entries, key=lambda entry: entry.recorded_at)
        raise InputError(
            f"nothing was said of battery {first.battery_id} then: the first version was recorded at "
            f"{first.recorded_at.isoformat()}, about {first.as_of.isoformat()}"
        )
    entry, values = found
    content = {
        "battery_id": entry.battery_id,
        "version": entry.version,
        "as_of": entry.as_of.isoformat(),
        "known_until": entry.known_until.isoformat(),
        "recorded_at": entry.recorded_at.isoformat(),
        "values": values,
    }
    (print_json if chosen.json else print_fields)(content)
    return 0


def _verify(chosen: argparse.Namespace, name: str) -> int:
    try:
        content = _verified_file(chosen, Path(name)) if Path(name).is_file() else _verified_battery(chosen, name)
    except PassportError as error:
        if not chosen.json:
            raise
        print_json({"whole": False, "problem": str(error)})
        return 1
    (print_json if chosen.json else print_fields)(content)
    return 0


def _verified_battery(chosen: argparse.Namespace, name: str) -> dict[str, Any]:
    from battery_pilot.passport.chain import current_entry, reconstruct, verify_chain
    from battery_pilot.passport.model import Tier

    held = _held(chosen, name)  # reading it verifies it
    receipts = {"receipts": len(held.entries)} if held else {}
    try:
        store = open_store(chosen.store)
        entries = find_entries(store, name)
    except InputError:
        if held is None or held.bundle is None or chosen.store:
            raise
        return _whole(held.bundle.entries, held.bundle.tier.value) | receipts
    verify_chain(entries, Tier.AUTHORITY)
    head = store.head(entries[0].battery_id)
    ((_, values),) = deque(reconstruct(entries), maxlen=1)
    kept = {path: value for own in head.values.values() for path, value in own.items()} if head else {}
    if head is None or head.entry != entries[-1] or kept != values:
        raise PassportError(
            f"history of battery {entries[0].battery_id}: the kept head is not what the versions lead to; restore the "
            "store from a backup"
        )
    if store.current(entries[0].battery_id) != current_entry(entries):
        raise PassportError(
            f"history of battery {entries[0].battery_id}: the store takes another version for the current one than the "
            "versions say; restore it from a backup"
        )
    return _whole(entries, "authority") | receipts


def _verified_file(chosen: argparse.Namespace, path: Path) -> dict[str, Any]:
    from battery_pilot.passport.signature import read_keys
    from battery_pilot.pipeline.bundle import MAXIMUM_BYTES, read_bundle

    if path.stat().st_size > MAXIMUM_BYTES:
        raise PassportError(f"{path}: larger than a bundle of {MAXIMUM_BYTES} bytes can be")
    keys = read_keys(chosen.keys.read_bytes()) if chosen.keys else None
    bundle = read_bundle(path.read_bytes(), keys)
    signed = {"signed_at": bundle.signed_at.isoformat() if bundle.signed_at else None}
    return _whole(bundle.entries, bundle.tier.value) | signed


def _whole(entries: Sequence[Any], tier: str) -> dict[str, Any]:
    return {
        "whole": True,
        "battery_id": entries[0].battery_id,
        "versions": len(entries),
        "tier": tier,
        "last_recorded_at": entries[-1].recorded_at.isoformat(),
        "last_hash": entries[-1].entry_hash,
    }


def _times(content: dict[str, Any]) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in content.items()}


def _print_health(battery_id: str, timeline: Sequence[Health]) -> None:
    print(f"battery {battery_id}")
    print(f"{'as of':<27}{'state of health, %':>20}{'capacity, Ah':>15}{'full cycles':>13}{'version':>9}")
    for one in timeline:
        cells = (one.state_of_health_percent, one.values.get("remaining_capacity_ah"), _cycles(one))
        texts = ["-" if cell is None else f"{cell:.4g}" for cell in cells]
        print(f"{one.as_of.isoformat():<27}{texts[0]:>20}{texts[1]:>15}{texts[2]:>13}{one.version:>9}")


def _cycles(one: Health) -> float | None:
    return one.values.get("full_equivalent_cycles")


def _print_version(one: Version) -> None:
    mark = ", current" if one.is_current else ""
    print(f"\nversion {one.version}{mark}: as of {one.as_of.isoformat()}, recorded at {one.recorded_at.isoformat()}")
    print(f"  by {one.run}, from what had arrived before {one.known_until.isoformat()}")
    if one.version == 1:
        print(f"  {len(one.changes)} values")
        return
    for path, (old, new) in one.changes.items():
        print(f"  {path}: {'-' if old is None else old} -> {'-' if new is None else new}")
    if not one.changes:
        print("  nothing changed")
