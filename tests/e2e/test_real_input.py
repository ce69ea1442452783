"""Provider and consumer on real measurements; what is asserted comes from the data sets themselves."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.dataset as ds
import pytest

from battery_pilot.lake import Lake, Window, read_lines
from battery_pilot.passport.master import MasterData, write_master
from battery_pilot.passport.model import BatteryItem, BatteryModel
from battery_pilot.pipeline.subjects import subjects

pytestmark = pytest.mark.stack

WINDOW = Window(datetime(2008, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
NASA_MINIMUM_VOLTAGE = 2.7  # the data set's README: "Battery capacity (Ahr) for discharge till 2.7V"
SPECTRUM_FILES = (
    "PyEIS/ex1.mpt",
    "autoeis/test_data.csv",
    "hybrid-drt/EISGALV_EISTest3.DTA",
    "impedance.py/Circuit3_EIS_1.z",
    "impedance.py/exampleDataBioLogic.mpt",
    "impedance.py/exampleDataGamry.DTA",
    "impedance.py/exampleDataGamryABORT.DTA",
    "impedance.py/exampleDataZPlot.z",
    "gamry-parser/eispot_data.dta",
)
CYCLER_FILES = ("battery-data-toolkit/arbin_example.csv",)
CYCLER_FOLDER = "2018-01-01"


def model(model_id: str, **values) -> BatteryModel:
    common = {
        "manufacturer_name": "Test Laboratory", "manufacturer_id": "LAB-1", "category": "industrial",
        "mass_kilogram": 0.045, "nominal_voltage_volt": 3.6, "minimum_voltage_volt": 2.0, "maximum_voltage_volt": 3.6,
    }  # fmt: skip
    return BatteryModel(model_id=model_id, **{**common, **values})


def item(battery_id: str, model_id: str) -> BatteryItem:
    return BatteryItem(
        battery_id=battery_id, model_id=model_id, serial_number=battery_id, manufactured_on="2007-06-01",
        facility_id="F-1", street="Street 1", zip_code="00001", city="City", country_code="US",
        declaration_of_conformity_ids=("DOC-1",), test_report_ids=("REPORT-1",),
    )  # fmt: skip


def nasa_tests(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "ageing" / "nasa-pcoe" / "metadata.csv").open() as file:
        return list(csv.DictReader(file))


def day_of(test: dict[str, str]) -> str:
    """The day of a MATLAB date vector such as ``[2008. 4. 7. 15. 59. 18.7]``."""
    year, month, day = (int(float(number)) for number in test["start_time"].strip("[]").split()[:3])
    return f"{year:04d}-{month:02d}-{day:02d}"


def battery_of_spectrum(name: str) -> str:
    return f"EIS-{SPECTRUM_FILES.index(name)}"


@pytest.fixture(scope="module")
def real(installation, shared_data, tmp_path_factory):
    """Everything in one landing window, one provider run and one consumer run."""
    extracted = tmp_path_factory.mktemp("nasa")
    with tarfile.open(shared_data / "ageing" / "nasa-pcoe" / "cells.tar.xz") as archive:
        archive.extractall(extracted, filter="data")
    tests = [test for test in nasa_tests(shared_data) if (extracted / "data" / test["filename"]).exists()]
    batteries = {test["battery_id"] for test in tests}

    def place_files(folders):
        for test in tests:
            target = folders.landing / day_of(test) / test["battery_id"]
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(extracted / "data" / test["filename"], target)
        for name in SPECTRUM_FILES:
            target = folders.landing / "2021-06-01" / battery_of_spectrum(name)
            target.mkdir(parents=True)
            shutil.copy(shared_data / "eis" / name, target)
        for number, name in enumerate(CYCLER_FILES):
            target = folders.landing / CYCLER_FOLDER / f"CYC-{number}"
            target.mkdir(parents=True)
            shutil.copy(shared_data / "cycling" / name, target)
        models = [
            model(
                "NASA-18650",
                rated_capacity_ah=2.0,
                minimum_voltage_volt=NASA_MINIMUM_VOLTAGE,
                maximum_voltage_volt=4.2,
            ),
            model("LFP-1.1", rated_capacity_ah=1.1),
            model("SAMPLE", rated_capacity_ah=1.0),
        ]
        items = [item(battery_id, "NASA-18650") for battery_id in sorted(batteries)]
        items += [item(battery_of_spectrum(name), "SAMPLE") for name in SPECTRUM_FILES]
        items += [item(f"CYC-{number}", "LFP-1.1") for number in range(len(CYCLER_FILES))]
        folders.master.mkdir()
        data = MasterData({one.model_id: one for one in models}, {one.battery_id: one for one in items})
        write_master(folders.master, data)

    with installation("real-input", place_files) as place:
        conf = {
            "window_start": WINDOW.start.isoformat(),
            "window_end": WINDOW.end.isoformat(),
            "reject_threshold_percent": 100,
        }
        provided = place.run("provide_passports", conf)
        consumed = place.run("consume_passports")
        yield {
            "tests": tests,
            "batteries": batteries,
            "provide": provided,
            "consume": consumed,
            "lake": Lake(place.folders.lake / "provider"),
            "entities": {one["batteryId"]["value"]: one for one in place.state()["entities"]},
        }


def table(real, name, kind=None):
    folder = real["lake"].current(name, WINDOW)
    dataset = ds.dataset(folder, format="parquet", partitioning="hive" if kind else None)
    return dataset.to_table(filter=ds.field("kind") == kind if kind else None).to_pandas()


def files(real) -> dict[str, dict]:
    folder = real["lake"].current("files", WINDOW)
    return {Path(one["source_path"]).name: one for one in read_lines(folder / "files.jsonl")}


def test_capacities_are_those_of_the_nasa_data_set_within_2_percent(real):
    known = files(real)
    found = table(real, "cycles").set_index("source_sha256")["capacity_ah"]
    discharges = [test for test in real["tests"] if test["type"] == "discharge"]
    assert len(discharges) == 632
    compared = 0
    for test in discharges:
        capacity_ah = found[known[test["filename"]]["source_sha256"]]
        if capacity_ah == capacity_ah:  # NaN: the discharge did not start from full
            assert capacity_ah == pytest.approx(float(test["Capacity"]), rel=0.02), test["filename"]
            compared += 1
    assert compared >= 630


def test_every_nasa_passport_and_entity_holds_a_capacity_of_its_last_days(real):
    last_days = defaultdict(list)
    for test in sorted(real["tests"], key=day_of):
        if test["type"] == "discharge":
            last_days[test["battery_id"]].append(float(test["Capacity"]))
    passports = {subject.condition.battery_id: subject.condition for subject in subjects(real["lake"], WINDOW)}
    for battery_id in real["batteries"]:
        capacities = last_days[battery_id][-12:]
        value_ah = passports[battery_id].values["remaining_capacity_ah"].value
        assert 0.98 * min(capacities) <= value_ah <= 1.02 * max(capacities)
        entity = real["entities"][battery_id]
        assert entity["remainingCapacity"]["value"] == value_ah


def test_impedance_files_without_frequencies_are_refused_with_the_reason(real):
    impedances = [test["filename"] for test in real["tests"] if test["type"] == "impedance"]
    reasons = {name: one["reason"] for name, one in files(real).items() if one["reason"]}
    assert set(reasons) == set(impedances)
    assert all("frequenc" in reason for reason in reasons.values())


def test_spectra_are_those_that_an_independent_program_read(real, shared_data):
    expected = json.loads((shared_data / "eis" / "expected.json").read_text())
    points = table(real, "measurements", "impedance")
    for name in SPECTRUM_FILES:
        spectra = points[points["battery_id"] == battery_of_spectrum(name)].groupby("spectrum_index")
        assert len(spectra) == len(expected[name]["spectra"])
        for (_, group), wanted in zip(spectra, expected[name]["spectra"], strict=True):
            assert len(group) == wanted["points"]
            for end, row in (("max", group.loc[group["frequency_hertz"].idxmax()]), ("min", group.loc[group["frequency_hertz"].idxmin()])):  # fmt: skip
                assert row["frequency_hertz"] == pytest.approx(wanted[f"frequency_{end}_hz"], rel=1e-6)
                found_ohm = [row["real_impedance_ohm"], row["imaginary_impedance_ohm"]]
                assert found_ohm == pytest.approx(wanted[f"z_at_{end}"], rel=1e-6)


def test_integrated_charge_agrees_with_the_cyclers_own_counters(real):
    cycles = table(real, "cycles")
    counted = cycles[cycles["battery_id"].str.startswith("CYC-")]
    assert len(counted) == 2
    for _, cycle in counted.iterrows():
        assert cycle["discharge_ah"] == pytest.approx(cycle["counter_discharge_ah"], rel=0.01)
        assert cycle["charge_ah"] == pytest.approx(cycle["counter_charge_ah"], rel=0.01)


def test_the_consumer_has_a_twin_and_an_entity_of_every_battery(real):
    count = len(real["batteries"]) + len(SPECTRUM_FILES) + len(CYCLER_FILES)
    assert real["provide"]["publish"]["offers"] == count
    assert real["consume"]["negotiate"] == {"agreements": count, "refused": 0}
    assert real["consume"]["update"]["updated"] == count
    assert len(real["entities"]) == count
