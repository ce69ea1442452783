"""BioLogic EC-Lab and BT-Lab text exports (``.mpt``, ``.txt``, ``.csv``): impedance and logs."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from battery_pilot.errors import MeasurementError
from battery_pilot.measurements.biologic.mpt_facts import Header
from battery_pilot.measurements.biologic.quantities import cycling_columns, find_quantities, is_log, left_out
from battery_pilot.measurements.biologic.spectra import BIAS, bias_facts, cartesian, falls, impedance_points
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.impedance.columns import ImpedanceColumns, recognise
from battery_pilot.measurements.impedance.rows import check_end, numbering_in, points_in, rows_of, values_of
from battery_pilot.measurements.row_times import row_moments
from battery_pilot.measurements.tables import FloatArray, Points, cycling_measurement, impedance_measurement
from battery_pilot.measurements.text import delimiter_of, shown, split_cells

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np

    from battery_pilot.measurements.biologic.quantities import Quantity
    from battery_pilot.measurements.impedance.columns import Column
    from battery_pilot.measurements.impedance.rows import Rows
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

    _Volts = Callable[[list[str]], Sequence[float] | FloatArray | None]

_EXPECTED = "EC-Lab ASCII text"
_FIRST_LINES = ("EC-Lab ASCII FILE", "BT-Lab ASCII FILE")
_NUMBER_OF_LINES = re.compile(r"Nb header lines *: *(\d{1,6})\b")
_SHORTEST_HEADER = 3
_SMALL_BYTES = 1 << 18
_IMPEDANCE_HEADINGS = {"Re(Z)/Ohm", "-Im(Z)/Ohm", "|Z|/Ohm", "Phase(Z)/deg"}


class _Headings(NamedTuple):
    """The headings of an export.

    :param cells: as in the file.
    :param delimiter: delimiter of the cells.
    :param impedance: the columns of an impedance technique, without the one of the cycle number.
    :param cycle: column of the cycle number of an impedance technique.
    :param bias: position of the direct voltage.
    :param left_out: headings without a place in a table of impedance.
    """

    cells: list[str]
    delimiter: str
    impedance: ImpedanceColumns | None = None
    cycle: Column | None = None
    bias: int | None = None
    left_out: tuple[str, ...] = ()


class _Table(NamedTuple):
    """Header and headings of an export.

    :param header: the header above the headings.
    :param heading_line: line of the headings, counted from 1; the rows begin below it.
    :param headings: what that line holds.
    :param block: text of the rows; cut off in a large file.
    """

    header: Header
    heading_line: int
    headings: _Headings
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
        cells, columns = table.headings.cells, table.headings.impedance
        if "mode" in cells or _IMPEDANCE_HEADINGS.isdisjoint(cells):
            return _log(source, table, self.name)
        if columns is None:
            problem = (
                "expected the columns freq/Hz, Re(Z)/Ohm and -Im(Z)/Ohm, found "
                f"{shown(', '.join(cells))}; export an impedance technique with its frequency"
            )
            raise source.error(f"line {table.heading_line}", problem)
        return _spectra(source, table, columns, self.name)


def _head(source: Source) -> _Table:
    """Return header and headings, of which the header may be missing."""
    head = source.text(_EXPECTED) if len(source.data) <= _SMALL_BYTES else source.head_text
    if not head.startswith(_FIRST_LINES):
        line, text = source.first_data_line
        block = "".join(head.split("\n", line)[line:])
        return _Table(Header(""), line, _headings(source.first_cells, delimiter_of(text)), block)
    found = _NUMBER_OF_LINES.match(head, head.find("\n") + 1)
    if not found:
        second = head.split("\n", 2)[1] if "\n" in head else ""
        raise source.error(
            "line 2", f"expected 'Nb header lines : n', found {shown(second) if second else 'nothing'}"
        )
    announced = int(found[1])
    header = _lines(announced - 1)(head)
    if header is None or head.find("\n", header.end()) < 0:
        head = source.text(_EXPECTED)
        header = _lines(announced - 1)(head)
    if header is None or announced < _SHORTEST_HEADER:
        lines = head.count("\n") + 1
        problem = f"truncated file: a header of {announced} lines announced, the file ends at line {lines}"
        raise source.error("header", f"{problem}; copy the file again")
    end = head.find("\n", header.end()) % (len(head) + 1)
    headings, block = _headings_in(head[header.end() : end]), head[end + 1 :]
    if "" in headings.cells:
        gap = headings.cells.index("")
        if block.partition("\n")[0].rstrip().count(headings.delimiter) + 1 == gap:
            # EC-Lab 11.61 can write headings behind a gap for which it writes no cells.
            headings = _headings(headings.cells[:gap], headings.delimiter)
    return _Table(Header(header[0]), announced, headings, block)


@lru_cache(maxsize=64)
def _lines(number: int) -> Callable[[str], re.Match[str] | None]:
    """Return what finds the first lines of a text."""
    return re.compile(rf"(?:.*\n){{{max(number, 0)}}}").match


@lru_cache(maxsize=64)
def _headings_in(line: str) -> _Headings:
    """Return the headings in a line; a laboratory's files repeat few."""
    delimiter = delimiter_of(line)
    return _headings(split_cells(line.rstrip(), delimiter), delimiter)


