from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile
import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read, read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

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
START = int(datetime(2026, 3, 31, 16, tzinfo=UTC).timestamp())
INFO = (
    '<?xml version="1.0" encoding="GB2312"?><root><config><TestInfo DevID="2" UnitID="1" ChlID="7" Barcode="CELL-18">{}'
    "</TestInfo></config></root>"
)
RUN_BYTES = {11: 47, 14: 55, 16: 100, 17: 100}
STEP_BYTES = {11: 37, 14: 37, 16: 100, 17: 100}


def table(kind: int, version: int, rows: list[bytes], first: int = 0) -> bytes:
    """Return a table: a page for the header and one with records, their bits and a check sum."""
    size, begin = (512, 5) if version == 2 else (4096, 132)
    bits = sum(1 << (first + place) for place in range(len(rows)))
    head = struct.pack("<BBH", kind + 1, 0, len(rows)) + bits.to_bytes(begin - 4, "little")
    page = (head + bytes(first * len(rows[0]) if rows else 0) + b"".join(rows)).ljust(size - 4, b"\0")
    return bytes([kind, 0, version]).ljust(size, b"\0") + page + struct.pack("<I", zlib.crc32(page))


def run_record(index: int, step: int, time: int, interval: int, unit: float, size: int, charge: float = 0.0) -> bytes:
    counters = (0.25 * unit + charge * unit, 0.5 * unit, 0.0, 0.0)
    return struct.pack("<ixffff8xiiiih", time, *counters, interval, START + index, step, index, 250).ljust(
        size, b"\0"
    )


def ndax(version: int = 14, **members: bytes) -> bytes:
    """Return an archive; versions 11 and 16 hold 0.1 mV, mA and mA s, the others V, A and Ah."""
    is_small = version in (11, 16)
    volt, ampere, ampere_hour = (36_000.0, 1.0, 3.6e6) if is_small else (3.6, 1e-3, 1.0)
    pairs = [struct.pack("<ff", volt, current * ampere) for *_, current in RECORDS]
    run = [
        run_record(index, step, time, 10_000, ampere_hour, RUN_BYTES[version])
        for index, (step, _, time, _) in enumerate(RECORDS, start=1)
    ]
    steps = [
        struct.pack("<ii16xb8xi", 0, 10 + number, status, number)[: STEP_BYTES[version]].ljust(
            STEP_BYTES[version], b"\0"
        )
        for number, status in ((1, 4), (2, 1), (3, 2))
    ]
    return archive(
        {
            "data.ndc": table(1, version, pairs),
            "data_runInfo.ndc": table(18, version, run),
            "data_step.ndc": table(7, version, steps),
            "TestInfo.xml": INFO.format("").encode(),
            **members,
        }
    )


def whole_ndax(version: int) -> bytes:
    """Return an archive of version 2 or 5, which hold all of a record in one place."""
    gap = 7 if version == 2 else 0
    size = 94 if version == 2 else 87
    rows = [
        (
            b"\x55"
            + bytes(gap)
            + struct.pack(
                "<IIBB5xQii4xqqqqHBBBBBi",
                *(index, 0, step, status, time, 36_000, 1000 * current, 900_000, 0, 0, 0),
                *(2026, 3, 31, 16, 0, index, 10),
            )
        ).ljust(size, b"\0")
        for index, (step, status, time, current) in enumerate(RECORDS, start=1)
    ]
    if version == 2:
        first, second = table(1, 2, rows[:5]), table(1, 2, rows[5:])
        return archive({"data.ndc": first + second[512:]})
    return archive({"data.ndc": table(1, version, rows)})


