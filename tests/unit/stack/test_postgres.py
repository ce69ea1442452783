from __future__ import annotations

import subprocess
import sys

import pytest

from battery_pilot.stack import postgres


@pytest.mark.parametrize("content", ["", "no number", "4194301\n"])
def test_a_file_that_names_no_process_stops_nothing(tmp_path, content):
    (tmp_path / "postmaster.pid").write_text(content)
    postgres.stop(tmp_path)


def test_a_file_left_by_a_dead_server_never_stops_somebody_elses_process(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        (tmp_path / "postmaster.pid").write_text(f"{process.pid}\n{tmp_path}\n")
        postgres.stop(tmp_path)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


def test_a_folder_without_a_server_is_fine(tmp_path):
    postgres.stop(tmp_path / "nothing")
