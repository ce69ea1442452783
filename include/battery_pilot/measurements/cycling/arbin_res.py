"""Arbin's own result files, ``.res``: databases of Microsoft Access, read through the program mdb-export."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from battery_pilot.measurements.columns import demand, find_columns, left_out, plain
from battery_pilot.measurements.cycling.arbin import NAMES
from battery_pilot.measurements.cycling.log import one_test, values_of
from battery_pilot.measurements.delimited import DelimitedTable
from battery_pilot.measurements.model import CYCLING_COLUMNS
from battery_pilot.measurements.row_times import counted_moments
from battery_pilot.measurements.source import Source
from battery_pilot.measurements.tables import FloatArray, cycling_measurement
from battery_pilot.measurements.text import shown, to_float

if TYPE_CHECKING:
    from battery_pilot.measurements.model import Kind, Measurement

_MAGIC = b"\x00\x01\x00\x00Standard Jet DB"
_PAGE_BYTES = 4096
_PROGRAM = "mdb-export"
_TIME_LIMIT_SECOND = 120.0
# The text of a table is at most a few times as long as its numbers in the database.
_LONGEST_OUTPUT, _SHORTEST_LIMIT_BYTES = 10, 1 << 20
_LONGEST_MESSAGE = 2000
_DATA, _TEST = "Channel_Normal_Table", "Global_Table"
_READINGS, _PROBES = "Auxiliary_Table", "Aux_Global_Data_Table"
_POINT, _TEST_ID, _MOMENT = "data_point", "testid", "datetime"
_NAMES = {**NAMES, "datapoint": _POINT}
_READING_NAMES = {"datapoint": "point", "auxiliaryindex": "probe", "datatype": "kind", "x": "value"}
_DAYS, _DAY_0, _LATEST_DAY = "days since 1899-12-30", datetime(1899, 12, 30, tzinfo=UTC), 100_000
_TEMPERATURE = 1
"""Type of an auxiliary reading that is a temperature."""


class ArbinResReader:
    """Reads the channel data of a ``.res`` file; needs the program mdb-export of the Debian package mdbtools."""

    name = "arbin-res"
    kinds: tuple[Kind, ...] = ("cycling",)
    suffixes: tuple[str, ...] = (".res",)
    expects = "an Arbin .res file"

    def sniff(self, source: Source) -> int:
        """Return 90 for a database of Microsoft Access."""
        return 90 if source.data.startswith(_MAGIC) else 0

    def read(self, source: Source) -> Measurement:
        """Read the channel data.

        :raises MeasurementError: when mdb-export is not installed or fails, for a database of another kind, for
            several tests and for a damaged file.
        """
        program = shutil.which(_PROGRAM)
        if program is None:
            problem = (
                f"an Arbin .res file is read through the program {_PROGRAM}, which is not on the path; "
                "install the Debian package mdbtools, or export the test from MITS Pro as CSV"
            )
            raise source.error("file", problem)
        if len(source.data) % _PAGE_BYTES:
            problem = f"{len(source.data)} bytes are no whole number of pages of {_PAGE_BYTES}; the file is truncated"
            raise source.error("file", f"{problem}, copy it again")
        try:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "test.res"
                path.write_bytes(source.data)
                tables = {name: _export(source, program, path, name) for name in (_DATA, _TEST, _READINGS, _PROBES)}
        except OSError as error:
            raise source.error("file", f"cannot be given to {_PROGRAM}: {error}") from error
        return _measurement(source, self.name, tables)


def _export(source: Source, program: str, path: Path, table: str) -> Source:
    """Return a table of the database as CSV.

    The text may be some times longer than the numbers in the database; the program is stopped beyond that.
    """
    limit = max(_SHORTEST_LIMIT_BYTES, _LONGEST_OUTPUT * len(source.data))
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(  # noqa: S603 - no shell, and the only argument from outside is the name of a folder
            [program, str(path), table], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=messages
        ) as process,
    ):
        is_late = threading.Event()

        def stop() -> None:
            is_late.set()
            process.kill()

        timer = threading.Timer(_TIME_LIMIT_SECOND, stop)
        timer.start()
        try:
            output = process.stdout.read(limit + 1) if process.stdout is not None else b""
            if len(output) > limit:
                process.kill()
            status = process.wait()
        finally:
            timer.cancel()
            process.kill()
        messages.seek(0)
        message = messages.read(_LONGEST_MESSAGE).decode("latin-1").strip()
    if is_late.is_set():
        found = f"takes longer than {_TIME_LIMIT_SECOND} s"
    elif len(output) > limit:
        found = f"prints more than {limit} bytes"
    elif status or message:
        found = shown(message) if message else f"exit status {status}"
    else:
        return Source(output, source.name)
    problem = f"{_PROGRAM} cannot read {table} ({found}); the file is damaged, or no Arbin result; copy it again"
    raise source.error("file", problem)


def _measurement(source: Source, format_name: str, tables: dict[str, Source]) -> Measurement:
    data = tables[_DATA]
    headings, place = data.first_cells, f"table {_DATA}"
    columns = find_columns(headings, _NAMES, source, place)
    demand(columns, (*CYCLING_COLUMNS, _POINT), headings, source, place)
    spelled = [plain(heading) for heading in headings]
    others = {name: spelled.index(name) for name in (_TEST_ID, _MOMENT) if name in spelled}
    warnings: list[str] = []
    wanted = [column.position for column in columns.values()] + list(others.values())
    table = DelimitedTable(data, data.first_data_line[0], headings, ",", wanted, warnings)
    if _TEST_ID in others:
        one_test(table.text(others[_TEST_ID]), "test", source)
    point = table.required(columns.pop(_POINT).position)
    order = np.argsort(point, kind="stable")
    values = {name: column[order] for name, column in values_of(table, columns).items()}
    lost = int(point.max() - point.min()) + 1 - len(point)
    if lost > 0:
        warnings.append(f"{lost} data points are missing between the first and the last: the file is damaged.")
    temperature = _temperature(tables, point[order], warnings)
    if temperature is not None:
        values["temperature_t1_celsius"] = temperature
    facts = _facts(tables[_TEST])
    facts["columns_left_out"] = left_out(headings, wanted)
    moments = None
    if _MOMENT in others:
        moments = counted_moments(table.required(others[_MOMENT])[order], facts, warnings, _DAYS)
    return cycling_measurement(
        source, format_name, values, moments=moments, instrument="Arbin", facts=facts, warnings=warnings
    )


def _rows(table: Source) -> list[dict[str, str]]:
    """Return the rows of a small table by heading."""
    reader = csv.DictReader(io.StringIO(table.data.decode("utf-8", errors="replace")))
    return [{str(name): value or "" for name, value in row.items()} for row in reader]


def _temperature(tables: dict[str, Source], point: FloatArray, warnings: list[str]) -> FloatArray | None:
    """Return the temperature of the first probe at each data point, NaN where it was not recorded."""
    readings = tables[_READINGS]
    if readings.data.count(b"\n") < 2:
        return None
    headings = readings.first_cells
    columns = find_columns(headings, _READING_NAMES, readings, f"table {_READINGS}")
    if len(columns) < len(_READING_NAMES):
        return None
    positions = {name: column.position for name, column in columns.items()}
    table = DelimitedTable(readings, 1, headings, ",", list(positions.values()), warnings)
    at, probe, kind, value = (table.required(positions[name]) for name in _READING_NAMES.values())
    is_temperature = kind == _TEMPERATURE
    if not is_temperature.any():
        return None
    probes = np.unique(probe[is_temperature])
    if len(probes) > 1:
        warnings.append(f"{len(probes) - 1} further temperatures were left out.")
    units = {
        row.get("Unit", "").strip()
        for row in _rows(tables[_PROBES])
        if row.get("Auxiliary_Index") == f"{probes[0]:g}" and row.get("Data_Type") == f"{_TEMPERATURE}"
    }
    if units - {"C", ""}:
        warnings.append(f"The temperature was left out: its unit is {', '.join(sorted(units))}.")
        return None
    chosen = is_temperature & (probe == probes[0])
    row = np.searchsorted(point, at[chosen])
    found = (row < len(point)) & (point[np.minimum(row, len(point) - 1)] == at[chosen])
    temperature = np.full(len(point), np.nan)
    temperature[row[found]] = value[chosen][found]
    return temperature


def _facts(test: Source) -> dict[str, Any]:
    """Return item, channel, program and capacity; older versions of MITS do not have all of them."""
    row = next(iter(_rows(test)), {})
    start = to_float(row.get("Start_DateTime", ""))
    found = {
        "cell_id": row.get("Item_ID"),
        "channel": row.get("Channel_Index"),
        "instrument_software": row.get("Software_Version"),
        "nominal_capacity_ah": to_float(row.get("Capacity", "")),
    }
    if start is not None and abs(start) < _LATEST_DAY:
        found["started_at"] = (_DAY_0 + timedelta(seconds=round(86400 * start))).isoformat()
    return {name: value for name, value in found.items() if value}
