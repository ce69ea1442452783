"""The outbox: where a provider's released bundles lie, one folder for each tier, and how their offers are called."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from battery_pilot.passport.identifiers import slug
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_NAME = 160
"""With the prefix it is still an asset id that every connector takes."""

_ASSET_ID = re.compile(rf"passport:({'|'.join(Tier)}):([A-Za-z0-9_-]{{1,{LONGEST_NAME}}})")


def asset_id(battery_id: str, tier: Tier) -> str:
    """Return the id under which connectors offer a battery's bundle of a tier."""
    return f"passport:{tier}:{_offer_name(battery_id)}"


def asset_id_of_bundle(bundle: Path, tier: Tier) -> str:
    """Return the id under which a bundle that lies in the outbox is offered."""
    return f"passport:{tier}:{bundle.stem}"


def bundle_path(battery_id: str, tier: Tier) -> str:
    """Return where a battery's bundle of a tier lies below the outbox. No battery id leads out of it."""
    return _path(_offer_name(battery_id), tier)


def bundle_path_of_asset(identifier: str) -> tuple[str, Tier] | None:
    """Return where the bundle of an offer lies below the outbox, and its tier; ``None`` where it is no such id.

    :param identifier: what :func:`asset_id` returned.
    """
    match = _ASSET_ID.fullmatch(identifier)
    if match is None:
        return None
    tier = Tier(match[1])
    return _path(match[2], tier), tier


def bundles(outbox: Path, tier: Tier) -> Iterator[Path]:
    """Walk over the bundles of a tier. Only one sub-folder's names are in memory at once."""
    top = outbox / tier
    for folder in sorted(top.iterdir()) if top.is_dir() else ():
        yield from sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def shard(name: str) -> str:
    """Return the sub-folder for a name, so that no folder holds a million files."""
    return hashlib.sha256(name.encode()).hexdigest()[:2]


def _path(name: str, tier: Tier) -> str:
    return f"{tier}/{shard(name)}/{name}.json"


def _offer_name(battery_id: str) -> str:
    name = slug(battery_id)
    return name if len(name) <= LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest() + "_"
