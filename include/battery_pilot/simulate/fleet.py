"""A simulated fleet in a folder: master data, and a landing zone with the files of some months."""

from __future__ import annotations

import logging
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np

from battery_pilot.errors import InputError
from battery_pilot.passport.master import MasterData, write_master
from battery_pilot.passport.model import BatteryItem
from battery_pilot.simulate.ageing import CellState, age
from battery_pilot.simulate.catalogue import model_documents, model_facts, operators
from battery_pilot.simulate.cycler_files import CYCLER_FORMATS
from battery_pilot.simulate.cycling import CHECK_UP_CELSIUS, STORAGE_STATE_OF_CHARGE, cycle_month
from battery_pilot.simulate.damage import DAMAGE_KINDS, DamageKind, RawFile, damage
from battery_pilot.simulate.design import DESIGNS, CellDesign
from battery_pilot.simulate.impedance import spectrum
from battery_pilot.simulate.impedance_files import IMPEDANCE_FORMATS, impedance_note

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

log = logging.getLogger(__name__)

MOST_CYCLES_PER_MONTH = 100
"""More full cycles do not fit between the first of February and its check-up."""

KNEE_PLACES = (3, 8)
KNEE_PERIOD = 50
FEWEST_FILES_WITH_DAMAGE = 20
MEASUREMENTS_PER_DAMAGED_FILE = 50

# Keys of the independent random streams of a battery; months count from zero.
_INDIVIDUAL, _STRESS, _MEASUREMENT, _DAMAGE = range(4)


@dataclass(frozen=True)
class DamagedFile:
    """A file that no honest pipeline can turn into a measurement of a known battery.

    :param path: relative to the fleet's folder, with forward slashes.
    :param kind: what is wrong with it.
    """

    path: str
    kind: DamageKind


@dataclass(frozen=True)
class SimulatedFleet:
    """What :func:`simulate_fleet` wrote.

    :param folder: holds ``master/`` and ``landing/<date>/``.
    :param batteries: number of batteries.
    :param months: number of months; each has one landing date and two good files for each battery.
    :param good_files: number of undamaged measurement files.
    :param damaged: the damaged files, which come on top.
    :param landing_dates: the dates of the landing zone, rising.
    """

    folder: Path
    batteries: int
    months: int
    good_files: int
    damaged: tuple[DamagedFile, ...]
    landing_dates: tuple[date, ...]


def simulate_fleet(
    folder: Path,
    *,
    batteries: int,
    months: int,
    seed: int,
    start: date = date(2026, 1, 1),
    cycles_per_month: int = 20,
) -> SimulatedFleet:
    """Write a fleet under accelerated ageing: hot room, full cycles, a check-up and a spectrum at the end of each month.

    At 20 cycles a month, cells lose 2 to 8 % of their capacity within six months, and some with a knee more.
    The same arguments give the same bytes. More batteries or months add files and change none, except that damaged
    files appear only in fleets of 20 files or more. About one file in a hundred is a damaged extra copy, at least one.

    :param folder: gets the tables and documents of ``master/`` and ``landing/<last day of month>/…``; other files that
        lie there stay.
    :param batteries: how many; battery ``n`` is ``BP-n``, its model and its instruments follow from the number.
    :param months: how many, from the month of ``start`` on.
    :param seed: selects the fleet.
    :param cycles_per_month: full cycles before each check-up, 1 to 100.
    :raises InputError: when a number is out of its range.
    """
    _check_numbers(batteries, months, seed, cycles_per_month)
    calendar = [_month_after(start, number) for number in range(months)]
    landings = [folder / "landing" / str(_last_day(first)) for first in calendar]
    for landing in landings:
        landing.mkdir(parents=True, exist_ok=True)
    with_damage = 2 * batteries * months >= FEWEST_FILES_WITH_DAMAGE
    damaged: list[DamagedFile] = []
    for index in range(batteries):
        for month, pair in enumerate(_battery_files(index, seed, calendar, cycles_per_month)):
            for file in pair:
                (landings[month] / file.name).write_bytes(file.content)
            if with_damage and _has_damage(seed, index, month):
                kind, file = _damaged_copy(pair, seed, index, month)
                path = landings[month] / file.name
                path.write_bytes(file.content)
                damaged.append(DamagedFile(path.relative_to(folder).as_posix(), kind))
    items = [_item(index, seed, calendar[0]) for index in range(batteries)]
    _write_master(folder / "master", items)
    log.info("%d batteries and %d months simulated in %s", batteries, months, folder)
    return SimulatedFleet(
        folder=folder,
        batteries=batteries,
        months=months,
        good_files=2 * batteries * months,
        damaged=tuple(damaged),
        landing_dates=tuple(_last_day(first) for first in calendar),
    )