def archive(content: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in content.items():
            packed.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize("version", [11, 14, 16, 17])
def test_records_are_read_with_steps_times_and_facts(version: int) -> None:
    measurement = read_bytes(ndax(version), "a.bin")
    table = measurement.table
    assert measurement.warnings == ()
    assert table["test_time_second"].to_pylist() == pytest.approx(TEST_TIME)
    assert table["voltage_volt"].to_pylist() == pytest.approx([3.6] * 6)
    assert table["current_ampere"].to_pylist() == pytest.approx(CURRENT)
    assert table["step_count"].to_pylist() == [1, 1, 2, 2, 3, 3]
    assert table["step_index"].to_pylist() == [11, 11, 12, 12, 13, 13]
    assert table["charging_capacity_ah"][0].as_py() == pytest.approx(0.25)
    assert table["measured_at"][0].as_py() == datetime(2026, 3, 31, 16, 0, 1, 250_000, tzinfo=UTC)
    assert measurement.metadata.known() == {
        "cell_id": "CELL-18",
        "channel": "2-1-7",
        "started_at": "2026-03-31T16:00:01.250000+00:00",
    }


@pytest.mark.parametrize("version", [2, 5])
def test_archives_with_whole_records_are_read(version: int) -> None:
    measurement = read_bytes(whole_ndax(version), "a.ndax")
    table = measurement.table
    assert table["test_time_second"].to_pylist() == pytest.approx(TEST_TIME)
    assert table["current_ampere"].to_pylist() == pytest.approx(CURRENT)
    assert table["charging_capacity_ah"][0].as_py() == pytest.approx(0.00025)
    assert table["measured_at"][5].as_py() == datetime(2026, 3, 31, 16, 0, 6, tzinfo=UTC)
    assert measurement.metadata.time_zone == "assumed UTC"


def test_records_between_those_with_a_time_follow_at_the_interval_and_count_on() -> None:
    pairs = [struct.pack("<ff", 3.6, 1.8)] * 5
    run = [run_record(1, 1, 0, 10_000, 1.0, 55), run_record(5, 1, 35_000, 5_000, 1.0, 55, charge=0.0175)]
    measurement = read_bytes(ndax(**{"data.ndc": table(1, 14, pairs), "data_runInfo.ndc": table(18, 14, run)}), "a")
    table_ = measurement.table
    assert table_["test_time_second"].to_pylist() == [0.0, 10.0, 20.0, 30.0, 35.0]
    assert table_["charging_capacity_ah"].to_pylist() == pytest.approx([0.25, 0.255, 0.26, 0.265, 0.2675])
    assert table_["charging_energy_wh"].to_pylist()[:4] == pytest.approx([0.0, 0.018, 0.036, 0.054])
    assert measurement.warnings[0].startswith("3 of 5 records hold voltage and current only")
    assert not any("do not follow" in warning for warning in measurement.warnings)


def test_a_time_that_does_not_follow_from_the_intervals_is_told() -> None:
    pairs = [struct.pack("<ff", 3.6, 1.8)] * 5
    run = [run_record(1, 1, 0, 10_000, 1.0, 55), run_record(5, 1, 95_000, 5_000, 1.0, 55)]
    measurement = read_bytes(ndax(**{"data.ndc": table(1, 14, pairs), "data_runInfo.ndc": table(18, 14, run)}), "a")
    assert any("do not follow from the intervals before them, by up to 60 s" in w for w in measurement.warnings)


def test_a_record_with_a_voltage_of_zero_is_kept_and_a_place_without_record_is_none() -> None:
    pairs = [struct.pack("<ff", 0.0, 0.0)] * 2
    run = [run_record(3, 1, 0, 1000, 1.0, 55)]
    members = {"data.ndc": table(1, 14, pairs, first=2), "data_runInfo.ndc": table(18, 14, run)}
    assert read_bytes(ndax(**members), "a.ndax").table["test_time_second"].to_pylist() == [0.0, 1.0]


def test_records_before_the_first_time_and_times_after_the_last_record_are_told() -> None:
    run = [run_record(3, 1, 0, 1000, 1.0, 55), run_record(9, 1, 6000, 1000, 1.0, 55)]
    measurement = read_bytes(ndax(**{"data_runInfo.ndc": table(18, 14, run)}), "a.ndax")
    assert measurement.table.num_rows == 4
    assert any(warning.startswith("2 records before the first with a time") for warning in measurement.warnings)
    assert any(warning.startswith("1 later records have a time") for warning in measurement.warnings)


def test_the_first_temperature_of_the_auxiliary_channels_is_taken() -> None:
    channels = '<Aux1 AuxID="1" ChlType="335"/><Aux2 AuxID="1" ChlType="103"/><Aux3 AuxID="2" ChlType="103"/>'
    members = {
        f"data_AUX_{number}_1_1.ndc": table(5, 14, [struct.pack("<f", 10.0 * number + row) for row in range(6)])
        for number in (2, 3, 10)
    }
    measurement = read_bytes(ndax(**members, **{"TestInfo.xml": INFO.format(channels).encode()}), "a.ndax")
    assert measurement.table["temperature_t1_celsius"].to_pylist() == [30.0, 31.0, 32.0, 33.0, 34.0, 35.0]
    assert measurement.metadata.columns_left_out == ("t1", "T2")


def test_temperatures_of_version_16_are_tenths_of_a_degree() -> None:
    rows = [struct.pack("<Bfh", 0x65, 0.0, 230 + row) for row in range(6)]
    measurement = read_bytes(ndax(16, **{"data_1.ndc": table(5, 16, rows)}), "a.ndax")
    assert measurement.table["temperature_t1_celsius"].to_pylist() == pytest.approx(
        [23.0, 23.1, 23.2, 23.3, 23.4, 23.5]
    )


def test_auxiliary_channels_that_cannot_be_told_apart_are_left_out() -> None:
    rows = [struct.pack("<f", 25.0)] * 6
    measurement = read_bytes(ndax(**{"data_AUX_9_1_1.ndc": table(5, 14, rows)}), "a.ndax")
    assert "temperature_t1_celsius" not in measurement.table.column_names
    assert measurement.metadata.columns_left_out == ("data_AUX_9_1_1",)
    assert any("which is which is not known" in warning for warning in measurement.warnings)


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_a_truncated_archive_is_refused(cut: float) -> None:
    data = ndax()
    with pytest.raises(MeasurementError):
        read_bytes(data[: int(cut * len(data))], "a.ndax")


def test_a_damaged_member_is_refused() -> None:
    data = bytearray(ndax())
    data[data.index(b"data.ndc") + 20] ^= 0xFF
    with pytest.raises(MeasurementError, match="damaged archive"):
        read_bytes(bytes(data), "a.ndax")


@pytest.mark.parametrize("place", [4096, 4100, 4300, 8000])
def test_a_page_that_was_changed_before_it_was_packed_is_refused(place: int) -> None:
    content = bytearray(table(1, 14, [struct.pack("<ff", 3.6, 0.5)] * 6))
    content[place] ^= 1
    with pytest.raises(MeasurementError, match="data.ndc, byte 4096: damaged page"):
        read_bytes(ndax(**{"data.ndc": bytes(content)}), "a.ndax")


def test_pages_without_check_sum_are_warned_about() -> None:
    content = table(1, 14, [struct.pack("<ff", 3.6, 0.5)] * 6)[:-4] + bytes(4)
    measurement = read_bytes(ndax(**{"data.ndc": content}), "a.ndax")
    assert any(warning.startswith("1 pages of data.ndc have no check sum") for warning in measurement.warnings)


def test_a_member_that_ends_inside_a_page_is_refused() -> None:
    content = table(18, 14, [run_record(1, 1, 0, 1000, 1.0, 55)])[:-10]
    with pytest.raises(MeasurementError, match=r"data_runInfo.ndc: truncated: the last page has 4086 of 4096 bytes"):
        read_bytes(ndax(**{"data_runInfo.ndc": content}), "a.ndax")


@pytest.mark.parametrize("length", [3, 100])
def test_a_short_member_is_refused(length: int) -> None:
    with pytest.raises(MeasurementError, match=f"data.ndc: truncated after {length} bytes"):
        read_bytes(ndax(**{"data.ndc": b"\x01\0\x02".ljust(length, b"\0")}), "a.ndax")


def test_an_unknown_version_is_named() -> None:
    with pytest.raises(MeasurementError, match="data.ndc: table 1 of version 99, which cannot be read"):
        read_bytes(ndax(**{"data.ndc": table(1, 99, [])}), "a.ndax")


def test_an_archive_without_records_or_without_times_is_refused() -> None:
    with pytest.raises(MeasurementError, match="data.ndc: no records"):
        read_bytes(ndax(**{"data.ndc": table(1, 14, [])}), "a.ndax")
    with pytest.raises(MeasurementError, match="data_runInfo.ndc, which has the times, is missing"):
        read_bytes(archive({"data.ndc": table(1, 14, [struct.pack("<ff", 3.6, 0.5)])}), "a.ndax")


def test_an_archive_that_unpacks_to_far_too_much_is_refused() -> None:
    with pytest.raises(MeasurementError, match="unpacks to more than"):
        read_bytes(ndax(**{"data_log.ndc": bytes(40 << 20)}), "a.ndax")


def test_declared_entities_are_refused() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "cccc">]><root><config>&b;</config></root>'
    with pytest.raises(MeasurementError, match="VersionInfo.xml: declares XML entities"):
        read_bytes(ndax(**{"VersionInfo.xml": bomb}), "a.ndax")


