"""Instrument file to canonical table."""

from __future__ import annotations

from battery_pilot.measurements.registry import formats, read, read_bytes

__all__ = ["formats", "read", "read_bytes"]
