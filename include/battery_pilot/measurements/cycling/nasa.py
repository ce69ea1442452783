"""Charge and discharge tables of NASA's PCoE battery data set.

The tables hold neither a cycle number nor a start; both are in the data set's own list of tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.tables import cycling_measurement
from battery_pilot.measurements.text import delimiter_of

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
        return 90 if _NAMES.keys() <= set(source.first_cells) else 0

    def read(self, source: Source) -> Measurement:
        """Read the table.

        :raises MeasurementError: for a gap in time, voltage or current, and for a cut end.
        """
        heading_line, line = source.first_data_line
        headings = source.first_cells
        positions = {name: headings.index(heading) for heading, name in _NAMES.items()}
        warnings: list[str] = []
        table = DelimitedTable(
            source, heading_line, headings, delimiter_of(line), sorted(positions.values()), warnings
        )
        temperature = positions.pop("temperature_t1_celsius")
        values = {name: table.required(index) for name, index in positions.items()}
        found = table.optional(temperature, "temperature_t1_celsius")
        if found is not None:
            values["temperature_t1_celsius"] = found
        return cycling_measurement(source, self.name, values, warnings=warnings)
