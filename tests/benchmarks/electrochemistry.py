"""The electrochemistry's part of ``make bench``: spectra beside impedance.py, cycle summaries beside polars, and Spark."""

from __future__ import annotations

import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks.cycles import cycle_rows, ours_second, polars_second, spark_second
from tests.benchmarks.workloads import SHARED

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPECTRUM = SHARED / "eis" / "impedance.py" / "exampleData.csv"
SPECTRA = 10_000
CIRCUIT = "R0-p(R1,CPE1)-p(R2,CPE2)-W1"
"""Eight parameters."""

WORKS = (
    ("fit, 5 parameters, 57 points", "R0-p(R1,CPE1)-W1", 15.0),
    ("fit, 9 parameters, 57 points", "R0-p(R1,CPE1)-p(R2,CPE2)-Wo1", 40.0),
    ("linear Kramers-Kronig, 57 points", "linkk", 10.0),
)


def report(
    rounds: int, environment: Callable[[str], Path], measure: Callable[..., dict[str, float]]
) -> tuple[list[str], list[str]]:
    """Measure everything; return the rows of a Markdown table and further lines.

    :param environment: returns the interpreter of a peer.
    :param measure: runs a script of ``peers`` with an interpreter and returns the JSON that it prints.
    """
    pairs = [_spectrum(*work, rounds, environment, measure) for work in WORKS]
    rows = [*(row for row, _ in pairs), _summary(rounds, environment("polars"))]
    return rows, [*(line for _, line in pairs), *_many_spectra(rounds), *_spark()]


def _row(work: str, peer: str, ours: float, theirs: float, ratio: float, bar: float) -> str:
    verdict = "yes" if ratio >= bar else "**no**"
    return f"| {work} | {peer} | {ours * 1e3:,.3g} | {theirs * 1e3:,.3g} | {ratio:.2f} | {bar:.2g} | {verdict} |"


def _spectrum(
    name: str,
    work: str,
    bar: float,
    rounds: int,
    environment: Callable[[str], Path],
    measure: Callable[..., dict[str, float]],
) -> tuple[str, str]:
    """Fit or test the example spectrum with both programs in turn."""
    pairs = [
        [
            measure(python, side, work, str(SPECTRUM), script="spectrum.py")
            for side, python in (("ours", environment("ours")), ("impedance", environment("impedance")))
        ]
        for _ in range(rounds)
    ]
    ours, theirs = (statistics.median(pair[side]["seconds"] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(pair[1]["seconds"] / pair[0]["seconds"] for pair in pairs)
    outcomes = [{key: value for key, value in side.items() if key not in ("seconds", "points")} for side in pairs[0]]
    texts = [", ".join(f"{key} {value:.5g}" for key, value in outcome.items()) for outcome in outcomes]
    return _row(name, "impedance.py", ours, theirs, ratio, bar), f"{name}: ours {texts[0]}; impedance.py {texts[1]}."


def _summary(rounds: int, polars: Path) -> str:
    """Summarise ten million rows with our engine and with polars in turn."""
    path = cycle_rows()
    pairs = [(ours_second(path), polars_second(path, polars)) for _ in range(rounds)]
    ours, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    ratio = statistics.median(their / our for our, their in pairs)
    return _row("cycle summary, 10 million rows", "polars", ours, theirs, ratio, 0.5)


def _many_spectra(rounds: int) -> list[str]:
    """Test and fit many spectra with two processes."""
    # One round takes more than half a minute, long enough for two to agree.
    half, whole = _spectra_per_second(SPECTRA // 2), [_spectra_per_second(SPECTRA) for _ in range(min(rounds, 2))]
    speed = statistics.median(speed for speed, _ in whole)
    return [
        f"{SPECTRA:,} noisy spectra of 57 points, each tested and fitted with {CIRCUIT}, two processes: {speed:,.0f} spectra/s "
        f"in all (wanted 250).",
        f"Peak memory of one of the processes: {half[1]:.0f} MB for half of the spectra, {whole[-1][1]:.0f} MB for all.",
    ]


def _spectra_per_second(count: int) -> tuple[float, float]:
    """Return spectra per second and the peak memory (MB) of a process."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        list(pool.map(_analysed, (64, 64), (0, 1)))
        start = time.perf_counter()
        peaks = list(pool.map(_analysed, (count // 2, count // 2), (2, 3)))
        return count / (time.perf_counter() - start), max(peaks)


def _analysed(count: int, seed: int) -> float:
    """Analyse spectra like the example, and return the peak memory of this process, MB."""
    from battery_pilot.electrochemistry.impedance.batch import analyse_spectra
    from battery_pilot.errors import AnalysisError

    table = np.loadtxt(SPECTRUM, delimiter=",")
    table = table[table[:, 2] < 0]
    random = np.random.default_rng(seed)
    noise = 1 + 0.002 * (random.standard_normal((count, len(table), 2)) @ [1, 1j])
    spectra = (table[:, 1] + 1j * table[:, 2]) * random.uniform(0.5, 2, (count, 1)) * noise
    failed = sum(isinstance(one, AnalysisError) for one in analyse_spectra(table[:, 0], spectra, CIRCUIT))
    if failed:
        raise RuntimeError(f"{failed} of {count} spectra were not analysed")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _spark() -> list[str]:
    """Summarise the same rows in Spark with one and with two cores, warm."""
    path = cycle_rows()
    one, two = spark_second(path, 1), spark_second(path, 2)
    return [
        f"The same cycle summary in Spark, warm: {two:.1f} s with local[2] (wanted 10), {one:.1f} s with local[1]: "
        f"{one / two:.2f} times (wanted 1.6)."
    ]
