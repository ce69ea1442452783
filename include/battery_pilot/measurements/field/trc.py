"""PEAK TRC: a text trace of a CAN bus; layout after PEAK-System, "PEAK CAN TRC File Format", versions 1.0 to 2.1."""

from __future__ import annotations

import re
import sys
from array import array
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.field.frames import (
    LARGEST_IDENTIFIER,
    LONGEST_FRAME_BYTES,
    Frames,
    frames_of,
    hexadecimal_identifier,
    tell_others,
)
from battery_pilot.measurements.text import shown
from battery_pilot.measurements.times import ASSUMED_ZONE, OTHER_DATES, start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.source import Source

_TRC_VERSION = re.compile(r"^;\$FILEVERSION=([12]\.\d)", re.MULTILINE)
_TRC_COLUMNS = re.compile(r"^;\$COLUMNS=([A-Za-z,]{1,60})", re.MULTILINE)
_TRC_START = re.compile(r"^;\$STARTTIME=(\d{1,6}(?:\.\d{1,15})?)", re.MULTILINE)
_TRC_DATE = re.compile(r"^;[ \t]+Start time: (\d\d\.\d\d\.\d{4} \d\d:\d\d:\d\d(?:\.\d{1,3})?)", re.MULTILINE)
_TRC_1 = re.compile(
    r"^[ \t]*\d+\)[ \t]+(?P<O>\d{1,15}(?:\.\d{1,6})?)[ \t]+(?:(?P<B>\d{1,2})[ \t]+)?(?:(?:Rx|Tx)[ \t]+)?"
    r"(?P<I>[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8})[ \t]+(?:-[ \t]+)?(?P<l>\d{1,2})(?P<D>(?:[ \t]+[0-9A-Fa-f]{2}(?!\S))*)",
    re.MULTILINE,
)
_TRC_2 = {
    "N": r"\d+",
    "O": r"(?P<O>\d{1,15}(?:\.\d{1,6})?)",
    "T": r"(?:DT|FD|FB|FE|BI|EC)",
    "B": r"(?P<B>\d{1,2}|-)",
    "I": r"(?P<I>[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8})",
    "d": r"(?:Rx|Tx|-)",
    "R": r"-",
    "L": r"(?P<L>\d{1,2})",
    "l": r"(?P<l>\d{1,2})",
    "D": r"(?P<D>(?:[ \t]*(?<![0-9A-Fa-f])[0-9A-Fa-f]{2}(?!\S))*)",
}
_FD_LENGTHS = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)
_SPREADSHEET_DAY_0 = datetime(1899, 12, 30)  # noqa: DTZ001 - a zone is not stated


def is_trc(source: Source) -> bool:
    """Tell whether the file begins like a PEAK trace."""
    head = source.head_text
    return head.startswith(";$FILEVERSION=") or (
        head.startswith(";####") and "PCAN" in head and "number in actual" in head
    )


def read_trc(source: Source, warnings: list[str]) -> Frames:
    """Return the data frames of a PEAK trace, versions 1.0 to 2.1.

    :raises MeasurementError: for no frame, or columns that are not known.
    """
    text = source.text("PEAK CAN trace")
    times, identifiers = array("d"), array("L")
    channels, payloads = [], []
    for row in _trc_pattern(source, text).finditer(text):
        cells = row.groupdict()
        payload = bytes.fromhex(cells["D"])
        stated = int(cells["l"]) if cells.get("l") else _FD_LENGTHS[min(int(cells["L"]), 15)]
        if len(payload) != stated or stated > LONGEST_FRAME_BYTES or int(cells["I"], 16) > LARGEST_IDENTIFIER:
            continue
        times.append(float(cells["O"]) / 1000)
        channels.append(sys.intern(cells.get("B") or ""))
        identifiers.append(hexadecimal_identifier(cells["I"]))
        payloads.append(payload)
    tell_others(text, len(times), warnings)
    return frames_of(source, times, channels, identifiers, payloads, _trc_start(text, warnings))


def _trc_pattern(source: Source, text: str) -> re.Pattern[str]:
    """Return the pattern of a line with a data frame."""
    version = _TRC_VERSION.search(text)
    if version is None or version[1].startswith("1"):
        return _TRC_1
    columns = _TRC_COLUMNS.search(text)
    letters = columns[1].split(",") if columns else []
    if not {"O", "I", "D"} <= set(letters) <= _TRC_2.keys() or not {"L", "l"} & set(letters):
        problem = f"expected ;$COLUMNS with O, I, D and L or l, found {shown(columns[1] if columns else '')}"
        raise source.error("header", problem)
    if len(set(letters)) < len(letters):
        raise source.error("header", f"a column is named twice in {shown(','.join(letters))}")
    body = r"[ \t]+".join(_TRC_2[letter] for letter in letters).replace(r"[ \t]+(?P<D>", r"[ \t]*(?P<D>")
    return re.compile(rf"^[ \t]*{body}[ \t]*$", re.MULTILINE)


def _trc_start(text: str, warnings: list[str]) -> dict[str, Any]:
    days, written = _TRC_START.search(text), _TRC_DATE.search(text)
    if days is not None and float(days[1]) < 1e5:
        moment = _SPREADSHEET_DAY_0 + timedelta(days=float(days[1]))
        warnings.append(ASSUMED_ZONE)
        return {"started_at": f"{moment.isoformat()}+00:00", "time_zone": "assumed UTC"}
    return start_facts(written[1], OTHER_DATES, warnings) if written else {}
