"""Charge and discharge tables of NASA's PCoE battery data set.

The tables hold neither a cycle number nor a start; both are in the data set's own list of tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.tables import cycling_measurement
from battery_pilot.measurements.text import first_data_line, split_cells, trim_empty

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_EXPECTED = "NASA PCoE discharge CSV"
_NAMES = {
    "Time": "test_time_second",
    "Voltage_measured": "voltage_volt",
    "Current_measured": "current_ampere",
    "Temperature_measured": "temperature_t1_celsius",
}


class NasaCyclingReader:
    """Reads one charge or discharge of the data set; its measured current is negative in a discharge."""

    name = "nasa-pcoe"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 90 for the headings of the data set."""
        return 90 if _NAMES.keys() <= set(split_cells(source.first_data_line[1], ",")) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for a gap in time, voltage or current, and for a cut end.
        """
        text = source.text(_EXPECTED)
        heading_line, line = first_data_line(text)
        headings = trim_empty(split_cells(line, ","))
        positions = {name: headings.index(heading) for heading, name in _NAMES.items()}
        warnings: list[str] = []
        table = DelimitedTable(text, source, heading_line, headings, ",", sorted(positions.values()), warnings)
        temperature = positions.pop("temperature_t1_celsius")
        values = {name: table.required(index) for name, index in positions.items()}
        found = table.optional(temperature, "temperature_t1_celsius")
        if found is not None:
            values["temperature_t1_celsius"] = found
        return cycling_measurement(source, self.name, values, warnings=warnings)
