"""Airflow for unit tests: a folder of its own, set before the first import of Airflow."""

from __future__ import annotations

import json
import os
import tempfile
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="battery-pilot-airflow-"))
os.environ.update({"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "AIRFLOW__CORE__UNIT_TEST_MODE": "True"})


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Define an Airflow connection the way an installation does."""

    def define(name: str, **fields: Any) -> None:
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps({"conn_type": "http", **fields}))

    return define


@pytest.fixture(autouse=True)
def installation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """All folders of an installation, in a temporary one."""
    for name in ("LAKE", "LANDING", "MASTER"):
        monkeypatch.setenv(f"BATTERY_PILOT_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("BATTERY_PILOT_BASE_IRI", "https://example.com/dbp")
    monkeypatch.delenv("BATTERY_PILOT_HISTORY_CONNECTION", raising=False)
    return tmp_path


@pytest.fixture
def context() -> dict[str, Any]:
    """What Airflow hands to a task of the run of January."""
    return {
        "params": {"window_start": None, "window_end": None},
        "data_interval_start": datetime(2026, 1, 1, tzinfo=UTC),
        "data_interval_end": datetime(2026, 2, 1, tzinfo=UTC),
        "run_id": "scheduled__2026-01-01",
        "dag": SimpleNamespace(dag_id="provide_passports"),
    }
