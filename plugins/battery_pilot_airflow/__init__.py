"""Airflow's face of Battery Pilot: hooks, operators, triggers and links."""

from __future__ import annotations
