"""Zahner ``.ism`` files: magnitude and phase as big-endian binary numbers.

The layout is the one that Zahner's own package zahner_analysis (MIT) reads: a version and the number of the last
point as integers of 6 bytes; frequency, magnitude, phase in radian and time in seconds since 1980 as 64-bit floats,
quantity by quantity; a significance of 2 bytes for each point; texts with their length in 2 bytes and the case of
their letters swapped; the length of what follows; 32 settings; and, where they were recorded, voltage and current.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.tables import FloatArray, Points, impedance_measurement
from battery_pilot.measurements.times import ISO, start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

# The version is a small negative number: -1 or -2 in 32 bits behind two bytes of 0.
_MAGIC = b"\x00\x00\xff\xff\xff"
_HEADER_BYTES = 12
_BYTES_PER_POINT = 4 * 8 + 2
_SETTINGS_BYTES = 32 * 8
_TEXTS = (
    *("date", "system", "voltage", "current", "temperature", "time_window"),
    *("comment_1", "comment_2", "comment_3", "comment_4", "electrode_area", "series"),
)
_SOFTWARE = re.compile(r"Zahner Analysis \d[\d.]*")
_VOLTAGE = re.compile(r"([-+]?\d{1,9}(?:\.\d{0,12})?)(m?)V")
_EPOCH = datetime(1980, 1, 1)  # noqa: DTZ001
# Programs that write no times number the points instead; no instrument had a clock set to 1980.
_FIRST_SECOND, _LAST_SECOND = 366 * 86400.0, 2.0**32
# Wider than any instrument measures; what lies outside was no frequency in hertz and no angle in radian.
_FREQUENCY_LIMITS_HERTZ = (1e-9, 1e12)
_LARGEST_PHASE_RADIAN = 4 * math.pi


class ZahnerReader:
    """Reads the sweep of a Zahner file."""

    name = "zahner-ism"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".ism",)
    expects = "Zahner impedance data"

    def sniff(self, source: Source) -> int:
        """Return 90 for the version that begins a Zahner file."""
        return 90 if source.data.startswith(_MAGIC) else 0

    def read(self, source: Source) -> Measurement:
        """Read the sweep between the lowest and the highest frequency.

        Thales measures from its start frequency to one limit, turns there and measures to the other limit; what lies
        before the turning point was measured again and is left out with a warning.

        :raises MeasurementError: when the file is shorter than its points or holds what cannot be an impedance.
        """
        warnings: list[str] = []
        frequency, magnitude, phase, second = _quantities(source)
        count = len(frequency)
        sweep = _sweep(frequency)
        left_out = count - (sweep.stop - sweep.start)
        if left_out:
            warnings.append(
                f"{left_out} points outside the sweep between the lowest and the highest frequency were left out; "
                "their frequencies were measured twice."
            )
        texts, position = _texts(source.data, _HEADER_BYTES + count * _BYTES_PER_POINT)
        _demand_end_of_points(source, count, texts)
        voltage = _voltages(source.data, position, count, warnings)
        if len(texts) < len(_TEXTS):
            warnings.append("The file ends within its notes; what follows its points may be cut.")
        real, imaginary = magnitude * np.cos(phase), magnitude * np.sin(phase)
        return impedance_measurement(
            source,
            self.name,
            Points(frequency[sweep], real[sweep], imaginary[sweep]),
            instrument="Zahner",
            facts=_metadata(texts, second, None if voltage is None else voltage[sweep], warnings),
            warnings=warnings,
        )


def _quantities(source: Source) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return frequency, magnitude, phase and time of all points.

    The number of points is compared with the size of the file before anything is made of that size.
    """
    count = int.from_bytes(source.data[6:_HEADER_BYTES], "big") + 1
    needed = _HEADER_BYTES + count * _BYTES_PER_POINT
    if len(source.data) < needed:
        problem = f"truncated: {count} points are announced, which need {needed} bytes; copy the file again"
        raise source.error(f"byte {len(source.data)}", problem)
    values = np.frombuffer(source.data, ">f8", 4 * count, _HEADER_BYTES).astype(np.float64)
    frequency, magnitude, phase, second = values.reshape(4, count)
    lowest, highest = _FREQUENCY_LIMITS_HERTZ
    for name, possible in (
        ("frequency", (frequency >= lowest) & (frequency <= highest)),
        ("magnitude", (magnitude >= 0) & (magnitude < np.inf)),
        ("phase", np.abs(phase) <= _LARGEST_PHASE_RADIAN),
    ):
        if not possible.all():
            problem = f"damaged: no instrument measures the {name} of this point; copy the file again"
            raise source.error(f"point {int(np.argmin(possible)) + 1}", problem)
    return frequency, magnitude, phase, second


