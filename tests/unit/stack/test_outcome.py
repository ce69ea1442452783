from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from battery_pilot.electrochemistry.condition import Condition, MeasuredValue
from battery_pilot.lake import Lake, Window, write_lines
from battery_pilot.outbox import shard
from battery_pilot.passport.aasx import write_aasx
from battery_pilot.passport.compiled import canonical_json
from battery_pilot.passport.identifiers import slug
from battery_pilot.passport.model import BatteryItem, BatteryModel
from battery_pilot.passport.reading import read_file
from battery_pilot.pipeline.subjects import TABLE, Subject, passport_of
from battery_pilot.stack.outcome import export_passports
from battery_pilot.stack.runtime import Folders

if TYPE_CHECKING:
    from pathlib import Path

MODEL = BatteryModel(
    model_id="M1",
    manufacturer_name="Cell Works",
    manufacturer_id="EX01",
    category="stationary",
    mass_kilogram=0.07,
    nominal_voltage_volt=3.6,
    minimum_voltage_volt=2.5,
    maximum_voltage_volt=4.2,
    rated_capacity_ah=5.0,
    certified_energy_kwh=0.018,
)
ITEM = BatteryItem(
    battery_id="Cell/7 ä",
    model_id="M1",
    serial_number="SN-7",
    manufactured_on="2024-02-29",
    facility_id="plant-1",
    street="Main Street 1",
    zip_code="10115",
    city="Berlin",
    country_code="DE",
)


def test_the_newest_passport_of_a_battery_comes_as_package_and_as_the_same_json(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    lake = Lake(folders.lake / "provider")
    for month in (1, 2):
        start = datetime(2026, month, 1, tzinfo=UTC)
        as_of = start + timedelta(days=19)
        capacity = MeasuredValue(value=5.0 - month, as_of=as_of, method="full discharge", source_sha256=("a" * 64,))
        condition = Condition(battery_id=ITEM.battery_id, as_of=as_of, values={"remaining_capacity_ah": capacity})
        subject = Subject(model=MODEL, item=ITEM, condition=condition)
        passport = passport_of(subject, "https://example.com/dbp")
        staged, name = lake.staging(), slug(ITEM.battery_id)
        write_lines(staged / "subjects.jsonl", [subject.model_dump(mode="json")])
        (staged / shard(name)).mkdir()
        write_aasx(passport, staged / shard(name) / f"{name}.aasx")
        lake.publish(TABLE, Window(start, start + timedelta(days=28)), staged)
    assert export_passports(folders) == 1
    package, text = sorted((tmp_path / "passports").iterdir())
    assert read_file(package).as_of == as_of
    assert text.read_bytes() == canonical_json(passport)
