"""From a spectrum to what a passport says about it: is it valid, which circuit, which resistances."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Unpack

import numpy as np

from battery_pilot.electrochemistry.impedance.fit import FitOptions, fit_circuit
from battery_pilot.electrochemistry.impedance.kramers_kronig import KramersKronig, linear_kramers_kronig
from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats, checked_spectrum
from battery_pilot.electrochemistry.impedance.starts import zero_crossing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike

    from battery_pilot.electrochemistry.impedance.fitted import CircuitFit

AC_FREQUENCY_HERTZ = 1000.0
"""Where the AC resistance of a cell is taken (IEC 61960-3, clause on AC internal resistance)."""

CROSSING, FITTED = "zero crossing", "fitted series resistance"
"""How an ohmic resistance is found: interpolated, or by the fit where a spectrum ends before the axis."""

MAXIMUM_RELATIVE_RMSE = 0.05
"""A circuit that fits worse than this says nothing about the cell's resistances."""


@dataclass(frozen=True)
class SpectrumAnalysis:
    """What a spectrum says.

    :param validity: Kramers-Kronig test.
    :param fit: the fitted circuit.
    :param ohmic_resistance_ohm: real impedance where the spectrum crosses the real axis at high frequency.
    :param ohmic_resistance_method: :data:`CROSSING` or :data:`FITTED`.
    :param ohmic_frequency_hertz: where the spectrum crosses the axis, interpolated; ``None`` for a fitted resistance.
    :param ohmic_resistance_error_ohm: standard error of a fitted resistance; ``None`` for an interpolated one.
    :param polarisation_resistance_ohm: sum of the resistances of the fitted arcs.
    :param polarisation_resistance_error_ohm: its standard error, with the correlation of the resistances; ``None`` where
        the spectrum does not determine all of them.
    :param ac_resistance_ohm: real impedance at 1 kHz, interpolated in the logarithm of the frequency.
    :param absent: name of each resistance that is ``None`` to the reason.
    """

    validity: KramersKronig
    fit: CircuitFit
    ohmic_resistance_ohm: float | None
    ohmic_resistance_method: str | None
    ohmic_frequency_hertz: float | None
    ohmic_resistance_error_ohm: float | None
    polarisation_resistance_ohm: float | None
    polarisation_resistance_error_ohm: float | None
    ac_resistance_ohm: float | None
    absent: Mapping[str, str] = field(default_factory=dict)


def analyse_spectrum(
    frequency_hertz: ArrayLike,
    impedance_ohm: ArrayLike,
    circuit: str | Sequence[str] | None = None,
    **options: Unpack[FitOptions],
) -> SpectrumAnalysis:
    """Test a spectrum, fit a circuit and read off the resistances.

    An invalid spectrum is analysed as well: ``validity`` says so, and the caller decides what to do with the numbers.

    :param frequency_hertz: frequencies, shape (n,), Hz, n at least 8, in any order.
    :param impedance_ohm: complex impedance, shape (n,), ohm, imaginary part with its sign.
    :param circuit: a circuit string, or several to choose from; ``None`` picks one.
    :param options: see :class:`~battery_pilot.electrochemistry.impedance.fit.FitOptions`.
    :raises AnalysisError: too few points, non-finite values, or a circuit too large for the spectrum.
    :raises CircuitError: the circuit string cannot be parsed.
    :raises InputError: an option does not suit the circuit.
    """
    frequency, impedance = checked_spectrum(frequency_hertz, impedance_ohm)
    validity = linear_kramers_kronig(frequency, impedance)
    return concluded(frequency, impedance, validity, fit_circuit(frequency, impedance, circuit, **options))


