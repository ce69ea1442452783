"""The table that learning and scoring read: one row for each battery and recorded state.

The provider writes it from the conditions in its lake, the consumer from the histories that it pulled.
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from battery_pilot.learning.features import HISTORY_COLUMNS
from battery_pilot.passport.mapping import parts
from battery_pilot.pipeline.subjects import TABLE, subjects
from battery_pilot.settings import load

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from datetime import datetime
    from pathlib import Path

    from battery_pilot.lake import Lake
    from battery_pilot.pipeline.bundle import Bundle

ROWS_A_GROUP = 100_000
TABLE_FILE = "part-0.parquet"

Record = dict[str, Any]


def history_folder(lake: Lake) -> Path:
    """Return where a party's table is."""
    return lake.root / "health_history"


def models_folder() -> Path:
    """Return where an installation keeps its models."""
    return load().lake / "models"


def write_conditions(lake: Lake) -> int:
    """Write the provider's table from the conditions of all windows and return the number of rows."""
    return _write(history_folder(lake), _of_conditions(lake))


def write_states(lake: Lake, bundles: Iterable[Bundle]) -> int:
    """Write the consumer's table from the histories of verified bundles and return the number of rows."""
    return _write(history_folder(lake), _of_bundles(bundles))


def drop_states(lake: Lake, battery_ids: Collection[str]) -> None:
    """Remove batteries from a party's table."""
    import pyarrow.parquet as pq

    table = history_folder(lake) / TABLE_FILE
    if table.exists():
        with pq.ParquetFile(table) as file:
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            _write(table.parent, (row for row in rows if row["battery_id"] not in battery_ids))


def _of_conditions(lake: Lake) -> Iterator[Record]:
    """Yield the newest condition of every battery and point in time.

    Windows that end later know more. A window that brought only old measurements repeats the time of the one before.
    """
    earliest: dict[str, datetime] = {}
    for window in reversed(lake.windows(TABLE)):
        for subject in subjects(lake, window):
            condition = subject.condition
            if condition.battery_id in earliest and condition.as_of >= earliest[condition.battery_id]:
                continue
            earliest[condition.battery_id] = condition.as_of
            measured = {name: one.value for name, one in condition.values.items() if name in HISTORY_COLUMNS}
            known = {"battery_id": condition.battery_id, "as_of": condition.as_of}
            yield {**known, "rated_capacity_ah": subject.model.rated_capacity_ah, **measured}


def _of_bundles(bundles: Iterable[Bundle]) -> Iterator[Record]:
    named = [(path, name) for name, path in value_paths().items()]
    for bundle in bundles:
        newest: dict[datetime, tuple[datetime, Record]] = {}
        for entry, values in bundle.states():
            # A state that was corrected, or of which more became known, has several entries of the same as_of.
            if entry.as_of in newest and newest[entry.as_of][0] > entry.known_until:
                continue
            # What a counterparty calls a capacity may be a text.
            found = {name: values[path] for path, name in named if isinstance(values.get(path), (int, float))}
            newest[entry.as_of] = entry.known_until, found
        for as_of, (_, found) in newest.items():
            yield {"battery_id": bundle.passport.battery_id, "as_of": as_of, **found}


@cache
def value_paths() -> dict[str, str]:
    """Return where in a passport the columns of the table stand, as the mapping tables say."""
    wanted = {f"condition.{name}": name for name in HISTORY_COLUMNS} | {
        "model.rated_capacity_ah": "rated_capacity_ah"
    }
    return {
        wanted[row.source]: row.path
        for part in parts()
        for row in part.rows
        if row.kind == "Property" and not row.conversion and row.source in wanted
    }


def _write(folder: Path, records: Iterator[Record]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    special = {"battery_id": pa.string(), "as_of": pa.timestamp("us", tz="UTC")}
    schema = pa.schema([(name, special.get(name, pa.float64())) for name in HISTORY_COLUMNS])
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / TABLE_FILE
    # A name with a dot is no part of the table, neither for Spark nor for Arrow.
    staged = table.with_name(f".{table.name}.new")
    count = 0
    with pq.ParquetWriter(staged, schema) as writer:
        for group in _groups(records):
            # A passport's whole numbers are integers; the table's columns are not.
            rows = [{name: _cell(record.get(name)) for name in HISTORY_COLUMNS} for record in group]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema))
            count += len(group)
    staged.replace(table)
    return count


def _cell(value: Any) -> Any:
    return float(value) if isinstance(value, int) else value


def _groups(records: Iterator[Record]) -> Iterator[list[Record]]:
    needed = {"battery_id", "as_of", "rated_capacity_ah", "remaining_capacity_ah"}
    complete = (record for record in records if needed <= record.keys())
    while group := list(islice(complete, ROWS_A_GROUP)):
        yield group
