"""Fit or test the example spectrum of impedance.py with one program; prints seconds and outcome as JSON: SIDE WORK FILE.

``SIDE`` is ``ours`` or ``impedance``, each in an environment of its own; ``WORK`` is a circuit or ``linkk``. impedance.py
gets initial guesses, which it needs, and the residuals of both count in ohm.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

PASSES = 15
GUESSES = {
    "R0-p(R1,CPE1)-W1": [0.01, 0.02, 1, 0.8, 0.01],
    "R0-p(R1,CPE1)-p(R2,CPE2)-Wo1": [0.015, 0.005, 1, 0.8, 0.01, 1, 0.8, 0.05, 100],
}


def ours(work: str, frequency: Any, impedance: Any) -> Callable[[], dict[str, float]]:
    """Return our own fit or test."""
    from battery_pilot.electrochemistry.impedance.fit import fit_circuit
    from battery_pilot.electrochemistry.impedance.kramers_kronig import linear_kramers_kronig

    if work == "linkk":

        def tested() -> dict[str, float]:
            result = linear_kramers_kronig(frequency, impedance)
            return {"M": result.elements, "mu": result.mu, "residual": float(np.abs(result.residual_real).max())}

        return tested
    return lambda: rmse(fit_circuit(frequency, impedance, work, weighting="unit").impedance_ohm, impedance)


def peer(work: str, frequency: Any, impedance: Any) -> Callable[[], dict[str, float]]:
    """Return the fit or test of impedance.py."""
    from impedance.models.circuits import CustomCircuit
    from impedance.validation import circuit_elements, linKK

    # Release 1.7.1 evaluates a string with this name in it and fails where nobody provides it.
    circuit_elements.setdefault("np", np)
    if work == "linkk":

        def tested() -> dict[str, float]:
            elements, mu, _, real, _ = linKK(frequency, impedance, c=0.85, max_M=50, fit_type="complex", add_cap=True)
            return {"M": elements, "mu": mu, "residual": float(np.abs(real).max())}

        return tested

    def fitted() -> dict[str, float]:
        circuit = CustomCircuit(work, initial_guess=GUESSES[work])
        return rmse(circuit.fit(frequency, impedance).predict(frequency), impedance)

    return fitted


def rmse(fitted: Any, measured: Any) -> dict[str, float]:
    """Return the root mean square error, ohm."""
    return {"rmse": float(np.sqrt(np.mean(np.abs(fitted - measured) ** 2)))}


def main() -> None:
    """Measure and print."""
    side, work, path = sys.argv[1:]
    table = np.loadtxt(path, delimiter=",")
    table = table[table[:, 2] < 0]
    run = {"ours": ours, "impedance": peer}[side](work, table[:, 0], table[:, 1] + 1j * table[:, 2])
    seconds = []
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):  # linKK tells its progress
        outcome = run()
        for _ in range(PASSES):
            start = time.perf_counter()
            run()
            seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": statistics.median(seconds), "points": len(table), **outcome}))


if __name__ == "__main__":
    main()
