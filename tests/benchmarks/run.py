"""Measure the readers and the electrochemistry beside their peers and print Markdown tables: ``make bench``.

Each pair runs in turn, several rounds, each program in a process and an environment of its own; the ratio is the median
over the rounds. ``--write`` puts the tables into ``docs/benchmarks.md``, ``--only`` measures one part.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks import aas_servers, dataspace, electrochemistry, fleet, history, orion, passports
from tests.benchmarks.workloads import PEERS, ROOT, SHARED, WORK, arbin_workbook, large_mpr, mixed_folder, nasa_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

ROUNDS = 5
PACKAGES = {
    "impedance": ["impedance==1.7.1", "pandas"],
    "yadg": ["yadg==7.0.1"],
    "galvani": ["galvani==0.5.0"],
    "cellpy": ["cellpy==1.0.3", "setuptools<81"],
    "pandas": ["pandas==2.3.3", "openpyxl==3.1.5"],
    "polars": ["polars==1.36.1"],
}
DOCUMENT = ROOT / "docs" / "benchmarks.md"
READERS, ELECTROCHEMISTRY, ORION, AAS, FLEET, DATASPACE = PARTS = (
    "readers",
    "electrochemistry",
    "orion",
    "aas",
    "fleet",
    "dataspace",
)
"""Parts of the document, each between two comments with its name."""


@dataclass(frozen=True)
class Case:
    """One comparison.

    :param work: what is measured.
    :param path: file or folder.
    :param peer: name of the peer, as in :data:`PACKAGES`, or ``pyarrow`` in our own environment.
    :param reader: function in ``peers/measure.py`` with its arguments.
    :param bar: how many times as fast as the peer we want to be at least; below 1 for how much slower we may be.
    :param ours: our own function in ``peers/measure.py``.
    """

    work: str
    path: Path
    peer: str
    reader: tuple[str, ...]
    bar: float
    ours: str = "battery_pilot"


def cases() -> Iterator[Case]:
    """Yield all comparisons with peers."""
    eis, cycling = SHARED / "eis" / "impedance.py", SHARED / "cycling"
    for name, instrument in (
        ("Gamry.DTA", "gamry"),
        ("BioLogic.mpt", "biologic"),
        ("ZPlot.z", "zplot"),
        ("VersaStudio.par", "versastudio"),
        ("Autolab.txt", "autolab"),
        ("Parstat.txt", "parstat"),
        ("Powersuite.txt", "powersuite"),
        ("CHInstruments.txt", "chinstruments"),
    ):
        path = eis / f"exampleData{name}"
        peer = ("impedance", instrument)
        yield Case(f"impedance text, {path.name}", path, "impedance", peer, 1.0, ours="battery_pilot_spectra")
    yield Case("BioLogic .mpr cycling", large_mpr(), "yadg", ("yadg",), 5.0)
    yield Case("BioLogic .mpr cycling, far mark", large_mpr(), "galvani", ("galvani",), 0.0)
    yield Case("Maccor text", cycling / "cellpy" / "maccor_001.txt", "cellpy", ("cellpy", "maccor_txt"), 10.0)
    yield Case("PEC csv", cycling / "cellpy" / "pec.csv", "cellpy", ("cellpy", "pec_csv"), 10.0)
    for name, delimiter, skipped in (
        ("cellpy/maccor_001.txt", "\t", 3),
        ("cellpy/batmo_bdf.csv", ",", 0),
        ("battery-data-toolkit/arbin_example.csv", ",", 0),
        ("beep/PreDiag_000412_00008Fshort.022", "\t", 1),
    ):
        path = cycling / name
        reader = ("pyarrow_csv", delimiter, str(skipped))
        yield Case(f"log to Arrow, {path.name}", path, "pyarrow", reader, 1 / 3)
    yield Case("Arbin xlsx", arbin_workbook(environment("pandas")), "pandas", ("pandas_excel",), 4.0)
    yield Case("NASA discharges", nasa_folder(), "pandas", ("pandas_csv_folder",), 0.0, ours="battery_pilot_folder")


def environment(peer: str) -> Path:
    """Return the interpreter of a peer's own environment, which is made when it is not there."""
    if peer in ("ours", "pyarrow"):
        return Path(sys.executable)
    folder = WORK / "peers" / peer
    python = folder / "bin" / "python"
    ready = folder / "ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", python]
        subprocess.run([*install, *PACKAGES[peer]], check=True)
        ready.touch()
    return python


