"""Rows of canonical tables in order, in blocks of whole files that fit into the processor's cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from battery_pilot.electrochemistry.definitions import OPTIONAL_COLUMNS, REQUIRED_COLUMNS
from battery_pilot.errors import AnalysisError

if TYPE_CHECKING:
    from collections.abc import Iterator

Array = NDArray[Any]

BLOCK_ROWS = 50_000
"""A block ends with the file that reaches this many rows: its columns then stay in the cache from step to step."""

NUMBERS = (*REQUIRED_COLUMNS[3:], *OPTIONAL_COLUMNS)
MISSING_TIME = np.iinfo(np.int64).min


class Log(NamedTuple):
    """Rows of whole files, in order of file and time.

    :param columns: canonical name of a number to its values, not-a-number where missing; only columns that exist.
    :param measured_at: microseconds since 1970, :data:`MISSING_TIME` where missing.
    :param file: number of each row's file.
    :param first: position of the first row of each row's file.
    :param runs: positions at which a file or a cycle begins.
    :param cycle_of_run: number of the cycle to which each run belongs; a cycle may have several runs.
    :param cycle: number of each row's cycle.
    """

    columns: dict[str, Array]
    measured_at: Array
    file: Array
    first: Array
    runs: Array
    cycle_of_run: Array
    cycle: Array

    @property
    def cycles(self) -> int:
        """How many cycles there are."""
        return int(self.cycle_of_run.max()) + 1

    @property
    def time(self) -> Array:
        """Test time, seconds."""
        return self.columns["test_time_second"]

    @property
    def voltage(self) -> Array:
        """Voltage, volt."""
        return self.columns["voltage_volt"]

    @property
    def current(self) -> Array:
        """Current, ampere, above 0 while charging."""
        return self.columns["current_ampere"]

    def last(self, flag: Array, *, before: bool = False) -> Array:
        """Return the position of the newest flagged row of the file, up to or before each row; -1 where there is none."""
        newest = np.maximum.accumulate(np.where(flag, _positions(flag.size), np.int32(-1)))
        if before:
            newest = previous(newest, np.int32(-1))
        newest[newest < self.first] = -1
        return newest

    def newest(self, index: Array, at: Array, *, before: bool = False) -> Array:
        """Do the same for few rows: return the newest position of ``index`` at or before each of ``at``."""
        found = np.append(index, -1)[np.searchsorted(index, at, side="left" if before else "right") - 1]
        return np.where(found >= self.first[at], found, -1)

    def by_cycle(self, function: np.ufunc, values: Array, start: Any) -> Array:
        """Reduce the values of each cycle.

        :param function: for example :data:`numpy.add`.
        :param start: its neutral element.
        """
        counts = values.dtype == np.bool_ and function is np.add
        result = np.full(self.cycles, start, dtype=np.int64 if counts else values.dtype)
        function.at(result, self.cycle_of_run, function.reduceat(values, self.runs, dtype=result.dtype))
        return result

    def at_last(self, flag: Array, values: Array) -> Array:
        """Return the value in the newest flagged row of each cycle, not-a-number where there is none."""
        at = self.by_cycle(np.maximum, np.where(flag, _positions(flag.size), np.int32(-1)), np.int32(-1))
        return np.where(at >= 0, values[at], np.nan)


def _positions(size: int) -> Array:
    return np.arange(size, dtype=np.int32)


def previous(values: Array, first: Any) -> Array:
    """Shift by one row."""
    shifted = np.empty_like(values)
    shifted[:1] = first
    shifted[1:] = values[:-1]
    return shifted


class Rows(NamedTuple):
    """A canonical table with its files numbered: rows of one file are neighbours.

    :param table: the numbers as columns of floating point, and the time.
    :param files: battery and source of each file.
    :param starts: position of the first row of each file.
    :param codes: number of each of these files.
    """

    table: dict[str, Array]
    files: pd.DataFrame
    starts: Array
    codes: Array

    def blocks(self) -> Iterator[Log]:
        """Yield the rows in blocks of whole files."""
        size = self.table["test_time_second"].size
        begins = np.flatnonzero(np.diff(self.starts // BLOCK_ROWS, prepend=-1))
        for files in np.split(np.arange(self.starts.size), begins[1:]) if size else ():
            begin = self.starts[files[0]]
            end = self.starts[files[-1] + 1] if files[-1] + 1 < self.starts.size else size
            sizes = np.diff(self.starts[files], append=end)
            yield self._block(slice(begin, end), np.repeat(self.codes[files], sizes))

    def _block(self, rows: slice, file: Array) -> Log:
        columns = {name: values[rows] for name, values in self.table.items()}
        measured_at = columns.pop("measured_at")
        order = _order(columns, file)
        if order is not None:
            columns = {name: values[order] for name, values in columns.items()}
            file, measured_at = file[order], measured_at[order]
        starts = np.flatnonzero(np.diff(file, prepend=-1))
        first = np.repeat(starts.astype(np.int32), np.diff(starts, append=file.size))
        runs, cycle_of_run = _runs(columns.get("cycle_count"), file, starts)
        cycle = np.repeat(cycle_of_run, np.diff(runs, append=file.size))
        return Log(columns, measured_at, file, first, runs, cycle_of_run, cycle)


def _order(columns: dict[str, Array], file: Array) -> Array | None:
    """Return the order of the rows by time within their file, ``None`` where they are in order already."""
    rising = (np.diff(columns["test_time_second"]) > 0) | (np.diff(file) != 0)
    if rising.all():
        return None
    keys = ("current_ampere", "voltage_volt", "step_count", "cycle_count", "test_time_second")
    return np.lexsort([*(columns[key] for key in keys if key in columns), file])


def _runs(cycle_count: Array | None, file: Array, starts: Array) -> tuple[Array, Array]:
    """Return where files and cycles begin, and the number of the cycle of each such run."""
    if cycle_count is None:
        return starts, np.arange(starts.size)
    key = np.where(np.isnan(cycle_count), np.inf, cycle_count)
    changes = np.ones(file.size, dtype=bool)
    changes[1:] = (key[1:] != key[:-1]) | (file[1:] != file[:-1])
    runs = np.flatnonzero(changes)
    _, cycle_of_run = np.unique(np.column_stack([file[runs], key[runs]]), axis=0, return_inverse=True)
    return runs, cycle_of_run.reshape(-1)


def numbered(table: pd.DataFrame | pa.Table) -> Rows:
    """Take what is needed of a canonical table and number its files.

    :param table: columns :data:`~.definitions.REQUIRED_COLUMNS` and any of :data:`~.definitions.OPTIONAL_COLUMNS`; rows
        without a test time are left out.
    :raises AnalysisError: a required column is missing.
    """
    names = list(table.columns) if isinstance(table, pd.DataFrame) else table.column_names
    missing = [name for name in REQUIRED_COLUMNS if name not in names]
    if missing:
        raise AnalysisError(
            f"cycling table: columns missing: {', '.join(missing)}; use the canonical table of a reader"
        )
    wanted = [name for name in (*REQUIRED_COLUMNS, *OPTIONAL_COLUMNS) if name in names]
    if isinstance(table, pd.DataFrame):
        times = pd.to_datetime(table["measured_at"], utc=True)
        table = pa.Table.from_pandas(table[wanted].assign(measured_at=times), preserve_index=False)
    arrow = table.select(wanted)
    files, starts, codes = _files(arrow)
    numbers = {name: _number(arrow.column(name)) for name in wanted if name in NUMBERS}
    numbers["measured_at"] = _microseconds(arrow.column("measured_at"))
    numbers = {
        name: values for name, values in numbers.items() if name in REQUIRED_COLUMNS or not np.isnan(values).all()
    }
    timed = ~np.isnan(numbers["test_time_second"])
    if timed.all() and np.unique(codes).size == codes.size:
        return Rows(numbers, files, starts, codes)
    code = np.repeat(codes, np.diff(starts, append=timed.size))
    kept = np.flatnonzero(timed)
    kept = kept[np.argsort(code[kept], kind="stable")]
    codes, starts = np.unique(code[kept], return_index=True)
    return Rows({name: values[kept] for name, values in numbers.items()}, files, starts, codes)


def _number(column: pa.ChunkedArray) -> Array:
    values: Array = column.cast(pa.float64()).to_numpy()
    return values


def _microseconds(column: pa.ChunkedArray) -> Array:
    times = column.cast(pa.timestamp("us", tz="UTC"), safe=False).cast(pa.int64())
    values: Array = (pc.fill_null(times, int(MISSING_TIME)) if times.null_count else times).to_numpy()
    return values


def _files(table: pa.Table) -> tuple[pd.DataFrame, Array, Array]:
    """Return battery and source of each file, where runs of rows of one file begin, and the number of each run's file."""
    (battery, batteries), (source, sources) = (_encoded(table.column(name)) for name in REQUIRED_COLUMNS[:2])
    changes = np.ones(battery.size, dtype=bool)
    changes[1:] = (battery[1:] != battery[:-1]) | (source[1:] != source[:-1])
    starts = np.flatnonzero(changes)
    many = len(sources) + 1
    unique, codes = np.unique(battery[starts].astype(np.int64) * many + source[starts], return_inverse=True)
    files = pd.DataFrame(
        {
            "battery_id": np.array([*batteries, None], dtype=object)[unique // many],
            "source_sha256": np.array([*sources, None], dtype=object)[unique % many],
        }
    )
    return files, starts, codes.reshape(-1)


def _encoded(column: pa.ChunkedArray) -> tuple[Array, list[str]]:
    """Return numbers for texts, and the texts; null has the number after the last text."""
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    whole = column.unify_dictionaries().combine_chunks()
    if isinstance(whole, pa.ChunkedArray):
        whole = pa.concat_arrays(whole.chunks) if whole.num_chunks else pa.array([], column.type)
    texts = whole.dictionary.cast(pa.string()).to_pylist()
    indices = pc.fill_null(whole.indices, len(texts)) if whole.null_count else whole.indices
    return indices.to_numpy(), texts
