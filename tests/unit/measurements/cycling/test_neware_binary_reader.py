from __future__ import annotations

import struct
from datetime import UTC, datetime

import pytest

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read_bytes

# Step, status, time in the step in ms, current in mA.
RECORDS = [
    (1, 4, 0, 0),
    (1, 4, 10_000, 0),
    (2, 1, 0, 500),
    (2, 1, 20_000, 500),
    (3, 2, 0, -500),
    (3, 2, 30_500, -500),
]
TEST_TIME = [0.0, 10.0, 10.0, 30.0, 30.0, 60.5]
CURRENT = [0.0, 0.0, 0.5, 0.5, -0.5, -0.5]


def nda(records: list[tuple[int, int, int, int]] = RECORDS, version: int = 29) -> bytes:
    """Return a file of version 29: a header, then records of 86 bytes."""
    rows = [
        struct.pack(
            "<2sIIHBxQii8xqqqqHBBBBBxi4x",
            b"\x55\0",
            index,
            0,
            step,
            status,
            time,
            36_000,
            1000 * current,
            0,
            0,
            0,
            0,
            2026,
            3,
            31,
            16,
            0,
            index,
            10,
        )
        for index, (step, status, time, current) in enumerate(records, start=1)
    ]
    return (b"NEWARE20180910" + bytes([version]) + b"BTSServer(R3)-7.6.0").ljust(200, b"\0") + b"".join(rows)


def old_nda(version: int) -> bytes:
    """Return a file of version 8 or 22: a header, a record without data, and the records."""
    start = int(datetime(2016, 3, 31, 16, tzinfo=UTC).timestamp())
    if version == 8:
        rows = [b"\xff" + struct.pack("<I", 1).ljust(58, b"\0")] + [
            struct.pack(
                "<BIIBBIii8xqqQ4x",
                0,
                index,
                1,
                step,
                status,
                time // 1000,
                36_000,
                1000 * current,
                900_000,
                0,
                start + index,
            )
            for index, (step, status, time, current) in enumerate(RECORDS, start=1)
        ]
    else:
        rows = [b"\xaa\0" + struct.pack("<I", 1).ljust(84, b"\0")] + [
            struct.pack(
                "<BxIIHBBQii8xqqqqQi4x",
                0x55,
                index,
                0,
                step,
                status,
                step,
                time,
                36_000,
                1000 * current,
                900_000,
                1_800_000,
                0,
                0,
                start + index,
                10,
            )
            for index, (step, status, time, current) in enumerate(RECORDS, start=1)
        ]
    return (b"NEWARE20150916" + bytes([version])).ljust(300, b"\x11") + b"".join(rows)


def test_nda_records_are_read_with_the_time_of_the_test() -> None:
    measurement = read_bytes(nda(), "a.bin")
    assert measurement.format == "neware-binary"
    assert measurement.table["test_time_second"].to_pylist() == pytest.approx(TEST_TIME)
    assert measurement.table["current_ampere"].to_pylist() == pytest.approx(CURRENT)
    assert measurement.table["measured_at"][1].as_py() == datetime(2026, 3, 31, 16, 0, 2, tzinfo=UTC)
    assert measurement.metadata.known() == {
        "instrument_software": "BTSServer(R3)-7.6.0",
        "started_at": "2026-03-31T16:00:01+00:00",
        "time_zone": "assumed UTC",
    }


@pytest.mark.parametrize(("version", "last_second"), [(8, 60.0), (22, 60.5)])
def test_old_versions_are_read_with_times_in_utc(version: int, last_second: float) -> None:
    measurement = read_bytes(old_nda(version), "a.bin")
    table = measurement.table
    assert table["test_time_second"].to_pylist() == pytest.approx([*TEST_TIME[:-1], last_second])
    assert table["current_ampere"].to_pylist() == pytest.approx(CURRENT)
    assert table["voltage_volt"].to_pylist() == pytest.approx([3.6] * 6)
    assert table["charging_capacity_ah"][2].as_py() == pytest.approx(0.00025)
    assert table["step_count"].to_pylist() == [1, 1, 2, 2, 3, 3]
    assert measurement.metadata.known() == {"started_at": "2016-03-31T16:00:01+00:00"}


def test_the_unit_of_the_current_must_be_known() -> None:
    with pytest.raises(MeasurementError, match="unknown range 11 of the current"):
        read_bytes(old_nda(22).replace(b"\x0a\0\0\0\0\0\0\0", b"\x0b\0\0\0\0\0\0\0"), "a.nda")


def test_version_26_has_the_records_of_version_29() -> None:
    assert read_bytes(nda(version=26), "a.nda").table["current_ampere"].to_pylist() == pytest.approx(CURRENT)


@pytest.mark.parametrize("version", [7, 23, 131])
def test_versions_that_are_not_known_are_named(version: int) -> None:
    with pytest.raises(MeasurementError, match=f"nda version {version}; 8, 22, 26, 29, 130 can be read"):
        read_bytes(nda(version=version), "a.nda")


