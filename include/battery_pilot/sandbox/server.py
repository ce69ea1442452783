"""All six sandbox servers in one process: in a thread for tests, in the foreground, or detached for a demo."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import requests
import uvicorn

from battery_pilot.errors import InputError, ServerUnavailable
from battery_pilot.sandbox import aas, edc, orion, outbox
from battery_pilot.sandbox.network import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

log = logging.getLogger(__name__)

PROVIDER_ID = "provider"
CONSUMER_ID = "consumer"
STATE_FILE = "sandbox.json"
_MODULE = "battery_pilot.sandbox.server"
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class SandboxPorts:
    """TCP ports of the servers; 0 takes a free one."""

    provider_aas: int = 0
    consumer_aas: int = 0
    orion: int = 0
    provider_connector: int = 0
    consumer_connector: int = 0
    outbox: int = 0


@dataclass(frozen=True)
class SandboxUrls:
    """Where the servers are reached, without a trailing slash, and the key of both connectors' management APIs."""

    provider_aas: str
    consumer_aas: str
    orion: str
    provider_connector: str
    consumer_connector: str
    outbox: str
    api_key: str

    def servers(self) -> dict[str, str]:
        """Return the addresses by server name."""
        return {field.name: getattr(self, field.name) for field in fields(SandboxPorts)}


def _bind(ports: SandboxPorts) -> dict[str, socket.socket]:
    """Take the ports before anything starts, so that a taken one is reported at once and a free one stays ours."""
    sockets: dict[str, socket.socket] = {}
    try:
        for field, port in zip(fields(ports), astuple(ports), strict=True):
            # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it answers wait 40 ms.
            listener = socket.socket(proto=socket.IPPROTO_TCP)
            sockets[field.name] = listener
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind_one(listener, field.name, port)
    except BaseException:
        for listener in sockets.values():
            listener.close()
        raise
    return sockets


def _bind_one(listener: socket.socket, name: str, port: int) -> None:
    try:
        listener.bind((HOST, port))
        listener.listen(socket.SOMAXCONN)
    except (OSError, OverflowError) as exception:
        problem = (
            "is already in use" if getattr(exception, "errno", None) == errno.EADDRINUSE else f"fails: {exception}"
        )
        raise InputError(
            f"port {port} of {HOST} for the sandbox's {name} {problem}; stop what listens there or choose another port"
        ) from exception


def _urls(sockets: dict[str, socket.socket], api_key: str) -> SandboxUrls:
    return SandboxUrls(
        **{name: f"http://{HOST}:{listener.getsockname()[1]}" for name, listener in sockets.items()}, api_key=api_key
    )


def _apps(folder: Path, outbox_folder: Path, urls: SandboxUrls) -> dict[str, FastAPI]:
    def connector(participant_id: str, base_url: str) -> FastAPI:
        return edc.create_app(
            folder / participant_id, participant_id=participant_id, base_url=base_url, api_key=urls.api_key
        )

    return {
        "provider_aas": aas.create_app(folder / PROVIDER_ID),
        "consumer_aas": aas.create_app(folder / CONSUMER_ID),
        "orion": orion.create_app(folder / "orion"),
        "provider_connector": connector(PROVIDER_ID, urls.provider_connector),
        "consumer_connector": connector(CONSUMER_ID, urls.consumer_connector),
        "outbox": outbox.create_app(outbox_folder),
    }


