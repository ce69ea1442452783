"""Analyse many spectra: those of one frequency grid are tested and fitted together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.electrochemistry.impedance.analysis import SpectrumAnalysis, concluded
from battery_pilot.electrochemistry.impedance.fit import SPECTRA_AT_ONCE, fit_circuits
from battery_pilot.electrochemistry.impedance.kramers_kronig import linear_kramers_kronig_batch
from battery_pilot.electrochemistry.impedance.spectrum import (
    Complexes,
    Floats,
    checked_spectra,
    checked_spectrum,
    usable,
)
from battery_pilot.errors import AnalysisError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Outcome = SpectrumAnalysis | AnalysisError
"""What an analysis found, or why there is none."""


def analyse_spectra(
    frequency_hertz: ArrayLike, impedance_ohm: ArrayLike, circuit: str | None = None
) -> Iterator[Outcome]:
    """Analyse many spectra of one frequency grid, each with the result of ``analyse_spectrum``.

    The results are made while they are taken, some dozen at a time: memory does not grow with the number of spectra.

    :param frequency_hertz: frequencies of all spectra, shape (f,), Hz, in any order.
    :param impedance_ohm: complex impedance, one spectrum per row, shape (n, f), ohm, imaginary part with its sign.
    :param circuit: a circuit string; ``None`` picks one for each spectrum.
    :return: one outcome per row, in their order; an :class:`~battery_pilot.errors.AnalysisError` (returned, not raised)
        for a row that cannot be analysed.
    :raises AnalysisError: the shapes do not belong together or the frequencies are unusable.
    :raises CircuitError: the circuit string cannot be parsed.
    """
    frequency, impedance = checked_spectra(frequency_hertz, impedance_ohm)
    firsts = range(0, impedance.shape[0], SPECTRA_AT_ONCE)
    return chain.from_iterable(
        _chunk(frequency, impedance[first : first + SPECTRA_AT_ONCE], circuit) for first in firsts
    )


def analyse_all(spectra: Iterable[tuple[ArrayLike, ArrayLike]], circuit: str | None = None) -> list[Outcome]:
    """Analyse spectra of any frequency grids, those of the same grid together.

    :param spectra: frequencies, Hz, and complex impedance, ohm, of each spectrum.
    :param circuit: a circuit string; ``None`` picks one for each spectrum.
    :return: one outcome per spectrum, in their order.
    :raises CircuitError: the circuit string cannot be parsed.
    """
    outcomes: dict[int, Outcome] = {}
    grids: dict[bytes, list[tuple[int, Floats, Complexes]]] = {}
    for number, (frequency_hertz, impedance_ohm) in enumerate(spectra):
        try:
            frequency, impedance = checked_spectrum(frequency_hertz, impedance_ohm)
        except AnalysisError as error:
            outcomes[number] = error
        else:
            grids.setdefault(frequency.tobytes(), []).append((number, frequency, impedance))
    for alike in grids.values():
        numbers = [number for number, _, _ in alike]
        found = analyse_spectra(alike[0][1], np.array([impedance for _, _, impedance in alike]), circuit)
        outcomes.update(zip(numbers, found, strict=True))
    return [outcomes[number] for number in range(len(outcomes))]


def _chunk(frequency: Floats, impedance: Complexes, circuit: str | None) -> Iterator[Outcome]:
    good = usable(impedance)
    if not good.any():
        results: Iterator[Outcome] = iter(())
    else:
        tests = linear_kramers_kronig_batch(frequency, impedance[good])
        try:
            fits = fit_circuits(frequency, impedance[good], circuit)
        except AnalysisError as error:
            results = iter([error] * int(good.sum()))
        else:
            results = (
                concluded(frequency, z, test, fit) for z, test, fit in zip(impedance[good], tests, fits, strict=True)
            )
    for one in good:
        yield (
            next(results)
            if one
            else AnalysisError("spectrum: a value is not finite or no impedance of a cell; remove the point")
        )
