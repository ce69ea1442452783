"""Provider, stage 1: find the files that belong to a window.

Files lie below the landing folder in folders named by the day they arrived, ``2026-01-31``, or by a month, ``2026-01``
(which counts as its first day). What lies deeper is up to the laboratory. Everything else is left alone.
"""

from __future__ import annotations

import logging
import os
import re
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError
from battery_pilot.lake import Lake, Window, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

log = logging.getLogger(__name__)

_DAY = re.compile(r"^(\d{4})-(\d{2})(?:-(\d{2}))?$")


def discover(lake: Lake, landing: Path, window: Window) -> dict[str, Any]:
    """List the landing files of a window in a manifest.

    :param lake: the provider's lake.
    :param landing: the landing folder.
    :param window: whose files are wanted.
    :return: ``manifest`` (path of a JSON-lines file with ``path`` and ``arrived_on``), ``files`` and ``warnings``.
    :raises InputError: if the landing folder is not there.
    """
    if not landing.is_dir():
        raise InputError(f"landing folder {landing} does not exist: create it or set BATTERY_PILOT_LANDING")
    manifest = manifest_of(lake, window)
    top = landing.resolve()
    unwritable: list[Path] = []
    outside: list[Path] = []

    def records() -> Iterator[dict[str, str]]:
        for day, folder in _partitions(landing):
            if window.start <= day < window.end:
                for path in _files(folder):
                    if not _is_inside(path, top):
                        outside.append(path)
                    elif _is_utf8(path):
                        yield {"path": str(path), "arrived_on": day.isoformat()}
                    else:
                        unwritable.append(path)

    count = write_lines(manifest, records())
    warnings = [
        *_left_out(unwritable, "their names are not UTF-8", "rename them"),
        *_left_out(outside, f"they are links to outside of {landing}", "copy them there"),
        *_overlaps(lake, window),
        *_unprocessed_before(lake, landing, window),
    ]
    log.info("discovered %d files in %s for window %s", count, landing, window.key)
    for warning in warnings:
        log.warning(warning)
    return {"manifest": str(manifest), "files": count, "warnings": warnings}


def manifest_of(lake: Lake, window: Window) -> Path:
    """Return where the list of a window's files is."""
    return lake.file("manifests", "files", f"{window.key}.jsonl")


def _partitions(landing: Path) -> Iterator[tuple[datetime, Path]]:
    for folder in sorted(landing.iterdir()):
        match = _DAY.match(folder.name)
        if match is None or not folder.is_dir():
            continue
        year, month, day = match.groups()
        try:
            yield datetime(int(year), int(month), int(day or 1), tzinfo=UTC), folder
        except ValueError:
            log.warning("landing folder %s is no day of the calendar and is left out", folder)


def _files(folder: Path) -> Iterator[Path]:
    """Yield what was delivered; what only explains logs (column mappings, CAN signals) is no delivery of its own."""
    from battery_pilot.measurements.field.beside import MAPPING_FILE, SIGNALS_SUFFIX

    for top, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(top, name)
            explains = name == MAPPING_FILE or path.suffix.lower() == SIGNALS_SUFFIX
            if path.is_file() and not name.startswith(".") and not explains:
                yield path


def _is_inside(path: Path, top: Path) -> bool:
    """Tell whether a file is where it seems to be, and no link leads out of a folder.

    :param top: the folder, itself without links.
    """
    place = path.resolve() if path.is_symlink() else _resolved(path.parent)
    return place.is_relative_to(top)


@lru_cache(maxsize=16)
def _resolved(folder: Path) -> Path:
    """Ask once for all files of a folder, which takes longer than to list them."""
    return folder.resolve()


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _left_out(paths: list[Path], reason: str, remedy: str) -> list[str]:
    """Say which files do not get into the manifest."""
    if not paths:
        return []
    first = str(paths[0]).encode("utf-8", "backslashreplace").decode()
    return [f"{len(paths)} files were left out because {reason}, the first is {first}: {remedy}"]


def _overlaps(lake: Lake, window: Window) -> list[str]:
    """Say which processed windows share days with this one: a file counts once, but both versions of a corrected one."""
    shared = [
        other
        for other in lake.windows("cycles")
        if other != window and other.start < window.end and window.start < other.end
    ]
    if not shared:
        return []
    return [
        f"window {window.key} shares days with {len(shared)} processed windows, the first is {shared[0].key}: a file of these "
        "days that was corrected since counts in both versions; keep to one schedule"
    ]


def _unprocessed_before(lake: Lake, landing: Path, window: Window) -> list[str]:
    """Say which earlier landing folders no run has processed: sums since begin of life will lack them."""
    done = lake.windows("cycles")
    missing = [
        folder.name
        for day, folder in _partitions(landing)
        if day < window.start and not any(other.start <= day < other.end for other in done)
    ]
    if not missing:
        return []
    return [
        f"{len(missing)} earlier landing folders ({missing[0]} to {missing[-1]}) have not been processed: throughput and "
        "cycle counts of this window do not contain them; backfill them and run this window again"
    ]
