"""Start a program in a session of its own, and stop all of it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

import psutil

log = logging.getLogger(__name__)

# A child of a shell's background job inherits an ignored SIGINT, and Airflow stops cleanly on SIGINT only.
_LAUNCH = "import os,signal,sys; signal.signal(signal.SIGINT, signal.default_int_handler); os.execv(sys.argv[1], sys.argv[1:])"


def start(command: Sequence[str], *, environment: Mapping[str, str], log_file: Path, folder: Path) -> int:
    """Start a program detached from this one, with its output in a file.

    :param command: absolute path of the program and its arguments.
    :param environment: the program's whole environment.
    :param log_file: gets standard output and error, appended.
    :param folder: working folder.
    :return: process id, which is also the id of its group and session.
    """
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - the command is ours
            [sys.executable, "-c", _LAUNCH, *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    return process.pid


def stop(process_id: int, *, patience_second: float = 25) -> None:
    """Stop a program that :func:`start` started, and everything it started: SIGINT, then SIGTERM, then SIGKILL.

    :param process_id: what :func:`start` returned.
    :param patience_second: how long to wait for a clean end.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGINT)
    if _wait_gone(process_id, patience_second):
        return
    log.warning("process group %d did not stop within %.0f s: it is terminated", process_id, patience_second)
    for number, patience in ((signal.SIGTERM, min(5.0, patience_second)), (signal.SIGKILL, 5.0)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process_id, number)
        if _wait_gone(process_id, patience):
            return


def alive(process_id: int) -> bool:
    """Tell whether any process of that group is there and is no zombie."""
    return bool(_members(process_id))


def started_at(process_id: int) -> float | None:
    """Return when a process started, or ``None`` where there is none: a number alone may belong to somebody else."""
    try:
        return float(psutil.Process(process_id).create_time())
    except psutil.NoSuchProcess:
        return None


def _wait_gone(group: int, patience_second: float) -> bool:
    deadline = time.monotonic() + patience_second
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(group, os.WNOHANG)
        if not alive(group):
            return True
        time.sleep(0.1)
    return False


def _members(group: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found
