"""What a consumer holds of a battery, and under which contracts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from battery_pilot.passport.custody import Custody, verify_custody
from battery_pilot.pipeline.acquire import journal_of
from battery_pilot.pipeline.bundle import read_bundle
from battery_pilot.pipeline.contracts import Contract
from battery_pilot.pipeline.pulled import pulled_file
from battery_pilot.pipeline.receipts import custody_file

if TYPE_CHECKING:
    from battery_pilot.lake import Lake
    from battery_pilot.passport.custody import CustodyEntry
    from battery_pilot.pipeline.bundle import Bundle


@dataclass(frozen=True)
class Holdings:
    """What a consumer has of a battery.

    :param battery_id: the battery.
    :param entries: its own part of the history: what it received and removed.
    :param bundle: what it received last, checked; ``None`` if that was removed.
    """

    battery_id: str
    entries: list[CustodyEntry]
    bundle: Bundle | None


def holdings(lake: Lake, name: str) -> Holdings | None:
    """Return what is held of a battery, ``None`` where nothing ever was.

    :param lake: the consumer's.
    :param name: battery id or serial number.
    :raises PassportError: what is kept was altered.
    """
    path = custody_file(lake)
    if not path.exists():
        return None
    custody = Custody(path)
    for battery_id in (name, *_with_serial_number(lake, name)):
        entries = custody.entries(battery_id)
        if entries:
            verify_custody(entries)
            return Holdings(battery_id, entries, _bundle(lake, entries))
    return None


def _with_serial_number(lake: Lake, name: str) -> list[str]:
    """Return the batteries whose serial number that is: it is the last step of their assets' ids."""
    return [
        twin.battery_id
        for twin in journal_of(lake).twins().values()
        if unquote(twin.shell_id.removesuffix("/aas").rpartition("/")[2]) == name
    ]


def _bundle(lake: Lake, entries: list[CustodyEntry]) -> Bundle | None:
    last = next(one for one in reversed(entries) if one.kind == "received")
    path = pulled_file(lake, Contract(last.asset_id, last.battery_id, last.counterparty_id))
    return read_bundle(path.read_bytes()) if path.exists() else None
