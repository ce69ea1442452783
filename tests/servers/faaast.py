"""FA³ST Service, a real AAS server in Java, for tests: the published jar, with everything in memory.

It speaks API 3.0 below ``/api/v3.0`` and has no packages. It cannot be told on which address to listen, so while the tests
run it is reachable from other machines too; nothing but the tests' own documents is on it.
"""

from __future__ import annotations

import json
import shutil
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING

from battery_pilot.stack.ports import HOST, free_ports
from battery_pilot.stack.processes import alive, start, stop
from tests.servers.server import Server, Unavailable, quiet_environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = "1.3.0"
ARTIFACT = f"de.fraunhofer.iosb.ilt.faaast.service:starter:{VERSION}:jar"
PACKAGE = "de.fraunhofer.iosb.ilt.faaast.service"
START_SECONDS = 90


def prepare(folder: Path) -> None:
    """Put the jar into a folder."""
    if not shutil.which("java"):
        raise Unavailable("there is no program java on this machine")
    run(
        [
            *("mvn", "--batch-mode", "--no-transfer-progress", "--quiet", "dependency:copy"),
            *(f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={folder.absolute()}", "-Dmdep.stripVersion=true"),
        ],
        folder=folder,  # a pom.xml where the tests were started would be read otherwise
    )
    if not (folder / "starter.jar").is_file():
        raise Unavailable(f"{ARTIFACT} has brought no starter.jar")


def configuration(port: int) -> dict[str, object]:
    """Return what the server is told: one HTTP endpoint, and nothing kept on disk."""
    return {
        "core": {"requestHandlerThreadPoolSize": 4},
        "endpoints": [{"@class": f"{PACKAGE}.endpoint.http.HttpEndpoint", "port": port, "sslEnabled": False}],
        "persistence": {"@class": f"{PACKAGE}.persistence.memory.PersistenceInMemory"},
        "fileStorage": {"@class": f"{PACKAGE}.filestorage.memory.FileStorageInMemory"},
        "messageBus": {"@class": f"{PACKAGE}.messagebus.internal.MessageBusInternal"},
    }


@contextmanager
def running(prepared: Path, state: Path) -> Iterator[dict[str, str]]:
    """Run the server, empty, on a free port."""
    (port,) = free_ports(1)
    (state / "config.json").write_text(json.dumps(configuration(port)))
    java = shutil.which("java") or "java"
    options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    process = start(
        [java, *options, "-jar", str(prepared / "starter.jar"), "--empty-model", "--config", "config.json"],
        environment=quiet_environment(),
        log_file=state / "faaast.log",
        folder=state,
    )
    url = f"http://{HOST}:{port}"
    try:
        _wait(f"{url}/api/v3.0/description", process, state / "faaast.log")
        yield {"BATTERY_PILOT_TEST_AAS_URL": url}
    finally:
        stop(process, patience_second=3)  # it does not heed SIGINT


def _wait(url: str, process: int, log_file: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url, timeout=2):
                return
        except (urllib.error.URLError, OSError) as error:
            if not alive(process) or time.monotonic() > deadline:
                said = log_file.read_text(errors="replace")[-500:]
                raise Unavailable(f"FA³ST does not answer: {error}; it said: {said}") from error
        time.sleep(0.2)


SERVER = Server("faaast", VERSION, ("BATTERY_PILOT_TEST_AAS_URL",), prepare, running)
