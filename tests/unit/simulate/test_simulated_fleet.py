from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from battery_pilot.errors import InputError
from battery_pilot.passport.master import read_master
from battery_pilot.simulate import SimulatedFleet, simulate_fleet

if TYPE_CHECKING:
    from pathlib import Path

SMALL: dict[str, Any] = {"batteries": 4, "months": 3, "seed": 5, "cycles_per_month": 1}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> SimulatedFleet:
    return simulate_fleet(tmp_path_factory.mktemp("fleet"), **SMALL)


def test_the_same_arguments_give_the_same_bytes(small: SimulatedFleet, tmp_path: Path) -> None:
    simulate_fleet(tmp_path, **SMALL)
    assert contents(tmp_path) == contents(small.folder)


def test_another_seed_gives_another_fleet(small: SimulatedFleet, tmp_path: Path) -> None:
    simulate_fleet(tmp_path, **SMALL | {"seed": 6})
    name = "landing/2026-01-31/BP-0001_cycling_2026-01.csv"
    assert contents(tmp_path)[name] != contents(small.folder)[name]


@pytest.mark.parametrize("more", [{"batteries": 6}, {"months": 4}])
def test_a_larger_fleet_changes_no_measurement_of_the_smaller_one(
    small: SimulatedFleet, tmp_path: Path, more: dict[str, int]
) -> None:
    simulate_fleet(tmp_path, **SMALL | more)
    larger = contents(tmp_path / "landing")
    for name, content in contents(small.folder / "landing").items():
        assert larger[name] == content, name


def test_each_battery_has_a_cycling_and_an_impedance_file_in_each_month(small: SimulatedFleet) -> None:
    damaged = {file.path for file in small.damaged}
    for landing in (small.folder / "landing").iterdir():
        names = [path.name for path in landing.iterdir() if f"landing/{landing.name}/{path.name}" not in damaged]
        assert sorted(name.rpartition("_")[0] for name in names) == sorted(
            f"BP-{number:04d}_{kind}" for number in range(1, 5) for kind in ("cycling", "impedance")
        )
    assert small.good_files == 24


def test_files_land_on_the_last_day_of_their_month(small: SimulatedFleet) -> None:
    assert small.landing_dates == (date(2026, 1, 31), date(2026, 2, 28), date(2026, 3, 31))
    folders = sorted(path.name for path in (small.folder / "landing").iterdir())
    assert folders == [str(day) for day in small.landing_dates]


def test_damaged_files_are_extra_files_and_are_listed(small: SimulatedFleet) -> None:
    files = [path for path in (small.folder / "landing").rglob("*") if path.is_file()]
    assert len(files) == small.good_files + len(small.damaged)
    assert len(small.damaged) >= 1
    assert all((small.folder / file.path).is_file() for file in small.damaged)


def test_a_handful_of_files_has_no_damage(tmp_path: Path) -> None:
    assert simulate_fleet(tmp_path, batteries=3, months=3, seed=5, cycles_per_month=1).damaged == ()


def test_the_master_data_know_every_battery_and_fill_every_field(small: SimulatedFleet) -> None:
    master = read_master(small.folder / "master")
    assert list(master.batteries) == ["BP-0001", "BP-0002", "BP-0003", "BP-0004"]
    records = [*master.models.values(), *master.batteries.values()]
    assert [name for record in records for name, value in record if value in (None, "", ())] == []


def test_a_start_in_autumn_crosses_the_turn_of_the_year(tmp_path: Path) -> None:
    fleet = simulate_fleet(tmp_path, batteries=1, months=3, seed=5, start=date(2025, 11, 15), cycles_per_month=1)
    assert fleet.landing_dates == (date(2025, 11, 30), date(2025, 12, 31), date(2026, 1, 31))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batteries": 0}, "batteries is 0; expected 1 to"),
        ({"cycles_per_month": 101}, "cycles_per_month is 101; expected 1 to 100"),
        ({"seed": -1}, "seed is -1; expected 0 to"),
    ],
)
def test_a_number_out_of_range_is_refused_by_name(tmp_path: Path, wrong: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate_fleet(tmp_path, **SMALL | wrong)
    assert list(tmp_path.iterdir()) == []
