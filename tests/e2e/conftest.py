"""Real Airflow, real Spark, the sandbox servers: one stack for each module that asks for it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from battery_pilot.errors import ServerRefused
from battery_pilot.passport.history import SqliteHistory
from battery_pilot.services.aas_server import AasServer
from battery_pilot.services.connectors.edc import EdcConnector
from battery_pilot.services.connectors.model import Counterparty
from battery_pilot.services.http import HttpClient
from battery_pilot.services.orion import Orion
from battery_pilot.stack.runtime import Folders, Stack, down, stack

if TYPE_CHECKING:
    from battery_pilot.stack.airflow_api import AirflowApi

SCHEDULES = {
    "BATTERY_PILOT_PROVIDER_SCHEDULE": "0 0 1 * *",
    "BATTERY_PILOT_CONSUMER_SCHEDULE": "never",
    "BATTERY_PILOT_TRAINING_SCHEDULE": "never",
}
PATIENCE_SECOND = 900.0


class Installation:
    """A running stack with what tests do to it and ask of it."""

    def __init__(self, running: Stack) -> None:
        self.stack = running
        self.folders = running.folders
        self.api: AirflowApi = running.api()
        self.api.wait_for_dag("provide_passports")
        self.api.unpause("provide_passports")

    def provide(self, year: int, month: int) -> dict[str, Any]:
        """Backfill one month and return what its tasks handed on."""
        start = datetime(year, month, 1, tzinfo=UTC)
        _patiently(lambda: self.api.backfill("provide_passports", start, start))
        return self._results("provide_passports", self._backfilled(start))

    def provide_again(self, earlier: dict[str, Any]) -> dict[str, Any]:
        """Run a month once more and return what its tasks handed on."""
        self.api.run_again("provide_passports", earlier["run_id"])
        return self._results("provide_passports", earlier["run_id"])

    def run(self, dag: str, conf: dict[str, Any] | None = None) -> dict[str, Any]:
        """Trigger a DAG by hand and return what its tasks handed on."""
        self.api.wait_for_dag(dag)
        self.api.unpause(dag)
        return self._results(dag, self.api.trigger(dag, conf))

    def await_announced(self, dag: str, earlier: dict[str, Any]) -> dict[str, Any]:
        """Wait for the run that an asset started after an earlier run, and return what its tasks handed on."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for run in self.api.list_runs(dag):
                if run["run_type"] == "asset_triggered" and run["dag_run_id"] != earlier["run_id"]:
                    return self._results(dag, run["dag_run_id"])
            time.sleep(0.5)
        raise AssertionError(f"no asset started {dag}")

    def _backfilled(self, start: datetime) -> str:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            listed = self.api.list_runs("provide_passports")
            for run in listed:
                if run["run_type"] == "backfill" and datetime.fromisoformat(run["logical_date"]) == start:
                    return str(run["dag_run_id"])
            time.sleep(0.3)
        raise AssertionError(f"no backfill run for {start}")

    def _results(self, dag: str, run_id: str) -> dict[str, Any]:
        run = self.api.wait_for_run(dag, run_id, patience_second=PATIENCE_SECOND)
        tasks = self.api.tasks(dag, run_id)
        if run.state != "success":
            failed = next(task for task in tasks if task["state"] == "failed")
            pytest.fail(self.api.log(dag, run_id, failed["task_id"], failed["try_number"])[-5000:])
        results = {task["task_id"]: self.api.result(dag, run_id, task["task_id"]) for task in tasks}
        return {**results, "states": {task["task_id"]: task["state"] for task in tasks}, "run_id": run_id}

    def largest_xcom_bytes(self, dag: str, run_id: str) -> int:
        """Return the size of the largest thing that a run's tasks handed on."""
        return max(len(json.dumps(value)) for value in self.api.xcoms(dag, run_id))

    def linked_page(self, dag: str, run_id: str, task: str, link: str) -> str:
        """Return the page that a task's link leads to, as a user who is logged in sees it."""
        session = self.api._session
        path = f"dags/{dag}/dagRuns/{quote(run_id, safe='')}/taskInstances/{task}/links"
        links = session.get(f"{self.api._base}/{path}", timeout=30).json()["extra_links"]
        answer = session.get(links[link], timeout=30)
        answer.raise_for_status()
        return str(answer.text)

    def state(self) -> dict[str, Any]:
        """Return everything that the servers and the history hold, for comparing."""
        urls = self.stack.urls
        broker = Orion(urls.orion, service="battery", service_path="/passports")
        connectors = {"provider": urls.provider_connector, "consumer": urls.consumer_connector}
        consumer = EdcConnector(
            f"{urls.consumer_connector}/management", api_key=urls.api_key, participant_id="consumer"
        )
        provider = Counterparty("provider", f"{urls.provider_connector}/protocol/2025-1")
        history = SqliteHistory(self.folders.lake / "provider" / "history.sqlite")
        return {
            "provider_aas": _content(AasServer(urls.provider_aas)),
            "consumer_aas": _content(AasServer(urls.consumer_aas)),
            "entities": sorted(broker.entities("Battery"), key=lambda entity: str(entity["id"])),
            "offers": sorted(entry.asset_id for entry in consumer.catalogue(provider)),
            "agreements": {name: _count(url, urls.api_key, "contractagreements") for name, url in connectors.items()},
            "transfers": {name: _count(url, urls.api_key, "transferprocesses") for name, url in connectors.items()},
            "history_versions": history.count(),
            "outbox": _digests(self.folders.lake / "provider" / "outbox"),
        }


def _patiently(start: Callable[[], int]) -> None:
    """Airflow allows one backfill a DAG, and looks only now and then whether the former one has ended."""
    deadline = time.monotonic() + 90
    while True:
        try:
            start()
        except ServerRefused as error:
            if error.status != 409 or time.monotonic() > deadline:
                raise
            time.sleep(1)
        else:
            return


def _content(server: AasServer) -> dict[str, Any]:
    return {one["id"]: one for one in (*server.shells(), *server.submodels())}


def _count(connector_url: str, api_key: str, kind: str) -> int:
    client = HttpClient(f"{connector_url}/management/v3/{kind}", headers={"x-api-key": api_key})
    query = {
        "@context": {"@vocab": "https://w3id.org/edc/v0.0.1/ns/"},
        "@type": "QuerySpec",
        "offset": 0,
        "limit": 10_000,
    }
    return len(client.request("POST", "/request", json=query, idempotent=True).json())


def _digests(folder: Path) -> dict[str, str]:
    import hashlib

    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="session")
def installation(project: Path) -> Callable[[str, Callable[[Folders], None]], Any]:
    """Return a context manager that prepares a folder, starts a stack in it and stops all of it at the end.

    The folder is below ``var/``, always the same, so that what an earlier, killed run left is found and stopped.
    """

    @contextmanager
    def start(name: str, prepare: Callable[[Folders], None]) -> Iterator[Installation]:
        folders = Folders(project / "var" / "tests" / name)
        down(folders)
        shutil.rmtree(folders.root, ignore_errors=True)
        folders.root.mkdir(parents=True)
        prepare(folders)
        with stack(folders, schedules=SCHEDULES) as running:
            yield Installation(running)

    return start
