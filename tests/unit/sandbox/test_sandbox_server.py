"""The six servers run together, trade over real HTTP, and stop."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from battery_pilot.errors import InputError
from battery_pilot.sandbox.network import is_loopback
from battery_pilot.sandbox.server import SandboxPorts, SandboxUrls, down, running, up

if TYPE_CHECKING:
    from pathlib import Path

CONTEXT = {"@vocab": "https://w3id.org/edc/v0.0.1/ns/", "odrl": "http://www.w3.org/ns/odrl/2/"}


class Management:
    """One connector's management API."""

    def __init__(self, url: str, key: str) -> None:
        self._base = f"{url}/management/v3"
        self._session = requests.Session()
        self._session.headers["x-api-key"] = key

    def post(self, path: str, **body: Any) -> Any:
        answer = self._session.post(f"{self._base}/{path}", json={"@context": CONTEXT, **body}, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def get(self, path: str) -> Any:
        answer = self._session.get(f"{self._base}/{path}", timeout=10)
        answer.raise_for_status()
        return answer.json()

    def wait(self, path: str, state: str) -> Any:
        deadline = time.monotonic() + 10
        while (process := self.get(path))["state"] != state:
            assert time.monotonic() < deadline, process
            time.sleep(0.02)
        return process


def trade(urls: SandboxUrls) -> requests.Response:
    """Offer one released file, contract it and fetch it."""
    provider = Management(urls.provider_connector, urls.api_key)
    consumer = Management(urls.consumer_connector, urls.api_key)
    address = {"type": "HttpData", "baseUrl": f"{urls.outbox}/passport.json"}
    provider.post("assets", **{"@id": "passport"}, properties={"name": "passport"}, dataAddress=address)
    permission = {"odrl:action": {"@id": "odrl:use"}}
    provider.post(
        "policydefinitions", **{"@id": "use"}, policy={"@type": "odrl:Set", "odrl:permission": [permission]}
    )
    provider.post(
        "contractdefinitions", **{"@id": "all"}, accessPolicyId="use", contractPolicyId="use", assetsSelector=[]
    )
    counterparty = {
        "counterPartyId": "provider",
        "counterPartyAddress": f"{urls.provider_connector}/protocol/2025-1",
        "protocol": "dataspace-protocol-http:2025-1",
    }
    offer = consumer.post("catalog/request", **counterparty)["dcat:dataset"]["odrl:hasPolicy"]
    policy = {**offer, "odrl:assigner": {"@id": "provider"}, "odrl:target": {"@id": "passport"}}
    negotiation = consumer.post("contractnegotiations", **counterparty, policy=policy)["@id"]
    agreement = consumer.wait(f"contractnegotiations/{negotiation}", "FINALIZED")["contractAgreementId"]
    transfer = consumer.post("transferprocesses", **counterparty, contractId=agreement, transferType="HttpData-PULL")[
        "@id"
    ]
    consumer.wait(f"transferprocesses/{transfer}", "STARTED")
    reference = consumer.get(f"edrs/{transfer}/dataaddress")
    token = {"Authorization": reference["authorization"]}
    return requests.get(reference["endpoint"], headers=token, timeout=10)


def test_all_servers_answer_and_a_passport_is_traded_over_http(tmp_path: Path) -> None:
    with running(tmp_path) as urls:
        for url in urls.servers().values():
            assert requests.get(f"{url}/health", timeout=10).status_code == 200
        content = os.urandom(300_000)
        (tmp_path / "outbox" / "passport.json").write_bytes(content)
        answer = trade(urls)
    assert (answer.status_code, answer.content) == (200, content)
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{urls.orion}/health", timeout=1)


def test_the_key_belongs_to_the_folder_and_to_its_owner(tmp_path: Path) -> None:
    keys = []
    for _ in range(2):
        with running(tmp_path) as urls:
            keys.append(urls.api_key)
    assert keys[0] == keys[1]
    assert stat.S_IMODE((tmp_path / "sandbox.json").stat().st_mode) == 0o600


def test_a_taken_port_is_named_with_the_remedy(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ports = SandboxPorts(orion=taken.getsockname()[1])
        message = rf"port {ports.orion} of 127.0.0.1 for the sandbox's orion is already in use; stop .* another port"
        with pytest.raises(InputError, match=message), running(tmp_path, ports=ports):
            pytest.fail("the sandbox started on a taken port")
        with pytest.raises(InputError, match=message):
            up(tmp_path, ports=ports)


def test_a_detached_sandbox_starts_once_and_stops_once(tmp_path: Path) -> None:
    urls = up(tmp_path)
    try:
        assert up(tmp_path) == urls
        assert requests.get(f"{urls.provider_aas}/shells", timeout=10).json()["result"] == []
        state = json.loads((tmp_path / "sandbox.json").read_text())
        assert state["urls"] == urls.servers()
    finally:
        assert down(tmp_path)
    assert not down(tmp_path)
    with pytest.raises(ProcessLookupError):
        os.kill(state["pid"], 0)


def test_a_process_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "sandbox.json").write_text(json.dumps({"pid": os.getpid(), "api_key": "k"}))
    assert not down(tmp_path)


def test_a_broken_state_file_is_reported_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "sandbox.json").write_text("{")
    with pytest.raises(InputError, match=r"sandbox\.json: not the JSON state"):
        down(tmp_path)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:80/x", True),
        ("http://localhost/x", True),
        ("http://[::1]:80/x", True),
        ("https://127.0.0.1/x", False),
        ("http://127.0.0.1.example.org/x", False),
        ("http://user@192.0.2.1/x", False),
        ("http://localhost@192.0.2.1/x", False),
        ("http://169.254.169.254/latest", False),
        ("http://0.0.0.0/x", False),
        ("file:///etc/hosts", False),
        ("http://[", False),
    ],
)
def test_only_plain_http_of_this_machine_is_loopback(url: str, expected: bool) -> None:
    assert is_loopback(url) is expected