def _demand_end_of_points(source: Source, count: int, texts: dict[str, str]) -> None:
    """Refuse a number of points that the rest of the file does not confirm.

    A wrong one shifts all quantities, which can look like other ones. Significances are parts in a thousand, and the
    texts begin with a date of six digits; one of both is enough, as versions of the format differ in their texts.
    """
    start = _HEADER_BYTES + count * (_BYTES_PER_POINT - 2)
    significance = np.frombuffer(source.data, ">i2", count, start)
    is_share = significance.min() >= 0 and significance.max() <= 1000
    date = texts.get("date", "")
    if not is_share and not (len(date) == 6 and date.isdecimal()):
        problem = (
            f"{count} points are announced, but the bytes behind so many are no significances; copy the file again"
        )
        raise source.error(f"byte {start}", problem)


def _sweep(frequency: FloatArray) -> slice:
    first, last = sorted((int(frequency.argmin()), int(frequency.argmax())))
    return slice(first, last + 1)


def _texts(data: bytes, position: int) -> tuple[dict[str, str], int]:
    """Return the texts by name, without those that the file's end cuts, and the position behind them."""
    texts: dict[str, str] = {}
    for name in _TEXTS:
        start = position + 2
        end = start + int.from_bytes(data[position:start], "big")
        if end > len(data):
            break
        texts[name] = data[start:end].swapcase().decode("latin-1")
        position = end
    return texts, position


def _voltages(data: bytes, position: int, count: int, warnings: list[str]) -> FloatArray | None:
    """Return the direct voltage at each point, or ``None`` where the file holds none."""
    start = position + 2
    length = int.from_bytes(data[position:start], "big")
    if length != _SETTINGS_BYTES + count * 16:
        return None
    if start + length > len(data):
        warnings.append("The file ends within its voltages and currents, which may be cut and were left out.")
        return None
    voltage = np.frombuffer(data, ">f8", 2 * count, start + _SETTINGS_BYTES)[::2].astype(np.float64)
    return voltage if np.isfinite(voltage).all() else None


def _metadata(
    texts: dict[str, str], second: FloatArray, voltage: FloatArray | None, warnings: list[str]
) -> dict[str, Any]:
    """Return the facts of the file.

    Its temperature is left out: Thales writes one also where no sensor is connected. The electrode area is a text
    without a unit.
    """
    facts = _start(texts, second, warnings)
    notes = "\n".join(texts.get(name, "") for name in ("system", "comment_1", "comment_2", "comment_3", "comment_4"))
    software = _SOFTWARE.search(notes)
    if software:
        facts["instrument_software"] = software[0]
    written = _VOLTAGE.match(texts.get("voltage", ""))
    if "simulation" in notes.lower():
        warnings.append("The file calls itself a simulation; its points may be calculated, not measured.")
    elif voltage is not None:
        facts["dc_bias_volt"] = float(voltage.mean())
    elif written:
        facts["dc_bias_volt"] = float(written[1]) * (1e-3 if written[2] else 1.0)
    facts.update(facts_in(notes, warnings))
    return facts


def _start(texts: dict[str, str], second: FloatArray, warnings: list[str]) -> dict[str, Any]:
    """Return the time of the first point, or the start that the notes tell where the points have no times."""
    first = float(np.abs(second).min())
    if _FIRST_SECOND <= first < _LAST_SECOND:
        return start_facts((_EPOCH + timedelta(seconds=first)).isoformat(), (ISO,), warnings)
    date, time = texts.get("date", "")[:6], texts.get("time_window", "")[:8]
    return start_facts(f"{date} {time}", ("%d%m%y %H:%M:%S",), warnings) if date and time else {}
