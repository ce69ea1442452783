"""Where the project's own files are."""

from __future__ import annotations

import sys
from pathlib import Path

from battery_pilot.errors import InputError

ROOT = Path(__file__).resolve().parents[3]
"""The clone: the stack runs the DAG files, plugins and jobs that lie there."""

BIN = Path(sys.executable).parent
"""Folder with the environment's programs (``airflow``, ``spark-submit``)."""


def demand_clone() -> None:
    """Raise one sentence where the library was installed without the project around it.

    :raises InputError: if there is no DAG folder beside the library.
    """
    if not (ROOT / "dags").is_dir():
        raise InputError(f"no dags/ in {ROOT}: the stack runs from a clone of the project, installed by `make setup`")
