"""Readers of BioLogic files, which hold impedance or cycling."""

from __future__ import annotations
