"""The stages of the provider and the consumer, without an orchestrator: each reads and writes the lake."""

from __future__ import annotations
