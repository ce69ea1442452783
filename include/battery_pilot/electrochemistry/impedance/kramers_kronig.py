"""The linear Kramers-Kronig test, which tells whether a spectrum is that of a linear, stable and causal system.

M. Schoenleber, D. Klotz, E. Ivers-Tiffee, "A Method for Improving the Robustness of linear Kramers-Kronig Validity
Tests", Electrochimica Acta 131 (2014) 20-27, doi:10.1016/j.electacta.2014.01.034.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats, checked_spectrum

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

MAXIMUM_RESIDUAL_PERCENT = 1.0
r"""A spectrum is valid while no residual exceeds this share of \|Z\|.

One percent is the usual rule of practice for this test (documentation of ImpedanceFitter, "LinKK test"; the authors of
rLKK name 1..2 %): the noise of a good instrument stays well below it, drift and non-linearity do not.
"""

ELEMENTS_PER_DECADE = 3
"""Smallest density of time constants; fixed, so that it does not follow the outcome for a spectrum."""


@dataclass(frozen=True, eq=False)
class KramersKronig:
    r"""The outcome of the test.

    :param elements: number M of RC elements.
    :param mu: 1 - (sum of the negative \|R\|) / (sum of the positive R); small when the model starts to fit noise.
    :param residual_real: real part of (measured - modelled) / \|measured\|, by falling frequency.
    :param residual_imaginary: the same for the imaginary part.
    :param max_residual_percent: largest absolute value of both, percent of \|Z\|.
    :param valid: whether it is at most :data:`MAXIMUM_RESIDUAL_PERCENT`.
    """

    elements: int
    mu: float
    residual_real: Floats
    residual_imaginary: Floats
    max_residual_percent: float
    valid: bool


def linear_kramers_kronig(
    frequency_hertz: ArrayLike,
    impedance_ohm: ArrayLike,
    *,
    mu_threshold: float = 0.85,
    maximum_elements: int = 50,
    add_capacitance: bool = True,
    add_inductance: bool = True,
) -> KramersKronig:
    """Test a spectrum by a linear fit of M RC elements, which satisfy the Kramers-Kronig relations by construction.

    M grows until ``mu`` falls to the threshold: fewer elements underfit, more of them fit the noise. Unlike the paper's
    it starts at :data:`ELEMENTS_PER_DECADE`, because a coarse model of a narrow arc ripples, which gives negative
    resistances as well and would end the search with large residuals for a sound spectrum.

    :param frequency_hertz: frequencies, shape (n,), Hz, in any order.
    :param impedance_ohm: complex impedance, shape (n,), ohm.
    :param mu_threshold: where to stop, 0..1; the paper proposes 0.85.
    :param maximum_elements: upper limit of M; the number of points limits it as well.
    :param add_capacitance: add a series capacitance, for spectra whose imaginary part does not return to zero at low
        frequency (cells do not).
    :param add_inductance: add a series inductance (leads).
    :raises AnalysisError: see :func:`~battery_pilot.electrochemistry.impedance.spectrum.checked_spectrum`.
    """
    frequency, impedance = checked_spectrum(frequency_hertz, impedance_ohm)
    omega = 2 * np.pi * frequency
    modulus = np.abs(impedance)
    fixed: list[Complexes] = [np.ones_like(omega, dtype=np.complex128)]
    if add_capacitance:
        fixed.append(1 / (1j * omega))
    if add_inductance:
        fixed.append(1j * omega)
    # An underdetermined fit has zero residuals and proves nothing: keep fewer unknowns than points.
    most = max(1, min(maximum_elements, frequency.size - len(fixed)))
    least = max(1, min(most, round(ELEMENTS_PER_DECADE * np.log10(frequency[0] / frequency[-1]))))
    for elements in range(least, most + 1):
        time_constants = np.geomspace(1 / omega[0], 1 / omega[-1], elements)
        arcs = 1 / (1 + 1j * np.outer(omega, time_constants))
        result = _fitted(np.column_stack([arcs, *fixed]) / modulus[:, None], impedance / modulus, elements)
        if result.mu <= mu_threshold:
            break
    return result


def _fitted(matrix: Complexes, target: Complexes, elements: int) -> KramersKronig:
    """Fit the columns of a model, of which the first ones are RC elements, and judge the residuals."""
    solution = np.linalg.lstsq(_stacked(matrix), _stacked(target), rcond=None)[0]
    residual = target - matrix @ solution
    largest = 100 * float(max(np.abs(residual.real).max(), np.abs(residual.imag).max()))
    mu = _mu(solution[:elements])
    return KramersKronig(elements, mu, residual.real, residual.imag, largest, largest <= MAXIMUM_RESIDUAL_PERCENT)


def _stacked(values: Complexes) -> Floats:
    """Real parts above imaginary parts: the complex fit as a real one."""
    return np.concatenate([values.real, values.imag])


def _mu(resistances: Floats) -> float:
    """How far the resistances are from all being positive: the paper's measure of overfitting."""
    positive = float(resistances[resistances >= 0].sum())
    negative = float(-resistances[resistances < 0].sum())
    if positive == 0:
        return 0.0
    return 1 - negative / positive
