"""The laptop's stack: an embedded PostgreSQL, the sandbox servers and Airflow, started, watched and stopped."""

from __future__ import annotations
