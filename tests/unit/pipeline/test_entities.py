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
from battery_pilot.passport.mapping import parts
from battery_pilot.passport.model import Prediction, Tier
from battery_pilot.passport.reading import read_passport
from battery_pilot.pipeline.entities import battery_entity, model_entity, prediction_entity
from battery_pilot.pipeline.entity_table import entity_rows, writable_rows
from battery_pilot.services.ngsi import FORBIDDEN_IN_VALUES, note_of

# NGSI-v2: 1 to 256 visible ASCII characters, none of these.
NAME = re.compile(r"[!-~]{1,256}")
FORBIDDEN = set("<>\"'=;()&?/#")
AS_OF = datetime(2026, 1, 20, tzinfo=UTC)
UNIT_CODES = {
    "°C": "CEL", "%": "P1", "Ah": "AMH", "kWh": "KWH", "W": "WTT", "V": "VLT", "ohm": "OHM", "min": "MIN", "kg": "KGM",
    "%/month": "H71", "a": "ANN",
}  # fmt: skip
"""UN/CEFACT Recommendation 20."""


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
    shown = {row.attribute for row in entity_rows("Battery") if row.source in passport.values}
    assert len(shown) > 25
    assert shown <= entity.keys()
    assert entity["batteryId"]["value"] == "BP-1"
    assert entity["refAAS"]["value"] == passport.shell["id"]
    assert entity["source"]["value"] == passport.sha256


def test_a_value_carries_its_unit_its_time_and_its_method(read_back):
    attribute = battery_entity(read_back("BP-1"))["remainingCapacity"]
    assert (attribute["type"], attribute["value"]) == ("Number", 4.5)
    assert attribute["metadata"]["unitCode"]["value"] == "AMH"
    assert attribute["metadata"]["dateObserved"]["value"] == "2026-01-20T00:00:00.000Z"
    assert note_of(attribute, "method") == "full discharge"


def test_a_battery_points_to_the_entity_of_its_model(read_back):
    passport = read_back("BP-1")
    model = model_entity(passport)
    assert_orion_takes(model)
    assert battery_entity(passport)["refBatteryModel"] == {"type": "Relationship", "value": model["id"]}
    assert model["ratedCapacity"]["value"] == 5.0
    assert model["ratedCapacity"]["metadata"]["unitCode"]["value"] == "AMH"
    assert model == model_entity(read_back("BP-2"))


def test_a_passport_without_a_model_has_no_model_entity(read_back):
    passport = read_back("BP-1")
    nameless = replace(passport, shell={**passport.shell, "assetInformation": {"assetKind": "Instance"}})
    assert model_entity(nameless) is None
    assert "refBatteryModel" not in battery_entity(nameless)


def test_names_by_path_are_those_of_the_aas_agent(read_back):
    entity = battery_entity(read_back("BP-1"), named_by_path=True)
    assert_orion_takes(entity)
    assert entity["ProductCondition__RemainingCapacity__RemainingCapacityValue"]["value"] == 4.5
    assert "remainingCapacity" not in entity


def test_values_that_a_tier_may_not_see_are_left_out(read_back):
    passport = read_back("BP-1")
    public = battery_entity(passport, tier=Tier.PUBLIC)
    assert {"serialNumber", "batteryId"} <= public.keys()
    assert not {"remainingCapacity", "lifeCycleStage"} & public.keys()


def test_rows_agree_with_the_tables_of_the_passport():
    types = {"xs:float": "Number", "xs:double": "Number", "xs:unsignedInt": "Number", "xs:date": "DateTime"}
    order = list(Tier)
    rows = {row.path: row for part in parts() for row in part.rows}
    for entity_type in ("Battery", "BatteryModel"):
        names = [row.attribute for row in entity_rows(entity_type)]
        assert len(names) == len(set(names))
        for row in entity_rows(entity_type):
            if row.source.startswith("@"):
                continue
            source = rows[row.source]
            assert types.get(source.value_type, "Text") == row.type, row
            assert UNIT_CODES.get(source.unit, "") == row.unit_code, row
            assert order.index(row.tier) >= order.index(source.tier), row
            assert not row.observed or rows[row.observed].value_type == "xs:dateTime", row
            assert not row.provenance or rows[row.provenance].kind == "SMC", row
    assert len(writable_rows()) >= 16


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


@pytest.mark.parametrize(
    ("path", "value", "name"),
    [
        ("BatteryNameplate.SerialNumber", "a\0b", "serialNumber"),
        ("BatteryNameplate.DateOfManufacture", "soon", "dateManufactured"),
        ("ProductCondition.RemainingCapacity.RemainingCapacityValue", 1e30, "remainingCapacity"),
    ],
)
def test_an_attribute_that_orion_would_refuse_is_left_out_by_name(read_back, path, value, name):
    passport = read_back("BP-1")
    left_out = []
    entity = battery_entity(replace(passport, values={**passport.values, path: value}), left_out)
    assert left_out == [path]
    complete = battery_entity(passport)
    assert entity == {key: one for key, one in complete.items() if key != name}
    assert_orion_takes(entity)
