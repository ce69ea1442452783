"""FA³ST Service, a real AAS server in Java, for tests: the published jar, with everything in memory.

It speaks API 3.0 below ``/api/v3.0`` and has no packages. It cannot be told on which address to listen, so while the tests
run it is reachable from other machines too; nothing but the tests' own documents is on it.
"""

from __future__ import annotations

import json
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from battery_pilot.stack.ports import HOST, free_ports
from battery_pilot.stack.processes import start, stop
from tests.servers.server import Server, Unavailable, quiet_environment, run, wait_until_up

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VERSION = "1.3.0"
ARTIFACT = f"de.fraunhofer.iosb.ilt.faaast.service:starter:{VERSION}:jar"
PACKAGE = "de.fraunhofer.iosb.ilt.faaast.service"


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
    process = launch(prepared, state, port)
    try:
        yield {"BATTERY_PILOT_TEST_AAS_URL": f"http://{HOST}:{port}"}
    finally:
        stop(process, patience_second=3)  # it does not heed SIGINT


def launch(prepared: Path, state: Path, port: int) -> int:
    """Start the server, empty, and return the id of its process once it answers.

    :raises Unavailable: it does not.
    """
    (state / "config.json").write_text(json.dumps(configuration(port)))
    java = shutil.which("java") or "java"
    options = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    process = start(
        [java, *options, "-jar", str(prepared / "starter.jar"), "--empty-model", "--config", "config.json"],
        environment=quiet_environment(),
        log_file=state / "faaast.log",
        folder=state,
    )
    try:
        wait_until_up("FA³ST", f"http://{HOST}:{port}/api/v3.0/description", process, state / "faaast.log")
    except BaseException:
        stop(process, patience_second=3)
        raise
    return process


SERVER = Server("faaast", VERSION, ("BATTERY_PILOT_TEST_AAS_URL",), prepare, running)