def test_damaged_facts_are_warned_about() -> None:
    measurement = read_bytes(ndax(**{"TestInfo.xml": INFO.encode()[:-20]}), "a.ndax")
    assert measurement.metadata.cell_id is None
    assert any("TestInfo.xml cannot be read" in warning for warning in measurement.warnings)


def with_check_sums(content: bytes) -> bytes:
    pages = bytearray(content)
    for begin in range(4096, len(pages), 4096):
        check = zlib.crc32(pages[begin : begin + 4092])
        pages[begin + 4092 : begin + 4096] = struct.pack("<I", check)
    return bytes(pages)


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(["data.ndc", "data_runInfo.ndc", "data_step.ndc", "data_1.ndc"]),
    changes=st.lists(st.tuples(st.integers(0, 600), st.integers(0, 255)), min_size=1, max_size=20),
)
def test_changed_tables_with_right_check_sums_give_finite_numbers_or_an_error(
    name: str, changes: list[tuple[int, int]]
) -> None:
    members = {"data_1.ndc": table(5, 16, [struct.pack("<Bfh", 0x65, 0.0, 230)] * 6)}
    with zipfile.ZipFile(io.BytesIO(ndax(16, **members))) as packed:
        content = {member: packed.read(member) for member in packed.namelist()}
    changed = bytearray(content[name])
    for place, value in changes:
        changed[place if place < 3 else 4096 + place] = value
    content[name] = with_check_sums(bytes(changed))
    try:
        measurement = read_bytes(archive(content), "a.ndax")
    except MeasurementError:
        return
    for column in CYCLING_COLUMNS:
        assert np.isfinite(measurement.table[column].to_numpy()).all()


