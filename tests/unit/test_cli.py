from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys

import pytest

from battery_pilot import __version__, cli
from battery_pilot.errors import InputError

COMMANDS = [
    (),
    ("read",),
    ("formats",),
    ("impedance",),
    ("cycles",),
    ("checkups",),
    ("evaluate",),
    ("simulate",),
    ("master",),
    ("master", "template"),
    ("passport",),
    ("passport", "validate"),
    ("passport", "show"),
    ("passport", "completeness"),
    ("passport", "history"),
    ("passport", "event"),
    ("passport", "export"),
    ("passport", "import"),
    ("passport", "code"),
    ("negotiations",),
    ("negotiations", "show"),
    ("orion",),
    ("orion", "indexes"),
    ("orion", "subscribe"),
    ("orion", "receive"),
    ("orion", "export"),
    ("orion", "agent-config"),
    ("sandbox",),
    ("sandbox", "up"),
    ("sandbox", "down"),
    ("up",),
    ("down",),
    ("demo",),
    ("pull-twins",),
]


@pytest.fixture(autouse=True)
def quiet():
    """Leave the root logger as it was: ``main`` sets it up for a process of its own."""
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def subcommands(parser, words=()):
    """Walk over all commands of a parser."""
    yield words
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from subcommands(inner, (*words, name))


def test_no_command_is_forgotten_here():
    assert sorted(subcommands(cli.parser())) == sorted(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(capsys, words):
    with pytest.raises(SystemExit) as stop:
        cli.main([*words, "--help"])
    assert stop.value.code == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"usage: battery-pilot {' '.join(words)}".rstrip())
    assert err == ""


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"battery-pilot {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["read"],
        ["read", "a", "b"],
        ["read", "a", "--fast"],
        ["passport"],
        ["passport", "burn"],
        ["master"],
        ["sandbox"],
        ["impedance", "a", "--spectrum", "first"],
        ["up", "--port", "http"],
    ],
)
def test_a_wrong_command_line_gives_exit_code_two_and_the_usage(capsys, words):
    with pytest.raises(SystemExit) as stop:
        cli.main(words)
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("usage: battery-pilot")


@pytest.fixture
def command_that(monkeypatch):
    """Let the command ``read`` do something else."""

    def replace(error):
        def run(chosen):
            raise error

        real = cli.parser

        def parser():
            top = real()
            parse = top.parse_args

            def parse_args(words=None):
                chosen = parse(words)
                chosen.run = run
                return chosen

            top.parse_args = parse_args
            return top

        monkeypatch.setattr(cli, "parser", parser)

    return replace


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (InputError("x.csv: bad"), 1, "battery-pilot: x.csv: bad"),
        (FileNotFoundError(2, "No such file", "x.csv"), 1, "battery-pilot: x.csv: no such file or folder"),
        (PermissionError(13, "Permission denied", "x.csv"), 1, "battery-pilot: x.csv: Permission denied"),
        (OSError("disk on fire"), 1, "battery-pilot: input: disk on fire"),
        (KeyboardInterrupt(), 130, "battery-pilot: stopped"),
    ],
)
def test_what_a_user_can_mend_is_one_line_and_no_traceback(capsys, command_that, error, code, line):
    command_that(error)
    assert cli.main(["read", "x.csv"]) == code
    assert capsys.readouterr().err == f"{line}\n"


def test_a_fault_of_ours_is_not_hidden(command_that):
    command_that(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError):
        cli.main(["read", "x.csv"])


def test_the_process_gives_the_exit_code_and_one_line(tmp_path, project):
    done = subprocess.run(
        [sys.executable, "-m", "battery_pilot.cli", "read", str(tmp_path / "none.csv")],
        env={**os.environ, "PYTHONPATH": str(project / "include")}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert str(tmp_path / "none.csv") in done.stderr


def test_help_comes_without_the_numerical_packages(project):
    probe = (
        "import sys\nfrom battery_pilot.cli import parser\nparser()\n"
        "print([name for name in ('numpy', 'pandas', 'pyarrow', 'scipy', 'basyx', 'airflow') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={**os.environ, "PYTHONPATH": str(project / "include")}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
