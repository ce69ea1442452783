"""What all test servers have in common: they are fetched once, started on a free port, and named by variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import getproxies

from battery_pilot.stack.processes import alive

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "var" / "servers"
DOWNLOAD_SECONDS = 600


class Unavailable(Exception):
    """A server cannot be had on this machine; the message says why."""


@dataclass(frozen=True)
class Server:
    """A real server that tests can use.

    :param name: also the name of its folder in the cache.
    :param version: a new version is prepared anew.
    :param variables: the environment variables by which tests find it. Where the first is set already, the server that it
        names is used and none is started.
    :param prepare: puts into an empty folder what the server needs; raises :class:`Unavailable`.
    :param running: given that folder and an empty one for its state, the server while it runs, and its variables.
    """

    name: str
    version: str
    variables: tuple[str, ...]
    prepare: Callable[[Path], None]
    running: Callable[[Path, Path], AbstractContextManager[Mapping[str, str]]]


def prepared(server: Server, cache: Path = CACHE) -> Path:
    """Return the folder with all that a server needs; it is made when it is not there.

    :raises Unavailable: it cannot be had here.
    """
    folder = cache / f"{server.name}-{server.version}"
    if folder.is_dir():
        return folder
    half = folder.with_name(f"{folder.name}.part-{os.getpid()}")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(parents=True)
    print(f"tests: fetching {server.name} {server.version} into {folder}", file=sys.stderr, flush=True)
    try:
        server.prepare(half)
        half.replace(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was faster
            raise Unavailable(f"{error}") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return folder


def run(command: Sequence[str | Path], *, folder: Path | None = None) -> str:
    """Run a program and return what it prints.

    :raises Unavailable: it is not there, fails or takes too long; with the end of what it said.
    """
    name = Path(command[0]).name
    try:
        answer = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=DOWNLOAD_SECONDS, check=False
        )
    except FileNotFoundError as error:
        raise Unavailable(f"there is no program {name} on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"{name} did not end within {DOWNLOAD_SECONDS} s") from error
    if answer.returncode:
        raise Unavailable(f"{name} failed: {(answer.stderr or answer.stdout).strip()[-500:]}")
    return answer.stdout


def wait_until_up(name: str, url: str, process: int, log_file: Path, patience_seconds: float = 90) -> None:
    """Wait until an address answers.

    :param name: the server in words.
    :param process: its process id; once that has ended, nobody waits any longer.
    :raises Unavailable: it does not come up; with the end of what it said.
    """
    deadline = time.monotonic() + patience_seconds
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=2):
                return
        except (urllib.error.URLError, OSError) as error:
            if not alive(process) or time.monotonic() > deadline:
                said = log_file.read_text(errors="replace")[-800:]
                raise Unavailable(f"{name} does not answer: {error}; it said: {said}") from error
        time.sleep(0.2)


def quiet_environment() -> dict[str, str]:
    """Return this process's environment without proxies, which no server of this machine is behind."""
    proxies = {f"{scheme}_proxy" for scheme in getproxies()}
    return {name: value for name, value in os.environ.items() if name.lower() not in proxies}
