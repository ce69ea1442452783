"""What the demo asks of Airflow's REST API (version 2)."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import requests

from battery_pilot.errors import ServerRefused, ServerUnavailable, TerminalError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FINAL = ("success", "failed")


@dataclass(frozen=True)
class Run:
    """One DAG run and how it ended."""

    dag_id: str
    run_id: str
    state: str


class AirflowApi:
    """Client of one Airflow.

    :param address: for example ``http://127.0.0.1:8080``.
    :param user: login.
    :param password: its password.
    """

    def __init__(self, address: str, user: str, password: str) -> None:
        self._base = f"{address}/api/v2"
        self._session = requests.Session()
        token = self._request("POST", f"{address}/auth/token", json={"username": user, "password": password})
        self._session.headers["Authorization"] = f"Bearer {token['access_token']}"

    def wait_for_dag(self, dag_id: str, *, patience_second: float = 90) -> None:
        """Wait until Airflow has parsed a DAG.

        :raises TerminalError: if it is not there in time; the message carries Airflow's import errors.
        """
        deadline = time.monotonic() + patience_second
        while time.monotonic() < deadline:
            if any(dag["dag_id"] == dag_id for dag in self._list("/dags", "dags")):
                return
            time.sleep(0.5)
        errors = [error["stack_trace"] for error in self._list("/importErrors", "import_errors")]
        raise TerminalError(
            f"Airflow did not load the DAG {dag_id} in {patience_second:.0f} s: {errors or 'no import errors'}"
        )

    def make_pool(self, name: str, slots: int) -> None:
        """Make a pool, or leave the one that is there."""
        try:
            self._request(
                "POST", f"{self._base}/pools", json={"name": name, "slots": slots, "include_deferred": False}
            )
        except ServerRefused as error:
            if error.status != 409:
                raise

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self._request("PATCH", f"{self._base}/dags/{dag_id}", json={"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Keep a DAG's schedule from starting runs."""
        self._request("PATCH", f"{self._base}/dags/{dag_id}", json={"is_paused": True})

    def trigger(
        self, dag_id: str, conf: dict[str, Any] | None = None, *, logical_date: datetime | None = None
    ) -> str:
        """Start a run by hand and return its id."""
        body = {"logical_date": logical_date.isoformat() if logical_date else None, "conf": conf or {}}
        answer = self._request("POST", f"{self._base}/dags/{dag_id}/dagRuns", json=body)
        return str(answer["dag_run_id"])

    def run_again(self, dag_id: str, run_id: str) -> None:
        """Clear all tasks of a run that has ended, so that it runs once more."""
        path = f"{self._base}/dags/{dag_id}/dagRuns/{run_id}/clear"
        self._request("POST", path, json={"dry_run": False, "only_failed": False})

    def backfill(self, dag_id: str, first: datetime, last: datetime) -> int:
        """Start a backfill, one run after the other in order of time, and return its id.

        :param first: start of the first interval.
        :param last: start of the last interval.
        """
        body = {
            "dag_id": dag_id,
            "from_date": first.astimezone(UTC).isoformat(),
            "to_date": last.astimezone(UTC).isoformat(),
            "run_backwards": False,
            "reprocess_behavior": "none",
            "max_active_runs": 1,
            "dag_run_conf": {},
        }
        return int(self._request("POST", f"{self._base}/backfills", json=body)["id"])

    def wait_for_backfill(
        self, dag_id: str, intervals: int, *, patience_second: float, progress: Callable[[list[Run]], None]
    ) -> list[Run]:
        """Wait until all runs of a DAG's backfills have ended and return them.

        The runs are watched, not the backfill: Airflow marks a backfill as completed up to half a minute later.

        :param intervals: how many runs there will be.
        :param progress: called with the runs at every look.
        :raises TerminalError: if it takes too long.
        """
        deadline = time.monotonic() + patience_second
        while time.monotonic() < deadline:
            runs = self.backfill_runs(dag_id)
            progress(runs)
            if len(runs) >= intervals and all(run.state in FINAL for run in runs):
                return runs
            time.sleep(0.5)
        raise TerminalError(f"the backfill of {dag_id} took longer than {patience_second:.0f} s")

    def wait_for_run(
        self, dag_id: str, run_id: str, *, patience_second: float, progress: Callable[[str], None] | None = None
    ) -> Run:
        """Wait until a run has ended and return it.

        :param progress: called with the names of running tasks at every look.
        :raises TerminalError: if it takes too long.
        """
        deadline = time.monotonic() + patience_second
        while time.monotonic() < deadline:
            state = str(self._request("GET", f"{self._base}/dags/{dag_id}/dagRuns/{run_id}")["state"])
            if state in FINAL:
                return Run(dag_id, run_id, state)
            if progress:
                active = [
                    task["task_id"] for task in self.tasks(dag_id, run_id) if task["state"] in ("running", "deferred")
                ]
                progress(", ".join(active))
            time.sleep(0.5)
        raise TerminalError(f"run {run_id} of {dag_id} took longer than {patience_second:.0f} s")

    def list_runs(self, dag_id: str) -> list[dict[str, Any]]:
        """Return the runs of a DAG as the API describes them, in order of their data intervals."""
        return list(self._list(f"/dags/{dag_id}/dagRuns", "dag_runs", order_by="logical_date"))

    def backfill_runs(self, dag_id: str) -> list[Run]:
        """Return the runs that backfills of a DAG made, in order of their data intervals."""
        found = self.list_runs(dag_id)
        return [Run(dag_id, run["dag_run_id"], run["state"]) for run in found if run["run_type"] == "backfill"]

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return the task instances of a run."""
        return list(self._list(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", "task_instances"))

    def result(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task handed on, or ``None`` if it handed on nothing."""
        path = f"{self._base}/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/xcomEntries/return_value"
        try:
            return self._request("GET", path, params={"deserialize": "true"})["value"]
        except ServerRefused as error:
            if error.status == 404:
                return None
            raise

    def xcoms(self, dag_id: str, run_id: str) -> list[Any]:
        """Return everything that the tasks of a run handed on, links included."""
        path = f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances"
        return [
            self._request("GET", f"{self._base}{path}/{task['task_id']}/xcomEntries/{entry['key']}")["value"]
            for task in self.tasks(dag_id, run_id)
            for entry in self._list(f"{path}/{task['task_id']}/xcomEntries", "xcom_entries")
        ]

    def log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """Return the log of a task as text."""
        path = f"{self._base}/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self._request("GET", path)["content"]
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else str(line) for line in content)

    def _list(self, path: str, key: str, **params: Any) -> Iterator[dict[str, Any]]:
        offset = 0
        while True:
            page = self._request("GET", self._base + path, params={**params, "limit": 100, "offset": offset})
            yield from page[key]
            offset += len(page[key])
            if not page[key] or offset >= page["total_entries"]:
                return

    def _request(self, method: str, url: str, **options: Any) -> Any:
        try:
            answer = self._session.request(method, url, timeout=60, **options)
        except requests.RequestException as error:
            raise ServerUnavailable(method, url, None, type(error).__name__) from error
        if answer.status_code >= 500:
            raise ServerUnavailable(method, url, answer.status_code, answer.text[:500])
        if answer.status_code >= 400:
            raise ServerRefused(method, url, answer.status_code, answer.text[:500])
        return answer.json() if answer.content else None
