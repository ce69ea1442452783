"""Pairs of real Eclipse Dataspace Connectors for tests: provider and consumer, of the reference and of the newest release.

The program is the one that ``docker/edc`` builds for the compose stack, built here with the machine's own Maven and Java.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from battery_pilot.stack.ports import HOST, free_ports
from battery_pilot.stack.processes import start, stop
from tests.servers.server import ROOT, Server, Unavailable, quiet_environment, run, wait_until_up

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = ROOT / "docker" / "edc"
CONTEXTS = ("", "management", "protocol", "control", "public", "version")
"""The parts of the connector, each with a port and a path of its own; the first is the health check's."""

API_KEY = "key-of-the-tests"
PARTIES = {"consumer": {"roles": ["recycler"], "purposes": ["recycling"]}}
"""What the connectors know of the parties."""

VARIABLES = (
    "BATTERY_PILOT_TEST_EDC_PROVIDER_URL",
    "BATTERY_PILOT_TEST_EDC_CONSUMER_URL",
    "BATTERY_PILOT_TEST_EDC_PROTOCOL_URL",
    "BATTERY_PILOT_TEST_EDC_API_KEY",
)


NEWEST = "0.15.1"
"""The newest release on Maven Central, the one with the management API v4."""

NEWEST_VARIABLES = tuple(name.replace("_EDC_", "_EDC_V4_") for name in VARIABLES)


def version(release: str = "") -> str:
    """Return the digest of all that goes into the connector: what changes is built anew."""
    digest = hashlib.sha256(release.encode())
    for path in sorted(path for path in [PROJECT / "pom.xml", *(PROJECT / "src").rglob("*")] if path.is_file()):
        digest.update(path.relative_to(PROJECT).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def prepare(folder: Path, release: str = "") -> None:
    """Build the connector into a folder.

    :param release: the release of EDC, by default the one of the project.
    """
    if not shutil.which("java"):
        raise Unavailable("there is no program java on this machine")
    build = folder / "build"
    shutil.copytree(PROJECT, build, ignore=shutil.ignore_patterns("target"))
    chosen = [f"-Dedc.version={release}"] if release else []
    run(["mvn", "--batch-mode", "--no-transfer-progress", "--quiet", *chosen, "package"], folder=build)
    (build / "target" / "connector.jar").replace(folder / "connector.jar")
    shutil.rmtree(build)


def settings(name: str, ports: dict[str, int]) -> dict[str, str]:
    """Return the settings by which one connector is told who and where it is.

    :param name: its participant id.
    :param ports: by the names of :data:`CONTEXTS`.
    """
    found = {
        "edc.participant.id": name,
        "edc.hostname": HOST,
        "edc.dsp.callback.address": f"http://{HOST}:{ports['protocol']}/protocol",
        "edc.dataplane.api.public.baseurl": f"http://{HOST}:{ports['public']}/public",
        "edc.transfer.proxy.token.signer.privatekey.alias": "private-key",
        "edc.transfer.proxy.token.verifier.publickey.alias": "public-key",
        "web.http.management.auth.type": "tokenbased",
        "web.http.management.auth.key": API_KEY,
        "batterypilot.parties": json.dumps(PARTIES),
        # How often its state machines look for work; the default of a second makes a negotiation take five. At 50 ms the
        # consumer's verification may overtake the provider's own note that it agreed, and the negotiation is terminated.
        "edc.negotiation.state-machine.iteration-wait-millis": "250",
        "edc.transfer.state-machine.iteration-wait-millis": "100",
        "edc.dataplane.state-machine.iteration-wait-millis": "100",
        "edc.policy.monitor.state-machine.iteration-wait-millis": "500",
    }
    for context, port in ports.items():
        part = f"web.http.{context}." if context else "web.http."
        found[f"{part}port"] = str(port)
        found[f"{part}path"] = f"/{context or 'api'}"
    return found


@contextmanager
def running(prepared: Path, state: Path, variables: tuple[str, ...] = VARIABLES) -> Iterator[dict[str, str]]:
    """Run a provider and a consumer on free ports of this machine; they keep everything in memory."""
    numbers = iter(free_ports(2 * len(CONTEXTS)))
    pair = {name: {context: next(numbers) for context in CONTEXTS} for name in ("provider", "consumer")}
    java = shutil.which("java") or "java"
    with ExitStack() as stack:
        processes = {}
        for name, ports in pair.items():
            processes[name] = start(
                [
                    java,
                    *("-Xmx192m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"),
                    *(f"-D{key}={value}" for key, value in settings(name, ports).items()),
                    *("-jar", str(prepared / "connector.jar")),
                ],
                environment=quiet_environment(),
                log_file=state / f"{name}.log",
                folder=state,
            )
            stack.callback(stop, processes[name])
        for name, ports in pair.items():
            url = f"http://{HOST}:{ports['']}/api/check/readiness"
            wait_until_up("the connector", url, processes[name], state / f"{name}.log")
        yield dict(
            zip(
                variables,
                (
                    f"http://{HOST}:{pair['provider']['management']}",
                    f"http://{HOST}:{pair['consumer']['management']}",
                    f"http://{HOST}:{pair['provider']['protocol']}/protocol/2025-1",
                    API_KEY,
                ),
                strict=True,
            )
        )


SERVER = Server("edc", version(), VARIABLES, prepare, running)
NEWEST_SERVER = Server(
    f"edc-{NEWEST}",
    version(NEWEST),
    NEWEST_VARIABLES,
    partial(prepare, release=NEWEST),
    partial(running, variables=NEWEST_VARIABLES),
)
