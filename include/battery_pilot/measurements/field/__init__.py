"""Readers of logs from use: battery management systems and vehicle buses."""

from __future__ import annotations
