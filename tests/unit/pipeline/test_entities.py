from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from battery_pilot.electrochemistry.condition import METRICS
from battery_pilot.passport.aas import canonical_json
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.model import Prediction
from battery_pilot.passport.reading import read_passport
from battery_pilot.pipeline.entities import UNIT_CODES, battery_entity, prediction_entity, units
from battery_pilot.services.orion import FORBIDDEN_IN_VALUES

# NGSI-v2: 1 to 256 visible ASCII characters, none of these.
NAME = re.compile(r"[!-~]{1,256}")
FORBIDDEN = set("<>\"'=;()&?/#")
AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
CAPACITY = "ProductCondition__RemainingCapacity__RemainingCapacityValue"


@pytest.fixture
def read_back(subject_of, base):
    def build(battery_id, **metrics):
        subject = subject_of(battery_id, AS_OF, **metrics)
        return read_passport(
            canonical_json(build_passport(subject.model, subject.item, subject.condition, base=base))
        )

    return build


def assert_orion_takes(entity):
    for name in (entity["id"], entity["type"], *entity):
        assert NAME.fullmatch(name), name
        assert not FORBIDDEN & set(name), name
    for name, attribute in entity.items():
        if name in ("id", "type"):
            continue
        if attribute["type"] == "Text":
            assert not FORBIDDEN_IN_VALUES & set(attribute["value"]), name
        for note in attribute.get("metadata", {}).values():
            assert not FORBIDDEN_IN_VALUES & set(str(note["value"])), name
    json.dumps(entity, allow_nan=False)


def test_every_metric_of_a_passport_becomes_an_attribute_that_orion_takes(read_back):
    passport = read_back("BP-1", **(dict.fromkeys(METRICS, 1.0) | {"remaining_capacity_ah": 4.5}))
    entity = battery_entity(passport)
    assert_orion_takes(entity)
    single = [path for path in passport.values if "[" not in path]
    assert {path.replace(".", "__") for path in single} <= entity.keys()
    assert entity["batteryId"]["value"] == "BP-1"


def test_a_value_carries_its_unit_and_its_time(read_back):
    attribute = battery_entity(read_back("BP-1"))[CAPACITY]
    assert (attribute["type"], attribute["value"]) == ("Number", 4.5)
    assert attribute["metadata"]["unitCode"]["value"] == "AMH"
    assert attribute["metadata"]["TimeInstant"]["value"] == "2026-01-20T00:00:00.000Z"


def test_members_of_lists_stay_in_the_passport(read_back):
    passport = read_back("BP-1")
    assert any("[" in path for path in passport.values)
    assert not [name for name in battery_entity(passport) if "[" in name]


def test_units_are_those_of_the_tables_and_none_is_a_bare_one():
    assert units()
    assert "1" not in units().values()
    assert all(not FORBIDDEN_IN_VALUES & set(unit) for unit in units().values())


def test_a_prediction_names_the_same_entity_as_the_battery(read_back):
    prediction = Prediction(
        metric="state_of_health_percent",
        value=88.0,
        lower=86.0,
        upper=90.0,
        for_time=datetime(2026, 3, 1, tzinfo=UTC),
        model_version="health 3 (beta)",
    )
    entity = prediction_entity("Cell/7 ä", prediction)
    assert entity["id"] == battery_entity(read_back("Cell/7 ä"))["id"]
    assert_orion_takes(entity)
    assert entity["predicted__state_of_health_percent__forTime"]["type"] == "DateTime"
    assert not set(entity) & (set(battery_entity(read_back("Cell/7 ä"))) - {"id", "type"})


@settings(max_examples=50, deadline=None)
@given(st.text(min_size=1, max_size=300))
def test_any_battery_id_gives_an_entity_id_that_orion_takes(battery_id):
    prediction = Prediction(metric="m", value=1, lower=0, upper=2, for_time=AS_OF, model_version="v")
    assert_orion_takes(prediction_entity(battery_id, prediction))


def test_units_are_codes_of_un_cefact_and_others_stay_texts(read_back):
    entity = battery_entity(read_back("BP-1", **dict.fromkeys(METRICS, 1.0)))
    notes = [one["metadata"] for name, one in entity.items() if "metadata" in one and name not in ("id", "type")]
    codes = {note["unitCode"]["value"] for note in notes if "unitCode" in note}
    texts = {note["unit"]["value"] for note in notes if "unit" in note}
    assert {"AMH", "P1", "OHM"} <= codes <= set(UNIT_CODES.values())
    assert texts <= set(units().values()) - UNIT_CODES.keys()
    assert not [note for note in notes if "unit" in note and "unitCode" in note]


@pytest.mark.parametrize(
    ("path", "value"), [("Nameplate." + "x" * 300, 1.0), ("Nameplate.Mass", float("inf"))], ids=["name", "value"]
)
def test_an_attribute_that_orion_would_refuse_is_left_out_by_name(read_back, path, value):
    passport = read_back("BP-1")
    left_out = []
    entity = battery_entity(replace(passport, values={**passport.values, path: value}), left_out)
    assert left_out == [path]
    assert entity == battery_entity(passport)
    assert_orion_takes(entity)
