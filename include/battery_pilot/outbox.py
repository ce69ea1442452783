"""The outbox: where a provider's released bundles lie, one folder for each tier, and how their offers are called."""

from __future__ import annotations

import hashlib
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote

from battery_pilot.passport.identifiers import slug
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_NAME = 160
"""With the prefix it is still an asset id that every connector takes."""

MODELS = "models"
"""In the folder of a tier: a folder for each model that is offered by itself."""

_FILE = r"/aasx/files/([0-9a-f]{64}\.[a-z]{2,4})"
_FILE_IN_BUNDLE = re.compile(rf'"value"\s*:\s*"{_FILE}"'.encode())
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


def model_name(model_iri: str) -> str:
    """Return the name of a model in offers and folders: it follows from the manufacturer and the model.

    :param model_iri: such as ``https://example.com/dbp/{manufacturer}/models/{model}``.
    """
    manufacturer, _, model = model_iri.split("/")[-3:]
    return _offer_name(f"{unquote(manufacturer)}/{unquote(model)}")


def collection_id(tier: Tier, model: str = "") -> str:
    """Return the id under which connectors offer all bundles of a tier, or those of a model.

    :param model: what :func:`model_name` returned.
    """
    return f"passports:{tier}:{model}" if model else f"passports:{tier}"


def collection_path(tier: Tier, model: str = "") -> str:
    """Return the folder below the outbox of such an offer."""
    return f"{tier}/{MODELS}/{model}" if model else tier.value


def bundles(outbox: Path, tier: Tier) -> Iterator[Path]:
    """Walk over the bundles of a tier. Only one sub-folder's names are in memory at once."""
    top = outbox / tier
    for folder in sorted(top.iterdir()) if top.is_dir() else ():
        yield from sorted(path for path in folder.glob("*.json") if not path.name.startswith("."))


def files_named(bundle: bytes) -> list[str]:
    """Return the names of the files that travel with a bundle, each once: ``<SHA-256>.<ending>``."""
    return sorted({name.decode() for name in _FILE_IN_BUNDLE.findall(bundle)})


def file_name(location: str) -> str | None:
    """Return the name of a file that travels with a bundle; ``None`` where it does not.

    :param location: value of an AAS element File.
    """
    match = re.fullmatch(_FILE, location)
    return match[1] if match else None


def file_path(bundle: str, name: str) -> str:
    """Return where a file lies that a bundle names: in the folder of which the bundle's sub-folder is one.

    So who may read the bundles below an offer's address reads their files there too.

    :param bundle: its path, such as ``<tier>/<sub-folder>/<battery>.json``.
    :param name: of the file.
    """
    return str(PurePosixPath(bundle).parent.parent / file_below(name))


def file_below(name: str) -> str:
    """Return the path of a file below the address of an offer of many bundles."""
    return f"files/{name[:2]}/{name}"


def shard(name: str) -> str:
    """Return the sub-folder for a name, so that no folder holds a million files."""
    return hashlib.sha256(name.encode()).hexdigest()[:2]


def _path(name: str, tier: Tier) -> str:
    return f"{tier}/{shard(name)}/{name}.json"


def _offer_name(battery_id: str) -> str:
    name = slug(battery_id)
    return name if len(name) <= LONGEST_NAME else hashlib.sha256(name.encode()).hexdigest() + "_"
