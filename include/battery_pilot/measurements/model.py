"""What every reader returns: one canonical table and typed metadata."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

Kind = Literal["impedance", "cycling", "field"]

IMPEDANCE_COLUMNS = ("spectrum_index", "frequency_hertz", "real_impedance_ohm", "imaginary_impedance_ohm")
"""Columns of an impedance table; the imaginary part carries its sign (negative for a capacitive cell)."""

CYCLING_COLUMNS = ("test_time_second", "voltage_volt", "current_ampere")
"""Columns that every cycling and field table has; current is positive while the cell is charged."""

OPTIONAL_CYCLING_COLUMNS = (
    "cycle_count",
    "step_count",
    "step_index",
    "temperature_t1_celsius",
    "ambient_temperature_celsius",
    "charging_capacity_ah",
    "discharging_capacity_ah",
    "charging_energy_wh",
    "discharging_energy_wh",
    "dc_internal_resistance_ohm",
    "ac_internal_resistance_ohm",
)
"""Further BDF columns a cycling table has where the file holds them. ``temperature_t1_celsius`` is the cell's surface."""

IDENTITY_COLUMNS = ("battery_id", "source_sha256", "measured_at")
"""Columns of every table: string or null, string, timestamp in UTC or null."""


@dataclass(frozen=True)
class Measurement:
    """The content of one instrument file.

    :param kind: what was measured.
    :param format: short name of the file format, for example ``gamry-dta``.
    :param instrument: maker and model as far as the file tells, else ``None``.
    :param table: canonical columns (this module's constants), float64 values in SI units of the Battery Data Format.
    :param metadata: further typed facts; values are JSON types, times are ISO 8601 strings.
    :param warnings: every guess and every repair, one sentence each.
    :param source_sha256: digest of the raw file, hexadecimal.
    """

    kind: Kind
    format: str
    instrument: str | None
    table: pa.Table
    source_sha256: str
    metadata: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
