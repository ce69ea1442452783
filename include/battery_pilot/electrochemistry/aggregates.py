"""All cycles and spectra of a battery in one row, from which its condition follows.

:mod:`battery_pilot.electrochemistry.aggregates_sql` computes the same for Spark; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

from battery_pilot.errors import AnalysisError

NEWEST_MEASUREMENTS = 3
"""Capacity and efficiency are means of up to so many of the newest measurements."""

TOTALS = (
    "charge_ah",
    "discharge_ah",
    "charge_wh",
    "discharge_wh",
    "time_above_idle_minute",
    "time_below_idle_minute",
    "charging_time_above_idle_minute",
    "charging_time_below_idle_minute",
    "deep_discharge_events",
    "overcharge_events",
    "gap_second",
)
"""Columns of the cycle summaries that are added up since begin of life."""

IDENTITY = (
    "battery_id",
    "cycle_count",
    "started_at",
    "ended_at",
    "rows",
    "minimum_voltage_volt",
    "maximum_voltage_volt",
    "charge_ah",
    "discharge_ah",
)
"""Columns in which a cycle agrees with its copy in another file, such as the whole log that follows a partial one.

The times alone would not do: files without an absolute time get that of their landing day, and then their cycles coincide.
"""

CHARGE_DECIMALS = 6
"""To so many decimals, in ampere hours, the charge of a cycle and of its copy agree."""

NEWEST = {
    "retained": ("retained_ah", "storage_second"),
    "power_at_80_percent": ("power_at_80_percent_watt",),
    "power_at_20_percent": ("power_at_20_percent_watt",),
    "measured_charge": ("state_of_charge_percent",),
}
"""Kind of measurement to the columns of the cycle summaries of which the newest row with a value counts."""

SPECTRUM_NUMBERS = {
    "ohmic_resistance_ohm": "ohmic_resistance_ohm",
    "polarisation_resistance_ohm": "polarisation_resistance_ohm",
    "ac_resistance_ohm": "ac_resistance_ohm",
    "ohmic_resistance_error_ohm": "ohmic_resistance_error_ohm",
    "polarisation_resistance_error_ohm": "polarisation_resistance_error_ohm",
    "ohmic_frequency_hertz": "ohmic_frequency_hertz",
    "trusted_minimum_hertz": "trusted_minimum_hertz",
    "trusted_maximum_hertz": "trusted_maximum_hertz",
    "circuit_aic": "circuit_aic",
    "temperature_celsius": "impedance_temperature_celsius",
    "state_of_charge_percent": "impedance_state_of_charge_percent",
}
"""Number of a spectrum to its name in the aggregates, for the newest valid spectrum."""

SPECTRUM_COLUMNS = (
    "battery_id",
    "measured_at",
    "source_sha256",
    *SPECTRUM_NUMBERS,
    "circuit",
    "kramers_kronig_valid",
)
"""Columns of the table of spectra, one row a spectrum."""

AGGREGATE_COLUMNS = (
    "battery_id",
    "as_of",
    "cycles_as_of",
    "source_sha256",
    *TOTALS,
    "capacity_ah",
    "capacity_wh",
    "capacity_error_ah",
    "capacity_error_wh",
    "capacity_measurements",
    "capacity_as_of",
    "capacity_source_sha256",
    "efficiency_percent",
    "efficiency_as_of",
    "efficiency_source_sha256",
    "dc_resistance_ohm",
    "dc_resistance_delay_second",
    "dc_resistance_as_of",
    "dc_resistance_source_sha256",
    "first_dc_resistance_ohm",
    "first_dc_resistance_delay_second",
    "first_dc_resistance_as_of",
    *(name for kind, columns in NEWEST.items() for name in (*columns, f"{kind}_as_of", f"{kind}_source_sha256")),
    "capacity_before_storage_ah",
    "mean_temperature_celsius",
    "net_ah_since_empty",
    "spectra",
    "impedance_as_of",
    "impedance_source_sha256",
    *SPECTRUM_NUMBERS.values(),
    "circuit",
)
"""Columns of the aggregates, one row a battery; ``…source_sha256`` are sorted lists."""


def aggregate_cycles(
    cycles: pd.DataFrame, interval_start: datetime, interval_end: datetime, spectra: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Bring all cycles and spectra of each battery into one row.

    Capacity and efficiency are means of the up to three newest measurements of the interval, or the newest one before
    it. Totals cover everything before the end of the interval. A summary that occurs twice (the same battery, file
    and cycle) counts once, and so does a cycle that occurs in two files (equal in all of :data:`IDENTITY`); rows without a battery or a time cannot be placed and are left out.

    :param cycles: summaries of :func:`~battery_pilot.electrochemistry.cycles.summarise_cycles`, of the whole life.
    :param interval_start: first moment of the newest interval, with time zone.
    :param interval_end: end of it, itself excluded; rows from then on are ignored.
    :param spectra: columns :data:`SPECTRUM_COLUMNS`, of the whole life.
    :returns: columns :data:`AGGREGATE_COLUMNS`, sorted by battery.
    :raises AnalysisError: a time has no time zone.
    """
    start, end = in_utc(interval_start), in_utc(interval_end)
    known = _placed(cycles, "ended_at", end).drop_duplicates(
        ["battery_id", "source_sha256", "cycle_count"], keep="last"
    )
    known = known[~_copied(known)]
    known["recent"] = known["ended_at"] >= start
    # 0 is the newest cycle of a battery.
    known["age"] = known.groupby("battery_id").cumcount(ascending=False)
    groups = known.groupby("battery_id")
    parts = [
        groups[list(TOTALS)].sum(min_count=1),
        groups["ended_at"].max().rename("cycles_as_of"),
        _sources(known[known["recent"] | (known["age"] == 0)], "source_sha256"),
        _capacities(known),
        _efficiencies(known),
        _dc_resistances(known),
        *(_newest_of(known, kind) for kind in NEWEST),
        _capacities_before_storage(known),
        _temperatures(known[known["recent"]]),
        _net_since_empty(known),
        _impedances(
            _placed(pd.DataFrame(columns=SPECTRUM_COLUMNS) if spectra is None else spectra, "measured_at", end)
        ),
    ]
    table = pd.concat(parts, axis=1).sort_index().rename_axis("battery_id").reset_index()
    table["as_of"] = table[["cycles_as_of", "spectrum_at"]].max(axis=1)
    return table.reindex(columns=list(AGGREGATE_COLUMNS))


