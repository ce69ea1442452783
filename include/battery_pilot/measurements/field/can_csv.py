"""CAN logs as tables: one frame a line with time, identifier and data, as converters and loggers write them.

Known are the CSV of python-can (data in base64), of CSS Electronics' converter (``TimestampEpoch;BusChannel;ID;…``), of
SavvyCAN (microseconds, ``D1`` to ``D8``) and tables with the same columns in hexadecimal.
"""

from __future__ import annotations

import base64
import binascii
import re
from array import array
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc

from battery_pilot.measurements.columns import plain
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.field.frames import (
    LARGEST_IDENTIFIER,
    LONGEST_FRAME_BYTES,
    Frames,
    extended,
    frames_of,
)
from battery_pilot.measurements.text import delimiter_of, to_float
from battery_pilot.measurements.units import split_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from battery_pilot.measurements.source import Source

_NAMES = {
    "time": ("timestamp", "timestampepoch", "time", "timeoffset", "abstime"),
    "identifier": ("arbitrationid", "canid", "id", "messageid", "frameid", "addr", "address"),
    "data": ("data", "databytes", "payload", "datahex"),
    "channel": ("channel", "buschannel", "bus"),
    "extended": ("extended", "ide", "isextended", "isextendedid"),
    "length": ("datalength", "len", "dlc", "length"),
    "remote": ("remote", "rtr", "isremoteframe"),
    "error": ("error", "iserrorframe"),
}
_BYTE = re.compile(r"(?:d|b|byte|data)(\d{1,2})")
_TRUE = {"1", "true", "yes", "x"}
_ELEVEN_BITS = 0x7FF
_LATEST_SECOND = 1e11


def is_can_csv(source: Source) -> bool:
    """Tell whether the first line has headings for time, identifier and data of frames."""
    line = source.first_data_line[1]
    if "d" not in line.lower() or not any(word in line.lower() for word in ("id", "addr")):
        return False
    columns = _columns(source.first_cells)
    return {"time", "identifier"} <= columns.keys() and ("data" in columns or "bytes" in columns)


def read_can_csv(source: Source, warnings: list[str]) -> Frames:
    """Return the data frames of a table.

    Identifiers are hexadecimal, unless a cell shows that they cannot be.

    :raises MeasurementError: for a damaged table, a time that is no number, and no frame.
    """
    heading_line, line = source.first_data_line
    headings = source.first_cells
    columns = _columns(headings)
    wanted = [index for place in columns.values() for index in place]
    table = DelimitedTable(source, heading_line, headings, delimiter_of(line), wanted, warnings)
    texts = {name: _texts(table, place) for name, place in columns.items() if name != "time"}
    seconds = table.required(columns["time"][0], _time_factor(headings, columns))
    is_base64 = "arbitrationid" in map(plain, headings) and "remote" in columns
    times, identifiers = array("d"), array("L")
    channels, payloads = [], []
    for second, *row in zip(seconds, *texts.values(), strict=True):
        cells = dict(zip(texts, row, strict=True))
        identifier, payload = _identifier(cells), _payload(cells, is_base64)
        if identifier is None or payload is None or not 0 <= second < _LATEST_SECOND:
            continue
        times.append(second)
        channels.append(cells.get("channel", ""))
        identifiers.append(identifier)
        payloads.append(payload)
    if len(times) < len(seconds):
        warnings.append(f"{len(seconds) - len(times)} rows hold no whole data frame and were left out.")
    return frames_of(source, times, channels, identifiers, payloads, {})


def _texts(table: DelimitedTable, place: Sequence[int]) -> list[str]:
    """Return the cells of a column; those of several columns joined by blanks."""
    columns = [table.text(index).combine_chunks().fill_null("") for index in place]
    texts: list[str] = pc.binary_join_element_wise(*columns, " ").to_pylist()
    return texts


def _columns(headings: Sequence[str]) -> dict[str, list[int]]:
    """Return the positions of the columns; ``bytes`` has one for each data byte, in their order."""
    names = [plain(heading) for heading in headings]
    found = {
        what: [names.index(spelling)]
        for what, spellings in _NAMES.items()
        for spelling in [next((spelling for spelling in spellings if spelling in names), None)]
        if spelling is not None
    }
    numbered = [(int(match[1]), index) for index, name in enumerate(names) if (match := _BYTE.fullmatch(name))]
    if "data" not in found and numbered:
        found["bytes"] = [index for _, index in sorted(numbered)][:LONGEST_FRAME_BYTES]
    return found


def _time_factor(headings: Sequence[str], columns: Mapping[str, Any]) -> float:
    """Return the factor to seconds; SavvyCAN counts in microseconds and does not say so."""
    unit = split_unit(headings[columns["time"][0]], {"second"})[1]
    if unit is not None:
        return unit.factor
    return 1e-6 if "bytes" in columns and "time stamp" in headings[columns["time"][0]].lower() else 1.0


def _identifier(cells: Mapping[str, str]) -> int | None:
    """Return the identifier of a row, or ``None`` for a remote frame, one that reports an error, and no identifier."""
    if any(cells.get(name, "").lower() in _TRUE for name in ("remote", "error")):
        return None
    token = cells["identifier"].lower().removesuffix("x").removesuffix("h").removeprefix("0x")
    try:
        number = int(token, 16) if re.fullmatch("[0-9a-f]{1,10}", token) else -1
    except ValueError:
        return None
    if not 0 <= number <= LARGEST_IDENTIFIER:
        return None
    is_extended = number > _ELEVEN_BITS or cells.get("extended", "").lower() in _TRUE
    return extended(number) if is_extended else number


def _payload(cells: Mapping[str, str], is_base64: bool) -> bytes | None:
    """Return the data bytes of a row, or ``None`` when some are missing."""
    stated = to_float(cells["length"]) if "length" in cells else None
    try:
        if "bytes" in cells:
            tokens = cells["bytes"].lower().replace("0x", "").split()
            payload = bytes(int(token, 16) for token in tokens[: None if stated is None else max(int(stated), 0)])
        elif is_base64:
            payload = base64.b64decode(cells["data"], validate=True)
        else:
            payload = bytes.fromhex(re.sub(r"0[xX]|[\s,.:-]", "", cells["data"]))
    except (ValueError, binascii.Error):
        return None
    # A code of length above 8 stands for more bytes (CAN FD); up to 8 it is their number.
    is_short = stated is not None and len(payload) < min(stated, 8)
    return None if is_short or len(payload) > LONGEST_FRAME_BYTES else payload
