"""Run a command with real servers around it: ``python -m tests.servers.run -- pytest tests/contract``.

Servers that cannot be had here are named, and the tests that need them are skipped. With
``BATTERY_PILOT_REQUIRE_SERVERS=1``, or ``CI`` set, that is an error: nobody would notice a test that never runs.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import edc, faaast, mongod
from tests.servers.server import Server, Unavailable, prepared

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SERVERS = (mongod.SERVER, edc.SERVER, edc.NEWEST_SERVER, faaast.SERVER)


def servers_are_required(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether tests that need a server must run."""
    return any(
        environment.get(name, "") not in {"", "0", "false"} for name in ("BATTERY_PILOT_REQUIRE_SERVERS", "CI")
    )


def start_all(servers: Iterable[Server], stack: ExitStack, environment: Mapping[str, str]) -> dict[str, str]:
    """Start the servers that the environment does not name already, and return their variables.

    :param stack: stops them.
    :raises SystemExit: one is required and cannot be had.
    """
    found: dict[str, str] = {}
    for server in servers:
        if environment.get(server.variables[0]):
            continue
        try:
            folder = prepared(server)
            state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"{server.name}-")))
            found.update(stack.enter_context(server.running(folder, state)))
        except Unavailable as error:
            text = f"tests: {server.name} cannot be had here: {error}"
            if servers_are_required(environment):
                raise SystemExit(text) from error
            print(f"{text}\ntests: what needs {server.name} is skipped", file=sys.stderr, flush=True)
    return found


def main(words: Sequence[str]) -> int:
    """Run a command and return its exit code."""
    command = list(words[1:] if words[:1] == ["--"] else words)
    if not command:
        raise SystemExit("tests: name a command, for example: python -m tests.servers.run -- pytest tests/contract")
    # A terminated run still stops its servers.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        environment = {**os.environ, **start_all(SERVERS, stack, os.environ)}
        try:
            return subprocess.run(command, env=environment, check=False).returncode
        except KeyboardInterrupt:
            return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
