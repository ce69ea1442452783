"""Eco Chemie ``.dfr`` files of the FRA program for Autolab instruments.

The layout is known from files of version 8.0: a line with the version, one with the number of points, one more, then
nine lines a point, of which the first three are frequency, real part and the imaginary part with its sign turned. Two
dates follow; which of them is the start is not known, so that none is told.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from battery_pilot.measurements.tables import Points, impedance_measurement
from battery_pilot.measurements.text import numbers, shown, to_float

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "Eco Chemie FRA text"
_VERSION = "VERSION"
_KNOWN_VERSION = "8.0"
_HEADER_LINES = 3
_LINES_PER_POINT = 9
_NUMBERS_BEHIND_POINTS = 3


class EcoChemieReader:
    """Reads the spectrum of an Eco Chemie FRA file."""

    name = "ecochemie-dfr"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".dfr",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for a version in the first line and a number of points alone in the second."""
        if not source.head_text.startswith(_VERSION):
            return 0
        return 90 if (source.head_text.split("\n", 2) + [""])[1].strip().isdecimal() else 0

    def read(self, source: Source) -> Measurement:
        """Read the points that the second line announces.

        :raises MeasurementError: when the file ends before the last of them or a line holds no number.
        """
        lines = source.text(_EXPECTED).split("\n")
        version = lines[0].removeprefix(_VERSION).strip()
        warnings = []
        if version != _KNOWN_VERSION:
            warnings.append(f"The file is of version {shown(version)} and was read as version {_KNOWN_VERSION}.")
        count = int(lines[1].strip()[:9])
        end = _HEADER_LINES + count * _LINES_PER_POINT
        if len(lines) <= end:
            problem = f"truncated: {count} points are announced, which need {end} lines; copy the file again"
            raise source.error(f"line {len(lines)}", problem)

        _demand_whole_points(source, lines, end, version)

        def values(position: int, name: str) -> list[float]:
            start = _HEADER_LINES + position
            return numbers(
                lines[start:end:_LINES_PER_POINT], range(start + 1, end + 1, _LINES_PER_POINT), source, name
            )

        return impedance_measurement(
            source,
            self.name,
            Points(
                values(0, "frequency"),
                values(1, "real part"),
                [-value for value in values(2, "imaginary part")],
                places=range(_HEADER_LINES + 1, end + 1, _LINES_PER_POINT),
            ),
            instrument="Eco Chemie Autolab",
            warnings=warnings,
        )


def _demand_whole_points(source: Source, lines: list[str], end: int, version: str) -> None:
    """Refuse a file with a missing or doubled line, behind which every number would be taken for its neighbour."""
    behind = end + _NUMBERS_BEHIND_POINTS if version == _KNOWN_VERSION else end
    try:
        deque(map(float, lines[1:behind]), maxlen=0)  # Keeps none of them: only the columns are needed.
    except ValueError:
        wrong = next(index for index, line in enumerate(lines[1:behind], 2) if to_float(line) is None)
        problem = f"expected a number, found {shown(lines[wrong - 1])}: lines are missing; copy the file again"
        raise source.error(f"line {wrong}", problem) from None
    if version == _KNOWN_VERSION and behind < len(lines) and to_float(lines[behind]) is not None:
        problem = f"expected a date behind {end // _LINES_PER_POINT} points, found {shown(lines[behind])}"
        raise source.error(f"line {behind + 1}", f"{problem}: lines are doubled; copy the file again")
