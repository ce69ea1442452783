"""One offer for a whole fleet, or for a model: an index tells a consumer which passports there are and which of them changed.

Below the offer's address lie ``index.jsonl``, with a line for each sub-folder and the digest of its own index, then
``<sub-folder>/index.jsonl`` with a line for each battery, and the bundles. Who comes again reads the first file, the indexes
of the sub-folders that changed, and the bundles that changed.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import PassportError
from battery_pilot.lake import write_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INDEX = "index.jsonl"

_PATH = re.compile(r"([0-9a-f]{2})/([A-Za-z0-9_-]{1,200})\.json")
_SHARD = re.compile(r"[0-9a-f]{2}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Granularity(StrEnum):
    """What one offer is of."""

    BATTERY = "battery"
    MODEL = "model"
    FLEET = "fleet"


@dataclass(frozen=True)
class Member:
    """A battery in an offered fleet.

    :param battery_id: the battery.
    :param path: where its bundle lies below the offer's address.
    :param version: digest of what the bundle says, without its signature.
    """

    battery_id: str
    path: str
    version: str


def update_index(folder: Path, members: Mapping[str, Member | None]) -> None:
    """Write what became of batteries into the indexes; the top one is last, so that it never names what is not there.

    :param folder: what the offer's address serves.
    :param members: by path of the bundle; ``None`` for one that is no longer offered.
    """
    top_file = folder / INDEX
    top = read_shards(top_file.read_bytes()) if top_file.exists() else {}
    by_shard: dict[str, dict[str, Member | None]] = {}
    for path, member in members.items():
        by_shard.setdefault(path.partition("/")[0], {})[path] = member
    for shard, changed in by_shard.items():
        file = folder / shard / INDEX
        known: dict[str, Member | None] = {}
        if file.exists():
            known.update((one.path, one) for one in read_members(file.read_bytes()))
        after = [one for one in (known | changed).values() if one is not None]
        data = _lines([asdict(one) for one in sorted(after, key=lambda one: one.path)])
        write_bytes(file, data)
        top[shard] = hashlib.sha256(data).hexdigest()
    write_bytes(top_file, _lines([{"shard": shard, "sha256": top[shard]} for shard in sorted(top)]))


def remove_index(folder: Path) -> None:
    """Remove the indexes of an offer that is taken back: what is released or withdrawn meanwhile does not reach them."""
    (folder / INDEX).unlink(missing_ok=True)
    for index in folder.glob(f"*/{INDEX}"):
        index.unlink()


def read_shards(data: bytes) -> dict[str, str]:
    """Read the top index: digest of each sub-folder's own index.

    :raises PassportError: it is no such index.
    """
    found = {}
    for line in _records(data, "shard", "sha256"):
        if not _SHARD.fullmatch(line["shard"]) or not _DIGEST.fullmatch(line["sha256"]):
            raise PassportError(f"index of a fleet: {line['shard'][:80]!r} is no sub-folder with a digest")
        found[line["shard"]] = line["sha256"]
    return found


def read_members(data: bytes) -> list[Member]:
    """Read the index of a sub-folder.

    :raises PassportError: it is no such index, or a path leads elsewhere.
    """
    found = []
    for line in _records(data, "battery_id", "path", "version"):
        if not _PATH.fullmatch(line["path"]) or not _DIGEST.fullmatch(line["version"]):
            raise PassportError(f"index of a fleet: {line['path'][:80]!r} is no place of a bundle with a digest")
        found.append(Member(line["battery_id"], line["path"], line["version"]))
    return found


def _records(data: bytes, *names: str) -> list[dict[str, str]]:
    try:
        records: list[dict[str, Any]] = [json.loads(line) for line in data.splitlines()]
        return [{name: _text(record[name]) for name in names} for record in records]
    except (ValueError, KeyError, TypeError) as error:
        raise PassportError(f"index of a fleet: lines with {', '.join(names)} were expected: {error}") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError(f"{str(value)[:80]!r} is no text")
    return value


def _lines(records: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)