def in_utc(moment: datetime) -> datetime:
    """Return a moment in UTC.

    :raises AnalysisError: it has no time zone.
    """
    if moment.tzinfo is None:
        raise AnalysisError(f"interval: {moment.isoformat()} has no time zone; add one, for example +00:00")
    return moment.astimezone(UTC)


def _placed(table: pd.DataFrame, time: str, end: datetime) -> pd.DataFrame:
    """Keep rows that belong to a battery and lie before the end, oldest first."""
    placed = table.assign(**{time: pd.to_datetime(table[time], utc=True).astype("datetime64[us, UTC]")})
    placed = placed[placed["battery_id"].notna() & (placed[time] < end)]
    ties = [name for name in ("cycle_count", "source_sha256", *SPECTRUM_NUMBERS, "circuit") if name in placed]
    return placed.sort_values(["battery_id", time, *ties], na_position="first", ignore_index=True)


def _copied(known: pd.DataFrame) -> pd.Series:
    """Tell which cycles are copies of one in another file."""
    charges = known[["charge_ah", "discharge_ah"]].round(CHARGE_DECIMALS)
    return known.assign(**charges).duplicated(list(IDENTITY), keep="last")


def _newest(known: pd.DataFrame) -> pd.DataFrame:
    """Keep up to three of the newest rows of the interval of each battery, or the one newest before it."""
    age = known.groupby("battery_id").cumcount(ascending=False)
    return known[(age == 0) | (known["recent"] & (age < NEWEST_MEASUREMENTS))]


def _sources(known: pd.DataFrame, name: str) -> pd.Series:
    """List the files of each battery, sorted, each once."""
    files = known[["battery_id", "source_sha256"]].drop_duplicates().sort_values("source_sha256")
    return files.groupby("battery_id")["source_sha256"].agg(list).rename(name)


