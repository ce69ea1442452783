"""Local stand-ins for the servers around Battery Pilot, for a laptop without Docker and for fast tests."""

from __future__ import annotations
