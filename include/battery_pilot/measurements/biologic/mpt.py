"""BioLogic EC-Lab and BT-Lab text exports (``.mpt``) with impedance."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.impedance.columns import has_decimal_comma, points_of, recognise
from battery_pilot.measurements.tables import impedance_measurement
from battery_pilot.measurements.text import check_last_line, shown, to_float
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "EC-Lab ASCII text"
_FIRST_LINES = ("EC-Lab ASCII FILE", "BT-Lab ASCII FILE")
_NUMBER_OF_LINES = re.compile(r"Nb header lines *: *(\d{1,6})\b")
_SHORTEST_HEADER = 3
_BIAS_HEADINGS = ("<Ewe>/V", "Ewe/V", "<Ecell>/V")


class BioLogicReader:
    """Reads impedance from an EC-Lab export; the cycle number separates its spectra."""

    name = "biologic-mpt"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".mpt",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for the first line of an EC-Lab or BT-Lab export."""
        return 90 if source.head_text.startswith(_FIRST_LINES) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table below the header, whose length the second line states.

        :raises MeasurementError: when the header is longer than the file, the frequency is missing or a row breaks off.
        """
        text = source.text(_EXPECTED)
        lines = text.split("\n")
        header, start = _header(lines, source)
        headings = lines[start - 1].rstrip().split("\t")
        columns = recognise(headings)
        if columns is None:
            problem = (
                "expected the columns freq/Hz, Re(Z)/Ohm and -Im(Z)/Ohm, found "
                f"{shown(', '.join(headings))}; export an impedance technique with its frequency"
            )
            raise source.error(f"line {start}", problem)
        numbered = enumerate(lines[start:], start=start + 1)
        rows = [(line, content.split("\t")) for line, content in numbered if content.strip()]
        decimal_comma = has_decimal_comma((cells for _, cells in rows), "\t")
        warnings: list[str] = []
        if rows and lines[-1]:
            tail = [(line, "\t".join(cells)) for line, cells in rows[-30:]]
            check_last_line(tail, "\t", source, warnings, used=columns.last_position == len(headings) - 1)
        points = points_of(rows, columns, len(headings), source, decimal_comma)
        facts = _metadata(header, warnings)
        bias = _mean_bias(headings, [cells for _, cells in rows], decimal_comma)
        if bias is not None:
            facts.setdefault("dc_bias_volt", bias)
        return impedance_measurement(
            source,
            self.name,
            points,
            instrument=f"BioLogic {_value(header, 'Device').partition(' (')[0]}".strip(),
            facts=facts,
            warnings=warnings,
        )


def _header(lines: list[str], source: Source) -> tuple[list[str], int]:
    """Return the header lines and how many they are with the line of headings."""
    found = _NUMBER_OF_LINES.match(lines[1]) if len(lines) > 1 else None
    if not found:
        second = shown(lines[1]) if len(lines) > 1 else "nothing"
        raise source.error("line 2", f"expected 'Nb header lines : n', found {second}")
    announced = int(found[1])
    if not _SHORTEST_HEADER <= announced <= len(lines):
        problem = f"truncated file: a header of {announced} lines announced, the file ends at line {len(lines)}"
        raise source.error("header", f"{problem}; copy the file again")
    return lines[: announced - 1], announced


def _value(header: list[str], name: str) -> str:
    """Return the value of a header line ``name : value``, or an empty string."""
    for line in header:
        found, colon, value = line.partition(" : ")
        if colon and found.strip() == name:
            return value.strip()
    return ""


def _metadata(header: list[str], warnings: list[str]) -> dict[str, Any]:
    started = _value(header, "Technique started on") or _value(header, "Acquisition started on")
    facts = start_facts(started, DATES, warnings)
    software = next((line.strip() for line in header if line.rstrip().endswith("(software)")), "")
    channel = _value(header, "Run on channel").partition(" (")[0]
    facts.update({name: text for name, text in (("instrument_software", software), ("channel", channel)) if text})
    area, _, unit = _value(header, "Electrode surface area").partition(" ")
    value = to_float(area, decimal_comma=True)
    if value and unit.startswith("cm"):
        facts["electrode_area_square_centimetre"] = value
    facts.update(facts_in(_value(header, "Comments"), warnings))
    return facts


def _mean_bias(headings: list[str], rows: list[list[str]], decimal_comma: bool) -> float | None:
    """Return the mean direct voltage in volt; the columns are averages over the point."""
    position = next((headings.index(heading) for heading in _BIAS_HEADINGS if heading in headings), None)
    if position is None:
        return None
    values = [to_float(cells[position], decimal_comma) for cells in rows]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