def measure(python: Path, *words: str, script: str = "measure.py") -> dict[str, float]:
    """Run a script of ``peers`` and return what it prints."""
    command = [python, PEERS / script, *words]
    answer = subprocess.run(command, check=False, capture_output=True, text=True, env=_quiet_environment())
    if answer.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{answer.stderr[-2000:]}")
    result: dict[str, float] = json.loads(answer.stdout)
    return result


def _quiet_environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}


def compare(case: Case, rounds: int) -> list[str]:
    """Measure both sides in turn and return the cells of the table's row."""
    peer_python = environment(case.peer)
    pairs = [
        (
            measure(Path(sys.executable), case.ours, str(case.path)),
            measure(peer_python, case.reader[0], str(case.path), *case.reader[1:]),
        )
        for _ in range(rounds)
    ]
    ratio = statistics.median(theirs["seconds"] / ours["seconds"] for ours, theirs in pairs)
    ours, theirs = (statistics.median(pair[side]["seconds"] for pair in pairs) for side in (0, 1))
    size = (
        sum(path.stat().st_size for path in case.path.iterdir()) if case.path.is_dir() else case.path.stat().st_size
    )
    rows = int(pairs[0][0]["rows"])
    bar = f"{case.bar:.2g}" if case.bar else "–"
    verdict = "–" if not case.bar else "yes" if ratio >= case.bar else "**no**"
    return [
        case.work,
        case.peer,
        f"{rows:,}",
        f"{ours * 1e3:.3g}",
        f"{theirs * 1e3:.3g}",
        f"{ratio:.2f}",
        bar,
        verdict,
        f"{rows / ours:,.0f}",
        f"{size / ours / 1e6:,.0f}",
    ]


