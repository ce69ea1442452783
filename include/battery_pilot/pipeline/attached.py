"""The files that passports name on their way through the data space: beside the bundles in the outbox, and at the consumer."""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
from typing import TYPE_CHECKING

from battery_pilot.errors import InputError, PassportError, ServerRefused
from battery_pilot.lake import write_bytes
from battery_pilot.outbox import file_below, file_name, file_path, files_named
from battery_pilot.passport.documents import MAXIMUM_FILE_BYTES, MAXIMUM_FILES
from battery_pilot.pipeline.documents import kept_file
from battery_pilot.pipeline.model_folders import link
from battery_pilot.pipeline.shelf import MAXIMUM_BYTES_EACH, content_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from battery_pilot.lake import Lake
    from battery_pilot.passport.documents import Attachment
    from battery_pilot.pipeline.fetching import Source

log = logging.getLogger(__name__)

MAXIMUM_BYTES_WITH_BUNDLE = 2 * MAXIMUM_BYTES_EACH
"""Most bytes that are fetched with one bundle: the files of a battery and those of its model."""


class FileOwners:
    """Which bundles name which files, so that a file goes when no bundle names it any more.

    :param path: of the SQLite file; made when it is not there.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=60)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)

    def of(self, bundle: str) -> set[str]:
        """Return the files that a bundle names."""
        return {file for (file,) in self._connection.execute("SELECT file FROM named WHERE bundle = ?", (bundle,))}

    def put(self, bundle: str, files: Iterable[str]) -> list[str]:
        """Note which files a bundle names from now on, and return those that nothing names any more."""
        before, after = self.of(bundle), set(files)
        if before == after:
            return []
        with self._connection as connection:
            connection.executemany(
                "DELETE FROM named WHERE bundle = ? AND file = ?", ((bundle, one) for one in before)
            )
            connection.executemany("INSERT INTO named VALUES (?, ?)", ((bundle, one) for one in after))
            return [one for one in sorted(before - after) if not self._is_named(one)]

    def forget(self, folder: str) -> None:
        """Forget all bundles of a folder that was removed with its files."""
        with self._connection as connection:
            connection.execute("DELETE FROM named WHERE bundle > ? AND bundle < ?", (f"{folder}/", f"{folder}0"))

    def _is_named(self, file: str) -> bool:
        return self._connection.execute("SELECT 1 FROM named WHERE file = ? LIMIT 1", (file,)).fetchone() is not None


class ReleasedFiles:
    """Files in the outbox. They are hard links to those in the lake and take no room of their own.

    :param lake: the provider's lake.
    :param outbox: its folder of what was released.
    """

    def __init__(self, lake: Lake, outbox: Path) -> None:
        self._lake = lake
        self._outbox = outbox
        self._owners = FileOwners(lake.file("released_files.sqlite"))

    def show(self, bundle: str, attachments: Iterable[Attachment]) -> None:
        """Put the files of a view where the readers of its bundle find them, and remove what it names no longer.

        :param bundle: path of the bundle below the outbox.
        :raises PassportError: the lake has lost a file.
        """
        contents = {
            file_path(bundle, one.location.rpartition("/")[2]): content_of(self._lake, one) for one in attachments
        }
        self._put(bundle, contents)

    def share(self, bundle: str, other: str) -> None:
        """Show the files of a bundle also beside another place of the same bundle."""
        names = [one.rpartition("/")[2] for one in self._owners.of(bundle)]
        self._put(other, {file_path(other, name): self._outbox / file_path(bundle, name) for name in names})

    def drop(self, bundle: str) -> None:
        """Remove the files of a bundle that is released no longer, unless others name them."""
        self._put(bundle, {})

    def forget(self, folder: str) -> None:
        """Forget the files of a folder that was removed as a whole."""
        self._owners.forget(folder)

    def _put(self, bundle: str, contents: dict[str, Path]) -> None:
        for location, content in contents.items():
            if not (self._outbox / location).exists():
                try:
                    link(content, self._outbox / location)
                except FileNotFoundError as error:
                    raise PassportError(f"{bundle}: its file {content} is gone; process and build again") from error
        for location in self._owners.put(bundle, contents):
            (self._outbox / location).unlink(missing_ok=True)


class PulledFiles:
    """Files of pulled bundles, one for each content.

    :param lake: the consumer's lake.
    """

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._owners = FileOwners(lake.file("pulled_files.sqlite"))
        self._lock = threading.Lock()
        self._claimed: set[str] = set()

    def fetch(self, source: Source, bundle: bytes) -> None:
        """Fetch the files that a bundle names and that are not there yet. Threads may do so side by side.

        What cannot be had or is not what its name says is left out: a passport is good without its documents.

        :param source: of the offer of many bundles that the bundle is one of.
        """
        left = MAXIMUM_BYTES_WITH_BUNDLE
        for name in files_named(bundle)[:MAXIMUM_FILES]:
            target = pulled_content(self._lake, name)
            if not target.exists() and self._is_first(name):
                self._fetch(source, name, min(left, MAXIMUM_FILE_BYTES))
            left -= target.stat().st_size if target.exists() else 0

    def note(self, bundle: Path, data: bytes) -> None:
        """Note which files a bundle names that was pulled, and remove what it names no longer."""
        self._put(bundle, files_named(data)[:MAXIMUM_FILES])

    def drop(self, bundle: Path) -> None:
        """Remove the files of a bundle that we hold no longer, unless others name them."""
        self._put(bundle, ())

    def _put(self, bundle: Path, names: Iterable[str]) -> None:
        for name in self._owners.put(bundle.name, names):
            pulled_content(self._lake, name).unlink(missing_ok=True)

    def _is_first(self, name: str) -> bool:
        with self._lock:
            is_first = name not in self._claimed
            self._claimed.add(name)
        return is_first

    def _fetch(self, source: Source, name: str, maximum_bytes: int) -> None:
        try:
            data = source.fetch(maximum_bytes, file_below(name))
        except (ServerRefused, InputError) as refusal:
            log.warning("file %s did not come with its passport: %s", name, refusal)
            return
        if hashlib.sha256(data).hexdigest() != name.partition(".")[0]:
            log.warning("file %s of %s has another content than its name says", name, source.contract.asset_id)
            return
        write_bytes(pulled_content(self._lake, name), data)


def pulled_content(lake: Lake, name: str) -> Path:
    """Return where the consumer keeps a file of the counterparty's passports.

    :param name: ``<SHA-256>.<ending>``.
    """
    return kept_file(lake, *name.split("."))


def pulled_contents(lake: Lake, locations: Iterable[str]) -> dict[str, Path]:
    """Return the files that the consumer has of those that a passport names, by the value of their elements.

    :param locations: values of elements, of files among others.
    """
    names = {location: file_name(location) for location in locations}
    places = {location: pulled_content(lake, name) for location, name in names.items() if name}
    return {location: place for location, place in places.items() if place.exists()}


_SCHEMA = """
CREATE TABLE IF NOT EXISTS named (bundle TEXT, file TEXT, PRIMARY KEY (bundle, file)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS named_files ON named (file);
"""
