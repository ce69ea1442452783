"""Operators of the provider, the consumer and the training DAG."""

from __future__ import annotations