class _Server(uvicorn.Server):
    """A server that leaves signals to the process that it shares with others."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _servers(folder: Path, outbox_folder: Path, urls: SandboxUrls) -> dict[str, _Server]:
    servers = {}
    for name, app in _apps(folder, outbox_folder, urls).items():
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=2, ws="none"
        )
        servers[name] = _Server(config)
    return servers


async def _run(servers: dict[str, _Server], sockets: dict[str, socket.socket]) -> None:
    tasks = [asyncio.create_task(server.serve([sockets[name]])) for name, server in servers.items()]
    try:
        await asyncio.gather(*tasks)
    finally:
        # One that fails takes the others down with it: half a sandbox helps nobody.
        for server in servers.values():
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def running(
    folder: Path, *, ports: SandboxPorts | None = None, outbox_folder: Path | None = None
) -> Iterator[SandboxUrls]:
    """Run the six servers in a thread of this process, for tests.

    :param folder: where they keep their state; created when missing.
    :param ports: their ports; free ones by default.
    :param outbox_folder: what the outbox serves; by default ``outbox`` in the folder.
    :raises InputError: when a port is taken.
    :raises ServerUnavailable: when a server does not start.
    """
    with _running(folder, ports or SandboxPorts(), outbox_folder, folder / STATE_FILE) as (urls, _):
        yield urls


@contextlib.contextmanager
def _running(
    folder: Path, ports: SandboxPorts, outbox_folder: Path | None, state_file: Path
) -> Iterator[tuple[SandboxUrls, threading.Thread]]:
    folder.mkdir(parents=True, exist_ok=True)
    sockets = _bind(ports)
    urls = _urls(sockets, _api_key(state_file))
    servers = _servers(folder, outbox_folder or folder / "outbox", urls)
    thread = threading.Thread(target=asyncio.run, args=(_run(servers, sockets),), name="sandbox", daemon=True)
    thread.start()
    try:
        _wait_until_started(servers, thread)
        yield urls, thread
    finally:
        for server in servers.values():
            server.should_exit = True
        thread.join(_STOP_SECONDS)
        for listener in sockets.values():
            listener.close()


def _wait_until_started(servers: dict[str, _Server], thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while not all(server.started for server in servers.values()):
        if not thread.is_alive() or time.monotonic() > deadline:
            missing = ", ".join(name for name, server in servers.items() if not server.started)
            raise ServerUnavailable("START", "sandbox", None, f"did not start: {missing}")
        time.sleep(0.005)


def serve(
    folder: Path, ports: SandboxPorts, outbox_folder: Path | None = None, state_file: Path | None = None
) -> None:
    """Run the six servers in the foreground until SIGTERM or SIGINT.

    :param folder: as in :func:`running`.
    :param ports: as in :func:`running`.
    :param outbox_folder: as in :func:`running`.
    :param state_file: written once all servers answer (JSON: ``urls``, ``api_key``, ``pid``; mode 0600) and kept for
        the key afterwards; by default ``sandbox.json`` in the folder.
    :raises InputError: when a port is taken.
    """
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    state_file = state_file or folder / STATE_FILE
    with _running(folder, ports, outbox_folder, state_file) as (urls, thread):
        _write_state(state_file, {"api_key": urls.api_key, "urls": urls.servers(), "pid": os.getpid()})
        log.info("sandbox is up: %s", urls.servers())
        while thread.is_alive() and not stop.wait(1.0):
            pass
    _write_state(state_file, {"api_key": urls.api_key})


def up(
    folder: Path,
    *,
    ports: SandboxPorts | None = None,
    outbox_folder: Path | None = None,
    state_file: Path | None = None,
) -> SandboxUrls:
    """Start the sandbox as a detached process and wait until it answers; one that runs already is left as it is.

    :param folder: as in :func:`running`; the log goes to ``sandbox.log`` in it.
    :param ports: as in :func:`running`.
    :param outbox_folder: as in :func:`running`.
    :param state_file: as in :func:`serve`.
    :raises InputError: when a port is taken.
    :raises ServerUnavailable: when the sandbox does not come up.
    """
    # The child runs with absolute paths, so that `down` recognizes it from wherever it is called.
    folder, ports = folder.resolve(), ports or SandboxPorts()
    state_file = (state_file or folder / STATE_FILE).resolve()
    if _process(state_file) is None:
        for listener in _bind(ports).values():
            listener.close()
        _start(folder, ports, (outbox_folder or folder / "outbox").resolve(), state_file)
    state = _read_state(state_file)
    return SandboxUrls(**state["urls"], api_key=state["api_key"])


def _start(folder: Path, ports: SandboxPorts, outbox_folder: Path, state_file: Path) -> None:
    command = [sys.executable, "-m", _MODULE, "--folder", str(folder), "--outbox", str(outbox_folder)]
    command += ["--state-file", str(state_file), "--ports", ",".join(map(str, astuple(ports)))]
    package_root = str(Path(__file__).parents[2])
    search_path = os.pathsep.join(filter(None, (package_root, os.environ.get("PYTHONPATH"))))
    folder.mkdir(parents=True, exist_ok=True)
    log_file = folder / "sandbox.log"
    with log_file.open("wb") as output:
        child = subprocess.Popen(  # noqa: S603 -- this interpreter with our own arguments
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": search_path},
        )
    deadline = time.monotonic() + _START_SECONDS
    while not _is_healthy(_read_state(state_file), child.pid):
        if child.poll() is not None or time.monotonic() > deadline:
            child.kill()
            last = log_file.read_text(errors="replace").strip().splitlines()[-1:] or ["no output"]
            raise ServerUnavailable("START", "sandbox", None, f"{last[0]} (see {log_file})")
        time.sleep(0.05)


def _is_healthy(state: dict[str, Any], pid: int) -> bool:
    if state.get("pid") != pid:
        return False
    with requests.Session() as session:
        session.trust_env = False
        try:
            return all(session.get(f"{url}/health", timeout=5).ok for url in state["urls"].values())
        except requests.RequestException:
            return False


def down(folder: Path, *, state_file: Path | None = None) -> bool:
    """Stop the sandbox that :func:`up` started.

    :param folder: as in :func:`up`.
    :param state_file: as in :func:`up`.
    :returns: whether there was one to stop.
    """
    state_file = (state_file or folder / STATE_FILE).resolve()
    process = _process(state_file)
    if process is None:
        return False
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(_STOP_SECONDS)
    return True


def _process(state_file: Path) -> psutil.Process | None:
    """Return the running sandbox of a state file; a process that got its old number since is not ours."""
    pid = _read_state(state_file).get("pid")
    try:
        process = psutil.Process(pid) if pid else None
        command = process.cmdline() if process else []
    except psutil.Error:
        return None
    return process if _MODULE in command and str(state_file) in command else None


def _api_key(state_file: Path) -> str:
    """Return the folder's API key, made at the first use."""
    state = _read_state(state_file)
    if "api_key" not in state:
        state["api_key"] = secrets.token_urlsafe(24)
        _write_state(state_file, state)
    return str(state["api_key"])


def _read_state(state_file: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = json.loads(state_file.read_text())
    except FileNotFoundError:
        return {}
    except ValueError as exception:
        raise InputError(f"{state_file}: not the JSON state of a sandbox ({exception}); delete it") from exception
    return state


def _write_state(state_file: Path, state: dict[str, Any]) -> None:
    """Replace the state file whole; it holds a key, so nobody else may read it at any moment."""
    state_file.parent.mkdir(parents=True, exist_ok=True)
    temporary = state_file.with_name(f"{state_file.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as output:
        json.dump(state, output, indent=2)
    temporary.replace(state_file)


def main(arguments: list[str] | None = None) -> int:
    """Run :func:`serve` from the command line, as :func:`up` does."""
    parser = argparse.ArgumentParser(prog=_MODULE, description=main.__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--outbox", type=Path)
    parser.add_argument("--state-file", type=Path)
    parser.add_argument("--ports", default="0,0,0,0,0,0", help="six ports; 0 takes a free one")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(options.folder, SandboxPorts(*map(int, options.ports.split(","))), options.outbox, options.state_file)
    except InputError as error:
        log.error("%s", error)  # noqa: TRY400 -- one clear sentence, no traceback
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
