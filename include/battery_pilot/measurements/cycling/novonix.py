"""Novonix UHPC and HPC exports: sections ``[Summary]``, ``[Protocol]`` and ``[Data]``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.columns import demand, find_columns, left_out, plain
from battery_pilot.measurements.cycling.log import running_time, values_of
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.facts import facts_in
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.row_times import row_moments
from battery_pilot.measurements.source import Source
from battery_pilot.measurements.tables import FloatArray, cycling_measurement
from battery_pilot.measurements.text import delimiter_of, split_cells, to_float, trim_empty
from battery_pilot.measurements.times import DATES, start_facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from battery_pilot.measurements.model import Kind, Measurement

_EXPECTED = "Novonix CSV"
_SUMMARY, _END, _DATA = "[Summary]", "[End Summary]", "[Data]"
# The capacity counts the charge of a step with its sign; it is no counter of one direction and is left out.
_NAMES = {
    "runtime": "test_time_second",
    "testtime": "test_time_second",
    "potential": "voltage_volt",
    "voltage": "voltage_volt",
    "current": "current_ampere",
    "cyclenumber": "cycle_count",
    "stepnumber": "step_index",
    "temperature": "temperature_t1_celsius",
}
_MOMENT = "dateandtime"
_TEXT_FACTS = {"channel": "channel", "cellid": "cell_id"}
_NUMBER_FACTS = {
    "capacity (ah)": "nominal_capacity_ah",
    "area (cm2)": "electrode_area_square_centimetre",
    "area (cm^2)": "electrode_area_square_centimetre",
}
# The program fills in 1 where nothing was entered.
_DEFAULT = 1.0
# Novonix writes stars over what is confidential.
_HIDDEN = "*"


class NovonixReader:
    """Reads a Novonix export; its current is positive in a charge."""

    name = "novonix-csv"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".csv",)
    expects = _EXPECTED

    def sniff(self, source: Source) -> int:
        """Return 95 for the first line of the summary with the maker's name below it."""
        head = source.head_text
        return 95 if head.startswith(_SUMMARY) and "Novonix" in head[:200] else 0

    def read(self, source: Source) -> Measurement:
        """Read the section with the data.

        :raises MeasurementError: when it is missing, for a missing column, a gap or a row that breaks off.
        """
        lines = source.text(_EXPECTED).split("\n")
        sections = [number for number, line in enumerate(lines, start=1) if line.startswith(_DATA)]
        if not sections:
            raise source.error(
                "file", "expected a section [Data], found none: the file is truncated; export it again"
            )
        heading_line = sections[0] + 1
        line = lines[heading_line - 1] if heading_line <= len(lines) else ""
        warnings: list[str] = []
        table_source = source
        if len(sections) > 1:
            table_source = _joined(source, lines, sections)
            warnings.append(f"The file holds {len(sections)} runs of the test, which were joined.")
        if line.startswith('"') and line.count('"') == 2:
            # Some versions quote each row as if it were one cell.
            line = line.replace('"', "")
            table_source = Source(table_source.data.replace(b'"', b""), source.name)
        delimiter = delimiter_of(line)
        headings = trim_empty(split_cells(line, delimiter))
        columns = find_columns(headings, _NAMES, source, f"line {heading_line}")
        demand(columns, CYCLING_COLUMNS, headings, source, f"line {heading_line}")
        spelled = [plain(heading) for heading in headings]
        moment = spelled.index(_MOMENT) if _MOMENT in spelled else None
        wanted = [column.position for column in columns.values()] + ([] if moment is None else [moment])
        table = DelimitedTable(table_source, heading_line, headings, delimiter, wanted, warnings)
        facts = _facts(lines[: sections[0]], warnings)
        facts["columns_left_out"] = left_out(headings, wanted)
        values = values_of(table, columns)
        if len(sections) > 1:
            values["test_time_second"] = _since_first_run(table, values["test_time_second"], sections)
        moments = None if moment is None else row_moments(table.text(moment), facts, warnings)
        return cycling_measurement(
            source,
            self.name,
            values,
            moments=moments,
            instrument="Novonix",
            facts=facts,
            warnings=warnings,
        )


def _joined(source: Source, lines: Sequence[str], sections: Sequence[int]) -> Source:
    """Return a file with the rows of all sections with data in their lines, and blank lines in place of others."""
    rows = [""] * len(lines)
    headings = lines[sections[0]].strip()
    for section in sections:
        if section >= len(lines) or lines[section].strip() != headings:
            raise source.error(
                f"line {section + 1}", "other headings than in the run before; export each run by itself"
            )
        below = range(section + 1, len(lines))
        end = next((line for line in below if lines[line].startswith("[")), len(lines))
        rows[section + 1 : end] = lines[section + 1 : end]
    return Source("\n".join(rows).encode(), source.name)


def _since_first_run(table: DelimitedTable, time: FloatArray, sections: Sequence[int]) -> FloatArray:
    """Return the time since the beginning of the first run; the time of a run may start anew or go on."""
    run = np.searchsorted(sections, [table.line(row) for row in range(len(time))])
    begins = np.r_[False, (run[1:] != run[:-1]) & (time[1:] < time[:-1])]
    return running_time(time, begins)


def _facts(header: Sequence[str], warnings: list[str]) -> dict[str, Any]:
    """Return the facts of the summary; the file's name stands in it for the cell where no id was entered."""
    facts: dict[str, Any] = {}
    end = next((line for line, text in enumerate(header) if text.startswith(_END)), len(header))
    for line in header[:end]:
        label, _, value = line.partition(":")
        label, value = label.strip().lower(), value.strip()
        if not value or _HIDDEN in value:
            continue
        if label == "cell":
            facts.setdefault("cell_id", value.removesuffix(".csv"))
        elif label in _TEXT_FACTS:
            facts[_TEXT_FACTS[label]] = value
        elif label in _NUMBER_FACTS and to_float(value) not in (None, _DEFAULT):
            facts[_NUMBER_FACTS[label]] = to_float(value)
        elif label == "version":
            facts["instrument_software"] = f"Novonix {value}"
        elif label == "started":
            facts |= start_facts(value, DATES, warnings)
        elif label == "description":
            facts |= facts_in(value, warnings)
    return facts
