"""CAN logs of every form hold the same drive: a battery of 400 V and 0.1 ohm, discharged and charged by turns."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements import read, read_bytes
from battery_pilot.measurements.model import CYCLING_COLUMNS, Measurement

DBC = """VERSION ""
BO_ 512 PackState: 6 BMS
 SG_ PackVoltage : 7|16@0+ (0.1,0) [0|0] "V" Vector__XXX
 SG_ PackCurrent : 16|16@1- (0.1,0) [0|0] "A" Vector__XXX
 SG_ PackCurrentLimit : 32|16@1+ (1,0) [0|0] "A" Vector__XXX
BO_ 2566844672 PackCondition: 3 BMS
 SG_ PackTemp : 0|8@1+ (1,-40) [0|0] "degC" Vector__XXX
 SG_ PackSOC : 8|16@1+ (0.01,0) [0|0] "%" Vector__XXX
"""
STATE, CONDITION = 512, 2566844672 & 0x1FFFFFFF
START = datetime(2026, 3, 14, 8, 30, 0, 500000, tzinfo=UTC)
MAPPING = '[voltage]\nsignal = "PackVoltage"\n[current]\nsignal = "PackCurrent"\npositive = "charge"\n'


class Frame(NamedTuple):
    second: float
    identifier: int
    is_extended: bool
    data: bytes


def drive(rows: int = 40) -> list[Frame]:
    """Return the frames: temperature and charge once a second, voltage and current at 10 Hz from 0.25 s on."""
    frames = []
    for row in range(rows):
        second = row / 10
        current = -200 if row % 4 < 2 else 150  # 0.1 A
        voltage = 4000 + round(0.1 * current)  # 0.1 V
        if row % 10 == 0:
            soc = 8000 - row
            frames.append(Frame(second, CONDITION, True, bytes([65]) + soc.to_bytes(2, "little")))
        if row >= 2:
            state = voltage.to_bytes(2, "big") + current.to_bytes(2, "little", signed=True) + b"\xc8\x00"
            frames.append(Frame(second + 0.05, STATE, False, state))
        frames.append(Frame(second + 0.06, 0x7DF, False, b"\x02\x01\x0c\x00\x00\x00\x00\x00"))
    return frames


def candump(frames: list[Frame]) -> bytes:
    lines = [
        f"({START.timestamp() + one.second:.6f}) can0 {one.identifier:0{8 if one.is_extended else 3}X}#{one.data.hex().upper()}"
        for one in frames
    ]
    return ("\n".join(lines) + "\n").encode()


def console(frames: list[Frame]) -> bytes:
    lines = [
        f" ({START.timestamp() + one.second:.6f})  can0  {one.identifier:0{8 if one.is_extended else 3}X}   "
        f"[{len(one.data)}]  {one.data.hex(' ').upper()}"
        for one in frames
    ]
    return ("\n".join(lines) + "\n").encode()


ASC_HEAD = "date Sam M\xe4r 14 08:30:00.500 2026\nbase {} timestamps {}\ninternal events logged\n// version 9.0.0\n"


def asc(frames: list[Frame], base: str = "hex", stamps: str = "absolute") -> bytes:
    lines, before = [], 0.0
    for one in frames:
        second = one.second - before if stamps == "relative" else one.second
        before = one.second
        number = (f"{one.identifier:X}" if base == "hex" else f"{one.identifier}") + ("x" if one.is_extended else "")
        data = " ".join(f"{byte:02X}" if base == "hex" else f"{byte:03d}" for byte in one.data)
        lines.append(
            f"{second:11.6f} 1  {number:15} Rx   d {len(one.data)} {data}  Length = 244016 BitCount = 125 ID = {one.identifier}"
        )
    text = ASC_HEAD.format(base, stamps) + "\n".join(lines) + "\nEnd TriggerBlock\n"
    return text.encode("latin-1")


def asc_fd(frames: list[Frame]) -> bytes:
    lines = [
        f"{one.second:11.6f} CANFD   1 Rx  {one.identifier:X}{'x' if one.is_extended else ''}  {'Pack_1' * (index % 2)}"
        f"  1 0 {len(one.data):x} {len(one.data):2d} {one.data.hex(' ')}   102203  133   303000 e0006659 46500250"
        for index, one in enumerate(frames)
    ]
    return (ASC_HEAD.format("hex", "absolute") + "\n".join(lines) + "\n").encode("latin-1")


OLE_DAY = (START.replace(tzinfo=None) - datetime(1899, 12, 30)).total_seconds() / 86400


def trc_1(frames: list[Frame]) -> bytes:
    lines = [
        f"{n:6d}) {one.second * 1000:10.1f}  Rx    {one.identifier:0{8 if one.is_extended else 4}X}  "
        f"{len(one.data)}  {one.data.hex(' ').upper()} "
        for n, one in enumerate(frames, 1)
    ]
    return (f";$FILEVERSION=1.1\n;$STARTTIME={OLE_DAY:.10f}\n;\n" + "\n".join(lines) + "\n").encode()


def trc_2(frames: list[Frame]) -> bytes:
    lines = [
        f"{n:7d} {one.second * 1000:13.3f} DT 1  {one.identifier:0{8 if one.is_extended else 4}X} Rx -  "
        f"{len(one.data):<4d} {one.data.hex(' ').upper()} "
        for n, one in enumerate(frames, 1)
    ]
    head = f";$FILEVERSION=2.1\n;$STARTTIME={OLE_DAY:.10f}\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n;\n"
    return (head + "\n".join(lines) + "\n").encode()


def python_can_csv(frames: list[Frame]) -> bytes:
    lines = [
        f"{START.timestamp() + one.second:.6f},0x{one.identifier:x},{int(one.is_extended)},0,0,{len(one.data)},"
        f"{base64.b64encode(one.data).decode()}"
        for one in frames
    ]
    return ("timestamp,arbitration_id,extended,remote,error,dlc,data\n" + "\n".join(lines) + "\n").encode()


def savvy_csv(frames: list[Frame]) -> bytes:
    lines = []
    for one in frames:
        cells = [f"{byte:02X}" for byte in one.data] + [""] * (8 - len(one.data))
        micro = round((START.timestamp() + one.second) * 1e6)
        extended = str(one.is_extended).lower()
        lines.append(f"{micro},{one.identifier:08X},{extended},Rx,0,{len(one.data)},{','.join(cells)},")
    head = "Time Stamp,ID,Extended,Dir,Bus,LEN,D1,D2,D3,D4,D5,D6,D7,D8\n"
    return (head + "\n".join(lines) + "\n").encode()


def converter_csv(frames: list[Frame]) -> bytes:
    lines = [
        f"{START.timestamp() + one.second:.6f};1;{one.identifier:x};{int(one.is_extended)};{len(one.data)};"
        f"{len(one.data)};0;0;0;0;0;{one.data.hex().upper()}"
        for one in frames
    ]
    head = "TimestampEpoch;BusChannel;ID;IDE;DLC;DataLength;Dir;EDL;BRS;ESI;RTR;DataBytes\n"
    return (head + "\n".join(lines) + "\n").encode()


BUSMASTER_HEAD = """***BUSMASTER Ver 3.2.2***
***PROTOCOL CAN***
***[START LOGGING SESSION]***
***START DATE AND TIME 14:3:2026 8:30:0:500***
***{base}***
***{mode} MODE***
***CHANNEL 1 - Kvaser - 500000 bps***
***<Time><Tx/Rx><Channel><CAN ID><Type><DLC><DataBytes>***
"""


def busmaster(frames: list[Frame], base: str = "HEX", mode: str = "SYSTEM") -> bytes:
    lines, before = [], 0.0
    for one in frames:
        clock = {"SYSTEM": one.second + 8.5 * 3600 + 0.5, "ABSOLUTE": one.second, "RELATIVE": one.second - before}[
            mode
        ]
        before = one.second
        parts = round(clock * 10_000)
        stamp = (
            f"{parts // 36_000_000:02d}:{parts // 600_000 % 60:02d}:{parts // 10_000 % 60:02d}:{parts % 10_000:04d}"
        )
        number = f"0x{one.identifier:03X}" if base == "HEX" else f"{one.identifier}"
        data = " ".join(f"{byte:02X}" if base == "HEX" else f"{byte:03d}" for byte in one.data)
        lines.append(f"{stamp} Rx 1 {number} {'x' if one.is_extended else 's'} {len(one.data)} {data} ")
    body = "\n".join(lines) + "\n***END DATE AND TIME 14:3:2026 8:31:0:500***\n***[STOP LOGGING SESSION]***\n"
    return (BUSMASTER_HEAD.format(base=base, mode=mode) + body).encode()


def crtd(frames: list[Frame]) -> bytes:
    lines = [
        f"{START.timestamp() + one.second:.6f} 1R{29 if one.is_extended else 11} {one.identifier:03X} {one.data.hex(' ').upper()}"
        for one in frames
    ]
    head = f"{START.timestamp():.6f} CXX OVMS CRTD\n{START.timestamp():.6f} 1CEV vehicle.on\n"
    return (head + "\n".join(lines) + "\n").encode()


def blf_object(one: Frame, kind: int) -> bytes:
    identifier = one.identifier | (1 << 31 if one.is_extended else 0)
    size = len(one.data)
    if kind in (1, 86):
        body = struct.pack("<HBBI8s", 1, 0, size, identifier, one.data)
        body += struct.pack("<IBBH", 0, 0, 0, 0) if kind == 86 else b""
    elif kind == 100:
        body = struct.pack("<HBBIIBBB5x64s", 1, 0, size, identifier, 0, 0, 1, size, one.data)
    else:
        body = struct.pack("<BBBBIIIIIIIHBBI", 1, size, size, 0, identifier, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0) + one.data
    header = struct.pack("<4sHHIIIHHQ", b"LOBJ", 32, 1, 32 + len(body), kind, 2, 0, 0, round(one.second * 1e9))
    whole = header + body
    return whole + b"\0" * (-len(whole) % 4)


def blf(frames: list[Frame], kinds: tuple[int, ...] = (1, 86, 100, 101), packed: bool = True) -> bytes:
    content = b"".join(blf_object(one, kinds[index % len(kinds)]) for index, one in enumerate(frames))
    half = len(content) // 2 + 5  # an object runs on into the second container
    containers = b""
    for part in (content[:half], content[half:]):
        body = zlib.compress(part) if packed else part
        head = struct.pack("<4sHHIIHHIII", b"LOBJ", 16, 1, 32 + len(body), 10, 2 * packed, 0, 0, len(part), 0)
        containers += head + body + b"\0" * (-(len(head) + len(body)) % 4)
    systemtime = (START.year, START.month, 6, START.day, START.hour, START.minute, START.second, 500)
    header = struct.pack("<4sI8xQQII8H", b"LOGG", 144, 0, 0, len(frames), 0, *systemtime).ljust(144, b"\0")
    return header + containers


LOGS: dict[str, tuple[str, Callable[[list[Frame]], bytes]]] = {
    "candump.log": ("candump", candump),
    "console.log": ("candump", console),
    "vector.asc": ("vector-asc", asc),
    "decimal.asc": ("vector-asc", lambda frames: asc(frames, base="dec")),
    "relative.asc": ("vector-asc", lambda frames: asc(frames, stamps="relative")),
    "fd.asc": ("vector-asc", asc_fd),
    "peak1.trc": ("peak-trc", trc_1),
    "peak2.trc": ("peak-trc", trc_2),
    "python-can.csv": ("can-csv", python_can_csv),
    "savvy.csv": ("can-csv", savvy_csv),
    "converter.csv": ("can-csv", converter_csv),
    "vector.blf": ("vector-blf", blf),
    "busmaster.log": ("busmaster", busmaster),
    "decimal.log": ("busmaster", lambda frames: busmaster(frames, base="DEC")),
    "absolute.log": ("busmaster", lambda frames: busmaster(frames, mode="ABSOLUTE")),
    "between.log": ("busmaster", lambda frames: busmaster(frames, mode="RELATIVE")),
    "ovms.crtd": ("crtd", crtd),
    "stored.blf": ("vector-blf", lambda frames: blf(frames, packed=False)),
}


def log_in(folder: Path, name: str, content: bytes, dbc: str = DBC, mapping: str = "") -> Path:
    (folder / "vehicle.dbc").write_text(dbc)
    if mapping:
        (folder / "battery-pilot-columns.toml").write_text(mapping)
    (folder / name).write_bytes(content)
    return folder / name


def column(measurement: Measurement, name: str) -> list[float]:
    return [float(value) for value in measurement.table[name].to_pylist()]


@pytest.mark.parametrize(("name", "log"), LOGS.items())
def test_a_log_gives_the_drive_at_the_times_of_the_current(
    tmp_path: Path, name: str, log: tuple[str, Callable[[list[Frame]], bytes]]
) -> None:
    found = read(log_in(tmp_path, name, log[1](drive())))
    assert (found.kind, found.format) == ("field", log[0])
    seconds = column(found, "test_time_second")
    assert np.diff(seconds).tolist() == pytest.approx([0.1] * 37, abs=2e-5)
    current = [-20.0 if row % 4 < 2 else 15.0 for row in range(2, 40)]
    assert column(found, "current_ampere") == pytest.approx(current)
    assert column(found, "voltage_volt") == pytest.approx([400 + 0.1 * one for one in current])
    assert column(found, "temperature_t1_celsius") == pytest.approx([25.0] * 38)
    assert column(found, "state_of_charge_percent") == pytest.approx([80 - row // 10 * 0.1 for row in range(2, 40)])
    first = found.table["measured_at"][0].as_py()
    assert (first - START).total_seconds() == pytest.approx(0.25, abs=0.001)


def test_a_guessed_signal_and_direction_is_a_warning(tmp_path: Path) -> None:
    warnings = " ".join(read(log_in(tmp_path, "a.log", candump(drive()))).warnings)
    for name in ("PackState.PackVoltage", "PackState.PackCurrent", "PackCondition.PackTemp", "PackCondition.PackSOC"):
        assert name in warnings
    assert "taken as charge, because the voltage follows it" in warnings


def test_named_signals_are_no_guess(tmp_path: Path) -> None:
    mapping = 'battery_id = "PACK-17"\n' + MAPPING.replace('"charge"', '"discharge"')
    found = read(log_in(tmp_path, "a.log", candump(drive()), mapping=mapping))
    assert found.metadata.battery_id == "PACK-17"
    assert column(found, "current_ampere")[:2] == pytest.approx([-15.0, -15.0])
    assert not any("taken" in warning for warning in found.warnings)


def test_rows_before_the_first_voltage_are_counted(tmp_path: Path) -> None:
    dbc = DBC.replace(' SG_ PackVoltage : 7|16@0+ (0.1,0) [0|0] "V"', ' SG_ Other : 7|16@0+ (0.1,0) [0|0] "x"')
    dbc += 'BO_ 768 PackLink: 2 BMS\n SG_ PackVoltage : 0|16@1+ (0.1,0) [0|0] "V" X\n'
    late = [Frame(1.0, 768, False, (4000).to_bytes(2, "little"))]
    found = read(log_in(tmp_path, "a.log", candump(sorted(drive() + late)), dbc, MAPPING))
    assert found.table.num_rows == 30
    assert "8 rows before the first voltage were left out." in found.warnings


def test_a_value_that_was_sent_long_ago_is_a_warning(tmp_path: Path) -> None:
    frames = [
        one._replace(second=one.second * 10) for one in drive() if one.identifier != CONDITION or one.second < 1
    ]
    warnings = read(log_in(tmp_path, "a.log", candump(frames))).warnings
    assert any(
        warning.endswith("rows have a state_of_charge_percent that was sent more than 10 s before.")
        for warning in warnings
    )


def test_short_frames_are_counted(tmp_path: Path) -> None:
    frames = [one._replace(data=one.data[:3]) if one.second > 3.9 else one for one in drive()]
    found = read(log_in(tmp_path, "a.log", candump(frames)))
    assert found.table.num_rows == 37
    assert "1 frames of message PackState are too short for the DBC and were left out." in found.warnings


def test_lines_without_a_frame_are_counted(tmp_path: Path) -> None:
    lines = candump(drive()) + b"(1.5) can0 20000080#0011\n(1.6) can0 200#R\ngarbage\n"
    found = read(log_in(tmp_path, "a.log", lines))
    assert found.table.num_rows == 38
    assert "3 lines hold no whole data frame and were left out." in found.warnings


def refusal(path: Path) -> str:
    with pytest.raises(MeasurementError) as caught:
        read(path)
    return str(caught.value)


def test_a_log_without_a_dbc_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = log_in(tmp_path, "a.log", candump(drive()))
    (tmp_path / "vehicle.dbc").unlink()
    assert "needs the DBC file" in refusal(path)
    with pytest.raises(MeasurementError, match="needs the DBC file"):
        read_bytes(candump(drive()), "upload.log")


def test_of_several_dbc_files_the_mapping_names_one(tmp_path: Path) -> None:
    path = log_in(tmp_path, "a.log", candump(drive()))
    (tmp_path / "other.dbc").write_text(DBC)
    assert "found other.dbc, vehicle.dbc" in refusal(path)
    (tmp_path / "battery-pilot-columns.toml").write_text('dbc = "vehicle.dbc"\n' + MAPPING)
    assert read(path).table.num_rows == 38
    (tmp_path / "battery-pilot-columns.toml").write_text('dbc = "missing.dbc"\n' + MAPPING)
    assert "missing.dbc" in refusal(path)


def test_several_signals_that_fit_are_refused_with_their_names(tmp_path: Path) -> None:
    dbc = DBC.replace("PackCurrentLimit", "PackCurrentSlow")
    found = refusal(log_in(tmp_path, "a.log", candump(drive()), dbc))
    assert "PackState.PackCurrent, PackState.PackCurrentSlow" in found
    assert "battery-pilot-columns.toml" in found


def test_a_signal_that_is_not_there_is_refused_with_close_names(tmp_path: Path) -> None:
    mapping = MAPPING.replace("PackVoltage", "PackVolts")
    found = refusal(log_in(tmp_path, "a.log", candump(drive()), mapping=mapping))
    assert "'PackVolts'" in found
    assert "PackState.PackVoltage" in found


def test_a_message_on_two_channels_needs_the_channel(tmp_path: Path) -> None:
    twice = candump(drive()) + candump(drive()).replace(b"can0", b"can1")
    path = log_in(tmp_path, "a.log", twice)
    assert "channels can0, can1" in refusal(path)
    (tmp_path / "battery-pilot-columns.toml").write_text('channel = "can1"\n' + MAPPING)
    assert read(path).table.num_rows == 38


@pytest.mark.parametrize(("name", "channel"), [("a.log", "can0"), ("a.asc", "1"), ("a.blf", "1"), ("b.trc", "1")])
def test_a_channel_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path, name: str, channel: str) -> None:
    write = {"a.log": candump, "a.asc": asc, "a.blf": blf, "b.trc": trc_2}[name]
    path = log_in(tmp_path, name, write(drive()), mapping='channel = "can7"\n' + MAPPING)
    assert refusal(path).endswith(f"found {channel}")
    (tmp_path / "battery-pilot-columns.toml").write_text(f'channel = "{channel}"\n' + MAPPING)
    assert read(path).table.num_rows == 38


def test_a_direction_that_cannot_be_told_is_refused_with_the_remedy(tmp_path: Path) -> None:
    frames = [one for one in drive() if one.second < 0.6]
    assert 'positive = "charge" or "discharge"' in refusal(log_in(tmp_path, "a.log", candump(frames)))


def test_differences_as_time_stamps_are_refused(tmp_path: Path) -> None:
    frames = [one._replace(second=-START.timestamp() + 0.01 * (1 + index % 3)) for index, one in enumerate(drive())]
    assert "candump -l" in refusal(log_in(tmp_path, "a.log", candump(frames)))


def test_a_container_that_unpacks_to_far_more_than_the_file_is_refused(tmp_path: Path) -> None:
    body = zlib.compress(b"\0" * (64 << 20), 9)
    head = struct.pack("<4sHHIIHHIII", b"LOBJ", 16, 1, 32 + len(body), 10, 2, 0, 0, 64 << 20, 0)
    content = b"LOGG" + struct.pack("<I", 144) + b"\0" * 136 + head + body
    assert "times the size of the file" in refusal(log_in(tmp_path, "a.blf", content))


def test_a_blf_file_that_breaks_off_gives_the_containers_before_with_a_warning(tmp_path: Path) -> None:
    whole = blf(drive())
    found = read(log_in(tmp_path, "a.blf", whole[:-40]))
    assert 10 < found.table.num_rows < 38
    assert any("breaks off" in warning for warning in found.warnings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("can")


@pytest.mark.parametrize("name", LOGS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_damaged_log_is_refused_or_gives_finite_numbers(folder: Path, name: str, data: st.DataObject) -> None:
    whole = bytearray(LOGS[name][1](drive(12)))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(whole) - 1))
        whole[position : position + data.draw(st.integers(0, 20))] = data.draw(st.binary(max_size=12))
    path = log_in(folder, name, bytes(whole), mapping=MAPPING)
    try:
        found = read(path)
    except MeasurementError:
        return
    for one in CYCLING_COLUMNS:
        assert np.isfinite(found.table[one].to_numpy()).all()


@pytest.mark.parametrize("name", LOGS)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_a_truncated_log_is_refused_or_gives_the_rows_before_the_cut(
    folder: Path, name: str, data: st.DataObject
) -> None:
    whole = LOGS[name][1](drive(12))
    expected = read(log_in(folder, name, whole, mapping=MAPPING)).table.select(CYCLING_COLUMNS)
    path = log_in(folder, name, whole[: data.draw(st.integers(0, len(whole) - 1))], mapping=MAPPING)
    try:
        found = read(path).table.select(CYCLING_COLUMNS)
    except MeasurementError:
        return
    assert found == expected.slice(0, found.num_rows)


def test_a_busmaster_log_goes_on_after_midnight(tmp_path: Path) -> None:
    late = busmaster(drive()).replace(b"08:30:0", b"23:59:5").replace(b" 8:30:0:", b" 23:59:50:")
    late = late.replace(b"23:59:53:", b"00:00:03:").replace(b"23:59:54:", b"00:00:04:")
    found = read(log_in(tmp_path, "a.log", late))
    assert (np.diff(column(found, "test_time_second")) > 0).all()


def test_headers_and_comments_are_no_lost_frames(tmp_path: Path) -> None:
    for name, content in (("a.log", busmaster(drive())), ("b.crtd", crtd(drive()))):
        found = read(log_in(tmp_path, name, content))
        assert not any("no whole data frame" in warning for warning in found.warnings)
