"""Start and stop the whole stack of one folder: sandbox servers, PostgreSQL, Airflow."""

from __future__ import annotations

import json
import logging
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import BatteryPilotError, InputError
from battery_pilot.lake import read_json, write_json
from battery_pilot.sandbox.server import SandboxUrls
from battery_pilot.sandbox.server import down as sandbox_down
from battery_pilot.sandbox.server import up as sandbox_up
from battery_pilot.stack import airflow, postgres, processes
from battery_pilot.stack.airflow_api import AirflowApi
from battery_pilot.stack.ports import HOST, demand_free, free_ports
from battery_pilot.stack.prerequisites import java_problem
from battery_pilot.stack.project import demand_clone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

POOLS = {"spark": 1, "aasx": 1, "orion": 1, "connector": 4}
"""Airflow pools that the DAGs use: how many tasks may talk to one kind of server at once."""


@dataclass(frozen=True)
class Folders:
    """The folders of one stack.

    :param root: everything else lies below it.
    """

    root: Path

    @property
    def lake(self) -> Path:
        """Top folder of the lake."""
        return self.root / "lake"

    @property
    def landing(self) -> Path:
        """Landing folder."""
        return self.root / "landing"

    @property
    def master(self) -> Path:
        """Folder of the master-data tables."""
        return self.root / "master"

    @property
    def airflow(self) -> Path:
        """``AIRFLOW_HOME``."""
        return self.root / "airflow"

    @property
    def postgres(self) -> Path:
        """Data folder of the embedded PostgreSQL."""
        return self.root / "postgres"

    @property
    def sandbox(self) -> Path:
        """State of the sandbox servers."""
        return self.root / "sandbox"

    @property
    def state(self) -> Path:
        """What is running: process id and addresses."""
        return self.root / "stack.json"


@dataclass(frozen=True)
class Stack:
    """A running stack.

    :param address: Airflow's web UI and API.
    :param user: login.
    :param password: its password.
    :param urls: addresses of the sandbox servers.
    """

    folders: Folders
    address: str
    user: str
    password: str
    urls: SandboxUrls

    def api(self) -> AirflowApi:
        """Return a client of Airflow's API."""
        return AirflowApi(self.address, self.user, self.password)


def up(folders: Folders, *, port: int | None = None, schedules: Mapping[str, str] | None = None) -> Stack:
    """Start the stack, or fail with one sentence and nothing left running.

    :param port: port of the web UI; ``None`` for any free one.
    :param schedules: schedule settings, for example ``BATTERY_PILOT_PROVIDER_SCHEDULE``.
    :raises InputError: if a prerequisite is missing, a port taken or the stack running already.
    """
    demand_clone()
    problem = java_problem()
    if problem:
        raise InputError(problem)
    if running(folders):
        raise InputError(f"the stack in {folders.root} is running already: stop it with `make down` first")
    if port is not None:
        demand_free(port, "Airflow's web UI", "stop what uses it, or choose another with PORT=<number>")
    for folder in (folders.landing, folders.master, folders.lake, folders.airflow):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        return _start(folders, port or free_ports(1)[0], schedules or {})
    except BaseException:
        down(folders)
        raise


def _start(folders: Folders, port: int, schedules: Mapping[str, str]) -> Stack:
    database = postgres.start(folders.postgres)
    urls = sandbox_up(folders.sandbox, outbox_folder=folders.lake / "provider" / "outbox")
    variables = airflow.environment(
        folders.airflow, port=port, database=database, extra={**_settings(folders), **connections(urls), **schedules}
    )
    process_id = airflow.start(folders.airflow, variables)
    address = f"http://{HOST}:{port}"
    write_json(folders.state, {"pid": process_id, "started": processes.started_at(process_id), "address": address})
    airflow.wait_healthy(address, process_id, folders.airflow / "airflow.log")
    stack = Stack(folders, address, airflow.USER, airflow.secrets_of(folders.airflow).password, urls)
    _make_pools(stack.api())
    return stack


def down(folders: Folders) -> bool:
    """Stop everything that runs in a stack's folder and tell whether there was anything.

    Every part is stopped even if another one resists; nothing happens where nothing runs.
    """
    found = False
    if running(folders):
        found = True
        processes.stop(read_json(folders.state)["pid"])
    folders.state.unlink(missing_ok=True)
    problems = []
    for stop, folder in ((sandbox_down, folders.sandbox), (postgres.stop, folders.postgres)):
        try:
            stop(folder)
        except BatteryPilotError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    return found


def running(folders: Folders) -> bool:
    """Tell whether Airflow runs in a stack's folder."""
    if not folders.state.exists():
        return False
    state = read_json(folders.state)
    return state["started"] is not None and processes.started_at(state["pid"]) == state["started"]


@contextmanager
def stack(folders: Folders, **options: Any) -> Iterator[Stack]:
    """Run a stack for the time of a block."""
    started = up(folders, **options)
    try:
        yield started
    finally:
        begin = time.monotonic()
        down(folders)
        log.info("stopped the stack in %.0f s", time.monotonic() - begin)


def connections(urls: SandboxUrls) -> dict[str, str]:
    """Return Airflow's connections to the sandbox servers as environment variables."""
    provider = {"participant_id": "provider", "asset_base_url": urls.outbox}
    consumer = {
        "participant_id": "consumer",
        "counterparty_id": "provider",
        "counterparty_url": f"{urls.provider_connector}/protocol/2025-1",
    }
    made = {
        "battery_pilot_provider_aas": _http(urls.provider_aas),
        "battery_pilot_consumer_aas": _http(urls.consumer_aas),
        "battery_pilot_orion": _http(urls.orion, extra={"service": "battery", "service_path": "/passports"}),
        "battery_pilot_provider_connector": _http(f"{urls.provider_connector}/management", urls.api_key, provider),
        "battery_pilot_consumer_connector": _http(f"{urls.consumer_connector}/management", urls.api_key, consumer),
        "spark_default": {"conn_type": "spark", "host": "local[*]"},
    }
    return {f"AIRFLOW_CONN_{name.upper()}": json.dumps(content) for name, content in made.items()}


def _http(host: str, password: str | None = None, extra: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"conn_type": "http", "host": host, "password": password, "extra": dict(extra or {})}


def _settings(folders: Folders) -> dict[str, str]:
    return {
        "BATTERY_PILOT_LAKE": str(folders.lake),
        "BATTERY_PILOT_LANDING": str(folders.landing),
        "BATTERY_PILOT_MASTER": str(folders.master),
        # Spark runs in the one process: it need not be reached from elsewhere, whatever the machine's name resolves to.
        "SPARK_LOCAL_IP": HOST,
    }


def _make_pools(api: AirflowApi) -> None:
    for name, slots in POOLS.items():
        api.make_pool(name, slots)


def summary(stack: Stack) -> dict[str, Any]:
    """Return the addresses of a stack for a person to read."""
    return {"airflow": stack.address, "user": stack.user, "password": stack.password, **asdict(stack.urls)}