def test_no_more_is_unpacked_than_the_directory_states() -> None:
    data = bytearray(ndax(**{"data.ndc": bytes(15 << 20)}))
    for head in (b"PK\x03\x04", b"PK\x01\x02"):
        place = data.index(head) + (22 if head.endswith(b"\x04") else 24)
        data[place : place + 4] = struct.pack("<I", 8192)
    tracemalloc.start()
    try:
        with pytest.raises(MeasurementError, match="damaged archive"):
            read_bytes(bytes(data), "a.ndax")
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


# What NewareNDA calls the columns, and its units.
THEIR_COLUMNS = {
    "voltage_volt": ("Voltage", 1.0),
    "current_ampere": ("Current(mA)", 1e-3),
    "cycle_count": ("Cycle", 1.0),
    "step_count": ("Step", 1.0),
    "step_index": ("Step_Index", 1.0),
    "charging_capacity_ah": ("Charge_Capacity(mAh)", 1e-3),
    "discharging_capacity_ah": ("Discharge_Capacity(mAh)", 1e-3),
    "charging_energy_wh": ("Charge_Energy(mWh)", 1e-3),
    "discharging_energy_wh": ("Discharge_Energy(mWh)", 1e-3),
    "temperature_t1_celsius": ("T1", 1.0),
}


def compare_with_the_library(path: Path) -> None:
    """Compare a file with what NewareNDA reads in 32 bits."""
    library = pytest.importorskip("NewareNDA")
    theirs: pd.DataFrame = library.read(str(path), software_cycle_number=False, log_level="CRITICAL")
    ours = read(path).table
    assert ours.num_rows == len(theirs)
    for name, (their_name, unit) in THEIR_COLUMNS.items():
        if name in ours.column_names:
            expected = theirs[their_name].to_numpy(dtype=float) * unit
            tolerance = 2e-6 * np.abs(expected).max()
            np.testing.assert_allclose(ours[name].to_numpy(), expected, rtol=2e-7, atol=tolerance, err_msg=name)
    stamps = theirs["Timestamp"].dt.tz_convert("UTC") if theirs["Timestamp"].dt.tz else theirs["Timestamp"]
    stated = stamps.dt.tz_localize(None).to_numpy(dtype="datetime64[us]")
    apart = ours["measured_at"].to_numpy().astype("datetime64[us]") - stated
    assert np.abs(apart).max() <= np.timedelta64(1, "us")


@pytest.mark.parametrize(
    "name",
    [
        "NewareNDA/123456789012_Unit27_Example_Data_File.ndax",
        "NewareNDA/TESTCELL0001-B2-2025-M50T_NewareNDA_Investigation.ndax",
        "NewareNDA/TestFile.nda",
        "bdf/filetype14-0.ndax",
        "cellpy/20260302_IFE_BTS85_2_9_8_1.ndax",
    ],
)
def test_real_files_hold_what_newarenda_reads(shared_data: Path, name: str) -> None:
    compare_with_the_library(shared_data / "cycling" / name)


@pytest.mark.parametrize("version", [2, 5, 11, 14, 16, 17])
def test_archives_of_each_version_hold_what_newarenda_reads(version: int, tmp_path: Path) -> None:
    path = tmp_path / "a.ndax"
    path.write_bytes(whole_ndax(version) if version in (2, 5) else ndax(version))
    compare_with_the_library(path)