def _write_master(folder: Path, items: list[BatteryItem]) -> None:
    """Write the master tables and the documents that they name."""
    models = {design.model.model_id: design.model for design in DESIGNS}
    documents = [pair for model in models.values() for pair in model_documents(model)]
    data = MasterData(
        models=models,
        batteries={item.battery_id: item for item in items},
        facts={name: model_facts(model) for name, model in models.items()},
        documents=tuple(entry for entry, _ in documents),
        operators=operators(item.operator_id for item in items if item.operator_id),
    )
    write_master(folder, data)
    for _, file in documents:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(file.content)


def fleet_states(
    index: int, *, months: int, seed: int, start: date = date(2026, 1, 1), cycles_per_month: int = 20
) -> list[CellState]:
    """Return the true states of one battery of a fleet: new, and after each month.

    :param index: number of the battery, from zero.
    """
    calendar = [_month_after(start, number) for number in range(months)]
    return _states(index, seed, calendar, cycles_per_month)


def battery_id_of(index: int) -> str:
    """Return the id of a battery by its number from zero."""
    return f"BP-{index + 1:04d}"


def _battery_files(index: int, seed: int, calendar: list[date], cycles: int) -> Iterator[tuple[RawFile, RawFile]]:
    """Yield the cycling and the impedance file of each month."""
    battery_id = battery_id_of(index)
    design = _design(index)
    states = _states(index, seed, calendar, cycles)
    cycler = CYCLER_FORMATS[index % len(CYCLER_FORMATS)]
    analyser = IMPEDANCE_FORMATS[index % len(IMPEDANCE_FORMATS)]
    note = impedance_note(
        battery_id,
        temperature_celsius=CHECK_UP_CELSIUS,
        state_of_charge_percent=100.0 * STORAGE_STATE_OF_CHARGE,
    )
    for month, first in enumerate(calendar):
        random = _random(seed, index, _MEASUREMENT, month)
        minutes = timedelta(minutes=7 * index % 180)
        record = cycle_month(
            design,
            states[month],
            states[month + 1],
            days=_days(first),
            cycles=cycles,
            ambient_celsius=_ambient_celsius(seed, index, month, first),
            random=random,
        )
        begun = datetime(first.year, first.month, 1, tzinfo=UTC) + minutes
        measured = datetime(first.year, first.month, _days(first), 8, tzinfo=UTC) + minutes
        points = spectrum(design, states[month + 1], random)
        label = f"{first:%Y-%m}"
        yield (
            RawFile(f"{battery_id}_cycling_{label}{cycler.suffix}", cycler.encode(record, battery_id, begun)),
            RawFile(f"{battery_id}_impedance_{label}{analyser.suffix}", analyser.encode(points, note, measured)),
        )


def _states(index: int, seed: int, calendar: list[date], cycles: int) -> list[CellState]:
    return age(
        _design(index),
        _random(seed, index, _INDIVIDUAL),
        [_random(seed, index, _STRESS, month) for month in range(len(calendar))],
        ambient_celsius=[_ambient_celsius(seed, index, month, first) for month, first in enumerate(calendar)],
        days=[_days(first) for first in calendar],
        cycles_per_month=cycles,
        has_knee=index % KNEE_PERIOD in KNEE_PLACES,
    )


