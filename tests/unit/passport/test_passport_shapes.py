"""The quick way of verifying finds what the long way finds."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from battery_pilot.passport import metamodel
from battery_pilot.passport.aas import environment
from battery_pilot.passport.metamodel import _all_faults, environment_faults
from battery_pilot.passport.shapes import _known

if TYPE_CHECKING:
    from battery_pilot.passport.building import Passport


@pytest.fixture(scope="module")
def valid(full_passport: Passport) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(json.dumps(environment(full_passport)))
    content["conceptDescriptions"] = content["conceptDescriptions"][:2]
    small = {"DppMetadata", "BatteryNameplate", "CarbonFootprint"}
    content["submodels"] = [one for one in content["submodels"] if one["idShort"] in small]
    assert environment_faults(content) == []  # its shapes are known from here on
    return content


def places(node: Any) -> list[tuple[Any, str | int]]:
    """Return every place in a JSON tree as its container and key."""
    keys = list(node) if isinstance(node, dict) else list(range(len(node))) if isinstance(node, list) else []
    return [pair for key in keys for pair in ((node, key), *places(node[key]))]


ODD = st.one_of(
    st.sampled_from(
        ["", " ", "INF", "NaN", "1e999", "-1", "1.5", "true", "TRUE", "1", "\x00", "\ud800", "\ufffe", "2026-02-30", "2026-01-01T24:00:00Z",
         "2026-01-01T00:00:00", "2026-13-01", "0000-01-01", "99999-01-01", "xs:string", "xs:double", "xs:boolean", "Property", "urn:x",
         "1 bad", "x" * 3000, "4294967296", "+5", "٣"]
    ),
    st.text(max_size=8),
    st.none(), st.integers(), st.booleans(), st.just([]), st.just({}),
)  # fmt: skip


@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_quick_and_long_way_agree_on_what_was_changed(valid: dict[str, Any], data: st.DataObject) -> None:
    content = copy.deepcopy(valid)
    for _ in range(data.draw(st.integers(1, 3))):
        container, key = data.draw(st.sampled_from(places(content)))
        if data.draw(st.booleans()) or isinstance(container, list):
            container[key] = data.draw(ODD)
        else:
            del container[key]
    assert environment_faults(content) == _all_faults(content)


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_quick_and_long_way_agree_on_changed_values_and_types(valid: dict[str, Any], data: st.DataObject) -> None:
    submodel = copy.deepcopy(data.draw(st.sampled_from(valid["submodels"])))
    properties = [
        container
        for container, key in places(submodel)
        if key == "modelType" and isinstance(container, dict) and container["modelType"] == "Property"
    ]
    chosen = data.draw(st.sampled_from(properties))
    chosen["value"] = data.draw(ODD)
    content = {"submodels": [submodel]}
    assert environment_faults(content) == _all_faults(content)


def test_known_shape_is_not_verified_again(valid: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(metamodel, "_all_faults", lambda content: seen.append(content) or [])
    changed = copy.deepcopy(valid)
    for number, submodel in enumerate(changed["submodels"]):
        submodel["id"] = f"urn:other:{number}"
    assert environment_faults(changed) == []
    assert [list(content) for content in seen] == [["assetAdministrationShells"]]


def test_validation_leaves_what_it_looks_at_as_it_was(valid: dict[str, Any]) -> None:
    before = json.dumps(valid)
    environment_faults(valid)
    assert json.dumps(valid) == before


def test_shapes_are_bounded_in_number() -> None:
    for number in range(100):
        submodel = {"modelType": "Submodel", "id": "urn:1", "idShort": f"S{number}"}
        assert environment_faults({"submodels": [submodel]}) == []
    assert len(_known) <= 4096
