"""The lake: where stages leave what they made, and how a partition changes as a whole or not at all.

A partition is a folder ``<table>/interval=<window>/`` that holds data folders and a file ``CURRENT`` naming the one
that counts. A new data folder is written beside the old one and the pointer is renamed into place, so a killed run
leaves the old partition or the new one and never half of one.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_KEY = re.compile(r"^(\d{8}T\d{6}Z)_(\d{8}T\d{6}Z)$")
_STAMP = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, order=True)
class Window:
    """A half-open span of time ``[start, end)`` in UTC: the input of one run.

    :param start: first moment, with time zone.
    :param end: first moment after it, with time zone; later than ``start``.
    :raises InputError: if the window is empty or a time has no zone.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise InputError(f"window {self.start} to {self.end}: both times need a time zone, for example +00:00")
        if self.start.microsecond or self.end.microsecond:
            raise InputError(f"window {self.start} to {self.end}: times to the second are expected")
        if self.end <= self.start:
            raise InputError(
                f"window {self.start.isoformat()} to {self.end.isoformat()} is empty: choose an end after its start"
            )

    @property
    def key(self) -> str:
        """Name of the window in paths: sortable, to the second, in UTC."""
        return f"{self.start.astimezone(UTC):{_STAMP}}_{self.end.astimezone(UTC):{_STAMP}}"

    @classmethod
    def parse(cls, key: str) -> Window:
        """Return the window with that :attr:`key`."""
        match = _KEY.match(key)
        if match is None:
            raise InputError(f"window key {key!r}: expected a form such as 20260101T000000Z_20260201T000000Z")
        start, end = (datetime.strptime(stamp, _STAMP).replace(tzinfo=UTC) for stamp in match.groups())
        return cls(start, end)


@dataclass(frozen=True)
class Lake:
    """One party's folder tree.

    :param root: its top folder; made when first written to.
    """

    root: Path

    def file(self, *parts: str) -> Path:
        """Return the path of a file below the root; its folder is made."""
        path = self.root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def staging(self) -> Path:
        """Return a new empty folder for data that nobody reads yet."""
        folder = self.root / "_staging" / uuid.uuid4().hex
        folder.mkdir(parents=True)
        return folder

    def publish(self, table: str, window: Window, staged: Path) -> Path:
        """Make a staged folder the content of a partition, replacing the former content.

        :param table: name of the table.
        :param window: the partition's window.
        :param staged: folder made with :meth:`staging` (or below it); it is moved.
        :return: where the data lie now.
        """
        partition = self._partition(table, window)
        partition.mkdir(parents=True, exist_ok=True)
        data = partition / uuid.uuid4().hex
        with _alone(partition / "LOCK"):
            staged.rename(data)
            former = self.current(table, window)
            write_text(partition / "CURRENT", data.name)
            for other in partition.iterdir():
                # Whoever is reading the former content may finish.
                if other.is_dir() and other not in (data, former):
                    shutil.rmtree(other)
        return data

    def current(self, table: str, window: Window) -> Path | None:
        """Return the folder with a partition's data, or ``None`` where there is none."""
        pointer = self._partition(table, window) / "CURRENT"
        try:
            return pointer.parent / pointer.read_text(encoding="ascii")
        except FileNotFoundError:
            return None

    def windows(self, table: str) -> list[Window]:
        """Return the windows for which a table has data, by start and end."""
        folder = self.root / table
        if not folder.is_dir():
            return []
        keys = (
            path.name.removeprefix("interval=") for path in folder.glob("interval=*") if (path / "CURRENT").exists()
        )
        return sorted(Window.parse(key) for key in keys)

    def _partition(self, table: str, window: Window) -> Path:
        return self.root / table / f"interval={window.key}"


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes of this machine out of a block."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one and nothing between."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8."""
    write_bytes(path, text.encode())


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file atomically."""
    write_text(path, json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def write_lines(path: Path, records: Iterable[Any]) -> int:
    """Write one JSON value a line, atomically, and return how many there were."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    count = 0
    try:
        with temporary.open("w", encoding="utf-8") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")
                count += 1
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def read_lines(path: Path) -> Iterator[Any]:
    """Yield the values of a file that :func:`write_lines` wrote."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