def _ambient_celsius(seed: int, index: int, month: int, first: date) -> float:
    """Return the mean temperature of the month in the hot room: warmest in July, and not the same in each corner."""
    season = 5.0 * np.cos(2.0 * np.pi * (first.month - 7) / 12.0)
    corner = _random(seed, index, _INDIVIDUAL, 0).normal(0.0, 1.5)
    weather = _random(seed, index, _STRESS, month, 0).normal(0.0, 0.8)
    return float(30.0 + season + corner + weather)


def _item(index: int, seed: int, first: date) -> BatteryItem:
    design = _design(index)
    made = first - timedelta(days=int(_random(seed, index, _INDIVIDUAL, 1).integers(45, 150)))
    battery_id = battery_id_of(index)
    site = _SITES[design.model.manufacturer_id]
    return BatteryItem(
        battery_id=battery_id,
        model_id=design.model.model_id,
        serial_number=f"{design.model.category.upper()}{made:%y%m}-{index + 1:06d}",
        manufactured_on=made.isoformat(),
        put_into_service_on=first.isoformat(),
        operator_id=f"BPNL00000000OP{index % 3 + 1:02d}",
        status="Original",
        marking_names=("CE", "Separate collection"),
        declaration_of_conformity_ids=(f"EU-DoC-{design.model.model_id}",),
        test_report_ids=(f"UN38.3-{design.model.model_id}",),
        **site,
    )


_SITES: dict[str, dict[str, str]] = {
    "BPNL0000000EV01X": {
        "facility_id": "BPNS0000000EV01A",
        "street": "Beispielweg 1",
        "zip_code": "01067",
        "city": "Dresden",
        "country_code": "DE",
    },
    "BPNL0000000ST02X": {
        "facility_id": "BPNS0000000ST02A",
        "street": "Musterstraße 20",
        "zip_code": "8010",
        "city": "Graz",
        "country_code": "AT",
    },
}


def _design(index: int) -> CellDesign:
    return DESIGNS[index % len(DESIGNS)]


def _has_damage(seed: int, index: int, month: int) -> bool:
    """Choose by the file alone, so that a larger fleet keeps the choice; the very first pair is always chosen."""
    chance = _random(seed, index, _DAMAGE, month, 0).random() < 1.0 / MEASUREMENTS_PER_DAMAGED_FILE
    return bool(chance or index == month == 0)


def _damaged_copy(pair: tuple[RawFile, RawFile], seed: int, index: int, month: int) -> tuple[DamageKind, RawFile]:
    kind = DAMAGE_KINDS[(index + month) % len(DAMAGE_KINDS)]
    random = _random(seed, index, _DAMAGE, month)
    original = pair[int(random.integers(2))]
    return kind, damage(original, kind, battery_id=battery_id_of(index), random=random)


def _random(seed: int, index: int, *stream: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=(index, *stream)))


def _month_after(start: date, months: int) -> date:
    years, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    return date(years, month + 1, 1)


def _days(first: date) -> int:
    return monthrange(first.year, first.month)[1]


def _last_day(first: date) -> date:
    # The last day is later than the twelfth: no reader can take it for a month in the instruments' local date formats.
    return first.replace(day=_days(first))


def _check_numbers(batteries: int, months: int, seed: int, cycles_per_month: int) -> None:
    ranges = {
        "batteries": (batteries, 1, 9_999_999),
        "months": (months, 1, 1200),
        "seed": (seed, 0, 2**64 - 1),
        "cycles_per_month": (cycles_per_month, 1, MOST_CYCLES_PER_MONTH),
    }
    for name, (value, lowest, highest) in ranges.items():
        if not lowest <= value <= highest:
            raise InputError(f"{name} is {value}; expected {lowest} to {highest}")
