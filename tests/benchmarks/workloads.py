"""Files to measure with: real ones where the shared data are, and larger ones made of them."""

from __future__ import annotations

import os
import struct
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("BATTERY_PILOT_SHARED_DATA", ROOT.parent / "shared" / "data"))
PEERS = Path(__file__).resolve().parent / "peers"
WORK = ROOT / "var" / "bench"
MIXED_FILES = 2000
MPR_ROWS = 12_000


def nasa_folder() -> Path:
    """Return a folder with the discharge tables of the NASA PCoE cells."""
    folder = WORK / "nasa"
    if not folder.exists():
        half = folder.with_name("nasa.part")
        half.mkdir(parents=True, exist_ok=True)
        with tarfile.open(SHARED / "ageing" / "nasa-pcoe" / "cells.tar.xz", "r|xz") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.name.endswith(".csv") else None
                data = content.read() if content else b""
                if data.startswith(b"Voltage_measured"):
                    (half / Path(member.name).name).write_bytes(data)
        half.rename(folder)
    return folder


def mixed_folder() -> Path:
    """Return a folder with 2,000 copies of real files of many formats, each made different by its name only."""
    folder = WORK / "mixed"
    if not folder.exists():
        half = folder.with_name("mixed.part")
        half.mkdir(parents=True, exist_ok=True)
        sources = list(_mixed_sources())
        for number in range(MIXED_FILES):
            source = sources[number % len(sources)]
            (half / f"{number:04d}-{source.name}").write_bytes(source.read_bytes())
        half.rename(folder)
    return folder


def _mixed_sources() -> Iterator[Path]:
    for name in ("impedance.py", "PyEIS", "zahner", "hybrid-drt", "bdf-fixtures", "gamry-parser"):
        yield from sorted(path for path in (SHARED / "eis" / name).iterdir() if path.name != "PROVENANCE.txt")
    for name in ("beep", "battery-data-toolkit", "pyprobe"):
        yield from sorted((SHARED / "cycling" / name).glob("*.[0c]*"))
    yield from sorted(nasa_folder().iterdir())[:30]


def large_mpr() -> Path:
    """Return a cycling ``.mpr`` of 12,000 rows: the four records of a real file over and over, with time running on."""
    target = WORK / "large.mpr"
    if not target.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_repeat_records((SHARED / "eis" / "bdf-fixtures" / "GCPL-0.mpr").read_bytes(), MPR_ROWS))
    return target


def _repeat_records(data: bytes, rows: int) -> bytes:
    """Repeat the records of the data module (version 11), whose length and number of points stand in its header.

    A module begins with MODULE, a short name of 10 bytes and a long one of 25; then come 0xFFFFFFFF, the length of the
    content, a zero, the version and a date of 8 bytes. The content begins with the number of points; its records
    follow 1007 bytes later. Time is a double at byte 3 of a record.
    """
    start = data.index(b"MODULEVMP data")
    content = start + 65
    length, points = struct.unpack_from("<I", data, start + 45)[0], struct.unpack_from("<I", data, content)[0]
    records = content + 1007
    size = (content + length - records) // points
    block = np.frombuffer(data[records : records + size * points], dtype=np.uint8).reshape(points, size)
    repeated = np.tile(block, (-(-rows // points), 1))[:rows].copy()
    repeated[:, 3:11] = np.arange(rows, dtype="<f8").view(np.uint8).reshape(rows, 8)
    header = bytearray(data[:records])
    struct.pack_into("<I", header, start + 45, length + size * (rows - points))
    struct.pack_into("<I", header, content, rows)
    return bytes(header) + repeated.tobytes() + data[content + length :]


def arbin_workbook(python: Path) -> Path:
    """Return an Arbin workbook of about 17,000 rows, written by openpyxl from the rows of a real export.

    :param python: interpreter of an environment with openpyxl.
    """
    target = WORK / "arbin.xlsx"
    if not target.exists():
        WORK.mkdir(parents=True, exist_ok=True)
        source = SHARED / "cycling" / "battery-data-toolkit" / "arbin_example.csv"
        subprocess.run([python, PEERS / "write_workbook.py", source, target], check=True)
    return target
