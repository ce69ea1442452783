"""Per-cycle sums of a Parquet file in polars, twice; prints the seconds of each run as JSON.

Charge and energy both ways from the interval before each row, limits of voltage, mean and maximum of temperature, and
duration: less than our summaries have, and what a polars user would write for them.
"""

from __future__ import annotations

import json
import sys
import time

import polars as pl

KEYS = ["battery_id", "source_sha256", "cycle_count"]


def summarise(path: str) -> pl.DataFrame:
    time_second, voltage, current = (
        pl.col("test_time_second"),
        pl.col("voltage_volt"),
        pl.col("current_ampere"),
    )
    hours, power = pl.col("hours"), voltage * current
    celsius = pl.col("temperature_t1_celsius")
    return (
        pl.scan_parquet(path)
        .with_columns((time_second.diff().over(KEYS) / 3600).alias("hours"))
        .group_by(KEYS)
        .agg(
            (current.clip(lower_bound=0) * hours).sum().alias("charge_ah"),
            (-current.clip(upper_bound=0) * hours).sum().alias("discharge_ah"),
            (power.clip(lower_bound=0) * hours).sum().alias("charge_wh"),
            (-power.clip(upper_bound=0) * hours).sum().alias("discharge_wh"),
            voltage.min().alias("minimum_voltage_volt"),
            voltage.max().alias("maximum_voltage_volt"),
            celsius.mean().alias("mean_temperature_celsius"),
            celsius.max().alias("maximum_temperature_celsius"),
            (time_second.max() - time_second.min()).alias("duration_second"),
        )
        .collect()
    )


seconds = []
for _ in range(2):
    start = time.perf_counter()
    summarise(sys.argv[1])
    seconds.append(time.perf_counter() - start)
print(json.dumps(seconds))
