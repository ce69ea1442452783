"""Instrument files and passports in a folder, and the command line to try on them."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from battery_pilot.cli import main
from battery_pilot.electrochemistry.condition import Condition, MeasuredValue
from battery_pilot.passport.aas import write_json
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.model import BatteryItem, BatteryModel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AS_OF = datetime(2026, 1, 20, tzinfo=UTC)


class Answer(NamedTuple):
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output; NaN and infinity are none."""
        return json.loads(self.out, parse_constant=_refuse)


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    """Run a command as its users do and return exit code, output and error output."""

    def call(*words: object) -> Answer:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as stop:
            code = int(stop.code or 0)
        return Answer(code, *capsys.readouterr())

    return call


@pytest.fixture
def impedance_file(tmp_path: Path) -> Path:
    """A series resistance of 20 mohm and an arc of 30 mohm, with a temperature."""
    rows = []
    for step in range(31):
        frequency = 10.0 ** (4 - step / 5)
        impedance = 0.02 + 0.03 / (1 + 2j * math.pi * frequency * 0.03 * 0.5)
        rows.append(f"{frequency!r},{impedance.real!r},{impedance.imag!r}")
    path = tmp_path / "spectrum.csv"
    path.write_text("# temperature_celsius=25\nfrequency / Hz,Z' / ohm,Z'' / ohm\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def cycling_file(tmp_path: Path) -> Path:
    """Two cycles of charge, rest and discharge; no temperature and no clock time."""
    rows, second = [], 0
    for cycle in (1, 2):
        for ampere, first_volt, last_volt in ((1.0, 3.0, 4.2), (0.0, 4.2, 4.1), (-1.0, 4.1, 2.9)):
            for step in range(20):
                volt = first_volt + (last_volt - first_volt) * step / 19
                rows.append(f"{second},{volt:.4f},{ampere},{cycle}")
                second += 60
    path = tmp_path / "log.csv"
    path.write_text("Test Time / s,Voltage / V,Current / A,Cycle Count / 1\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def passport_files(tmp_path: Path) -> tuple[Path, Path]:
    """A sound passport as JSON and as AASX package."""
    model = BatteryModel(
        model_id="INR-21/50",
        manufacturer_name="Beispiel Zellen GmbH",
        manufacturer_id="EX01",
        category="stationary",
        mass_kilogram=0.07,
        nominal_voltage_volt=3.6,
        minimum_voltage_volt=2.5,
        maximum_voltage_volt=4.2,
        rated_capacity_ah=5.0,
    )
    item = BatteryItem(
        battery_id="BP-1",
        model_id="INR-21/50",
        serial_number="SN-1",
        manufactured_on="2024-02-29",
        facility_id="plant-1",
        street="Hauptstraße 1",
        zip_code="10115",
        city="Berlin",
        country_code="DE",
    )
    value = MeasuredValue(value=4.5, as_of=AS_OF, method="full discharge", source_sha256=("a" * 64,))
    condition = Condition(battery_id="BP-1", as_of=AS_OF, values={"remaining_capacity_ah": value})
    passport = build_passport(model, item, condition, base="https://example.com")
    paths = (tmp_path / "passport.json", tmp_path / "passport.aasx")
    write_json(passport, paths[0])
    write_aasx(passport, paths[1])
    return paths
