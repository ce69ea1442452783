"""Builds small BioLogic binary files in the layout of real ones."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pytest

STARTED = datetime(2026, 3, 31, 16, 0, 0, 500_000)  # noqa: DTZ001


def settings_module(technique: int = 4, comment: str = "", area: float = 2.5, capacity_mah: float = 1300.0) -> bytes:
    content = bytearray(1800)
    content[0:5] = bytes([technique, 0, 8, 0x4B, 3])
    content[7 : 8 + len(comment)] = bytes([len(comment)]) + comment.encode("latin-1")
    struct.pack_into("<f", content, 529, area)
    content[592] = 2
    struct.pack_into("<f", content, 604, capacity_mah)
    return bytes(content)


def log_module(
    started: datetime = STARTED,
    channel: int = 2,
    device: int = 16,
    software: str = "11.50",
    days: float | None = None,
) -> bytes:
    content = bytearray(1200)
    content[9] = channel
    elapsed = started - datetime(1899, 12, 30)  # noqa: DTZ001
    struct.pack_into("<d", content, 585, elapsed.total_seconds() / 86400 if days is None else days)
    content[951 : 952 + len(software)] = bytes([len(software)]) + software.encode()
    content[974] = device
    return bytes(content)


@dataclass
class MprFile:
    """A binary file; ``columns`` are number, type (``flag`` for a bit of the common byte) and values of each column."""

    columns: list[tuple[int, str, list[float]]]
    version: int = 11
    settings: bytes = field(default_factory=settings_module)
    log: bytes | None = field(default_factory=log_module)
    date: str = "03/31/26"
    points: int | None = None

    def records(self) -> bytes:
        """The rows, packed."""
        fields: list[tuple[str, str]] = []
        values: dict[str, np.ndarray] = {}
        for number, kind, column in self.columns:
            name = "flags" if kind == "flag" else str(number)
            if name not in values:
                fields.append((name, "u1" if kind == "flag" else kind))
                values[name] = np.zeros(len(column), "u1" if kind == "flag" else kind)
            values[name] += np.asarray(column, values[name].dtype)
        rows = np.zeros(len(self.columns[0][2]), dtype=fields)
        for name, column in values.items():
            rows[name] = column
        return rows.tobytes()

    def data_module(self) -> bytes:
        """Number of points, column numbers and, at the place that goes with the version, the records."""
        count_type, first = {2: ("<IB", 405), 3: ("<IB", 406), 10: ("<IH", 1007)}.get(self.version, ("<IH", 1007))
        points = len(self.columns[0][2]) if self.points is None else self.points
        head = struct.pack(count_type, points, len(self.columns))
        head += b"".join(struct.pack("<H", number) for number, _, _ in self.columns)
        return head.ljust(first, b"\0") + self.records()

    def module(self, short: str, long: str, content: bytes, version: int) -> bytes:
        """A module with the header that goes with the version of the data module."""
        names = b"MODULE" + short.encode().ljust(10) + long.encode().ljust(25)
        if self.version >= 10:
            size = b"\xff\xff\xff\xff" + struct.pack("<QI", len(content), version)
        else:
            size = struct.pack("<II", len(content), version)
        return names + size + self.date.encode() + content

    def build(self) -> bytes:
        """The whole file."""
        start = b"BIO-LOGIC MODULAR FILE\x1a".ljust(48) + bytes(4)
        parts = [self.module("VMP Set", "VMP settings", self.settings, 10)]
        parts.append(self.module("VMP data", "VMP data", self.data_module(), self.version))
        if self.log is not None:
            parts.append(self.module("VMP LOG", "VMP LOG", self.log, 10))
        return start + b"".join(parts)


@pytest.fixture
def mpr_file() -> type[MprFile]:
    """Builder of binary files."""
    return MprFile


@pytest.fixture
def mpr_settings() -> object:
    """Builder of the content of a settings module."""
    return settings_module


@pytest.fixture
def mpr_log() -> object:
    """Builder of the content of a log module."""
    return log_module


@pytest.fixture
def mpr_cycling(cycler_log: list[tuple[float, float, float]]) -> MprFile:
    """A log of 16 rows in two steps, charge and discharge, with all flags in one byte."""
    rows = range(len(cycler_log))
    return MprFile(
        [
            (1, "flag", [1 for _ in rows]),
            (2, "flag", [4 if row < 8 else 0 for row in rows]),
            (3, "flag", [0 for _ in rows]),
            (21, "flag", [16 for _ in rows]),
            (31, "flag", [32 if row == 8 else 0 for row in rows]),
            (65, "flag", [128 if row == 8 else 0 for row in rows]),
            (131, "<u2", [0 if row < 8 else 1 for row in rows]),
            (4, "<f8", [time for time, _, _ in cycler_log]),
            (6, "<f4", [voltage for _, voltage, _ in cycler_log]),
            (8, "<f4", [1000 * current for _, _, current in cycler_log]),
            (467, "<f8", [5.0 if row < 8 else -3.0 for row in rows]),
            (468, "<u4", [2 if row < 8 else 3 for row in rows]),
        ]
    )


@pytest.fixture
def mpr_impedance(spectrum: list[tuple[float, complex]]) -> MprFile:
    """Two spectra of 16 points."""
    points = [(cycle, frequency, z) for cycle in (1.0, 2.0) for frequency, z in spectrum]
    return MprFile(
        [
            (32, "<f4", [frequency for _, frequency, _ in points]),
            (37, "<f4", [z.real for _, _, z in points]),
            (38, "<f4", [-z.imag for _, _, z in points]),
            (4, "<f8", [float(row) for row in range(len(points))]),
            (77, "<f4", [3.5] * len(points)),
            (24, "<f8", [cycle for cycle, _, _ in points]),
        ],
        settings=settings_module(technique=29),
    )
