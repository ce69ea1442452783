"""Servers that the clients must get along with: the sandbox always, and real ones where their addresses are set.

``BATTERY_PILOT_TEST_AAS_URL``, ``BATTERY_PILOT_TEST_ORION_URL``, and for the connectors both of
``BATTERY_PILOT_TEST_EDC_PROVIDER_URL`` and ``BATTERY_PILOT_TEST_EDC_CONSUMER_URL``: the bases below which
``/management`` lies, with ``BATTERY_PILOT_TEST_EDC_API_KEY`` as the key of both, and the provider's protocol address in
``BATTERY_PILOT_TEST_EDC_PROTOCOL_URL`` unless it is ``/protocol/2025-1`` of the same base. Real servers keep nothing: what
a test makes has an id of its own and is deleted.
"""

from __future__ import annotations

import os
import threading
import uuid
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from fastapi import FastAPI

from battery_pilot.sandbox.server import running
from battery_pilot.services.connectors.inbox import Inbox
from battery_pilot.services.data_app import receiver
from tests.contract.connector_pairs import serving
from tests.servers.run import servers_are_required

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def targets(*variables: str) -> list[str]:
    """Name the servers to test: the real ones only where all their settings are there."""
    return ["sandbox", "real"] if all(os.environ.get(variable) for variable in variables) else ["sandbox"]


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with running(tmp_path_factory.mktemp("sandbox")) as urls:
        yield urls


@pytest.fixture(scope="session", params=targets("BATTERY_PILOT_TEST_AAS_URL"))
def aas_url(request: pytest.FixtureRequest) -> str:
    if request.param == "real":
        return os.environ["BATTERY_PILOT_TEST_AAS_URL"]
    return request.getfixturevalue("sandbox").provider_aas


@pytest.fixture(scope="session", params=targets("BATTERY_PILOT_TEST_ORION_URL"))
def orion_url(request: pytest.FixtureRequest) -> str:
    if request.param == "real":
        return os.environ["BATTERY_PILOT_TEST_ORION_URL"]
    return request.getfixturevalue("sandbox").orion


@dataclass(frozen=True)
class ConnectorPair:
    provider: str
    consumer: str
    protocol: str
    api_key: str


@pytest.fixture(
    scope="session",
    params=targets("BATTERY_PILOT_TEST_EDC_PROVIDER_URL", "BATTERY_PILOT_TEST_EDC_CONSUMER_URL"),
)
def connectors(request: pytest.FixtureRequest) -> ConnectorPair:
    if request.param == "real":
        provider = os.environ["BATTERY_PILOT_TEST_EDC_PROVIDER_URL"]
        return ConnectorPair(
            provider,
            os.environ["BATTERY_PILOT_TEST_EDC_CONSUMER_URL"],
            os.environ.get("BATTERY_PILOT_TEST_EDC_PROTOCOL_URL", f"{provider}/protocol/2025-1"),
            os.environ.get("BATTERY_PILOT_TEST_EDC_API_KEY", "password"),
        )
    urls = request.getfixturevalue("sandbox")
    provider = urls.provider_connector
    return ConnectorPair(provider, urls.consumer_connector, f"{provider}/protocol/2025-1", urls.api_key)


@pytest.fixture
def unique() -> str:
    """A name that no other test and no earlier run has used."""
    return f"contract{uuid.uuid4().hex[:12]}"


@pytest.fixture
def mongo_address() -> Iterator[tuple[str, str]]:
    """Address of a real server, and the name with which databases begin that are deleted afterwards."""
    uri = os.environ.get("BATTERY_PILOT_TEST_MONGO_URI")
    if not uri:
        text = "no MongoDB: `make test` starts one, BATTERY_PILOT_TEST_MONGO_URI names another"
        if servers_are_required():
            pytest.fail(text)
        pytest.skip(text)
    from pymongo import MongoClient

    name = f"contract_{uuid.uuid4().hex[:12]}"
    yield uri, name
    with MongoClient(uri) as client:
        for database in client.list_database_names():
            if database.startswith(name):
                client.drop_database(database)


@pytest.fixture(scope="session")
def file_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder, and the address on this machine where a connector finds its files."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep the test output clean."""

    folder = tmp_path_factory.mktemp("files")
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@pytest.fixture(scope="session")
def inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inbox]:
    """Where connectors deliver, with a receiver that listens."""
    folder = tmp_path_factory.mktemp("inbox")

    def create_receiver(base_url: str) -> FastAPI:  # noqa: ARG001 -- as for the sandboxes
        app = FastAPI()
        app.include_router(receiver.routes(Inbox(folder)))
        return app

    with serving(create_receiver) as url:
        yield Inbox(folder, url)
