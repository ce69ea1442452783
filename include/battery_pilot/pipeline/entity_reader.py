"""Entities of a context broker as tables: for pandas, for Arrow, and as Parquet for Spark.

A table has a column for each attribute of the mapping, ``id`` before them, and ``more``: the values of all other attributes,
predictions among them, as one JSON object. Entities are read page by page and never held together.
"""

from __future__ import annotations

import json
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from battery_pilot.pipeline.entity_table import BATTERY, entity_rows
from battery_pilot.services.ngsi import attributes_of, value_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa

    from battery_pilot.services.ngsi import Entity
    from battery_pilot.services.orion import Orion

ROWS = 1000
"""Rows of a batch."""


def entity_schema(entity_type: str = BATTERY) -> pa.Schema:
    """Return the schema of the table of a type of entity; a column's unit is in its field's metadata ``unit_code``."""
    import pyarrow as pa

    types = {"Number": pa.float64(), "DateTime": pa.timestamp("ms", tz="UTC")}
    columns = [
        pa.field(
            row.attribute,
            types.get(row.type, pa.string()),
            metadata={"unit_code": row.unit_code} if row.unit_code else None,
        )
        for row in entity_rows(entity_type)
    ]
    return pa.schema([pa.field("id", pa.string()), *columns, pa.field("more", pa.string())])


def entity_batches(broker: Orion, entity_type: str = BATTERY) -> Iterator[pa.RecordBatch]:
    """Yield the entities of a type in Arrow's form, a thousand at a time."""
    import pyarrow as pa

    schema = entity_schema(entity_type)
    entities = broker.entities(entity_type)
    while part := list(islice(entities, ROWS)):
        yield pa.RecordBatch.from_pylist([_row(one, schema) for one in part], schema=schema)


def entity_table(broker: Orion, entity_type: str = BATTERY) -> pa.Table:
    """Return all entities of a type as an Arrow table; ``.to_pandas()`` makes a data frame of it."""
    import pyarrow as pa

    return pa.Table.from_batches(entity_batches(broker, entity_type), schema=entity_schema(entity_type))


def write_parquet(broker: Orion, path: Path, entity_type: str = BATTERY) -> int:
    """Write the entities of a type as a Parquet file, which Spark reads, and return how many there are.

    The file appears when it is whole.
    """
    import pyarrow.parquet as pq

    part = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with pq.ParquetWriter(part, entity_schema(entity_type), coerce_timestamps="ms") as writer:
            for batch in entity_batches(broker, entity_type):
                writer.write_batch(batch)
                count += batch.num_rows
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return count


def _row(entity: Entity, schema: pa.Schema) -> dict[str, Any]:
    """Return an entity as a row; a value of another type than its column's is among ``more``."""
    row: dict[str, Any] = {"id": entity["id"]}
    more: dict[str, Any] = {}
    for name, attribute in attributes_of(entity).items():
        value = value_of(attribute)
        if name in schema.names and name != "more" and _fits(value, str(schema.field(name).type)):
            row[name] = value
        else:
            more[name] = attribute.get("value")
    return row | {"more": json.dumps(more, ensure_ascii=False) if more else None}


def _fits(value: Any, column: str) -> bool:
    if column == "double":
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, str) if column == "string" else isinstance(value, datetime)