def _capacities(known: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard error of the newest capacities of each battery."""
    newest = _newest(known[known["capacity_ah"].notna()])
    result = newest.groupby("battery_id").agg(
        capacity_ah=("capacity_ah", "mean"),
        capacity_wh=("capacity_wh", "mean"),
        capacity_error_ah=("capacity_ah", "sem"),
        capacity_error_wh=("capacity_wh", "sem"),
        capacity_measurements=("capacity_ah", "size"),
        capacity_as_of=("ended_at", "max"),
    )
    return result.join(_sources(newest, "capacity_source_sha256"))


def _efficiencies(known: pd.DataFrame) -> pd.DataFrame:
    """Return discharged over charged energy of the newest full cycles of each battery."""
    newest = _newest(known[known["is_full_cycle"].astype(bool)])
    sums = newest.groupby("battery_id").agg(
        charge_wh=("charge_wh", "sum"), discharge_wh=("discharge_wh", "sum"), efficiency_as_of=("ended_at", "max")
    )
    sums["efficiency_percent"] = 100 * sums["discharge_wh"] / sums["charge_wh"].where(sums["charge_wh"] > 0)
    return sums[["efficiency_percent", "efficiency_as_of"]].join(_sources(newest, "efficiency_source_sha256"))


def _dc_resistances(known: pd.DataFrame) -> pd.DataFrame:
    """Return the newest DC resistance of each battery and the first one."""
    measured = known[known["dc_resistance_ohm"].notna()]
    newest = measured.drop_duplicates("battery_id", keep="last").set_index("battery_id")
    first = measured.drop_duplicates("battery_id", keep="first").set_index("battery_id")
    return pd.DataFrame(
        {
            "dc_resistance_ohm": newest["dc_resistance_ohm"],
            "dc_resistance_delay_second": newest["dc_resistance_delay_second"],
            "dc_resistance_as_of": newest["ended_at"],
            "dc_resistance_source_sha256": newest["source_sha256"].map(lambda source: [source]),
            "first_dc_resistance_ohm": first["dc_resistance_ohm"],
            "first_dc_resistance_delay_second": first["dc_resistance_delay_second"],
            "first_dc_resistance_as_of": first["ended_at"],
        }
    )


def _newest_of(known: pd.DataFrame, kind: str) -> pd.DataFrame:
    """Return the newest measurement of one kind of each battery."""
    columns = list(NEWEST[kind])
    newest = known[known[columns[0]].notna()].drop_duplicates("battery_id", keep="last").set_index("battery_id")
    sources = newest["source_sha256"].map(lambda source: [source])
    return newest[columns].assign(**{f"{kind}_as_of": newest["ended_at"], f"{kind}_source_sha256": sources})


def _capacities_before_storage(known: pd.DataFrame) -> pd.Series:
    """Return the newest capacity of each battery that is older than its newest retained charge."""
    stored = known[known["retained_ah"].notna()].groupby("battery_id")["age"].min()
    older = known[known["capacity_ah"].notna() & (known["age"] > known["battery_id"].map(stored))]
    newest = older.drop_duplicates("battery_id", keep="last").set_index("battery_id")
    return newest["capacity_ah"].rename("capacity_before_storage_ah")


def _temperatures(recent: pd.DataFrame) -> pd.Series:
    """Return the mean temperature of the interval, weighted with the duration of its cycles."""
    measured = recent[recent["mean_temperature_celsius"].notna()]
    weighted = measured["mean_temperature_celsius"] * measured["duration_second"]
    battery = measured["battery_id"]
    mean = weighted.groupby(battery).sum() / measured["duration_second"].groupby(battery).sum()
    return mean.rename("mean_temperature_celsius")


def _net_since_empty(known: pd.DataFrame) -> pd.Series:
    """Return the net charge since each battery was last seen empty."""
    emptied = known[known["net_ah_since_empty"].notna()].groupby("battery_id")["age"].min()
    emptied_age = known["battery_id"].map(emptied)
    later = known["age"] < emptied_age
    net = known["net_ah_since_empty"].where(known["age"] == emptied_age)
    net = net.mask(later, known["charge_ah"] - known["discharge_ah"])
    return net.groupby(known["battery_id"]).sum(min_count=1).rename("net_ah_since_empty")


def _impedances(spectra: pd.DataFrame) -> pd.DataFrame:
    """Return the newest valid spectrum of each battery, and how many spectra there are."""
    valid = spectra[spectra["kramers_kronig_valid"].astype(bool)].drop_duplicates("battery_id", keep="last")
    valid = valid.set_index("battery_id")[["measured_at", "source_sha256", *SPECTRUM_NUMBERS, "circuit"]]
    valid["source_sha256"] = valid["source_sha256"].map(lambda source: [source])
    names = {"measured_at": "impedance_as_of", "source_sha256": "impedance_source_sha256", **SPECTRUM_NUMBERS}
    valid = valid.rename(columns=names)
    counts = spectra.groupby("battery_id").agg(spectra=("measured_at", "size"), spectrum_at=("measured_at", "max"))
    return counts.join(valid)
