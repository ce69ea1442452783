"""The pandas and the Spark engine give the same summaries, aggregates and conditions."""

from __future__ import annotations

import hashlib
import tarfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from battery_pilot.electrochemistry.aggregates import AGGREGATE_COLUMNS, SPECTRUM_COLUMNS
from battery_pilot.electrochemistry.condition import Ratings
from battery_pilot.electrochemistry.cycles import SUMMARY_COLUMNS, summarise_cycles
from battery_pilot.electrochemistry.cycles_sql import ROW_COLUMNS, cycle_summary_sql
from battery_pilot.electrochemistry.definitions import COUNTERS
from battery_pilot.electrochemistry.health import aggregate_cycles, aggregate_cycles_sql, condition_from_aggregates

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.spark

RATINGS = Ratings(
    rated_capacity_ah=2,
    minimum_voltage_volt=2.7,
    maximum_voltage_volt=4.2,
    certified_energy_kwh=0.007,
    idle_temperature_minimum_celsius=20,
    idle_temperature_maximum_celsius=33,
)
START, END = datetime(2025, 1, 1, 20, tzinfo=UTC), datetime(2025, 1, 3, tzinfo=UTC)


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def log(
    seed: int,
    battery: str,
    name: str,
    *,
    cycles: int,
    counters: bool = True,
    faults: bool = False,
    storage_second: float = 1200,
) -> pd.DataFrame:
    """A cell with 0.1 ohm between 2.6 and 4.25 V: rests, pulses, a full discharge in three parts, charge and CV per cycle."""
    random = np.random.default_rng(seed)
    pulse = [(0.0, 300, 30), (-0.5, 14, 2), (0.0, 60, 20)]
    program = [(0.0, 1200, 30), *pulse, (-1.0, 1400, 30), *pulse, (-1.0, 4000, 30), *pulse, (-1.0, 9000, 30)]
    program += [(0.0, 600, 30), (0.5, 14, 2), (0.0, 60, 20), (1.0, 9000, 30), (0.1, 600, 60), (0.0, 300, 30)]
    rows, time, charge, counter = [], 0.0, 2.0, [0.0] * 4
    for cycle in range(1, cycles + 1):
        program[0] = (0.0, storage_second, 30) if cycle < 3 else (0.0, 1200, 30)
        for ampere, duration, step in program:
            end = time + duration
            while time < end:
                second = step * (1 + 0.2 * random.random()) * (40 if duration > 80000 else 1)
                current = ampere + 0.002 * random.standard_normal()
                charge += current * second / 3600
                time += second
                volt = 2.7 + 1.5 * charge / 2 + 0.1 * current
                counter[int(current < 0)] += abs(current) * second / 3600
                counter[2 + int(current < 0)] += abs(current) * volt * second / 3600
                celsius = 26 + 9 * np.sin(time / 9000) + current
                rows.append((time, volt, current, cycle, celsius, 50 * charge, *counter))
                if (ampere == -1 and volt < 2.6 + 0.05 * random.random()) or (ampere == 1 and volt > 4.25):
                    break
        counter = [0.0] * 4 if cycle % 2 else counter
    measured = ["test_time_second", "voltage_volt", "current_ampere", "cycle_count", "temperature_t1_celsius"]
    names = [*measured, "state_of_charge_percent", *COUNTERS.values()]
    names[-4:] = [COUNTERS[name] for name in ("charge_ah", "discharge_ah", "charge_wh", "discharge_wh")]
    table = pd.DataFrame(rows, columns=names).assign(battery_id=battery, source_sha256=digest(name))
    table["measured_at"] = pd.Timestamp("2025-01-01", tz="UTC") + pd.to_timedelta(table["test_time_second"], unit="s")
    if not counters:
        table = table.drop(columns=list(COUNTERS.values()))
    if faults:
        for column in ("voltage_volt", "current_ampere", "temperature_t1_celsius", "charging_capacity_ah"):
            if column in table:
                table.loc[random.random(len(table)) < 0.01, column] = np.nan
        table.loc[len(table) // 2 :, "test_time_second"] += 4000
        table = pd.concat([table, table.iloc[10:20]])
    return table


def generated() -> pd.DataFrame:
    """Logs of three batteries with what can go wrong: faults, gaps, storage, no counters, no or interleaved cycles."""
    interleaved = log(6, "third", "f", cycles=2)
    interleaved.loc[interleaved.index % 3 == 0, "cycle_count"] = 9
    return pd.concat(
        [
            log(1, "first", "a", cycles=5),
            log(2, "first", "b", cycles=4, faults=True),
            log(3, "second", "c", cycles=2, counters=False),
            log(4, "second", "d", cycles=1, faults=True).assign(cycle_count=np.nan),
            log(5, "unrated", "e", cycles=1),
            interleaved,
            log(7, "third", "g", cycles=3, storage_second=90000),
        ]
    ).reindex(columns=list(ROW_COLUMNS))


def in_spark(session, folder: Path, **tables: pd.DataFrame) -> None:
    """Make each table a view, by way of Parquet as in the lake."""
    for name, table in tables.items():
        times = table.select_dtypes("datetimetz").columns
        table.astype(dict.fromkeys(times, "datetime64[us, UTC]")).to_parquet(folder / f"{name}.parquet", index=False)
        session.read.parquet(str(folder / f"{name}.parquet")).createOrReplaceTempView(name)


def ratings_table(batteries) -> pd.DataFrame:
    return pd.DataFrame([{"battery_id": battery, **RATINGS.model_dump()} for battery in batteries])


def assert_equal(left: pd.DataFrame, right: pd.DataFrame, keys: list[str]) -> None:
    assert list(left.columns) == list(right.columns)
    left, right = (table.sort_values(keys, ignore_index=True) for table in (left, right))
    for name in left:
        one, other = left[name], right[name]
        if pd.api.types.is_numeric_dtype(one) and not pd.api.types.is_bool_dtype(one):
            pairs = one.astype("float64").to_numpy(), other.astype("float64").to_numpy()
            np.testing.assert_allclose(*pairs, rtol=1e-9, atol=1e-12, err_msg=name)
        elif isinstance(one.dtype, pd.DatetimeTZDtype):
            assert one.equals(pd.to_datetime(other, utc=True).astype(one.dtype)), name
        else:
            assert plain(one) == plain(other), name


def plain(values: pd.Series) -> list[object]:
    """Lists for arrays, ``None`` for null."""
    return [list(v) if isinstance(v, (list, np.ndarray)) else None if pd.isna(v) else v for v in values]


def test_generated_logs_give_equal_summaries(spark, tmp_path):
    rows = generated().sample(frac=1, random_state=0)
    in_spark(spark, tmp_path, logs=rows, ratings=ratings_table(["first", "second", "third"]))
    by_spark = spark.sql(cycle_summary_sql("logs", "ratings")).toPandas()
    rated = rows["battery_id"] != "unrated"
    by_pandas = pd.concat([summarise_cycles(rows[rated], RATINGS), summarise_cycles(rows[~rated], None)])
    assert_equal(by_pandas, by_spark, ["battery_id", "source_sha256", "cycle_count"])
    never_set = [name for name in SUMMARY_COLUMNS if by_pandas[name].isna().all()]
    assert never_set == []
    for name in ("is_full_cycle", "gap_second", "deep_discharge_events", "overcharge_events"):
        assert by_pandas[name].any(), f"the table does not exercise {name}"


def test_nasa_cell_gives_equal_summaries(spark, tmp_path, shared_data):
    folder = shared_data / "ageing" / "nasa-pcoe"
    tests = pd.read_csv(folder / "metadata.csv").query("battery_id == 'B0005' and type == 'discharge'")
    with tarfile.open(folder / "cells.tar.xz") as archive:
        frames = [nasa_rows(archive, name) for name in sorted(tests["filename"])]
    rows = pd.concat(frames).reindex(columns=list(ROW_COLUMNS))
    in_spark(spark, tmp_path, nasa=rows, ratings=ratings_table(["B0005"]))
    by_spark = spark.sql(cycle_summary_sql("nasa", "ratings")).toPandas()
    assert len(by_spark) == 168
    assert_equal(summarise_cycles(rows, RATINGS), by_spark, ["source_sha256"])


def nasa_rows(archive: tarfile.TarFile, name: str) -> pd.DataFrame:
    table = pd.read_csv(archive.extractfile(f"data/{name}"))
    return pd.DataFrame(
        {
            "battery_id": "B0005",
            "source_sha256": digest(name),
            "measured_at": pd.Timestamp("2008-04-02", tz="UTC") + pd.to_timedelta(table["Time"], unit="s"),
            "test_time_second": table["Time"],
            "voltage_volt": table["Voltage_measured"],
            "current_ampere": table["Current_measured"],
            "temperature_t1_celsius": table["Temperature_measured"],
        }
    )


def spectra() -> pd.DataFrame:
    rows = [
        ("first", "2025-01-01T02:00", digest("x"), 0.02, 0.03, 0.04, True),
        ("first", "2025-01-01T05:00", digest("y"), 0.021, np.nan, np.nan, True),
        ("first", "2025-01-01T06:00", digest("z"), 0.5, 0.5, 0.5, False),
        ("first", "2026-01-01T06:00", digest("later"), 0.9, 0.9, 0.9, True),
        ("spectra only", "2025-01-01T06:00", digest("v"), 0.5, 0.5, 0.5, False),
    ]
    table = pd.DataFrame(rows, columns=[*SPECTRUM_COLUMNS[:6], "kramers_kronig_valid"])
    facts = {name: np.arange(len(table)) + number for number, name in enumerate(SPECTRUM_COLUMNS[6:-2])}
    table = table.assign(measured_at=pd.to_datetime(table["measured_at"], utc=True), circuit="R0-p(R1,CPE1)", **facts)
    return table[list(SPECTRUM_COLUMNS)]


def test_aggregates_and_conditions_are_equal(spark, tmp_path):
    summaries = summarise_cycles(generated(), RATINGS)
    copied = summaries.query("battery_id == 'first'").assign(source_sha256=digest("whole log"))
    summaries = pd.concat([summaries, summaries.iloc[:2], copied])
    in_spark(spark, tmp_path, cycles=summaries, spectra=spectra())
    by_spark = spark.sql(aggregate_cycles_sql("cycles", "spectra", START, END)).toPandas()
    by_pandas = aggregate_cycles(summaries, START, END, spectra())
    assert list(by_pandas.columns) == list(AGGREGATE_COLUMNS)
    assert_equal(by_pandas, by_spark, ["battery_id"])
    assert by_pandas["battery_id"].tolist() == ["first", "second", "spectra only", "third", "unrated"]
    conditions = [
        [condition_from_aggregates(row, RATINGS) for row in table.sort_values("battery_id").to_dict("records")]
        for table in (by_pandas, by_spark)
    ]
    assert conditions[0] == conditions[1]
