"""Airflow on a laptop: ``airflow standalone`` on the embedded PostgreSQL, with all its files in one folder."""

from __future__ import annotations

import json
import os
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import requests

from battery_pilot.errors import TerminalError
from battery_pilot.stack import processes
from battery_pilot.stack.ports import HOST, free_ports
from battery_pilot.stack.project import BIN, ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

USER = "admin"


@dataclass(frozen=True)
class Secrets:
    """Random secrets of one stack folder, kept for its life in a file that only its owner reads."""

    password: str
    jwt: str
    session: str
    fernet: str


def secrets_of(folder: Path) -> Secrets:
    """Return the folder's secrets, made at the first call."""
    path = folder / "secrets.json"
    if not path.exists():
        from cryptography.fernet import Fernet

        folder.mkdir(parents=True, exist_ok=True)
        made = Secrets(
            secrets.token_urlsafe(12), secrets.token_hex(40), secrets.token_hex(40), Fernet.generate_key().decode()
        )
        _write_private(path, made.__dict__)
    return Secrets(**json.loads(path.read_text(encoding="utf-8")))


def _write_private(path: Path, content: Mapping[str, str]) -> None:
    """Write a file that nobody but its owner can read at any moment."""
    path.unlink(missing_ok=True)
    path.touch(mode=0o600, exist_ok=False)
    path.write_text(json.dumps(dict(content)), encoding="utf-8")


def environment(folder: Path, *, port: int, database: str, extra: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of Airflow's processes.

    :param folder: ``AIRFLOW_HOME``.
    :param port: port of the web UI and API.
    :param database: SQLAlchemy address of the metadata database.
    :param extra: the project's own variables and connections.
    """
    keep = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "JAVA_HOME", "USER", "LOGNAME", "SSL_CERT_FILE", "TZ")
    hidden = secrets_of(folder)
    log_port, trigger_port = free_ports(2)
    address = f"http://{HOST}:{port}"
    settings = {
        "CORE__DAGS_FOLDER": ROOT / "dags",
        "CORE__PLUGINS_FOLDER": ROOT / "plugins",
        "CORE__LOAD_EXAMPLES": False,
        "CORE__PARALLELISM": 4,
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
        "CORE__FERNET_KEY": hidden.fernet,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": folder / "passwords.json",
        "API__HOST": HOST,
        "API__PORT": port,
        "API__BASE_URL": address,
        "API__WORKERS": 1,
        "API__SECRET_KEY": hidden.session,
        "API_AUTH__JWT_SECRET": hidden.jwt,
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 60,
        "LOGGING__WORKER_LOG_SERVER_PORT": log_port,
        "LOGGING__TRIGGER_LOG_SERVER_PORT": trigger_port,
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
        "SCHEDULER__ENABLE_HEALTH_CHECK": False,
        "USAGE_DATA_COLLECTION__ENABLED": False,
    }
    return {
        **{name: os.environ[name] for name in keep if name in os.environ},
        "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "AIRFLOW_HOME": str(folder),
        **{f"AIRFLOW__{name}": str(value) for name, value in settings.items()},
        **extra,
    }


def start(folder: Path, variables: Mapping[str, str]) -> int:
    """Start Airflow and return its process id.

    :param folder: ``AIRFLOW_HOME``; gets ``airflow.log``.
    :param variables: result of :func:`environment`.
    """
    _write_private(folder / "passwords.json", {USER: secrets_of(folder).password})
    return processes.start(
        [str(BIN / "airflow"), "standalone"], environment=variables, log_file=folder / "airflow.log", folder=ROOT
    )


def wait_healthy(address: str, process_id: int, log_file: Path, *, patience_second: float = 180) -> None:
    """Wait until the scheduler, the triggerer and the DAG processor report a heartbeat.

    :raises TerminalError: if Airflow ends or takes too long; the message names its log.
    """
    deadline = time.monotonic() + patience_second
    while time.monotonic() < deadline:
        if not processes.alive(process_id):
            raise TerminalError(f"Airflow stopped while it started: read {log_file}")
        try:
            health = requests.get(f"{address}/api/v2/monitor/health", timeout=5).json()
        except (requests.RequestException, ValueError):
            health = {}
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        if all((health.get(part) or {}).get("status") == "healthy" for part in parts):
            return
        time.sleep(0.3)
    raise TerminalError(f"Airflow was not healthy after {patience_second:.0f} s: read {log_file}")
