"""Commands that work on measurement files: impedance, cycles, checkups, simulate, master."""

from __future__ import annotations

import argparse
import json
import math
import sys
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from battery_pilot.commands.output import print_fields, print_json
from battery_pilot.errors import AnalysisError, InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from battery_pilot.electrochemistry.condition import Ratings
    from battery_pilot.electrochemistry.impedance.analysis import SpectrumAnalysis
    from battery_pilot.electrochemistry.impedance.drt import RelaxationTimes
    from battery_pilot.electrochemistry.impedance.spectrum import Complexes, Floats


def register(commands: Any) -> None:
    """Add the commands to a parser."""
    impedance = commands.add_parser("impedance", help="check and fit an impedance spectrum")
    impedance.add_argument("file", type=Path)
    impedance.add_argument(
        "--circuit",
        action="append",
        help="for example L0-R0-p(R1,CPE1)-p(R2,CPE2)-W1; given twice or more, the best of these; without it the best of a few",
    )
    impedance.add_argument(
        "--fix",
        action="append",
        type=_fixed,
        default=[],
        metavar="NAME=VALUE",
        help="keep a parameter, such as R0=0.01",
    )
    impedance.add_argument(
        "--share",
        action="append",
        type=lambda text: tuple(text.split(",")),
        default=[],
        metavar="NAME,NAME",
        help="give parameters one common value, such as CPE1_alpha,CPE2_alpha",
    )
    impedance.add_argument(
        "--bound",
        action="append",
        type=_bounded,
        default=[],
        metavar="NAME=LOW:HIGH",
        help="keep a parameter between limits, such as R1=0.001:0.1; either may be left out",
    )
    impedance.add_argument(
        "--weighting",
        choices=("modulus", "unit"),
        default="modulus",
        help="relative errors of the points (default) or errors in ohm",
    )
    impedance.add_argument(
        "--spectrum", type=int, default=0, help="which spectrum of the file, counted from 0 (default 0)"
    )
    impedance.add_argument(
        "--plot", type=Path, metavar="OUT", help="draw it: OUT.html answers to the mouse; OUT.png, OUT.svg, OUT.pdf"
    )
    impedance.add_argument("--json", action="store_true", help="print one JSON object")
    impedance.set_defaults(run=_impedance)

    for name, run, text, unit in (
        ("cycles", _cycles, "summarise the cycles of a cycler file", "cycle"),
        ("checkups", _check_ups, "find the check-ups in a cycler file: capacity tests and pulses", "check-up"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("file", type=Path)
        command.add_argument(
            "--minimum-voltage", type=_positive_number, metavar="VOLT", help="end of a full discharge"
        )
        command.add_argument("--maximum-voltage", type=_positive_number, metavar="VOLT", help="end of a full charge")
        command.add_argument("--rated-capacity", type=_positive_number, metavar="AH", help="rated capacity")
        command.add_argument("--json", action="store_true", help=f"print a JSON list, one object a {unit}")
        command.set_defaults(run=run)

    simulate = commands.add_parser("simulate", help="write the files of a simulated, ageing fleet")
    simulate.add_argument("folder", type=Path, metavar="DIR")
    simulate.add_argument("--batteries", type=positive, default=12, metavar="N")
    simulate.add_argument("--months", type=positive, default=6, metavar="M")
    simulate.add_argument("--seed", type=int, default=1, metavar="S", help="same seed, same bytes")
    simulate.add_argument("--start", type=date.fromisoformat, default=date(2026, 1, 1), help="first day (2026-01-01)")
    simulate.add_argument("--cycles-per-month", type=positive, default=20, metavar="N")
    simulate.add_argument("--json", action="store_true", help="print one JSON object")
    simulate.set_defaults(run=_simulate)

    master = commands.add_parser("master", help="master-data tables")
    actions = master.add_subparsers(metavar="ACTION", required=True)
    template = actions.add_parser("template", help="write empty tables to fill in")
    template.add_argument("folder", type=Path, metavar="DIR")
    template.set_defaults(run=_template)


def positive(text: str) -> int:
    """Return a whole number above 0 for a command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return number


def _positive_number(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def _fixed(text: str) -> tuple[str, float]:
    """Return name and value of ``R0=0.01``."""
    name, _, value = text.partition("=")
    try:
        return name, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=VALUE, for example R0=0.01") from None


def _bounded(text: str) -> tuple[str, tuple[float, float]]:
    """Return name and limits of ``R1=0.001:0.1``; a limit that is left out is none."""
    name, _, limits = text.partition("=")
    try:
        low, high = limits.split(":")
        return name, (float(low or 0), float(high or math.inf))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text}: expected NAME=LOW:HIGH, for example R1=0.001:0.1") from None


def _impedance(chosen: argparse.Namespace) -> int:
    from battery_pilot.electrochemistry.impedance import drt
    from battery_pilot.electrochemistry.impedance.analysis import analyse_spectrum, to_json
    from battery_pilot.figures.spectrum_view import demand_suffix

    if chosen.plot:
        demand_suffix(chosen.plot)
    try:
        frequency, impedance = _spectrum(chosen)
        analysis = analyse_spectrum(
            frequency,
            impedance,
            chosen.circuit[0] if chosen.circuit and len(chosen.circuit) == 1 else chosen.circuit,
            fixed=dict(chosen.fix),
            shared=chosen.share,
            bounds=dict(chosen.bound),
            weighting=chosen.weighting,
        )
    except AnalysisError as error:
        raise AnalysisError(f"{chosen.file}: {error}") from error
    content, distribution = to_json(analysis), None
    try:
        distribution = drt.relaxation_times(frequency, impedance)
        content["drt"] = drt.to_json(distribution)
    except AnalysisError as error:
        content |= {"drt": None, "absent": {**analysis.absent, "drt": str(error)}}
    if chosen.plot:
        _plot(chosen, frequency, impedance, analysis, distribution)
    (print_json if chosen.json else print_fields)(content)
    return 0


def _spectrum(chosen: argparse.Namespace) -> tuple[Floats, Complexes]:
    """Return the chosen spectrum of a file, by falling frequency."""
    from battery_pilot.electrochemistry.impedance.spectrum import checked_spectrum
    from battery_pilot.measurements import read

    measurement = read(chosen.file)
    if measurement.kind != "impedance":
        raise InputError(f"{chosen.file}: holds {measurement.kind} data, expected an impedance spectrum")
    points = measurement.table.to_pandas()
    points = points[points["spectrum_index"] == chosen.spectrum]
    if points.empty:
        raise InputError(f"{chosen.file}: has no spectrum {chosen.spectrum}; the first one is 0")
    impedance_ohm = points["real_impedance_ohm"].to_numpy() + 1j * points["imaginary_impedance_ohm"].to_numpy()
    return checked_spectrum(points["frequency_hertz"].to_numpy(), impedance_ohm)


def _plot(
    chosen: argparse.Namespace,
    frequency: Floats,
    impedance: Complexes,
    analysis: SpectrumAnalysis,
    distribution: RelaxationTimes | None,
) -> None:
    from battery_pilot.figures.spectrum_view import SpectrumView, save_spectrum

    validity = analysis.validity
    notes = [*(distribution.warnings if distribution else ())]
    if not validity.valid:
        notes.insert(0, f"Kramers-Kronig test failed: residuals up to {validity.max_residual_percent:.2g} % of |Z|")
    view = SpectrumView(
        title=f"{chosen.file.name}, spectrum {chosen.spectrum}",
        frequency_hertz=frequency,
        impedance_ohm=impedance,
        fitted_ohm=analysis.fit.impedance_ohm,
        circuit=analysis.fit.circuit,
        distribution=distribution,
        notes=tuple(notes),
    )
    save_spectrum(view, chosen.plot)


def _cycles(chosen: argparse.Namespace) -> int:
    from battery_pilot.electrochemistry.cycles import COUNTER_TOLERANCE_PERCENT, summarise_cycles

    table = summarise_cycles(_log(chosen.file).to_pandas(), _ratings(chosen))
    if chosen.json:
        print(table.to_json(orient="records", date_format="iso", date_unit="us", double_precision=15, indent=2))
    else:
        print(table.drop(columns=["source_sha256"]).to_string(index=False))
    apart = table[table["counter_disagreement_percent"] > COUNTER_TOLERANCE_PERCENT]
    for cycle, percent in zip(apart["cycle_count"], apart["counter_disagreement_percent"], strict=True):
        print(
            f"{chosen.file}: cycle {cycle}: integrated charge and counters differ by {percent:.3g} %", file=sys.stderr
        )
    return 0


def _check_ups(chosen: argparse.Namespace) -> int:
    from dataclasses import asdict

    import pandas as pd

    from battery_pilot.electrochemistry.checkups import check_ups

    found = check_ups(_log(chosen.file), _ratings(chosen))
    if chosen.json:
        print(json.dumps([asdict(one) for one in found], indent=2, default=datetime.isoformat, allow_nan=False))
        return 0
    for number, one in enumerate(found, start=1):
        print(f"check-up {number}, {one.started_at or 'time of day unknown'}")
        for rows in (one.tests, one.pulses):
            if rows:
                print(pd.DataFrame([asdict(row) for row in rows]).to_string(index=False))
        for name, watt in one.power_watt.items():
            print(f"{name}  {watt:.6g}")
    if not found:
        print("no check-up: no full discharge or charge at C/2.5 or less and no two pulses out of rest")
    return 0


def _log(file: Path) -> pa.Table:
    """Return the rows of a cycler file."""
    from battery_pilot.measurements import read

    measurement = read(file)
    if measurement.kind == "impedance":
        raise InputError(f"{file}: holds impedance spectra, expected the log of a cycler")
    return measurement.table


def _ratings(chosen: argparse.Namespace) -> Ratings | None:
    from battery_pilot.electrochemistry.condition import Ratings

    given = (chosen.rated_capacity, chosen.minimum_voltage, chosen.maximum_voltage)
    if all(value is None for value in given):
        return None
    if any(value is None for value in given):
        raise InputError(
            "--rated-capacity, --minimum-voltage and --maximum-voltage belong together: give all three or none"
        )
    capacity_ah, minimum_volt, maximum_volt = given
    if minimum_volt >= maximum_volt:
        raise InputError(f"--minimum-voltage {minimum_volt:g} is not below --maximum-voltage {maximum_volt:g}")
    return Ratings(
        rated_capacity_ah=capacity_ah, minimum_voltage_volt=minimum_volt, maximum_voltage_volt=maximum_volt
    )


def _simulate(chosen: argparse.Namespace) -> int:
    from dataclasses import asdict

    from battery_pilot.simulate import simulate_fleet

    fleet = simulate_fleet(
        chosen.folder,
        batteries=chosen.batteries,
        months=chosen.months,
        seed=chosen.seed,
        start=chosen.start,
        cycles_per_month=chosen.cycles_per_month,
    )
    content = {
        **asdict(fleet),
        "folder": str(fleet.folder),
        "landing_dates": [landing.isoformat() for landing in fleet.landing_dates],
    }
    (print_json if chosen.json else print_fields)(content)
    return 0


def _template(chosen: argparse.Namespace) -> int:
    from battery_pilot.passport.master import write_template

    write_template(chosen.folder)
    print(f"wrote the master tables and columns.csv, which explains their columns, to {chosen.folder}")
    return 0
