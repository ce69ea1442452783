"""The demo: a simulated fleet goes the whole way once, through real Airflow and real Spark."""

from __future__ import annotations

import shutil
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.errors import InputError, TerminalError
from battery_pilot.lake import Lake, read_lines, write_json
from battery_pilot.simulate import simulate_fleet
from battery_pilot.stack.outcome import count_servers, export_passports, report_frames
from battery_pilot.stack.runtime import Folders, Stack, down, stack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from battery_pilot.stack.airflow_api import AirflowApi, Run

END = date(2026, 1, 1)
"""The simulated months end here: always in the past, because Airflow runs only intervals that have ended."""

PATIENCE_SECOND = 3600.0
MARKER = ".battery-pilot-demo"
SCHEDULES = {
    "BATTERY_PILOT_PROVIDER_SCHEDULE": "0 0 1 * *",
    "BATTERY_PILOT_CONSUMER_SCHEDULE": "never",
    "BATTERY_PILOT_TRAINING_SCHEDULE": "never",
}


@dataclass(frozen=True)
class Fleet:
    """Size of the simulated fleet."""

    batteries: int
    months: int
    seed: int

    @property
    def start(self) -> date:
        """First day of the first month."""
        months = END.year * 12 + END.month - 1 - self.months
        return date(months // 12, months % 12 + 1, 1)


@dataclass
class Progress:
    """Tells on the terminal what happens, and keeps the time of each stage."""

    begin: float = field(default_factory=time.monotonic)
    stages: dict[str, float] = field(default_factory=dict)
    last: str = ""

    @contextmanager
    def stage(self, name: str, text: str) -> Iterator[None]:
        """Time a stage of the demo."""
        self.say(text)
        begin = time.monotonic()
        self.stages[name] = 0.0  # keeps its place before the tasks inside it
        try:
            yield
        finally:
            self.stages[name] = round(time.monotonic() - begin, 2)

    def say(self, text: str) -> None:
        """Print a line once, with the time since the start."""
        if text and text != self.last:
            self.last = text
            print(f"[{time.monotonic() - self.begin:5.0f} s] {text}", flush=True)

    def add_tasks(self, stage: str, tasks: list[dict[str, Any]]) -> None:
        """Add the durations of a run's tasks, each below the stage that it is part of."""
        for task in tasks:
            name = f"{stage}.{task['task_id']}"
            self.stages[name] = round(self.stages.get(name, 0.0) + (task["duration"] or 0.0), 2)


def demo(root: Path, fleet: Fleet) -> int:
    """Run the demo and leave its results below a folder.

    :param root: gets ``passports/``, ``report.html``, ``summary.json`` and everything that was needed for them.
    :return: exit code.
    """
    folders = Folders(root)
    progress = Progress()
    _clear(folders)
    with progress.stage("simulate", f"simulating {fleet.batteries} batteries over {fleet.months} months"):
        simulate_fleet(root, batteries=fleet.batteries, months=fleet.months, seed=fleet.seed, start=fleet.start)
    begin = time.monotonic()
    progress.say("starting PostgreSQL, the sandbox servers and Airflow")
    with stack(folders, schedules=SCHEDULES) as running:
        progress.stages["start"] = round(time.monotonic() - begin, 2)
        summary = _run(running, fleet, progress)
        begin = time.monotonic()
        progress.say("stopping what was started")
    progress.stages["stop"] = round(time.monotonic() - begin, 2)
    summary["stages"] = progress.stages
    summary["wall_seconds"] = round(time.monotonic() - progress.begin, 2)
    write_json(root / "summary.json", summary)
    frames = report_frames(folders)
    from battery_pilot.report import write_report

    title = f"Battery Pilot demo: {fleet.batteries} batteries, {fleet.months} months"
    write_report(root / "report.html", title=title, summary=summary, **frames)
    _print(root, summary)
    return 0


def _clear(folders: Folders) -> None:
    """Stop and remove what an earlier demo left; a folder with anything else in it is not ours to empty.

    :raises InputError: if the folder holds something that no demo made.
    """
    marker = folders.root / MARKER
    if folders.root.exists() and any(folders.root.iterdir()) and not marker.exists():
        raise InputError(
            f"{folders.root} is not empty and was not made by a demo: choose another folder with --folder"
        )
    down(folders)
    shutil.rmtree(folders.root, ignore_errors=True)
    folders.root.mkdir(parents=True)
    marker.touch()


def _run(running: Stack, fleet: Fleet, progress: Progress) -> dict[str, Any]:
    api = running.api()
    summary: dict[str, Any] = {}
    with progress.stage("provide", f"provider DAG: backfill of {fleet.months} months"):
        summary.update(_provide(api, running.folders, fleet, progress))
    with progress.stage("train", "training DAG: Spark learns from the recorded states"):
        train = _run_dag(api, "train_health_model", "train", progress)
        learned = api.result("train_health_model", train.run_id, "train")
        progress.say(f"model {learned['version']}: error on held-out batteries {learned['mae']:.3f} percent points")
    with progress.stage("consume", "consumer DAG: negotiate, pull, verify, update, sync, score, write back"):
        summary.update(_consume(api, progress))
    with progress.stage("export", "exporting passports"):
        summary.update(count_servers(running.urls))
        export_passports(running.folders)
    return summary


def _provide(api: AirflowApi, folders: Folders, fleet: Fleet, progress: Progress) -> dict[str, Any]:
    dag = "provide_passports"
    api.wait_for_dag(dag)
    api.unpause(dag)
    first = datetime(fleet.start.year, fleet.start.month, 1, tzinfo=UTC)
    last = datetime(END.year - (END.month == 1), (END.month - 2) % 12 + 1, 1, tzinfo=UTC)

    def show(runs: list[Run]) -> None:
        done = sum(run.state == "success" for run in runs)
        active = next((run for run in runs if run.state == "running"), None)
        tasks = (
            [task["task_id"] for task in api.tasks(dag, active.run_id) if task["state"] == "running"]
            if active
            else []
        )
        progress.say(f"  {done} of {len(runs)} months done{': ' + ', '.join(tasks) if tasks else ''}")

    api.backfill(dag, first, last)
    runs = api.wait_for_backfill(dag, fleet.months, patience_second=PATIENCE_SECOND, progress=show)
    totals: dict[str, Any] = defaultdict(int)
    for run in runs:
        _demand_success(api, run)
        progress.add_tasks("provide", api.tasks(dag, run.run_id))
        built = api.result(dag, run.run_id, "build") or {}
        totals["files_read"] += built.get("files_read", 0)
        totals["batteries"] = max(totals["batteries"], built.get("batteries", 0))
        recorded = api.result(dag, run.run_id, "record") or {}
        totals["history_versions"] = max(totals["history_versions"], recorded.get("history_versions", 0))
    return {**totals, "files_rejected": rejects(Lake(folders.lake / "provider"), folders.landing)}


def rejects(lake: Lake, landing: Path) -> list[dict[str, str]]:
    """Return the quarantine list of all windows, with paths relative to the landing folder."""
    found = []
    for path in sorted((lake.root / "quarantine").glob("*.jsonl")):
        for line in read_lines(path):
            file = Path(line["file"])
            name = file.relative_to(landing) if file.is_relative_to(landing) else file
            found.append({"file": str(name), "reason": line["reason"]})
    return found


def _consume(api: AirflowApi, progress: Progress) -> dict[str, Any]:
    dag = "consume_passports"
    run = _run_dag(api, dag, "consume", progress)
    results = {task: api.result(dag, run.run_id, task) or {} for task in ("negotiate", "update", "sync", "score")}
    score = results["score"]
    return {
        "agreements": results["negotiate"].get("agreements", 0),
        "twins_updated": results["update"].get("updated", 0),
        "entities_synced": results["sync"].get("entities", 0),
        "predictions": {
            "count": score.get("predictions", 0),
            "mae": score.get("mae"),
            "baseline_mae": score.get("baseline_mae"),
            "back_tests": score.get("count"),
        },
    }


def _run_dag(api: AirflowApi, dag: str, stage: str, progress: Progress) -> Run:
    api.wait_for_dag(dag)
    api.unpause(dag)
    run_id = api.trigger(dag)
    run = api.wait_for_run(
        dag,
        run_id,
        patience_second=PATIENCE_SECOND,
        progress=lambda tasks: progress.say(f"  {tasks}" if tasks else ""),
    )
    _demand_success(api, run)
    progress.add_tasks(stage, api.tasks(dag, run_id))
    return run


def _demand_success(api: AirflowApi, run: Run) -> None:
    """Raise with the end of the failed task's log if a run failed."""
    if run.state == "success":
        return
    failed = [task for task in api.tasks(run.dag_id, run.run_id) if task["state"] == "failed"]
    for task in failed:
        print(api.log(run.dag_id, run.run_id, task["task_id"], task["try_number"])[-4000:], file=sys.stderr)
    names = ", ".join(task["task_id"] for task in failed)
    raise TerminalError(f"run {run.run_id} of {run.dag_id} failed in {names}: its log is above")


def _print(root: Path, summary: dict[str, Any]) -> None:
    predictions = summary["predictions"]
    lines = {
        "files read": summary["files_read"],
        "files rejected": len(summary["files_rejected"]),
        **{f"  {one['file']}": one["reason"] for one in summary["files_rejected"]},
        "batteries": summary["batteries"],
        "passports pushed": summary["passports_pushed"],
        "offers published": summary["offers_published"],
        "contracts agreed": summary["agreements"],
        "twins updated": summary["twins_updated"],
        "entities in the broker": summary["entities_synced"],
        "history versions": summary["history_versions"],
        "predictions": f"{predictions['count']}, mean error {_number(predictions['mae'])} percent points of state of health "
        f"(last known value: {_number(predictions['baseline_mae'])})",
        **{f"stage {name}": f"{second:.1f} s" for name, second in summary["stages"].items()},
        "wall time": f"{summary['wall_seconds']:.0f} s",
    }
    print()
    for name, value in lines.items():
        print(f"{name:<34} {value}")
    print(f"\npassports  {root / 'passports'}\nreport     {root / 'report.html'}\nsummary    {root / 'summary.json'}")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
