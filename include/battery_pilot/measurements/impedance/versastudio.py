"""VersaStudio ``.par`` files of Princeton Applied Research with impedance.

Sections between ``<Name>`` and ``</Name>`` hold one ``key=value`` a line; a ``Segment`` section holds the rows of all
actions below a line ``Definition=`` with their headings, and the column ``Segment #`` numbers the actions.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.impedance.rows import Rows, check_end, rows_of, values_of
from battery_pilot.measurements.tables import Points, impedance_measurement
from battery_pilot.measurements.text import shown, to_float
from battery_pilot.measurements.times import start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "VersaStudio text"
_FIRST_LINES = "<Application>\nName=VersaStudio\n"
_SEGMENT, _END_OF_SEGMENT, _DEFINITION = "\n<Segment", "</Segment", "\nDefinition="
_DATES = ("%B %d, %Y %I:%M:%S %p", "%B %d, %Y %H:%M:%S")
_TECHNIQUE = " EIS"
_FREQUENCY, _REAL, _IMAGINARY, _VOLTAGE, _NUMBER = "Frequency(Hz)", "Z Real", "Z Imag", "E(V)", "Segment #"
_NEEDED = (_FREQUENCY, _REAL, _IMAGINARY, _NUMBER)


class _Segment(NamedTuple):
    """The rows of one segment section with the positions of its headings."""

    columns: dict[str, int]
    rows: Rows

    def values(self, heading: str, source: Source) -> list[float]:
        return values_of(self.rows, self.columns[heading], heading, source)


class VersaStudioReader:
    """Reads the impedance of all actions of a VersaStudio file, each a spectrum."""

    name = "versastudio-par"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".par",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for the first lines of a VersaStudio file."""
        return 90 if source.head_text.startswith(_FIRST_LINES) else 0

    def read(self, source: Source) -> Measurement:
        """Read the rows with a frequency; those of other actions are left out with a warning.

        :raises MeasurementError: when no action measured impedance, or when a row breaks off.
        """
        text = source.text(_EXPECTED)
        header = text[: text.find(_SEGMENT) % (len(text) + 1)]
        warnings: list[str] = []
        segments = _segments(text, source, warnings)
        frequency = list(chain(*(segment.values(_FREQUENCY, source) for segment in segments)))
        if not any(frequency):
            problem = (
                f"no impedance in the file: its actions are {shown(', '.join(_actions(header)) or 'none')}; hand in a file "
                "with an EIS action"
            )
            raise source.error("file", problem)
        points = Points(
            frequency,
            list(chain(*(segment.values(_REAL, source) for segment in segments))),
            list(chain(*(segment.values(_IMAGINARY, source) for segment in segments))),
            _numbers(segments),
            list(chain(*(segment.rows.lines for segment in segments))),
        )
        is_one = len(set(points.spectrum or ())) == 1 and all(frequency)
        voltage = segments[0].values(_VOLTAGE, source) if is_one and _VOLTAGE in segments[0].columns else []

        def facts(warnings: list[str]) -> dict[str, Any]:
            found = _metadata(header, warnings)
            techniques = [name for name in _actions(header) if name.endswith(_TECHNIQUE)]
            if techniques:
                found["technique"] = ", ".join(techniques)
            if voltage:
                found["dc_bias_volt"] = sum(voltage) / len(voltage)
            return found

        return impedance_measurement(source, self.name, points, facts=facts, warnings=warnings)


def _segments(text: str, source: Source, warnings: list[str]) -> list[_Segment]:
    """Return the rows of all segment sections that hold any."""
    segments = []
    line, position = 1, 0
    while (start := text.find(_DEFINITION, position) + 1) > 0:
        line += text.count("\n", position, start)
        end_of_line = text.find("\n", start) % (len(text) + 1)
        columns = _columns(text[start + len(_DEFINITION) - 1 : end_of_line], line, source)
        position = text.find(_END_OF_SEGMENT, end_of_line)
        if position < 0:
            warnings.append("The file ends inside a segment; it is cut or the measurement was not finished.")
            position = len(text)
        block = text[end_of_line + 1 : position]
        if block.strip():
            rows = rows_of(block, line + 1, ",", len(columns), source)
            last_used = max(columns[name] for name in _NEEDED)
            check_end(block, rows, last_used, len(columns), source, warnings)
            segments.append(_Segment(columns, rows))
        line += text.count("\n", start, position)
    return segments


def _columns(definition: str, line: int, source: Source) -> dict[str, int]:
    """Return the position of each heading; behind the last stands a number that no row has a cell for."""
    headings = [heading.strip() for heading in definition.split(",")]
    if headings[-1] == "0":
        headings.pop()
    columns = {heading: index for index, heading in enumerate(headings)}
    missing = [name for name in _NEEDED if name not in columns]
    if missing or len(columns) < len(headings):
        problem = (
            f"truncated or damaged definition: column {(missing or headings)[0]} is missing or stands there twice"
        )
        raise source.error(f"line {line}", problem)
    return columns


def _numbers(segments: list[_Segment]) -> list[str]:
    """Return what tells the action of each row: the section and the number of the action in it."""
    return [
        f"{index} {number}"
        for index, segment in enumerate(segments)
        for number in segment.rows.column(segment.columns[_NUMBER])
    ]


def _value(header: str, key: str) -> str:
    """Return the value of the first line ``key=value``, or an empty string."""
    found = header.partition(f"\n{key}=")[2]
    return found.partition("\n")[0].strip()


def _actions(header: str) -> list[str]:
    """Return the names of the actions, each once; the first section holds what they have in common."""
    sections = (section.partition("</Action")[0] for section in header.split("\n<Action")[2:])
    return list(dict.fromkeys(_value(section, "Name") for section in sections))


def _metadata(header: str, warnings: list[str]) -> dict[str, Any]:
    day = _value(header, "DateAcquired").partition(", ")[2]  # Behind the day of the week.
    facts = start_facts(f"{day} {_value(header, 'TimeAcquired')}", _DATES, warnings)
    area = to_float(_value(header, "Working Electrode Area (cm2)"))
    if area:
        facts["electrode_area_square_centimetre"] = area
    version = _value(header, "Version")
    if version:
        facts["instrument_software"] = f"VersaStudio {version}"
    model = f"{_value(header, 'Type')}{_value(header, 'Model')}"
    facts["instrument"] = f"Princeton Applied Research {model}".strip()
    facts.update(facts_in(_value(header, "Comment"), warnings))
    return facts
