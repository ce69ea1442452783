"""Readers of cycler logs."""

from __future__ import annotations
