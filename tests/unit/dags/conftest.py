"""Airflow for unit tests: its own folder, no examples, set before the first import of Airflow."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="battery-pilot-airflow-"))
os.environ.update(
    {
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "True",
    }
)
