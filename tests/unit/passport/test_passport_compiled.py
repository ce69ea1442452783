from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785
from basyx.aas.adapter.json import object_store_to_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.passport.aas import environment, to_store
from battery_pilot.passport.building import build_passport
from battery_pilot.passport.compiled import canonical_json
from battery_pilot.passport.model import Tier

if TYPE_CHECKING:
    from battery_pilot.electrochemistry.condition import Condition
    from battery_pilot.passport.building import Passport
    from battery_pilot.passport.facts import ModelFacts
    from battery_pilot.passport.model import BatteryItem, BatteryModel


def by_way_of_the_sdk(passport: Passport) -> bytes:
    """Return canonical JSON of BaSyx objects.

    The SDK keeps references and specific asset ids in sets, which have no order, and writes UTC as an offset.
    """
    content: dict[str, Any] = json.loads(object_store_to_json(to_store(passport)).replace("+00:00", "Z"))
    for identifiables in content.values():
        identifiables.sort(key=lambda one: one["id"])
    (shell,) = content["assetAdministrationShells"]
    shell["submodels"].sort(key=lambda one: one["keys"][0]["value"])
    shell["assetInformation"]["specificAssetIds"].sort(key=lambda one: one["name"])
    return rfc8785.dumps(content)


@pytest.mark.parametrize("tier", list(Tier))
def test_compiled_json_is_the_canonical_json_of_the_sdk_s_objects(
    battery_model: BatteryModel, battery_item: BatteryItem, condition: Condition, model_facts: ModelFacts, tier: Tier
) -> None:
    model = battery_model.model_copy(update={"cycle_life_test_c_rate": 0.5})  # the SDK writes 0.0000005 as 5E-7
    view = build_passport(model, battery_item, condition, base="https://example.com/dbp", facts=model_facts).view(
        tier
    )
    assert canonical_json(view) == rfc8785.dumps(environment(view)) == by_way_of_the_sdk(view)


NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc", "Co", "Cn"]), min_size=1, max_size=40).filter(
    lambda text: text.strip().strip(" .") == text
)


@given(
    name=NAMES,
    serial=NAMES,
    plant=NAMES,
    capacity=st.floats(1e-6, 1e6),
    metrics=st.sets(st.sampled_from(["remaining_capacity_ah", "dc_resistance_ohm", "state_of_charge_percent", "full_equivalent_cycles"])),
    tier=st.sampled_from(list(Tier)),
    has_facts=st.booleans(),
)  # fmt: skip
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_compiled_json_is_the_json_of_the_objects_whatever_the_values_are(
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    model_facts: ModelFacts,
    name: str,
    serial: str,
    plant: str,
    capacity: float,
    metrics: set[str],
    tier: Tier,
    has_facts: bool,
) -> None:
    model = battery_model.model_copy(update={"manufacturer_name": name, "rated_capacity_ah": capacity})
    item = battery_item.model_copy(update={"serial_number": serial, "facility_id": plant})
    kept = {metric: value for metric, value in condition.values.items() if metric not in metrics}
    changed = condition.model_copy(update={"values": kept})
    facts = {"facts": model_facts} if has_facts else {}
    view = build_passport(model, item, changed, base="https://example.com/dbp", **facts).view(tier)
    assert canonical_json(view) == rfc8785.dumps(environment(view))


@given(
    batteries=st.lists(st.tuples(NAMES, st.sampled_from(list(Tier)), st.booleans()), min_size=2, max_size=5),
    capacity=st.floats(1e-6, 1e6),
)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_batteries_of_one_model_never_take_over_what_is_of_another_view_or_battery(
    battery_model: BatteryModel,
    battery_item: BatteryItem,
    condition: Condition,
    model_facts: ModelFacts,
    batteries: list[tuple[str, Tier, bool]],
    capacity: float,
) -> None:
    models = [battery_model, battery_model.model_copy(update={"rated_capacity_ah": capacity})]
    for serial, tier, is_changed in batteries:
        item = battery_item.model_copy(update={"serial_number": serial})
        model = models[is_changed]
        whole = build_passport(model, item, condition, base="https://example.com/dbp", facts=model_facts)
        for passport in (whole, whole.view(tier)):
            assert canonical_json(passport) == rfc8785.dumps(environment(passport))
