"""SQLite files that several processes of a machine share."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WAIT_SECOND = 60


@contextmanager
def transaction(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a file for one transaction: it is kept when the block ends, and rolled back when the block raises.

    :param path: the file, made if it is not there; its folder exists.
    """
    connection = sqlite3.connect(path, timeout=WAIT_SECOND)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        with connection:
            yield connection
    finally:
        connection.close()
