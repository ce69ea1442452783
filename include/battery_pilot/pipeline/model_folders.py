"""One offer for each battery model: a folder with the bundles of its batteries and an index like that of a fleet.

The bundles are hard links to those in the folder of the tier, so that they take no room of their own; and a folder, so that
who has a contract about one model can read nothing of another.
"""

from __future__ import annotations

import os
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING

from battery_pilot.outbox import MODELS, collection_path
from battery_pilot.pipeline.fleets import INDEX, read_shards, update_index

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from battery_pilot.passport.model import Tier
    from battery_pilot.pipeline.fleets import Member


def models_of(outbox: Path, tier: Tier) -> list[str]:
    """Return the names of the models that have a folder."""
    top = outbox / tier / MODELS
    return sorted(path.name for path in top.iterdir()) if top.is_dir() else []


def place(outbox: Path, tier: Tier, members: Iterable[tuple[str, Member]]) -> set[str]:
    """Put bundles that lie in the folder of a tier into those of their models.

    :param members: name of the model, and the battery; a battery that was of another model is taken out there.
    :return: the models whose folders changed.
    """
    by_model: dict[str, dict[str, Member]] = defaultdict(dict)
    for model, member in members:
        by_model[model][member.path] = member
    changed = set(by_model)
    for model, found in by_model.items():
        folder = outbox / collection_path(tier, model)
        new = [path for path in found if not (folder / path).exists()]
        changed |= take_out(outbox, tier, new)
        for path in found:
            link(outbox / tier / path, folder / path)
        update_index(folder, found)
    return changed


def take_out(outbox: Path, tier: Tier, paths: Iterable[str]) -> set[str]:
    """Take bundles out of the folder of whichever model they are in, and return these models.

    :param paths: below the folder of a tier or model.
    """
    wanted = list(paths)
    changed = set()
    for model in models_of(outbox, tier) if wanted else ():
        folder = outbox / collection_path(tier, model)
        found = [path for path in wanted if (folder / path).exists()]
        if found:
            update_index(folder, dict.fromkeys(found))
            for path in found:
                (folder / path).unlink()
            changed.add(model)
    return changed


def is_empty(outbox: Path, tier: Tier, model: str) -> bool:
    """Tell whether a model has no battery left that is offered."""
    folder = outbox / collection_path(tier, model)
    shards = read_shards((folder / INDEX).read_bytes()) if (folder / INDEX).exists() else {}
    return not any((folder / shard / INDEX).stat().st_size for shard in shards)


def link(source: Path, target: Path) -> None:
    """Make a file appear in a second place; a reader there sees the old content or the new one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    os.link(source, temporary)
    try:
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)  # it stays where both names are of the same file already
