"""Neware's ``.nda`` files: a header and records of one length.

Layouts after the code of NewareNDA and fastnda (both BSD 3-clause), checked against exports of Neware's own program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.cycling.neware_records import (
    COPY_AGAIN,
    Records,
    ampere_of_range,
    at_records,
    calendar_moments,
    counted_steps,
    each_once,
    layout,
    moments_of,
    records_of,
)
from battery_pilot.measurements.model import HALF_WRITTEN

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

MAGIC = b"NEWARE"
_VERSION_AT = 14
_COUNTERS = ("charging_capacity_ah", "discharging_capacity_ah", "charging_energy_wh", "discharging_energy_wh")

# Time in s, voltage in 0.1 mV, current in 0.001 mA, capacity and energy in 0.001 mA s and 0.001 mW s.
_RECORD_8 = layout(
    59,
    mark=(0, "u1"),
    number=(1, "<u4"),
    cycle=(5, "<u4"),
    step_index=(9, "u1"),
    time=(11, "<u4"),
    voltage=(15, "<i4"),
    current=(19, "<i4"),
    capacity=(31, "<i8"),
    energy=(39, "<i8"),
    unix=(47, "<u8"),
)
# Time in ms, voltage in 0.1 mV; the range tells the unit of current, capacity and energy.
_COMMON: dict[str, tuple[int, str]] = {
    "mark": (0, "u1"),
    "number": (2, "<u4"),
    "cycle": (6, "<u4"),
    "step_index": (10, "<u2"),
    "status": (12, "u1"),
    "time": (14, "<u8"),
    "voltage": (22, "<i4"),
    "current": (26, "<i4"),
    "charging_capacity_ah": (38, "<i8"),
    "discharging_capacity_ah": (46, "<i8"),
    "charging_energy_wh": (54, "<i8"),
    "discharging_energy_wh": (62, "<i8"),
    "range": (78, "<i4"),
    "zero": (82, "<u4"),
}
_RECORD_22 = layout(86, step=(13, "u1"), unix=(70, "<u8"), **_COMMON)
_RECORD_29 = layout(
    86,
    step=(10, "<u4"),
    year=(70, "<u2"),
    month=(72, "u1"),
    day=(73, "u1"),
    hour=(74, "u1"),
    minute=(75, "u1"),
    second=(76, "u1"),
    **_COMMON,
)
_AUXILIARY_29 = layout(86, channel=(1, "u1"), number=(2, "<u4"), temperature=(34, "<i2"))
_DATA, _AUXILIARY, _EVENT = 0x55, 0x65, 0xAA
# What versions 26 and 29 have before a record of data and at its beginning.
_MARKER_29, _STATUS_AT_29 = b"\0\0\0\0\x55\0", 12

# What version 130 ends the records with.
_START_130, _END_130 = 1024, b"\x81\0"
# BTS 9.0: time and date in microseconds, capacity and energy in mA s and mW s. A discharge is counted with a negative
# sign in the second pair; a charge is in the first after NewareNDA, in the second after fastnda.
_RECORD_90 = layout(
    88,
    mark=(0, "V6"),
    kind=(4, "u1"),
    step_index=(9, "u1"),
    number=(16, "<u4"),
    time=(28, "<u8"),
    voltage=(36, "<f4"),
    current=(40, "<f4"),
    charging_capacity_ah=(52, "<f4"),
    charging_energy_wh=(56, "<f4"),
    signed_capacity_ah=(60, "<f4"),
    signed_energy_wh=(64, "<f4"),
    unix=(68, "<u8"),
)
# BTS 9.1: times in seconds and nanoseconds; the sign of capacity (mA s) and energy (mW s) is that of the current.
_FIELDS_91: dict[str, tuple[int, str]] = {
    "mark": (0, "u1"),
    "step_index": (2, "u1"),
    "number": (8, "<u4"),
    "time": (12, "<u4"),
    "time_nanosecond": (16, "<u4"),
    "current": (20, "<f4"),
    "voltage": (24, "<f4"),
    "capacity": (28, "<f4"),
    "energy": (32, "<f4"),
    "cycle": (36, "<u4"),
    "unix": (44, "<u4"),
    "unix_nanosecond": (48, "<u4"),
}
_SHORTEST_91, _LENGTH_WITH_TEMPERATURE_91, _LONGEST_91 = 52, 56, 512
# Where the header has the length of the file.
_LENGTH_AT = {22: 72, 26: 72, 29: 72, 130: 130}


def read_nda(source: Source, warnings: list[str]) -> Records:
    """Return the records of an ``.nda`` file.

    :param source: the file.
    :param warnings: receives a sentence about what is cut or damaged.
    :raises MeasurementError: for an unknown version, or a file without records.
    """
    version = source.data[_VERSION_AT] if len(source.data) > _VERSION_AT else -1
    if version not in _READERS:
        known = ", ".join(map(str, _READERS))
        problem = f"nda version {version}; {known} can be read; export the test from BTSDA as CSV"
        raise source.error(f"byte {_VERSION_AT}", problem)
    records = _READERS[version](source, warnings)
    if not len(records.number):
        raise _no_records(source)
    place = _LENGTH_AT.get(version)
    stated = int.from_bytes(source.data[place : place + 8], "little") if place else 0
    if stated > len(source.data):
        warnings.append(
            f"{HALF_WRITTEN}it has {len(source.data)} bytes, but states {stated}; later records are missing."
        )
    return records


def server_facts(data: bytes) -> dict[str, Any]:
    """Return the program that wrote the file, where its header names it."""
    at = data.find(b"BTSServer", 0, 1 << 20)
    text = data[at : at + 50].partition(b"\0")[0].decode("latin-1").strip() if at >= 0 else ""
    return {"instrument_software": text} if text else {}


def _no_records(source: Source) -> Exception:
    return source.error("file", f"no records; the file is truncated or empty; {COPY_AGAIN}")


def _from(source: Source, begin: int, record: np.dtype[np.void], warnings: list[str]) -> Any:
    """Return all records from a place in the file to its end, whatever they hold."""
    count, surplus = divmod(len(source.data) - begin, record.itemsize)
    if surplus:
        warnings.append(f"The last {surplus} bytes of the file are no whole record and were left out.")
    return np.frombuffer(source.data, record, count, begin)


def _tell_unknown(marks: Any, known: tuple[int, ...], warnings: list[str]) -> None:
    unknown = ~np.isin(marks, known)
    if unknown.any():
        warnings.append(
            f"{np.count_nonzero(unknown)} records of an unknown kind were left out, "
            f"the first at place {int(np.argmax(unknown)) + 1}: the file is probably damaged there."
        )


def _read_8(source: Source, warnings: list[str]) -> Records:
    begin = source.data.find(b"\xff\x01\0\0\0")
    if begin < 0:
        raise _no_records(source)
    records = _from(source, begin, _RECORD_8, warnings)
    _tell_unknown(records["mark"], (0, 0xFF), warnings)
    records = each_once(records[(records["mark"] == 0) & (records["number"] > 0)], warnings)
    current = records["current"] * 1e-6
    columns = {
        "voltage_volt": records["voltage"] * 1e-4,
        "current_ampere": current,
        "cycle_count": records["cycle"],
        "step_count": counted_steps(records["step_index"]),
        "step_index": records["step_index"],
    }
    # The counters have no direction but that of the current.
    for word, rows in (("charging", current > 0), ("discharging", current < 0)):
        columns[f"{word}_capacity_ah"] = np.where(rows, records["capacity"] / 3.6e9, np.nan)
        columns[f"{word}_energy_wh"] = np.where(rows, records["energy"] / 3.6e9, np.nan)
    return _with_unix(records, records["time"].astype(np.float64), columns)


def _read_22(source: Source, warnings: list[str]) -> Records:
    begin = source.data.find(b"\xaa\0\x01\0\0\0")
    if begin < 0:
        raise _no_records(source)
    records = _from(source, begin, _RECORD_22, warnings)
    _tell_unknown(records["mark"], (_DATA, _EVENT), warnings)
    records = each_once(records[(records["mark"] == _DATA) & (records["number"] > 0)], warnings)
    return _with_unix(records, records["time"] * 1e-3, _columns_of_range(source, records))


def _with_unix(records: Any, time: FloatArray, columns: dict[str, Any]) -> Records:
    milliseconds = np.minimum(records["unix"], np.uint64(1 << 40)).astype(np.int64) * 1000
    return records_of(records["number"].astype(np.int64), time, columns, moments_of(milliseconds))


def _columns_of_range(source: Source, records: Any) -> dict[str, Any]:
    """Return the columns of versions whose unit of current and counters depends on the range."""
    ampere = ampere_of_range(source, records["range"])
    return {
        "voltage_volt": records["voltage"] * 1e-4,
        "current_ampere": records["current"] * ampere,
        "cycle_count": records["cycle"].astype(np.int64) + 1,
        "step_count": counted_steps(records["step"]),
        "step_index": records["step_index"],
        **{name: records[name] * ampere / 3600 for name in _COUNTERS},
    }


def _read_29(source: Source, warnings: list[str]) -> Records:
    """Return the records of version 26 or 29, whose times are those of an unknown zone."""
    begin = _first_record_29(source)
    every = _from(source, begin, _RECORD_29, warnings)
    _tell_unknown(every["mark"], (_DATA, _AUXILIARY, _EVENT), warnings)
    whole = every["zero"] == 0
    records = every[whole & (every["mark"] == _DATA) & (every["number"] > 0) & (every["status"] > 0)]
    records = each_once(records, warnings)
    number = records["number"].astype(np.int64)
    columns = _columns_of_range(source, records)
    left_out: tuple[str, ...] = ()
    is_auxiliary = whole & (every["mark"] == _AUXILIARY)
    if is_auxiliary.any():
        auxiliary = np.frombuffer(source.data, _AUXILIARY_29, len(every), begin)[is_auxiliary]
        channels = np.unique(auxiliary["channel"]).tolist()
        auxiliary = auxiliary[auxiliary["channel"] == channels[0]]
        columns["temperature_t1_celsius"] = at_records(number, auxiliary["number"], auxiliary["temperature"], 0.1)
        left_out = (*(f"T{channel}" for channel in channels[1:]), *(f"V{channel}" for channel in channels))
    return records_of(
        number,
        records["time"] * 1e-3,
        columns,
        calendar_moments(records),
        zone_is_known=False,
        left_out=left_out,
    )


def _first_record_29(source: Source) -> int:
    """Return where the records begin: at the first with data and a status that another with data follows."""
    data, length = source.data, _RECORD_29.itemsize
    at = data.find(_MARKER_29)
    while at >= 0:
        record = at + 4
        if record + length >= len(data):
            return record
        if data[record + length] == _DATA and data[record + _STATUS_AT_29]:
            return record
        at = data.find(_MARKER_29, record)
    raise _no_records(source)


def _read_130(source: Source, warnings: list[str]) -> Records:
    """Return the records of BTS 9.0 or 9.1."""
    data = source.data
    is_91 = data[_START_130 : _START_130 + 1] == bytes([_DATA])
    record = _layout_91(source) if is_91 else _RECORD_90
    count = (len(data) - _START_130) // record.itemsize
    if count < 1:
        raise _no_records(source)
    begins = np.ndarray(count, ">u2", data, _START_130, (record.itemsize,))
    ends = np.flatnonzero(begins == int.from_bytes(_END_130, "big"))
    if len(ends):
        count = int(ends[0])
    else:
        warnings.append("The records have no end mark; the file was cut, or the test was running when it was copied.")
    records = np.frombuffer(data, record, count, _START_130) if count else np.empty(0, record)
    marks = records["mark"]
    mark = (marks if is_91 else marks[records["kind"] == _DATA])[:1]
    if not len(mark):
        raise _no_records(source)
    is_data = marks == mark
    if not is_data.all():
        warnings.append(
            f"{np.count_nonzero(~is_data)} records of another kind were left out, "
            f"the first at place {int(np.argmin(is_data)) + 1}: those of auxiliary channels, or damaged ones."
        )
    records = each_once(records[is_data & (records["number"] > 0)], warnings)
    return _records_91(records) if is_91 else _records_90(records)


def _layout_91(source: Source) -> np.dtype[np.void]:
    """Return the layout of a record of BTS 9.1; one of 56 bytes ends with a temperature."""
    length = _length_91(source)
    temperature = {"temperature": (_SHORTEST_91, "<f4")} if length == _LENGTH_WITH_TEMPERATURE_91 else {}
    return layout(length, **_FIELDS_91, **temperature)


def _length_91(source: Source) -> int:
    """Return the length of a record: the way from the first to the second, if as far on the third or the end begins."""
    data = source.data
    mark = data[_START_130 : _START_130 + 2]
    limit = _START_130 + _LONGEST_91
    at = data.find(mark, _START_130 + _SHORTEST_91, limit)
    while at >= 0:
        third = at + at - _START_130
        if third >= len(data) or data[third : third + 2] == mark or data[third : third + 2] == _END_130:
            return at - _START_130
        at = data.find(mark, at + 1, limit)
    raise _no_records(source)


def _records_90(records: Any) -> Records:
    columns = {
        "voltage_volt": records["voltage"].astype(np.float64),
        "current_ampere": records["current"] * np.float64(1e-3),
        "step_count": counted_steps(records["step_index"]),
        "step_index": records["step_index"],
    }
    for name in ("capacity_ah", "energy_wh"):
        charged = records[f"charging_{name}"] / np.float64(3.6e6)
        signed = records[f"signed_{name}"] / np.float64(3.6e6)
        columns[f"charging_{name}"] = np.maximum(charged, 0.0) + np.maximum(signed, 0.0)
        columns[f"discharging_{name}"] = np.maximum(-signed, 0.0)
    moments = moments_of((records["unix"] // 1000).astype(np.int64))
    moments += (records["unix"] % 1000).astype("timedelta64[us]")
    return records_of(records["number"].astype(np.int64), records["time"] * 1e-6, columns, moments)


def _records_91(records: Any) -> Records:
    columns = {
        "voltage_volt": records["voltage"].astype(np.float64),
        "current_ampere": records["current"] * np.float64(1e-3),
        "cycle_count": records["cycle"].astype(np.int64) + 1,
        "step_count": counted_steps(records["step_index"]),
        "step_index": records["step_index"],
    }
    for field, name in (("capacity", "capacity_ah"), ("energy", "energy_wh")):
        counter = records[field] / np.float64(3.6e6)
        columns[f"charging_{name}"] = np.maximum(counter, 0.0)
        columns[f"discharging_{name}"] = np.maximum(-counter, 0.0)
    if "temperature" in records.dtype.names:
        columns["temperature_t1_celsius"] = records["temperature"].astype(np.float64)
    time = records["time"] + records["time_nanosecond"] * 1e-9
    milliseconds = records["unix"].astype(np.int64) * 1000
    moments = moments_of(milliseconds) + (records["unix_nanosecond"] // 1000).astype("timedelta64[us]")
    return records_of(records["number"].astype(np.int64), time, columns, moments)


_READERS = {8: _read_8, 22: _read_22, 26: _read_29, 29: _read_29, 130: _read_130}
