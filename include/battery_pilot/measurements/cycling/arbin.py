"""Arbin CSV exports: the channel data of all generations of MITS Pro."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from battery_pilot.measurements.columns import demand, find_columns, left_out, plain
from battery_pilot.measurements.cycling.log import values_of
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import leading_facts
from battery_pilot.measurements.model import CYCLING_COLUMNS, Kind, Measurement
from battery_pilot.measurements.row_times import counted_moments, row_moments
from battery_pilot.measurements.tables import cycling_measurement
from battery_pilot.measurements.text import delimiter_of, to_float

if TYPE_CHECKING:
    import pyarrow as pa

    from battery_pilot.measurements.source import Source

_EXPECTED = "Arbin CSV"
# Headings as :func:`plain` gives them; of several spellings in one file the first in this order wins.
NAMES = {
    "testtime": "test_time_second",
    "voltage": "voltage_volt",
    "current": "current_ampere",
    "cycleindex": "cycle_count",
    "stepindex": "step_index",
    "celltemperature": "temperature_t1_celsius",
    "auxtemperature1": "temperature_t1_celsius",
    "temperature": "temperature_t1_celsius",
    "environmenttemperature": "ambient_temperature_celsius",
    "chargecapacity": "charging_capacity_ah",
    "dischargecapacity": "discharging_capacity_ah",
    "chargeenergy": "charging_energy_wh",
    "dischargeenergy": "discharging_energy_wh",
    "internalresistance": "dc_internal_resistance_ohm",
    "acr": "ac_internal_resistance_ohm",
}
CHANNEL_DATA = {"testtime", "voltage", "current"}
_COUNTER_NAMES = {"cycleindex", "stepindex", "datapoint"}
_COMPANION = {"testid", "deviceid", "schedulefilename"}
_STATISTICS = {"cycleindex", "chargetime", "dischargetime", "vmaxoncycle"}
_REPORT = "TEST REPORT"
_REPORT_CHARACTERS = 100


class ArbinCsvReader:
    """Reads the channel data of an Arbin export; capacities are the cycler's own counters."""

    name = "arbin-csv"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 70 for the headings of channel data, and for the other files that Arbin's software exports."""
        names = {plain(cell) for cell in source.first_cells}
        is_channel_data = names >= CHANNEL_DATA and bool(names & _COUNTER_NAMES)
        is_other_export = names >= _COMPANION or _REPORT in source.head_text[:_REPORT_CHARACTERS]
        return 70 if is_channel_data or is_other_export else 0

    def read(self, source: Source) -> Measurement:
        """Read the channel data.

        :raises MeasurementError: for a file that holds other things of a test, a gap in a required column or a broken row.
        """
        names = {plain(cell) for cell in source.first_cells}
        place = f"line {source.first_data_line[0]}"
        if names >= _COMPANION and "voltage" not in names:
            problem = (
                "a companion metadata file of an Arbin test (one row per test), not cycling data; "
                "hand in the file of the same name without '_Metadata'"
            )
            raise source.error(place, problem)
        if _REPORT in source.head_text[:_REPORT_CHARACTERS]:
            problem = (
                "the report of an Arbin test, not cycling data; hand in the file of its channel with the time series"
            )
            raise source.error(place, problem)
        if names >= _STATISTICS:
            problem = (
                "Arbin's statistics (one row per cycle or step), not cycling data; hand in the file of the channel "
                "with the time series"
            )
            raise source.error(place, problem)
        return read_channel_data(source, self.name, "Arbin")


def read_channel_data(source: Source, format_name: str, instrument: str | None) -> Measurement:
    """Read a table whose headings are Arbin's.

    :param source: the file; lines ``# key=value`` above the headings become metadata.
    :param format_name: short name of the format.
    :param instrument: maker of the cycler, if known.
    :raises MeasurementError: for a missing or an incomplete required column and for a broken row.
    """
    warnings: list[str] = []
    facts = leading_facts(source.head_text.split("\n"), warnings)
    heading_line, line = source.first_data_line
    headings, place = source.first_cells, f"line {heading_line}"
    columns = find_columns(headings, NAMES, source, place)
    demand(columns, CYCLING_COLUMNS, headings, source, place)
    plain_headings = [plain(cell) for cell in headings]
    moment, cell = (_position(plain_headings, name) for name in ("datetime", "itemid"))
    wanted = [column.position for column in columns.values()]
    wanted += [position for position in (moment, cell) if position is not None]
    table = DelimitedTable(source, heading_line, headings, delimiter_of(line), wanted, warnings)
    facts["columns_left_out"] = left_out(headings, wanted)
    if cell is not None and table.first(cell):
        facts.setdefault("cell_id", table.first(cell))
    moments = None if moment is None else _moments(table, moment, facts, warnings)
    values = values_of(table, columns)
    return cycling_measurement(
        source, format_name, values, moments=moments, instrument=instrument, facts=facts, warnings=warnings
    )


def _position(plain_headings: list[str], name: str) -> int | None:
    return plain_headings.index(name) if name in plain_headings else None


def _moments(table: DelimitedTable, index: int, facts: dict[str, Any], warnings: list[str]) -> pa.Array | None:
    """Return the times of the rows: seconds since 1970 in UTC, days, or dates."""
    if to_float(table.first(index), decimal_comma=True) is None:
        return row_moments(table.text(index), facts, warnings)
    counted = table.optional(index, "measured_at")
    return None if counted is None else counted_moments(counted, facts, warnings)
