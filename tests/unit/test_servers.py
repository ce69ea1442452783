"""How the servers of the tests are had."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack, contextmanager

import pytest

from tests.servers import run as servers
from tests.servers import server as common
from tests.servers.mongod import old_sources
from tests.servers.server import Server, Unavailable, prepared

DEB822 = """Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
"""


@pytest.mark.parametrize(
    "text",
    [
        DEB822,
        "deb http://mirror.example/debian bookworm main\ndeb https://other.example/apt cloud-sdk-bookworm main\n",
        "deb [arch=amd64 signed-by=/x] http://mirror.example/debian bookworm main contrib\n",
    ],
)
def test_the_old_release_is_taken_from_where_the_machine_has_its_own(text):
    (line,) = old_sources(text, "bookworm").splitlines()
    assert line.endswith("] http://mirror.example/debian bullseye main")


@pytest.mark.parametrize("text", ["", "deb https://other.example/apt cloud-sdk-bookworm main\n"])
def test_a_machine_without_package_sources_says_so(text):
    with pytest.raises(Unavailable, match="OpenSSL 1.1"):
        old_sources(text, "bookworm")


def server_that(prepare, stopped=None):
    @contextmanager
    def running(folder, state):
        assert state.is_dir()
        yield {"TEST_URI": folder.name}
        if stopped is not None:
            stopped.append(folder.name)

    return Server("example", "1", ("TEST_URI",), prepare, running)


def missing(folder):
    raise Unavailable("no such program")


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(common, "CACHE", tmp_path)
    monkeypatch.setattr(servers, "prepared", lambda server: prepared(server, tmp_path))
    return tmp_path


def test_a_server_is_prepared_once_runs_and_is_stopped():
    prepared_in, stopped = [], []
    for _ in range(2):
        with ExitStack() as stack:
            one = server_that(prepared_in.append, stopped)
            assert servers.start_all([one], stack, {}) == {"TEST_URI": "example-1"}
    assert (len(prepared_in), stopped) == (1, ["example-1"] * 2)


def test_a_server_that_is_named_already_is_not_started():
    with ExitStack() as stack:
        assert servers.start_all([server_that(missing)], stack, {"TEST_URI": "mine"}) == {}


def test_a_server_that_cannot_be_had_is_said_and_in_ci_an_error(capsys, cache):
    with ExitStack() as stack:
        assert servers.start_all([server_that(missing)], stack, {"CI": "0"}) == {}
        assert "example cannot be had here: no such program" in capsys.readouterr().err
        for name in ("CI", "BATTERY_PILOT_REQUIRE_SERVERS"):
            with pytest.raises(SystemExit, match="cannot be had here: no such program"):
                servers.start_all([server_that(missing)], stack, {name: "1"})
    assert list(cache.iterdir()) == []


def test_a_program_that_fails_is_one_sentence():
    with pytest.raises(Unavailable, match="failed: broken"):
        common.run([sys.executable, "-c", "import sys; sys.exit('broken')"])
    with pytest.raises(Unavailable, match="there is no program nonesuch"):
        common.run(["nonesuch"])


def test_the_exit_code_is_that_of_the_command(monkeypatch):
    monkeypatch.setattr(servers, "SERVERS", ())
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 7))
    assert servers.main(["--", "pytest"]) == 7
    with pytest.raises(SystemExit, match="name a command"):
        servers.main(["--"])
