"""The commands of ``battery-pilot``, by what they work on."""

from __future__ import annotations
