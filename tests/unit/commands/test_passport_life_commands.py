from __future__ import annotations

from typing import get_args

import pytest
import zxingcpp
from PIL import Image

from battery_pilot.commands import passport_life
from battery_pilot.passport.identification import Form
from battery_pilot.passport.life import Happening
from battery_pilot.passport.master import MasterData, read_master, write_master
from battery_pilot.passport.model import BatteryItem, BatteryModel


@pytest.fixture
def master(tmp_path):
    model = BatteryModel(
        model_id="M", manufacturer_name="Beispiel GmbH", manufacturer_id="EX", category="ev", mass_kilogram=1,
        nominal_voltage_volt=3.6, minimum_voltage_volt=2.5, maximum_voltage_volt=4.2, rated_capacity_ah=5,
    )  # fmt: skip
    item = BatteryItem(
        battery_id="BP-1", model_id="M", serial_number="SN 1/ä", manufactured_on="2024-02-29", facility_id="p",
        street="s", zip_code="1", city="c", country_code="DE",
    )  # fmt: skip
    write_master(tmp_path / "master", MasterData({"M": model}, {"BP-1": item}))
    return tmp_path / "master"


REPURPOSED = ("repurposed", "--on", "2026-05-04", "--successor", "HOME-1", "--successor-serial", "2L-1")


def test_the_choices_are_those_of_the_library():
    assert get_args(Happening) == passport_life.EVENTS
    assert get_args(Form) == passport_life.FORMS


def test_an_event_becomes_a_row_and_its_successor_a_battery(run, master):
    answer = run("passport", "event", "SN 1/ä", *REPURPOSED, "--master", master, "--json")
    assert (answer.code, answer.err) == (0, "")
    assert answer.json["added"] is True
    data = read_master(master)
    assert [one.event for one in data.events] == ["repurposed"]
    assert data.batteries["HOME-1"].serial_number == "2L-1"


def test_the_same_event_again_adds_nothing(run, master):
    for added in (True, False):
        answer = run("passport", "event", "BP-1", *REPURPOSED, "--master", master, "--json")
        assert (answer.code, answer.json["added"]) == (0, added)
    assert len(read_master(master).events) == 1


def test_rows_with_commas_and_a_table_with_semicolons_stay_readable(run, master):
    (master / "events.csv").write_text("battery_id;event;occurred_on;remark\nBP-1;accident;2026-01-02;rear")
    words = ("accident", "--on", "2026-01-03", "--remark", "front; then, side")
    assert run("passport", "event", "BP-1", *words, "--master", master).code == 0
    assert [one.remark for one in read_master(master).events] == ["rear", "front; then, side"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("waste", "--on", "2026-02-30"), "column occurred_on"),
        (("waste", "--on", "soon"), "column occurred_on"),
        (("repurposed", "--on", "2026-05-04"), "column successor_battery_id: empty"),
        (("waste", "--on", "2026-05-04", "--successor", "X"), "has a successor"),
    ],
)
def test_an_event_that_cannot_be_is_refused_and_nothing_is_written(run, master, words, said):
    answer = run("passport", "event", "BP-1", *words, "--master", master)
    assert (answer.code, answer.out) == (1, "")
    assert said in answer.err
    assert not (master / "events.csv").exists()


def test_an_event_after_the_end_is_refused(run, master):
    run("passport", "event", "BP-1", *REPURPOSED, "--master", master)
    before = (master / "events.csv").read_bytes()
    answer = run("passport", "event", "BP-1", "accident", "--on", "2026-06-01", "--master", master)
    assert "was closed before" in answer.err
    assert (master / "events.csv").read_bytes() == before


def test_a_battery_that_is_not_there_is_named_with_the_nearest(run, master):
    answer = run("passport", "event", "BP-2", "waste", "--on", "2026-05-04", "--master", master)
    assert "no battery BP-2; did you mean BP-1?" in answer.err


@pytest.mark.parametrize("form", ["qr", "datamatrix"])
def test_the_code_of_a_battery_says_the_link_to_it(run, master, tmp_path, form):
    target = tmp_path / "code.png"
    words = ("--form", form, "--out", target, "--master", master, "--base", "https://example.com/dbp", "--json")
    answer = run("passport", "code", "BP-1", *words)
    assert (answer.code, answer.json["is_iec_61406"]) == (0, True)
    (code,) = zxingcpp.read_barcodes(Image.open(target).convert("L"))
    assert code.text == answer.json["link"] == "https://example.com/dbp/EX/SN%201%2F%C3%A4"


def test_an_ending_that_is_no_picture_is_refused(run, master, tmp_path):
    answer = run("passport", "code", "BP-1", "--out", tmp_path / "code.pdf", "--master", master)
    assert (answer.code, "as .svg or .png" in answer.err) == (1, True)
    assert not (tmp_path / "code.pdf").exists()
