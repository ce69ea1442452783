"""Instrument file to canonical table."""

from __future__ import annotations

from battery_pilot.measurements.registry import formats, load, read, read_bytes

__all__ = ["formats", "load", "read", "read_bytes"]
