"""What a figure of an impedance spectrum shows, whoever draws it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from battery_pilot.electrochemistry.impedance.drt import RelaxationTimes
    from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats

PICTURES = (".png", ".svg", ".pdf")
PAGE = ".html"
SUFFIXES = (PAGE, *PICTURES)
"""Endings of the files that :func:`save_spectrum` writes."""

CROWDED = 0.05
"""Labels of points nearer than this share of the plot would cover each other."""

_PREFIXES = ((1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"))

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True, eq=False)
class SpectrumView:
    """A spectrum with what was made of it.

    :param title: heading; any text.
    :param frequency_hertz: shape (n,), Hz, falling, as
        :func:`~battery_pilot.electrochemistry.impedance.spectrum.checked_spectrum` returns them.
    :param impedance_ohm: measured complex impedance, shape (n,), ohm.
    :param fitted_ohm: impedance of the fitted circuit at the same frequencies, if one was fitted.
    :param circuit: string of that circuit.
    :param distribution: distribution of relaxation times, if there is one.
    :param notes: sentences under the heading, such as warnings.
    """

    title: str
    frequency_hertz: Floats
    impedance_ohm: Complexes
    fitted_ohm: Complexes | None = None
    circuit: str = ""
    distribution: RelaxationTimes | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def unit(self) -> tuple[float, str]:
        """How many ohm the unit of the impedance axes has, and its name."""
        size, prefix = prefix_of(float(np.abs(self.impedance_ohm).max()))
        return size, f"{prefix}Ω"

    @property
    def residual_percent(self) -> Complexes:
        r"""(measured - fitted) / \|measured\| in percent, shape (n,); empty without a fit."""
        if self.fitted_ohm is None:
            return np.empty(0, dtype=np.complex128)
        return 100 * (self.impedance_ohm - self.fitted_ohm) / np.abs(self.impedance_ohm)

    @property
    def decades(self) -> list[tuple[int, str]]:
        """Index and label of the point nearest to each power of ten of the frequency, by rising frequency.

        Left out are powers without a point near them, and points too near to a labelled one in the Nyquist plot.
        """
        exponents = np.log10(self.frequency_hertz)
        apart = CROWDED * max(np.ptp(self.impedance_ohm.real), np.ptp(self.impedance_ohm.imag))
        marked: list[tuple[int, str]] = []
        for exponent in range(int(np.ceil(exponents.min() - 0.1)), int(np.floor(exponents.max() + 0.1)) + 1):
            nearest = int(np.argmin(np.abs(exponents - exponent)))
            distances = [abs(self.impedance_ohm[nearest] - self.impedance_ohm[index]) for index, _ in marked]
            if abs(exponents[nearest] - exponent) <= 0.1 and all(distance > apart for distance in distances):
                marked.append((nearest, quantity(10.0**exponent, "Hz")))
        return marked


def quantity(value: float, unit: str, digits: int = 3) -> str:
    """Return a value with a prefixed unit, for example ``12.3 mΩ``."""
    size, prefix = prefix_of(abs(value))
    return f"{value / size:.{digits}g} {prefix}{unit}"


def power_of_ten(value: float) -> str:
    """Return 0.01 as ``10⁻²``: no markup, which would also be read in the names that figures show."""
    return "10" + f"{np.log10(value):.0f}".translate(_SUPERSCRIPTS)


def save_spectrum(view: SpectrumView, path: Path) -> None:
    """Draw a spectrum into a file of the kind that its name tells.

    :param view: what to draw.
    :param path: the file; its name ends in one of :data:`SUFFIXES`.
    :raises InputError: another ending, or the file cannot be written.
    """
    demand_suffix(path)
    try:
        if path.suffix.lower() == PAGE:
            from battery_pilot.figures.spectrum_page import spectrum_page

            path.write_text(spectrum_page(view), encoding="utf-8")
        else:
            from battery_pilot.figures.spectrum_figure import save_figure

            save_figure(view, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); choose another place") from error


def demand_suffix(path: Path) -> None:
    """Raise an :class:`~battery_pilot.errors.InputError` where a file's name does not tell a kind of figure."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: cannot tell what kind of figure to draw; end the name in {', '.join(SUFFIXES)}")


def prefix_of(value: float) -> tuple[float, str]:
    """Return the largest prefix that leaves a number of at least 1, or the smallest there is."""
    # A hair of tolerance keeps 10**-3 from becoming 1000 µ.
    return next((pair for pair in _PREFIXES if value * (1 + 1e-9) >= pair[0]), _PREFIXES[-1])
