"""Readers of impedance spectra."""

from __future__ import annotations
