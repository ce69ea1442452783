"""Workload of the history: a thousand batteries appended and read back in one call, in a real MongoDB and in SQLite.

:mod:`tests.benchmarks.run` puts the figures into a table; the server is the one of the tests.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
import uuid
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from battery_pilot.electrochemistry.condition import METRICS, Condition, MeasuredValue
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.history import HistoryEntry, HistoryStore, SqliteHistory, record
from battery_pilot.passport.model import BatteryItem, BatteryModel
from tests.servers import mongod
from tests.servers.run import start_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BATTERIES = 1000
BAR_SECONDS = 2.0
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def entries() -> list[HistoryEntry]:
    """Return first entries of a thousand batteries, each with all values that a measured battery has."""
    model = BatteryModel(
        model_id="M", manufacturer_name="Beispiel GmbH", manufacturer_id="EX", category="ev", mass_kilogram=230,
        nominal_voltage_volt=360, minimum_voltage_volt=270, maximum_voltage_volt=410, rated_capacity_ah=60,
    )  # fmt: skip
    item = BatteryItem(
        battery_id="PACK", model_id="M", serial_number="S", manufactured_on="2024-02-29", facility_id="p", street="s",
        zip_code="1", city="c", country_code="DE",
    )  # fmt: skip
    values = {
        metric: MeasuredValue(value=float(number + 1), as_of=NOW, method="m", source_sha256=(f"{number:064x}",))
        for number, metric in enumerate(METRICS)
    }
    passport = build_passport(
        model, item, Condition(battery_id="PACK", as_of=NOW, values=values), base="https://example.com"
    )
    with tempfile.TemporaryDirectory() as folder:
        scratch = SqliteHistory(Path(folder) / "history.sqlite")
        record(scratch, passport, run="bench", recorded_at=NOW, known_until=NOW)
        (template,) = scratch.entries("PACK")
    drafts = (template.model_copy(update={"battery_id": f"PACK-{number}"}) for number in range(BATTERIES))
    return [draft.model_copy(update={"entry_hash": draft.computed_hash()}) for draft in drafts]


def seconds(store: HistoryStore, fleet: Sequence[HistoryEntry]) -> tuple[float, float]:
    """Append a fleet and read all heads, and return wall and own processor seconds."""
    wall, processor = time.perf_counter(), time.process_time()
    taken = store.append_all(fleet)
    heads = store.heads(entry.battery_id for entry in fleet)
    found = time.perf_counter() - wall, time.process_time() - processor
    if taken or len(heads) != len(fleet):
        raise SystemExit(f"history: {len(taken)} entries were refused and {len(heads)} heads found")
    return found


def measure(rounds: int) -> Iterator[tuple[str, float, float]]:
    """Yield name of the store and the median of wall and processor seconds over the rounds."""
    fleet = entries()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        pairs = [seconds(SqliteHistory(folder / f"{number}.sqlite"), fleet) for number in range(rounds)]
        yield "SQLite", statistics.median(one[0] for one in pairs), statistics.median(one[1] for one in pairs)
        found = start_all([mongod.SERVER], stack, os.environ)
        uri = (os.environ | found).get("BATTERY_PILOT_TEST_MONGO_URI")
        if uri is None:
            return
        from battery_pilot.services.history_mongo import MongoHistory

        pairs = [_in_mongo(MongoHistory, uri, fleet) for _ in range(rounds)]
        yield "MongoDB", statistics.median(one[0] for one in pairs), statistics.median(one[1] for one in pairs)


def _in_mongo(kind: type, uri: str, fleet: Sequence[HistoryEntry]) -> tuple[float, float]:
    from pymongo import MongoClient

    database = f"bench_{uuid.uuid4().hex[:12]}"
    try:
        return seconds(kind(uri, database), fleet)
    finally:
        with MongoClient(uri) as client:
            client.drop_database(database)


def lines(rounds: int) -> list[str]:
    """Measure and return one line of Markdown a store."""
    return [
        f"History in {name}: {BATTERIES:,} batteries appended and their heads read in one call in {wall:.2f} s, "
        f"of which {processor:.2f} s processor time of ours (wanted at most {BAR_SECONDS:g} s)."
        for name, wall, processor in measure(rounds)
    ]
