"""CSV files of batteryarchive.org: the time series of a cell, with the headings of Arbin, whatever the cycler was."""

from __future__ import annotations

from typing import TYPE_CHECKING

from battery_pilot.measurements.columns import plain
from battery_pilot.measurements.cycling.arbin import CHANNEL_DATA, read_channel_data

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement
    from battery_pilot.measurements.source import Source

_TIME_SERIES = {*CHANNEL_DATA, "datetime", "cycleindex", "environmenttemperature", "celltemperature"}
_CYCLE_DATA = {"cycleindex", "starttime", "endtime", "mincurrent", "maxcurrent"}


class BatteryArchiveReader:
    """Reads a time series; the table of cycles that belongs to it is refused, as it has no current over time."""

    name = "battery-archive"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv",)
    expects = "Battery Archive CSV"

    def sniff(self, source: Source) -> int:
        """Return 80 for the headings of a time series and of a table of cycles."""
        names = {plain(cell) for cell in source.first_cells}
        return 80 if names >= _TIME_SERIES or names >= _CYCLE_DATA else 0

    def read(self, source: Source) -> Measurement:
        """Read the time series.

        :raises MeasurementError: for a table of cycles, a gap in a required column or a broken row.
        """
        if {plain(cell) for cell in source.first_cells} >= _CYCLE_DATA:
            problem = (
                "a cycle summary (one row per cycle), not cycling data; hand in the time series of the same test, "
                "which has columns for test time, current and voltage"
            )
            raise source.error(f"line {source.first_data_line[0]}", problem)
        return read_channel_data(source, self.name, None)
