"""Battery Data Format (BDF) as CSV, with preferred labels (``Voltage / V``) or machine names (``voltage_volt``).

Lines ``# key=value`` above the headings become metadata. A table with frequencies is an impedance measurement.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow.compute as pc

from battery_pilot.measurements.cycling.bdf_names import (
    BATTERY,
    IMPEDANCE,
    POLAR,
    STEP_TYPE,
    Column,
    is_impedance,
    machine_columns,
    machine_name,
)
from battery_pilot.measurements.cycling.log import Table, directed, direction
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import leading_facts
from battery_pilot.measurements.model import CYCLING_COLUMNS, Kind, Measurement
from battery_pilot.measurements.row_times import counted_moments
from battery_pilot.measurements.tables import FloatArray, Points, cycling_measurement, impedance_measurement
from battery_pilot.measurements.text import delimiter_of, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from battery_pilot.measurements.source import Source

_TYPICAL = ("olt", "requency")


class _NumberedTable(Table, Protocol):
    """A table that can tell the place of a row."""

    def line(self, row: int) -> int:
        """Return the number of a data row in the file."""
        ...


class BdfCsvReader:
    """Reads BDF CSV; the columns beyond the required ones are kept under their machine names."""

    name = "bdf-csv"
    kinds: tuple[Kind, ...] = ("cycling", "impedance")
    suffixes: tuple[str, ...] = (".bdf", ".csv")
    expects = "BDF CSV"

    def sniff(self, source: Source) -> int:
        """Return 80 for all required headings of one kind, 40 for two of the three of a cycler log."""
        line = source.first_data_line[1]
        return bdf_score(source.first_cells) if any(word in line for word in _TYPICAL) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for a missing required column, a repeated heading, a gap in a required column or a broken row.
        """
        warnings: list[str] = []
        facts = leading_facts(source.head_text.split("\n"), warnings)
        heading_line, heading = source.first_data_line
        headings = source.first_cells
        columns = demand_columns(headings, source, f"line {heading_line}")
        wanted = [column.position for column in columns.values()]
        table = DelimitedTable(source, heading_line, headings, delimiter_of(heading), wanted, warnings)
        return bdf_measurement(source, self.name, headings, table, columns, facts, warnings)


def bdf_score(headings: Sequence[str]) -> int:
    """Return how sure it is that headings are those of BDF: 80 for all required ones, 40 for two of the three of a log.

    :param headings: of a table.
    """
    names = {machine_name(heading)[0] for heading in headings}
    if names.issuperset(CYCLING_COLUMNS) or is_impedance(names):
        return 80
    return 40 if len(names.intersection(CYCLING_COLUMNS)) == len(CYCLING_COLUMNS) - 1 else 0


def demand_columns(headings: Sequence[str], source: Source, place: str) -> dict[str, Column]:
    """Return the columns of a table by machine name.

    :param headings: of the table.
    :param source: the file, for error messages.
    :param place: place of the headings, for error messages.
    :raises MeasurementError: for a missing required column and for two columns of one quantity.
    """
    columns = machine_columns(headings, source, place)
    missing = [] if is_impedance(columns) else [name for name in CYCLING_COLUMNS if name not in columns]
    if missing:
        raise source.error(place, f"required BDF columns are missing: {', '.join(missing)}")
    return columns


def bdf_measurement(
    source: Source,
    format_name: str,
    headings: Sequence[str],
    table: _NumberedTable,
    columns: dict[str, Column],
    facts: dict[str, Any],
    warnings: list[str],
) -> Measurement:
    """Return the measurement in a table with the columns of BDF.

    :param source: the file.
    :param format_name: short name of the format.
    :param headings: of the table.
    :param table: its content.
    :param columns: result of :func:`demand_columns`.
    :param facts: what is known besides the table.
    :param warnings: receives a sentence about each guess and what is left out.
    :raises MeasurementError: for a gap in a required column, and for several batteries.
    """
    unknown = tuple(cell for cell in headings if cell and machine_name(cell)[0] is None)
    if unknown:
        facts["columns_left_out"] = unknown
        warnings.append(f"Columns that are not BDF quantities were left out: {', '.join(map(shown, unknown))}.")
    columns = dict(columns)
    battery = columns.pop(BATTERY, None)
    if battery is not None:
        _add_battery(table.text(battery.position), facts, source)
    if is_impedance(columns):
        return impedance_measurement(source, format_name, _points(table, columns), facts=facts, warnings=warnings)
    values = _values(table, columns, warnings)
    unix_time = values.get("unix_time_second")
    moments = None if unix_time is None else counted_moments(unix_time, facts, warnings, "seconds since 1970")
    return cycling_measurement(source, format_name, values, moments=moments, facts=facts, warnings=warnings)


def _add_battery(texts: pa.ChunkedArray, facts: dict[str, Any], source: Source) -> None:
    """Take the battery from its column; BDF has one cell in a file."""
    batteries = [text for text in pc.unique(texts).to_pylist() if text]
    if len(batteries) > 1:
        problem = (
            f"one battery in a file expected, found {shown(batteries[0])} and {shown(batteries[1])}; split the file"
        )
        raise source.error(f"column {BATTERY}", problem)
    if batteries:
        facts[BATTERY] = batteries[0]


def _values(table: Table, columns: dict[str, Column], warnings: list[str]) -> dict[str, FloatArray]:
    """Return the numbers of a cycler log, charge current positive."""
    values = {name: table.required(*columns[name]) for name in CYCLING_COLUMNS}
    for name, column in columns.items():
        if name not in values and name != STEP_TYPE:
            found = table.optional(column.position, name, column.factor)
            if found is not None:
                values[name] = found
    if STEP_TYPE in columns:
        rows = direction(table.text(columns[STEP_TYPE].position), ("charg",), ("discharg",))
        values["current_ampere"] = directed(values["current_ampere"], rows, warnings)
    return values


def _points(table: _NumberedTable, columns: dict[str, Column]) -> Points:
    frequency = table.required(*columns["frequency_hertz"])
    if columns.keys() >= set(IMPEDANCE):
        real, imaginary = (table.required(*columns[name]) for name in IMPEDANCE[1:])
    else:
        magnitude, phase = (table.required(*columns[name]) for name in POLAR[1:])
        real, imaginary = magnitude * np.cos(np.radians(phase)), magnitude * np.sin(np.radians(phase))
    spectrum = table.required(*columns["spectrum_index"]) if "spectrum_index" in columns else None
    return Points(frequency, real, imaginary, spectrum, [table.line(row) for row in range(len(frequency))])
