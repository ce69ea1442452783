"""Gamry Framework ``.DTA`` files with impedance.

The layout is Gamry's "EIS Data File Overview" (help.gamry.com): tab-delimited objects of tag, type and values; a curve
is a ``TABLE`` whose indented rows are headings, units and data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.impedance.columns import has_decimal_comma
from battery_pilot.measurements.tables import Points, impedance_measurement
from battery_pilot.measurements.text import numbers, to_float
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "Gamry EXPLAIN text"
_CURVE = "ZCURVE"
# A sweep ends at most one point (10 per decade: factor 1.26) away from the frequency that was asked for.
_FINAL_FREQUENCY_TOLERANCE = 1.3


class _Object(NamedTuple):
    """One tagged object of the file: its line, its fields after the tag, the indented lines below it."""

    line: int
    tag: str
    fields: list[str]
    body: list[tuple[int, str]]


class GamryReader:
    """Reads the impedance curves of a Gamry file; an aborted sweep gives the points that were measured."""

    name = "gamry-dta"
    kinds: tuple[Kind, ...] = ("impedance",)
    suffixes: tuple[str, ...] = (".dta",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for text that begins with EXPLAIN."""
        return 90 if source.head_text.lstrip().startswith("EXPLAIN\n") else 0

    def read(self, source: Source) -> Measurement:
        """Read all tables ``ZCURVE``; more than one give more than one spectrum.

        :raises MeasurementError: when there is none, when one breaks off, or when it holds fewer rows than it announces.
        """
        objects = _objects(source.text(_EXPECTED))
        curves = [item for item in objects if item.tag.startswith(_CURVE) and item.fields[:1] == ["TABLE"]]
        if not curves:
            tables = ", ".join(item.tag for item in objects if item.fields[:1] == ["TABLE"]) or "none"
            problem = f"no impedance curve ZCURVE in the file (tables found: {tables}); hand in an EIS experiment"
            raise source.error("file", problem)
        warnings: list[str] = []
        single = {item.tag: item for item in objects}
        aborted = _field(single, "EXPERIMENTABORTED", 1) == "T"
        found = [_read_curve(curve, source, aborted) for curve in curves]
        frequency = [value for points, _ in found for value in points.frequency_hertz]
        points = Points(
            frequency,
            [value for points, _ in found for value in points.real_ohm],
            [value for points, _ in found for value in points.imaginary_ohm],
            [index for index, (points, _) in enumerate(found) for _ in points.frequency_hertz],
            [line for points, _ in found for line in points.places or ()],
        )
        biases = [value for _, bias in found for value in bias]
        if aborted:
            warnings.append(f"The experiment was aborted; the {len(frequency)} points measured until then were read.")
        else:
            warnings += _early_end(single, frequency)
        return impedance_measurement(
            source,
            self.name,
            points,
            instrument=f"Gamry {_field(single, 'PSTAT', 1)}".strip(),
            facts=_metadata(objects, single, biases, warnings),
            warnings=warnings,
        )


def _objects(text: str) -> list[_Object]:
    objects: list[_Object] = []
    for line, content in enumerate(text.split("\n"), start=1):
        if content[:1] in ("\t", " ") and objects:
            objects[-1].body.append((line, content))
        elif content.strip():
            tag, *fields = content.split("\t")
            objects.append(_Object(line, tag.strip(), [field.strip() for field in fields], []))
    return objects


def _field(objects: dict[str, _Object], tag: str, index: int) -> str:
    """Return a field of a tagged object (0 is its type), or an empty string."""
    fields = objects[tag].fields if tag in objects else []
    return fields[index] if index < len(fields) else ""


def _number_field(objects: dict[str, _Object], tag: str) -> float | None:
    text = _field(objects, tag, 1)
    return to_float(text, decimal_comma="," in text)


def _cells(content: str, width: int | None) -> list[str]:
    """Split a row at tabs, or at any blanks where only that gives as many cells as headings."""
    cells = [cell.strip() for cell in content.strip().split("\t")]
    return cells if len(cells) == width else content.split()


def _read_curve(curve: _Object, source: Source, aborted: bool) -> tuple[Points, list[float]]:
    """Return the points of one curve and its direct voltages in volt."""
    rows = [(line, content) for line, content in curve.body if content.strip()]
    headings = rows[0][1].strip().split("\t") if rows else []
    columns = {heading.strip(): position for position, heading in enumerate(headings)}
    for needed in ("Freq", "Zreal", "Zimag"):
        if needed not in columns:
            problem = f"truncated or damaged table {curve.tag}: column {needed} is missing in its headings"
            raise source.error(f"line {curve.line}", problem)
    table = [(line, _cells(content, len(headings))) for line, content in rows[2:]]
    for line, cells in table:
        if len(cells) != len(headings):
            problem = f"truncated row: {len(cells)} columns found, {len(headings)} expected; copy the file again"
            raise source.error(f"line {line}", problem)
    announced = curve.fields[1] if len(curve.fields) > 1 else ""
    if announced.isdecimal() and len(table) < int(announced[:9]) and not aborted:
        problem = (
            f"truncated table {curve.tag}: {len(table)} rows found, {announced[:9]} announced; copy the file again"
        )
        raise source.error(f"line {curve.line}", problem)
    decimal_comma = has_decimal_comma((cells for _, cells in table), "\t")

    lines = [line for line, _ in table]

    def values(heading: str) -> list[float]:
        return numbers([cells[columns[heading]] for _, cells in table], lines, source, heading, decimal_comma)

    points = Points(values("Freq"), values("Zreal"), values("Zimag"), places=lines)
    return points, values("Vdc") if "Vdc" in columns else []


def _early_end(single: dict[str, _Object], frequency: list[float]) -> list[str]:
    """Warn when a sweep to low frequencies stops well before the frequency that was asked for."""
    first, final = _number_field(single, "FREQINIT"), _number_field(single, "FREQFINAL")
    if first is None or final is None or not frequency or not 0 < final < first:
        return []
    lowest = min(frequency)
    if lowest <= final * _FINAL_FREQUENCY_TOLERANCE:
        return []
    return [f"The sweep ends at {lowest:g} Hz, before its final frequency of {final:g} Hz; the file may be cut."]


def _metadata(
    objects: list[_Object], single: dict[str, _Object], biases: list[float], warnings: list[str]
) -> dict[str, Any]:
    """Return the facts of the file; the direct voltage is the measured mean, else the set value."""
    facts = start_facts(f"{_field(single, 'DATE', 1)} {_field(single, 'TIME', 1)}", DATES, warnings)
    bias = sum(biases) / len(biases) if biases else _number_field(single, "VDC")
    area = _number_field(single, "AREA")
    numbers = {"dc_bias_volt": bias, "electrode_area_square_centimetre": area}
    facts.update({name: value for name, value in numbers.items() if value is not None})
    version = _field(single, "FRAMEWORKVERSION", 1)
    if version:
        facts["instrument_software"] = f"Gamry Framework {version}"
    notes = [content for item in objects if item.fields[:1] == ["NOTES"] for _, content in item.body]
    facts.update(facts_in("\n".join([_field(single, "TITLE", 1), *notes]), warnings))
    return facts
