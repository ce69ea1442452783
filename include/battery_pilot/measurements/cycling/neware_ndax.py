"""Neware's ``.ndax`` files: an archive of tables, and of facts in XML.

``data.ndc`` has voltage and current of every record. From version 11 on ``data_runInfo.ndc`` has time and counters of
some records only, with the interval at which those after them follow, and ``data_step.ndc`` the cycle and the number in
the program of each step. The times that so follow, and the counters from the current, are those that Neware's own
program exports.
"""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from battery_pilot.measurements.cycling.neware_records import (
    COPY_AGAIN,
    Records,
    ampere_of_range,
    ascending,
    at_records,
    calendar_moments,
    counted_steps,
    each_once,
    moments_of,
    records_of,
)
from battery_pilot.measurements.cycling.neware_tables import (
    AUXILIARY_TABLE,
    DATA_TABLE,
    MARK_AUXILIARY,
    MARK_CHAMBER,
    MARK_DATA,
    RUN_TABLE,
    STEP_TABLE,
    WHOLE_VERSIONS,
    Table,
    read_table,
)

if TYPE_CHECKING:
    from battery_pilot.measurements.cycling.neware_records import IntArray
    from battery_pilot.measurements.source import Source
    from battery_pilot.measurements.tables import FloatArray

DATA = "data.ndc"
_RUN, _STEP = "data_runInfo.ndc", "data_step.ndc"
_MOST_MEMBERS = 500
_LARGEST_BYTES = 512 << 20
_LARGEST_RATIO = 100
_RATIO_COUNTS_FROM_BYTES = 16 << 20
_LARGEST_XML_BYTES = 1 << 20
_BROKEN_ZIP = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError, OSError, ValueError)

_COUNTERS = ("charging_capacity_ah", "discharging_capacity_ah", "charging_energy_wh", "discharging_energy_wh")
# Volt, ampere, ampere hour and watt hour in units of the versions: V, A, Ah, Wh, or 0.1 mV, mA, mA s, mW s.
_UNITS = {11: (1e-4, 1e-3, 1 / 3.6e6), 14: (1.0, 1.0, 1.0), 16: (1e-4, 1e-3, 1 / 3.6e6), 17: (1.0, 1.0, 1.0)}
# What a channel of the versions 14 and 17 measures, by ChlType in TestInfo.xml.
_TEMPERATURE = "103"
_CHANNEL_WORDS = {_TEMPERATURE: "T", "335": "t", "345": "H"}


