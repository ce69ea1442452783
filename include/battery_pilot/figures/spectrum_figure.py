"""The picture of an impedance spectrum: Nyquist, residuals, Bode and relaxation times, drawn by matplotlib."""

from __future__ import annotations

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from battery_pilot.figures.spectrum_view import power_of_ten, prefix_of, quantity
from battery_pilot.report_figures import FAINT, HUES, INK, SETTINGS

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from battery_pilot.electrochemistry.impedance.drt import RelaxationTimes
    from battery_pilot.electrochemistry.impedance.spectrum import Floats
    from battery_pilot.figures.spectrum_view import SpectrumView

MEASURED, FITTED, PHASE = HUES[0], HUES[1], HUES[2]
_POINTS: dict[str, Any] = {"marker": "o", "ms": 3.5, "ls": "none", "mfc": "none", "mew": 0.9}


def save_figure(view: SpectrumView, path: Path) -> None:
    """Write the picture of a spectrum; the same view gives the same bytes.

    :param path: its ending is one that matplotlib knows, such as ``.png``, ``.svg`` or ``.pdf``.
    """
    with mpl.rc_context(SETTINGS | {"svg.hashsalt": "spectrum"}):
        dates = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
        draw_spectrum(view).savefig(path, dpi=150, metadata=dates.get(path.suffix.lower()))


def draw_spectrum(view: SpectrumView) -> Figure:
    """Return a figure with all that a view holds; what it does not hold leaves its place to the rest."""
    figure = Figure(figsize=(10.5, 7.6), layout="constrained")
    notes = [line for note in view.notes for line in wrap(note, 115)]
    figure.suptitle("\n".join([*wrap(view.title, 115), *notes]), fontsize=11, x=0.01, ha="left")
    columns: Any = figure.subfigures(1, 2)
    left, right = columns
    if view.fitted_ohm is None:
        draw_nyquist(left.subplots(), view)
    else:
        upper, lower = left.subplots(2, 1, height_ratios=(3, 1.3))
        draw_nyquist(upper, view)
        draw_residuals(lower, view)
    if view.distribution is None:
        modulus, phase = right.subplots(2, 1, sharex=True)
    else:
        modulus, phase, relaxation = right.subplots(3, 1)
        phase.sharex(modulus)
        draw_distribution(relaxation, view.distribution)
    draw_bode(modulus, phase, view)
    return figure


def draw_nyquist(axes: Axes, view: SpectrumView) -> None:
    """Draw -Im over Re with equal scales, the fit as a line and the decades of the frequency."""
    size, unit = view.unit
    measured = view.impedance_ohm / size
    axes.plot(measured.real, -measured.imag, color=MEASURED, label="measured", **_POINTS)
    if view.fitted_ohm is not None:
        fitted = view.fitted_ohm / size
        axes.plot(fitted.real, -fitted.imag, color=FITTED, lw=1.3, label=f"fit {view.circuit}")
    # Labels stand off to the right of the way from high to low frequencies: below the arcs, where there is room.
    way = np.gradient(measured)
    aside = -1j * np.conj(way) / np.maximum(np.abs(way), np.finfo(float).tiny)
    for index, label in view.decades:
        place = (measured[index].real, -measured[index].imag)
        axes.plot(*place, marker="o", ms=4.5, color=MEASURED)
        offset = (9 * aside[index].real, 9 * aside[index].imag)
        sides: dict[str, Any] = {"ha": _side(offset[0], "left", "right"), "va": _side(offset[1], "bottom", "top")}
        axes.annotate(label, place, offset, textcoords="offset points", fontsize=8, color=INK, **sides)
    axes.axhline(0, color=FAINT, lw=0.8)
    axes.set_aspect("equal", adjustable="datalim")
    axes.margins(0.08)
    axes.set(xlabel=f"Re Z ({unit})", ylabel=f"−Im Z ({unit})")
    axes.legend(loc="upper left", frameon=False, fontsize=8)


def _side(offset: float, positive: str, negative: str) -> str:
    return "center" if abs(offset) < 4 else positive if offset > 0 else negative


