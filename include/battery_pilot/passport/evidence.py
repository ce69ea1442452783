"""What a passport says about the measurement files behind it: spectra and usage, newest first and bounded in number."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

from pydantic import AwareDatetime, Field

from battery_pilot.electrochemistry.condition import Frozen, Sha256
from battery_pilot.passport.documents import Attachment, Document
from battery_pilot.passport.lexical import utc_text

NEWEST_SPECTRA = 4
"""Most spectra in a passport: the newest valid ones. Each takes up to 30 kB."""

NEWEST_SERIES = 8
"""Most usage files in a passport: the newest ones."""

_CONTENT_TYPES = {"csv": "text/csv", "json": "application/json", "parquet": "application/vnd.apache.parquet"}

_UNITS = {
    "hertz": "Hz", "ohm": "ohm", "second": "s", "volt": "V", "ampere": "A", "celsius": "°C", "percent": "%",
    "ah": "Ah", "wh": "Wh", "watt": "W",
}  # fmt: skip


class Column(NamedTuple):
    """A column of a measurement file, as the Battery Data Format names it.

    :param name: machine name with its unit.
    :param unit: the unit; empty for counts and times of day.
    """

    name: str
    unit: str


def column(name: str) -> Column:
    """Return a column by its machine name."""
    return Column(name, _UNITS.get(name.rpartition("_")[2], ""))


SPECTRUM_FILE_COLUMNS = tuple(
    column(name) for name in ("frequency_hertz", "real_impedance_ohm", "imaginary_impedance_ohm")
)


class CircuitParameter(Frozen):
    """A parameter of a fitted circuit.

    :param name: element of the circuit string.
    :param value: the value.
    :param unit: its unit.
    :param standard_error: standard error in the same unit, where the fit determines the parameter.
    """

    name: str
    value: float
    unit: str
    standard_error: float | None = Field(default=None, ge=0)


class RelaxationPeak(Frozen):
    """A peak in the distribution of relaxation times.

    :param time_constant_second: where it lies.
    :param resistance_ohm: area below it.
    """

    time_constant_second: float
    resistance_ohm: float


class Counts(NamedTuple):
    """How many files there are; ``None`` where a passport says nothing of them because there are none."""

    spectra: int | None
    valid_spectra: int | None
    time_series: int | None


class MeasuredFile(Frozen):
    """A raw measurement file that stays where it is.

    :param source_sha256: digest of its content.
    :param name: name of the file without its folders.
    :param format: name of its format in this library.
    """

    source_sha256: Sha256
    name: str | None = None
    format: str | None = None

    @property
    def file(self) -> Attachment:
        """The file as the passport names it: by its digest."""
        kind = _CONTENT_TYPES.get((self.format or "").rpartition("-")[2], "application/octet-stream")
        name = self.name or self.source_sha256
        return Attachment(name=name, content_type=kind, sha256=self.source_sha256, is_external=True)


class Spectrum(MeasuredFile):
    """An impedance spectrum and what its analysis found; unknown facts are ``None``.

    :param spectrum_index: number of the spectrum within its file, from 0.
    :param measured_at: when it was measured.
    :param point_count: number of frequencies.
    :param minimum_frequency_hertz: lowest frequency.
    :param maximum_frequency_hertz: highest frequency.
    :param temperature_celsius: temperature of the battery.
    :param state_of_charge_percent: state of charge.
    :param dc_bias_volt: voltage that the signal was superimposed on.
    :param dc_bias_ampere: current that the signal was superimposed on.
    :param kramers_kronig_valid: verdict of the Kramers-Kronig test.
    :param kramers_kronig_residual_percent: largest residual, relative to the impedance.
    :param kramers_kronig_elements: number M of its RC elements.
    :param kramers_kronig_mu: its measure of overfitting, 0..1.
    :param trusted_minimum_hertz: lower end of the frequencies that pass the test.
    :param trusted_maximum_hertz: upper end of them.
    :param ohmic_resistance_ohm: where the spectrum crosses the real axis.
    :param ohmic_resistance_method: how that was found.
    :param ohmic_frequency_hertz: frequency of that crossing.
    :param polarisation_resistance_ohm: sum of the arcs.
    :param ac_resistance_ohm: real impedance at 1 kHz.
    :param circuit: fitted circuit.
    :param circuit_parameters: its parameters.
    :param circuit_relative_rmse: root mean square of the fit's residuals, relative to the impedance.
    :param circuit_aic: Akaike's information criterion of the fit.
    :param drt_peaks: peaks in the distribution of relaxation times.
    """

    spectrum_index: int = Field(ge=0)
    measured_at: AwareDatetime
    point_count: int | None = None
    minimum_frequency_hertz: float | None = None
    maximum_frequency_hertz: float | None = None
    temperature_celsius: float | None = None
    state_of_charge_percent: float | None = None
    dc_bias_volt: float | None = None
    dc_bias_ampere: float | None = None
    kramers_kronig_valid: bool
    kramers_kronig_residual_percent: float | None = None
    kramers_kronig_elements: int | None = None
    kramers_kronig_mu: float | None = None
    trusted_minimum_hertz: float | None = None
    trusted_maximum_hertz: float | None = None
    ohmic_resistance_ohm: float | None = None
    ohmic_resistance_method: str | None = None
    ohmic_frequency_hertz: float | None = None
    polarisation_resistance_ohm: float | None = None
    ac_resistance_ohm: float | None = None
    circuit: str | None = None
    circuit_parameters: tuple[CircuitParameter, ...] = ()
    circuit_relative_rmse: float | None = None
    circuit_aic: float | None = None
    drt_peaks: tuple[RelaxationPeak, ...] = ()

    @property
    def measured_at_text(self) -> str:
        """When it was measured, UTC, as text: IDTA 02008 wants times as strings."""
        return utc_text(self.measured_at)


class TimeSeries(MeasuredFile):
    """A log of current, voltage and temperature, of a cycler or of a battery management system.

    :param record_count: number of its records.
    :param started_at: time of the first record.
    :param ended_at: time of the last record.
    :param columns: machine names of its columns.
    """

    record_count: int = Field(ge=0)
    started_at: AwareDatetime
    ended_at: AwareDatetime
    columns: tuple[str, ...] = ()

    @property
    def started_at_text(self) -> str:
        """Time of the first record as text."""
        return utc_text(self.started_at)

    @property
    def ended_at_text(self) -> str:
        """Time of the last record as text."""
        return utc_text(self.ended_at)

    @property
    def duration(self) -> str:
        """Time between first and last record, ISO 8601."""
        elapsed: timedelta = self.ended_at - self.started_at
        return f"PT{elapsed.total_seconds():.6f}".rstrip("0").rstrip(".") + "S"

    @property
    def described_columns(self) -> tuple[Column, ...]:
        """Its columns with their units."""
        return tuple(map(column, self.columns))


class Evidence(Frozen):
    """What there is about one battery besides its condition.

    :param documents: documents of this battery alone.
    :param spectra: newest valid spectra, newest first.
    :param spectrum_count: number of all spectra that were analysed.
    :param valid_spectrum_count: number of those that pass the Kramers-Kronig test.
    :param time_series: newest usage files, newest first.
    :param time_series_count: number of all usage files.
    """

    documents: tuple[Document, ...] = ()
    spectra: tuple[Spectrum, ...] = Field(default=(), max_length=NEWEST_SPECTRA)
    spectrum_count: int = Field(default=0, ge=0)
    valid_spectrum_count: int = Field(default=0, ge=0)
    time_series: tuple[TimeSeries, ...] = Field(default=(), max_length=NEWEST_SERIES)
    time_series_count: int = Field(default=0, ge=0)

    @property
    def spectrum_columns(self) -> tuple[Column, ...]:
        """Columns of every spectrum; none where there is no spectrum."""
        return SPECTRUM_FILE_COLUMNS if self.spectra else ()

    @property
    def counts(self) -> Counts:
        """The counts as a passport states them."""
        some = self.spectrum_count > 0
        return Counts(
            self.spectrum_count if some else None,
            self.valid_spectrum_count if some else None,
            self.time_series_count or None,
        )