def concluded(frequency: Floats, impedance: Complexes, validity: KramersKronig, fit: CircuitFit) -> SpectrumAnalysis:
    """Read off the resistances of a tested and fitted spectrum, which is in order of falling frequency."""
    absent: dict[str, str] = {}
    ohmic, method, crossing_hertz = _ohmic(frequency, impedance, fit)
    if ohmic is None:
        absent["ohmic_resistance_ohm"] = "the spectrum does not reach the real axis and no circuit fits it"
    polarisation = _polarisation(fit)
    if polarisation is None:
        absent["polarisation_resistance_ohm"] = (
            f"no circuit with arcs fits within {MAXIMUM_RELATIVE_RMSE:.0%} ({fit.relative_rmse:.1%} with {fit.circuit})"
        )
    ac = _real_at(AC_FREQUENCY_HERTZ, frequency, impedance)
    if ac is None:
        absent["ac_resistance_ohm"] = (
            f"the spectrum spans {frequency[-1]:g}..{frequency[0]:g} Hz, which does not include 1 kHz"
        )
    return SpectrumAnalysis(
        validity=validity,
        fit=fit,
        ohmic_resistance_ohm=ohmic,
        ohmic_resistance_method=method,
        ohmic_frequency_hertz=crossing_hertz,
        ohmic_resistance_error_ohm=_error(fit, fit.series_resistances) if method == FITTED else None,
        polarisation_resistance_ohm=polarisation,
        polarisation_resistance_error_ohm=None if polarisation is None else _error(fit, fit.arc_resistances),
        ac_resistance_ohm=ac,
        absent=absent,
    )


def to_json(analysis: SpectrumAnalysis) -> dict[str, object]:
    """Return an analysis as JSON types, without the point-wise arrays."""
    validity, fit = analysis.validity, analysis.fit
    return {
        "validity": {
            "m": validity.elements,
            "mu": validity.mu,
            "max_residual_percent": validity.max_residual_percent,
            "valid": validity.valid,
            "trusted_hertz": None if validity.trusted_hertz is None else list(validity.trusted_hertz),
        },
        "circuit": {
            "string": fit.circuit,
            "parameters": {
                name: {"value": p.value, "unit": p.unit, "standard_error": p.standard_error}
                for name, p in fit.parameters.items()
            },
            "relative_rmse": fit.relative_rmse,
            "aic": fit.aic,
        },
        "ohmic_resistance_ohm": analysis.ohmic_resistance_ohm,
        "ohmic_resistance_method": analysis.ohmic_resistance_method,
        "ohmic_frequency_hertz": analysis.ohmic_frequency_hertz,
        "ohmic_resistance_error_ohm": analysis.ohmic_resistance_error_ohm,
        "polarisation_resistance_ohm": analysis.polarisation_resistance_ohm,
        "polarisation_resistance_error_ohm": analysis.polarisation_resistance_error_ohm,
        "ac_resistance_ohm": analysis.ac_resistance_ohm,
        "absent": dict(analysis.absent),
    }


def _ohmic(frequency: Floats, impedance: Complexes, fit: CircuitFit) -> tuple[float | None, str | None, float | None]:
    """Return the ohmic resistance, how it was found, and at which frequency."""
    crossing = zero_crossing(frequency, impedance)
    if crossing is not None:
        resistance, crossing_hertz = crossing
        return resistance, CROSSING, crossing_hertz
    series = [fit.parameters[name].value for name in fit.series_resistances]
    if series and fit.relative_rmse <= MAXIMUM_RELATIVE_RMSE:
        return sum(series), FITTED, None
    return None, None, None


def _polarisation(fit: CircuitFit) -> float | None:
    """Sum the resistors of the arcs, or ``None`` when there are none or the fit is poor."""
    arcs = [fit.parameters[name].value for name in fit.arc_resistances]
    if not arcs or fit.relative_rmse > MAXIMUM_RELATIVE_RMSE:
        return None
    return sum(arcs)


def _error(fit: CircuitFit, names: tuple[str, ...]) -> float | None:
    """Return the standard error of the sum of some parameters, ``None`` where one of them has none."""
    errors = np.array([fit.parameters[name].standard_error or np.nan for name in names])
    places = [list(fit.parameters).index(name) for name in names]
    variance = float(errors @ fit.correlation[np.ix_(places, places)] @ errors)
    return float(np.sqrt(variance)) if variance > 0 else None


def _real_at(wanted_hertz: float, frequency: Floats, impedance: Complexes) -> float | None:
    """Interpolate the real part linearly in log f; ``None`` outside the measured range."""
    if not frequency[-1] <= wanted_hertz <= frequency[0]:
        return None
    rising = np.log(frequency[::-1])
    return float(np.interp(np.log(wanted_hertz), rising, impedance.real[::-1]))
