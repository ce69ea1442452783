"""What the settings and log modules of BioLogic ``.mpr`` files tell about a measurement.

The places were found by laying binary files of EC-Lab 10.40 to 11.62 and BT-Lab 1.79 beside their text exports; they
are the same in all of them.
"""

from __future__ import annotations

import struct
from datetime import datetime, timedelta
from typing import Any

from battery_pilot.measurements.biologic.techniques import SHORT_NAMES, area_facts
from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.times import ISO, start_facts

_SETTINGS_MARK = b"\x4b\x03"
_COMMENT, _AREA, _AREA_UNIT, _CAPACITY = 7, 529, 592, 604
_SQUARE_CENTIMETRES = {2: 1.0, 3: 0.01}
"""Factor to square centimetre by the number of the unit; other units were not seen."""

_CHANNEL, _STARTED, _SOFTWARE, _DEVICE = 9, 585, 951, 974
_OLE_EPOCH = datetime(1899, 12, 30)  # noqa: DTZ001 - local time of the instrument's computer
_PLAUSIBLE_OLE_DAYS = (36526.0, 73050.0)
"""Years 2000 to 2099."""
_CYCLER = 26
_CYCLER_CHANNELS = 8
"""Channels of a BCS-800 module, which are named A1 to A8, B1 to B8 and so on."""

DEVICES = {
    5: "VMP3",
    6: "VSP",
    12: "VMP-300",
    14: "SP-150",
    16: "SP-300",
    21: "SP-200",
    22: "MPG-2",
    _CYCLER: "BCS-800",
    27: "SP-240",
    34: "VSP-3e",
}
"""Instruments by the number in the log module, which is that of BioLogic's OEM package."""


def instrument(log: bytes) -> str:
    """Return maker and, where its number is known, model.

    :param log: content of the log module; empty when there is none.
    """
    model = DEVICES.get(log[_DEVICE], "") if len(log) > _DEVICE else ""
    return f"BioLogic {model}".strip()


def metadata(settings: bytes, log: bytes, date: str, warnings: list[str]) -> dict[str, Any]:
    """Return what the modules tell, as fields of :class:`battery_pilot.measurements.model.Metadata`.

    :param settings: content of the settings module.
    :param log: content of the log module; empty when there is none.
    :param date: date in the header of the settings module.
    :param warnings: receives a sentence about each guess.
    """
    facts = _start(log, date, warnings)
    facts.update(_settings_facts(settings, warnings))
    if len(log) > _DEVICE:
        version = _text(log, _SOFTWARE)
        if version:
            # BT-Lab's versions begin with 1, those of EC-Lab with 9 and more.
            facts["instrument_software"] = f"{'BT-Lab' if version.startswith('1.') else 'EC-Lab'} v{version}"
        facts["channel"] = _channel(log)
    return facts


def _channel(log: bytes) -> str:
    index = log[_CHANNEL]
    if log[_DEVICE] != _CYCLER:
        return str(index + 1)
    module, channel = divmod(index, _CYCLER_CHANNELS)
    return f"{chr(ord('A') + module)}{channel + 1}"


def _settings_facts(settings: bytes, warnings: list[str]) -> dict[str, Any]:
    if len(settings) < _CAPACITY + 4 or settings[3:5] != _SETTINGS_MARK:
        return {}
    facts = facts_in(_text(settings, _COMMENT), warnings)
    technique = SHORT_NAMES.get(settings[0])
    if technique:
        facts["technique"] = technique
    (area,) = struct.unpack_from("<f", settings, _AREA)
    factor = _SQUARE_CENTIMETRES.get(settings[_AREA_UNIT])
    if factor:
        facts.update(area_facts(_short(area * factor), warnings))
    (capacity_mah,) = struct.unpack_from("<f", settings, _CAPACITY)
    # A battery capacity determination puts its result here.
    if 0 < capacity_mah < 1e9 and technique != "BCD":
        facts["nominal_capacity_ah"] = _short(capacity_mah / 1000)
    return facts


def _start(log: bytes, date: str, warnings: list[str]) -> dict[str, Any]:
    """Return the start from the log module or, to the day, from the date in a module header."""
    day = _day(date)
    if len(log) >= _STARTED + 8:
        (days,) = struct.unpack_from("<d", log, _STARTED)
        if _PLAUSIBLE_OLE_DAYS[0] <= days < _PLAUSIBLE_OLE_DAYS[1]:
            started = _OLE_EPOCH + timedelta(milliseconds=round(days * 86_400_000))
            if day is not None and abs(started - day) > timedelta(days=2):
                warnings.append(f"The start {started} is not at the date of the settings, {date}.")
            return start_facts(started.isoformat(), (ISO,), warnings)
    if day is None:
        return {}
    warnings.append(f"The file has no log module with the time of the start; only its date, {date}, is known.")
    return start_facts(day.isoformat(), (ISO,), warnings)


def _day(date: str) -> datetime | None:
    """Return the day of a date such as ``03/26/18``; the month stands first whatever the sign between the numbers."""
    try:
        return datetime(2000 + int(date[6:]), int(date[:2]), int(date[3:5]))  # noqa: DTZ001
    except ValueError:
        return None


def _text(module: bytes, offset: int) -> str:
    """Return a text that has its length in the byte before it."""
    return module[offset + 1 : offset + 1 + module[offset]].decode("latin-1").strip()


def _short(value: float) -> float:
    """Return the decimal number of which a 32-bit number is the nearest."""
    return float(f"{value:.7g}")
