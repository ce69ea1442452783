from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from battery_pilot.sandbox import server
from battery_pilot.stack import demo, runtime


def test_stopping_a_sandbox_that_does_not_run_is_no_error(run, tmp_path):
    answer = run("sandbox", "down", "--folder", tmp_path / "sandbox")
    assert (answer.code, answer.out, answer.err) == (0, "nothing was running\n", "")
    assert run("sandbox", "down", "--folder", tmp_path / "sandbox", "--json").json == {"stopped": False}


def test_stopping_a_sandbox_that_runs_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setattr(server, "down", lambda folder: folder.is_absolute())
    assert run("sandbox", "down", "--folder", "relative").out == "stopped\n"


def test_stopping_a_stack_works_on_the_folder_that_was_given(run, tmp_path, monkeypatch):
    seen = []

    def down(folders):
        seen.append(folders.root)
        return len(seen) == 1

    monkeypatch.setattr(runtime, "down", down)
    assert run("down", "--folder", tmp_path).out == "stopped\n"
    assert run("down", "--folder", tmp_path).out == "nothing was running\n"
    assert seen == [tmp_path, tmp_path]


def test_the_demo_gets_folder_and_size_and_gives_its_exit_code(run, tmp_path, monkeypatch):
    seen = []

    def play(folder, fleet):
        seen.append((folder, fleet.batteries, fleet.months, fleet.seed))
        return 3

    monkeypatch.setattr(demo, "demo", play)
    answer = run("demo", "--folder", tmp_path, "--batteries", 4, "--months", 2, "--seed", 5)
    assert answer.code == 3
    assert seen == [(tmp_path, 4, 2, 5)]


@pytest.mark.parametrize(
    "words",
    [("demo", "--batteries", "0"), ("demo", "--months", "0"), ("demo", "--months", "x"), ("up", "--port", "99999")],
    ids=" ".join,
)
def test_a_number_that_makes_no_sense_is_refused_before_anything_starts(run, monkeypatch, words):
    monkeypatch.setattr(demo, "demo", None)
    monkeypatch.setattr(runtime, "up", None)
    answer = run(*words)
    assert answer.code == 2
    assert f"argument {words[1]}: {words[2]!r} is no whole number from 1 to" in answer.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_the_demo_stop_its_stack_and_a_second_one_does_not_cut_that_short(tmp_path, number):
    script = f"""
import os
from battery_pilot.cli import main
from battery_pilot.stack import demo

def until_stopped(*_):
    try:
        os.kill(os.getpid(), {int(number)})
    finally:
        os.kill(os.getpid(), {int(number)})
        print("stack stopped", flush=True)

demo.demo = until_stopped
raise SystemExit(main(["demo", "--folder", {str(tmp_path)!r}]))
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert ended.stdout.splitlines() == ["stopping what was started: this takes up to half a minute", "stack stopped"]
    assert ended.returncode == 130, ended.stderr
