"""A real AAS server that is killed in the middle of a push and comes back empty, as one without a database does."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import threading
from contextlib import contextmanager

import pytest

from battery_pilot.errors import ServerError
from battery_pilot.services.aas_comparison import differences
from battery_pilot.services.aas_push import push_twins
from battery_pilot.services.aas_pushed import PushedStates
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.aas_twin import Content, Twin
from battery_pilot.stack.ports import HOST, free_ports
from battery_pilot.stack.processes import stop
from tests.servers import faaast
from tests.servers.server import prepared

COUNT = 150


def twin(number):
    identifier = f"https://example.com/restart/{number}"
    value = {
        "modelType": "Property",
        "idShort": "StateOfHealth",
        "valueType": "xs:double",
        "value": str(100 - number / 9),
    }
    own = {"modelType": "Submodel", "id": f"{identifier}/sm", "idShort": "Condition", "submodelElements": [value]}
    shared = {"modelType": "Submodel", "id": f"https://example.com/restart/model/{number % 3}", "idShort": "Model"}
    shell = {
        "modelType": "AssetAdministrationShell",
        "id": identifier,
        "assetInformation": {"assetKind": "Instance", "globalAssetId": f"{identifier}/asset"},
        "submodels": [
            {"type": "ModelReference", "keys": [{"type": "Submodel", "value": one["id"]}]} for one in (own, shared)
        ],
    }
    content = Content(shell, [own], [shared])
    return Twin(
        identifier, "2026-01-20", "", hashlib.sha256(json.dumps([shell, own]).encode()).hexdigest(), lambda: content
    )


@contextmanager
def killed(process, after):
    """Kill a process without a word, once so many batteries have been asked for."""
    asked = threading.Event()

    def fleet():
        for number in range(COUNT):
            if number == after:
                asked.set()
            yield twin(number)

    def kill():
        asked.wait()
        os.kill(process, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    yield fleet()
    asked.set()
    killer.join()


def test_a_push_whose_server_is_killed_fails_clearly_and_the_next_completes_it_without_duplicates(tmp_path):
    if not os.environ.get("BATTERY_PILOT_TEST_RESTARTS"):
        pytest.skip("starts FA³ST twice, about 20 s: BATTERY_PILOT_TEST_RESTARTS=1 runs it")
    program, (port,) = prepared(faaast.SERVER), free_ports(1)
    states = PushedStates(tmp_path / "pushed.sqlite")
    server = AasServer(f"http://{HOST}:{port}", attempts=2, wait_second=0.05)
    process = faaast.launch(program, tmp_path, port)
    with killed(process, after=70) as fleet, pytest.raises(ServerError, match=f"{port}"):
        push_twins(server, states, fleet)
    process = faaast.launch(program, tmp_path, port)
    try:
        push_twins(server, states, map(twin, range(COUNT)))
        shown = {one["id"]: one for one in server.shells()} | {one["id"]: one for one in server.submodels()}
        sent = {
            one["id"]: one
            for made in map(twin, range(COUNT))
            for one in (*made.content.own(), *made.content.shared())
        }
        assert shown.keys() == sent.keys()
        assert {key: differences(sent[key], shown[key]) for key in sent} == dict.fromkeys(sent, [])
        assert push_twins(server, states, map(twin, range(COUNT)), read_back=1).unchanged == COUNT
    finally:
        stop(process, patience_second=0)
        states.close()