def bts9(*, is_91: bool, end: bytes = b"\x81") -> bytes:
    """Return a file of version 130, as BTS 9.0 or 9.1 writes it: the discharge is counted with a negative sign."""
    start = int(datetime(2026, 3, 31, 16, tzinfo=UTC).timestamp())
    rows = []
    for (index, (step, status, time, current)), test_time in zip(enumerate(RECORDS, start=1), TEST_TIME, strict=True):
        charge = -900.0 if current < 0 else 1800.0
        if is_91:
            seconds, nanoseconds = divmod(round(test_time * 1e9), 10**9)
            head = struct.pack("<BBBB4xIII", 0x55, 6, step, status, index, seconds, nanoseconds)
            body = struct.pack("<ffffI4xIIf", current, 3.6, charge, 2 * charge, 0, start + index, 500_000_000, 25.0)
            rows.append(head + body)
        else:
            head = struct.pack("<6s3xBB5xI8xQ", b"\x12\x50\0\x07\x55\x81", step, status, index, 1000 * time)
            counters = (max(charge, 0), max(2 * charge, 0), min(charge, 0), min(2 * charge, 0))
            rows.append(
                head + struct.pack("<ff8xffffQ12x", 3.6, current, *counters, (start + index) * 10**6 + 500_000)
            )
    header = bytearray((b"NEWARE20240403" + bytes([130])).ljust(1024, b"\0"))
    data = b"".join(rows) + end.ljust(len(rows[0]), b"\0")
    header[130:138] = (len(header) + len(data)).to_bytes(8, "little")
    return bytes(header) + data


@pytest.mark.parametrize("is_91", [False, True])
def test_version_130_is_read_with_both_directions(is_91: bool) -> None:
    measurement = read_bytes(bts9(is_91=is_91), "a.nda")
    table = measurement.table
    assert not any("record" in warning or "bytes" in warning for warning in measurement.warnings)
    assert table["test_time_second"].to_pylist() == pytest.approx(TEST_TIME)
    assert table["current_ampere"].to_pylist() == pytest.approx(CURRENT)
    assert table["step_count"].to_pylist() == [1, 1, 2, 2, 3, 3]
    assert table["charging_capacity_ah"].to_pylist() == pytest.approx([0.0005] * 4 + [0.0] * 2)
    assert table["discharging_energy_wh"].to_pylist() == pytest.approx([0.0] * 4 + [0.0005] * 2)
    assert table["measured_at"][0].as_py() == datetime(2026, 3, 31, 16, 0, 1, 500_000, tzinfo=UTC)
    assert ("temperature_t1_celsius" in table.column_names) == is_91


def test_records_without_an_end_mark_are_warned_about() -> None:
    measurement = read_bytes(bts9(is_91=True, end=b""), "a.nda")
    assert any("no end mark" in warning for warning in measurement.warnings)


@pytest.mark.parametrize("is_91", [False, True])
def test_a_file_that_is_shorter_than_its_header_states_is_warned_about(is_91: bool) -> None:
    whole = bts9(is_91=is_91)
    measurement = read_bytes(whole[: 1024 + 3 * (len(whole) - 1024) // 7], "a.nda")
    assert measurement.table.num_rows == 3
    assert f"states {len(whole)}; later records are missing" in str(measurement.half_written)


def test_a_file_that_ends_inside_a_record_is_warned_about() -> None:
    measurement = read_bytes(nda()[:-10], "a.nda")
    assert measurement.table.num_rows == len(RECORDS) - 1
    assert any("no whole record" in warning for warning in measurement.warnings)


def test_a_record_that_is_damaged_is_counted() -> None:
    data = bytearray(nda())
    data[200 + 2 * 86] ^= 0x0F
    measurement = read_bytes(bytes(data), "a.nda")
    assert any(
        warning.startswith("1 records are missing, the first after record 2") for warning in measurement.warnings
    )
    assert any(warning.startswith("1 records of an unknown kind") for warning in measurement.warnings)


def test_a_record_that_comes_twice_is_read_once_and_counted() -> None:
    whole = nda()
    measurement = read_bytes(whole + whole[-86:], "a.nda")
    assert measurement.table.num_rows == len(RECORDS)
    assert any(warning.startswith("1 records with the number of an earlier one") for warning in measurement.warnings)


def test_a_date_that_is_none_is_left_out() -> None:
    measurement = read_bytes(
        nda().replace(struct.pack("<HBB", 2026, 3, 31), struct.pack("<HBB", 2026, 2, 31), 1), "a.nda"
    )
    assert measurement.table["measured_at"].null_count == 1
    assert any(warning.startswith("1 times of records cannot be read") for warning in measurement.warnings)


def test_a_file_without_records_is_refused_at_once() -> None:
    records_without_status = [(step, 0, time, current) for step, _, time, current in RECORDS * 2]
    with pytest.raises(MeasurementError):
        read_bytes(nda(records_without_status) + bytes(200), "a.nda")
    with pytest.raises(MeasurementError, match="no records"):
        read_bytes(nda([]), "a.nda")