def draw_residuals(axes: Axes, view: SpectrumView) -> None:
    """Draw the relative residuals of the fit over the frequency."""
    residual = view.residual_percent
    frequency = view.frequency_hertz
    for values, hue, label in ((residual.real, MEASURED, "Re"), (residual.imag, FITTED, "Im")):
        axes.plot(frequency, values, color=hue, lw=0.8, marker="o", ms=2.5, label=label)
    axes.axhline(0, color=FAINT, lw=0.8)
    _frequency_axis(axes)
    axes.set_ylabel("(Z − fit) / |Z| (%)")
    axes.legend(loc="best", frameon=False, fontsize=8, ncols=2)


def draw_bode(modulus: Axes, phase: Axes, view: SpectrumView) -> None:
    """Draw modulus and phase over the frequency, on one axes each."""
    size, unit = view.unit
    frequency, measured = view.frequency_hertz, view.impedance_ohm / size
    modulus.plot(frequency, np.abs(measured), color=MEASURED, **_POINTS)
    phase.plot(frequency, -np.angle(measured, deg=True), color=PHASE, **_POINTS)
    if view.fitted_ohm is not None:
        fitted = view.fitted_ohm / size
        modulus.plot(frequency, np.abs(fitted), color=FITTED, lw=1.3)
        phase.plot(frequency, -np.angle(fitted, deg=True), color=FITTED, lw=1.3)
    # Less than a decade leaves a logarithmic axis without a labelled tick.
    if np.abs(measured).max() > 10 * np.abs(measured).min():
        modulus.set_yscale("log")
        _decade_ticks(modulus.yaxis)
    for axes in (modulus, phase):
        _frequency_axis(axes)
    modulus.set(xlabel="", ylabel=f"|Z| ({unit})")
    modulus.tick_params(labelbottom=False)
    phase.set_ylabel("−phase (°)")


def draw_distribution(axes: Axes, distribution: RelaxationTimes) -> None:
    """Draw gamma over tau, its peaks with their resistances, and shade what lies beyond the measured frequencies."""
    tau = distribution.time_constant_second
    top = float(distribution.gamma_ohm.max())
    size, prefix = prefix_of(top)
    axes.fill_between(tau, distribution.gamma_ohm / size, color=MEASURED, alpha=0.18, lw=0)
    axes.plot(tau, distribution.gamma_ohm / size, color=MEASURED, lw=1.5)
    axes.set_xscale("log")
    axes.set(xlim=(tau[0], tau[-1]), ylim=(0, 1.45 * top / size or 1.0))
    _decade_ticks(axes.xaxis)
    for start, end in _beyond(distribution):
        axes.axvspan(start, end, color=FAINT, alpha=0.18, lw=0)
    for peak in distribution.peaks:
        height = float(np.interp(np.log(peak.time_constant_second), np.log(tau), distribution.gamma_ohm)) / size
        text = f"{quantity(peak.resistance_ohm, 'Ω')}\n{quantity(peak.time_constant_second, 's')}"
        place = (peak.time_constant_second, height)
        axes.annotate(text, place, (0, 3), textcoords="offset points", fontsize=8, ha="center", va="bottom")
    axes.set(xlabel="Relaxation time τ (s); grey: not measured", ylabel=f"γ ({prefix}Ω per ln τ)")


def _beyond(distribution: RelaxationTimes) -> list[tuple[float, float]]:
    """Return the ranges of tau without a measured frequency."""
    tau = distribution.time_constant_second
    measured: Floats = 1 / (2 * np.pi * distribution.frequency_hertz)
    return [(float(tau[0]), float(measured[0])), (float(measured[-1]), float(tau[-1]))]


def _frequency_axis(axes: Axes) -> None:
    axes.set_xscale("log")
    _decade_ticks(axes.xaxis)
    axes.set_xlabel("Frequency (Hz)")


def _decade_ticks(axis: Axis) -> None:
    """Mark every decade, or every second one where there are many."""
    axis.set_major_locator(LogLocator(base=10, numticks=10))
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))
    axis.set_minor_formatter(NullFormatter())
