"""Every real file, damaged in many ways: a correct result or a MeasurementError, and nothing else."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS, IMPEDANCE_COLUMNS, Measurement

FOLDER = Path(os.environ.get("BATTERY_PILOT_SHARED_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
ROUNDS = 6
LONGEST_SECOND = 20.0
LARGEST_BYTES = 1_500_000
MEMORY_FACTOR = 20
# What the first read of any file takes once: threads, codecs and time zones.
ONCE_BYTES = 12 << 20


def real_files() -> list[str]:
    """Return the names of all measurement files, without those that only take time; empty without the folder."""
    found = [path for part in ("eis", "cycling", "bms") for path in (FOLDER / part).rglob("*") if path.is_file()]
    wanted = [path for path in found if path.suffix not in (".json", ".hdf") and path.name != "PROVENANCE.txt"]
    return sorted(str(path.relative_to(FOLDER)) for path in wanted)


def truncated(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data))]


def truncated_near_the_end(data: bytes, dice: random.Random) -> bytes:
    return data[: len(data) - dice.randrange(1, min(200, len(data)))]


def with_flipped_bytes(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 3, 30))):
        changed[dice.randrange(len(data))] = dice.randrange(256)
    return bytes(changed)


def with_a_damaged_head(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(3):
        changed[dice.randrange(min(2000, len(data)))] = dice.randrange(256)
    return bytes(changed)


def without_lines(data: bytes, dice: random.Random) -> bytes:
    lines = data.split(b"\n")
    for _ in range(dice.choice((1, 5))):
        if len(lines) > 1:
            del lines[dice.randrange(len(lines))]
    return b"\n".join(lines)


def with_repeated_lines(data: bytes, dice: random.Random) -> bytes:
    lines = data.split(b"\n")
    for _ in range(dice.choice((1, 5))):
        position = dice.randrange(len(lines))
        lines.insert(position, lines[position])
    return b"\n".join(lines)


def with_mixed_decimal_signs(data: bytes, dice: random.Random) -> bytes:
    cut = dice.randrange(len(data))
    return data[:cut] + data[cut:].replace(b".", b",")


def with_a_block_lost(data: bytes, dice: random.Random) -> bytes:
    cut = dice.randrange(len(data))
    return data[:cut] + data[cut + dice.choice((1, 100, 4096)) :]


DAMAGES = (
    truncated,
    truncated_near_the_end,
    with_flipped_bytes,
    with_a_damaged_head,
    without_lines,
    with_repeated_lines,
    with_mixed_decimal_signs,
    with_a_block_lost,
)


def columns_of(measurement: Measurement) -> tuple[str, ...]:
    return IMPEDANCE_COLUMNS if measurement.kind == "impedance" else CYCLING_COLUMNS


def read_or_refuse(data: bytes, name: str) -> Measurement | None:
    start = time.process_time()
    try:
        measurement = read_bytes(data, name)
    except MeasurementError:
        measurement = None
    assert time.process_time() - start < LONGEST_SECOND
    if measurement is not None:
        for column in columns_of(measurement):
            assert np.isfinite(measurement.table[column].to_numpy()).all()
    return measurement


@pytest.mark.parametrize("name", real_files() or [""])
def test_a_damaged_file_gives_finite_numbers_or_a_measurement_error(shared_data: Path, name: str) -> None:
    data = (shared_data / name).read_bytes()
    if len(data) > LARGEST_BYTES:
        data = data[:LARGEST_BYTES]
    dice = random.Random(zlib.crc32(name.encode()))
    for damage in DAMAGES:
        for _ in range(ROUNDS):
            read_or_refuse(damage(data, dice), name)


@pytest.mark.parametrize("name", real_files() or [""])
def test_a_truncated_file_never_gives_other_numbers_without_a_warning(shared_data: Path, name: str) -> None:
    data = (shared_data / name).read_bytes()
    whole = read_or_refuse(data, name)
    if whole is None:
        return
    dice = random.Random(zlib.crc32(name.encode()))
    for damage in (truncated, truncated_near_the_end):
        part = read_or_refuse(damage(data, dice), name)
        if part is None or set(part.warnings) - set(whole.warnings):
            continue
        rows = part.table.num_rows
        names = columns_of(part)
        assert part.table.select(names).equals(whole.table.select(names).slice(0, rows))


def peak_bytes(*path: Path) -> int:
    """Return the peak of a process with all imports that has read a file, or nothing yet."""
    code = (
        "import sys, resource\n"
        "import battery_pilot.measurements.registry, pyarrow.csv, pyarrow.compute, pyarrow.parquet\n"
        "from battery_pilot.errors import MeasurementError\n"
        "from battery_pilot.measurements import read\n"
        "from pathlib import Path\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        read(Path(path))\n    except MeasurementError:\n        pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code, *path], check=True, capture_output=True, text=True)
    return int(answer.stdout)


def test_memory_stays_below_twenty_times_the_size_of_a_large_file(shared_data: Path) -> None:
    imports = peak_bytes()
    large = [shared_data / name for name in real_files() if (shared_data / name).stat().st_size > 1_000_000]
    assert len(large) > 5
    for path in large:
        assert peak_bytes(path) - imports < ONCE_BYTES + MEMORY_FACTOR * path.stat().st_size, path.name
