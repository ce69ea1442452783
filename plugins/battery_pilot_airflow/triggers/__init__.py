"""Triggers that wait for a connector."""

from __future__ import annotations
