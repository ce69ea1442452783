"""Impedance spectra of a Maccor tester (``.EDA…`` files): text with tabs, whose rows are shorter than the headings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from battery_pilot.measurements.impedance.rows import check_end, rows_of, values_of
from battery_pilot.measurements.tables import Points, impedance_measurement
from battery_pilot.measurements.times import start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "Maccor AC impedance text"
_FIRST_WORDS = "MACCOR, INC."
_TEST = "AC Impedance Test"
# The files say C(F) for -1 / (2 pi f Z''), so that Z'(a) and Z''(b) are in ohm.
_COLUMNS = ("Freq(Hz)", "Z'(a)", "Z''(b)")
_BIAS = "V-DC"
_START = re.compile(r"Start Date: *(?:\w+day, )?([^\n]*?) *Start Time: *([\d:]+)")


class MaccorImpedanceReader:
    """Reads one spectrum of a Maccor tester with a frequency response analyser."""

    name = "maccor-eda"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = ()
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for the first line of such a file."""
        return 90 if source.head_text.startswith(_FIRST_WORDS) and _TEST in source.head_text[:200] else 0

    def read(self, source: Source) -> Measurement:
        """Read the table below the line of headings.

        :raises MeasurementError: when the headings are missing or a row breaks off.
        """
        text = source.text(_EXPECTED)
        start = text.find(f"\n{_COLUMNS[0]}\t") + 1
        line, _, block = text[start:].partition("\n")
        headings = line.split("\t")
        if not start or any(heading not in headings for heading in _COLUMNS):
            raise source.error(
                "header", f"expected a line of headings with {', '.join(_COLUMNS)}; export the file again"
            )
        if not block.strip():
            raise source.error("table", "no data rows; the file is truncated or empty")
        width = min(len(headings), block.lstrip("\n").partition("\n")[0].count("\t") + 1)
        rows = rows_of(block, text.count("\n", 0, start) + 2, "\t", width, source)
        positions = [headings.index(heading) for heading in _COLUMNS]
        if max(positions) >= width:
            raise source.error(
                f"line {rows.lines[0]}", f"{width} columns found, {len(headings)} expected; copy the file again"
            )
        warnings: list[str] = []
        check_end(text, rows, max(positions), width, source, warnings)
        frequency, real, imaginary = (values_of(rows, index, headings[index], source) for index in positions)
        found = _START.search(text[:start])
        facts = {
            "technique": _TEST,
            **start_facts(" ".join(found.groups()) if found else "", ("%B %d, %Y %H:%M",), warnings),
        }
        if _BIAS in headings and headings.index(_BIAS) < width:
            bias = set(values_of(rows, headings.index(_BIAS), _BIAS, source))
            if len(bias) == 1:
                facts["dc_bias_volt"] = bias.pop()
        points = Points(frequency, real, imaginary, places=rows.lines)
        return impedance_measurement(source, self.name, points, instrument="Maccor", facts=facts, warnings=warnings)
