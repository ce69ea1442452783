from __future__ import annotations

import os
import sys
import time

import pytest

from battery_pilot.errors import InputError
from battery_pilot.stack import ports, processes

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("ready", flush=True)
time.sleep(60)
"""


def start(tmp_path, code):
    process_id = processes.start(
        [sys.executable, "-c", code], environment=dict(os.environ), log_file=tmp_path / "log", folder=tmp_path
    )
    deadline = time.monotonic() + 20
    while "ready" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return process_id


def test_a_process_is_stopped_by_sigint_and_may_clean_up(tmp_path):
    code = (
        "import time\nprint('ready', flush=True)\ntry:\n time.sleep(60)\nexcept KeyboardInterrupt:\n print('clean')"
    )
    process_id = start(tmp_path, code)
    processes.stop(process_id)
    assert not processes.alive(process_id)
    assert "clean" in (tmp_path / "log").read_text()


def test_what_ignores_every_signal_is_killed_with_its_children(tmp_path):
    process_id = start(tmp_path, STUBBORN)
    processes.stop(process_id, patience_second=0.2)
    assert not processes.alive(process_id)


def test_a_process_that_is_gone_has_no_start_time():
    assert processes.started_at(2**22 - 3) is None
    assert processes.started_at(os.getpid()) is not None


def test_a_taken_port_is_one_sentence():
    import socket

    with socket.socket() as one:
        one.bind((ports.HOST, 0))
        one.listen()
        port = one.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port}, wanted for the web UI, is taken: choose another"):
            ports.demand_free(port, "the web UI", "choose another")


def test_free_ports_are_different():
    assert len(set(ports.free_ports(20))) == 20


@pytest.mark.parametrize("port", [-1, 0, 65536, 99999])
def test_a_number_that_is_no_port_is_one_sentence(port):
    with pytest.raises(InputError, match="choose one between 1 and 65535"):
        ports.demand_free(port, "the web UI", "choose another")
