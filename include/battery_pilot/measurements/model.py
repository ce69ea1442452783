"""What every reader returns: one canonical table and typed metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
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
    "state_of_charge_percent",
)
"""Further BDF columns a cycling table has where the file holds them. ``temperature_t1_celsius`` is the cell's surface."""

IDENTITY_COLUMNS = ("battery_id", "source_sha256", "measured_at")
"""Columns of every table: string or null, string, timestamp in UTC or null."""


HALF_WRITTEN = "Half-written file: "
"""Begin of the warning that the end of a file is missing, while what stands before it was read."""


@dataclass(frozen=True)
class Metadata:
    """What a file tells about its measurement besides the numbers; ``None`` is not known.

    :param battery_id: id of the battery in the owner's own numbering, where the file names it as such.
    :param cell_id: what the instrument's operator entered for the cell, for example a barcode.
    :param channel: channel of the instrument.
    :param instrument_software: program that wrote the file, with its version.
    :param technique: the instrument's own word for the experiment, for example ``PEIS``.
    :param started_at: start in UTC, ISO 8601.
    :param time_zone: ``assumed UTC`` where the file states a time without a zone; absent where the zone is certain.
    :param nominal_capacity_ah: capacity that was entered for the test.
    :param electrode_area_square_centimetre: area that was entered for the test.
    :param dc_bias_volt: direct voltage during an impedance measurement.
    :param state_of_charge_percent: state of charge during the measurement, 0 to 100.
    :param temperature_celsius: temperature during the measurement.
    :param drift_corrected: whether the instrument corrected the spectrum for drift.
    :param columns_left_out: headings of the file that have no place in the canonical table.
    """

    battery_id: str | None = None
    cell_id: str | None = None
    channel: str | None = None
    instrument_software: str | None = None
    technique: str | None = None
    started_at: str | None = None
    time_zone: str | None = None
    nominal_capacity_ah: float | None = None
    electrode_area_square_centimetre: float | None = None
    dc_bias_volt: float | None = None
    state_of_charge_percent: float | None = None
    temperature_celsius: float | None = None
    drift_corrected: bool | None = None
    columns_left_out: tuple[str, ...] = ()

    def known(self) -> dict[str, Any]:
        """Return what is known as a JSON object."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
            if value not in (None, ())
        }


class Spectrum(NamedTuple):
    """The points of one impedance spectrum in the file's order.

    :param frequency_hertz: above 0.
    :param impedance_ohm: complex, finite; the imaginary part is negative for a capacitive cell.
    """

    frequency_hertz: np.ndarray[Any, np.dtype[np.float64]]
    impedance_ohm: np.ndarray[Any, np.dtype[np.complex128]]


@dataclass(frozen=True, eq=False)
class Measurement:
    """The content of one instrument file, whose numbers are read and checked.

    What can be told from them later without an error is made when it is first asked for: many a user needs only the
    spectra of thousands of files.

    :param kind: what was measured.
    :param format: short name of the file format, for example ``gamry-dta``.
    :param digest: returns :attr:`source_sha256`.
    :param describe: returns :attr:`instrument`, :attr:`metadata` and :attr:`warnings`.
    :param arrange: returns :attr:`table`.
    :param spectra: of an impedance measurement, in the file's order.
    """

    kind: Kind
    format: str
    digest: Callable[[], str] = field(repr=False)
    describe: Callable[[], tuple[str | None, Metadata, tuple[str, ...]]] = field(repr=False)
    arrange: Callable[[Measurement], pa.Table] = field(repr=False)
    spectra: tuple[Spectrum, ...] = field(default=(), repr=False)

    @cached_property
    def source_sha256(self) -> str:
        """Digest of the raw file, hexadecimal."""
        return self.digest()

    @cached_property
    def _description(self) -> tuple[str | None, Metadata, tuple[str, ...]]:
        return self.describe()

    @property
    def instrument(self) -> str | None:
        """Maker and model as far as the file tells."""
        return self._description[0]

    @property
    def metadata(self) -> Metadata:
        """Further typed facts."""
        return self._description[1]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Every guess and every repair, one sentence each."""
        return self._description[2]

    @cached_property
    def table(self) -> pa.Table:
        """Canonical columns (this module's constants), float64 values in SI units of the Battery Data Format."""
        return self.arrange(self)

    @property
    def half_written(self) -> str | None:
        """The warning that the file's end is missing, or ``None`` for a whole file."""
        return next((warning for warning in self.warnings if warning.startswith(HALF_WRITTEN)), None)
