"""What all tests share."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real instrument files and published schemas, or a skip that says what is missing."""
    folder = Path(os.environ.get("BATTERY_PILOT_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found: {folder} (set BATTERY_PILOT_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def project() -> Path:
    """The top folder of the project."""
    return ROOT


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    """Take away the handlers that a test's command set up: they write to a stream that ends with the test."""
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