def _headings(cells: list[str], delimiter: str) -> _Headings:
    columns = recognise(cells)
    if columns is None:
        return _Headings(cells, delimiter)
    bias = next((cells.index(heading) for heading in BIAS if heading in cells), None)
    used = {*columns.positions, columns.spectrum.position if columns.spectrum else None}
    left_out = tuple(heading for position, heading in enumerate(cells) if heading and position not in used)
    return _Headings(cells, delimiter, replace(columns, spectrum=None), columns.spectrum, bias, left_out)


def _spectra(source: Source, table: _Table, columns: ImpedanceColumns, format_name: str) -> Measurement:
    """Return the spectra of an impedance technique."""
    warnings: list[str] = []
    # A CSV parser would take longer to start than this takes for the whole of a small table.
    points_of = _small_points if len(source.data) <= _SMALL_BYTES else _large_points
    points, volts = points_of(source, table, columns, warnings)

    def facts(warnings: list[str]) -> dict[str, Any]:
        header = table.header
        found = bias_facts(points, volts(warnings)) | header.facts(warnings)
        return found | {"instrument": header.instrument, "columns_left_out": table.headings.left_out}

    return impedance_measurement(source, format_name, points, facts=facts, warnings=warnings)


def _small_points(
    source: Source, table: _Table, columns: ImpedanceColumns, warnings: list[str]
) -> tuple[Points, _Volts]:
    """Return the points of a small table, and what finds the direct voltage of each."""
    cells, delimiter, _, cycle, bias, _ = table.headings
    first_line, width = table.heading_line + 1, len(cells)
    rows = rows_of(table.block, first_line, delimiter, width, source, last_used=columns.last_position)
    check_end(
        table.block,
        rows,
        max(columns.last_position, bias or 0, cycle.position if cycle else 0),
        width,
        source,
        warnings,
    )

    def every() -> Rows:
        return rows_of(table.block, first_line, delimiter, width, source)

    def volts(warnings: list[str]) -> list[float] | None:
        try:
            return None if bias is None else values_of(every(), bias, cells[bias], source)
        except MeasurementError as error:
            warnings.append(f"dc_bias_volt was left out: {error.place}: {error.problem}.")
            return None

    points = points_in(rows, columns, source)
    if not (falls(points.frequency_hertz) and _is_same_at_both_ends(table, cycle)):
        numbering = None if cycle is None else numbering_in(every(), cycle, source)
        points = impedance_points(points._replace(spectrum=numbering))
    return points, volts


def _is_same_at_both_ends(table: _Table, cycle: Column | None) -> bool:
    """Tell whether the cycle numbers, which never fall, are all the same."""
    if cycle is None:
        return True
    block, delimiter, position = table.block, table.headings.delimiter, cycle.position
    end = len(block.rstrip("\n"))
    last = block[block.rfind("\n", 0, end) + 1 : end]
    return (
        block.split(delimiter, position + 1)[position].strip()
        == last.split(delimiter, position + 1)[position].strip()
    )


def _large_points(
    source: Source, table: _Table, columns: ImpedanceColumns, warnings: list[str]
) -> tuple[Points, _Volts]:
    """Return the points of a large table, and what finds the direct voltage of each."""
    cycle, bias = table.headings.cycle, table.headings.bias
    wanted = {*columns.positions} | ({cycle.position} if cycle else set()) | (set() if bias is None else {bias})
    rows = _delimited(source, table, sorted(wanted), warnings)
    frequency, real, imaginary = (
        rows.required(column.position, column.factor) for column in (columns.frequency, columns.first, columns.second)
    )
    if columns.polar:
        real, imaginary = cartesian(real, imaginary)
    points = Points(frequency, real, imaginary, None if cycle is None else rows.required(cycle.position))
    volts = None if bias is None else rows.optional(bias, "dc_bias_volt")
    return impedance_points(points), lambda warnings: volts


def _delimited(source: Source, table: _Table, wanted: Sequence[int], warnings: list[str]) -> DelimitedTable:
    headings = table.headings
    return DelimitedTable(source, table.heading_line, headings.cells, headings.delimiter, wanted, warnings)


def _log(source: Source, table: _Table, format_name: str) -> Measurement:
    """Return the rows of any other technique."""
    place = f"line {table.heading_line}"
    warnings: list[str] = []
    columns = find_quantities(table.headings.cells, source, place, warnings)
    rows = _delimited(source, table, [column.position for column in columns.values()], warnings)
    header = table.header
    facts = header.facts(warnings)
    facts["columns_left_out"] = left_out(table.headings.cells, columns)
    seconds, moments = _absolute_time(rows, columns, source, facts, warnings)
    values = cycling_columns(rows, columns, source, warnings, seconds)
    return cycling_measurement(
        source,
        format_name,
        values,
        moments=moments,
        instrument=header.instrument,
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
