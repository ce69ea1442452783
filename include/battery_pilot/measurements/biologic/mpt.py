"""BioLogic EC-Lab and BT-Lab text exports (``.mpt``, ``.txt``, ``.csv``): impedance and logs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from battery_pilot.measurements.biologic.mpt_facts import Header
from battery_pilot.measurements.biologic.quantities import cycling_columns, find_quantities, is_log, left_out
from battery_pilot.measurements.biologic.spectra import BIAS, cartesian, impedance_points
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.impedance.columns import ImpedanceColumns, recognise
from battery_pilot.measurements.impedance.rows import check_end, points_in, rows_of, values_of
from battery_pilot.measurements.row_times import row_moments
from battery_pilot.measurements.tables import FloatArray, Points, cycling_measurement, impedance_measurement
from battery_pilot.measurements.text import delimiter_of, shown, split_cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from battery_pilot.measurements.biologic.quantities import Quantity
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "EC-Lab ASCII text"
_FIRST_LINES = ("EC-Lab ASCII FILE", "BT-Lab ASCII FILE")
_NUMBER_OF_LINES = re.compile(r"Nb header lines *: *(\d{1,6})\b")
_SHORTEST_HEADER = 3
_SMALL_BYTES = 1 << 18
_IMPEDANCE_HEADINGS = {"Re(Z)/Ohm", "-Im(Z)/Ohm", "|Z|/Ohm", "Phase(Z)/deg"}


class _Table(NamedTuple):
    """Header and headings of an export.

    :param header: the lines above the headings.
    :param heading_line: line of the headings, counted from 1; the rows begin below it.
    :param headings: as in the file.
    :param delimiter: delimiter of the cells.
    :param block: text of the rows; cut off in a large file.
    """

    header: Header
    heading_line: int
    headings: list[str]
    delimiter: str
    block: str


class BioLogicReader:
    """Reads impedance and logs from text exports, with their header or without it."""

    name = "biologic-mpt"
    kinds: tuple[Kind, ...] = ("impedance", "cycling")
    suffixes: tuple[str, ...] = (".mpt",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for the first line of an EC-Lab or BT-Lab export, and 65 for the headings of a log."""
        if source.head_text.startswith(_FIRST_LINES):
            return 90
        return 65 if "time/s" in source.first_data_line[1] and is_log(source.first_cells) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table below the header, whose length the second line states.

        A log of Modulo Bat can hold impedance between its rows; such rows are read as rows of the log.

        :raises MeasurementError: when the header is longer than the file, columns are missing or a row is damaged.
        """
        table = _head(source)
        columns = recognise(table.headings)
        if "mode" in table.headings or _IMPEDANCE_HEADINGS.isdisjoint(table.headings):
            return _log(source, table, self.name)
        if columns is None:
            problem = (
                "expected the columns freq/Hz, Re(Z)/Ohm and -Im(Z)/Ohm, found "
                f"{shown(', '.join(table.headings))}; export an impedance technique with its frequency"
            )
            raise source.error(f"line {table.heading_line}", problem)
        return _spectra(source, table, columns, self.name)


def _head(source: Source) -> _Table:
    """Return header and headings, of which the header may be missing."""
    head = source.text(_EXPECTED) if len(source.data) <= _SMALL_BYTES else source.head_text
    if not head.startswith(_FIRST_LINES):
        line, text = source.first_data_line
        block = "".join(head.split("\n", line)[line:])
        return _Table(Header(""), line, source.first_cells, delimiter_of(text), block)
    second = head.split("\n", 2)[1] if "\n" in head else ""
    found = _NUMBER_OF_LINES.match(second)
    if not found:
        raise source.error(
            "line 2", f"expected 'Nb header lines : n', found {shown(second) if second else 'nothing'}"
        )
    announced = int(found[1])
    lines = head.split("\n", announced)
    if len(lines) <= announced:
        lines = source.text(_EXPECTED).split("\n", announced)
    if not _SHORTEST_HEADER <= announced <= len(lines):
        problem = f"truncated file: a header of {announced} lines announced, the file ends at line {len(lines)}"
        raise source.error("header", f"{problem}; copy the file again")
    delimiter = delimiter_of(lines[announced - 1])
    headings = split_cells(lines[announced - 1].rstrip(), delimiter)
    block = lines[announced] if len(lines) > announced else ""
    if "" in headings and block.partition("\n")[0].rstrip().count(delimiter) + 1 == headings.index(""):
        # EC-Lab 11.61 can write headings behind a gap for which it writes no cells.
        headings = headings[: headings.index("")]
    return _Table(Header("\n".join(lines[: announced - 1])), announced, headings, delimiter, block)


def _spectra(source: Source, table: _Table, columns: ImpedanceColumns, format_name: str) -> Measurement:
    """Return the spectra of an impedance technique."""
    warnings: list[str] = []
    bias = next((table.headings.index(heading) for heading in BIAS if heading in table.headings), None)
    # A CSV parser would take longer to start than this takes for the whole of a small table.
    rows_in = _small_rows if len(source.data) <= _SMALL_BYTES else _large_rows
    points, volts = rows_in(source, table, columns, bias, warnings)
    facts = table.header.facts(warnings)
    points = impedance_points(points, volts, facts)
    used = {*columns.positions, columns.spectrum.position if columns.spectrum else None}
    facts["columns_left_out"] = tuple(
        heading for position, heading in enumerate(table.headings) if heading and position not in used
    )
    return impedance_measurement(
        source, format_name, points, instrument=table.header.instrument, facts=facts, warnings=warnings
    )


def _small_rows(
    source: Source, table: _Table, columns: ImpedanceColumns, bias: int | None, warnings: list[str]
) -> tuple[Points, FloatArray | None]:
    """Return the points of a small table, and the direct voltage of each where the table has it."""
    width = len(table.headings)
    rows = rows_of(table.block, table.heading_line + 1, table.delimiter, width, source)
    numbering = columns.spectrum.position if columns.spectrum else 0
    check_end(table.block, rows, max(columns.last_position, numbering, bias or 0), width, source, warnings)
    points = points_in(rows, columns, source)
    return points, None if bias is None else np.array(values_of(rows, bias, table.headings[bias], source))


def _large_rows(
    source: Source, table: _Table, columns: ImpedanceColumns, bias: int | None, warnings: list[str]
) -> tuple[Points, FloatArray | None]:
    """Return the points of a large table, and the direct voltage of each where the table has it."""
    numbering = columns.spectrum.position if columns.spectrum else None
    wanted = {position for position in (*columns.positions, numbering, bias) if position is not None}
    rows = DelimitedTable(source, table.heading_line, table.headings, table.delimiter, sorted(wanted), warnings)
    frequency, real, imaginary = (
        rows.required(column.position, column.factor) for column in (columns.frequency, columns.first, columns.second)
    )
    if columns.polar:
        real, imaginary = cartesian(real, imaginary)
    points = Points(frequency, real, imaginary, None if numbering is None else rows.required(numbering))
    return points, None if bias is None else rows.required(bias)


def _log(source: Source, table: _Table, format_name: str) -> Measurement:
    """Return the rows of any other technique."""
    place = f"line {table.heading_line}"
    warnings: list[str] = []
    columns = find_quantities(table.headings, source, place, warnings)
    wanted = [column.position for column in columns.values()]
    rows = DelimitedTable(source, table.heading_line, table.headings, table.delimiter, wanted, warnings)
    facts = table.header.facts(warnings)
    facts["columns_left_out"] = left_out(table.headings, columns)
    seconds, moments = _absolute_time(rows, columns, source, facts, warnings)
    values = cycling_columns(rows, columns, source, warnings, seconds)
    return cycling_measurement(
        source,
        format_name,
        values,
        moments=moments,
        instrument=table.header.instrument,
        facts=facts,
        warnings=warnings,
    )


def _absolute_time(
    rows: DelimitedTable,
    columns: Mapping[str, Quantity],
    source: Source,
    facts: dict[str, Any],
    warnings: list[str],
) -> tuple[FloatArray | None, pa.Array | None]:
    """Return test time and times of the rows where the export has dates in its time column, else ``None`` for both."""
    position = columns["test_time_second"].position
    if ":" not in rows.first(position):
        return None, None
    moments = row_moments(rows.text(position), facts, warnings)
    if moments is None or moments.null_count:
        broken = 0 if moments is None else moments.is_null().index(True).as_py()
        rows.refuse(broken, "time/s: expected seconds, or month, day, year and clock time")
    ticks: np.ndarray[Any, np.dtype[np.int64]] = moments.cast(pa.int64()).to_numpy()
    return (ticks - ticks[0]) / 1e6, moments
