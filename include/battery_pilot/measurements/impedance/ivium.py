"""Ivium ``.idf`` files with one scan and ``.ids`` files with several.

The layout is known from files of IviumSoft: records of ``key=value`` lines between binary marks, then data objects. An
object is a line with its name, one with its number of columns, one with its number of rows, and the rows. That of an
impedance scan is ``primary_data`` with real part, imaginary part with its sign, and frequency. Objects behind it, such
as the oscillograms of ``osc_data``, are not read.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from battery_pilot.measurements.tables import Points, impedance_measurement
from battery_pilot.measurements.text import numbers, shown, to_float
from battery_pilot.measurements.times import DATES, ISO, OTHER_DATES, start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_OBJECT = "primary_data"
_COLUMNS = ("real part", "imaginary part", "frequency")
_HEADER_BYTES = 1024
# The empty records that end a file; a copy as text may have turned them into blanks.
_END = re.compile(rb"[\r\n][\x00 ]{4,5}[\r\n]+[\x00 ]?\Z")
_END_BYTES = 12
_FIRST_DAY = datetime(1899, 12, 30)  # noqa: DTZ001
_LAST_DAY = 100_000.0
_REPORT_ENTRY = r"{} *: ([^\x1c-\x1f\n]+)"
_SOFTWARE = re.compile(_REPORT_ENTRY.format("software vs"))
_HARDWARE = re.compile(_REPORT_ENTRY.format("hw config"))
_CHANNEL = re.compile(_REPORT_ENTRY.format("channel"))


class _Scan(NamedTuple):
    """One scan: its settings as text, the line where its data begin, and what follows from there."""

    header: str
    line: int
    data: str


class IviumReader:
    """Reads the impedance scans of an Ivium file, each as its own spectrum."""

    name = "ivium"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".idf", ".ids")
    expects = "an Ivium file"

    def sniff(self, source: Source) -> int:
        """Return 90 for the record that begins an Ivium file."""
        start = source.data[:_HEADER_BYTES]
        return 90 if b"Peaks=" in start and b"Solarcell=" in start else 0

    def read(self, source: Source) -> Measurement:
        """Read all impedance scans; scans of other methods are left out with a warning.

        :raises MeasurementError: when there is no impedance scan, or when one has fewer rows than it announces.
        """
        scans = _scans(source)
        warnings: list[str] = []
        found = [scan for scan in scans if _value(scan.header, "Method") == "Impedance"]
        others = {_value(scan.header, "Method") or "unknown" for scan in scans if scan not in found}
        if not found:
            problem = f"no impedance scan in the file (methods found: {', '.join(sorted(others)) or 'none'})"
            raise source.error("file", f"{problem}; hand in an impedance measurement")
        if others:
            left_out = len(scans) - len(found)
            warnings.append(f"{left_out} scans that are no impedance ({', '.join(sorted(others))}) were left out.")
        columns: tuple[list[float], list[float], list[float]] = ([], [], [])
        spectrum: list[int] = []
        for index, scan in enumerate(found):
            rows = _rows(scan, source)
            for column, values in zip(columns, rows, strict=True):
                column += values
            spectrum += [index] * len(rows[0])
            warnings += _early_end(scan, len(rows[0]))
        if not _END.search(source.data[-_END_BYTES:]):
            warnings.append("The file does not end as Ivium files do; it may be cut, and scans behind it be missing.")
        real, imaginary, frequency = columns
        hardware = _HARDWARE.search(found[0].header)
        return impedance_measurement(
            source,
            self.name,
            Points(frequency, real, imaginary, spectrum),
            instrument=f"Ivium {hardware[1].strip()}" if hardware else "Ivium",
            facts=_metadata(found, warnings),
            warnings=warnings,
        )


def _scans(source: Source) -> list[_Scan]:
    """Return the scans of the file.

    :raises MeasurementError: when settings at the end have no data, as the beginning of a cut scan.
    """
    # Not splitlines: the file has control characters that it takes for line ends.
    text = source.data.decode("latin-1").replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
    parts = text.split(f"\n{_OBJECT}")
    scans = []
    line = 1
    for before, after in zip(parts, parts[1:], strict=False):
        line += before.count("\n") + 1
        scans.append(_Scan(before, line, after))
    if "\nMethod=" in parts[-1] or (scans and "\nPeaks=" in parts[-1]):
        raise source.error("end of file", f"truncated: the last scan has no {_OBJECT}; copy the file again")
    return scans


def _value(header: str, key: str) -> str:
    """Return the last value of a key in the settings, or an empty string."""
    _, found, after = header.rpartition(f"\n{key}=")
    return after.partition("\n")[0].strip() if found else ""


def _rows(scan: _Scan, source: Source) -> tuple[list[float], list[float], list[float]]:
    """Return real part, imaginary part and frequency of a scan."""
    _, width, announced, rest = (scan.data.split("\n", 3) + ["", "", ""])[:4]
    if width.strip() != str(len(_COLUMNS)) or not announced.strip().isdecimal():
        problem = (
            f"expected {len(_COLUMNS)} columns and the number of rows, found {shown(width.strip())} and "
            f"{shown(announced.strip())}; the file is truncated or damaged"
        )
        raise source.error(f"line {scan.line + 1}", problem)
    count = int(announced.strip()[:9])
    rows = rest.split("\n", count)
    if len(rows) <= count:
        problem = f"truncated: {len(rows) - 1} whole rows found, {count} announced; copy the file again"
        raise source.error(f"line {scan.line + 2}", problem)
    cells = [row.split() for row in rows[:count]]
    lines = range(scan.line + 3, scan.line + 3 + count)
    behind = rows[count].partition("\n")[0].split()
    if len(behind) == len(_COLUMNS) and to_float(behind[0], decimal_comma=True) is not None:
        raise source.error(f"line {lines.stop}", f"more rows found than the {count} announced; copy the file again")
    for line, row in zip(lines, cells, strict=True):
        if len(row) != len(_COLUMNS):
            raise source.error(
                f"line {line}", f"{len(row)} numbers found, {len(_COLUMNS)} expected; copy the file again"
            )
    decimal_comma = any("," in cell for row in cells for cell in row)
    real, imaginary, frequency = (
        numbers([row[position] for row in cells], lines, source, name, decimal_comma)
        for position, name in enumerate(_COLUMNS)
    )
    return real, imaginary, frequency


def _early_end(scan: _Scan, points: int) -> list[str]:
    """Warn when a scan has fewer points than frequencies were asked for."""
    asked = _value(scan.header, "Frequencies")
    if not asked.isdecimal() or int(asked[:9]) <= points:
        return []
    return [f"A scan was stopped early: {asked[:9]} frequencies were asked for, {points} were measured."]


def _metadata(scans: list[_Scan], warnings: list[str]) -> dict[str, Any]:
    """Return the facts of the first scan, and of the others where all agree."""
    header = scans[0].header
    facts = _start(header, warnings)
    technique = {_value(scan.header, "Technique") for scan in scans}
    if len(technique) == 1:
        facts["technique"] = f"Impedance {technique.pop()}".strip()
    biases = {_bias(scan.header) for scan in scans}
    numbers_found = {
        "dc_bias_volt": biases.pop() if len(biases) == 1 else None,
        "electrode_area_square_centimetre": to_float(_value(header, "Data Options.Area"), decimal_comma=True),
    }
    facts.update({name: value for name, value in numbers_found.items() if value is not None})
    software, channel = _SOFTWARE.search(header), _CHANNEL.search(header)
    if software and software[1][0].isdecimal():
        facts["instrument_software"] = f"IviumSoft {software[1].strip()}"
    if channel:
        facts["channel"] = channel[1].strip()
    return facts


def _bias(header: str) -> float | None:
    """Return the direct voltage of a scan at constant potential; against an open circuit it is not known."""
    absolute = _value(header, "Apply wrt OCP") == "false" and _value(header, "Technique") == "Constant E"
    return to_float(_value(header, "E start"), decimal_comma=True) if absolute else None


def _start(header: str, warnings: list[str]) -> dict[str, Any]:
    """Return the start from the day number in the line ``QR``, else from the date that the computer's locale wrote."""
    fields = _value(header, "QR").split(",")
    day = to_float(fields[5]) if len(fields) > 5 else None
    if day is not None and 1 <= day < _LAST_DAY:
        moment = _FIRST_DAY + timedelta(seconds=round(day * 86400))
        return start_facts(moment.isoformat(), (ISO,), warnings)
    text = _value(header, "starttime")
    facts = start_facts(text, (*OTHER_DATES, *DATES), warnings)
    day_month = re.match(r"(\d\d?)/(\d\d?)/", text)
    if day_month and max(map(int, day_month.groups())) <= 12 and day_month[1] != day_month[2]:
        warnings.append(f"The date {shown(text)} was read as day, month, year.")
    return facts