def read_ndax(source: Source, warnings: list[str]) -> tuple[Records, dict[str, Any]]:
    """Return the records of an ``.ndax`` file, and its facts.

    :param source: the file.
    :param warnings: receives a sentence about what was calculated or left out.
    :raises MeasurementError: for a damaged archive or page, one that unpacks to too much, and an unknown layout.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(source.data))
    except _BROKEN_ZIP as error:
        raise _damaged(source, error) from error
    with archive:
        _check_sizes(archive, source)
        test = _xml(archive, "TestInfo.xml", "config/TestInfo", source, warnings)
        version = _xml(archive, "VersionInfo.xml", "config/ZwjVersion", source, warnings)
        records = _records(archive, source, warnings)
        records = _with_auxiliary(archive, records, test, source, warnings)
    return records, _test_facts(test) | _version_facts(version)


def _damaged(source: Source, error: Exception) -> Exception:
    return source.error("file", f"damaged archive: {error}; {COPY_AGAIN}")


def _content(archive: zipfile.ZipFile, name: str, source: Source, first: int | None = None) -> bytes:
    """Return the content of a member, or its first bytes.

    No more is unpacked than the directory of the archive states, which :func:`_check_sizes` has checked.
    """
    try:
        member = archive.getinfo(name)
        with archive.open(member) as stream:
            return stream.read(member.file_size + 1 if first is None else first)
    except _BROKEN_ZIP as error:
        raise _damaged(source, error) from error


def _check_sizes(archive: zipfile.ZipFile, source: Source) -> None:
    """Refuse what unpacks to too much by the directory of the archive, and what no instrument packs."""
    members = archive.infolist()
    if len(members) > _MOST_MEMBERS:
        raise source.error("file", f"{len(members)} members, more than the {_MOST_MEMBERS} of any ndax file")
    limit = min(_LARGEST_BYTES, max(_RATIO_COUNTS_FROM_BYTES, _LARGEST_RATIO * len(source.data)))
    size = 0
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise source.error(
                member.filename, f"packed by method {member.compress_type}; 0 or 8 expected; {COPY_AGAIN}"
            )
        size += member.file_size
        if size > limit:
            problem = f"unpacks to more than {limit >> 20} MiB, far more than the records of an ndax file"
            raise source.error(member.filename, problem)


def _xml(
    archive: zipfile.ZipFile, name: str, path: str, source: Source, warnings: list[str]
) -> ElementTree.Element | None:
    """Return an element of an XML member; ``None`` where the member is absent or cannot be read."""
    if name not in archive.namelist():
        return None
    content = _content(archive, name, source)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise source.error(name, "declares XML entities, which no instrument does; the file is refused")
    if len(content) > _LARGEST_XML_BYTES:
        warnings.append(f"{name} is longer than {_LARGEST_XML_BYTES} bytes; its facts were left out.")
        return None
    try:
        root = ElementTree.fromstring(content.decode("gb18030", errors="replace").partition("?>")[2])  # noqa: S314
    except ElementTree.ParseError as error:
        warnings.append(f"{name} cannot be read ({error}); its facts were left out.")
        return None
    return root.find(path)


def _test_facts(test: ElementTree.Element | None) -> dict[str, Any]:
    if test is None:
        return {}
    facts: dict[str, Any] = {}
    if test.get("Barcode"):
        facts["cell_id"] = test.get("Barcode")
    place = [test.get(name) for name in ("DevID", "UnitID", "ChlID")]
    if all(place):
        facts["channel"] = "-".join(str(part) for part in place)
    return facts


def _version_facts(version: ElementTree.Element | None) -> dict[str, Any]:
    server = "" if version is None else version.get("SvrVer", "")
    return {"instrument_software": server} if server else {}


def _records(archive: zipfile.ZipFile, source: Source, warnings: list[str]) -> Records:
    table = read_table(_content(archive, DATA, source), DATA, DATA_TABLE, source, warnings)
    if not len(table.records):
        raise source.error(DATA, f"no records; the file is truncated or empty; {COPY_AGAIN}")
    if table.version in WHOLE_VERSIONS:
        return _whole_records(table, source, warnings)
    if _RUN not in archive.namelist():
        raise source.error("file", f"{_RUN}, which has the times, is missing in the archive; {COPY_AGAIN}")
    run = read_table(_content(archive, _RUN, source), _RUN, RUN_TABLE, source, warnings)
    steps = None
    if _STEP in archive.namelist():
        steps = read_table(_content(archive, _STEP, source), _STEP, STEP_TABLE, source, warnings)
    else:
        warnings.append(f"{_STEP} is missing in the archive: there are no cycles and no numbers in the program.")
    unit_volt, unit_ampere, _ = _UNITS[table.version]
    number = table.place
    columns = {
        "voltage_volt": table.records["voltage"] * np.float64(unit_volt),
        "current_ampere": table.records["current"] * np.float64(unit_ampere),
    }
    del table
    return _on_the_run(number, columns, run, steps, source, warnings)


def _whole_records(table: Table, source: Source, warnings: list[str]) -> Records:
    """Return the records of versions 2 and 5, whose times are those of an unknown zone."""
    records = table.records
    records = each_once(records[(records["mark"] == MARK_DATA) & (records["number"] > 0)], warnings)
    ampere = ampere_of_range(source, records["range"])
    columns = {
        "voltage_volt": records["voltage"] * 1e-4,
        "current_ampere": records["current"] * ampere,
        "cycle_count": records["cycle"].astype(np.int64) + 1,
        "step_count": counted_steps(records["step_index"]),
        "step_index": records["step_index"],
        **{name: records[name] * ampere / 3600 for name in _COUNTERS},
    }
    number = records["number"].astype(np.int64)
    return records_of(number, records["time"] * 1e-3, columns, calendar_moments(records), zone_is_known=False)


def _on_the_run(
    number: IntArray,
    columns: dict[str, Any],
    run: Table,
    steps: Table | None,
    source: Source,
    warnings: list[str],
) -> Records:
    """Return the records with times, counters and steps.

    :param number: number of each record.
    :param columns: voltage in volt and current in ampere.
    :param run: times and counters of some of the records.
    :param steps: cycle and number in the program of each step.
    """
    known = ascending(run.records[run.records["number"] > 0])
    is_beyond = known["number"] > number[-1]
    if is_beyond.any():
        warnings.append(
            f"{np.count_nonzero(is_beyond)} later records have a time, but no voltage and current, and were left out."
        )
        known = known[~is_beyond]
    begins = np.searchsorted(number, known["number"].astype(number.dtype))
    counts = np.diff(np.append(begins, len(number)))
    if not counts.any():
        raise source.error(_RUN, f"no times of the records; the file is truncated; {COPY_AGAIN}")
    before = int(begins[0])
    if before:
        warnings.append(f"{before} records before the first with a time were left out.")
        number, columns = number[before:], {name: values[before:] for name, values in columns.items()}
    since = number - np.repeat(known["number"].astype(number.dtype), counts)
    _tell_calculated(known, int(np.count_nonzero(since)), len(number), warnings)
    columns |= {name: np.repeat(_narrow(values), counts) for name, values in _step_columns(known, steps).items()}
    since_millisecond = since * np.repeat(known["interval"].astype(np.int64), counts)
    time = (np.repeat(known["time"].astype(np.int64), counts) + since_millisecond) * 1e-3
    unix = known["unix"].astype(np.int64) * 1000 + known["millisecond"]
    own = np.flatnonzero(since == 0)
    since_millisecond += np.repeat(unix, counts)
    moments = moments_of(since_millisecond)
    del since, since_millisecond
    records = records_of(number, time, columns, moments)
    del time, moments
    # Last, and with little in memory besides the columns: a file may have many records.
    for name, factors in (
        ("capacity_ah", ["current_ampere"]),
        ("energy_wh", ["current_ampere", "voltage_volt"]),
    ):
        flow = np.repeat(known["interval"] * (1e-3 / 3600), counts)
        flow[own] = 0.0
        for factor in factors:
            flow *= columns[factor]
        columns |= _counters(name, flow, known, counts, _UNITS[run.version][2])
    return records


def _tell_calculated(known: Any, calculated: int, count: int, warnings: list[str]) -> None:
    """Tell how many records have no time of their own, and where the intervals do not lead to the next time."""
    if calculated:
        warnings.append(
            f"{calculated} of {count} records hold voltage and current only: their times follow from the interval that "
            "the record before them states, their charge and energy were summed from the current."
        )
    number, time, interval = (known[name].astype(np.int64) for name in ("number", "time", "interval"))
    expected = time[:-1] + (np.diff(number) - 1) * interval[:-1] + interval[1:]
    goes_on = (known["step"][1:] == known["step"][:-1]) & (time[1:] > 0) & (np.diff(number) > 1)
    apart = np.abs(expected - time[1:])[goes_on]
    if (apart > 1).any():
        warnings.append(
            f"{np.count_nonzero(apart > 1)} times of records do not follow from the intervals before them, "
            f"by up to {apart.max() * 1e-3:g} s."
        )


def _counters(name: str, flow: FloatArray, known: Any, counts: Any, unit: float) -> dict[str, FloatArray]:
    """Return the counters of charge and discharge.

    :param name: what is counted, with its unit.
    :param flow: what has flown since the record before, 0 at a record with counters of its own; it is overwritten.
    :param known: records with counters.
    :param counts: to how many records each of them leads.
    :param unit: unit of the counters.
    """
    has_rows = counts > 0
    first = (np.cumsum(counts) - counts)[has_rows]
    before = -flow[first]
    np.cumsum(flow, out=flow)
    before += flow[first]
    flow -= np.repeat(before, counts[has_rows])
    charge, discharge = (np.abs(known[f"{word}_{name}"]) * np.float64(unit) for word in ("charging", "discharging"))
    charged = np.maximum(flow, 0.0)
    charged += np.repeat(charge, counts)
    discharged = np.maximum(np.negative(flow, out=flow), 0.0, out=flow)
    discharged += np.repeat(discharge, counts)
    return {f"charging_{name}": charged, f"discharging_{name}": discharged}


def _step_columns(known: Any, steps: Table | None) -> dict[str, Any]:
    """Return the number of the step, its cycle and its number in the program, for records with a time."""
    step = known["step"].astype(np.int64)
    columns = {"step_count": step}
    if steps is not None and len(steps.place):
        position = np.minimum(np.searchsorted(steps.place, step), len(steps.place) - 1)
        is_known = steps.place[position] == step
        for name, field, shift in (("cycle_count", "cycle", 1), ("step_index", "step_index", 0)):
            values = steps.records[field][position].astype(np.int64) + shift
            columns[name] = values if is_known.all() else np.where(is_known, values, np.nan)
    return columns


def _narrow(values: Any) -> Any:
    """Return whole numbers in the narrowest type that holds them."""
    return values.astype(np.min_scalar_type(values.max())) if values.dtype.kind in "iu" else values


def _with_auxiliary(
    archive: zipfile.ZipFile,
    records: Records,
    test: ElementTree.Element | None,
    source: Source,
    warnings: list[str],
) -> Records:
    """Return the records with the first temperature of the auxiliary channels."""
    names = sorted((name for name in archive.namelist() if _is_auxiliary(archive, name, source)), key=_channel_of)
    channels = [child for child in test if "Aux" in child.tag] if test is not None else []
    if len(channels) != len(names):
        if names:
            warnings.append(
                f"{len(names)} tables of auxiliary channels, but {len(channels)} such channels in TestInfo.xml: "
                "which is which is not known."
            )
        channels = [ElementTree.Element("Aux") for _ in names]
    columns, left_out = records.columns, []
    for position, (name, channel) in enumerate(zip(names, channels, strict=True), start=1):
        label = channel.get("AuxID", str(position))
        word = _CHANNEL_WORDS.get(channel.get("ChlType", ""))
        is_first = "temperature_t1_celsius" not in columns
        found = None
        if is_first:
            content = _content(archive, name, source)
            found = _temperature(read_table(content, name, AUXILIARY_TABLE, source, warnings), word)
        if found is None:
            left_out.append(f"{word}{label}" if word else name.removesuffix(".ndc"))
        else:
            columns["temperature_t1_celsius"] = at_records(records.number, *found)
    return records._replace(left_out=tuple(left_out))


def _is_auxiliary(archive: zipfile.ZipFile, name: str, source: Source) -> bool:
    if not name.endswith(".ndc") or name in (DATA, _RUN, _STEP):
        return False
    return _content(archive, name, source, first=1) == bytes([AUXILIARY_TABLE])


def _channel_of(name: str) -> list[int]:
    """Return the numbers in the name of an auxiliary table, by which TestInfo.xml orders the channels."""
    found = re.search(r"data_AUX_(\d+)_(\d+)_(\d+)\.ndc$", name) or re.search(r"_(\d+)\.ndc$", name)
    return [int(number) for number in found.groups()] if found else []


def _temperature(table: Table, word: str | None) -> tuple[Any, Any, float] | None:
    """Return numbers of records, their temperatures and the unit of these; ``None`` where none was measured.

    :param table: table of an auxiliary channel.
    :param word: what the channel measures, where only TestInfo.xml tells.
    """
    fields, records = table.records.dtype.names, table.records
    if "temperature" not in fields:
        return (table.place, records["value"], 1.0) if word == _CHANNEL_WORDS[_TEMPERATURE] else None
    is_data = np.isin(records["mark"], (MARK_AUXILIARY, MARK_CHAMBER))
    records, place = records[is_data], table.place[is_data]
    if not records["temperature"].any():
        return None  # A channel without a sensor has 0 throughout.
    return (records["number"] if "number" in fields else place), records["temperature"], 0.1