def scale(rounds: int) -> list[str]:
    """Read the mixed folder with one and with two processes and return lines about time and memory."""
    folder = mixed_folder()
    count = sum(1 for _ in folder.iterdir())
    found: dict[int, list[tuple[float, float, float]]] = {1: [], 2: []}
    for _ in range(rounds):
        for processes in found:
            found[processes].append(_read_folder(folder, processes))
    ratio = statistics.median(one[0] / two[0] for one, two in zip(found[1], found[2], strict=True))
    seconds, _, processor = (
        {processes: statistics.median(one[index] for one in passes) for processes, passes in found.items()}
        for index in range(3)
    )
    half = WORK / "mixed-half"
    if not half.exists():
        half.mkdir()
        for path in sorted(folder.iterdir())[: count // 2]:
            (half / path.name).hardlink_to(path)
    memory = [_read_folder(one, 1)[1] for one in (half, folder)]
    return [
        f"A folder of {count:,} mixed files: {seconds[1]:.2f} s with one process, {seconds[2]:.2f} s with two, "
        f"median ratio {ratio:.2f} (wanted 1.7); processor time {processor[1]:.2f} and {processor[2]:.2f} s.",
        f"Two processes that only count, on the same machine: {_machine_factor():.2f} times the work of one.",
        f"Peak memory of the command with one process: {memory[0]:.0f} MB for half of the files, {memory[1]:.0f} MB for all.",
    ]


def _machine_factor() -> float:
    """Return how much more two processes do than one when they share nothing but the machine."""
    command = [sys.executable, "-c", "for _ in range(40_000_000): pass"]
    start = time.perf_counter()
    subprocess.run(command, check=True)
    alone = time.perf_counter() - start
    start = time.perf_counter()
    for process in [subprocess.Popen(command) for _ in range(2)]:
        process.wait()
    return 2 * alone / (time.perf_counter() - start)


def _read_folder(folder: Path, processes: int) -> tuple[float, float, float]:
    """Return seconds, peak memory (MB) and seconds of processor of the command on a folder, without its start."""
    code = (
        "import os, sys, time, resource, pathlib\n"
        "from battery_pilot.measurements.folder import files_below, read_files\n"
        "paths = files_below(pathlib.Path(sys.argv[1]))\n"
        "before, start = sum(os.times()[:4]), time.perf_counter()\n"
        "count = sum(1 for _ in read_files(paths, processes=int(sys.argv[2])))\n"
        "assert count == len(paths)\n"
        "print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)\n"
        "print(sum(os.times()[:4]) - before)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, folder, str(processes)], check=True, capture_output=True, text=True
    )
    seconds, megabytes, processor = map(float, answer.stdout.split())
    return seconds, megabytes, processor


def versions(peers: Iterable[str]) -> str:
    """Return the peers' versions as installed."""
    found = []
    for peer in peers:
        code = f"from importlib.metadata import version; print(version({peer!r}))"
        answer = subprocess.run([environment(peer), "-c", code], check=True, capture_output=True, text=True)
        found.append(f"{peer} {answer.stdout.strip()}")
    import pyarrow as pa

    return ", ".join([*found, f"pyarrow {pa.__version__}"])


def read_report(rounds: int) -> str:
    """Measure the readers and return Markdown."""
    start = time.perf_counter()
    head = ["work", "peer", "rows", "ours, ms", "peer, ms", "times as fast", "wanted", "reached", "rows/s", "MB/s"]
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for case in cases():
        row = compare(case, rounds)
        print(" | ".join(row), file=sys.stderr, flush=True)
        lines.append("| " + " | ".join(row) + " |")
    facts = conditions(start, rounds, [peer for peer in PACKAGES if peer != "polars"])
    return "\n".join(
        [
            facts,
            "",
            *lines,
            "",
            *(f"- {line}" for line in (*scale(rounds), *history.lines(rounds), *passports.lines())),
            "",
        ]
    )


def electrochemistry_report(rounds: int) -> str:
    """Measure spectra and cycle summaries and return Markdown."""
    start = time.perf_counter()
    rows, lines = electrochemistry.report(rounds, environment, measure)
    head = (
        "| work | peer | ours, ms | peer, ms | times as fast | wanted | reached |\n|---|---|---:|---:|---:|---:|---:|"
    )
    facts = conditions(start, rounds, ("impedance", "polars"))
    return "\n".join([facts, "", head, *rows, "", *(f"- {line}" for line in lines), ""])


def orion_report(rounds: int) -> str:
    """Measure the sync of a context broker and return Markdown."""
    start = time.perf_counter()
    found = orion.lines(rounds)
    return "\n".join([conditions(start, rounds, ()), "", *(f"- {line}" for line in found), ""])


def aas_report(_: int) -> str:
    """Measure the push to a real AAS server, once, and return Markdown."""
    start = time.perf_counter()
    found = aas_servers.lines(1)
    return "\n".join([conditions(start, 1, ()), "", *(f"- {line}" for line in found), ""])


def fleet_report(batteries: Sequence[int]) -> str:
    """Measure the Spark job that builds a fleet's passports, each size once, and return Markdown."""
    start = time.perf_counter()
    found = fleet.table(batteries, WORK / "fleet")
    return "\n".join([conditions(start, 1, ()), "", *found, ""])


def dataspace_report(_: int) -> str:
    """Measure the way through a data space and return Markdown; it has rounds of its own."""
    start = time.perf_counter()
    found = dataspace.lines()
    return "\n".join([conditions(start, dataspace.ROUNDS, ()), "", *(f"- {line}" for line in found), ""])


def conditions(start: float, rounds: int, peers: Iterable[str]) -> str:
    """Return a sentence on the machine, the time since the start and the peers."""
    processor = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    return (
        f"Measured on {datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} processors ({processor}), Python "
        f"{platform.python_version()}, load {os.getloadavg()[0]:.1f} at the end, {rounds} rounds, "
        f"{time.perf_counter() - start:.0f} s. Peers: {versions(peers)}."
    )


def main() -> None:
    """Print the tables, and write them into the document where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--write", action="store_true", help="put the table into docs/benchmarks.md")
    parser.add_argument("--only", choices=PARTS, help="measure this part alone")
    parser.add_argument("--batteries", type=int, nargs="+", default=fleet.SIZES, help="sizes of the part fleet")
    chosen = parser.parse_args()
    if chosen.only not in {ORION, AAS, FLEET, DATASPACE} and not SHARED.is_dir():
        raise SystemExit(f"{SHARED}: no such folder; BATTERY_PILOT_SHARED_DATA names the real files to measure with")
    for part, report in (
        (READERS, read_report),
        (ELECTROCHEMISTRY, electrochemistry_report),
        (ORION, orion_report),
        (AAS, aas_report),
        (FLEET, lambda _: fleet_report(chosen.batteries)),
        (DATASPACE, dataspace_report),
    ):
        if chosen.only in (None, part):
            text = report(chosen.rounds)
            print(text)
            if chosen.write:
                begin, end = f"<!-- {part}: begin -->", f"<!-- {part}: end -->"
                before, _, rest = DOCUMENT.read_text().partition(begin)
                DOCUMENT.write_text(f"{before}{begin}\n{text}{end}{rest.partition(end)[2]}")


if __name__ == "__main__":
    main()
