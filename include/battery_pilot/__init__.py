"""Battery Pilot: from an instrument's file to a shared, living Digital Battery Passport."""

from __future__ import annotations

__version__ = "0.1.0"
