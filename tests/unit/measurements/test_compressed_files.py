from __future__ import annotations

import gzip
import hashlib

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes


def test_a_file_inside_gzip_is_read_and_keeps_the_digest_of_the_packed_file(samples: dict[str, str]) -> None:
    packed = gzip.compress(samples["arbin.csv"].encode())
    measurement = read_bytes(packed, "a.csv.gz")
    assert measurement.format == "arbin-csv"
    assert measurement.source_sha256 == hashlib.sha256(packed).hexdigest()


def test_members_one_after_the_other_are_joined(samples: dict[str, str]) -> None:
    first, last = samples["arbin.csv"][:300].encode(), samples["arbin.csv"][300:].encode()
    packed = gzip.compress(first) + gzip.compress(last)
    assert read_bytes(packed, "a.csv.gz").table.num_rows == 16


def test_many_members_of_any_length_are_joined(samples: dict[str, str]) -> None:
    text = samples["arbin.csv"].encode()
    notes = b"".join(gzip.compress(b"#" * length + b"\n", 0) for length in (70_000, 65_000, 3))
    packed = b"".join(gzip.compress(text[at : at + 7], 0) for at in range(0, len(text), 7))
    assert read_bytes(packed, "a.csv.gz").table.num_rows == 16
    with pytest.raises(MeasurementError, match="unknown format"):
        read_bytes(notes, "a.csv.gz")


def test_a_truncated_gzip_file_is_refused(samples: dict[str, str]) -> None:
    packed = gzip.compress(samples["arbin.csv"].encode())
    with pytest.raises(MeasurementError, match="truncated gzip file"):
        read_bytes(packed[:-9], "a.csv.gz")


def test_a_damaged_gzip_file_is_refused(samples: dict[str, str]) -> None:
    packed = bytearray(gzip.compress(samples["arbin.csv"].encode()))
    packed[-5] ^= 0xFF
    with pytest.raises(MeasurementError, match="damaged gzip file"):
        read_bytes(bytes(packed), "a.csv.gz")


def test_a_decompression_bomb_is_refused() -> None:
    with pytest.raises(MeasurementError, match="unpacks to more than 16 MiB"):
        read_bytes(gzip.compress(bytes(20 << 20)), "a.csv.gz")
